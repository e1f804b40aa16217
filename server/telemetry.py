"""Where log lines go: to standard error, one line each, with their time and origin."""

from __future__ import annotations

import logging
import sys


def configure_logging(level: str) -> None:
    """Send our log lines of *level* and above to standard error, unless somebody has set up logging."""
    if not logging.root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        # The `hypercorn` command prints its own lines by itself.
        handler.addFilter(lambda record: not record.name.startswith("hypercorn."))
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.WARNING)
    for ours in ("actors", "server"):
        logging.getLogger(ours).setLevel(level.upper())
