"""What somebody with the vault's file and without its key can do, and that it shows."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from keybaton_testing.filled_vault import (
    BACKUP_KEY,
    BACKUP_RECORD,
    fill,
    refused,
    tamper,
)
from keybaton_testing.vaults import (
    key,
    no_progress,
    opened_vault,
    secret,
    value_of,
    vault_at,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import Change, PutMode, VaultService


@pytest.fixture
async def vault(vault: VaultService) -> VaultService:
    """With items of each kind, history, a removal and noted reads."""
    await fill(vault)
    return vault


# What somebody with the file and without the key can try, and still be seen.
TAMPERINGS: dict[str, list[str]] = {
    "an item removed": ["DELETE FROM item WHERE seq = 9"],
    "a version of the history removed": ["DELETE FROM past WHERE position = 1"],
    "an item put back to its older version": [
        "UPDATE item SET version = (SELECT version FROM past WHERE position = 1), "
        "summary = (SELECT summary FROM past WHERE position = 1), body = (SELECT body FROM past WHERE position = 1) "
        "WHERE id = (SELECT id FROM past WHERE position = 1)"
    ],
    "two items exchanged": [
        "CREATE TABLE t AS SELECT * FROM item WHERE seq = 10",
        "UPDATE item SET summary = (SELECT summary FROM item WHERE seq = 11), body = (SELECT body FROM item WHERE seq = 11) "
        "WHERE seq = 10",
        "UPDATE item SET summary = (SELECT summary FROM t), body = (SELECT body FROM t) WHERE seq = 11",
        "DROP TABLE t",
    ],
    "two tags exchanged": [
        "CREATE TABLE t AS SELECT seq, tag FROM item WHERE seq IN (10, 11)",
        "UPDATE item SET tag = x'00' WHERE seq = 10",
        "UPDATE item SET tag = (SELECT tag FROM t WHERE seq = 10) WHERE seq = 11",
        "UPDATE item SET tag = (SELECT tag FROM t WHERE seq = 11) WHERE seq = 10",
        "DROP TABLE t",
    ],
    "a removal made a living item": ["UPDATE item SET live = 1 WHERE live = 0"],
    "an item made a removal": ["UPDATE item SET live = 0 WHERE seq = 9"],
    "an item in another group": ["UPDATE item SET grp = zeroblob(16) WHERE seq = 9"],
    "an item twice": [
        "INSERT INTO item SELECT 1000, id, version, zeroblob(16), grp, live, summary, body FROM item WHERE seq = 9"
    ],
    "another order": ["UPDATE item SET seq = 2000 WHERE seq = 9"],
    "an item before the first": ["UPDATE item SET seq = -9 WHERE seq = 9"],
    "a version of the history before the first": ["UPDATE past SET position = -1 WHERE position = 1"],
    "reads before the first": ["UPDATE reads SET number = -number"],
    "the totals of another moment": ["UPDATE totals SET content = zeroblob(length(content))"],
    "a link removed": ["DELETE FROM link"],
    "a link added": ["INSERT INTO link VALUES (zeroblob(16), 9)"],
    "a link of another name": ["UPDATE link SET tag = zeroblob(16)"],
    "the log of reads removed": ["DELETE FROM reads"],
    "a body altered": ["UPDATE item SET body = zeroblob(length(body)) WHERE seq = 9"],
}


async def test_a_chance_match_of_tags_never_gives_another_items_value(
    vault: VaultService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag is 16 bytes of a keyed hash: the name that comes out of the seal is compared, also of a removal."""
    assert vault._open is not None
    monkeypatch.setattr(vault._open.sealer, "tag", lambda ref: bytes(16))
    one, other = secret("one"), secret("other")
    await vault.put(one, PutMode.CREATE)
    with pytest.raises(KeybatonError) as caught:
        vault.get(other.ref)
    assert caught.value.reason is Reason.VAULT_DAMAGED
    await vault.delete(one.ref)
    assert (await refused(vault.put(other, PutMode.CREATE))).reason is Reason.VAULT_DAMAGED


