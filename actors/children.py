"""The children of one life of an actor: in which order they start and stop, and who restarts with whom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Protocol

import trio

from .restart import Restart, Strategy

TOGETHER = "restarts with its siblings"


class Child(Protocol):
    """An actor as its parent's family sees it."""

    name: str
    restart: Restart

    @property
    def resting(self) -> bool:
        """Whether it is between two lives and waits to be told to go on."""

    async def rest(self, reason: str) -> None:
        """End the present life, within the grace, and wait for `resume`."""

    def resume(self) -> None: ...
    async def wait_begun(self) -> None:
        """Until its life has `started`, or is over."""

    async def stop_and_wait(self, reason: str) -> None: ...


class Children:
    """Living children in the order of their start."""

    __slots__ = ("_closed", "_failed", "_members", "conducting", "strategy")

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.conducting = False
        self._members: dict[str, Child] = {}
        self._failed: dict[Child, float] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[Child]:
        return iter(self._members.values())

    def add(self, child: Child) -> None:
        self._members[child.name] = child

    def remove(self, child: Child) -> None:
        self._members.pop(child.name, None)
        self._failed.pop(child, None)

    async def stop_all(self, reason: str) -> None:
        """Stop them one by one, newest first: each may still need those before it."""
        self._closed = True
        while self._members:
            await next(reversed(self._members.values())).stop_and_wait(reason)

    def note_failed(self, child: Child, delay: float) -> None:
        """*child* is resting and has to be restarted with its group, at the earliest in *delay* seconds."""
        self._failed[child] = delay

    async def restart_groups(self) -> None:
        """Restart the groups of all that failed, and of those that fail meanwhile: one round after another.

        In each the group's lives end, newest first; then they begin anew in the order of their first start,
        each after the one before it has started.
        """
        self.conducting = True
        try:
            while self._failed and not self._closed:
                spared, delay = self._spared(), max(self._failed.values())
                self._failed.clear()
                await self._end_lives(spared)
                await trio.sleep(delay)
                for child in [child for child in self if child.resting]:
                    if self._failed or self._closed:
                        break  # the next round begins with those that this one leaves resting
                    child.resume()
                    await child.wait_begun()
        finally:
            self.conducting = False

    def _spared(self) -> set[Child]:
        """Those that don't depend on any that failed."""
        if self.strategy is Strategy.REST_FOR_ONE:
            return set(takewhile(lambda child: child not in self._failed, self))
        return set()

    async def _end_lives(self, spared: set[Child]) -> None:
        """Of all but *spared*, newest first; whoever is spawned meanwhile has met what ends, and ends too."""
        known = set(self)
        living = [child for child in self if child not in spared]
        while living:
            child = living.pop()
            if child.restart is Restart.TEMPORARY:
                await child.stop_and_wait(TOGETHER)
            else:
                await child.rest(TOGETHER)
            spawned = list(takewhile(lambda child: child not in known, reversed(self._members.values())))
            known.update(spawned)
            living += reversed(spawned)
