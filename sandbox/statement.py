"""Core statements, compiled once: SQLAlchemy writes the SQL, the driver runs it.

SQLAlchemy's own connection takes several times as long to run a short statement as SQLite does.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

Row = dict[str, Any]
Values = Mapping[str, Any]

_DIALECT: Final = sqlite.dialect(paramstyle="named")


class Statement:
    """A Core statement with values that are bound by name, ready to be run any number of times.

    A value that is not given is the one that the statement itself holds.

    Attributes:
        table: The name of the one that it changes; empty for a query.
    """

    def __init__(self, core: sa.ClauseElement) -> None:
        compiled = core.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self.table = str(core.table) if isinstance(core, sa.UpdateBase) else ""
        self._own = {name: value for name, value in compiled.params.items() if value is not None}
        columns = [str(column.key) for column in core.selected_columns] if isinstance(core, sa.Select) else []
        found: Any = namedtuple("Found", columns, rename=True)  # type: ignore[misc]  # noqa: PYI024 - known only here
        self._row = found._make

    def run(self, connection: sqlite3.Connection, values: Values) -> sqlite3.Cursor:
        """Run it once."""
        return connection.execute(self.sql, {**self._own, **values} if self._own else values)

    def run_each(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> None:
        """Run it once for each row of values."""
        if len(rows) == 1:
            self.run(connection, rows[0])
        else:
            own = self._own
            connection.executemany(self.sql, ({**own, **values} for values in rows) if own else rows)

    def rows(self, connection: sqlite3.Connection, values: Values) -> Iterable[Any]:
        """What a query finds; its columns are attributes."""
        return map(self._row, self.run(connection, values))

    def first(self, connection: sqlite3.Connection, values: Values) -> Any:
        """The first row that a query finds, or None."""
        row = self.run(connection, values).fetchone()
        return None if row is None else self._row(row)

    def scalar(self, connection: sqlite3.Connection, values: Values) -> Any:
        """The first column of the first row that a query finds, or None."""
        row = self.run(connection, values).fetchone()
        return None if row is None else row[0]


def insertion(table: sa.Table) -> Statement:
    """The statement that inserts a row; the values are named like the columns."""
    named: dict[str, Any] = {
        column.name: sa.bindparam(column.name) for column in table.c if column.autoincrement is not True
    }
    return Statement(table.insert().values(named))
