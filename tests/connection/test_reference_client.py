"""The client that `docs/protocol.md` shows does what the document says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from server.connection.framing import texts
from server.connection.outbox import Outbox
from server.messages import Dialect, Event, Gap

from .happenings import GREETING, added, ended, grew, happened, some_fact, welcomed

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


@pytest.fixture
def client() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["Client"]()


def tell(client: Any, dialect: Dialect, *events: Event) -> None:
    box = Outbox(dialect, GREETING)
    for event in events:
        frames = box.frames(event)
        for text in texts(frames or b""):
            client.hear(json.loads(text))


@pytest.mark.parametrize("dialect", ["document", "cumulative", "delta"])
def test_it_puts_a_reply_together(client: Any, dialect: Dialect) -> None:
    """In each dialect, and also if it had a part of it before."""
    client.texts[2] = "On"
    tell(client, dialect, welcomed(), added(1), grew("🙂nce"), grew("🙂nce upon", 4))
    assert client.texts == {1: "Hi", 2: "🙂nce upon"}

    tell(client, dialect, welcomed(1), grew("🙂nce upon a", 9), ended(2, "🙂nce upon a time", 11))
    assert client.texts[2] == "🙂nce upon a time"
    assert client.cursor == "e1.2"


def test_it_keeps_its_place(client: Any) -> None:
    """By whatever bears a seq, except an ack."""
    tell(client, "cumulative", welcomed(4), *(happened(some_fact("read", seq)) for seq in (5, 6)))
    client.hear({"type": "ack", "client_msg_id": "x", "id": 9, "seq": 9, "duplicate": False})
    assert client.cursor == "e1.6"

    tell(client, "cumulative", welcomed(4), Gap("e2.8", "trimmed"), happened(some_fact("edited", 9)))
    assert client.cursor == "e2.9"
    assert client.texts == {1: "Ho"}


def test_it_says_again_what_nobody_acknowledged(client: Any) -> None:
    """And what was refused for good, no more."""
    for name in ("a", "b", "c"):
        client.say(name, "Hi")
    client.hear({"type": "ack", "client_msg_id": "a", "id": 1, "seq": 1, "duplicate": False})
    client.hear({"type": "error", "message": "No", "code": "busy", "retry": True, "client_msg_id": "b"})
    client.hear({"type": "error", "message": "No", "code": "expired", "retry": False, "client_msg_id": "c"})

    assert list(client.unacked) == ["b"]


@pytest.mark.parametrize(("kind", "texts"), [("recalled", {}), ("reset", {}), ("read", {1: "Hi"})])
def test_it_forgets_what_is_gone(client: Any, kind: str, texts: dict[int, str]) -> None:
    """A recall is for everybody."""
    tell(client, "delta", welcomed(), added(1), happened(some_fact(kind, 2)))

    assert client.texts == texts
