"""One run of one seed: a server that dies and comes back, clients, a storm, then calm, then the verdict."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from random import Random

import pytest
import trio
from attrs import define, field

from actors import ActorError
from actors.testing import run_seeded
from server.connection.socket_port import Socket
from server.conversation import members, telling
from server.pipeline import reply
from server.protocol import timestamp
from server.storage import Store
from server.telemetry.logs import route_to_logging
from tests.in_memory import let_tellers_rest

from .chaos import Chaos
from .client import Client
from .court import Court
from .disk import Database, fresh_database
from .faults import Faults
from .journal import Journal
from .laws import busy, check_clients, check_erased, check_store, check_written, is_settled, shape
from .models import Moods
from .plan import Habit, Plan, plan_of
from .process import Process, SimulatedCrash, now
from .store import Disk, Execution, FaultyStore
from .straight_wire import HANGS_UP, StraightWire
from .truth import Truth
from .wire import AsgiWire, Wire
from .witness import Witness

SEED = "SIMULATION_SEED"
"""The environment variable that names the one seed to run."""

# In virtual seconds: how long it may take until all is calm, with every model as slow as it may be.
CALM = 900.0
LASTING = 4
# How long a reply that was told has to rest, where others are told meanwhile.
REST = 0.3

Stage = Callable[["Run"], None]
"""Something a test changes in a run before it begins."""


def given_seed() -> int | None:
    """The seed that the environment asks for, if it does."""
    text = os.environ.get(SEED)
    return None if text is None else int(text)


def simulate(seed: int, *stages: Stage) -> Journal:
    """The book of that seed's run; its findings are the laws that it broke."""
    plan = plan_of(seed)
    with _quiet() as crashes, _circumstances(plan):
        try:
            return run_seeded(_live, plan, crashes, stages, seed=seed)
        except BaseException as error:
            error.add_note(f"or, of the whole simulation: {SEED}={seed}")
            raise


@contextmanager
def _circumstances(plan: Plan) -> Iterator[None]:
    """What comes of having much to do, in a run that has little; and no time passes in which it is done."""
    with pytest.MonkeyPatch.context() as patch:
        if plan.turns:
            patch.setattr(members, "FEW", 1)
            patch.setattr(telling, "TURN", 1)
            patch.setattr(telling, "MOST", 2)
        if plan.apart:
            let_tellers_rest(patch, REST)
            patch.setattr(reply, "TOGETHER", 3)
        yield


async def _live(plan: Plan, crashes: Crashes, stages: tuple[Stage, ...]) -> Journal:
    run = Run(plan)
    crashes.run = run
    for stage in stages:
        stage(run)
    with trio.fail_after(10_000):
        await run.live()
    return run.journal


