"""Puts the server together: the only file that names every concrete class.

Rooms get plain arguments, never the whole configuration.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import trio
from attrs import frozen

from actors import ActorSystem, Supervisor, Watchdog
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
from server.conversation import Allowance, Directory
from server.drain import Drainer
from server.listener import ListenerLimits
from server.messages import AwaitPipelines, PipelineInfo
from server.pipeline import EchoModel, Model, Pipelines, PipelineSpec
from server.protocol import OriginPolicy
from server.registry import Registry, Table
from server.rest import Services, create_app
from server.web import page

PATIENCE = 10.0

Now = Callable[[], datetime]
NewId = Callable[[], str]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


@frozen
class World:
    """What the server takes from outside, so that a simulation can bring its own."""

    now: Now = _now
    new_id: NewId = _new_id


@frozen
class Doors:
    """What the outside world talks to: ASGI applications for WebSockets and for HTTP."""

    websocket: Callable[..., Awaitable[None]]
    http: Callable[..., Awaitable[None]]


@frozen
class Life:
    """What happens around the actors: `opened` when they run; `ended` returns when they must go.

    `system` is the one they live in, `watchdog` that of its loop: for those who look inside.
    """

    system: ActorSystem
    watchdog: Watchdog | None
    draining: trio.Event
    on_drain: Callable[[], None]
    drained: Callable[[], None]
    opened: Callable[[Doors], Awaitable[None]]
    ended: Callable[[], Awaitable[None]]


class Root(Supervisor):
    """The root supervisor: starts every actor, and ends when the server does."""

    def __init__(
        self, config: Config, specs: list[PipelineSpec], life: Life, world: World | None = None
    ) -> None:
        self._config = config
        self._specs = specs
        self._life = life
        self._world = world or World()

    async def started(self) -> None:
        await self._life.opened(await self._start())
        self.start_task(self._end, name="life")

    async def _end(self) -> None:
        await self._life.ended()
        self.stop("server ends")

    async def _start(self) -> Doors:
        config, now, new_id = self._config, self._world.now, self._world.new_id
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
                registry=registry,
                pipelines=found,
                limit=history.conversations,
                idle=history.idle,
                queue=config.limits.queue,
                questions=Allowance(config.limits.queue_bytes),
                history=Limits(messages=history.messages, size=history.bytes),
                now=now,
                new_epoch=lambda: new_id()[:8],
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
            ),
            name="connections",
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
                    watchdog=self._life.watchdog,
                )
            ),
        )


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
