"""Spans on their way to a collector: a real one in all but what it does with them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

import pytest
import trio

from actors import Actor, ActorSystem
from server.application import Application
from server.config import Config, Telemetry
from server.telemetry import ExtraMissing, export_spans

WITHOUT = "telemetry.otlp_endpoint needs what is not installed: pip install 'triologue[otel]'"


class Collector:
    """Takes OTLP over HTTP on a loopback port; or takes a request and never answers."""

    def __init__(self) -> None:
        self.requests: SimpleQueue[tuple[str, dict[str, str], bytes]] = SimpleQueue()
        self.answers = threading.Event()
        self.answers.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.put((self.path, headers, body))
                collector.answers.wait(30)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> Iterator[Any]:
        """The spans of the next request, with its resource's attributes."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        _, _, body = self.requests.get(timeout=20)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for resource in request.resource_spans:
            about = {
                attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
            }
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield about, span


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `otel`")
    # A machine's proxy has no way to our loopback.
    monkeypatch.setenv("NO_PROXY", "*")
    made = Collector()
    yield made
    made.close()


class Greet:
    pass


class Greeter(Actor[Greet]):
    async def handle(self, message: Greet) -> None:
        self.stop()


async def greet(endpoint: str, greetings: int = 1) -> None:
    """Run a system whose root handles one message, and wait for its spans to be sent."""
    spans = export_spans(endpoint)
    assert spans is not None
    for _ in range(greetings):
        system = ActorSystem()
        system.attach(spans.observer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(system.run, Greeter, name="greeter"))
            await trio.testing.wait_all_tasks_blocked()
            ref = system.find("greeter")
            assert ref is not None
            await ref.tell(Greet())
    await spans.aclose()


async def test_spans_reach_a_collector(collector: Collector) -> None:
    """Over OTLP, with who sends them."""
    await greet(collector.url)

    ((about, span),) = collector.spans()
    assert span.name == "Greet"
    assert span.parent_span_id == b""
    assert {attribute.key for attribute in span.attributes} >= {"actor.address", "message.id", "mailbox.wait"}
    assert about["service.name"] == "triologue"


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
async def test_an_endpoint_is_a_base_or_the_place_itself(collector: Collector, path: str) -> None:
    """Both are written in manuals."""
    await greet(collector.url + path)

    assert collector.requests.get(timeout=20)[0] == "/v1/traces"


async def test_the_sdk_s_own_variables_apply(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators of collectors know them, and keys belong into the environment."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chat")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=1234")
    await greet(collector.url)

    path, headers, body = collector.requests.get(timeout=20)
    assert headers["x-key"] == "1234"
    collector.requests.put((path, headers, body))
    ((about, _),) = collector.spans()
    assert about["service.name"] == "chat"


async def test_a_collector_that_is_silent_holds_nobody_up(collector: Collector) -> None:
    """Neither the actors nor the end of the server, which is what the time-out of this test checks."""
    collector.answers.clear()
    await greet(collector.url, greetings=700)

    assert collector.requests.get(timeout=20)


class Listener(logging.Handler):
    """Waits for a record."""

    def __init__(self) -> None:
        super().__init__()
        self._records: SimpleQueue[logging.LogRecord] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put(record)

    def wait(self) -> str:
        return self._records.get(timeout=20).getMessage()


@pytest.mark.usefixtures("collector")
async def test_a_collector_that_is_not_there_is_told_in_a_log_line() -> None:
    """By the SDK, from its own thread."""
    listener, logger = Listener(), logging.getLogger("opentelemetry")
    logger.addHandler(listener)
    try:
        await greet("http://user:hunter2@127.0.0.1:9")
        said = listener.wait()
    finally:
        logger.removeHandler(listener)

    assert "export" in said
    assert "hunter2" not in said


def test_without_an_endpoint_there_are_no_spans() -> None:
    """And nothing of OpenTelemetry is imported, which takes a third of a second."""
    assert export_spans("") is None


async def test_a_missing_extra_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Who asked for spans must not find out tomorrow that there are none."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "opentelemetry" or name == "server.telemetry.otel":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ExtraMissing) as caught:
        export_spans("http://127.0.0.1:1")
    assert str(caught.value) == WITHOUT

    config = Config(data_dir=tmp_path / "data", telemetry=Telemetry(otlp_endpoint="http://127.0.0.1:1"))
    said: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message)

    await Application(lambda: config)({"type": "lifespan"}, receive, send)

    assert said == [{"type": "lifespan.startup.failed", "message": WITHOUT}]
