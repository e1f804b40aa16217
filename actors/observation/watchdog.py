"""Tells when trio's loop was held: a task that computes or blocks, and nobody else gets a turn.

The loop itself only says when its turns begin and end. A thread beside it looks every few milliseconds
whether one lasts too long, and then where it is: afterwards nobody could tell.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any

import trio
from attrs import define, frozen

from .frames import FrameView, Place, frame_of, local, running_places, runs_trio, view
from .tasks import actor_of
from .thread_times import ThreadTimes, Times

log = logging.getLogger("actors")

_POLL = 0.025
_TOO_LONG_TO_WAIT_FOR = 1.0
_KEPT = 50


@frozen
class Hold:
    """The loop was held. `began` is on `time.perf_counter`.

    `stack` is where, outermost first, seen once while it lasted; empty if it could not be seen. `actor` is
    the address of the actor whose task it was. `note` tells a person what else is known.
    """

    began: float
    seconds: float
    stack: tuple[FrameView, ...]
    actor: str | None
    note: str


@frozen
class Mark:
    """What was counted up to some moment."""

    at: float
    times: Times
    collecting: float
    """Seconds that garbage was collected."""
    stopped: float
    """Seconds that nothing of the process ran although it was to."""


@define(eq=False)
class _Sight:
    """What the thread saw of one turn of the loop."""

    began: float
    before: Mark
    places: tuple[Place, ...] = ()
    task: str = ""
    told: Hold | None = None


class Watchdog(trio.abc.Instrument):
    """Watches the trio loop it is entered in, until it is left. That costs a microsecond a turn of the loop.

    Not a hold is what the machine did, as far as that can be told: a process that was stopped, a machine that
    slept or had no processor free. Such a turn points at no code; it only counts in `starved`.

    Args:
        on_hold: Called once for every hold: when it is over, in trio's thread, outside all tasks; or, if it
            goes on for more than a second, at once, in the watchdog's thread, with "still going on" in its
            note. In `holds`, its entry is corrected when it is over. What it raises is logged.
        limit: The longest turn, in seconds, that is not a hold.
    """

    def __init__(self, on_hold: Callable[[Hold], None], *, limit: float = 0.1) -> None:
        self.limit = limit
        self.holds: deque[Hold] = deque(maxlen=_KEPT)
        """The newest few."""
        self.total = 0
        """How many there were."""
        self.starved = 0
        """How many turns were too long through no fault of the program."""
        self._on_hold = on_hold
        self._began = 0.0
        self._sight: _Sight | None = None
        self._collecting = 0.0
        self._collection_began = 0.0
        self._telling = threading.Lock()
        self._left = threading.Event()
        self._leaving = ExitStack()

    def __enter__(self) -> Watchdog:
        self._thread_ident = threading.get_ident()
        self._left.clear()
        with ExitStack() as entering:
            self._times = entering.enter_context(closing(ThreadTimes()))
            mark = Mark(perf_counter(), self._times.read(), self._collecting, 0.0)
            self._marks = mark, mark
            """The latest two that the thread made. Read and written in one go, as both threads use them."""
            self._began = mark.at
            trio.lowlevel.add_instrument(self)
            entering.callback(self._remove_from_trio)
            gc.callbacks.append(self._on_collection)
            entering.callback(gc.callbacks.remove, self._on_collection)
            thread = threading.Thread(target=self._watch, name="watchdog of trio's loop", daemon=True)
            thread.start()
            # It may be in the middle of telling; then it ends by itself.
            entering.callback(thread.join, 1.0)
            entering.callback(self._left.set)
            self._leaving = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.before_io_wait(0.0)  # the turn that it is left in counts as well
        self._leaving.close()

    def _remove_from_trio(self) -> None:
        with suppress(KeyError):  # trio drops an instrument that raises
            trio.lowlevel.remove_instrument(self)

    # -- in trio's thread. An exception in these two would end the watch without a word.

    def after_io_wait(self, timeout: float) -> None:
        self._began = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        began, self._began = self._began, 0.0
        if perf_counter() - began > self.limit and began:
            self._end(began)

    def _end(self, began: float) -> None:
        earlier, last = self._marks
        now = self._mark(last)
        sight = self._sight
        if sight is None or sight.began != began:
            # The thread saw nothing of it, or too late.
            sight = _Sight(began, last if last.at <= began else earlier)
        self._judge(sight, now)

    # -- in the watchdog's thread

    def _watch(self) -> None:
        poll = min(_POLL, self.limit / 4)
        while not self._left.wait(poll):
            self._look()

    def _look(self) -> None:
        _, before = self._marks
        now = self._mark(before)
        self._marks = before, now
        began = self._began
        if not began:
            return
        sight = self._sight
        if sight is None or sight.began != began:
            sight = self._sight = _Sight(began, now if now.at <= began else before)
        age = now.at - began
        # Earlier than need be, for a hold may be over before the next look.
        if age > self.limit / 2 and not sight.places:
            self._take_stack(sight)
        if age > _TOO_LONG_TO_WAIT_FOR and sight.told is None and self._began == began:
            self._judge(sight, now, "still going on")

    def _take_stack(self, sight: _Sight) -> None:
        frame = frame_of(self._thread_ident)
        places, task = running_places(frame), _task_at(frame)
        del frame
        if self._began == sight.began:  # else it was over meanwhile, and this is something else
            sight.task = task
            sight.places = places
            for place in places:
                view(place)  # reads files, which trio's thread then need not

    # -- in either

    def _mark(self, last: Mark) -> Mark:
        """What is counted by now; and for how long the process seems to have been stopped since *last*.

        The watchdog's thread was to look again after a short pause. If it did not, and the process did not
        compute in the meantime either, then it could not. (C code that blocks and keeps the interpreter's
        lock looks the same.)
        """
        at, times = perf_counter(), self._times.read()
        late = at - last.at - _POLL - (times.process - last.times.process)
        return Mark(at, times, self._collecting, last.stopped + max(0.0, late))

    def _judge(self, sight: _Sight, now: Mark, *notes: str) -> None:
        seconds = now.at - sight.began
        note = explain(seconds, sight.before, now, limit=self.limit, seen=bool(sight.places))
        stack = tuple(view(place) for place in sight.places)
        with self._telling:
            if note is None:
                self.starved += not notes
                return
            hold = Hold(sight.began, seconds, stack, actor_of(sight.task), "; ".join((*notes, *note)))
            told, sight.told = sight.told, hold
            if told is not None:
                self._correct(told, hold)
                return
            self.holds.append(hold)
            self.total += 1
        try:
            self._on_hold(hold)
        except Exception:
            # A boundary: trio would drop this instrument, or the thread would end, and nobody watch any more.
            log.exception("what is told of a held loop failed")

    def _correct(self, told: Hold, hold: Hold) -> None:
        for index, kept in enumerate(self.holds):
            if kept is told:
                self.holds[index] = hold

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collection_began = perf_counter()
        else:
            self._collecting += perf_counter() - self._collection_began


def explain(seconds: float, before: Mark, after: Mark, *, limit: float, seen: bool) -> list[str] | None:
    """What is to be said of a turn of so many seconds between the two marks; `None` if it was no hold."""
    held_off = _between(before.times.held_off, after.times.held_off) or 0.0
    computed = _between(before.times.computed, after.times.computed)
    collecting = after.collecting - before.collecting
    # The same trouble may show in both.
    lost = max(held_off, after.stopped - before.stopped)
    if seconds - lost <= limit:
        return None
    much = seconds / 5
    notes: list[str] = []
    if lost > much:
        notes.append(f"the machine was busy with others for {lost:.3f} s of it")
    if collecting > much:
        notes.append(f"garbage was collected for {collecting:.3f} s of it")
    if computed is not None and computed < much:
        notes.append(f"the thread computed for {max(0.0, computed):.3f} s and waited for the rest")
    if not seen:
        notes.append("where could not be seen: something kept the interpreter's lock")
    return notes


def _between(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _task_at(frame: FrameType | None) -> str:
    """The name of the task that *frame* belongs to; empty if it belongs to none."""
    while frame is not None and not runs_trio(frame):
        frame = frame.f_back
    # Which task runs, trio tells only in its own thread. In ours, its loop's variable has to do.
    task = None if frame is None else local(frame, "task")
    return task.name if isinstance(task, trio.lowlevel.Task) else ""
