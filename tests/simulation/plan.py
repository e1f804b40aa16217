"""What a seed decides before its run: how many take part, what they do, and what goes wrong.

Each seed switches on only some faults and habits: a run in which everything goes wrong at once hardly gets
anywhere, and never shows what two faults do together that a third one hides ("swarm testing", Groce et al.,
2012).
"""

from __future__ import annotations

from random import Random

from attrs import frozen

from server.chat import ConversationKey, SessionType

from .straight_wire import Weather

PIPELINES = {
    "plain": "00000000-0000-4000-8000-0000000000a1",
    "resuming": "00000000-0000-4000-8000-0000000000a2",
    "unheard": "00000000-0000-4000-8000-0000000000a3",
}

CRASHES = (
    "storage",
    "registry",
    "conversation",
    "pipeline",
    "pipelines",
    "reply",
    "directory",
    "connections",
    "connection",
    "keeper",
    "farewell",
)
STORE_FAULTS = ("refused", "unknown", "one refused", "slow", "failing period")
ENDS = ("kill", "drain")
HABITS = (
    "other body",
    "same again",
    "edit",
    "recall",
    "regenerate",
    "stop",
    "read",
    "reset",
    "garbage",
    "ping",
    "bad cursor",
    "stale cursor",
    "no cursor",
    "slow",
    "nap",
    "expires",
    "whole",
    "forbidden",
)
MOODS = ("fails", "raises", "hangs", "silent", "long", "quick")


@frozen(kw_only=True)
class Habit:
    """How one client behaves. `patience` and `pause` are seconds; *steps* is how many things it does."""

    dialect: str
    key: ConversationKey
    steps: int
    patience: float
    pause: float
    habits: frozenset[str]


@frozen(kw_only=True)
class Plan:
    """One run's circumstances. Times in seconds.

    Attributes:
        clients: Who takes part.
        strikes: What may be struck: actors to crash, and ends of the process.
        between: The mean time between two strikes.
        store_faults: How the store may fail; each of its calls with probability `store_risk`.
        latency: The longest a store call usually takes, before and again after.
        moods: What models may do besides answering.
        storm: How long things go wrong.
        weather: What the network is like.
        turns: Whether members are told in turns even if they are only two, and one a turn.
        apart: Whether each piece of a reply has a frame of its own, though several leave together.
    """

    seed: int
    clients: tuple[Habit, ...]
    strikes: tuple[str, ...]
    between: float
    store_faults: tuple[str, ...]
    store_risk: float
    latency: float
    moods: tuple[str, ...]
    storm: float
    mailbox: int
    queue: int
    drain: float
    idle: float
    trims: bool
    weather: Weather
    turns: bool
    apart: bool


def plan_of(seed: int) -> Plan:
    """The circumstances of that seed."""
    dice = Random(f"plan {seed}")
    keys = [_key(dice, number) for number in range(dice.choice([1, 1, 1, 2, 2, 3]))]
    habits = _some(dice, HABITS)
    calm = dice.random() < 0.08  # now and then nothing goes wrong: then nothing at all may be lost or refused
    return Plan(
        seed=seed,
        clients=tuple(_habit(dice, keys, habits) for _ in range(dice.choice([1, 2, 2, 3, 3, 4]))),
        strikes=() if calm else _some(dice, CRASHES + 2 * ENDS),
        between=dice.choice([0.7, 2.0, 5.0]),
        store_faults=() if calm else _some(dice, STORE_FAULTS),
        store_risk=dice.choice([0.01, 0.05, 0.2]),
        latency=dice.choice([0.002, 0.02, 0.2]),
        moods=_some(dice, MOODS),
        storm=dice.choice([3.0, 6.0, 12.0]),
        mailbox=dice.choice([16, 32, 256]),
        queue=dice.choice([1, 2, 16]),
        drain=dice.choice([0.0, 0.5, 3.0]),
        idle=dice.choice([1.0, 300.0]),
        trims=dice.random() < 0.15,
        weather=Weather(
            window=dice.choice([100, 400, 2000, 2**16]),
            short=dice.random() < 0.7,
            stalls=not calm and dice.random() < 0.5,
        ),
        turns=dice.random() < 0.5,
        apart=dice.random() < 0.5,
    )


def _key(dice: Random, number: int) -> ConversationKey:
    kind: SessionType = dice.choice(["person", "group"])
    return ConversationKey(PIPELINES[dice.choice(list(PIPELINES))], kind, f"room-{number}")


def _habit(dice: Random, keys: list[ConversationKey], habits: tuple[str, ...]) -> Habit:
    return Habit(
        dialect=dice.choice(["cumulative", "cumulative", "delta", "delta", "document"]),
        key=dice.choice(keys),
        steps=dice.randint(3, 10),
        patience=dice.choice([0.05, 0.5, 40.0]),
        pause=dice.choice([0.05, 0.4, 1.5]),
        habits=frozenset(_some(dice, habits)),
    )


def _some(dice: Random, things: tuple[str, ...]) -> tuple[str, ...]:
    share = dice.choice([0.2, 0.5, 0.8])
    return tuple(thing for thing in dict.fromkeys(things) if dice.random() < share)
