"""Every key of the configuration: its default, what it takes, and how it is refused."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import (
    BUILT_IN_PIPELINE,
    Config,
    ConfigError,
    EchoPipeline,
    OpenAIPipeline,
    PythonPipeline,
    WebhookPipeline,
    load,
)

ROOT = Path(__file__).parents[2]
UUID = "00000000-0000-4000-8000-00000000000a"
OTHER_UUID = "00000000-0000-4000-8000-00000000000b"

PIPELINES = {
    "echo": f'uuid = "{UUID}"\nname = "e"\nkind = "echo"\n',
    "openai": f'uuid = "{UUID}"\nname = "o"\nkind = "openai"\nbase_url = "http://h/v1"\nmodel = "m"\n',
    "python": f'uuid = "{UUID}"\nname = "p"\nkind = "python"\nfunction = "m:f"\n',
    "webhook": f'uuid = "{UUID}"\nname = "w"\nkind = "webhook"\nurl = "http://h/"\n',
}
COMMON_KEYS = (
    *("uuid", "name", "kind", "idle_timeout", "total_timeout", "unheard", "unheard_grace", "on_restart"),
)
PIPELINE_KEYS = {
    "echo": (*COMMON_KEYS, "delay"),
    "openai": (
        *COMMON_KEYS,
        *("base_url", "model", "api_key_env", "system_prompt", "history", "vision", "connect_timeout"),
        *("read_timeout", "retries", "include_usage", "parameters"),
    ),
    "python": (*COMMON_KEYS, "function", "path"),
    "webhook": (*COMMON_KEYS, "url", "secret_env", "history", "connect_timeout", "read_timeout", "retries"),
}
SECTION_KEYS = {
    "": ("bind", "data_dir", "log_level", "log_format"),
    "limits": ("message_size", "connections", "mailbox", "mailbox_bytes", "queue", "queue_bytes"),
    "timeouts": ("drain", "send", "ping_interval", "pong", "chunk_interval", "checkpoint"),
    "history": ("messages", "bytes", "conversations", "idle"),
    "storage": ("url", "url_env", "readers"),
    "retention": ("age", "messages", "every"),
    "encryption": ("key_file", "key_store"),
    "cors": ("origins",),
    "tls": ("certfile", "keyfile"),
    "telemetry": ("otlp_endpoint", "otlp_sample"),
}
ADDRESSES = [
    *((section, key) for section, keys in SECTION_KEYS.items() for key in keys),
    *((f"pipelines.{kind}", key) for kind, keys in PIPELINE_KEYS.items() for key in keys),
]

SIZE = "a whole number of bytes from 1024 to 1073741824"
SPAN = "a number of seconds from 0 to 3600, but not 0"
DAY = "a number of seconds from 0 to 86400, but not 0"
TURNS = "a whole number of messages from 0 to 1000"
ORIGIN = "an exact origin: scheme://host or scheme://host:port, without a path"
FILE = "the path of a file that exists"
LISTED = "a list of origins, each scheme://host or scheme://host:port"
VARIABLE = "the name of an environment variable that is set"
WEB = "an http:// or https:// address"
STORE = "sqlite:///path, or postgresql://user:password@host/name, or nothing"
LEVELS = "debug, info, warning or error"
FORMATS = "auto, json or human"
KINDS = "echo, openai, python or webhook"
CANONICAL = "a UUID in lower case with hyphens"
NAME = "a name of 1 to 64 printable characters"

BAD = [
    ("", "bind", '"x"', "host:port"),
    ("", "bind", '"h:65536"', "host:port"),
    ("", "bind", '"h:"', "host:port"),
    ("", "bind", '":80"', "host:port"),
    ("", "bind", '"::1:80"', "host:port"),
    ("", "bind", '"[::x]:80"', "host:port"),
    ("", "bind", '"h:٣"', "host:port"),
    ("", "bind", "8000", "host:port"),
    ("", "data_dir", '""', "a path"),
    ("", "data_dir", "true", "a path"),
    ("", "log_level", '"loud"', LEVELS),
    ("", "log_level", '"INFO"', LEVELS),
    ("", "log_format", '"text"', FORMATS),
    ("", "log_format", "true", FORMATS),
    ("limits", "message_size", '"big"', SIZE),
    ("limits", "message_size", '"8388608"', SIZE),
    ("limits", "message_size", "true", SIZE),
    ("limits", "message_size", "1023", SIZE),
    ("limits", "message_size", "2048.0", SIZE),
    ("limits", "connections", "0", "a whole number of connections from 1 to 1000000"),
    ("limits", "mailbox", "15", "a whole number of messages from 16 to 65536"),
    ("limits", "queue", "-1", "a whole number of messages from 1 to 1024"),
    ("limits", "mailbox_bytes", "0", SIZE),
    ("limits", "queue_bytes", "5", "a whole number of bytes from 1024 to 17179869184"),
    ("timeouts", "chunk_interval", "-0.1", "a number of seconds from 0 to 60"),
    ("timeouts", "drain", "-1", "a number of seconds from 0 to 3600"),
    ("timeouts", "send", "0", SPAN),
    ("timeouts", "ping_interval", "nan", SPAN),
    ("timeouts", "pong", "3600.5", SPAN),
    ("timeouts", "pong", "true", SPAN),
    ("history", "messages", "0", "a whole number of messages from 1 to 100000"),
    ("history", "bytes", "1", SIZE),
    ("history", "conversations", "0", "a whole number of conversations from 1 to 1000000"),
    ("history", "idle", "inf", "a number of seconds from 0 to 3.16224e+07, but not 0"),
    ("timeouts", "checkpoint", "0", "a number of seconds from 0 to 60, but not 0"),
    ("storage", "url", '"sqlite://"', STORE),
    ("storage", "url", '"sqlite:///"', STORE),
    ("storage", "url", '"sqlite:///:memory:"', STORE),
    ("storage", "url", '"triologue.db"', STORE),
    ("storage", "url", '"mysql://h/db"', STORE),
    ("storage", "url", '"postgresql://h"', STORE),
    ("storage", "url", '"postgresql://h:x/db"', STORE),
    ("storage", "url", '"postgresql+asyncpg://h/db"', STORE),
    ("storage", "url", "false", STORE),
    ("storage", "url_env", '"NOT_SET"', VARIABLE),
    ("storage", "readers", "0", "a whole number of readers from 1 to 64"),
    ("retention", "age", "-1", "a number of seconds from 0 to 3.16224e+09"),
    ("retention", "messages", "-1", "a whole number of messages from 0 to 2147483647"),
    ("retention", "every", "0", DAY),
    ("encryption", "key_file", '"/nowhere"', FILE),
    ("encryption", "key_store", '"keys.db"', STORE),
    ("cors", "origins", '"http://a"', LISTED),
    ("tls", "certfile", '"/nowhere.pem"', FILE),
    ("tls", "keyfile", '""', FILE),
    ("telemetry", "otlp_endpoint", '"collector:4318"', f"{WEB}, or nothing"),
    ("telemetry", "otlp_endpoint", "false", f"{WEB}, or nothing"),
    ("telemetry", "otlp_sample", "1.1", "a number from 0 to 1"),
    ("telemetry", "otlp_sample", "-0.1", "a number from 0 to 1"),
    ("telemetry", "otlp_sample", "nan", "a number from 0 to 1"),
    ("telemetry", "otlp_sample", "true", "a number from 0 to 1"),
    ("pipelines.echo", "uuid", '"1"', CANONICAL),
    ("pipelines.echo", "uuid", f'"{UUID.upper()}"', CANONICAL),
    ("pipelines.echo", "name", '" "', NAME),
    ("pipelines.echo", "name", "5", NAME),
    ("pipelines.echo", "kind", '"llm"', KINDS),
    ("pipelines.echo", "kind", "[]", KINDS),
    ("pipelines.echo", "idle_timeout", "0", DAY),
    ("pipelines.echo", "total_timeout", "1979-05-27", DAY),
    ("pipelines.echo", "unheard", '"stops"', "continue or stop"),
    ("pipelines.echo", "unheard_grace", "-1", "a number of seconds from 0 to 86400"),
    ("pipelines.echo", "on_restart", "true", "interrupt or resume"),
    ("pipelines.echo", "delay", "-0.1", "a number of seconds from 0 to 3600"),
    ("pipelines.openai", "base_url", '"ftp://h"', WEB),
    ("pipelines.openai", "base_url", '"http://h:x/"', WEB),
    ("pipelines.openai", "base_url", '"https:///v1"', WEB),
    ("pipelines.openai", "model", '""', "text that is not empty"),
    ("pipelines.openai", "api_key_env", '"NOT_SET"', VARIABLE),
    ("pipelines.openai", "system_prompt", "false", "text"),
    ("pipelines.openai", "history", "-1", TURNS),
    ("pipelines.openai", "vision", '"yes"', "true or false"),
    ("pipelines.openai", "vision", "1", "true or false"),
    ("pipelines.openai", "connect_timeout", "0", SPAN),
    ("pipelines.openai", "read_timeout", '"5"', SPAN),
    ("pipelines.openai", "retries", "11", "a whole number from 0 to 10"),
    ("pipelines.openai", "include_usage", "0", "true or false"),
    ("pipelines.openai", "parameters", "[]", "a table"),
    ("pipelines.python", "function", '"m"', "module:function"),
    ("pipelines.python", "function", '"m:f-g"', "module:function"),
    ("pipelines.python", "path", '"/nowhere"', "the path of a folder that exists"),
    ("pipelines.webhook", "url", '"h"', WEB),
    ("pipelines.webhook", "secret_env", '"NOT_SET"', VARIABLE),
    ("pipelines.webhook", "history", "1001", TURNS),
    ("pipelines.webhook", "connect_timeout", "-1", SPAN),
    ("pipelines.webhook", "read_timeout", "{}", SPAN),
    ("pipelines.webhook", "retries", "2.0", "a whole number from 0 to 10"),
]


def written(section: str, key: str, value: str) -> tuple[str, str]:
    """A document that gives *key* this *value*, and the key's full name."""
    if section.startswith("pipelines."):
        kept = re.sub(rf"(?m)^{key} = .*\n", "", PIPELINES[section.removeprefix("pipelines.")])
        return f"[[pipelines]]\n{kept}{key} = {value}\n", f"pipelines[0].{key}"
    return (f"[{section}]\n{key} = {value}\n", f"{section}.{key}") if section else (f"{key} = {value}\n", key)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "t.toml"


