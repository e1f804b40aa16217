"""A system of actors: one tree, run in one trio task."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import trio
from attrs import frozen

from .actor import Actor
from .cell import Cell, World
from .dead_letters import DeadLetters
from .errors import sole
from .lifecycle import Crashed, State
from .ref import ActorRef
from .restart import Restart


@frozen
class ActorView:
    """One actor at one moment. `since` is seconds in `state`."""

    address: str
    state: State
    since: float
    handling: str | None
    queued: int
    capacity: int
    peak: int
    dropped: int
    conflated: int
    handled: int
    restarts: int


class ActorSystem:
    """Runs a root actor and everything below it.

    Args:
        random: For backoff jitter; pass a seeded one for repeatable runs.
    """

    def __init__(self, *, random: Random | None = None) -> None:
        self.dead_letters = DeadLetters()
        self._world = World(self.dead_letters, random or Random(), {})
        self._root: Cell | None = None

    async def run(
        self,
        root: Callable[[], Actor[Any]],
        *,
        name: str,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run *root* in the calling task until it ends; its children are stopped first.

        Raises:
            Exception: What the root crashed with, a spent restart budget among them.
            KeyboardInterrupt, SystemExit: Raised in any actor.
        """
        first = root()
        cell = Cell(
            self._world,
            None,
            lambda: first,
            name=name,
            address=name,
            restart=Restart.TEMPORARY,
            capacity=None,
            bearing=None,
            grace=1.0,
            kind=type(first),
        )
        self._root = self._world.cells[name] = cell
        task_status.started()
        try:
            await cell.run()
        except BaseExceptionGroup as group:
            raise sole(group) from None
        if isinstance(cell.reason, Crashed):
            raise cell.reason.error

    def stop(self, reason: str = "system stops") -> None:
        """Begin to stop the whole tree, newest actors first."""
        if self._root is not None:
            self._root.stop(reason)

    def find(self, address: str) -> ActorRef[Any] | None:
        """The living actor at *address*, for debugging and tests: programs pass refs along instead."""
        cell = self._world.cells.get(address)
        return None if cell is None else cell.ref

    def actors(self) -> list[ActorView]:
        """Every living actor, parents before their children."""
        now = trio.current_time()
        return [
            ActorView(
                address=cell.address,
                state=cell.state,
                since=now - cell.since,
                handling=cell.current,
                queued=len(cell.mailbox),
                capacity=cell.mailbox.capacity,
                peak=cell.mailbox.peak,
                dropped=cell.mailbox.dropped,
                conflated=cell.mailbox.conflated,
                handled=cell.handled,
                restarts=cell.restarts,
            )
            for cell in self._world.cells.values()
        ]
