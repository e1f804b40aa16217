"""The databases that the tests of copies run on are those of the conformance suite."""

from __future__ import annotations

from tests.conformance.conftest import file_place, place, server, url

__all__ = ["file_place", "place", "server", "url"]
