"""The sockets in a conversation, and how they are told. Nobody waits for any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from actors import ActorRef
from server.messages import (
    TOO_SLOW,
    ConnectionInfo,
    ConnectionMessage,
    Deliver,
    Event,
    tell_each,
    tell_each_nowait,
)

from .telling import Telling

# What may happen while a newcomer reads what it missed: less than its mailbox takes at once. One that takes
# longer has to come again, and has less to read then.
KEPT = 128
# As many as are told in one go; others have turns.
FEW = 32


class Members:
    """The connections that hear what is said. One that can't take any more is no member any longer.

    One that is catching up hears nothing yet: what happens is kept for it, in order.

    Attributes:
        await_turns: Called when `tell_rest` has to run, for some are to be told in turns.
    """

    def __init__(self) -> None:
        self._infos: dict[str, ConnectionInfo] = {}
        self._kept: dict[str, list[Event]] = {}
        # Who hears what happens, or None once that has changed.
        self._hearing: list[ActorRef[ConnectionMessage]] | None = None
        # There is one as long as `tell_rest` runs, or has to.
        self._telling: Telling | None = None
        self.await_turns: Callable[[], None] | None = None

    def __bool__(self) -> bool:
        return bool(self._infos)

    def __contains__(self, connection_id: object) -> bool:
        return connection_id in self._infos

    def __iter__(self) -> Iterator[ConnectionInfo]:
        return iter(list(self._infos.values()))

    def add(self, info: ConnectionInfo) -> None:
        self._infos[info.connection_id] = info
        self._hearing = None

    def remove(self, connection_id: str) -> None:
        self._infos.pop(connection_id, None)
        self._kept.pop(connection_id, None)
        self._hearing = None

    def keep(self, connection_id: str) -> None:
        """From now on, keep what happens for this member."""
        self._kept[connection_id] = []
        self._hearing = None

    async def release(self, connection_id: str) -> bool:
        """Tell this member what was kept for it; false if nothing was being kept, or it can't take it."""
        kept = self._kept.pop(connection_id, None)
        self._hearing = None
        if kept is None:
            return False
        for event in kept:
            await self.tell(connection_id, event)
        return connection_id in self._infos

    async def tell(self, connection_id: str, event: Event) -> None:
        """Tell one member, if it is one, even if it is catching up."""
        info = self._infos.get(connection_id)
        if info is not None and await tell_each([info.ref], Deliver(event)):
            self.remove(connection_id)

    async def tell_all(self, event: Event, *, lasting: bool = True) -> None:
        """Tell every member; all of them share one event, and so its encoding. Many are told in their turns.

        Without *lasting*, it is not kept for those who catch up: what comes later makes up for it.
        """
        if lasting:
            for connection_id, kept in list(self._kept.items()):
                self._keep(connection_id, kept, event)
        if not self.have_turns:
            self._give_up(await tell_each(self._listening(), Deliver(event)))
            return
        while self._telling is not None and self._telling.is_full:
            await self._tell_some()
        refs = self._listening()
        if not refs:
            return
        if self._telling is None:
            self._telling = Telling()
            if self.await_turns is not None:
                self.await_turns()
        self._telling.add(refs, Deliver(event))

    def tell_all_nowait(self, event: Event) -> None:
        """As `tell_all`, not lasting, and without a turn for others: for a few members."""
        self._give_up(tell_each_nowait(self._listening(), Deliver(event)))

    async def tell_rest(self) -> None:
        """Tell all that is to be told in turns; cancelled, the rest can be told later."""
        while self.are_being_told:
            await self._tell_some()
        self._telling = None

    async def _tell_some(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._telling:
            self._give_up(self._telling.turn())

    @property
    def have_turns(self) -> bool:
        """Whether others get a turn while all are told."""
        return len(self._infos) > FEW or self.are_being_told

    @property
    def are_being_told(self) -> bool:
        """Whether there is something that not all of them were told yet."""
        return bool(self._telling)

    def _listening(self) -> list[ActorRef[ConnectionMessage]]:
        if self._hearing is None:
            self._hearing = [info.ref for id_, info in self._infos.items() if id_ not in self._kept]
        return self._hearing

    def _give_up(self, untold: list[ActorRef[ConnectionMessage]]) -> None:
        if untold:
            lost = set(untold)
            for connection_id in [id_ for id_, info in self._infos.items() if info.ref in lost]:
                self.remove(connection_id)

    def _keep(self, connection_id: str, kept: list[Event], event: Event) -> None:
        if len(kept) == KEPT:
            self._infos[connection_id].ref.stop(TOO_SLOW)
            self.remove(connection_id)
        else:
            kept.append(event)