def refusal(toml: Path, document: str, environ: dict[str, str] | None = None) -> str:
    toml.write_text(document, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(toml, environ or {})
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).removeprefix(f"{toml}: ")


@pytest.mark.parametrize(("section", "key", "value", "expected"), BAD)
def test_a_bad_value_is_told_in_one_line(
    toml: Path, section: str, key: str, value: str, expected: str
) -> None:
    """The operator needs the key, what stands there, and what should, and nothing else."""
    document, name = written(section, key, value)

    assert refusal(toml, document) == f"{name} = {value}: expected {expected}"


def test_every_key_has_a_bad_value_above() -> None:
    """A key added later must not go untried."""
    assert {(section, key) for section, key, _, _ in BAD} >= {
        (section, key)
        for section, key in ADDRESSES
        if not (section.startswith("pipelines.") and section != "pipelines.echo" and key in COMMON_KEYS)
    }


def test_the_keys_tried_are_all_there_are() -> None:
    """The lists of this file are kept by hand; the classes are the truth."""
    sections = {field.name for field in attrs.fields(Config)}
    assert sections - {"pipelines"} == {*SECTION_KEYS[""], *(name for name in SECTION_KEYS if name)}
    for kind in (EchoPipeline, OpenAIPipeline, PythonPipeline, WebhookPipeline):
        names = {field.name for field in attrs.fields(kind)} - {"api_key", "secret"}
        assert names | {"kind"} == set(PIPELINE_KEYS[kind.kind])
    for section, keys in SECTION_KEYS.items():
        if section:
            assert {field.name for field in attrs.fields(type(getattr(Config(), section)))} == set(keys)


