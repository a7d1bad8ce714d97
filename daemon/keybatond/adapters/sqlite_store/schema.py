"""Tables of the vault file, and how a connection to it is set."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from keybatond.adapters.sqlite_store.failures import damaged

APPLICATION_ID: Final = 0x4B427631  # "KBv1"; https://www.sqlite.org/pragma.html#pragma_application_id
FORMAT: Final = 1  # user_version; a program refuses what is above its own
PAGE_BYTES: Final = 4096
WRITER_BUSY_MS: Final = 5000  # another program looks into the file
READER_BUSY_MS: Final = 200  # the event loop waits meanwhile; in this mode only recovery ever makes a reader wait
JOURNAL_KEPT_BYTES: Final = 8 * 1024 * 1024  # what a large transaction leaves of the log is cut back to this

_TABLES: Final = {
    "header": "CREATE TABLE header(one INTEGER PRIMARY KEY CHECK (one = 1), content BLOB NOT NULL) STRICT",
    "totals": "CREATE TABLE totals(one INTEGER PRIMARY KEY CHECK (one = 1), content BLOB NOT NULL) STRICT",
    # Summary before body: a list reads no page that holds only values.
    "item": "CREATE TABLE item(seq INTEGER PRIMARY KEY, id BLOB NOT NULL, version INTEGER NOT NULL, tag BLOB NOT NULL, "
    "grp BLOB NOT NULL, live INTEGER NOT NULL, summary BLOB NOT NULL, body BLOB NOT NULL) STRICT",
    "item_live": "CREATE UNIQUE INDEX item_live ON item(tag) WHERE live = 1",
    "item_removed": "CREATE INDEX item_removed ON item(tag, seq) WHERE live = 0",
    "item_group": "CREATE INDEX item_group ON item(grp, seq) WHERE live = 1",
    "past": "CREATE TABLE past(position INTEGER PRIMARY KEY, id BLOB NOT NULL, version INTEGER NOT NULL, tag BLOB NOT NULL, "
    "grp BLOB NOT NULL, live INTEGER NOT NULL, summary BLOB NOT NULL, body BLOB NOT NULL) STRICT",
    "past_version": "CREATE UNIQUE INDEX past_version ON past(id, version)",
    "link": "CREATE TABLE link(tag BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tag, seq)) STRICT, WITHOUT ROWID",
    "reads": "CREATE TABLE reads(number INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT",
}


def connect(path: Path, options: str, busy_ms: int) -> sqlite3.Connection:
    """A connection in manual transaction mode. It may be used by one thread at a time."""
    uri = f"file:{quote(str(path))}?{options}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000)
    connection.text_factory = bytes  # no column is text: what comes as text is damage, and must not fail in decoding
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def make_durable(connection: sqlite3.Connection) -> None:
    """Sets a writer so that a commit is on the disk when it returns. VAULT_DAMAGED when the file has lost its log mode."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS; no meaning elsewhere
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_KEPT_BYTES}")
    if connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):
        raise damaged("journal mode")


def build(connection: sqlite3.Connection) -> None:
    """Makes the tables in a new file that nobody else sees yet; the file is synchronised as a whole when it is full."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for statement in _TABLES.values():
        connection.execute(statement)


def check_tables(connection: sqlite3.Connection) -> None:
    """VAULT_DAMAGED unless the tables are exactly this program's: no trigger, view or column of anybody else's."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall())
    if found != {name.encode(): statement.encode() for name, statement in _TABLES.items()}:
        raise damaged("tables")