async def test_a_row_that_is_not_where_its_name_belongs_is_found(
    vault: VaultService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a row ever sealed under another tag or into another group, no name and no list would lead to it."""
    for part in ("tag", "group"):
        with monkeypatch.context() as wrong:
            wrong.setattr(vault._opened().sealer, part, lambda *_: bytes(16))
            await vault.put(secret(f"under another {part}"), PutMode.CREATE)
    assert await vault.check(no_progress) == ["2 items cannot be opened: altered, or moved from another place."]


async def test_a_link_from_an_item_that_does_not_link_is_damage(vault: VaultService, path: Path) -> None:
    """A database is never said to have lost a link that it did not have, nor changed for it."""
    tag = vault._opened().sealer.keys.link_tag("n0")
    await vault.shutdown()
    tamper(path, f"INSERT INTO link SELECT x'{tag.hex()}', seq FROM link")
    again = await opened_vault(path)
    assert (await refused(again.delete(secret("n0").ref))).reason is Reason.VAULT_DAMAGED
    rename = again.put(secret("renamed", "x" * 100), PutMode.REPLACE, rename_from="n0")
    assert (await refused(rename)).reason is Reason.VAULT_DAMAGED
    await again.shutdown()


class TestTampering:
    @pytest.mark.parametrize("statements", TAMPERINGS.values(), ids=TAMPERINGS.keys())
    async def test_tampering_shows_and_never_gives_a_wrong_value(
        self, vault: VaultService, path: Path, statements: list[str]
    ) -> None:
        """Check finds it; each name gives its own value, its older one, nothing, or an error; a backup refuses it."""
        await vault.shutdown()
        tamper(path, *statements)
        again = vault_at(path)
        try:
            await again.open(key())
        except KeybatonError as error:
            assert error.reason is Reason.VAULT_DAMAGED
            return
        finally:
            if not again.is_open:
                await again.shutdown()
        findings = await again.check(no_progress)
        assert findings
        assert not any(name in finding for finding in findings for name in ("key", "gone", "TOKEN"))
        for number in range(40):
            try:
                assert value_of(again.get(secret(f"n{number}").ref)) == "x" * 100
            except KeybatonError as error:
                assert error.reason in {Reason.VAULT_DAMAGED, Reason.NOT_FOUND}
        if "link" not in statements[0]:
            target = str(path.parent / "backup")
            error = await refused(again.backup(target, BACKUP_RECORD, key(BACKUP_KEY), no_progress))
            assert error.reason is Reason.VAULT_DAMAGED
        for number in range(40):
            try:
                await again.put(secret(f"n{number}", "new"), PutMode.UPSERT)
            except KeybatonError as error:
                assert error.reason is Reason.VAULT_DAMAGED
        await again.shutdown()

    async def test_rows_mixed_from_two_moments_show(self, vault: VaultService, path: Path) -> None:
        """Items of yesterday with the history, or the totals, of today."""
        copy = path.parent / "yesterday.db"
        connection = sqlite3.connect(path)
        connection.execute(f"VACUUM INTO '{copy}'")
        connection.close()
        await vault.apply([Change(secret(f"n{n}", "changed"), PutMode.REPLACE) for n in range(5)])
        await vault.shutdown()
        for table in ("item", "past", "totals"):
            mixed = path.parent / f"mixed-{table}.db"
            shutil.copy(path, mixed)
            tamper_with(mixed, copy, table)
            again = await opened_vault(mixed)
            assert await again.check(no_progress)
            await again.shutdown()

    async def test_an_older_copy_of_the_whole_file_cannot_be_told(self, vault: VaultService, path: Path) -> None:
        """The limit that the threat model states: it is a vault that was sound, at that time."""
        await vault.shutdown()
        copy = path.parent / "older.db"
        shutil.copy(path, copy)
        newer = await opened_vault(path)
        await newer.delete(secret("key").ref)
        await newer.shutdown()
        shutil.copy(copy, path)
        rolled_back = await opened_vault(path)
        assert await rolled_back.check(no_progress) == []
        assert value_of(rolled_back.get(secret("key").ref)) == "new"
        await rolled_back.shutdown()


def tamper_with(path: Path, other: Path, table: str) -> None:
    """Takes one whole table from another state of the file."""
    connection = sqlite3.connect(path)
    connection.execute("ATTACH ? AS other", (str(other),))
    with connection:
        connection.execute(f"DELETE FROM main.{table}")
        connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
    connection.close()
