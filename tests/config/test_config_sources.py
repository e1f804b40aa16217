"""Where the configuration comes from, and which source wins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import Config, ConfigError, load

OPENAI = """
[[pipelines]]
uuid = "00000000-0000-4000-8000-00000000000a"
name = "o"
kind = "openai"
base_url = "http://h/v1"
model = "m"
"""


def refusal(path: Path | None, environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_file_is_fine(here: Path) -> None:
    """The first start needs nothing."""
    assert load(environ={}) == Config()


def test_the_file_in_the_working_directory_is_found(here: Path) -> None:
    """And named in errors as it is found."""
    Path("triologue.toml").write_text('log_level = "debug"')
    assert load(environ={}).log_level == "debug"

    Path("triologue.toml").write_text('[limits]\nmessage_size = "big"')
    assert refusal(None, {}) == (
        'triologue.toml: limits.message_size = "big": '
        "expected a whole number of bytes from 1024 to 1073741824"
    )


def test_a_named_file_replaces_the_one_in_the_working_directory(here: Path) -> None:
    """Argument before variable before working directory; files are never mixed."""
    for name, level in (
        ("triologue.toml", "debug"),
        ("variable.toml", "warning"),
        ("argument.toml", "error"),
    ):
        Path(name).write_text(f'log_level = "{level}"')

    assert load(environ={"TRIOLOGUE_CONFIG": "variable.toml"}).log_level == "warning"
    assert load(Path("argument.toml"), {"TRIOLOGUE_CONFIG": "variable.toml"}).log_level == "error"


def test_a_named_file_must_exist(here: Path) -> None:
    """Defaults in place of what somebody asked for would be a trap."""
    assert refusal(Path("x.toml"), {}) == "x.toml: expected a file that exists"
    assert (
        refusal(None, {"TRIOLOGUE_CONFIG": "x"})
        == 'TRIOLOGUE_CONFIG = "x": expected the path of a file that exists'
    )


def test_a_folder_is_no_file(here: Path) -> None:
    """A container's mount of a missing file makes a folder."""
    Path("triologue.toml").mkdir()

    assert refusal(None, {}) == "triologue.toml: can't be read: Is a directory"


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (b"a = 1\nb = \n", 2),
        (b"a = 1\na = 2\n", 2),
        (b"\n\n[x", 3),
        (b"a = 1\nb = '\xff'\n", 2),
        (b'a = """\n', 1),
    ],
)
def test_bad_toml_is_told_with_its_line(here: Path, document: bytes, line: int) -> None:
    """So that an editor can go there."""
    Path("t.toml").write_bytes(document)

    assert refusal(Path("t.toml"), {}).startswith(f"t.toml: line {line}: ")


@pytest.mark.parametrize("document", ["a = " + "1" * 5000, "a = " + "[" * 100_000])
def test_what_python_itself_refuses_is_told_in_one_line(here: Path, document: str) -> None:
    """tomllib lets these out as they come."""
    Path("t.toml").write_text(document)

    assert refusal(Path("t.toml"), {}).startswith("t.toml: ")


def test_a_huge_hexadecimal_number_is_shown_short(here: Path) -> None:
    """Python reads it, and then refuses to write it in decimal."""
    Path("t.toml").write_text("[limits]\nqueue = 0x" + "f" * 5000)

    assert len(refusal(Path("t.toml"), {})) < 200


def test_variables_win_over_the_file(here: Path) -> None:
    """A deployment changes one setting without a file of its own."""
    Path("triologue.toml").write_text('bind = "a:1"\n[limits]\nqueue = 5\nmailbox = 99\n')

    config = load(
        environ={
            "TRIOLOGUE_BIND": "b:2",
            "TRIOLOGUE_DATA_DIR": "/d",
            "TRIOLOGUE_LIMITS__QUEUE": "6",
            "TRIOLOGUE_TIMEOUTS__DRAIN": "0",
            "TRIOLOGUE_TIMEOUTS__SEND": "1.5",
            "TRIOLOGUE_CORS__ORIGINS": "https://A:443, http://b:81",
            "TRIOLOGUE_LOG_FORMAT": "json",
            "TRIOLOGUE_TELEMETRY__OTLP_ENDPOINT": "",
            "TRIOLOGUE_TELEMETRY__OTLP_SAMPLE": "0.25",
            "UNRELATED": "x",
        }
    )

    assert (config.bind, config.data_dir) == ("b:2", Path("/d"))
    assert (config.limits.queue, config.limits.mailbox) == (6, 99)
    assert (config.timeouts.drain, config.timeouts.send) == (0.0, 1.5)
    assert config.cors.origins == ("https://a", "http://b:81")
    assert config.log_format == "json"
    assert (config.telemetry.otlp_endpoint, config.telemetry.otlp_sample) == ("", 0.25)


def test_an_empty_list_of_origins_clears_the_file_s(here: Path) -> None:
    """There must be a way to say none."""
    Path("triologue.toml").write_text('[cors]\norigins = ["http://a"]')

    assert load(environ={"TRIOLOGUE_CORS__ORIGINS": ""}).cors.origins == ()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BIND", "x", "host:port"),
        ("BIND", "", "host:port"),
        ("DATA_DIR", "", "a path"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("LIMITS__MESSAGE_SIZE", "8MB", "a whole number of bytes from 1024 to 1073741824"),
        ("LIMITS__MESSAGE_SIZE", "2048.0", "a whole number of bytes from 1024 to 1073741824"),
        ("LIMITS__QUEUE", "0", "a whole number of messages from 1 to 1024"),
        ("TIMEOUTS__SEND", "nan", "a number of seconds from 0 to 3600, but not 0"),
        ("LOG_FORMAT", "text", "auto, json or human"),
        ("TELEMETRY__OTLP_SAMPLE", "1e0", "a number from 0 to 1"),
        ("TLS__KEYFILE", "/nowhere", "the path of a file that exists"),
        ("CORS__ORIGINS", "*", "an exact origin: scheme://host or scheme://host:port, without a path"),
    ],
)
def test_a_bad_variable_is_told_in_one_line(here: Path, name: str, value: str, expected: str) -> None:
    """Named as the operator wrote it, not as the file would."""
    assert refusal(None, {f"TRIOLOGUE_{name}": value}) == f'TRIOLOGUE_{name} = "{value}": expected {expected}'


