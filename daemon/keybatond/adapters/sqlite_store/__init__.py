"""The vault's rows in one SQLite file: write-ahead log, full synchronisation, one writer's thread, point reads beside it."""

from keybatond.adapters.sqlite_store.store import SqliteStore

__all__ = ["SqliteStore"]
