"""The key store in PostgreSQL: what is its own, beside what it shares with the file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from server.encryption import KeyStoreError
from server.encryption.postgres_store import PostgresKeyStore

from .stores import open_vault


def cut_off(postgres: str, url: str) -> None:
    """End every connection to the database at *url*, as a restart of the server does."""
    name = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def test_a_server_that_was_away_is_an_error_and_then_over(
    tmp_path: Path, postgres: str, postgres_url: str
) -> None:
    """One question fails for all the connections of before; none of them is tried again."""
    with closing(open_vault(tmp_path, postgres_url)) as vault:
        ids = [key.id for key in vault.open_keys(3)]
        vault.keys(ids)
        cut_off(postgres, postgres_url)
        with pytest.raises(KeyStoreError) as told:
            vault.open_keys(1)
        assert "\n" not in str(told.value)
        assert len(vault.open_keys(2)) == 2
        assert len(vault.keys(ids)) == 3


def test_a_commit_is_on_the_disk_whatever_the_database_s_default(postgres: str, postgres_url: str) -> None:
    """An operator may have traded durability for speed, for data that can be had again."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
    with closing(PostgresKeyStore(postgres_url)) as store, store._connection("read") as connection:
        row = connection.execute("SHOW synchronous_commit").fetchone()

    assert row == ("on",)


def test_a_stronger_default_stays(postgres: str, postgres_url: str) -> None:
    """A commit that waits for a standby is not made one that doesn't."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = remote_apply'.encode())
    with closing(PostgresKeyStore(postgres_url)) as store, store._connection("read") as connection:
        row = connection.execute("SHOW synchronous_commit").fetchone()

    assert row == ("remote_apply",)


def test_a_store_that_only_commands_use_is_not_made(postgres_url: str) -> None:
    """They would make it with an operator's rights, and the server could not write."""
    with (
        closing(PostgresKeyStore(postgres_url, create=False)) as store,
        pytest.raises(KeyStoreError, match="can't be read"),
        store.look() as rows,
    ):
        rows.counts()


def test_its_name_holds_neither_user_nor_password(postgres_url: str) -> None:
    """It stands in every error and in `keys status`."""
    with closing(PostgresKeyStore(postgres_url.replace("postgres:@", "postgres:hunter2@"))) as store:
        assert "hunter2" not in store.name
        assert "postgres:" not in store.name.removeprefix("postgresql:")
