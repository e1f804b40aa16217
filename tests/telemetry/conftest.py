"""What configuring logging changes in a process is put back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from server.telemetry import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in (*logs.OURS, "root")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logs.route_to_logging()
