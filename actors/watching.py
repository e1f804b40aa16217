"""Who is to hear of whose end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .lifecycle import Down, ExitReason

Tell = Callable[[Down], Any]


class Watcher(Protocol):
    """One life of an actor that watches others: a watch does not outlast it."""

    watched: set[Watched] | None

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
    if watcher.watched is None:
        watcher.watched = set()
    watcher.watched.add(watched)


def unwatch(watcher: Watcher, watched: Watched) -> None:
    """*watcher* does not want to learn of it any more."""
    if watched.watchers is not None:
        watched.watchers.pop(watcher, None)
    if watcher.watched is not None:
        watcher.watched.discard(watched)


def forget_all(watcher: Watcher) -> None:
    """*watcher*'s life is over."""
    all_watched, watcher.watched = watcher.watched, None
    for watched in all_watched or ():
        if watched.watchers is not None:
            watched.watchers.pop(watcher, None)


def announce(watched: Watched, reason: ExitReason) -> None:
    """Tell everybody who watches that *watched* is gone."""
    watchers, watched.watchers = watched.watchers, None
    for watcher, tells in (watchers or {}).items():
        if watcher.watched is not None:
            watcher.watched.discard(watched)
        for tell in tells:
            watcher.learn(tell, Down(watched.address, reason))
