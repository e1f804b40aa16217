"""Both ways on which a socket comes in: of any ASGI server, and on the TCP socket itself."""

from __future__ import annotations

from functools import partial

import pytest

from .house import Client, Opens, StraightClient, house


@pytest.fixture(name="house", params=[Client, StraightClient], ids=["asgi", "straight"])
def house_of_each_kind(request: pytest.FixtureRequest) -> Opens:
    return partial(house, kind=request.param)
