"""Statements for many rows at once, as text for the driver.

SQLAlchemy writes most of them in the database's dialect, once. The driver's own cursor then takes each row as
a plain tuple or dict, and gives plain tuples: what SQLAlchemy does around every execution costs several times
what SQLite needs for it. So the values have to be what the driver takes and gives: numbers, booleans (SQLite
gives numbers for them), texts, bytes, None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import Column, Connection, Table, and_, bindparam, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import Executable

Values = Sequence[tuple[Any, ...]]


@define
class Bulk:
    """One statement, for rows of values of the bound parameters *names*, in this order."""

    statement: Executable
    names: tuple[str, ...]
    _texts: dict[str, tuple[str, tuple[int, ...] | None]] = field(factory=dict)

    def run(self, connection: Connection, rows: Values) -> None:
        """Execute it for each of *rows*; for none, not at all."""
        if not rows:
            return
        text, places = self._texts.get(connection.dialect.name) or self._compile(connection)
        values: Sequence[Any] = rows
        if places is None:
            values = [dict(zip(self.names, row, strict=True)) for row in rows]
        elif places != tuple(range(len(self.names))):
            values = [tuple([row[place] for place in places]) for row in rows]
        _execute(connection, text, values, many=True)

    def _compile(self, connection: Connection) -> tuple[str, tuple[int, ...] | None]:
        text, order = _compiled(self.statement, connection, self.names)
        places = None if order is None else tuple(self.names.index(name) for name in order)
        self._texts[connection.dialect.name] = text, places
        return text, places


@define
class Lookup:
    """Finds the rows of *table* whose *columns* have given values; if *locking*, PostgreSQL locks them."""

    table: Table
    columns: tuple[Column[Any], ...]
    locking: bool = False
    _texts: dict[str, str] = field(factory=dict)

    def run(self, connection: Connection, wanted: Values) -> Iterable[tuple[Any, ...]]:
        """Those that are there: all columns of the table, in their order."""
        if not wanted:
            return ()
        name = connection.dialect.name
        text = self._texts.get(name) or self._compile(connection)
        if name == "postgresql":
            lists = {
                f"wanted_{place}": list(values) for place, values in enumerate(zip(*wanted, strict=True))
            }
            found: Iterable[tuple[Any, ...]] = _execute(connection, text, lists)
            return found
        # A prepared statement for each is much faster than one with hundreds of parameters, which SQLite
        # would have to read and plan anew for every number of them.
        cursor = connection.connection.cursor()
        return [row for values in wanted for row in cursor.execute(text, values)]

    def _compile(self, connection: Connection) -> str:
        if connection.dialect.name == "postgresql":
            text = self._with_arrays()
        else:
            same = (column == bindparam(f"wanted_{place}") for place, column in enumerate(self.columns))
            text, _ = _compiled(select(self.table).where(and_(*same)), connection, ())
        self._texts[connection.dialect.name] = text
        return text

    def _with_arrays(self) -> str:
        dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
        quote = dialect.identifier_preparer.quote
        arrays = ", ".join(
            f"%(wanted_{place})s::{column.type.compile(dialect)}[]"
            for place, column in enumerate(self.columns)
        )
        names = [quote(column.name) for column in self.columns]
        same = " AND ".join(f"there.{name} = wanted.{name}" for name in names)
        text = (
            f"SELECT there.* FROM {quote(self.table.name)} AS there"
            f" JOIN unnest({arrays}) AS wanted ({', '.join(names)}) ON {same}"
        )
        if self.locking:
            order = ", ".join(f"there.{name}" for name in names)
            text += f" ORDER BY {order} FOR UPDATE OF there"
        return text


def first_of(connection: Connection, text: str) -> tuple[Any, ...] | None:
    """The first row of what *text* gives, which takes no values and is the same in both dialects."""
    row: tuple[Any, ...] | None = _execute(connection, text, ()).fetchone()
    return row


def _execute(connection: Connection, text: str, values: Any, *, many: bool = False) -> Any:
    """A cursor of the driver's that has executed *text*, in *connection*'s transaction.

    Raises:
        DBAPIError: As SQLAlchemy would, of the driver's exceptions.
    """
    cursor = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(text, values)
        else:
            cursor.execute(text, values)
    except connection.dialect.loaded_dbapi.Error as error:
        gone = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        raise DBAPIError.instance(
            text, None, error, type(error), hide_parameters=True, connection_invalidated=gone
        ) from error
    return cursor


def _compiled(
    statement: Any, connection: Connection, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None]:
    """The text for the driver; and, if it counts its parameters, which one has which place."""
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(names) or None)
    return str(compiled), None if compiled.positiontup is None else tuple(compiled.positiontup)
