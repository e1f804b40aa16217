"""Who is to hear of whose end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .lifecycle import Down, ExitReason

Tell = Callable[[Down], Any]


class Watcher(Protocol):
    """One life of an actor that watches others: a watch does not outlast it."""

    watched: set[Watched]

    def learn(self, tell: Tell, down: Down) -> None: ...


class Watched(Protocol):
    """An actor that may be watched."""

    address: str
    reason: ExitReason | None
    watchers: dict[Watcher, list[Tell]] | None


def watch(watcher: Watcher, watched: Watched, tell: Tell) -> None:
    """Let *watcher* learn of *watched*'s end once; at once, if it has ended already."""
    if watched.reason is not None:
        watcher.learn(tell, Down(watched.address, watched.reason))
        return
    if watched.watchers is None:
        watched.watchers = {}
    watched.watchers.setdefault(watcher, []).append(tell)
    watcher.watched.add(watched)


def forget_all(watcher: Watcher) -> None:
    """*watcher*'s life is over."""
    for watched in watcher.watched:
        if watched.watchers is not None:
            watched.watchers.pop(watcher, None)
    watcher.watched.clear()


def announce(watched: Watched, reason: ExitReason) -> None:
    """Tell everybody who watches that *watched* is gone."""
    watchers, watched.watchers = watched.watchers, None
    for watcher, tells in (watchers or {}).items():
        watcher.watched.discard(watched)
        for tell in tells:
            watcher.learn(tell, Down(watched.address, reason))
