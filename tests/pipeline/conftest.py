"""A scripted upstream and the models that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio

from .fake_upstream import FakeUpstream


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's proxy has no business on the loopback."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def upstream(nursery: trio.Nursery) -> AsyncIterator[FakeUpstream]:
    listeners: list[trio.SocketListener] = await nursery.start(
        partial(_listen_and_serve, fake := FakeUpstream(0))
    )
    fake.port = listeners[0].socket.getsockname()[1]
    yield fake
    nursery.cancel_scope.cancel()


async def _listen_and_serve(fake: FakeUpstream, *, task_status: trio.TaskStatus[object]) -> None:
    await trio.serve_tcp(fake.serve, 0, host="127.0.0.1", task_status=task_status)
