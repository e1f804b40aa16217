"""What a log line looks like, in either form, from whichever logger."""

from __future__ import annotations

import json
import logging
import re
import sys
from functools import partial

import pytest
import trio
from structlog.dev import BRIGHT

from actors import Actor, ActorSystem, origin
from server.telemetry import logs
from server.telemetry.cleaning import EXCEPTION
from server.telemetry.forms import INDENT, for_people

from .sheets import Sheet

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("too deep")


def test_a_line_of_json_has_time_level_logger_and_event_first() -> None:
    """What every reader looks for stands where every reader finds it."""
    sheet = Sheet()
    sheet.log.info("drained", sockets=5)

    record = sheet.record()

    assert list(record) == ["timestamp", "level", "logger", "event", "sockets"]
    assert re.fullmatch(TIME, record.pop("timestamp"))
    assert record == {"level": "info", "logger": "server.test", "event": "drained", "sockets": 5}


def test_lines_of_the_standard_library_have_the_same_shape() -> None:
    """`actors` and every library we use log so, and one reader reads all."""
    sheet = Sheet()
    sheet.plain.error("%s crashed: %r", "triologue/x", ValueError("x"))

    record = sheet.record()

    assert list(record) == ["timestamp", "level", "logger", "event"]
    assert record["event"] == "triologue/x crashed: ValueError('x')"


def test_a_field_replaces_nothing_that_the_line_says_itself() -> None:
    """A label from elsewhere must not change who speaks, and how badly."""
    sheet = Sheet()
    sheet.log.error("drained", level="debug", logger="somebody", timestamp="never")

    record = sheet.record()

    assert (record["level"], record["logger"]) == ("error", "server.test")
    assert re.fullmatch(TIME, record["timestamp"])


def test_the_human_form_is_one_line() -> None:
    """Time, level, event, logger, and the rest as `key=value`, quoted where it has to be."""
    sheet = Sheet(for_people(colors=False))
    sheet.log.warning("not taken", connection="c-1", error=ValueError("no room"), seconds=0.5, faults=["a"])

    assert re.fullmatch(
        TIME + r' \[warning  \] not taken \[server\.test\] connection=c-1 error="ValueError: no room"'
        r' seconds=0\.5 faults=\["a"\]\n',
        sheet.text(),
    )


def test_colors_are_for_terminals() -> None:
    """Anywhere else they are noise."""
    for colors in (True, False):
        sheet = Sheet(for_people(colors=colors))
        sheet.log.info("drained")
        assert (BRIGHT in sheet.text()) is colors


@pytest.mark.parametrize("way", ["exception", "exc_info", "standard library"])
def test_an_exception_is_one_field_of_json(way: str) -> None:
    """A traceback over thirty lines of a log is thirty records to a collector."""
    sheet = Sheet()
    try:
        raise ValueError("a bug")
    except ValueError as error:
        if way == "exception":
            sheet.log.exception("it raised")
        elif way == "exc_info":
            sheet.log.error("it raised", exc_info=error)
        else:
            sheet.plain.exception("it raised")

    record = sheet.record()

    assert record["event"] == "it raised"
    assert record["exception"].startswith("Traceback (most recent call last):\n")
    assert record["exception"].endswith("ValueError: a bug")
    assert "exc_info" not in record


def test_an_exception_for_people_is_indented() -> None:
    """Its lines, whatever the error says, are no records of their own."""
    sheet = Sheet(for_people(colors=False))
    forged = "2026-01-01T00:00:00.000Z [info     ] all is well"
    sheet.log.error("it raised", exc_info=ValueError(f"a\n{forged}\r{forged}"))

    first, *rest = sheet.text().split("\n")[:-1]

    assert first.endswith("it raised [server.test]")
    assert rest == [f"{INDENT}ValueError: a", f"{INDENT}{forged}\\r{forged}"]


def test_a_long_traceback_keeps_both_ends() -> None:
    """Where it began, and, more of it, what went wrong."""
    sheet = Sheet()
    try:
        deep(500)
    except ValueError as error:
        error.add_note("x" * 10 * EXCEPTION)
        error.add_note("the end")
        sheet.log.error("it raised", exc_info=error)

    told = sheet.record()["exception"]

    assert len(told) < EXCEPTION + 10
    assert told.startswith("Traceback")
    assert told.endswith("the end")


def test_a_stack_is_a_block_of_its_own() -> None:
    """The standard library's loggers can be asked for one."""
    sheet = Sheet()
    sheet.plain.warning("here", stack_info=True)

    assert sheet.record()["stack"].startswith("Stack (most recent call last):\n")


def test_a_list_called_stack_is_a_block_for_people() -> None:
    """One frame a line; for programs it stays a list."""
    sheet = Sheet(for_people(colors=False))
    sheet.log.warning("held", stack=["a.py:1 f", "b.py:2 g\n"])

    assert sheet.text().endswith(f"held [server.test]\n{INDENT}a.py:1 f\n{INDENT}b.py:2 g\n{INDENT}\n")


