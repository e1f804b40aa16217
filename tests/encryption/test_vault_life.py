"""A vault's life at random: whatever happens, a key that was given out works until it is destroyed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.encryption import (
    KeyFileError,
    KeyRing,
    KeyStore,
    new_key,
    open_key_store,
    retire,
    rewrap,
    usage,
)

from .stores import NOON, Clock, bytes_beside, open_vault, rows_of, sqlite_url


class Crash(BaseException):
    """The process ends here."""


class VaultLife(RuleBasedStateMachine):
    """Opens, destroys, rotates, retires, sweeps, restarts; crashes between any two commits of these."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vault"))
        self.url = sqlite_url(self.folder / "keys.db")
        self.clock = Clock()
        # What the data names, and what was sealed by each key.
        self.named: dict[bytes, bytes] = {}
        self.opened: dict[bytes, datetime] = {}
        self.orphans: set[bytes] = set()
        self.dead: dict[bytes, bytes] = {}

    @initialize()
    def start(self) -> None:
        self.vault = open_vault(self.folder, self.url, self.clock)
        self.digest = self.vault.digest(b"said")

    def teardown(self) -> None:
        self.vault.close()
        shutil.rmtree(self.folder)

    def _store(self) -> KeyStore:
        return open_key_store(self.url)

    @rule(count=st.integers(1, 12), orphaned=st.booleans())
    def open_keys(self, count: int, orphaned: bool) -> None:
        """With *orphaned* the process is killed before it names them in the data."""
        keys = self.vault.open_keys(count)
        self.opened |= {key.id: self.clock() for key in keys}
        if orphaned:
            self.orphans |= {key.id for key in keys}
        else:
            self.named |= {key.id: key.seal(b"body", key.id) for key in keys}
        self.clock.forward(1)

    @precondition(lambda self: self.named)
    @rule(data=st.data(), killed=st.booleans())
    def destroy(self, data: st.DataObject, killed: bool) -> None:
        """Recall. With *killed* the data is changed, and the process gone before the key is."""
        doomed = data.draw(st.lists(st.sampled_from(sorted(self.named)), min_size=1, unique=True))
        rows = rows_of(self.url)
        for key_id in doomed:
            del self.named[key_id]
        if killed:
            self.orphans |= set(doomed)
            return
        self.vault.destroy(doomed)
        self.dead |= {key_id: rows[key_id].wrapped for key_id in doomed}

    @rule(later=st.sampled_from([0.0, 1800.0, 3700.0]))
    def sweep(self, later: float) -> None:
        """After an hour nothing is left of what a crash left behind; before it, all."""
        rows = rows_of(self.url)
        self.clock.forward(later)
        old = {key for key in self.orphans if self.opened[key] < self.clock() - timedelta(hours=1)}

        def used(ids: Collection[bytes]) -> Collection[bytes]:
            return [key_id for key_id in ids if key_id in self.named]

        assert self.vault.sweep(used) == len(old)
        self.orphans -= old
        self.dead |= {key_id: rows[key_id].wrapped for key_id in old}

    @rule()
    def add_master_key(self) -> None:
        """The first half of a rotation: nothing else, for now."""
        new_key(self.folder / "keys", NOON)

    @rule(crash_at=st.integers(0, 4))
    def rotate(self, crash_at: int) -> None:
        """All of it, or as far as a kill lets it come; and again."""
        new_key(self.folder / "keys", NOON)
        ring = KeyRing.read(self.folder / "keys")
        store = self._store()
        try:
            _crash_after(store, crash_at)
            rewrap(store, ring)
        except Crash:
            return
        finally:
            store.close()
        assert {row.master for row in rows_of(self.url).values()} == {ring.current.id}

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """Refused exactly as long as it would cost a message."""
        ring = KeyRing.read(self.folder / "keys")
        master = data.draw(st.sampled_from([key.id for key in ring.keys]))
        store = self._store()
        try:
            needed = dict(usage(store, ring).held)[master] > 0
            try:
                retire(store, ring, master)
            except KeyFileError:
                assert needed or master == ring.current.id
            else:
                assert not needed
                assert master not in {key.id for key in KeyRing.read(self.folder / "keys").keys}
        finally:
            store.close()

    @rule()
    def restart(self) -> None:
        self.vault.close()
        self.vault = open_vault(self.folder, self.url, self.clock)

    @rule()
    def be_killed(self) -> None:
        """The files as they are at this moment are all that the next process finds."""
        survived = Path(tempfile.mkdtemp(prefix="vault"))
        for file in self.folder.iterdir():
            shutil.copy(file, survived / file.name)
        self.vault.close()
        shutil.rmtree(self.folder)
        self.folder = survived
        self.url = sqlite_url(self.folder / "keys.db")
        self.vault = open_vault(self.folder, self.url, self.clock)

    @invariant()
    def what_is_named_can_be_read(self) -> None:
        found = self.vault.keys(self.named)
        assert set(found) == set(self.named)
        for key_id, sealed in self.named.items():
            assert found[key_id].unseal(sealed, key_id) == b"body"

    @invariant()
    def what_is_destroyed_is_nowhere(self) -> None:
        assert not self.vault.keys(self.dead)
        content = bytes_beside(self.folder / "keys.db")
        assert not [key_id for key_id, wrapped in self.dead.items() if wrapped[12:] in content]

    @invariant()
    def nothing_else_is_lost(self) -> None:
        assert set(self.vault.keys(self.orphans)) == self.orphans
        assert self.vault.digest(b"said") == self.digest


def _crash_after(store: KeyStore, writes: int) -> None:
    """Have *store* die after so many transactions."""
    write = store.write
    left = writes

    def counting(*, alone: bool = False) -> object:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1
        return write(alone=alone)

    object.__setattr__(store, "write", counting)


VaultLife.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_a_vault_s_life = VaultLife.TestCase