def test_an_empty_file_gives_the_defaults_and_the_built_in_echo(toml: Path) -> None:
    """The server runs unconfigured."""
    toml.write_text("")

    config = load(toml, {})

    assert config == Config()
    assert (config.bind, config.data_dir, config.log_level) == ("127.0.0.1:8000", Path("data"), "info")
    assert config.pipelines == (BUILT_IN_PIPELINE,)
    assert (config.limits.message_size, config.limits.mailbox, config.limits.queue) == (8_388_608, 256, 16)


def test_the_example_names_every_key_and_loads() -> None:
    """It is the reference that people copy from; as it stands it changes nothing."""
    example = (ROOT / "triologue.example.toml").read_text()

    assert load(ROOT / "triologue.example.toml", {}) == Config()
    for _, key in ADDRESSES:
        assert re.search(rf"(?m)^#?{key} = ", example), key


def test_the_example_loads_with_everything_uncommented(tmp_path: Path) -> None:
    """What is commented out is meant to be used, so it must be right as well."""
    example = re.sub(r"(?m)^#(?=\[\[|[a-z_]+ = )", "", (ROOT / "triologue.example.toml").read_text()).replace(
        "/etc/triologue", str(tmp_path)
    )
    (tmp_path / "fullchain.pem").touch()
    (tmp_path / "privkey.pem").touch()
    (tmp_path / "keys").touch()
    (tmp_path / "t.toml").write_text(example)

    config = load(
        tmp_path / "t.toml",
        {"OPENAI_API_KEY": "k", "HOOK_SECRET": "s", "TRIOLOGUE_STORAGE_URL": "sqlite:////chat.db"},
    )

    assert [pipeline.kind for pipeline in config.pipelines] == ["echo", "openai", "python", "webhook"]
    examples = ("tls", "storage", "encryption", "pipelines")
    assert attrs.evolve(config, **{name: getattr(Config(), name) for name in examples}) == Config()
    for table in tomllib.loads(example)["pipelines"]:
        missing = {*PIPELINE_KEYS[table["kind"]]} - table.keys()
        assert missing <= {*COMMON_KEYS}  # written once, for all kinds


