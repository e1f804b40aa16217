"""Spans for OpenTelemetry: each message that an actor handled is one, and the root of its own trace.

They are never nested: an actor that is told something does not run inside of whoever told it, may do so long
after, and a trace that spans a conversation of days would be of use to nobody. A link leads from each span to
the one in which the message was sent, and `origin.id` is common to all that came of one client's frame.

Needs the extra `otel`; `spans` imports this module only where an endpoint is configured.
"""

from __future__ import annotations

from collections import OrderedDict
from urllib.parse import urlsplit, urlunsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from structlog.typing import FilteringBoundLogger

from actors import Envelope, Observer, State
from server import __version__

from .cleaning import Cleaner
from .spans import SpanExport

# Spans whose context is remembered, for links from what comes of them.
REMEMBERED = 10_000
_TEXT = 200
_TRACES = "/v1/traces"
# Multiplied by it, successive numbers spread evenly over 64 bits (Knuth, TAOCP 6.4).
_SPREAD = 0x9E3779B97F4A7C15
_WHOLE = 2**64

log: FilteringBoundLogger = structlog.get_logger(__name__)


class Spans(Observer):
    """Makes a span of each message handled.

    Args:
        tracer: Makes them.
        sample: Which part of the origins is followed, from 0 to 1. All that comes of one is, or nothing.
        remembered: How many spans can be linked to.
    """

    def __init__(self, tracer: Tracer, *, sample: float = 1.0, remembered: int = REMEMBERED) -> None:
        self._tracer = tracer
        self._threshold = int(sample * _WHOLE)
        self._remembered = remembered
        # An actor handles one message at a time.
        self._open: dict[str, Span] = {}
        self._contexts: OrderedDict[int, SpanContext] = OrderedDict()
        self._clean = Cleaner().text
        self.failed = 0

    def began(self, envelope: Envelope, address: str, queued: int) -> None:
        if envelope.origin.id * _SPREAD % _WHOLE >= self._threshold:
            return
        try:
            self._begin(envelope, address, queued)
        except Exception as error:
            self._note_failure(error)

    def ended(self, envelope: Envelope, address: str, error: BaseException | None) -> None:
        span = self._open.pop(address, None)
        if span is None:
            return
        try:
            _end(span, error)
        except Exception as fault:
            self._note_failure(fault)

    def declined(self, envelope: Envelope, address: str) -> None:
        self._open.pop(address, None)  # a span that does not end is not exported

    def changed(self, address: str, state: State) -> None:
        if state is State.GONE and (span := self._open.pop(address, None)) is not None:
            span.end()

    def _begin(self, envelope: Envelope, address: str, queued: int) -> None:
        origin = envelope.origin
        attributes: dict[str, str | int | float] = {
            "actor.address": self._clean(address, _TEXT),
            "message.id": envelope.id,
            "message.cause": envelope.cause,
            "message.sender": self._clean(envelope.sender, _TEXT),
            "mailbox.wait": envelope.began_at - envelope.sent_at,
            "mailbox.queued": queued,
            "origin.id": origin.id,
            "origin.name": self._clean(origin.name, _TEXT),
        }
        for label, value in origin.labels.items():
            attributes[f"origin.{label}"] = self._clean(str(value), _TEXT)
        sender = self._contexts.get(envelope.cause)
        span = self._tracer.start_span(
            envelope.kind,
            # An empty context, so that no other instrumentation in the process becomes its parent.
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=() if sender is None else (Link(sender),),
        )
        self._open[address] = span
        self._contexts[envelope.id] = span.get_span_context()
        if len(self._contexts) > self._remembered:
            self._contexts.popitem(last=False)

    def _note_failure(self, error: Exception) -> None:
        # A boundary: the actors must go on whatever the SDK does. Once is enough to say so.
        self.failed += 1
        if self.failed == 1:
            log.error("a span could not be made; no more of this is said", exc_info=error)


def _end(span: Span, error: BaseException | None) -> None:
    if isinstance(error, Exception):
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        # Its text may quote people.
        name = type(error).__name__
        span.set_attribute("error.type", name)
        span.set_status(Status(StatusCode.ERROR, name))
    elif error is not None:
        span.set_attribute("cancelled", True)
    span.end()


def open_export(endpoint: str, sample: float) -> SpanExport:
    """Spans on their way to *endpoint*, sent in batches by a thread of the SDK's own.

    What does not fit into its queue is dropped. The SDK's own variables apply, such as `OTEL_SERVICE_NAME`,
    `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_BSP_MAX_QUEUE_SIZE`.
    """
    ours = {"service.name": "triologue", "service.version": __version__}
    theirs = OTELResourceDetector().detect().attributes
    provider = TracerProvider(
        resource=Resource.create({name: value for name, value in ours.items() if name not in theirs}),
        # `Spans` has chosen already, by origin.
        sampler=ALWAYS_ON,
        # It would wait for half a minute.
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=_traces_url(endpoint))))
    return SpanExport(Spans(provider.get_tracer("triologue", __version__), sample=sample), provider.shutdown)


def _traces_url(endpoint: str) -> str:
    """Where traces go at *endpoint*, which may name that already, as the protocol lays down."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_TRACES) else path + _TRACES))
