"""Spans that are sent somewhere: the part that is there without the extra `otel`."""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import frozen

from actors import Observer

# Seconds at the end for spans that were not sent yet.
PATIENCE = 0.5


class ExtraMissing(ValueError):
    """A setting asks for what is not installed. Its text is one line for the operator."""


@frozen
class SpanExport:
    """An *observer* to attach to the actors, and what is to be done in the end."""

    observer: Observer
    _shut_down: Callable[[], object]

    async def aclose(self) -> None:
        """Send what waits, half a second at most, even while being cancelled."""
        with trio.move_on_after(PATIENCE, shield=True):
            # A limiter and a thread of its own, left behind if a collector takes nothing.
            await trio.to_thread.run_sync(  # noqa: TID251
                self._shut_down, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )


def export_spans(endpoint: str, *, sample: float = 1.0) -> SpanExport | None:
    """Spans for a *sample* (0 to 1) of what happens, on their way to *endpoint*; none if that is empty.

    Raises:
        ExtraMissing: The extra `otel` is not installed.
    """
    if not endpoint:
        return None
    try:
        # Only now: it takes a third of a second, and may be missing.
        from .otel import open_export
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise ExtraMissing(
            "telemetry.otlp_endpoint needs what is not installed: pip install 'triologue[otel]'"
        ) from None
    return open_export(endpoint, sample)