@pytest.mark.parametrize(
    ("bind", "host", "port"),
    [
        ("[::1]:0", "::1", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("my-host.example:80", "my-host.example", 80),
    ],
)
def test_bind_gives_host_and_port(toml: Path, bind: str, host: str, port: int) -> None:
    """Whoever opens the socket needs them apart."""
    toml.write_text(f'bind = "{bind}"')

    config = load(toml, {})

    assert (config.bind, config.host, config.port) == (bind, host, port)


def test_a_whole_number_serves_as_seconds(toml: Path) -> None:
    """`send = 3` is what people write, and it loses nothing."""
    toml.write_text("[timeouts]\nsend = 3\ndrain = 0")

    timeouts = load(toml, {}).timeouts

    assert (timeouts.send, timeouts.drain) == (3.0, 0.0)
    assert isinstance(timeouts.send, float)


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("HTTPS://Chat.Example:443", "https://chat.example"),
        ("http://a:80", "http://a"),
        ("http://a:8080", "http://a:8080"),
        ("https://a:80", "https://a:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[::1]", "http://[::1]"),
        ("moz-extension://c0ffee", "moz-extension://c0ffee"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(toml: Path, origin: str, normal: str) -> None:
    """They are compared byte for byte."""
    toml.write_text(f'[cors]\norigins = ["{origin}"]')

    assert load(toml, {}).cors.origins == (normal,)


@pytest.mark.parametrize(
    "origin", ["*", "http://a/", "http://a/b", "http://*.a", "a", "http://", "http://a:", "null"]
)
def test_an_inexact_origin_is_refused(toml: Path, origin: str) -> None:
    """A wildcard or a path would never match, or match too much."""
    document = f'[cors]\norigins = ["http://b", "{origin}"]'

    assert refusal(toml, document) == f'cors.origins[1] = "{origin}": expected {ORIGIN}'


@pytest.mark.parametrize(("given_", "lacking"), [("certfile", "keyfile"), ("keyfile", "certfile")])
def test_half_of_tls_is_refused(toml: Path, given_: str, lacking: str) -> None:
    """Serving plain HTTP in its place would be a nasty surprise."""
    said = refusal(toml, f'[tls]\n{given_} = "{toml}"')

    assert said == f'tls.{given_} = "{toml}": expected tls.{lacking} beside it'


def test_a_key_store_without_master_keys_is_refused(toml: Path) -> None:
    """Whoever names one believes that it is used: that what people say is sealed."""
    said = refusal(toml, '[encryption]\nkey_store = "sqlite:///keys.db"')

    assert said == 'encryption.key_store = "sqlite:///keys.db": expected encryption.key_file beside it'


@pytest.mark.parametrize(
    ("folder", "spelled"), [("/d/e", "/d/e"), ("/what? 100%", "/what%3F%20100%25"), ("d", "d")]
)
def test_what_is_stored_lies_in_the_data_directory(toml: Path, folder: str, spelled: str) -> None:
    """One folder to look after, unless somebody wants it otherwise; its name may hold what URLs use."""
    toml.write_text(f'data_dir = "{folder}"')

    config = load(toml, {})

    assert config.storage_url == f"sqlite:///{spelled}/triologue.db"
    assert config.key_store_url == f"sqlite:///{spelled}/keys.db"
    assert config.mark == Path(folder) / "mark"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///chat.db",
        "sqlite:////var/lib/chat.db",
        "postgresql://u:p%40ss@h:5432/db",
        "postgresql+psycopg://[::1]/db?sslmode=require",
        "postgresql:///db?host=/run/postgresql",
    ],
)
def test_a_store_s_address_is_taken_as_it_is(toml: Path, url: str) -> None:
    """It is SQLAlchemy's to read, options included."""
    toml.write_text(f'[storage]\nurl = "{url}"')

    assert load(toml, {}).storage_url == url


