"""The configuration as the program sees it: frozen, checked, complete.

A field with a rule beside its type is a key of the file; one without is worked out by the loader.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from attrs import field, frozen

from .addresses import HostPort, HttpUrl, Origins, StoreUrl, split_host_port
from .rules import (
    CanonicalUuid,
    ExistingFile,
    Flag,
    Folder,
    Function,
    JsonTable,
    Name,
    OneOf,
    Seconds,
    Share,
    Text,
    Variable,
    Whole,
)
from .showing import address, credentials, passwords

_DAY = 86_400.0
_YEAR = 366 * _DAY


@frozen(kw_only=True)
class Limits:
    """What one peer, and all of them together, may take."""

    message_size: Annotated[int, Whole(1024, 2**30, "bytes")] = 8_388_608
    connections: Annotated[int, Whole(1, 1_000_000, "connections")] = 10_000
    mailbox: Annotated[int, Whole(16, 65_536, "messages")] = 256
    mailbox_bytes: Annotated[int, Whole(1024, 2**30, "bytes")] = 16_777_216
    queue: Annotated[int, Whole(1, 1024, "messages")] = 16
    queue_bytes: Annotated[int, Whole(1024, 2**34, "bytes")] = 67_108_864


@frozen(kw_only=True)
class Timeouts:
    """How long is waited for somebody else, in seconds."""

    drain: Annotated[float, Seconds(3600, zero=True)] = 5.0
    send: Annotated[float, Seconds(3600)] = 10.0
    ping_interval: Annotated[float, Seconds(3600)] = 20.0
    pong: Annotated[float, Seconds(3600)] = 20.0
    chunk_interval: Annotated[float, Seconds(60, zero=True)] = 0.02
    checkpoint: Annotated[float, Seconds(60)] = 1.0


@frozen(kw_only=True)
class History:
    """What is kept in memory: `messages` and `bytes` of text a conversation, let go after `idle` seconds."""

    messages: Annotated[int, Whole(1, 100_000, "messages")] = 100
    bytes: Annotated[int, Whole(1024, 2**30, "bytes")] = 262_144
    conversations: Annotated[int, Whole(1, 1_000_000, "conversations")] = 1000
    idle: Annotated[float, Seconds(_YEAR)] = 300.0


@frozen(kw_only=True)
class Storage:
    """Where conversations are kept, "": in the data directory. With `url_env`, `url` is what that holds."""

    url: Annotated[str, StoreUrl()] = field(default="", repr=address)
    url_env: Annotated[str | None, Variable()] = None
    readers: Annotated[int, Whole(1, 64, "readers")] = 4


@frozen(kw_only=True)
class Retention:
    """What is forgotten: older than `age` seconds, beyond `messages` a conversation. 0 forgets nothing."""

    age: Annotated[float, Seconds(100 * _YEAR, zero=True)] = 0.0
    messages: Annotated[int, Whole(0, 2**31 - 1, "messages")] = 0
    every: Annotated[float, Seconds(_DAY)] = 3600.0


@frozen(kw_only=True)
class Encryption:
    """The master keys, without which nothing is sealed, and where what they wrap is kept."""

    key_file: Annotated[Path | None, ExistingFile()] = None
    key_store: Annotated[str, StoreUrl()] = field(default="", repr=address)


@frozen(kw_only=True)
class Cors:
    """Which foreign pages may talk to this server, as their browsers name them."""

    origins: Annotated[tuple[str, ...], Origins()] = ()


@frozen(kw_only=True)
class Tls:
    """Certificate chain and private key, in PEM: both, or none for plain HTTP."""

    certfile: Annotated[Path | None, ExistingFile()] = None
    keyfile: Annotated[Path | None, ExistingFile()] = None


@frozen(kw_only=True)
class Telemetry:
    """Where spans are sent, as OTLP over HTTP (to "": nowhere), and those of which part of the chains."""

    otlp_endpoint: Annotated[str, HttpUrl(empty=True)] = field(default="", repr=address)
    otlp_sample: Annotated[float, Share()] = 1.0


@frozen(kw_only=True)
class Pipeline:
    """What each has.

    A reply silent for `idle_timeout`, or longer than `total_timeout`, is given up. When nobody listens to it
    for `unheard_grace` seconds it goes on or is stopped; one cut off by the end of the server is left so, or
    resumed by the next.
    """

    kind: ClassVar[str]

    uuid: Annotated[str, CanonicalUuid()]
    name: Annotated[str, Name()]
    idle_timeout: Annotated[float, Seconds(_DAY)] = 60.0
    total_timeout: Annotated[float, Seconds(_DAY)] = 600.0
    unheard: Annotated[Literal["continue", "stop"], OneOf(("continue", "stop"))] = "continue"
    unheard_grace: Annotated[float, Seconds(_DAY, zero=True)] = 0.0
    on_restart: Annotated[Literal["interrupt", "resume"], OneOf(("interrupt", "resume"))] = "interrupt"


@frozen(kw_only=True)
class EchoPipeline(Pipeline):
    """Says back what it hears, word by word with `delay` seconds between."""

    kind: ClassVar[str] = "echo"

    delay: Annotated[float, Seconds(3600, zero=True)] = 0.0


@frozen(kw_only=True)
class OpenAIPipeline(Pipeline):
    """A model behind an OpenAI-compatible API; `parameters` go into each request as they are."""

    kind: ClassVar[str] = "openai"

    base_url: Annotated[str, HttpUrl()] = field(repr=address)
    model: Annotated[str, Text()]
    api_key_env: Annotated[str | None, Variable()] = None
    api_key: str | None = field(default=None, repr=False)
    system_prompt: Annotated[str | None, Text(empty=True)] = None
    history: Annotated[int, Whole(0, 1000, "messages")] = 20
    vision: Annotated[bool, Flag()] = False
    connect_timeout: Annotated[float, Seconds(3600)] = 10.0
    read_timeout: Annotated[float, Seconds(3600)] = 60.0
    retries: Annotated[int, Whole(0, 10)] = 2
    include_usage: Annotated[bool, Flag()] = False
    # May hold what only the upstream should see.
    parameters: Annotated[Mapping[str, Any], JsonTable()] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class PythonPipeline(Pipeline):
    """An async function in Python; `path` is a folder to look for its module in."""

    kind: ClassVar[str] = "python"

    function: Annotated[str, Function()]
    path: Annotated[Path | None, Folder(exists=True)] = None


@frozen(kw_only=True)
class WebhookPipeline(Pipeline):
    """Somebody's HTTP endpoint; `secret` is sent as `Authorization: Bearer`."""

    kind: ClassVar[str] = "webhook"

    url: Annotated[str, HttpUrl()] = field(repr=address)
    secret_env: Annotated[str | None, Variable()] = None
    secret: str | None = field(default=None, repr=False)
    history: Annotated[int, Whole(0, 1000, "messages")] = 20
    connect_timeout: Annotated[float, Seconds(3600)] = 10.0
    read_timeout: Annotated[float, Seconds(3600)] = 60.0
    retries: Annotated[int, Whole(0, 10)] = 2


