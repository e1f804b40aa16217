"""A spreadsheet of actors with a mistake in it, to practise on: A1 = B1 + 1, and B1 = A1 * 2.

    python examples/cells.py                       asks in its handlers: the runtime refuses the cycle at once
    python examples/cells.py --beside              asks in tasks beside them: nobody can refuse, and it hangs
    python examples/cells.py --beside --port 8001  the same, for `triologue tree --url http://127.0.0.1:8001`

docs/debugging.md reads what it prints. Needs trio and attrs alone; with `--port` all of Triologue, because it
serves the same routes under /api/v1/admin/ as the chat server does.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from functools import partial

import trio
from attrs import frozen

from actors import Actor, ActorError, ActorRef, ActorSystem, Question, Restart, origin, survey_tasks

FORMULAS: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "A1": ("B1", lambda b1: b1 + 1),
    "B1": ("A1", lambda a1: a1 * 2),
}


@frozen(eq=False)
class GetValue(Question["GetValue", float]):
    """What is in the cell?"""


class Cell(Actor[GetValue]):
    """Knows the value of its formula; whoever asks while it computes shares what it finds."""

    def __init__(self, name: str, cells: Mapping[str, ActorRef[GetValue]], *, beside: bool) -> None:
        self._of, self._formula = FORMULAS[name]
        self._cells = cells
        self._beside = beside
        self._asking: list[GetValue] = []

    async def handle(self, message: GetValue) -> None:
        self._asking.append(message)
        if not self._beside:
            await self._compute()
        elif len(self._asking) == 1:
            self.start_task(self._compute, name="compute")

    async def _compute(self) -> None:
        value = self._formula(await self._cells[self._of].ask(GetValue(), timeout=600))
        while self._asking:
            self._asking.pop().answer(value)


class Sheet(Actor[GetValue]):
    """The cells' parent; it is asked for what stands in A1."""

    def __init__(self, *, beside: bool) -> None:
        self._beside = beside
        self._cells: dict[str, ActorRef[GetValue]] = {}

    async def started(self) -> None:
        for name in FORMULAS:
            self._cells[name] = self.spawn(self._new(name), name=name, restart=Restart.PERMANENT)

    def _new(self, name: str) -> Callable[[], Cell]:
        return lambda: Cell(name, self._cells, beside=self._beside)

    async def handle(self, message: GetValue) -> None:
        await self._cells["A1"].tell(message)  # passed on: A1 owes the answer now


async def look(system: ActorSystem) -> None:
    """Print who waits for whom, what crashed, and where each task stands."""
    for actor in system.actors():
        print(
            f"{actor.address}: {actor.state.value}, {actor.queued} in its mailbox, {actor.restarts} restarts"
        )
        for crash in actor.crashes:
            print(f"    crashed at {crash.kind}: {crash.error}")
        for wait in actor.waits:
            print(f"    {wait.waiter} waits for {wait.address}: {wait.what} to {wait.kind}")
    pending = [await survey_tasks(stacks=True)]
    while pending:
        task = pending.pop()
        pending += task.children
        if task.actor:
            for frame in task.stack:
                if frame.file == __file__:
                    print(f"{task.name}\n    line {frame.line} in {frame.function}: {frame.code}")


async def serve(system: ActorSystem, port: int) -> None:
    """Let the command line look at *system*, as it looks at a chat server."""
    from quart_trio import QuartTrio

    from server import listener
    from server.rest.admin import Traces, admin, guard_admin

    draining = trio.Event()
    traces = Traces(system, draining)
    app = QuartTrio("cells")
    guard_admin(app)
    app.register_blueprint(admin(system, None, draining, draining.set, traces))
    await listener.run(traces.around(app), bind=[f"127.0.0.1:{port}"])


async def ask(system: ActorSystem) -> None:
    """Want to know what stands in A1."""
    sheet = system.find("sheet")
    assert sheet is not None
    with origin("somebody looks at A1"):
        try:
            print(f"A1 is {await sheet.ask(GetValue(), timeout=600):g}")
        except ActorError as error:
            print(f"no A1: {type(error).__name__}: {error}")


async def main(arguments: argparse.Namespace) -> None:
    """Ask for A1 and look at what becomes of it, once or, with a port, until Ctrl-C."""
    system = ActorSystem()
    async with trio.open_nursery() as nursery:
        run = partial(system.run, lambda: Sheet(beside=arguments.beside), name="sheet")
        await nursery.start(run, name="sheet")
        nursery.start_soon(ask, system)
        await trio.sleep(0.5)
        await look(system)
        if arguments.port is not None:
            await serve(system, arguments.port)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beside", action="store_true", help="ask in tasks beside the handlers")
    parser.add_argument("--port", type=int, help="serve the admin routes here")
    trio.run(main, parser.parse_args())
