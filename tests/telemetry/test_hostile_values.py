"""Whatever a client or an error puts into a log line: it forges none, fills no disk, shows no key."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.telemetry.cleaning import EVENT, EXCEPTION, HIDDEN, TEXT, Cleaner
from server.telemetry.forms import INDENT, for_people, plainly

from .sheets import Sheet

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(debug|info|warning|error)\s*\] ")
RESERVED = {"timestamp", "level", "logger", "event"}
FORGED = "x\n2026-01-01T00:00:00.000Z [info     ] all is well\r\x1b[2J\x9b31m\u202e\u2028\x85\0\ud800"

texts = st.text(st.characters(), max_size=200) | st.sampled_from([FORGED, "", " ", "=", '"', "a=b c=d", "…"])
scalars = st.one_of(
    texts, st.integers(), st.floats(), st.booleans(), st.none(), st.binary(), st.just(ValueError(FORGED))
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4), st.tuples(inner, inner)
    ),
    max_leaves=20,
)
fields = st.dictionaries(
    texts.filter(lambda key: key not in ("event", "self", "exc_info")), values, max_size=5
)
errors = st.none() | texts.map(ValueError)

people, machines = Sheet(for_people(colors=False)), Sheet()


@given(event=texts, fields=fields, error=errors)
@example(event=FORGED, fields={FORGED: FORGED}, error=ValueError(FORGED))
@example(event="e", fields={"exception": FORGED, "stack": FORGED}, error=None)
def test_no_value_forges_a_line_for_people(
    event: str, fields: dict[str, Any], error: ValueError | None
) -> None:
    """One record, at the beginning of a line; everything else is marked; nothing moves the cursor."""
    text = people.said(lambda sheet: sheet.log.warning(event, **fields, exc_info=error))

    assert text.endswith("\n")
    first, *rest = text.split("\n")[:-1]
    assert RECORD.match(first)
    assert all(line.startswith(INDENT) for line in rest)
    assert all(line.isprintable() for line in (first, *rest))


@given(event=texts, fields=fields, error=errors)
@example(event=FORGED, fields={FORGED: FORGED, "level": FORGED}, error=ValueError(FORGED))
def test_no_value_forges_a_line_of_json(event: str, fields: dict[str, Any], error: ValueError | None) -> None:
    """One line of printable ASCII, whose own fields are its own."""
    text = machines.said(lambda sheet: sheet.log.warning(event, **fields, exc_info=error))

    assert re.fullmatch(r"[ -~]+\n", text)
    record = json.loads(text, parse_constant=pytest.fail)
    assert (record["level"], record["logger"]) == ("warning", "server.test")
    # Strict readers take no halves of surrogate pairs.
    json.dumps(record, ensure_ascii=False).encode()


@given(message=texts)
@example(message=FORGED)
def test_no_message_of_the_standard_library_forges_a_line(message: str) -> None:
    """The `actors` log an error's `repr`, and a library whatever it likes."""
    text = people.said(lambda sheet: sheet.plain.error("%s", message))

    assert RECORD.match(text)
    assert text.count("\n") == 1
    assert text[:-1].isprintable()


@given(event=texts, fields=fields)
@example(event=FORGED, fields={FORGED: FORGED})
def test_no_value_forges_a_line_of_another_handler(event: str, fields: dict[str, Any]) -> None:
    """Which adds time and level by itself."""
    cleaner = Cleaner()

    assert plainly(cleaner.text(event), cleaner.fields(fields)).isprintable()


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=TEXT))
def test_short_text_arrives_as_it_is(text: str) -> None:
    """What is cleaned away is what does harm, and nothing else."""
    cleaner = Cleaner()
    if cleaner._hide(text) == text:
        machines.log.info("said", value=text)
        assert machines.record()["value"] == text


