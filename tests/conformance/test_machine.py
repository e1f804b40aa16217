"""Every store does what the model does, whatever comes in whichever batches."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from server.chat import (
    BeginReply,
    Busy,
    Command,
    ConversationKey,
    Edit,
    EndReply,
    Image,
    MarkRead,
    Message,
    Plain,
    Post,
    Recall,
    Refusal,
    Regenerate,
    Reset,
    SaveReply,
    Sender,
)
from server.storage import SqlStore
from tests.chat.chains import chains

from .model import Model
from .places import Place, Server, careless

KEYS = [
    ConversationKey("p", "person", "one"),
    ConversationKey("p", "group", "one"),
    ConversationKey("q", "group", "two"),
]
PEOPLE = [Sender("ann", "Ann"), Sender("bob", "Bob\0‮")]
BOT = Sender("bot", "")

ids = st.integers(0, 14) | st.sampled_from([-1, 2**63, 2**70])
texts = st.sampled_from(["", "one", "two\0", "дрей", "\U0001f600"])
said = (
    texts.map(lambda text: (Plain(text),))
    | st.just((Plain("see"), Image(base64="data:image/png;base64,aGk=", url="u")))
    | chains
)


class Machine(RuleBasedStateMachine):
    """Tells a store and the model the same, and compares what they say and what they know."""

    sealed = False
    server: Server | None = None

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="triologue-store-"))
        url = f"sqlite:///{self.path}/s.db" if self.server is None else self.server.new_database()
        self.place = Place(url, self.path if self.sealed else None)
        self.store: SqlStore = self.place.open(prepare=careless)
        self.model = Model()
        self.last: list[Command[Any]] = []

    def teardown(self) -> None:
        self.place.close()
        if self.server is not None:
            self.server.drop(self.place.url)
        shutil.rmtree(self.path)

    @property
    def now(self) -> datetime:
        return self.place.clock.now

    @rule(data=st.data(), size=st.integers(1, 12))
    def write(self, data: st.DataObject, size: int) -> None:
        commands, expected = [], []
        for _ in range(size):
            command = data.draw(self.commands())
            commands.append(command)
            expected.append(self.model.do(command))
        self._tell(commands, expected)

    @rule()
    def retry(self) -> None:
        self._tell(self.last, [self.model.do(command) for command in self.last])

    @rule(hours=st.sampled_from([0.001, 11, 13, 25]))
    def wait(self, hours: float) -> None:
        self.place.clock.now += timedelta(hours=hours)

    @rule()
    def reopen(self) -> None:
        self.place.close()
        self.store = self.place.open(prepare=careless)

    @rule()
    def maintain(self) -> None:
        self.store.maintain()

    @rule(hours=st.none() | st.sampled_from([0, 1, 12, 30]), keep=st.none() | st.integers(0, 6))
    def trim(self, hours: int | None, keep: int | None) -> None:
        before = None if hours is None else self.now - timedelta(hours=hours)
        assert set(self.store.trim(before=before, keep=keep)) == self.model.trim(before, keep)

    @rule()
    def draw_epochs(self) -> None:
        self.store.new_epochs()
        for key, there in self.model.conversations.items():
            epoch = self.store.load(key, epoch="", messages=0).epoch
            assert epoch != there.epoch
            there.epoch = epoch

    @rule(
        key=st.sampled_from(KEYS),
        limit=st.integers(1, 6),
        before=st.none() | ids,
        after=st.none() | ids,
        alternatives=st.booleans(),
    )
    def look_back(
        self, key: ConversationKey, limit: int, before: int | None, after: int | None, alternatives: bool
    ) -> None:
        found = self.store.messages(key, limit=limit, before=before, after=after, alternatives=alternatives)
        there = self.model.conversations.get(key)
        known = there.history(alternatives) if there else []
        expected = [
            message
            for message in known
            if (before is None or message.id < before) and (after is None or message.id > after)
        ]
        oldest_first = after is not None and before is None
        assert found == tuple(expected[:limit] if oldest_first else expected[-limit:])

    @rule(key=st.sampled_from(KEYS), after=ids, upto=ids, limit=st.integers(1, 5))
    def read_on(self, key: ConversationKey, after: int, upto: int, limit: int) -> None:
        found = self.store.facts(key, after=after, upto=upto, limit=limit)
        there = self.model.conversations.get(key)
        known = there.facts(after, min(upto, there.last_seq)) if there else ()
        assert found == known[:limit]

    @invariant()
    def agree(self) -> None:
        for key in KEYS:
            for after in (None, 0, 5):
                known = self.model.load(key, "offered", 7, after)
                assert self.store.load(key, epoch="offered", messages=7, after=after) == known
        assert set(self.store.unsettled()) == self.model.unsettled()

    def _tell(self, commands: list[Command[Any]], expected: list[Any]) -> None:
        self.last = commands
        assert _plainly(self.store.write(commands)) == _plainly(expected)

    def commands(self) -> st.SearchStrategy[Command[Any]]:
        """Anything, but rather what makes sense now."""
        return st.sampled_from(KEYS).flatmap(self._commands)

    def _commands(self, key: ConversationKey) -> st.SearchStrategy[Command[Any]]:
        there = self.model.conversations.get(key)
        known: list[Message] = list(there.messages.values()) if there else []
        any_id = ids | st.sampled_from([message.id for message in known] or [1])
        waiting = ids | st.sampled_from((list(there.questions) if there else []) or [1])
        running = ids | st.sampled_from(([reply.id for reply in there.open] if there else []) or [2])
        where: dict[str, Any] = {
            "key": st.just(key),
            "epoch": st.just("e0"),
            "at": st.just(self.now),
        }
        who = st.sampled_from([person.id for person in PEOPLE])
        post = st.builds(
            Post,
            **where,
            chain=said,
            sender=st.sampled_from(PEOPLE),
            connection_id=st.just("c"),
            stream=st.booleans(),
            scope=st.sampled_from(["", "ann"]),
            client_msg_id=st.none() | st.sampled_from(["1", "2\0", "3"]),
            reply_to=st.none() | any_id,
            expires_at=st.none() | st.just(self.now) | st.just(self.now - timedelta(seconds=1)),
            otherwise=st.none() | st.none() | st.none() | st.just(Busy()),
            answered_by=st.none() | st.just(BOT),
        )
        easy_post = st.builds(
            Post,
            **where,
            chain=said,
            sender=st.sampled_from(PEOPLE),
            connection_id=st.just("c"),
            answered_by=st.sampled_from([None, None, BOT]),
        )
        begin = st.builds(
            BeginReply, **where, question=waiting, connection_id=st.just("c"), sender=st.just(BOT)
        )
        usage = st.none() | st.just({"tokens": 7, "cost": 0.5})
        return st.one_of(
            post,
            easy_post,
            begin,
            begin,
            st.builds(SaveReply, **where, reply=running, text=texts),
            st.builds(EndReply, **where, reply=running, text=texts, reason=texts, usage=usage),
            st.builds(EndReply, **where, reply=running, text=texts, reason=st.just("stop")),
            st.builds(Regenerate, **where, id=any_id, by=who, anybody=st.booleans(), stream=st.booleans()),
            st.builds(Edit, **where, id=any_id, by=who, chain=said),
            st.builds(Recall, **where, id=any_id, by=who),
            st.builds(MarkRead, **where, by=who, up_to=any_id),
            st.builds(Reset, **where),
        )


def _plainly(answers: list[Any]) -> list[Any]:
    """Refusals are equal if they are of one kind."""
    return [type(answer) if isinstance(answer, Refusal) else answer for answer in answers]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sealing", [False, True], ids=["plain", "sealed"])
def test_sqlite_does_what_the_model_does(sealing: bool) -> None:
    """Over any commands, batches, retries, restarts, retention and time."""

    class OnSqlite(Machine):
        sealed = sealing

    _try(OnSqlite, examples=8 if sealing else 16)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sealing", [False, True], ids=["plain", "sealed"])
def test_postgresql_does_what_the_model_does(sealing: bool, server: Server) -> None:
    """The same, on the other database."""
    there = server

    class OnPostgresql(Machine):
        sealed = sealing
        server = there

    _try(OnPostgresql, examples=8)


def _try(machine: type[Machine], *, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
