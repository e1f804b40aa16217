"""Looking inside the running server: its actors, tasks, stacks, traces, numbers and health; and ending it.

Nothing here waits for an actor: what hangs is what one comes to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio
from quart import Blueprint

from actors import ActorSystem, Watchdog

from .actors import actors
from .drain import drain
from .guard import BLUEPRINT, PREFIX, guard_admin
from .health import health, unready
from .measures import Meter
from .metrics import metrics
from .tasks import tasks
from .traces import Traces

__all__ = ["Traces", "admin", "guard_admin"]


def admin(
    system: ActorSystem,
    watchdog: Watchdog | None,
    draining: trio.Event,
    begin_drain: Callable[[], None],
    traces: Traces,
) -> Blueprint:
    """All routes of this room.

    Args:
        watchdog: Which watches the loop that this runs in, if one does.
        draining: Set when the server begins to end.
        begin_drain: Has it begin to end.
    """
    inside = Blueprint("inside", __name__, url_prefix=PREFIX)
    # One at a time: many who look must not slow down those who chat, nor each hold megabytes.
    turn = trio.CapacityLimiter(1)
    inside.register_blueprint(actors(system, watchdog, turn))
    inside.register_blueprint(tasks(turn))
    inside.register_blueprint(traces.routes())
    inside.register_blueprint(drain(begin_drain))
    blueprint = Blueprint(BLUEPRINT, __name__)
    blueprint.register_blueprint(inside)
    blueprint.register_blueprint(metrics(Meter(system, watchdog).read))
    blueprint.register_blueprint(health(partial(unready, system, draining)))
    return blueprint
