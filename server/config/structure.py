"""A TOML document, structured by cattrs into `Config`: strictly, and with every fault located.

cattrs reports faults class by class; whoever wrote the file reads it from top to bottom, so all are
collected with their paths, and the one that stands first in the file is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, get_args, get_origin

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override

from .errors import ConfigError, Unacceptable, unknown
from .model import KINDS, AnyPipeline, Config, OpenAIPipeline, WebhookPipeline
from .rules import OneOf, Rule, Variable
from .showing import dotted, show

Path: TypeAlias = tuple[str | int, ...]


def structure(document: Mapping[str, Any], environ: Mapping[str, str], *, source: str) -> Config:
    """The `Config` that *document* describes, with the secrets it names taken from *environ*.

    Raises:
        ConfigError: The first fault in *document*, told as being in *source*.
    """
    faults: dict[Path, str] = {}
    config = Config()
    try:
        config = _converter(environ).structure(document, Config)
    except (
        Exception
    ) as error:  # cattrs wraps whatever a hook raised; `_faults` raises again what isn't a fault
        faults.update(_faults(error, (), Config, document))
    for path, fault in _repeated(document.get("pipelines")):
        faults.setdefault(path, fault)
    if faults:
        first = next((path for path in _in_file_order(document, ()) if path in faults), next(iter(faults)))
        raise ConfigError(f"{source}: {dotted(first)}{faults[first]}")
    return config


def rule_of(kind: Any) -> Rule | None:
    """The rule beside a field's type, if it has one."""
    return next((extra for extra in get_args(kind)[1:] if isinstance(extra, Rule)), None)


def keys_of(table: Any) -> dict[str, Any]:
    """The keys that a table takes, with their types."""
    return {
        field.name: field.type
        for field in attrs.fields(attrs.resolve_types(table))
        if rule_of(field.type) or attrs.has(field.type) or get_origin(field.type) is tuple
    }


def table_names(config: type[Config] = Config) -> dict[str, str]:
    """Every key outside the pipelines by its own name, with its full one: for guessing what was meant."""
    names: dict[str, str] = {}
    for key, kind in keys_of(config).items():
        names[key] = key
        if attrs.has(kind):
            for inner in keys_of(kind):
                names.setdefault(inner, f"{key}.{inner}")
    return names


def bad_value(shown: str, expected: str) -> str:
    return f" = {shown}: expected {expected}"


def _converter(environ: Mapping[str, str]) -> Converter:
    converter = Converter(detailed_validation=True)

    def value(raw: object, kind: Any) -> Any:
        rule = rule_of(kind)
        assert rule is not None
        checked = rule.check(raw)
        if isinstance(rule, Variable) and not environ.get(checked):
            raise rule.refuse(raw)
        return checked

    def table(kind: type[Any]) -> Any:
        keys = keys_of(kind)
        omitted = {
            field.name: override(omit=True)
            for field in attrs.fields(kind)
            if field.name not in keys and field.init
        }
        fill = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True, **omitted)  # type: ignore[arg-type]

        def structure_table(raw: object, _: Any) -> Any:
            if not isinstance(raw, dict):
                raise Unacceptable(show(raw), "a table")
            return fill(raw, kind)

        return structure_table

    def pipeline(raw: object, _: Any) -> AnyPipeline:
        if not isinstance(raw, dict):
            raise Unacceptable(show(raw), "a table")
        kinds = OneOf(tuple(KINDS))
        if "kind" not in raw:
            raise _Missing("kind", kinds.expected)
        try:
            chosen = KINDS[kinds.check(raw["kind"])]
        except Unacceptable as error:
            error.place = ("kind",)
            raise
        made = converter.structure({key: inner for key, inner in raw.items() if key != "kind"}, chosen)
        match made:
            case OpenAIPipeline(api_key_env=str(name)):
                return attrs.evolve(made, api_key=environ[name])
            case WebhookPipeline(secret_env=str(name)):
                return attrs.evolve(made, secret=environ[name])
            case _:
                return made

    def pipelines(raw: object, _: Any) -> tuple[AnyPipeline, ...]:
        if not isinstance(raw, list):
            raise Unacceptable(show(raw), "[[pipelines]] tables")
        return tuple(converter.structure(raw, list[AnyPipeline])) or Config().pipelines

    converter.register_structure_hook_factory(attrs.has, table)
    converter.register_structure_hook_func(lambda kind: kind == AnyPipeline, pipeline)
    converter.register_structure_hook_func(lambda kind: kind == tuple[AnyPipeline, ...], pipelines)
    converter.register_structure_hook_func(lambda kind: rule_of(kind) is not None, value)
    return converter


class _Missing(KeyError):
    """A table lacks a key that it needs."""

    def __init__(self, key: str, expected: str) -> None:
        super().__init__(key)
        self.expected = expected


def _faults(error: BaseException, path: Path, kind: Any, raw: Any) -> Iterator[tuple[Path, str]]:
    """Unroll cattrs' tree of exceptions into paths and what is wrong there."""
    match error:
        case ClassValidationError():
            at_keys, others = error.group_exceptions()
            for inner, note in at_keys:
                if isinstance(inner, KeyError) and note.name not in raw:
                    inner = _Missing(note.name, _expected(error.cl, note.name))
                    yield from _faults(inner, path, note.type, raw)
                else:
                    yield from _faults(inner, (*path, note.name), note.type, raw[note.name])
            for inner in others:
                yield from _faults(inner, path, error.cl, raw)
        case IterableValidationError():
            at_items, others = error.group_exceptions()
            for inner, item in at_items:
                assert isinstance(item.index, int)
                yield from _faults(inner, (*path, item.index), item.type, raw[item.index])
            for inner in others:
                raise inner
        case ForbiddenExtraKeysError():
            known = table_names() if error.cl is Config else {key: key for key in keys_of(error.cl)}
            for key in error.extra_fields:
                yield (*path, key), f": {unknown('key', key, known)}"
        case Unacceptable():
            yield (*path, *error.place), bad_value(error.shown, error.expected)
        case _Missing():
            yield path, f".{error.args[0]} is missing: expected {error.expected}"
        case _:
            raise error


def _expected(table: Any, key: str) -> str:
    rule = rule_of(keys_of(table)[key])
    return rule.expected if rule else "a table"


def _repeated(pipelines: object) -> Iterator[tuple[Path, str]]:
    seen: set[tuple[str, str]] = set()
    for index, table in enumerate(pipelines if isinstance(pipelines, list) else []):
        for key in ("uuid", "name"):
            value = table.get(key) if isinstance(table, dict) else None
            if isinstance(value, str):
                if (key, value) in seen:
                    yield (
                        ("pipelines", index, key),
                        bad_value(show(value), f"a {key} that no other pipeline has"),
                    )
                seen.add((key, value))


def _in_file_order(raw: object, path: Path) -> Iterator[Path]:
    yield path
    match raw:
        case dict():
            for key, value in raw.items():
                yield from _in_file_order(value, (*path, key))
        case list():
            for index, value in enumerate(raw):
                yield from _in_file_order(value, (*path, index))
        case _:
            pass
