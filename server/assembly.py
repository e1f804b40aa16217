"""Puts the server together: the only file that names every concrete class.

Rooms get plain arguments, never the whole configuration.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import trio
from attrs import field, frozen

from actors import ActorSystem, RestartBudget, Supervisor, Watchdog
from server.chat import Limits
from server.config import (
    AnyPipeline,
    Config,
    EchoPipeline,
    OpenAIPipeline,
    PythonPipeline,
    WebhookPipeline,
)
from server.connection import Acceptor, Connections, Greeting
from server.conversation import Directory
from server.drain import Drainer
from server.listener import ListenerLimits
from server.loading import loading
from server.messages import AwaitPipelines, PipelineInfo
from server.pipeline import EchoModel, Model, Pipelines, PipelineSpec
from server.protocol import OriginPolicy
from server.registry import Registry, Table
from server.rest import Services, create_app
from server.storage import (
    Execute,
    Keeper,
    PlainVault,
    Storage,
    Store,
    StoreUnusable,
    in_threads,
)
from server.web import page

PATIENCE = 10.0

Now = Callable[[], datetime]
NewId = Callable[[], str]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


def _new_epoch(new_id: NewId) -> str:
    """The random end of an id: a cursor must not match by chance where its history is another."""
    return new_id().rpartition("-")[2]


@frozen
class World:
    """What the server takes from outside, so that a simulation can bring its own.

    `execute_write` and `execute_read` run what blocks: one call, or several, at a time.
    """

    now: Now = _now
    new_id: NewId = _new_id
    random: Random = field(factory=Random)
    execute_write: Execute | None = None
    execute_read: Execute | None = None


@frozen
class Doors:
    """What the outside world talks to: ASGI applications for WebSockets and for HTTP."""

    websocket: Callable[..., Awaitable[None]]
    http: Callable[..., Awaitable[None]]


@frozen
class Life:
    """What happens around the actors: `opened` when they run; `ended` returns when they must go.

    `drain` begins an orderly end, and sets `draining` on its way.
    `system` is the one they live in, `watchdog` that of its loop: for those who look inside.
    """

    system: ActorSystem
    watchdog: Watchdog | None
    drain: Callable[[], None]
    draining: trio.Event
    on_drain: Callable[[], None]
    drained: Callable[[], None]
    opened: Callable[[Doors], Awaitable[None]]
    ended: Callable[[], Awaitable[None]]


class Root(Supervisor):
    """The root supervisor: starts every actor, and ends when the server does."""

    def __init__(
        self,
        config: Config,
        specs: list[PipelineSpec],
        store: Store,
        life: Life,
        world: World | None = None,
    ) -> None:
        self._config = config
        self._specs = specs
        self._store = store
        self._life = life
        self._world = world or World()

    def budget(self) -> RestartBudget:
        """More than one actor can spend, which waits longer from crash to crash: a message of which the same
        actor crashes whenever it is sent must not end the process.
        """
        return RestartBudget(restarts=100, within=10.0)

    async def started(self) -> None:
        await self._life.opened(await self._start())
        self.start_task(self._end, name="life")

    async def _end(self) -> None:
        await self._life.ended()
        self.stop("server ends")

    async def _start(self) -> Doors:
        config, world = self._config, self._world
        now, new_id = world.now, world.new_id
        storage = self.spawn(
            partial(
                Storage,
                store=self._store,
                execute_write=world.execute_write or in_threads(1),
                execute_read=world.execute_read or in_threads(config.storage.readers),
            ),
            name="storage",
        )
        found: dict[str, PipelineInfo] = {}
        registry = self.spawn(
            partial(Registry, table=Table(), limit=config.limits.connections, now=now), name="registry"
        )
        pipelines = self.spawn(partial(Pipelines, specs=self._specs, found=found), name="pipelines")
        await pipelines.ask(AwaitPipelines(), timeout=PATIENCE)
        history = config.history
        directory = self.spawn(
            partial(
                Directory,
                storage=storage,
                registry=registry,
                pipelines=found,
                limit=history.conversations,
                idle=history.idle,
                queue=config.limits.queue,
                questions=config.limits.queue_bytes,
                history=Limits(messages=history.messages, size=history.bytes),
                checkpoint=config.timeouts.checkpoint,
                now=now,
                new_epoch=partial(_new_epoch, new_id),
                draining=trio.Event(),
            ),
            name="conversations",
        )
        greeting = Greeting(config.timeouts.ping_interval, config.limits.message_size)
        connections = self.spawn(
            partial(
                Connections,
                mailbox=config.limits.mailbox,
                mailbox_bytes=config.limits.mailbox_bytes,
                greeting=greeting,
                patience=config.timeouts.pong,
                random=world.random,
            ),
            name="connections",
        )
        retention = config.retention
        self.spawn(
            partial(
                Keeper,
                storage=storage,
                directory=directory,
                every=retention.every,
                age=timedelta(seconds=retention.age) if retention.age else None,
                keep=retention.messages or None,
                now=now,
            ),
            name="keeper",
        )
        self.spawn(
            partial(
                Drainer,
                begun=self._life.draining,
                on_begin=self._life.on_drain,
                on_end=self._life.drained,
                seconds=config.timeouts.drain,
                registry=registry,
                directory=directory,
            ),
            name="drain",
        )
        origins = OriginPolicy(frozenset(config.cors.origins))
        return Doors(
            websocket=Acceptor(
                connections=connections,
                registry=registry,
                directory=directory,
                storage=storage,
                pipelines=found,
                origins=origins,
                now=now,
                new_id=new_id,
            ),
            http=create_app(
                Services(
                    registry,
                    directory,
                    found,
                    origins,
                    page,
                    system=self._life.system,
                    draining=self._life.draining,
                    storage=storage,
                    drain=self._life.drain,
                    watchdog=self._life.watchdog,
                )
            ),
        )


def open_storage(config: Config) -> Store:
    """The store that *config* asks for, its tables brought up to date. Blocks for as long as that takes.

    Raises:
        StoreUnusable: It can't be opened, or its keys can't be used; the text is one line.
    """
    # SQLAlchemy takes a while to import; a simulation brings a store of its own.
    with loading():
        from server.storage import open_store

    open_with = partial(
        open_store, config.storage_url, mark=config.mark, readers=config.storage.readers, now=_now
    )
    if config.encryption.key_file is None:
        return open_with(vault=PlainVault())
    from server.encryption import KeyRing, MasterVault, VaultError

    try:
        return open_with(vault=MasterVault(KeyRing.read(config.encryption.key_file), config.key_store_url))
    except VaultError as error:
        raise StoreUnusable(str(error)) from None


def listener_limits(config: Config) -> ListenerLimits:
    """What the listener is to allow. TCP connections are allowed beyond the sockets, for REST requests."""
    return ListenerLimits(
        message_size=config.limits.message_size,
        connections=config.limits.connections + 256,
        send_timeout=config.timeouts.send,
        ping_interval=config.timeouts.ping_interval,
        pong_timeout=config.timeouts.pong,
        drain=config.timeouts.drain,
    )


def pipeline_specs(config: Config) -> list[PipelineSpec]:
    """The configured pipelines, each of its models made once to see that it can be.

    Raises:
        ValueError: One can't; the text is one line.
    """
    specs = []
    for pipeline in config.pipelines:
        make_model = partial(_make_model, pipeline)
        try:
            make_model()
        except ValueError as error:
            raise ValueError(f'pipeline "{pipeline.name}": {error}') from None
        specs.append(
            PipelineSpec(
                uuid=pipeline.uuid,
                name=pipeline.name,
                make_model=make_model,
                idle_timeout=pipeline.idle_timeout,
                total_timeout=pipeline.total_timeout,
                chunk_interval=config.timeouts.chunk_interval,
                unheard=None if pipeline.unheard == "continue" else pipeline.unheard_grace,
                resumes=pipeline.on_restart == "resume",
            )
        )
    return specs


def _make_model(pipeline: AnyPipeline) -> Model:
    """The model that *pipeline* asks for. Those that need httpx are imported only then: it takes a while."""
    match pipeline:
        case EchoPipeline():
            return EchoModel(delay=pipeline.delay)
        case OpenAIPipeline():
            from server.pipeline.openai import OpenAIModel

            return OpenAIModel(
                base_url=pipeline.base_url,
                model=pipeline.model,
                api_key=pipeline.api_key,
                system_prompt=pipeline.system_prompt,
                history=pipeline.history,
                vision=pipeline.vision,
                connect_timeout=pipeline.connect_timeout,
                read_timeout=pipeline.read_timeout,
                retries=pipeline.retries,
                parameters=pipeline.parameters,
                include_usage=pipeline.include_usage,
            )
        case PythonPipeline():
            from server.pipeline.python import PythonModel

            return PythonModel(pipeline.function, None if pipeline.path is None else str(pipeline.path))
        case WebhookPipeline():
            from server.pipeline.webhook import WebhookModel

            return WebhookModel(
                pipeline.url,
                secret=pipeline.secret,
                history=pipeline.history,
                connect_timeout=pipeline.connect_timeout,
                read_timeout=pipeline.read_timeout,
                retries=pipeline.retries,
            )