def test_an_unknown_variable_is_told_with_what_was_meant(here: Path) -> None:
    """A misspelt variable would be silently ignored; its value may be a secret, so it is not told."""
    assert refusal(None, {"TRIOLOGUE_BNID": "hush"}) == (
        "TRIOLOGUE_BNID: unknown variable, did you mean TRIOLOGUE_BIND?"
    )
    assert refusal(None, {"TRIOLOGUE_LIMITS_QUEUE": "1"}).endswith("did you mean TRIOLOGUE_LIMITS__QUEUE?")
    assert refusal(None, {"TRIOLOGUE_PIPELINES": "x"}).startswith("TRIOLOGUE_PIPELINES: unknown variable")


def test_a_variable_that_a_pipeline_takes_its_key_from_is_known(here: Path) -> None:
    """Operators like to put our name before all of theirs."""
    Path("triologue.toml").write_text(f'{OPENAI}api_key_env = "TRIOLOGUE_KEY"')

    config = load(environ={"TRIOLOGUE_KEY": "k"})

    assert getattr(config.pipelines[0], "api_key", None) == "k"


def test_the_store_s_address_may_come_from_a_variable_of_any_name(here: Path) -> None:
    """Platforms hand out databases in a variable that they name; it wins over an address given otherwise."""
    Path("triologue.toml").write_text('[storage]\nurl = "sqlite:///a.db"\nurl_env = "TRIOLOGUE_OUR_URL"')
    given = {"TRIOLOGUE_OUR_URL": "postgresql://h/db", "TRIOLOGUE_STORAGE__URL": "sqlite:///b.db"}

    assert load(environ=given).storage_url == "postgresql://h/db"


def test_the_name_of_the_store_s_variable_may_come_from_a_variable(here: Path) -> None:
    """A container has no file; and a name that leads nowhere is told as the operator wrote it."""
    named = {"TRIOLOGUE_STORAGE__URL_ENV": "DATABASE_URL"}

    assert load(environ={**named, "DATABASE_URL": "postgresql://h/db"}).storage_url == "postgresql://h/db"
    assert refusal(None, named) == (
        'TRIOLOGUE_STORAGE__URL_ENV = "DATABASE_URL": '
        "expected the name of an environment variable that is set"
    )
    assert refusal(None, {**named, "DATABASE_URL": "mysql://me:hush@h/db"}) == (
        'DATABASE_URL = "mysql://***@h/db": '
        "expected sqlite:///path, or postgresql://user:password@host/name, or nothing"
    )


def test_half_of_encryption_in_a_variable_is_told_as_the_variable(here: Path) -> None:
    """The file knows nothing of it."""
    assert refusal(None, {"TRIOLOGUE_ENCRYPTION__KEY_STORE": "sqlite:///k"}) == (
        'TRIOLOGUE_ENCRYPTION__KEY_STORE = "sqlite:///k": expected encryption.key_file beside it'
    )


def test_a_file_s_fault_is_told_though_a_variable_overrides_it(here: Path) -> None:
    """Checked whole: else the file breaks the day the variable goes."""
    Path("triologue.toml").write_text('bind = "x"')

    assert refusal(None, {"TRIOLOGUE_BIND": "a:1"}) == 'triologue.toml: bind = "x": expected host:port'


def test_tls_may_come_half_from_the_file(here: Path) -> None:
    """Certificates are mounted, keys are handed over: they need not be named in one place."""
    Path("triologue.toml").write_text('[tls]\ncertfile = "triologue.toml"')

    config = load(environ={"TRIOLOGUE_TLS__KEYFILE": "triologue.toml"})

    assert config.tls.certfile == config.tls.keyfile == Path("triologue.toml")


def test_half_of_tls_in_a_variable_is_told_as_the_variable(here: Path) -> None:
    """The file knows nothing of it."""
    Path("f").touch()

    assert refusal(None, {"TRIOLOGUE_TLS__KEYFILE": "f"}) == (
        'TRIOLOGUE_TLS__KEYFILE = "f": expected tls.certfile beside it'
    )


NAMES = [
    "BIND",
    "DATA_DIR",
    "LOG_LEVEL",
    "LIMITS__QUEUE",
    "TIMEOUTS__PONG",
    "CORS__ORIGINS",
    "TLS__CERTFILE",
    "CONFIG",
]


@settings(deadline=None)  # on a busy machine a load takes as long as it takes
@given(name=st.sampled_from(NAMES) | st.text(), value=st.text())
def test_any_variable_is_taken_or_refused_in_one_line(name: str, value: str) -> None:
    """An environment holds whatever a shell put there, undecodable bytes (as lone surrogates) included."""
    said = ""
    try:
        load(Path(os.devnull), {f"TRIOLOGUE_{name}": value})
    except ConfigError as error:
        said = str(error)

    assert len(said.splitlines()) <= 1
    assert said.isprintable()


def test_configuration_is_read_without_starting_anything(here: Path) -> None:
    """The command line reads it before trio, quart or hypercorn are worth their import."""
    code = "import sys, server.config; print({'trio', 'quart', 'hypercorn', 'actors'} & sys.modules.keys())"
    root = str(Path(__file__).parents[2])

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "set()"
