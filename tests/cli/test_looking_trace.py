"""Traces: what is read of one, the way of one frame through it, and that no file is lost or left half."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from server.cli import main
from server.cli.looking.recording import NoTrace, read
from server.cli.looking.trace_view import path_view, summary_view

from .looking_answers import Json, coloured, plain

OUTSIDE, CONVERSATION, REPLY, TASK = 1999, 2000, 2002, 1000
LABELS = {"connection": "c1"}


def track(pid: int, tid: int, name: str) -> Json:
    return {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}}


def sent(kind: str, message: int, at: float, tid: int, to: str, *, ph: str = "X", origin: int = 7) -> Json:
    """The slice of a message that was sent while its sender handled none."""
    args = {"message": message, "to": to, "cause": 0, "origin": origin, "origin_name": "frame message"}
    return {"ph": ph, "name": kind, "pid": 1, "tid": tid, "ts": at * 1e6, "dur": 0.5, "args": args}


def handled(
    kind: str, message: int, at: float, took: float, tid: int, *, cause: int = 0, **more: Any
) -> Json:
    args = {"message": message, "cause": cause, "origin": 7, "origin_name": "frame message"}
    args |= {"labels": LABELS, "sender": "", "waited_us": 250.0, **more}
    return {"ph": "X", "name": kind, "pid": 1, "tid": tid, "ts": at * 1e6, "dur": took * 1e6, "args": args}


def trace(*events: Json, dropped: int = 0) -> Json:
    tracks = (
        track(1, OUTSIDE, "outside"),
        track(1, CONVERSATION, "t/conversations/x#1"),
        track(1, REPLY, "t/pipelines/reply-1"),
        track(1, REPLY + 1, "t/pipelines/reply-1: beside its messages"),
        track(2, TASK, "actor t/pipelines/reply-1: write (12)"),
    )
    about = {"seconds": 5.0, "events": 1234, "dropped": dropped, "began": "2026-01-01T00:00:00+00:00"}
    return {"displayTimeUnit": "ms", "otherData": about, "traceEvents": [*tracks, *events]}


def content(*events: Json, **more: Any) -> bytes:
    return json.dumps(trace(*events, **more)).encode()


STEP: Json = {
    "ph": "X",
    "name": "bot.py:7 reply",
    "pid": 2,
    "tid": TASK,
    "ts": 2e6,
    "dur": 120_000.0,
    "args": {"stack": ["/srv/bot.py:7 reply: time.sleep(1)"], "seen": "5 of 6 times"},
}
EVENTS = (
    handled("Write", 42, 1.002, 0.4, REPLY, cause=41, sender="t/conversations/x#1", error="ValueError"),
    {"ph": "s", "id": 41, "cat": "message", "name": "Say", "pid": 1, "tid": OUTSIDE, "ts": 1e6},
    sent("Say", 41, 0.9997, OUTSIDE, "t/conversations/x#1"),
    handled("Say", 41, 1.0, 0.0015, CONVERSATION),
    sent("Chunk", 43, 1.1, REPLY, "t/conversations/x#1", ph="i"),
    sent("Tick", 44, 1.2, REPLY + 1, "t/other", origin=8),
    STEP,
    {"ph": "C", "name": "mailbox of t", "pid": 1, "ts": 1, "args": {"queued": 1}},
    {"ph": "X"},
)


def test_the_messages_of_a_trace_are_read() -> None:
    """In order of time; of a message that was sent and handled there is one."""
    recording = read(content(*EVENTS, dropped=3))

    assert (recording.seconds, recording.events, recording.dropped) == (5.0, 1234, 3)
    assert [(one.kind, one.message, one.took) for one in recording.handled] == [
        ("Say", 41, 0.0015),
        ("Write", 42, 0.4),
        ("Chunk", 43, None),
        ("Tick", 44, None),
    ]
    assert [one.sender for one in recording.handled] == [
        "",
        "t/conversations/x#1",
        "t/pipelines/reply-1",
        "t/pipelines/reply-1",
    ]
    assert [step.where for step in recording.long_steps] == ["bot.py:7 reply"]


def test_the_way_of_a_frame_is_told_in_order_of_time() -> None:
    """From whom to whom, because of what, how long each waited and took; what is still under way, too."""
    lines = plain(path_view(read(content(*EVENTS)).follow(7))).splitlines()
    column = lines[2].index("Say")

    assert lines[0] == "#7 frame message · connection=c1 · 3 messages · 402 ms"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "at waited took message because of way",
        "0.00 ms 0.25 ms 1.50 ms Say #41 outside → conversations/x#1",
        "2.00 ms 0.25 ms 400 ms Write #42 #41 conversations/x#1 → pipelines/reply-1 ValueError",
        "100.00 ms not handled Chunk #43 pipelines/reply-1 → conversations/x#1",
    ]
    assert [lines[3].index("Write"), lines[4].index("Chunk")] == [column + 2, column]


def test_a_summary_tells_where_to_begin() -> None:
    """How much there is, what took longest, who held up the others, and the numbers of origins."""
    lines = [
        " ".join(line.split()) for line in plain(summary_view(read(content(*EVENTS)), "o.json")).splitlines()
    ]

    assert lines == [
        "o.json · 5.0 s · 1234 events · 3 actors · 2 messages handled · 0 dropped",
        "",
        "longest handling",
        "400 ms Write pipelines/reply-1 at 1.002 s #7 frame message",
        "1.50 ms Say conversations/x#1 at 1.000 s #7 frame message",
        "",
        "long steps, in which nobody else ran",
        "120 ms bot.py:7 reply actor t/pipelines/reply-1: write (12) at 2.000 s seen 5 of 6 times",
        "",
        "origins with the longest ways",
        "402 ms #7 frame message (3 messages) connection=c1",
        "0.00 ms #8 frame message (1 messages)",
        "",
        "open it in ui.perfetto.dev, or follow an origin: triologue trace o.json --follow NUMBER",
    ]


@pytest.mark.parametrize("junk", [b"", b"[]", b'{"traceEvents":{}}', b"\xff", b"[" * 10_000, b"<html>"])
def test_what_is_no_trace_is_told_from_one(junk: bytes) -> None:
    """Any file may be named."""
    with pytest.raises(NoTrace):
        read(junk)


def test_of_a_strange_trace_what_is_understood_is_read() -> None:
    """It may come from another program."""
    strange = {"traceEvents": [1, {}, {"ph": "X", "name": "x", "args": {"message": 1, "waited_us": "?"}}]}
    recording = read(json.dumps(strange).encode())

    assert [(one.kind, one.actor, one.at) for one in recording.handled] == [("x", "?", 0.0)]
    plain(summary_view(recording, "x"))
    plain(path_view(recording.follow(0)))
    plain(summary_view(read(b'{"traceEvents":[]}'), "x"))


def test_nothing_of_others_reaches_the_terminal_as_an_order() -> None:
    """Labels come from clients, and a file from anywhere."""
    evil = "\x1b]0;pwned\x07[red]x[/]\n\x9b31m"
    event = handled(evil, 1, 1.0, 1.0, CONVERSATION, sender=evil, error=evil, labels={evil: evil})
    event["args"]["origin_name"] = evil
    recording = read(content(event, {**STEP, "name": evil}))
    text = coloured(summary_view(recording, evil), 500) + coloured(path_view(recording.follow(7)), 500)

    assert "[red]x[/]" in text
    assert "\x1b]" not in text
    assert not {"\x07", "\x9b"} & set(text)


Answer = tuple[int, Mapping[str, str], bytes]


@pytest.fixture
def answer() -> Answer:
    """What the server says to POST traces; overridden by parameters."""
    return 200, {}, content(*EVENTS)


@pytest.fixture
def url(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, headers, body = answer
            assert self.path == "/api/v1/admin/traces?seconds=0.1"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def record(url: str, path: Path, *more: str) -> int:
    return main(["trace", "--seconds", "0.1", "-o", str(path), "--url", url, *more])


def test_a_trace_is_kept_as_the_server_sent_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For ui.perfetto.dev; and nobody but its owner may read it."""
    path = tmp_path / "out.json"

    assert record(url, path) == 0
    assert path.read_bytes() == content(*EVENTS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["out.json"]
    out, err = capsys.readouterr()
    assert out.startswith(f"{path} · 5.0 s · 1234 events")
    assert err == ""


def test_what_is_there_is_overwritten_only_when_told_to(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be the trace of a fault that nobody can repeat."""
    path = tmp_path / "out.json"
    path.write_text("precious")

    assert record(url, path) == 1
    assert path.read_text() == "precious"
    assert capsys.readouterr() == ("", f"triologue: {path} is there already; --force overwrites it\n")
    assert record(url, path, "--force") == 0
    assert path.read_bytes() == content(*EVENTS)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (409, {}, b'{"msg":"A trace is being recorded already"}'),
            "(HTTP 409): A trace is being recorded already",
        ),
        ((200, {"Content-Length": "100"}, b'{"traceEvents":['), "no proper HTTP"),
        ((200, {}, b'{"traceEvents":['), "what the server sent is no trace"),
        ((200, {}, b"<html>"), "what the server sent is no trace"),
    ],
)
def test_no_half_of_a_trace_is_left(
    url: str, tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor anything in the place of what was there."""
    path = tmp_path / "out.json"
    path.write_text("precious")

    assert record(url, path, "--force") == 1
    assert os.listdir(tmp_path) == ["out.json"]
    assert path.read_text() == "precious"
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_place_that_can_t_be_written_is_told(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is recorded."""
    path = tmp_path / "nowhere" / "out.json"

    assert record(url, path) == 1
    assert capsys.readouterr().err == f"triologue: {path}: No such file or directory\n"


def test_the_trace_goes_to_standard_output_as_it_is(url: str, capfdbinary: Any) -> None:
    """For a pipe to another program."""
    assert main(["trace", "--seconds", "0.1", "--json", "--url", url]) == 0
    assert capfdbinary.readouterr() == (content(*EVENTS), b"")


def test_what_is_recorded_can_be_followed_at_once(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By one who knows the origin's number from the tree or the log."""
    path = tmp_path / "out.json"

    assert record(url, path, "--follow", "7", "--json") == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["Say", "Write", "Chunk"]
    assert path.read_bytes() == content(*EVENTS)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 0, "2 messages handled"),
        (["--follow", "7"], 0, "#7 frame message · connection=c1"),
        (["--follow", "7", "--json"], 0, '"kind": "Say"'),
        (["--json"], 0, '"displayTimeUnit"'),
        (["--follow", "99"], 1, "nothing in trace.json came of an origin #99"),
        (["-o", "x.json"], 2, "either read from a FILE or recorded"),
    ],
)
def test_a_file_is_read_again(
    arguments: list[str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As often as one has questions, without a server."""
    monkeypatch.chdir(tmp_path)
    Path("trace.json").write_bytes(content(*EVENTS))

    assert main(["trace", "trace.json", *arguments]) == status
    out, err = capfd.readouterr()
    assert said in (err if status else out)
    assert not (out if status else err)


@pytest.mark.parametrize("name", ["nowhere.json", "junk.json"])
def test_a_file_that_is_no_trace_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    monkeypatch.chdir(tmp_path)
    Path("junk.json").write_text("junk")

    assert main(["trace", name]) == 1
    said = {"nowhere.json": "nowhere.json: No such file or directory", "junk.json": "junk.json is no trace"}
    assert capsys.readouterr() == ("", f"triologue: {said[name]}\n")
