"""Sees where a task's step is that takes long: from a thread beside, for afterwards nobody could tell."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import NamedTuple

from .frames import Place, frame_of, running_places

_LOOK = 0.01
_KEPT = 100


class Seen(NamedTuple):
    """Where a long step was, at `times` of the `looks` that were taken at it."""

    places: tuple[Place, ...]
    times: int
    looks: int


class StepSampler:
    """Looks at the thread that starts it, every 10 ms while a step lasts.

    Args:
        long_step: How long a step may take, in nanoseconds, before somebody will ask about it.
    """

    def __init__(self, long_step: int) -> None:
        # Earlier, for a step may be over before the next look.
        self._look_from = max(0, long_step - int(2e9 * _LOOK))
        self._looks: deque[tuple[int, tuple[Place, ...]]] = deque(maxlen=_KEPT)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, running_since: Callable[[], int]) -> None:
        """Begin. *running_since* tells when the step began that is running, in nanoseconds; 0 if none is."""
        self._thread = threading.Thread(
            target=self._run,
            args=(running_since, threading.get_ident()),
            name="sampler of long steps",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def take(self, step: int) -> Seen | None:
        """Where the step that began at *step* was, most of the time; `None` if it was not seen."""
        looks = Counter(places for began, places in self._looks.copy() if began == step)
        self._looks.clear()
        if not looks:
            return None
        ((places, times),) = looks.most_common(1)
        return Seen(places, times, looks.total())

    def _run(self, running_since: Callable[[], int], thread: int) -> None:
        while not self._over.wait(_LOOK):
            began = running_since()
            if not began or perf_counter_ns() - began < self._look_from:
                continue
            frame = frame_of(thread)
            places = running_places(frame)
            del frame
            if running_since() == began:  # else it was over meanwhile, and this is something else
                self._looks.append((began, places))
