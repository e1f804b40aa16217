"""What a client does while it has a socket: it talks, changes its mind, and keeps what has no answer yet."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field, frozen

from .answers import Attempt
from .court import check_history
from .wire import Frame, Wire

if TYPE_CHECKING:
    from .client import Client

ANY_LEVEL = ("reset", "garbage", "ping")
LEVEL_2 = ("edit", "recall", "regenerate", "stop", "read")
# How long a client waits for an answer that must come: longer than the server's own patience.
LONGEST = 45.0


@frozen
class Draft:
    """Something a client wants to say, once."""

    own_id: str
    text: str
    reply_to: int | None = None
    expires_at: str | None = None
    expired: bool = False
    stream: bool = True

    def frame(self) -> Frame:
        frame: Frame = {
            "type": "message",
            "message": [{"type": "Plain", "text": self.text}],
            "client_msg_id": self.own_id,
        }
        if self.reply_to is not None:
            frame["reply_to"] = self.reply_to
        if self.expires_at is not None:
            frame["expires_at"] = self.expires_at
        if not self.stream:
            frame["stream"] = False
        return frame


@define(eq=False)
class Deeds:
    """The deeds of one client, over all of its sockets."""

    client: Client
    steps: int
    owed: dict[str, Draft] = field(factory=dict)
    """What it has said and has no answer for."""
    acked: list[Draft] = field(factory=list)
    settled: bool = False
    """Whether it has all its answers, now that all is calm."""
    _ids: Iterator[int] = field(factory=lambda: count(1))
    _answered: dict[str, trio.Event] = field(factory=dict)
    _verdicts: dict[str, str] = field(factory=dict)

    def hear(self, own_id: str, verdict: str) -> None:
        """The server's answer to what was said under that id: `ack`, `again`, or an error's code."""
        self._verdicts[own_id] = verdict
        if own_id in self._answered:
            self._answered[own_id].set()

    async def act(self, wire: Wire) -> None:
        """What it does on one socket, until it wants to leave, or the run is over."""
        for own_id in list(self.owed):
            await self._say(wire, self.owed[own_id])
        while self.steps > 0 and not self.client.calm.is_set():
            self.steps -= 1
            await trio.sleep(self.client.dice.random() * self.client.habit.pause)
            if not await self._do_something(wire):
                return
        if not self.client.calm.is_set():
            with trio.move_on_after(self.client.dice.uniform(0.0, 5.0)):
                await self.client.calm.wait()
            if self.client.dice.random() < 0.5 and not self.client.calm.is_set():
                return
        await self.client.calm.wait()
        await self._settle(wire)
        await self.client.over.wait()

    async def _settle(self, wire: Wire) -> None:
        """In the end every message has its answer."""
        for _ in range(300):
            for own_id in list(self.owed):
                await self._say(wire, self.owed[own_id], patience=LONGEST)
            if not self.owed:
                break
            await trio.sleep(self.client.dice.uniform(0.5, 2.0))
        else:
            self.client.journal.broken(
                "an error is not for ever", f"{self.client.name} still waits for {list(self.owed)}"
            )
        self.settled = True

    async def _do_something(self, wire: Wire) -> bool:
        """False if it leaves."""
        dice = self.client.dice
        if dice.random() < 0.15:
            self.client.journal.note(self.client.label, "leaves")
            if dice.random() < 0.3:
                wire.send({"type": "disconnect"})
                await trio.sleep(1.0)
            return False
        acts = ANY_LEVEL if self.client.habit.dialect == "document" else ANY_LEVEL + LEVEL_2
        liked = [act for act in acts if act in self.client.habit.habits]
        act: Callable[[Wire], Awaitable[None]] = self._say_something
        if liked and dice.random() < 0.5:
            act = getattr(self, f"_{dice.choice(liked)}")
        await act(wire)
        if self.client.to_fetch:
            self.client.to_fetch = False
            await self._fetch_history()
        return True

    async def _fetch_history(self) -> None:
        """As one is told to by `gap`."""
        key = self.client.habit.key
        path = f"/api/v1/pipelines/{key.pipeline}/ws/messages/{key.session_type}?session_id={key.session_id}"
        answer = await self.client.server.request("GET", path)
        if answer is None or answer[0] != 200:
            self.client.journal.note(self.client.label, f"history: {answer and answer[0]}")
            return
        messages = json.loads(answer[1])["data"]["messages"]
        self.client.journal.note(self.client.label, f"history: {[message['id'] for message in messages]}")
        self.client.journal.count("history fetched")
        check_history(self.client.court, key, messages)

    async def _say_something(self, wire: Wire) -> None:
        if self.client.habit.dialect == "document":
            text = f"{self.client.name} says {next(self._ids)}"
            stream = {"stream": False} if self.client.likes("whole") else {}
            self._send(wire, {"message": [{"type": "Plain", "text": text}], **stream})
            return
        if self.acked and self.client.likes("same again"):
            draft = self.client.dice.choice(self.acked)
        elif (self.acked or self.owed) and self.client.likes("other body"):
            draft = evolve(
                self.client.dice.choice([*self.acked, *self.owed.values()]), text=f"other {next(self._ids)}"
            )
        else:
            draft = self._new_draft()
        await self._say(wire, draft)

    def _new_draft(self) -> Draft:
        number = next(self._ids)
        draft = Draft(f"{number}\x00é" if number == 3 else f"m{number}", f"{self.client.name} says {number}")
        if self.client.heard_of and self.client.dice.random() < 0.2:
            draft = evolve(draft, reply_to=self.client.dice.choice(self.client.heard_of))
        if self.client.likes("expires"):
            late = self.client.dice.random() < 0.5
            draft = evolve(draft, expires_at=self.client.now_text(-1.0 if late else 3600.0), expired=late)
        return evolve(draft, stream=False) if self.client.likes("whole") else draft

    async def _say(self, wire: Wire, draft: Draft, patience: float | None = None) -> None:
        """Say it and wait for the answer, for a while; what has none stays owed."""
        own_id, witness = draft.own_id, self.client.witness
        assert witness is not None
        known = any(draft.own_id == other.own_id for other in self.acked)
        if not known:
            self.owed.setdefault(own_id, draft)
        self._verdicts.pop(own_id, None)
        answered = self._answered[own_id] = trio.Event()
        witness.answers.asks(own_id, Attempt(draft.text, draft.reply_to, draft.expired))
        self._send(wire, draft.frame())
        patience = patience or self.client.habit.patience
        with trio.move_on_after(patience):
            await answered.wait()
        match self._verdicts.get(own_id):
            case None:
                self.client.journal.count("unanswered")
                if patience >= LONGEST and not wire.gone:
                    self.client.journal.broken(
                        "everything is answered", f"{self.client.label}: {own_id} in {patience} s"
                    )
            case "ack":
                said = self.owed.pop(own_id, None)
                if said is not None:
                    self.acked.append(draft)
            case "again":
                self.client.journal.count("said again")
            case "conflict" if own_id in self.owed and draft != self.owed[own_id]:
                pass  # the other body was stored; the first one is still to be asked for
            case _:
                self.owed.pop(own_id, None)

    def _send(self, wire: Wire, frame: Frame | str) -> None:
        self.client.journal.note(self.client.label, f"→ {frame if isinstance(frame, str) else short(frame)}")
        wire.send(frame)

    async def _edit(self, wire: Wire) -> None:
        number = self._some_message("forbidden")
        text = f"{self.client.name} edits {next(self._ids)}"
        self._send(wire, {"type": "edit", "id": number, "message": [{"type": "Plain", "text": text}]})

    async def _recall(self, wire: Wire) -> None:
        self._send(wire, {"type": "recall", "id": self._some_message("forbidden")})

    def _some_message(self, otherwise: str) -> int:
        if self.client.likes(otherwise) or not self.client.own:
            return self.client.dice.choice([*self.client.heard_of, *self.client.replies, 0, 999])
        return self.client.dice.choice(self.client.own[-3:])

    async def _regenerate(self, wire: Wire) -> None:
        self._send(wire, {"type": "regenerate", "id": self._some_message("forbidden")})

    async def _stop(self, wire: Wire) -> None:
        self.client.court.stops.setdefault(self.client.habit.key, self.client.journal.now)
        self._send(wire, {"type": "stop"})

    async def _read(self, wire: Wire) -> None:
        known = [*self.client.heard_of, *self.client.replies]
        self._send(wire, {"type": "read", "up_to": self.client.dice.choice(known) if known else 1})

    async def _reset(self, wire: Wire) -> None:
        if self.client.dice.random() < 0.5:
            return
        key = self.client.habit.key
        self.client.court.stops.setdefault(key, self.client.journal.now)
        path = f"/api/v1/pipelines/{key.pipeline}/ws/reset/{key.session_type}?session_id={key.session_id}"
        answer = await self.client.server.request("POST", path)
        status = None if answer is None else answer[0]
        self.client.journal.note(self.client.label, f"reset: {status}")
        self.client.journal.count(f"reset {status}")

    async def _garbage(self, wire: Wire) -> None:
        self._send(
            wire,
            self.client.dice.choice(("{", "[]", '{"type":"message"}', '{"type":"no such type"}', "null")),
        )

    async def _ping(self, wire: Wire) -> None:
        for _ in range(self.client.dice.choice([1, 1, 20])):
            self._send(wire, {"type": "ping"})


def short(frame: Frame) -> str:
    return " ".join(f"{key}={value!r}" for key, value in frame.items() if key not in ("session_type",))[:300]
