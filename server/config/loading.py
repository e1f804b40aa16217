"""Where the configuration comes from: defaults, then `triologue.toml`, then `TRIOLOGUE_*` variables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from .errors import ConfigError, Unacceptable, unknown
from .model import Config
from .rules import Rule, Variable
from .showing import dotted, printable, show
from .structure import bad_value, keys_of, rule_of, structure

DEFAULT_PATH = Path("triologue.toml")
PREFIX = "TRIOLOGUE_"
CONFIG_VARIABLE = "TRIOLOGUE_CONFIG"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The whole configuration, checked.

    Later sources win: the defaults; the file at *path*, else at `TRIOLOGUE_CONFIG`, else `triologue.toml`
    in the working directory if there is one; `TRIOLOGUE_*` variables, with a double underscore for a dot.
    Relative paths are the working directory's.

    Raises:
        ConfigError: The first thing wrong with the file, else with the variables.
    """
    path = path if path is not None else _named(environ)
    source, document = _read(path if path is not None else DEFAULT_PATH, required=path is not None)
    config = structure(document, environ, source=source)
    config = _overridden(config, environ)
    config = _with_store_url(config, environ, source)
    _is_whole(config, environ, source)
    return config


def _named(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(CONFIG_VARIABLE)
    if named is None:
        return None
    if not os.path.isfile(named):
        raise ConfigError(f"{CONFIG_VARIABLE}{bad_value(show(named), 'the path of a file that exists')}")
    return Path(named)


def _read(path: Path, *, required: bool) -> tuple[str, dict[str, Any]]:
    source = printable(str(path))
    try:
        text = path.read_bytes().decode()
        return source, tomllib.loads(text)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{source}: expected a file that exists") from None
        return source, {}
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}: line {line}: expected UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{source}: can't be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {_bad_toml(str(error), text)}") from None
    except (ValueError, RecursionError):
        # tomllib lets through what Python itself has a limit for: digits of a number, depth of nesting.
        raise ConfigError(f"{source}: expected numbers and nesting within reason") from None


def _bad_toml(said: str, text: str) -> str:
    where = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", said, re.DOTALL)
    if where is None:
        return printable(said)
    line = where[2] or len(text.splitlines()) or 1
    return f"line {line}: not TOML: {printable(where[1])}"


def _overridden(config: Config, environ: Mapping[str, str]) -> Config:
    variables = _variables()
    secrets = {
        getattr(pipeline, key, None) for pipeline in config.pipelines for key in ("api_key_env", "secret_env")
    }
    secrets |= {config.storage.url_env, environ.get(f"{PREFIX}STORAGE__URL_ENV")}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name in variables:
            path, rule = variables[name]
            config = _replaced(config, path, _value(name, rule, environ[name]))
        elif name != CONFIG_VARIABLE and name not in secrets:
            known = {known: known for known in (*variables, CONFIG_VARIABLE)}
            raise ConfigError(f"{printable(name)}: {unknown('variable', name, known)}")
    return config


def _variables() -> dict[str, tuple[tuple[str, ...], Rule]]:
    return {PREFIX + "__".join(path).upper(): (path, rule) for path, rule in _settings(Config, ())}


def _settings(table: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Rule]]:
    for key, kind in keys_of(table).items():
        if rule := rule_of(kind):
            yield (*path, key), rule
        elif attrs.has(kind):
            yield from _settings(kind, (*path, key))


def _value(name: str, rule: Rule, text: str) -> Any:
    try:
        return rule.check(rule.read(text))
    except Unacceptable as error:
        shown = error.shown if error.place else rule.show(text)
        raise ConfigError(f"{name}{bad_value(shown, error.expected)}") from None


def _replaced(table: Any, path: tuple[str, ...], value: Any) -> Any:
    key, *rest = path
    return attrs.evolve(table, **{key: _replaced(getattr(table, key), tuple(rest), value) if rest else value})


def _with_store_url(config: Config, environ: Mapping[str, str], source: str) -> Config:
    """Only here, because the name of the variable may itself come from one."""
    name = config.storage.url_env
    if name is None:
        return config
    rule = rule_of(keys_of(type(config.storage))["url"])
    assert rule is not None
    if not environ.get(name):
        place = _place(("storage", "url_env"), environ, source)
        raise ConfigError(f"{place}{bad_value(Variable().show(name), Variable.expected)}")
    url = _value(name, rule, environ[name])
    return attrs.evolve(config, storage=attrs.evolve(config.storage, url=url))


# A key that means nothing without another.
_PAIRS = (
    (("tls", "certfile"), ("tls", "keyfile")),
    (("tls", "keyfile"), ("tls", "certfile")),
    (("encryption", "key_store"), ("encryption", "key_file")),
)


def _is_whole(config: Config, environ: Mapping[str, str], source: str) -> None:
    """Only here, because one half may be in the file and the other in a variable."""
    for given, lacking in _PAIRS:
        value = getattr(getattr(config, given[0]), given[1])
        if value and not getattr(getattr(config, lacking[0]), lacking[1]):
            place = _place(given, environ, source)
            raise ConfigError(f"{place}{bad_value(show(str(value)), f'{dotted(lacking)} beside it')}")


def _place(path: tuple[str, ...], environ: Mapping[str, str], source: str) -> str:
    """Where the key at *path* was given."""
    variable = PREFIX + "__".join(path).upper()
    return variable if variable in environ else f"{source}: {dotted(path)}"