@pytest.mark.parametrize("key", ["uuid", "name"])
def test_no_two_pipelines_share(toml: Path, key: str) -> None:
    """Clients and people tell pipelines apart by these."""
    first, second = PIPELINES["echo"], PIPELINES["python"]
    value = UUID if key == "uuid" else "e"
    if key == "name":
        second = second.replace(UUID, OTHER_UUID).replace('"p"', '"e"')

    said = refusal(toml, f"[[pipelines]]\n{first}[[pipelines]]\n{second}")

    assert said == f'pipelines[1].{key} = "{value}": expected a {key} that no other pipeline has'


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [("echo", "uuid", CANONICAL), ("echo", "kind", KINDS), ("openai", "model", "text that is not empty")],
)
def test_a_missing_key_is_named(toml: Path, kind: str, key: str, expected: str) -> None:
    """There is no value to point at, so the key has to do."""
    document = re.sub(rf"(?m)^{key} = .*\n", "", PIPELINES[kind])

    said = refusal(toml, f"[[pipelines]]\n{document}")

    assert said == f"pipelines[0].{key} is missing: expected {expected}"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("bnid = 1", "bnid: unknown key, did you mean bind?"),
        ("message_size = 2048", "message_size: unknown key, did you mean limits.message_size?"),
        ("[limit]\nqueue = 1", "limit: unknown key, did you mean limits?"),
        ("[limits]\nmailbx = 20", "limits.mailbx: unknown key, did you mean mailbox?"),
        ("zzz = 1", "zzz: unknown key"),
        ('"a\\nb" = 1', '"a\\nb": unknown key'),
        ("limits = 5", "limits = 5: expected a table"),
        ("pipelines = 5", "pipelines = 5: expected [[pipelines]] tables"),
        ("pipelines = [5]", "pipelines[0] = 5: expected a table"),
        (f"[[pipelines]]\n{PIPELINES['echo']}api_key = 1", "pipelines[0].api_key: unknown key"),
        (
            f"[[pipelines]]\n{PIPELINES['openai']}api_key = 's'",
            "pipelines[0].api_key: unknown key, did you mean api_key_env?",
        ),
    ],
)
def test_what_does_not_belong_is_named(toml: Path, document: str, said: str) -> None:
    """A misspelt key that is silently ignored is a setting that silently isn't made."""
    assert refusal(toml, document) == said


