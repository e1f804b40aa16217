"""The sockets in a conversation, and how they are told. Nobody waits for any of them."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from actors import ActorRef
from server.messages import TOO_SLOW, ConnectionInfo, ConnectionMessage, Deliver, Event, tell_or_stop

# A fan-out lets other tasks run after so many receivers.
SLICE = 64
# What may happen while a newcomer reads what it missed: less than its mailbox takes at once. One that takes
# longer has to come again, and has less to read then.
KEPT = 128


class Members:
    """The connections that hear what is said. One that can't take any more is no member any longer.

    One that is catching up hears nothing yet: what happens is kept for it, in order.
    """

    def __init__(self) -> None:
        self._infos: dict[str, ConnectionInfo] = {}
        self._kept: dict[str, list[Event]] = {}

    def __bool__(self) -> bool:
        return bool(self._infos)

    def __iter__(self) -> Iterator[ConnectionInfo]:
        return iter(list(self._infos.values()))

    def add(self, info: ConnectionInfo) -> None:
        self._infos[info.connection_id] = info

    def remove(self, connection_id: str) -> None:
        self._infos.pop(connection_id, None)
        self._kept.pop(connection_id, None)

    def keep(self, connection_id: str) -> None:
        """From now on, keep what happens for this member."""
        self._kept[connection_id] = []

    def release(self, connection_id: str) -> bool:
        """Tell this member what was kept for it; false if nothing was being kept, or it can't take it."""
        kept = self._kept.pop(connection_id, None)
        if kept is None:
            return False
        for event in kept:
            self.tell(connection_id, event)
        return connection_id in self._infos

    def tell(self, connection_id: str, event: Event) -> None:
        """Tell one member, if it is one, even if it is catching up."""
        info = self._infos.get(connection_id)
        if info is not None:
            self._tell(connection_id, info.ref, Deliver(event))

    async def tell_all(self, event: Event, *, lasting: bool = True) -> None:
        """Tell every member; all of them share one event, and so its encoding.

        Without *lasting*, it is not kept for those who catch up: what comes later makes up for it.
        """
        message = Deliver(event)
        for number, (connection_id, info) in enumerate(list(self._infos.items()), start=1):
            if (kept := self._kept.get(connection_id)) is not None:
                if lasting:
                    self._keep(info, kept, event)
            else:
                self._tell(connection_id, info.ref, message)
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()

    def _keep(self, info: ConnectionInfo, kept: list[Event], event: Event) -> None:
        if len(kept) == KEPT:
            self.remove(info.connection_id)
            info.ref.stop(TOO_SLOW)
        else:
            kept.append(event)

    def _tell(self, connection_id: str, ref: ActorRef[ConnectionMessage], message: Deliver) -> None:
        if not tell_or_stop(ref, message):
            self.remove(connection_id)