@pytest.mark.parametrize("sheet", [people, machines], ids=["people", "machines"])
@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "\0" * 10**6,
        "😀" * 10**6,
        ["😀" * 10**4] * 1000,
        {f"key {n}": "x" * 10**4 for n in range(1000)},
        {"k" * 10**6: 1},
        10**100_000,
        b"\xff" * 10**6,
        ValueError("x" * 10**6),
        [[[[[[["deep"] * 1000] * 1000]]]]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_is_too_long(sheet: Sheet, value: object) -> None:
    """A client that sends megabytes, and again, does not write megabytes to our disk."""
    sheet.log.error("said", a=value, b=value, c=value)

    # One code point outside of the basic plane is twelve characters of ASCII.
    assert len(sheet.text()) < 12 * 10_000


def test_event_and_exception_are_bounded_too() -> None:
    """They have limits of their own."""
    machines.log.error("e" * 10**6, exc_info=ValueError("x" * 10**7))

    record = machines.record()

    assert len(record["event"]) == EVENT + 1
    assert len(record["exception"]) < EXCEPTION + 10


def test_a_list_without_end_is_cut() -> None:
    """Looking at all of a large one would take its time."""
    machines.log.info("said", a=range(3), b=list(range(10**6)), c=1)

    record = machines.record()

    assert record["a"] == "range(0, 3)"
    assert record["b"][-1] == "…"
    assert len(record["b"]) < 200


# -- secrets

# Of characters that are nowhere else, so that what is found is the secret; and the last one only there, for
# what is a secret's end and the next one's beginning at once could be read in two ways.
secrets = st.text("ABCDEFGH123", min_size=3, max_size=300).map(lambda text: f"{text}0")


@given(secret=secrets, before=st.integers(0, 3 * TEXT), after=st.integers(0, 100), times=st.integers(1, 5))
@example(secret="A1" * 90 + "0", before=TEXT - 3, after=100, times=5)
# Hidden, these leave so much room that the cut one behind them would be seen.
@example(secret="A1" * 150 + "0", before=0, after=0, times=5)
def test_a_known_secret_is_hidden_wherever_it_stands(
    secret: str, before: int, after: int, times: int
) -> None:
    """Whole or, where the text is cut, in part."""
    text = ("x" * before + secret + "y" * after) * times

    for cleaned in (Cleaner([secret]).text(text), Cleaner([secret]).block(text * 200)):
        assert not set(cleaned) & set("ABCDEFGH0123")


HUSH = "hush/\n1"


@pytest.mark.parametrize("sheet", [Sheet(secrets=[HUSH]), Sheet(for_people(colors=False), secrets=[HUSH])])
def test_a_known_secret_is_hidden_before_it_is_escaped(sheet: Sheet) -> None:
    """Else it would be looked for in another spelling than it has. As `repr` spells it, it is known, too."""
    try:
        raise ValueError(f"no {HUSH} here, {HUSH!r}")
    except ValueError as error:
        sheet.log.exception(HUSH, a=f"x{HUSH}x", b=[HUSH], c={HUSH: 1}, d=error, e=repr(HUSH))

    assert "hush" not in sheet.text()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authorization",
            "Proxy-Authorization",
            "api_key",
            "apiKey",
            "x-api-key",
            "OPENAI_API_KEY",
            "secret",
        ),
        *("client_secret", "token", "accessToken", "tokens", "password", "passwd", "passphrase", "cookie"),
        *("Set-Cookie", "credentials", "private_key", "access key", "bearer"),
    ],
)
def test_what_its_name_calls_a_secret_is_hidden(name: str) -> None:
    """However deep, and in the pairs that headers are kept in."""
    hush: Any
    for hush in ("hush", b"hush", ["hush"], {"a": "hush"}):
        machines.log.info(
            "said", **{name: hush}, a={"b": [{name: hush}]}, c=[(name, hush), (name.encode(), hush)]
        )

        text = machines.text()
        assert "hush" not in text
        assert text.count(HIDDEN) == 4


def test_a_password_that_is_a_number_is_hidden_and_a_number_of_tokens_is_not() -> None:
    """The one is a secret, the other a bill."""
    machines.log.info("said", password=1234, total_tokens=1234)

    record = machines.record()

    assert (record["password"], record["total_tokens"]) == (HIDDEN, 1234)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Authorization: Bearer sk-0123456789", f"Authorization: {HIDDEN}"),
        ("basic aHVzaDpodXNo=", HIDDEN),
        ("http://me:hush@h/x", f"http://{HIDDEN}@h/x"),
        ("http://h/x@y", "http://h/x@y"),
        ("basic authentication of a bearer", "basic authentication of a bearer"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, cleaned: str) -> None:
    """In errors of libraries that quote a header or an address."""
    assert Cleaner().text(text) == cleaned


def test_a_secret_of_a_letter_is_none() -> None:
    """Hidden everywhere, it would hide everything else."""
    assert Cleaner(["e", ""]).text("here") == "here"
