"""Faults planted on purpose, to see that the checker finds them. It knows nothing of them.

Each is rare: it shows in a few places of a few runs, as a real one would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any

import trio
from attrs import evolve

from server.chat import Command, Post
from server.connection.socket_port import Socket
from server.storage import Store, StoreError

from .run import Run
from .wire import AsgiWire
from .witness import Witness

# A Ping of the heartbeat, and how a Close begins.
PING_FRAME, CLOSE_FRAME = b"\x89\x00", 0x88
SEQ_BEARING = ("user_message", "edited", "recalled", "reset", "read")


def ack_before_commit(run: Run) -> None:
    """Now and then a batch is answered from a copy of the database, and committed a moment later."""
    dice = Random(f"plant ack {run.plan.seed}")

    class Hasty:
        def __init__(self, store: Store) -> None:
            self._store = store
            self._late: list[Command[Any]] = []

        def __getattr__(self, name: str) -> Any:
            self._commit_late()
            return getattr(self._store, name)

        def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
            self._commit_late()
            if dice.random() > 0.05:
                return self._store.write(commands)
            copy = run.database.copy()
            answers = copy.store.write(commands)
            copy.close()
            self._late = list(commands)
            run.nursery.start_soon(self._soon)
            return answers

        async def _soon(self) -> None:
            process = run.process
            await trio.sleep(dice.uniform(0.0, 0.2))
            if process is run.process and process is not None and not process.gone:
                self._commit_late()

        def _commit_late(self) -> None:
            late, self._late = self._late, []
            if late:
                try:
                    self._store.write(late)
                except StoreError:
                    run.journal.note("plant", "an answered batch was lost")

    run.wrap_store = lambda store: Hasty(store)


def no_dedupe(run: Run) -> None:
    """Every tenth message's `client_msg_id` is not remembered."""
    dice, numbers = Random(f"plant dedupe {run.plan.seed}"), count()

    class Forgetful:
        def __init__(self, store: Store) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
            return self._store.write([self._changed(command) for command in commands])

        def _changed(self, command: Command[Any]) -> Command[Any]:
            if isinstance(command, Post) and dice.random() < 0.1:
                return evolve(command, scope=f"{command.scope} {next(numbers)}")
            return command

    run.wrap_database = lambda store: Forgetful(store)


def unsynced(run: Run) -> None:
    """A power cut now and then takes back the last commit."""
    dice = Random(f"plant sync {run.plan.seed}")

    class Unsynced:
        def __init__(self, store: Store) -> None:
            self._store = store
            self._before: bytes | None = None

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
            self._before = run.database.dump()
            return self._store.write(commands)

        def cut(self) -> None:
            if self._before is not None and dice.random() < 0.3:
                run.database.put_back(self._before)

    def wrap(store: Store) -> Store:
        unsynced = Unsynced(store)
        run.at_kill = unsynced.cut
        return unsynced

    run.wrap_database = wrap


def _on_the_wire(
    change: Callable[[Random, Witness, dict[str, Any], list[str]], list[str]],
) -> Callable[[Run], None]:
    """A plant that changes what leaves: *change* gets a frame and all texts so far, and says what to send."""

    def stage(run: Run) -> None:
        dice = Random(f"plant wire {run.plan.seed}")

        def wrap(wire: AsgiWire, witness: Witness) -> AsgiWire:
            send, texts = wire.asgi_send, list[str]()

            async def planted(event: dict[str, Any]) -> None:
                if event["type"] != "websocket.send":
                    await send(event)
                    return
                for text in change(dice, witness, json.loads(event["text"]), [*texts, event["text"]]):
                    await send({**event, "text": text})
                texts.append(event["text"])

            wire.asgi_send = planted  # type: ignore[method-assign]
            return wire

        run.wrap_wire = wrap
        run.straight = 0.0

    return stage


def _is_final(frame: dict[str, Any]) -> bool:
    return frame["type"] == "response" and bool(frame["data"].get("is_final"))


def _late_chunk(dice: Random, _: Witness, frame: dict[str, Any], texts: list[str]) -> list[str]:
    if _is_final(frame) and dice.random() < 0.1:
        for text in reversed(texts[:-1]):
            earlier = json.loads(text)
            if earlier["type"] == "response" and not _is_final(earlier):
                return [texts[-1], text]
    return [texts[-1]]


def _skipped_at_resume(dice: Random, witness: Witness, frame: dict[str, Any], texts: list[str]) -> list[str]:
    first = not any(json.loads(text)["type"] in SEQ_BEARING for text in texts[:-1])
    if witness.resumed and first and frame["type"] in SEQ_BEARING and dice.random() < 0.3:
        return []
    return [texts[-1]]


def _live_hole(dice: Random, _: Witness, frame: dict[str, Any], texts: list[str]) -> list[str]:
    missing = (frame["type"] in SEQ_BEARING or _is_final(frame)) and dice.random() < 0.01
    return [] if missing else [texts[-1]]


def _second_final(dice: Random, _: Witness, frame: dict[str, Any], texts: list[str]) -> list[str]:
    return [texts[-1]] * (2 if _is_final(frame) and dice.random() < 0.03 else 1)


def _on_the_socket(
    written: Callable[[Random, Socket, bytes, int], int],
) -> Callable[[Run], None]:
    """A plant between the server and its socket: *written* is told what of some bytes was taken just now, may
    write more, and says what the server believes was taken."""

    def stage(run: Run) -> None:
        dice = Random(f"plant socket {run.plan.seed}")

        class Planted:
            def __init__(self, socket: Socket) -> None:
                self._socket = socket

            def __getattr__(self, name: str) -> Any:
                return getattr(self._socket, name)

            def send(self, data: bytes | memoryview, /) -> int:
                return written(dice, self._socket, bytes(data), self._socket.send(data))

        run.wrap_socket = lambda socket, _: Planted(socket)

    return stage


def _lost_byte(dice: Random, _: Socket, data: bytes, taken: int) -> int:
    return taken + 1 if 0 < taken < len(data) and dice.random() < 0.02 else taken


def _byte_again(dice: Random, _: Socket, data: bytes, taken: int) -> int:
    return taken - 1 if 0 < taken < len(data) and dice.random() < 0.02 else taken


def _overtaking_ping(dice: Random, socket: Socket, data: bytes, taken: int) -> int:
    if 0 < taken < len(data) and dice.random() < 0.02:
        with suppress(BlockingIOError):
            socket.send(PING_FRAME)
    return taken


def _ping_after_close(dice: Random, socket: Socket, data: bytes, taken: int) -> int:
    if data[0] == CLOSE_FRAME and taken == len(data) and dice.random() < 0.1:
        with suppress(BlockingIOError):
            socket.send(PING_FRAME)
    return taken


PLANTS: dict[str, Callable[[Run], None]] = {
    "ack before commit": ack_before_commit,
    "no dedupe": no_dedupe,
    "chunk after final": _on_the_wire(_late_chunk),
    "skipped event at resume": _on_the_wire(_skipped_at_resume),
    "hole in live events": _on_the_wire(_live_hole),
    "second final": _on_the_wire(_second_final),
    "commit lost at a power cut": unsynced,
    "byte lost at a short write": _on_the_socket(_lost_byte),
    "byte written twice": _on_the_socket(_byte_again),
    "frame within another": _on_the_socket(_overtaking_ping),
    "frame after Close": _on_the_socket(_ping_after_close),
}
