"""Statements for many rows at once, as text for the driver.

SQLAlchemy writes most of them in the database's dialect, once. The driver's own cursor then takes each row as
a plain tuple or dict, and gives plain tuples: what SQLAlchemy does around every execution costs several times
what SQLite needs for it. So the values have to be what the driver takes and gives: numbers, booleans (SQLite
gives numbers for them), texts, bytes, None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import define, field
from sqlalchemy import Column, Connection, Table, and_, bindparam, delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import Executable

Values = Sequence[tuple[Any, ...]]
Arrange = Callable[[Values], Sequence[Any]]
"""Makes of rows what the driver takes."""


@define
class Bulk:
    """One statement, for rows of values of the bound parameters *names*, in this order."""

    statement: Executable
    names: tuple[str, ...]
    _made: dict[str, tuple[str, Arrange]] = field(factory=dict)

    def run(self, connection: Connection, rows: Values) -> None:
        """Execute it for each of *rows*; for none, not at all."""
        if not rows:
            return
        text, arrange = self._made.get(connection.dialect.name) or self._compile(connection)
        _execute(connection, text, arrange(rows), many=True)

    def _compile(self, connection: Connection) -> tuple[str, Arrange]:
        text, order = _compiled(self.statement, connection, self.names)
        arrange: Arrange = self._by_name
        if order == self.names:
            arrange = _as_they_are
        elif order is not None:
            arrange = partial(_in_places, [self.names.index(name) for name in order])
        self._made[connection.dialect.name] = text, arrange
        return text, arrange

    def _by_name(self, rows: Values) -> list[dict[str, Any]]:
        return [dict(zip(self.names, row, strict=True)) for row in rows]


@define
class Lookup:
    """Finds the rows of *table* whose *columns* have given values.

    If *locking*, PostgreSQL locks them; if *taking*, they are there no more.
    """

    table: Table
    columns: tuple[Column[Any], ...]
    locking: bool = False
    taking: bool = False
    _texts: dict[str, str] = field(factory=dict)

    def run(self, connection: Connection, wanted: Values) -> Iterable[tuple[Any, ...]]:
        """Those that are there, or were: all columns of the table, in their order."""
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
            same = and_(
                *(column == bindparam(f"wanted_{place}") for place, column in enumerate(self.columns))
            )
            taken = delete(self.table).where(same).returning(*self.table.columns)
            text, _ = _compiled(taken if self.taking else select(self.table).where(same), connection, ())
        self._texts[connection.dialect.name] = text
        return text

    def _with_arrays(self) -> str:
        # Only here: it takes a while to import, and an engine for PostgreSQL has done so.
        from sqlalchemy.dialects import postgresql

        dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
        quote = dialect.identifier_preparer.quote
        arrays = ", ".join(
            f"%(wanted_{place})s::{column.type.compile(dialect)}[]"
            for place, column in enumerate(self.columns)
        )
        names = [quote(column.name) for column in self.columns]
        same = " AND ".join(f"there.{name} = wanted.{name}" for name in names)
        table, wanted = quote(self.table.name), f"unnest({arrays}) AS wanted ({', '.join(names)})"
        if self.taking:
            return f"DELETE FROM {table} AS there USING {wanted} WHERE {same} RETURNING there.*"
        text = f"SELECT there.* FROM {table} AS there JOIN {wanted} ON {same}"
        if self.locking:
            order = ", ".join(f"there.{name}" for name in names)
            text += f" ORDER BY {order} FOR UPDATE OF there"
        return text


def _as_they_are(rows: Values) -> Values:
    return rows


def _in_places(places: Sequence[int], rows: Values) -> Values:
    return [tuple([row[place] for place in places]) for row in rows]


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
