"""A system of actors: one tree, run in one trio task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import trio

from .actor import Actor
from .cell import Cell, new_cell
from .dead_letters import DeadLetters
from .deadlines import Deadlines
from .errors import sole
from .inspection import describe, view_actor, view_gone, view_message, view_waits
from .lifecycle import Crashed
from .ref import ActorRef
from .restart import Restart
from .tracing import Observer
from .views import ActorView, GoneView, KindTotals, MessageView, WaitView
from .world import World


class ActorSystem:
    """Runs a root actor and everything below it, once.

    Args:
        random: For backoff jitter; pass a seeded one for repeatable runs.
    """

    def __init__(self, *, random: Random | None = None) -> None:
        self._world: World[Cell] = World(random or Random())
        self._root: Cell | None = None
        self._stopped: str | None = None

    async def run(
        self,
        root: Callable[[], Actor[Any]],
        *,
        name: str,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run *root* in the calling task until it ends; its children are stopped first.

        Raises:
            RuntimeError: The system was run before.
            Exception: What the root crashed with, a spent restart budget among them.
            KeyboardInterrupt, SystemExit: Raised in any actor.
        """
        if self._root is not None:
            raise RuntimeError("a system runs once; make a new one")
        self._world.clock = trio.lowlevel.current_clock().current_time
        self._world.deadlines = Deadlines(self._world.clock)
        cell = self._root = new_cell(self._world, None, root, name=name, restart=Restart.TEMPORARY)
        if self._stopped is not None:
            cell.stop(self._stopped)
        task_status.started()
        try:
            await cell.run()
        except BaseExceptionGroup as group:
            raise sole(group) from None
        if isinstance(cell.reason, Crashed):
            raise cell.reason.error

    def stop(self, reason: str = "system stops") -> None:
        """Begin to stop the whole tree, newest actors first; if it does not run yet, as soon as it does."""
        self._stopped = reason
        if self._root is not None:
            self._root.stop(reason)

    def find(self, address: str) -> ActorRef[Any] | None:
        """The living actor at *address*, for debugging and tests: programs pass refs along instead."""
        cell = self._world.cells.get(address)
        return None if cell is None else cell.ref

    @property
    def pump(self) -> Callable[[], bool] | None:
        """Called amid a long fan-out, every now and then: see to what came from outside, as far as that goes
        at once, and say whether that was all of it. Then the fan-out goes on before all others, for a while.

        Must not raise. Without one, others run as often.
        """
        return self._world.pump

    @pump.setter
    def pump(self, pump: Callable[[], bool] | None) -> None:
        self._world.pump = pump

    # -- looking at it while it runs

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be delivered."""
        return self._world.dead_letters

    def actors(self, prefix: str = "") -> list[ActorView]:
        """Every living actor whose address begins with *prefix*, parents before their children."""
        now = self._world.clock()
        return [
            view_actor(cell, now) for address, cell in self._world.cells.items() if address.startswith(prefix)
        ]

    def actor(self, address: str) -> ActorView | None:
        """The living actor at *address*."""
        cell = self._world.cells.get(address)
        return None if cell is None else view_actor(cell, self._world.clock())

    def addresses(self) -> list[str]:
        """Of every living actor, parents before their children."""
        return list(self._world.cells)

    def gone(self) -> list[GoneView]:
        """The actors that ended lately, newest last."""
        now = self._world.clock()
        return [view_gone(gone, now) for gone in self._world.gone]

    def waits(self) -> list[WaitView]:
        """Who waits for whom: the edges along which a system can hang."""
        now = self._world.clock()
        return [wait for cell in self._world.cells.values() for wait in view_waits(cell, now)]

    def recent(self, address: str) -> list[MessageView]:
        """The latest messages that the actor at *address* has handled, newest last."""
        cell = self._world.cells.get(address)
        if cell is None:
            return []
        now = self._world.clock()
        return [view_message(envelope, now) for envelope in cell.ledger.recent]

    def totals(self) -> list[KindTotals]:
        """What the actors of each class have done since the system began."""
        return self._world.totals()

    def get_state(self, address: str) -> Mapping[str, str] | None:
        """The attributes of the living actor at *address*, described without giving away their contents.

        Taken at once, in the middle of a message if it is handling one: so one that hangs can be looked at.
        """
        cell = self._world.cells.get(address)
        return None if cell is None else describe(cell.actor)

    def attach(self, observer: Observer) -> None:
        """Tell *observer* of everything that happens from now on."""
        self._world.observers.append(observer)

    def detach(self, observer: Observer) -> None:
        """Don't any more. Does nothing if it is not attached."""
        if observer in self._world.observers:
            self._world.observers.remove(observer)
