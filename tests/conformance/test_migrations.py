"""Tables are made and brought up to date by whoever starts, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from server.storage import PlainVault, SqlStore, StoreUnusable, make_engine, upgrade
from server.storage.schema import REVISIONS, tables

from .saying import do, post


def test_upgrading_makes_the_tables_once(url: str) -> None:
    """The second time there is nothing to do, and what is stored stays."""
    engine = make_engine(url)

    assert upgrade(engine)
    store = SqlStore(engine, PlainVault())
    do(store, post("a"))
    assert not upgrade(engine)
    assert do(store, post("b")).id == 2
    store.close()


def test_the_scripts_make_what_the_schema_says(url: str) -> None:
    """The schema is what the store works with; the scripts are what databases are made by."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = make_engine(url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences: list[Any] = compare_metadata(context, tables)
    engine.dispose()

    assert differences == []


def test_every_revision_is_known() -> None:
    """A start compares names only, without Alembic, which takes long to import."""
    folder = Path(sys.modules[upgrade.__module__].__file__ or "").parent / "versions"
    scripts = sorted(path.name.split("_")[0] for path in folder.glob("[0-9]*.py"))

    assert tuple(scripts) == REVISIONS


def test_tables_of_a_newer_release_are_left_alone(url: str) -> None:
    """They may mean what this one does not know."""
    engine = make_engine(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StoreUnusable, match="newer Triologue"):
        upgrade(engine)
    engine.dispose()


def test_of_two_that_start_together_one_makes_the_tables(url: str) -> None:
    """Both start."""
    made = []

    def start() -> None:
        engine = make_engine(url)
        made.append(upgrade(engine))
        engine.dispose()

    threads = [Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False, True]


def test_a_current_store_opens_without_alembic(tmp_path: Path) -> None:
    """A cold start has a second for everything; whoever stores nothing does not even pay for SQLAlchemy."""
    url = f"sqlite:///{tmp_path}/s.db"
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
    program = (
        "import sys, server.storage as s\n"
        "print('sqlalchemy' in sys.modules)\n"
        f"engine = s.make_engine({url!r}); s.upgrade(engine); s.SqlStore(engine, s.PlainVault()).close()\n"
        "print('alembic' in sys.modules, 'psycopg' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False", "False"]