@define(eq=False)
class Run:
    """Everything of one run.

    Attributes:
        database: The disk, which outlives the processes.
        straight: How many of the sockets are straight ones.
        wrap_store, wrap_wire, wrap_socket: For tests that plant faults: put between the server and who
            records; `wrap_wire` for ASGI, `wrap_socket` for straight ones.
        wrap_database: Put between who records and the real store.
        at_kill: Called when the power is cut.
    """

    plan: Plan
    journal: Journal = field(factory=Journal)
    truth: Truth = field(factory=Truth)
    moods: Moods = field(factory=Moods)
    wrap_store: Callable[[Store], Store] = field(default=lambda store: store)
    straight: float = 2 / 3
    wrap_wire: Callable[[AsgiWire, Witness], AsgiWire] = field(default=lambda wire, _: wire)
    wrap_socket: Callable[[Socket, Witness], Socket] = field(default=lambda socket, _: socket)
    wrap_database: Callable[[Store], Store] = field(default=lambda store: store)
    at_kill: Callable[[], None] = field(default=lambda: None)
    faults: Faults = field(init=False)
    court: Court = field(init=False)
    chaos: Chaos = field(init=False)
    disk: Disk = field(init=False)
    process: Process | None = None
    clients: list[Client] = field(factory=list)
    calm: trio.Event = field(factory=trio.Event)
    over: trio.Event = field(factory=trio.Event)
    database: Database = field(init=False)
    nursery: trio.Nursery = field(init=False)
    _dice: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.faults = Faults(self.journal)
        self.court = Court(self.truth, self.faults, self.moods, self.journal)
        self.chaos = Chaos(self.plan, self.faults)
        self.disk = Disk(self.plan, self.faults)
        self._dice = Random(f"run {self.plan.seed}")

    async def live(self) -> None:
        """The whole run."""
        self.database = fresh_database(now)
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            nursery.start_soon(self._keep_a_server, name="keeps a server")
            for number, habit in enumerate(self.plan.clients, start=1):
                client = self._client(number, habit)
                self.clients.append(client)
                nursery.start_soon(client.run, name=client.name)
            await self.chaos.storm()
            self.disk.settle()
            self.calm.set()
            self.journal.note("run", "calm")
            await self._wait_settled()
            await self._judge()
            self.over.set()
            if self.process is not None:
                self.process.drain()
        self._judge_end()
        self.database.close()

    def _client(self, number: int, habit: Habit) -> Client:
        return Client(
            number=number,
            habit=habit,
            court=self.court,
            server=self,
            dice=Random(f"client {self.plan.seed} {number}"),
            calm=self.calm,
            over=self.over,
            now_text=lambda seconds: timestamp(now() + timedelta(seconds=seconds)),
        )

    def _new_wire(self, witness: Witness) -> Wire:
        dice = Random(f"wire {self.plan.seed} {witness.name}")
        if dice.random() < self.straight:
            self.journal.count("socket straight")
            strike = self.chaos.half_written
            return StraightWire(witness, self.plan.weather, dice, self.calm, strike, self.wrap_socket)
        self.journal.count("socket ASGI")
        return self.wrap_wire(AsgiWire(witness.heard, witness.ended), witness)

    async def _keep_a_server(self) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            execution = Execution(self.plan, self.disk, self.faults, self.chaos.moment)
            inner = self.wrap_database(self.database.open_store())
            store = FaultyStore(inner, self.disk, self.truth, self.faults)
            process = Process(
                number,
                plan=self.plan,
                store=self.wrap_store(store),
                execution=execution,
                moods=self.moods,
                faults=self.faults,
                journal=self.journal,
                new_wire=self._new_wire,
            )
            self.process = self.chaos.process = process
            await process.run()
            if process.killed:
                self.at_kill()
            self.process = self.chaos.process = None
            self.journal.count("processes")
            if not self.over.is_set():
                await trio.sleep(self._dice.uniform(0.05, 2.0))

    async def _wait_settled(self) -> None:
        with trio.move_on_after(CALM):
            for _ in range(LASTING):
                # Again and again: for what would come too late or twice.
                await _until(self._is_settled)
                await trio.sleep(1.0)

    def _is_settled(self) -> bool:
        if not all(client.is_there for client in self.clients) or self.process is None:
            return False
        # What was said to a store that is slow may be answered when all others have their answers.
        settled = all(is_settled(annals) for annals in self.truth.annals.values())
        return settled and not busy(self.process.system)

    async def _judge(self) -> None:
        journal = self.journal
        check_clients(self.clients, self.truth, journal)
        check_store(self.database.store, self.truth, self.court, journal)
        check_erased(self.database.dump(), self.truth, journal)
        if self.process is None:
            journal.broken("in the end the server runs", "it does not")
        else:
            system = self.process.system
            wires = self.process.wires
            with trio.move_on_after(HANGS_UP):
                await _until(lambda: not any(wire.left for wire in wires))
            with trio.move_on_after(2.0):  # for what is done again and again
                await _until(lambda: not busy(system))
            for what in busy(system):
                journal.broken("in the end nobody is busy", what)
            check_written(wires, self.process.listener, journal)
        journal.note("run", shape(self.truth))

    def _judge_end(self) -> None:
        left = [task.name for task in _tasks() if task.name.startswith("actor ")]
        if left:
            self.journal.broken("no task is left over", f"{left}")

    # -- what clients can reach

    def dial(self, pipeline: str, query: str, protocols: list[str], witness: Witness) -> Wire | None:
        process = self.process
        return None if process is None else process.dial(pipeline, query, protocols, witness)

    async def request(self, method: str, path: str) -> tuple[int, bytes] | None:
        process = self.process
        return None if process is None else await process.request(method, path)


async def _until(condition: Callable[[], object]) -> None:
    # Looking costs nothing: time is simulated.
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.25)


def _tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    waiting = [] if root is None else [root]
    while waiting:
        task = waiting.pop()
        yield task
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


class Crashes(logging.Handler):
    """Hears of every crash of an actor. Those that nobody threw are findings, unless they come of one."""

    run: Run | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.run is None or not record.exc_info:
            return
        error = record.exc_info[1]
        errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        journal = self.run.journal
        for each in errors:
            if isinstance(each, SimulatedCrash):
                continue
            text = f"{record.getMessage()[:300]}"
            if isinstance(each, ActorError):
                journal.count("crash that came of another")
                journal.note("crash", text)
            else:
                journal.broken("nobody crashes by himself", text)


@contextmanager
def _quiet() -> Iterator[Crashes]:
    """No log lines: what goes wrong here is meant to."""
    route_to_logging()
    heard, loggers = Crashes(), [logging.getLogger(name) for name in ("actors", "server")]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
    actors = loggers[0]
    actors.setLevel(logging.ERROR)
    actors.addHandler(heard)
    try:
        yield heard
    finally:
        actors.removeHandler(heard)
        for logger, level, propagate in before:
            logger.setLevel(level)
            logger.propagate = propagate
        with suppress(AttributeError):
            heard.run = None
