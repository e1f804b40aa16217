"""The tests.

A room that is tested alone logs as it does in the server: to the standard library's loggers.
"""

import server.telemetry  # noqa: F401
