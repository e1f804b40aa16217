"""One life of the server's process: the real assembly on what earlier lives left on the disk, and its end.

Simulated are the clock, ids, dice, sockets and where the store's calls run; everything else is the product.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any, cast

import trio

from actors import ActorError, ActorSystem
from server.assembly import Doors, Life, Root, World, listener_limits
from server.chat import ConversationKey
from server.config import Config, History, Limits, Retention, Timeouts
from server.listener import Listener
from server.listener.hand_over import Offer
from server.listener.upgrade import recognise
from server.pipeline import PipelineSpec
from server.storage import Store

from .faults import Faults
from .journal import START, Journal
from .models import IDLE_TIMEOUT, TOTAL_TIMEOUT, Moods, Moody
from .plan import PIPELINES, Plan
from .store import Execution
from .straight_wire import StraightWire
from .wire import AsgiWire, Wire
from .witness import Witness

# From the word that it ends, beyond the time that replies get, to the end of the process.
MARGIN = 5.0
# What goodbyes get of it, as in the listener.
GRACE = 3.0


class SimulatedCrash(Exception):
    """What is thrown into an actor."""


def config_of(plan: Plan) -> Config:
    """The settings of that run."""
    return Config(
        limits=Limits(mailbox=plan.mailbox, queue=plan.queue),
        timeouts=Timeouts(drain=plan.drain),
        history=History(idle=plan.idle),
        retention=Retention(messages=5, every=4.0) if plan.trims else Retention(),
    )


def specs_of(plan: Plan, moods: Moods, journal: Journal) -> list[PipelineSpec]:
    """Its pipelines: one plain, one that goes on after a restart, one that stops when nobody listens."""
    return [
        PipelineSpec(
            uuid,
            name,
            partial(Moody, plan.seed, plan.moods, moods, journal),
            idle_timeout=IDLE_TIMEOUT,
            total_timeout=TOTAL_TIMEOUT,
            chunk_interval=0.0 if plan.apart else 0.02,
            unheard=0.5 if name == "unheard" else None,
            resumes=name == "resuming",
        )
        for name, uuid in PIPELINES.items()
    ]


class Process:
    """The server from its start to its end, whatever ends it; run it once."""

    def __init__(
        self,
        number: int,
        *,
        plan: Plan,
        store: Store,
        execution: Execution,
        moods: Moods,
        faults: Faults,
        journal: Journal,
        new_wire: Callable[[Witness], Wire],
    ) -> None:
        self._new_wire = new_wire
        self._number = number
        self._plan = plan
        self._store = store
        self._execution = execution
        self._moods = moods
        self._faults = faults
        self._journal = journal
        self._draining = trio.Event()
        self._drained = trio.Event()
        self._ended = trio.Event()
        self._hung_up = trio.Event()
        self.wires: list[Wire] = []
        self._doors: Doors | None = None
        self.listener = Listener((), loopback_only=True, limits=listener_limits(config_of(plan)))
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self.system = ActorSystem(random=Random(f"actors {plan.seed} {number}"))
        self.gone = False
        self.killed = False

    async def run(self) -> None:
        """Until it has ended, orderly or not."""
        self._journal.note("process", f"{self._number} starts")
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._end_when_drained, name="listener")
            with self._scope:
                await self._run_system()
            self.gone = True
            self._hang_up()
            nursery.cancel_scope.cancel()
        self._journal.note("process", f"{self._number} is gone")

    async def _run_system(self) -> None:
        try:
            await self.system.run(self._root, name="triologue")
        except (SimulatedCrash, ActorError) as error:
            # The root has given up: more crashes than it forgives.
            self._faults.add("end of the process")
            self._journal.note("process", f"gave up: {error!r}")

    def _root(self) -> Root:
        ids, plan, number = count(1), self._plan, self._number

        def new_id() -> str:
            each = next(ids)
            return f"{(number << 20) + each:08x}-0000-4000-8000-{number:04x}{each:08x}"

        world = World(
            now=now,
            new_id=new_id,
            random=Random(f"server {plan.seed} {number}"),
            execute_write=self._execution,
            execute_read=self._execution,
        )
        life = Life(
            system=self.system,
            watchdog=None,
            drain=self.drain,
            draining=self._draining,
            on_drain=lambda: None,
            drained=self._drained.set,
            opened=self._open,
            ended=self._ended.wait,
        )
        specs = specs_of(plan, self._moods, self._journal)
        return Root(config_of(plan), specs, self._store, life, world)

    async def _open(self, doors: Doors) -> None:
        self._doors = doors
        self._journal.note("process", f"{self._number} is open")

    # -- its ends

    def drain(self) -> None:
        """As SIGTERM does."""
        if not self._draining.is_set() and not self.gone:
            self._faults.add("drain", seconds=self._plan.drain + MARGIN)
            self._draining.set()

    async def _end_when_drained(self) -> None:
        await self._draining.wait()
        begun = self._journal.now
        with trio.move_on_after(self._plan.drain + MARGIN):
            with trio.move_on_after(self._plan.drain + GRACE):
                await self._drained.wait()
                while self.wires:
                    await self._hung_up.wait()
            self._hang_up()
            self._ended.set()
            await trio.sleep_forever()
        # A thread that is stuck in the store can't be ended; then whoever started the process kills it.
        if not any("store" in fault.kind and fault.ended > begun for fault in self._faults.log):
            self._journal.broken("P8 an end takes no longer", f"{self._journal.now - begun:.1f} s")
        self.kill()

    def kill(self) -> None:
        """As SIGKILL, or a power cut, does: nothing more leaves it, nothing more is stored."""
        if not self.gone:
            self._faults.add("kill")
            self.gone = self.killed = True
            self._execution.die()
            self._hang_up()
            self._scope.cancel()

    def crash(self, address: str, *keys: ConversationKey, kind: str) -> None:
        """Throw an exception into the actor at *address*."""
        cell = self.system._world.cells.get(address)
        if cell is not None and cell.life is not None:
            self._faults.add(f"crash of {kind}", *keys, address=address)
            cell.life.fail(SimulatedCrash(address))

    # -- its doors

    def dial(self, pipeline: str, query: str, protocols: list[str], witness: Witness) -> Wire | None:
        """A socket; `None` while it does not listen."""
        if self._doors is None or self._nursery is None or self.gone or self._draining.is_set():
            return None
        wire = self._new_wire(witness)
        self.wires.append(wire)
        scope = {
            "type": "websocket",
            "path": f"/api/v1/pipelines/{pipeline}/ws/connect",
            "query_string": query.encode(),
            "scheme": "ws",
            "subprotocols": protocols,
            "headers": [],
            "extensions": {"triologue.listener": self.listener},
        }
        if isinstance(wire, StraightWire):
            serve = partial(self._serve_straight, wire, scope, witness.name)
        else:
            assert isinstance(wire, AsgiWire)
            door = partial(self._doors.websocket, scope, wire.asgi_receive, wire.asgi_send)
            serve = partial(self._guard, door, witness.name)
        self._nursery.start_soon(self._serve, wire, serve, name=witness.name)
        return wire

    async def _serve(self, wire: Wire, serve: Callable[[], Awaitable[None]]) -> None:
        await serve()
        wire.hang_up()
        self.wires.remove(wire)
        hung_up, self._hung_up = self._hung_up, trio.Event()
        hung_up.set()

    async def _serve_straight(self, wire: StraightWire, scope: dict[str, Any], name: str) -> None:
        """As the listener does with a socket that begins as a WebSocket."""
        await trio.lowlevel.checkpoint()  # what the client sends meanwhile may come with its handshake
        upgrade = recognise(
            wire.opening(scope["path"], scope["query_string"].decode(), scope["subprotocols"])
        )
        assert upgrade is not None
        offer = Offer(upgrade, cast(Any, wire.port), self.listener)
        scope |= {"headers": upgrade.headers, "subprotocols": upgrade.subprotocols}
        scope["extensions"]["triologue.stream"] = offer

        async def door() -> None:
            assert self._doors is not None
            await self._doors.websocket(scope, _unused, _unused)
            if offer.serve is not None:
                await offer.serve()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.carry, name=f"{name} network")
            await self._guard(door, name)
            wire.port.abort()
            nursery.cancel_scope.cancel()

    def _hang_up(self) -> None:
        for wire in self.wires:
            wire.hang_up()

    async def request(self, method: str, path: str) -> tuple[int, bytes] | None:
        """The answer to a REST request, if one comes."""
        if self._doors is None or self._nursery is None or self.gone:
            return None
        target, _, query = path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8000")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "extensions": {},
        }
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])
        sent: list[dict[str, Any]] = []
        over = trio.Event()

        async def receive() -> Any:
            await trio.lowlevel.checkpoint()
            for event in asked:
                return event
            await trio.sleep_forever()

        async def send(event: dict[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(event)
            if event["type"] == "http.response.body" and not event.get("more_body", False):
                over.set()

        self._nursery.start_soon(
            self._guard, partial(self._doors.http, scope, receive, send), f"{method} {path}"
        )
        with trio.move_on_after(60.0):
            await over.wait()
        if not over.is_set() or self.gone:
            return None
        return sent[0]["status"], b"".join(event.get("body", b"") for event in sent[1:])

    async def _guard(self, door: Callable[[], Any], name: str) -> None:
        try:
            await door()
        except Exception as error:
            # A boundary, as the listener's: a door that raises is a finding, and not the end of the run.
            self._journal.broken("doors do not raise", f"{name}: {error!r}")


async def _unused(*_: Any) -> Any:
    raise AssertionError("this socket was offered itself")


def now() -> datetime:
    """The simulated time of day, in UTC."""
    return START + timedelta(seconds=trio.current_time())