@pytest.mark.parametrize(
    ("value", "place"),
    [("{stop = 1979-05-27}", ".stop"), ("{a = [1, nan]}", ".a[1]"), ("{a = {b = inf}}", ".a.b")],
)
def test_parameters_hold_only_what_json_can_carry(toml: Path, value: str, place: str) -> None:
    """They go into a JSON request; found out there, every reply would fail."""
    document, name = written("pipelines.openai", "parameters", value)

    assert refusal(toml, document).startswith(f"{name}{place} = ")


def test_the_first_fault_in_the_file_is_told(toml: Path) -> None:
    """People read from top to bottom, whatever order our classes have."""
    lines = ["[timeouts]\nsend = 0\n", "[limits]\nqueue = 0\nmailbx = 1\n", "[[pipelines]]\nname = 1\n"]

    told = [refusal(toml, "".join(lines[start:])) for start in range(len(lines))]

    assert [line.split(" ")[0] for line in told] == ["timeouts.send", "limits.queue", "pipelines[0].kind"]


def test_secrets_come_from_the_environment_and_stay_out_of_repr(toml: Path) -> None:
    """A configuration is logged at the start, and shown in tracebacks."""
    toml.write_text(
        f"[[pipelines]]\n{PIPELINES['openai']}api_key_env = 'A_KEY'\n"
        f"[[pipelines]]\n{PIPELINES['webhook'].replace(UUID, OTHER_UUID)}secret_env = 'A_SECRET'\n"
    )

    config = load(toml, {"A_KEY": "hush-1", "A_SECRET": "hush-2"})

    openai, webhook = config.pipelines
    assert isinstance(openai, OpenAIPipeline)
    assert isinstance(webhook, WebhookPipeline)
    assert (openai.api_key, webhook.secret) == ("hush-1", "hush-2")
    assert "hush" not in repr(config)


def test_a_password_in_an_address_is_used_and_never_printed(toml: Path) -> None:
    """Some gateways want it there."""
    url = "https://me:hush@h/v1?key=hush"
    toml.write_text(written("pipelines.openai", "base_url", f'"{url}"')[0])

    (pipeline,) = load(toml, {}).pipelines

    assert isinstance(pipeline, OpenAIPipeline)
    assert pipeline.base_url == url
    assert "hush" not in repr(pipeline)


def test_every_secret_is_known_as_one(toml: Path) -> None:
    """Whoever writes logs has to know what must not be in them, wherever it comes from."""
    openai = PIPELINES["openai"].replace("http://h/v1", "https://me:hush%2D1@h/v1?key=hush-2&v=")
    webhook = PIPELINES["webhook"].replace(UUID, OTHER_UUID).replace("http://h/", "http://hush-3@h/")
    toml.write_text(
        f"[[pipelines]]\n{openai}api_key_env = 'A_KEY'\n"
        f"[[pipelines]]\n{webhook}secret_env = 'A_SECRET'\n"
        "[telemetry]\notlp_endpoint = 'http://me:hush-6@h'\n"
        f"[encryption]\nkey_file = '{toml}'\n"
        "key_store = 'postgresql://me@h/db?sslmode=require&sslpassword=hush%2D7'\n"
        "[storage]\nurl_env = 'A_URL'\n"
    )

    config = load(toml, {"A_KEY": "hush-4", "A_SECRET": "hush-5", "A_URL": "postgresql://me:hush%2D8@h/db"})

    assert {f"hush-{number}" for number in range(1, 9)} <= set(config.secrets)
    assert "" not in config.secrets
    assert Config().secrets == ()
    assert "hush" not in repr(config)


