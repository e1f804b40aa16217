"""Who is struck, and when: by the clock, in the middle of what the store is asked to do, and of frames."""

from __future__ import annotations

from random import Random

import trio

from actors import State
from server.chat import ConversationKey

from .faults import Faults
from .plan import Plan
from .process import Process

# More would make every run a heap of ruins.
MOST = 8
# How often a call of the store is a moment to strike; and a frame that is partly written.
AT_A_CALL, AT_A_FRAME = 0.04, 0.01
# A crash is mended within a second.
MENDED = ("storage", "registry", "conversation")

ROOMS = {
    "storage": "triologue/storage",
    "registry": "triologue/registry",
    "directory": "triologue/conversations",
    "connections": "triologue/connections",
    "pipelines": "triologue/pipelines",
    "keeper": "triologue/keeper",
    "farewell": "triologue/drain",
}
BELOW = {
    "conversation": "triologue/conversations/",
    "connection": "triologue/connections/",
    "pipeline": "triologue/pipelines/",
    "reply": "triologue/pipelines/",
}


class Chaos:
    """Strikes whatever process runs, until it is told to stop."""

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._plan = plan
        self._faults = faults
        self._dice = Random(f"chaos {plan.seed}")
        self._left = MOST if plan.strikes else 0
        self._nursery: trio.Nursery | None = None
        self.process: Process | None = None

    async def storm(self) -> None:
        """Strike now and then, for the time of the plan."""
        with trio.move_on_after(self._plan.storm):
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                while True:
                    await trio.sleep(self._dice.expovariate(1 / self._plan.between))
                    self._strike()
        self._nursery = None

    def moment(self) -> None:
        """Something delicate is going on: perhaps strike in the midst of it."""
        if self._nursery is not None and self._left > 0 and self._dice.random() < AT_A_CALL:
            self._nursery.start_soon(self._strike_soon)

    def half_written(self, connection: str) -> None:
        """A frame is half written: perhaps strike its connection, as soon as anybody has a turn."""
        if self._nursery is None or self._left <= 0 or "connection" not in self._plan.strikes:
            return
        if self._dice.random() < AT_A_FRAME:
            self._left -= 1
            self._nursery.start_soon(self._strike_at, f"{BELOW['connection']}{connection}")

    async def _strike_at(self, connection: str) -> None:
        if self.process is not None and not self.process.gone:
            self.process.crash(connection, kind="connection")

    async def _strike_soon(self) -> None:
        await trio.sleep(self._dice.random() * self._plan.latency)
        self._strike()

    def _strike(self) -> None:
        process = self.process
        if self._left <= 0 or process is None or process.gone:
            return
        kind = self._dice.choice(self._plan.strikes)
        match kind:
            case "kill":
                process.kill()
            case "drain":
                process.drain()
            case _:
                self._crash(process, kind)
        self._left -= 1

    def _crash(self, process: Process, kind: str) -> None:
        if kind in ROOMS:
            targets = [ROOMS[kind]]
        else:
            depth = 3 if kind == "reply" else 2
            below = [a for a in process.system.addresses() if a.startswith(BELOW[kind])]
            # A conversation's name has slashes of its own.
            targets = [a for a in below if kind == "conversation" or a.count("/") == depth]
        if not targets:
            return
        address = self._dice.choice(targets)
        process.crash(address, *self._keys(kind, address), kind=kind)
        if kind in MENDED and self._nursery is not None:
            self._nursery.start_soon(self._check_mended, process, address)

    def _keys(self, kind: str, address: str) -> list[ConversationKey]:
        if kind not in ("conversation", "pipeline", "reply"):
            return []
        pipeline = address.split("/")[2]
        return [
            key
            for key in dict.fromkeys(habit.key for habit in self._plan.clients)
            if key.pipeline == pipeline and (kind != "conversation" or f"/{key}#" in address)
        ]

    async def _check_mended(self, process: Process, address: str) -> None:
        struck = len(self._faults.log)
        await trio.sleep(1.0)
        view = process.system.actor(address)
        alone = len(self._faults.log) == struck and not any(
            fault.ended > self._faults.journal.now - 12.0 for fault in self._faults.log[: struck - 1]
        )
        if process.gone or not alone:
            return  # what crashes again and again is given time, on purpose
        mended = view is not None and view.state not in (State.RESTARTING, State.STOPPING)
        if not mended:
            self._faults.journal.broken("P6 mended within a second", f"{address}: {view and view.state}")
