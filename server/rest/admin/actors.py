"""`GET /api/v1/admin/actors`, and one of them: who lives, what each does and what each waits for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import perf_counter

import trio
from quart import Blueprint, Response, request

from actors import ActorSystem, ActorView, Watchdog
from server.rest.problems import problem

from .shapes import actor_json, dead_letter_json, gone_json, hold_json, message_json
from .slices import Writer, ok_sliced, ok_whole

LIMIT = 10_000
_number = re.compile("[0-9]{1,6}", re.ASCII)


def actors(system: ActorSystem, watchdog: Watchdog | None, turn: trio.CapacityLimiter) -> Blueprint:
    """The routes over the actors of *system*; large answers take their *turn*."""
    blueprint = Blueprint("actors", __name__, url_prefix="/actors")

    @blueprint.get("")
    async def list_actors() -> Response:
        limit = parse_limit(request.args.getlist("limit"))
        if limit is None:
            return problem(400, "bad_request", "limit must be given at most once, as a whole number")
        prefix = request.args.get("prefix", "")
        async with turn:
            addresses = [address for address in system.addresses() if address.startswith(prefix)]
            writer = Writer()
            writer.write(b'{"actors":')
            await writer.write_array(look_at(system, addresses[:limit]), actor_json)
            writer.write(b',"gone":')
            await writer.write_array((g for g in system.gone() if g.address.startswith(prefix)), gone_json)
            letters = system.dead_letters
            writer.write(b',"dead_letters":{"total":%d,"recent":' % letters.total)
            await writer.write_array(tuple(letters.recent), dead_letter_json)
            holds = () if watchdog is None else tuple(watchdog.holds)
            total = 0 if watchdog is None else watchdog.total
            now = perf_counter()
            writer.write(b'},"holds":{"total":%d,"recent":' % total)
            await writer.write_array(holds, lambda hold: hold_json(hold, now))
            writer.write(b"}}")
        response = ok_sliced(writer)
        # How many there are, though not all may be told.
        response.headers["X-Total-Count"] = str(len(addresses))
        return response

    @blueprint.get("/<path:address>", merge_slashes=False)
    async def show_actor(address: str) -> Response:
        view = system.actor(address)
        if view is not None:
            recent = [message_json(message) for message in system.recent(address)]
            return ok_whole(
                {**actor_json(view), "recent": recent, "attributes": dict(system.get_state(address) or {})}
            )
        for gone in reversed(system.gone()):
            if gone.address == address:
                return ok_whole({"gone": gone_json(gone)})
        return problem(404, "not_found", "No such actor, now or lately")

    return blueprint


def look_at(system: ActorSystem, addresses: list[str]) -> Iterator[ActorView]:
    """The actors at *addresses* that still live, each as it is when its turn comes.

    All at once would be of one moment, and hold everybody up for longer than it.
    """
    for address in addresses:
        view = system.actor(address)
        if view is not None:
            yield view


def parse_limit(values: list[str]) -> int | None:
    """How many actors to tell, from the query's *values*; `None` if they are no good."""
    if not values:
        return LIMIT
    if len(values) > 1 or _number.fullmatch(values[0]) is None:
        return None
    return int(values[0])
