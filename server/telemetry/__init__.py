"""What operators see from outside: log lines, and spans for OpenTelemetry.

Rooms that log import structlog, not this room. Importing it is enough for their lines to go the right way,
even those from before the settings are known.
"""

from .logs import configure_logging, route_to_logging
from .spans import ExtraMissing, SpanExport, export_spans

route_to_logging()

__all__ = ["ExtraMissing", "SpanExport", "configure_logging", "export_spans"]