AnyPipeline = EchoPipeline | OpenAIPipeline | PythonPipeline | WebhookPipeline

KINDS: Mapping[str, type[AnyPipeline]] = {
    kind.kind: kind for kind in (EchoPipeline, OpenAIPipeline, PythonPipeline, WebhookPipeline)
}

# What a server without any configuration answers with, and what `triologue chat` asks for.
BUILT_IN_PIPELINE = EchoPipeline(uuid="00000000-0000-4000-8000-000000000001", name="echo", delay=0.05)


@frozen(kw_only=True)
class Config:
    """Everything an operator can decide."""

    bind: Annotated[str, HostPort()] = "127.0.0.1:8000"
    data_dir: Annotated[Path, Folder()] = Path("data")
    log_level: Annotated[str, OneOf(("debug", "info", "warning", "error"))] = "info"
    log_format: Annotated[str, OneOf(("auto", "json", "human"))] = "auto"
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    history: History = History()
    storage: Storage = Storage()
    retention: Retention = Retention()
    encryption: Encryption = Encryption()
    cors: Cors = Cors()
    tls: Tls = Tls()
    telemetry: Telemetry = Telemetry()
    pipelines: tuple[AnyPipeline, ...] = (BUILT_IN_PIPELINE,)

    @property
    def host(self) -> str:
        """The host of `bind`, a v6 address without its brackets."""
        return split_host_port(self.bind)[0]

    @property
    def port(self) -> int:
        """The port of `bind`; 0 lets the system choose one."""
        return split_host_port(self.bind)[1]

    @property
    def storage_url(self) -> str:
        """Where conversations are kept; it may hold a password."""
        return self.storage.url or _sqlite(self.data_dir / "triologue.db")

    @property
    def key_store_url(self) -> str:
        """Where wrapped data keys are kept, apart from what they seal; it may hold a password."""
        return self.encryption.key_store or _sqlite(self.data_dir / "keys.db")

    @property
    def mark(self) -> Path:
        """The file that knows how far the store's history went."""
        return self.data_dir / "mark"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key, secret and password in it, for whoever must not let them out."""
        found = list(credentials(self.telemetry.otlp_endpoint))
        found += [*passwords(self.storage.url), *passwords(self.encryption.key_store)]
        for pipeline in self.pipelines:
            match pipeline:
                case OpenAIPipeline():
                    found += [pipeline.api_key or "", *credentials(pipeline.base_url)]
                case WebhookPipeline():
                    found += [pipeline.secret or "", *credentials(pipeline.url)]
        return tuple(dict.fromkeys(secret for secret in found if secret))


def _sqlite(path: Path) -> str:
    """The URL of a file, whose name may hold what means something in URLs."""
    return f"sqlite:///{quote(str(path))}"
