"""`triologue top`: the actors of a running server as a table that is always new."""

from __future__ import annotations

import argparse
import json
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime

import trio
from rich.console import Console, RenderableType
from rich.live import Live

from .looking.admin import Admin, Unanswered, Unreachable, look
from .looking.answers import Actors, check
from .looking.rates import rows, sort
from .looking.terminal import duration, make_console
from .looking.top_view import KEYS, Look, top_view

PATIENCE = 2.0
"""Seconds that an answer may take before that is said."""


def run(arguments: argparse.Namespace) -> int:
    """Show the table until told to stop: 0, or 1 if there was nothing to show."""

    async def show(admin: Admin) -> int:
        if arguments.json:
            print(json.dumps(await admin.actors(), indent=2))
            return 0
        top = Top(admin, make_console(), by=arguments.sort, interval=arguments.interval)
        if arguments.once:
            await top.once()
        else:
            await top.watch()
        return 0

    return look(arguments.url, show)


class Top:
    """Looks at the actors of *admin*'s server every *interval* seconds, and shows them on *console*."""

    def __init__(self, admin: Admin, console: Console, *, by: str, interval: float) -> None:
        self._admin = admin
        self._console = console
        self._by = by
        self._interval = interval
        self._seen: Actors | None = None
        self._before: Actors | None = None
        self._seen_at = self._before_at = trio.current_time()
        self._trouble: tuple[str, str] | None = None
        self._changed = trio.Event()

    async def once(self) -> None:
        """Show it once, with what happened within an interval."""
        await self._look()
        await trio.sleep(self._interval)
        await self._look()
        self._console.print(self._view(keys=False))

    async def watch(self) -> None:
        """Show it until `q` is typed; what the server does not answer then, it may answer later.

        Raises:
            Unanswered: Not even once.
        """
        await self._look()
        keys = self._console.is_terminal and sys.stdin.isatty()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_looking)
            with self._screen() as show, typing() if keys else nullcontext():
                if keys:
                    nursery.start_soon(self._obey, nursery.cancel_scope)
                while True:
                    show(self._view(keys=keys))
                    with trio.move_on_after(self._interval):  # the clock goes on, too
                        await self._changed.wait()
                    self._changed = trio.Event()

    @contextmanager
    def _screen(self) -> Iterator[Callable[[RenderableType], None]]:
        """How to show a view: on a screen of its own, or, where there is none, one below the other."""
        if not self._console.is_terminal:
            yield self._console.print
            return
        with Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda view: live.update(view, refresh=True)

    async def _keep_looking(self) -> None:
        while True:
            await trio.sleep(self._interval)
            try:
                await self._look()
            except Unreachable as error:
                self._trouble = ("server gone", str(error))
            except Unanswered as error:
                self._trouble = ("no answer", str(error))
            self._changed.set()

    async def _look(self) -> None:
        actors = check(self._admin.host, await self._admin.actors(), Actors)
        self._before, self._before_at = self._seen, self._seen_at
        self._seen, self._seen_at = actors, trio.current_time()
        self._trouble = None

    async def _obey(self, whole: trio.CancelScope) -> None:
        while True:
            await trio.lowlevel.wait_readable(sys.stdin)
            typed = os.read(sys.stdin.fileno(), 64).decode("ascii", "replace")
            if not typed or "q" in typed:
                whole.cancel()
            for key in typed:
                self._by = KEYS.get(key, self._by)
            self._changed.set()

    def _view(self, *, keys: bool) -> RenderableType:
        assert self._seen is not None
        silent = trio.current_time() - self._seen_at
        trouble = None
        if self._trouble is not None:
            what, why = self._trouble
            trouble = f"{what}, retrying ({duration(silent)}): {why}"
        elif silent > self._interval + PATIENCE:
            trouble = f"no answer for {duration(silent)}"  # as of a server whose loop is held
        look = Look(
            rows=sort(rows(self._before, self._seen, self._seen_at - self._before_at), self._by),
            host=self._admin.host,
            time=f"{datetime.now().astimezone():%H:%M:%S}",
            dead_letters=self._seen.dead_letters.total,
            holds=self._seen.holds.total,
            trouble=trouble,
        )
        if not self._console.is_terminal:
            return top_view(look, by=self._by)
        width, height = self._console.size
        return top_view(look, by=self._by, width=width, height=height, keys=keys)


@contextmanager
def typing() -> Iterator[None]:
    """Within this, what is typed arrives key by key and is not shown."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
