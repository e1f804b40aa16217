"""The sockets in a conversation, and how they are told. Nobody waits for any of them."""

from __future__ import annotations

import trio

from actors import ActorRef
from server.messages import ConnectionInfo, ConnectionMessage, Deliver, Event, tell_or_stop

# A fan-out lets other tasks run after so many receivers.
SLICE = 64


class Members:
    """The connections that hear what is said. One that can't take any more is no member any longer."""

    def __init__(self) -> None:
        self._refs: dict[str, ActorRef[ConnectionMessage]] = {}

    def __bool__(self) -> bool:
        return bool(self._refs)

    def add(self, info: ConnectionInfo) -> None:
        self._refs[info.connection_id] = info.ref

    def remove(self, connection_id: str) -> None:
        self._refs.pop(connection_id, None)

    def tell(self, connection_id: str, event: Event) -> None:
        """Tell one member, if it is one."""
        ref = self._refs.get(connection_id)
        if ref is not None:
            self._tell(connection_id, ref, Deliver(event))

    async def tell_all(self, event: Event) -> None:
        """Tell every member; all of them share one event, and so its encoding."""
        message = Deliver(event)
        for number, (connection_id, ref) in enumerate(list(self._refs.items()), start=1):
            self._tell(connection_id, ref, message)
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()

    def _tell(self, connection_id: str, ref: ActorRef[ConnectionMessage], message: Deliver) -> None:
        if not tell_or_stop(ref, message):
            self.remove(connection_id)
