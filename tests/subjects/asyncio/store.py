"""What was heard and done, in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import Any

Json = dict[str, Any]


class Store:
    """Orders are open, parking (still to be shown in the shop), parked or settled; `news` counts what was heard."""

    def __init__(self, path: str, *, forgetful: bool = False) -> None:
        self.forgetful = forgetful  # a new key each time
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY);
            CREATE TABLE IF NOT EXISTS polls (since REAL);
            CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, status TEXT DEFAULT 'open', reason TEXT,
                changed TEXT DEFAULT '', fingerprint TEXT, news INTEGER DEFAULT 0, handled INTEGER DEFAULT 0);
            CREATE TABLE IF NOT EXISTS steps (number TEXT, name TEXT, key TEXT, revision INTEGER, body TEXT,
                result TEXT, refused TEXT, PRIMARY KEY (number, name));
        """)

    def hear(self, number: str, changed: str, webhook: str | None = None) -> None:
        with self.db:
            self.db.execute("BEGIN")
            if webhook:
                self.db.execute("INSERT OR IGNORE INTO webhooks VALUES (?)", (webhook,))
            self.db.execute("INSERT OR IGNORE INTO orders (number) VALUES (?)", (number,))
            self.db.execute(
                "UPDATE orders SET status = 'open', news = news + 1, changed = max(changed, ?) WHERE number = ?",
                (changed, number),
            )

    def order(self, number: str) -> sqlite3.Row | None:
        return self.db.execute("SELECT * FROM orders WHERE number = ?", (number,)).fetchone()

    def update(self, number: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self.db.execute(f"UPDATE orders SET {columns} WHERE number = ?", (*values.values(), number))

    def step(self, number: str, name: str) -> Json | None:
        row = self.db.execute("SELECT * FROM steps WHERE number = ? AND name = ?", (number, name)).fetchone()
        return row and {**row, "body": json.loads(row["body"]), "result": json.loads(row["result"] or "null")}

    def begin(self, number: str, name: str, body: Json, revision: int) -> None:
        key = str(uuid.uuid4()) if self.forgetful else f"{name}-{number}-{revision}"
        row = (number, name, key, revision, json.dumps(body))
        self.db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, NULL, NULL)", row)

    def end(self, number: str, name: str, result: Json | None, refused: str | None = None) -> None:
        values = (result and json.dumps(result), refused, number, name)
        self.db.execute("UPDATE steps SET result = ?, refused = ? WHERE number = ? AND name = ?", values)