def test_a_database_s_user_and_options_are_no_secrets(toml: Path) -> None:
    """They are words like "triologue" and "require": blotted out, the log would have holes in every line."""
    toml.write_text("[storage]\nurl = 'postgresql://triologue@h/chat?sslmode=require'\n")

    assert load(toml, {}).secrets == ()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("telemetry", "otlp_endpoint", '"ftp://me:hush@h/"'),
        ("storage", "url", '"postgres://me:hush@h/db"'),
        ("storage", "url", '"postgresql://me:hush@h:x/db"'),
        ("storage", "url", '"postgresql://h/?password=hush"'),
        ("storage", "url_env", '"postgresql://me:hush@h/db"'),
        ("encryption", "key_store", '"mysql://me:hush@h/db"'),
        ("encryption", "key_store", '"postgresql://me:hush@h/db"'),
        ("pipelines.openai", "base_url", '"ftp://me:hush@h/"'),
        ("pipelines.openai", "base_url", '"me:hush@h"'),
        ("pipelines.openai", "base_url", '"ftp://h/?key=hush"'),
        ("pipelines.openai", "base_url", '["http://me:hush@h"]'),
        ("pipelines.openai", "base_url", '{a = "hush"}'),
        ("pipelines.openai", "api_key_env", '"sk-hush"'),
        ("pipelines.openai", "api_key_env", '"sk_hush"'),
        ("pipelines.openai", "api_key_env", '["sk-hush"]'),
        ("pipelines.openai", "api_key", '"hush"'),
        ("pipelines.webhook", "url", '"ws://me:hush@h/"'),
        ("pipelines.webhook", "secret_env", '"hush"'),
        ("cors", "origins", '["http://me:hush@h"]'),
    ],
)
def test_an_error_tells_no_secret(toml: Path, section: str, key: str, value: str) -> None:
    """Errors end up in logs; and people do paste the key where its variable's name belongs."""
    assert "hush" not in refusal(toml, written(section, key, value)[0])


def toml_text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(toml_text, value))}]"
        case dict():
            return (
                "{"
                + ", ".join(f"{toml_text(key)} = {toml_text(inner)}" for key, inner in value.items())
                + "}"
            )
    raise TypeError(type(value))


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(0, 100_000),
    st.integers(10**100, 10**101),
    st.floats(),
    texts,
    st.sampled_from(["h:80", "http://h", "debug", "a:b", "A", UUID, "/", "echo", "openai", "\x85\u2028"]),
    st.datetimes(),
    st.dates(),
    st.times(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(address=st.sampled_from(ADDRESSES), value=values)
def test_any_value_loads_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, address: tuple[str, str], value: Any
) -> None:
    """Whatever somebody writes, no traceback."""
    toml = tmp_path_factory.getbasetemp() / "any.toml"
    document, name = written(*address, toml_text(value))
    toml.write_text(document, "utf-8", newline="")
    try:
        load(toml, {"A": "set"})
    except ConfigError as error:
        (line,) = str(error).splitlines()
        assert line.startswith(f"{toml}: ")
        assert name in line or "pipelines[0]" in line
        assert line.isprintable()


@settings(deadline=None)
@given(key=texts, section=st.sampled_from(["", "limits", "pipelines.echo"]))
def test_any_unknown_key_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, section: str
) -> None:
    """TOML lets a key be any text, line ends and escape codes too."""
    toml = tmp_path_factory.getbasetemp() / "any.toml"
    head = f"[[pipelines]]\n{PIPELINES['echo']}" if section.startswith("pipelines") else f"[{section}]\n"
    toml.write_text(f"{head if section else ''}{toml_text('x' + key)} = 1\n", "utf-8", newline="")

    with pytest.raises(ConfigError) as caught:
        load(toml, {})

    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
