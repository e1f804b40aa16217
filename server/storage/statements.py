"""Statements for many rows at once, as text for the driver.

SQLAlchemy writes most of them in the database's dialect, once; each row then goes to the driver as a plain
tuple or dict, without the work that SQLAlchemy does for every parameter and every row. So the values have to
be what the driver takes: numbers, booleans, texts, bytes, None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import Column, Connection, Table, and_, bindparam, select
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
        if places is None:
            connection.exec_driver_sql(text, [dict(zip(self.names, row, strict=True)) for row in rows])
        else:
            connection.exec_driver_sql(text, self._in_order(rows, places))

    def _compile(self, connection: Connection) -> tuple[str, tuple[int, ...] | None]:
        text, order = _compiled(self.statement, connection, self.names)
        places = None if order is None else tuple(self.names.index(name) for name in order)
        self._texts[connection.dialect.name] = text, places
        return text, places

    def _in_order(self, rows: Values, places: tuple[int, ...]) -> Values:
        if places == tuple(range(len(self.names))):
            return list(rows)
        return [tuple([row[place] for place in places]) for row in rows]


@define
class Lookup:
    """Finds the rows of *table* whose *columns* have given values; if *locking*, PostgreSQL locks them."""

    table: Table
    columns: tuple[Column[Any], ...]
    locking: bool = False
    _texts: dict[str, str] = field(factory=dict)

    def run(self, connection: Connection, wanted: Values) -> Iterator[tuple[Any, ...]]:
        """Those that are there: all columns of the table, in their order."""
        if not wanted:
            return
        name = connection.dialect.name
        text = self._texts.get(name) or self._compile(connection)
        if name == "postgresql":
            lists = {
                f"wanted_{place}": list(values) for place, values in enumerate(zip(*wanted, strict=True))
            }
            yield from map(tuple, connection.exec_driver_sql(text, lists))
            return
        # A prepared statement for each is much faster than one with hundreds of parameters, which SQLite
        # would have to read and plan anew for every number of them.
        cursor: Any = connection.connection.cursor()
        try:
            for values in wanted:
                yield from cursor.execute(text, values)
        finally:
            cursor.close()

    def _compile(self, connection: Connection) -> str:
        if connection.dialect.name == "postgresql":
            text = self._with_arrays()
        else:
            same = (column == bindparam(f"wanted_{place}") for place, column in enumerate(self.columns))
            text, _ = _compiled(select(self.table).where(and_(*same)), connection, ())
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
        text = (
            f"SELECT there.* FROM {quote(self.table.name)} AS there"
            f" JOIN unnest({arrays}) AS wanted ({', '.join(names)}) ON {same}"
        )
        if self.locking:
            order = ", ".join(f"there.{name}" for name in names)
            text += f" ORDER BY {order} FOR UPDATE OF there"
        return text


def _compiled(
    statement: Any, connection: Connection, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None]:
    """The text for the driver; and, if it counts its parameters, which one has which place."""
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(names) or None)
    return str(compiled), None if compiled.positiontup is None else tuple(compiled.positiontup)
