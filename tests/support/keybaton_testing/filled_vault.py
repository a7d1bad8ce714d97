"""A vault with items of each kind, history, a removal, a link and noted reads; ways to look at its file and to alter it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.vaults import (
    OTHER_KEY,
    OTHER_RECORD,
    RECORD,
    database,
    key,
    no_progress,
    secret,
    value_of,
    variable,
)
from keybatond.errors import KeybatonError
from keybatond.ports import KeyRecord
from keybatond.services.vault import PutMode, VaultService

BACKUP_KEY = b"b" * 32
BACKUP_RECORD = KeyRecord(RECORD.kind, "ab" * 16, b"backup")


async def fill(vault: VaultService) -> None:
    """The content of these tests."""
    await vault.put(secret("key", "old"), PutMode.CREATE)
    await vault.put(secret("key", "new"), PutMode.REPLACE)
    await vault.put(secret("gone", "lost"), PutMode.CREATE)
    await vault.delete(secret("gone").ref)
    await vault.put(database("db", s3="key"), PutMode.CREATE)
    await vault.put(variable("p", "default", "TOKEN", "t"), PutMode.CREATE)
    await vault.batch_put([secret(f"n{n}", "x" * 100) for n in range(40)], PutMode.CREATE)
    vault.get(secret("key").ref, client="test")


async def assert_filled(vault: VaultService) -> None:
    """Everything of `fill` is there, history and links too."""
    await vault._store.barrier()  # the log of reads is written behind
    assert vault.count() == 43
    assert value_of(vault.get(secret("key").ref)) == "new"
    assert [v.removed for v in vault.versions(secret("gone").ref)[0]] == [True, False]
    assert [read.client for read in vault.reads()] == ["test"]
    assert await vault.check(no_progress) == []
    await vault.put(secret("renamed", "new"), PutMode.REPLACE, rename_from="key")
    assert dict(vault.get(database("db").ref).body.links) == {"s3": "renamed"}  # type: ignore[union-attr]
    await vault.undo(secret("renamed").ref, 1)
    assert value_of(vault.get(secret("key").ref)) == "old"
    await vault.undo(secret("gone").ref)
    assert value_of(vault.get(secret("gone").ref)) == "lost"
    assert await vault.check(no_progress) == []


async def refused(work: object) -> KeybatonError:
    """The error of an expected failure."""
    with pytest.raises(KeybatonError) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def restore(vault: VaultService, backup: Path, *, replace: bool, backup_key: bytes = BACKUP_KEY) -> str:
    """Restores under OTHER_KEY; the path of what was set aside."""

    async def opener(record: KeyRecord) -> SecretBytes:
        return key(backup_key)

    result = await vault.restore(str(backup), opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=replace)
    return result.set_aside


def tamper(path: Path, *statements: str) -> None:
    """What somebody with the file and without the key does."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rows_of(path: Path) -> set[bytes]:
    """Every sealed part in the file."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = set()
    for table in ("item", "past"):
        for summary, body in connection.execute(f"SELECT summary, body FROM {table}"):
            found |= {summary, body}
    connection.close()
    assert found
    return found
