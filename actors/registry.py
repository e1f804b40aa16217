"""Names and groups: how actors find each other that nobody has introduced.

A registry is an actor like any other: start one in your tree, under a name of your choice, and hand its ref
around. What it knows is also noted with the actors themselves, so a registry that restarts has lost nothing:
it asks the living. An actor's entries go with it; over the actor's own restarts they stay.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from .actor import Actor
from .ask import Question
from .causality import next_id
from .errors import ActorError, RecipientStopped
from .ref import ActorRef

NAME, GROUP = "name", "group"


class NameTaken(ActorError):
    """*name* belongs to the living actor at *address*."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(f"the name {name!r} is taken by {address}")
        self.name = name
        self.address = address


@frozen(eq=False)
class Register(Question["RegistryMessage", None]):
    """Give *ref* a name. Refused with `NameTaken`, or `RecipientStopped` if it is gone."""

    name: str
    ref: ActorRef[Any]


@frozen(eq=False)
class Unregister(Question["RegistryMessage", None]):
    """Free *name*, if it is taken."""

    name: str


@frozen(eq=False)
class WhereIs(Question["RegistryMessage", ActorRef[Any] | None]):
    """Who bears *name*; `None` if nobody does."""

    name: str


@frozen(eq=False)
class Join(Question["RegistryMessage", None]):
    """Make *ref* a member of *group*, once however often. Refused with `RecipientStopped` if it is gone."""

    group: str
    ref: ActorRef[Any]


@frozen(eq=False)
class Leave(Question["RegistryMessage", None]):
    """Make *ref* a member of *group* no longer, if it was one."""

    group: str
    ref: ActorRef[Any]


@frozen(eq=False)
class Members(Question["RegistryMessage", tuple[ActorRef[Any], ...]]):
    """The members of *group*, in the order in which they joined."""

    group: str


@frozen
class Forget:
    """The actor behind *ref* is gone."""

    ref: ActorRef[Any]


RegistryMessage = Register | Unregister | WhereIs | Join | Leave | Members | Forget


class Registry(Actor[RegistryMessage]):
    """Knows who bears which name, and who belongs to which group."""

    capacity = 1024

    def __init__(self) -> None:
        self._names: dict[str, ActorRef[Any]] = {}
        self._groups: dict[str, dict[ActorRef[Any], None]] = {}
        self._known: dict[ActorRef[Any], set[tuple[str, str]]] = {}

    async def started(self) -> None:
        """Learn from the living what an earlier life knew."""
        mine = self.ref.address
        found: list[tuple[int, str, str, ActorRef[Any]]] = [
            (number, what, key, ActorRef(actor))
            for actor in self.context.everybody()
            for (registry, what, key), number in (actor.claims or {}).items()
            if registry == mine
        ]
        for _, what, key, ref in sorted(found, key=lambda claim: claim[0]):
            self._enter(what, key, ref)

    async def handle(self, message: RegistryMessage) -> None:
        match message:
            case Register(name, ref):
                self._register(message, name, ref)
            case Unregister(name):
                if name in self._names:
                    self._remove(NAME, name, self._names[name])
                message.answer(None)
            case WhereIs(name):
                bearer = self._names.get(name)
                message.answer(bearer if bearer is not None and bearer.alive else None)
            case Join(group, ref):
                if not ref.alive:
                    message.refuse(RecipientStopped(ref.address, message))
                else:
                    self._enter(GROUP, group, ref)
                    message.answer(None)
            case Leave(group, ref):
                self._remove(GROUP, group, ref)
                message.answer(None)
            case Members(group):
                message.answer(tuple(ref for ref in self._groups.get(group, ()) if ref.alive))
            case Forget(ref):
                for what, key in list(self._known.get(ref, ())):
                    self._remove(what, key, ref)
                self._known.pop(ref, None)

    def _register(self, question: Register, name: str, ref: ActorRef[Any]) -> None:
        bearer = self._names.get(name)
        if not ref.alive:
            question.refuse(RecipientStopped(ref.address, question))
        elif bearer is not None and bearer != ref and bearer.alive:
            question.refuse(NameTaken(name, bearer.address))
        else:
            if bearer is not None:
                self._remove(NAME, name, bearer)  # it is ending; that word has not come yet
            self._enter(NAME, name, ref)
            question.answer(None)

    def _enter(self, what: str, key: str, ref: ActorRef[Any]) -> None:
        if what == NAME:
            self._names[key] = ref
        else:
            self._groups.setdefault(key, {})[ref] = None
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = set()
            self.watch(ref, lambda _: Forget(ref))
        known.add((what, key))
        claims = ref._recipient.claims
        if claims is None:
            claims = ref._recipient.claims = {}
        claims.setdefault((self.ref.address, what, key), next_id())

    def _remove(self, what: str, key: str, ref: ActorRef[Any]) -> None:
        known = self._known.get(ref)
        if known is None or (what, key) not in known:
            return
        known.discard((what, key))  # even if nothing is left: it is watched, and once is enough
        (ref._recipient.claims or {}).pop((self.ref.address, what, key), None)
        if what == NAME:
            del self._names[key]
            return
        members = self._groups[key]
        del members[ref]
        if not members:
            del self._groups[key]