class Shy:
    """Somebody's class, with a bug in it."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Awkward(Exception):
    """Somebody's exception, with a bug in it."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_what_can_not_describe_itself_fails_nobody() -> None:
    """The caller is in the middle of something more important."""
    sheet = Sheet()
    sheet.log.error("odd", value=Shy(), inner=[{"key": Shy()}], error=Awkward(), exc_info=Awkward())

    record = sheet.record()

    assert record["value"] == "(Shy: RuntimeError)"
    assert record["inner"] == [{"key": "(Shy: RuntimeError)"}]
    assert record["error"] == "(Awkward: RuntimeError)"
    assert "Awkward" in record["exception"]


def test_a_line_that_can_not_be_made_says_so() -> None:
    """A wrong template in a library costs its text, and neither the line nor the caller."""
    sheet = Sheet()
    sheet.plain.error("%d pieces", "no number")

    record = sheet.record()

    assert (record["event"], record["error"]) == ("a log line could not be made", "TypeError")
    assert record["logger"] == "server.test"


def test_lost_lines_are_told_in_the_same_shape() -> None:
    """Whoever reads the others can read this one."""
    handler = logs.LogHandler(None)

    record = json.loads(handler._tell_lost(3))

    assert list(record) == ["timestamp", "level", "logger", "event", "lines"]
    assert (record["level"], record["lines"]) == ("warning", 3)


async def test_a_line_from_within_an_activity_says_so() -> None:
    """Actor, cause and labels: what leads from a line to the client's frame that it is about."""
    sheet = Sheet()
    with origin("message frame", connection="c-1", conversation="k", level="debug") as begun:
        sheet.log.warning("structlog's")
        ours = sheet.record()
        sheet.plain.warning("the standard library's")
        theirs = sheet.record()
        sheet.log.warning("of another", connection="c-2")
        other = sheet.record()

    for record in (ours, theirs):
        assert (record["cause"], record["origin"]) == (begun.id, "message frame")
        assert (record["connection"], record["conversation"]) == ("c-1", "k")
        assert record["level"] == "warning"
        assert "actor" not in record
    assert other["connection"] == "c-2"


class Speaker(Actor[str]):
    """Logs what it is told, in its handler and in a task beside it."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    async def handle(self, message: str) -> None:
        self._sheet.log.warning(message)
        self.start_task(self._echo, message, name="echo")

    async def _echo(self, message: str) -> None:
        self._sheet.log.warning(f"{message} again")
        self.stop()


async def test_a_line_of_an_actor_names_it_and_what_it_was_told_for() -> None:
    """In its handler and in the tasks beside it."""
    sheet, system = Sheet(), ActorSystem()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, partial(Speaker, sheet), name="speaker"))
        await trio.testing.wait_all_tasks_blocked()
        ref = system.find("speaker")
        assert ref is not None
        with origin("message frame", connection="c-1") as begun:
            await ref.tell("hello")
    records = [json.loads(line) for line in sheet.text().splitlines()]

    assert [record["event"] for record in records] == ["hello", "hello again"]
    for record in records:
        assert (record["actor"], record["cause"], record["connection"]) == ("speaker", begun.id, "c-1")


def test_hypercorn_s_own_lines_are_left_to_it() -> None:
    """Its command prints them already."""
    sheet = Sheet()
    sheet.plain.name = "hypercorn.error"
    sheet.plain.error("Running on …")

    assert sheet.text() == ""


def test_below_the_level_nothing_is_done() -> None:
    """Not even the values' texts are asked for."""
    sheet = Sheet(level=logging.WARNING)
    sheet.log.info("drained", value=Shy())
    sheet.log.debug("drained %d", "no number")

    assert sheet.text() == ""


def test_handlers_of_others_get_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    """An operator may bring a logging configuration, and pytest has one."""
    line = logs.Line(event="not\ntaken", connection="c\n1", api_key="hush", error=ValueError("no room"))

    assert str(line) == 'not\\ntaken connection="c\\n1" api_key="(not shown)" error="ValueError: no room"'


def test_an_exception_reaches_handlers_of_others(caplog: pytest.LogCaptureFixture) -> None:
    """As the standard library hands it on."""
    sheet = Sheet()
    sheet.plain.addHandler(caplog.handler)
    sheet.log.error("it raised", exc_info=ValueError("a bug"))

    assert "it raised\nValueError: a bug" in caplog.text
    # And the caller is told as the caller, not structlog.
    assert caplog.records[0].funcName == sys._getframe().f_code.co_name


def test_numbers_json_does_not_know_are_text() -> None:
    """`NaN` is no JSON, and most readers count in 64 bits."""
    sheet = Sheet()
    sheet.log.info("odd", a=float("nan"), b=float("-inf"), c=2**64, d=10**5000, e=True, f=None, g=-(2**62))

    text = sheet.text()
    record = json.loads(text, parse_constant=pytest.fail)

    assert (record["a"], record["b"], record["c"]) == ("nan", "-inf", hex(2**64))
    assert (record["e"], record["f"], record["g"]) == (True, None, -(2**62))
    assert len(text) < 2000
