"""The spans that are made of what actors do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from attrs import frozen

from actors import Actor, ActorRef, ActorSystem, Restart, Supervisor, origin

pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from server.telemetry.otel import Spans


@frozen
class Relay:
    """Pass it on to `last`, or fail with `error`, or hang."""

    last: ActorRef[Any] | None = None
    error: BaseException | None = None
    hang: bool = False


class Errand:
    """A message of another kind."""


@frozen
class AtOnce:
    """Take it at once; and have `last` do so too."""

    last: ActorRef[Any] | None = None


class Worker(Actor[Any]):
    """Does what a message says."""

    def consume(self, message: Any) -> Any:
        if not isinstance(message, AtOnce):
            return message
        if message.last is not None:
            message.last.tell_nowait(AtOnce())
        return None

    async def handle(self, message: Any) -> None:
        if isinstance(message, Relay):
            if message.error is not None:
                raise message.error
            if message.hang:
                await trio.sleep_forever()
            if message.last is not None:
                await message.last.tell(Errand())


class Bench:
    """Two workers in a system, and the spans made of what they do."""

    def __init__(self, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = Spans(provider.get_tracer("test"), **settings)
        self.system = ActorSystem()
        self.system.attach(self.observer)

    def root(self) -> Supervisor:
        return Workers()

    @property
    def spans(self) -> list[ReadableSpan]:
        return [
            span for span in self.exporter.get_finished_spans() if "bench/" in told(span)["actor.address"]
        ]

    def worker(self, name: str) -> ActorRef[Any]:
        ref = self.system.find(f"bench/{name}")
        assert ref is not None
        return ref

    async def wait_spans(self, number: int) -> list[ReadableSpan]:
        with trio.fail_after(10):
            while len(self.spans) < number:
                await trio.testing.wait_all_tasks_blocked()
        return self.spans


class Workers(Supervisor):
    async def started(self) -> None:
        for name in ("first", "last"):
            self.spawn(Worker, name=name, restart=Restart.TEMPORARY)


def told(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


@asynccontextmanager
async def bench(**settings: Any) -> AsyncIterator[Bench]:
    """A running bench."""
    made = Bench(**settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(made.system.run, Workers, name="bench"))
        await trio.testing.wait_all_tasks_blocked()
        yield made
        made.system.stop()


async def test_each_handled_message_is_a_root_of_its_own() -> None:
    """Nested spans would claim that one actor ran inside of another."""
    async with bench() as here:
        with origin("frame message", connection="c-1", conversation="k\ud800"):
            await here.worker("first").tell(Relay(here.worker("last")))
        first, last = await here.wait_spans(2)

    assert (first.name, last.name) == ("Relay", "Errand")
    assert first.parent is last.parent is None
    assert first.context.trace_id != last.context.trace_id
    assert first.kind is SpanKind.CONSUMER
    assert first.status.status_code is StatusCode.UNSET
    assert told(first) == {
        "actor.address": "bench/first",
        "message.id": told(last)["message.cause"],
        "message.cause": 0,
        "message.sender": "",
        "mailbox.wait": pytest.approx(0, abs=10),
        "mailbox.queued": 0,
        "origin.id": told(last)["origin.id"],
        "origin.name": "frame message",
        "origin.connection": "c-1",
        "origin.conversation": "k\\ud800",
    }
    assert told(last)["message.sender"] == "bench/first"


async def test_a_span_links_to_the_one_that_caused_it() -> None:
    """So that one can walk back from a frame to the frame it answers."""
    async with bench() as here:
        await here.worker("first").tell(Relay(here.worker("last")))
        first, last = await here.wait_spans(2)

    assert not first.links
    assert [link.context for link in last.links] == [first.context]


async def test_what_is_taken_at_once_has_a_span_like_all_that_is_handled() -> None:
    """As long as it took, and linked to by what came of it; what is declined has but one."""
    async with bench() as here:
        here.worker("first").tell_nowait(AtOnce(here.worker("last")))
        last, first = here.spans
        here.worker("first").tell_nowait(Relay())
        await trio.testing.wait_all_tasks_blocked()

        assert [span.name for span in here.spans] == ["AtOnce", "AtOnce", "Relay"]
    assert [link.context for link in last.links] == [first.context]
    moments = [first.start_time, last.start_time, last.end_time, first.end_time]
    assert moments == sorted(moment for moment in moments if moment)


async def test_another_instrumentation_is_no_parent() -> None:
    """Whoever calls the server may have a span of its own open."""
    around = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    with trace.use_span(around):
        # The actors' tasks inherit it.
        async with bench() as here:
            await here.worker("first").tell(Relay())
            (span,) = await here.wait_spans(1)
            assert trace.get_current_span() is around

    assert span.parent is None
    assert span.context.trace_id != 1


async def test_a_crash_is_an_error_with_its_type_and_without_its_text() -> None:
    """The text may quote what a person wrote."""
    async with bench() as here:
        await here.worker("first").tell(Relay(error=ValueError("private")))
        await here.wait_spans(1)
        await here.worker("last").tell(Relay(error=ExceptionGroup("private", [KeyError("private")])))
        spans = await here.wait_spans(2)

    assert [span.status.status_code for span in spans] == [StatusCode.ERROR] * 2
    assert [told(span)["error.type"] for span in spans] == ["ValueError", "KeyError"]
    assert [span.status.description for span in spans] == ["ValueError", "KeyError"]
    assert "private" not in "".join(span.to_json() for span in spans)


async def test_what_is_cancelled_is_no_error() -> None:
    """Every shutdown cuts something off."""
    async with bench() as here:
        await here.worker("first").tell(Relay(hang=True))
        await trio.testing.wait_all_tasks_blocked()
    (span,) = here.spans

    assert span.status.status_code is StatusCode.UNSET
    assert told(span)["cancelled"] is True
    assert not here.observer._open


async def test_a_chain_is_sampled_as_a_whole() -> None:
    """Half of what came of a frame explains nothing."""
    async with bench(sample=0.5) as here:
        for _ in range(200):
            await here.worker("first").tell(Relay(here.worker("last")))
            await trio.testing.wait_all_tasks_blocked()
    firsts, lasts = (
        {told(span)["origin.id"] for span in here.spans if span.name == name} for name in ("Relay", "Errand")
    )

    assert firsts == lasts
    # Spread evenly by construction, not by luck.
    assert 90 <= len(firsts) <= 110


@pytest.mark.parametrize(("sample", "spans"), [(0.0, 0), (1.0, 2)])
async def test_none_and_all_are_exact(sample: float, spans: int) -> None:
    """Neither is a matter of chance."""
    async with bench(sample=sample) as here:
        await here.worker("first").tell(Relay(here.worker("last")))
        await trio.testing.wait_all_tasks_blocked()

    assert len(here.spans) == spans


async def test_what_is_remembered_is_bounded() -> None:
    """A link back to yesterday is not worth the memory of a day."""
    async with bench(remembered=5) as here:
        for _ in range(20):
            await here.worker("first").tell(Errand())
            await trio.testing.wait_all_tasks_blocked()
        assert len(here.observer._contexts) == 5
        assert here.observer._open == {}


async def test_an_sdk_that_fails_costs_spans_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The actors are what people use."""

    def fail(*args: Any, **more: Any) -> Callable[..., Any]:
        raise RuntimeError("a bug in the SDK")

    async with bench() as here:
        monkeypatch.setattr(here.observer._tracer, "start_span", fail)
        for _ in range(3):
            await here.worker("first").tell(Relay(here.worker("last")))
            await trio.testing.wait_all_tasks_blocked()
        assert {view.address: view.handled for view in here.system.actors()}["bench/last"] == 3

    assert here.observer.failed >= 6
    assert len([record for record in caplog.records if "a span could not be made" in str(record.msg)]) == 1
