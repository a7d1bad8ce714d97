"""The vault as a whole: made, rekeyed, backed up, restored, checked; what was tampered with shows."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.vaults import (
    KEY,
    OTHER_KEY,
    OTHER_RECORD,
    RECORD,
    content_hash,
    database,
    key,
    made_vault,
    no_progress,
    opened_vault,
    secret,
    value_of,
    variable,
    vault_at,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord
from keybatond.services.vault import Change, PutMode, VaultService

BACKUP_KEY = b"b" * 32
BACKUP_RECORD = KeyRecord(RECORD.kind, "ab" * 16, b"backup")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the vault lies."""
    return tmp_path / "keybaton" / "vault.db"


@pytest.fixture
async def vault(path: Path) -> AsyncIterator[VaultService]:
    """Open, with items of each kind, history, a removal and noted reads."""
    vault = await made_vault(path)
    await fill(vault)
    yield vault
    await vault.shutdown()


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


class TestCreate:
    async def test_the_file_is_the_users_alone_and_shows_nothing(self, vault: VaultService, path: Path) -> None:
        """Folder 0700, files 0600; no name or value in any byte of them."""
        await vault.put(secret("recognisable-name", "recognisable-value"), PutMode.CREATE)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert b"recognisable" not in file.read_bytes()

    async def test_an_existing_file_is_never_replaced(self, path: Path) -> None:
        """Whatever it is: a vault, an empty file, rubbish, a dangling link."""
        path.parent.mkdir()
        for make in (
            lambda: path.write_bytes(b""),
            lambda: path.write_bytes(b"rubbish"),
            lambda: path.symlink_to("nowhere"),
        ):
            make()
            vault = vault_at(path)
            assert (await refused(vault.create(RECORD, key()))).reason is Reason.VAULT_EXISTS
            assert not vault.is_open
            assert path.is_symlink() or path.read_bytes() in (b"", b"rubbish")
            path.unlink()
            await vault.shutdown()
        assert list(path.parent.iterdir()) == []

    async def test_leftovers_of_a_killed_process_go(self, path: Path) -> None:
        """Its unfinished file under a temporary name."""
        path.parent.mkdir()
        (path.parent / ".vault.db.new-0123").write_bytes(b"half")
        vault = await made_vault(path)
        await vault.shutdown()
        assert [file.name for file in path.parent.iterdir()] == ["vault.db"]

    async def test_the_header_is_readable_without_a_key(self, vault: VaultService) -> None:
        """The record and the vault's id."""
        header = vault.header()
        assert header is not None
        assert header.record == RECORD
        assert len(header.vault_id) == 32


class TestRekey:
    async def test_everything_is_there_under_the_new_key_alone(self, vault: VaultService, path: Path) -> None:
        """No sealed byte stays the same; the old key is WRONG_KEY."""
        before = rows_of(path)
        steps: list[tuple[int, int]] = []
        await vault.rekey(OTHER_RECORD, key(OTHER_KEY), lambda done, total: steps.append((done, total)))
        assert steps[-1] == (46, 46)
        assert not before & rows_of(path)
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert not any(sealed in files for sealed in before)  # nor in freed pages or the log
        await vault.shutdown()
        locked = vault_at(path)
        assert (await refused(locked.open(key()))).reason is Reason.WRONG_KEY
        await locked.shutdown()
        again = await opened_vault(path, OTHER_KEY)
        header = again.header()
        assert header is not None
        assert header.record == OTHER_RECORD
        await assert_filled(again)
        await again.shutdown()

    async def test_reads_go_on_and_writes_wait(self, vault: VaultService) -> None:
        """At every moment every name is found; a write during it is stored under the new key."""
        rekey = asyncio.create_task(vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress))
        while vault._may_write.is_set():
            await asyncio.sleep(0)
        write = asyncio.create_task(vault.put(secret("late"), PutMode.CREATE))
        looks = 0
        while not rekey.done():
            assert value_of(vault.get(secret("key").ref)) == "new"
            assert len(vault.list()[0]) in (43, 44)
            looks += 1
            await asyncio.sleep(0)
        await rekey
        assert value_of(vault.get(secret("key").ref)) == "new"
        assert looks > 1
        await write
        assert vault.count() == 44
        assert await vault.check(no_progress) == []

    async def test_a_caller_that_leaves_does_not_leave_half_a_rekey(self, vault: VaultService) -> None:
        """Cancelled and its key wiped: the vault opens with that key all the same, and goes on being usable."""
        wrapping_key = key(OTHER_KEY)
        task = asyncio.create_task(vault.rekey(OTHER_RECORD, wrapping_key, no_progress))
        await asyncio.sleep(0)
        task.cancel()
        wrapping_key.wipe()
        await asyncio.gather(task, return_exceptions=True)
        await vault.put(secret("after"), PutMode.CREATE)
        vault.close()
        await vault.open(key(OTHER_KEY))
        assert vault.count() == 44

    async def test_a_lock_in_the_middle_leaves_a_vault_of_the_new_key(self, vault: VaultService) -> None:
        """The rekey is finished; the vault stays locked."""
        loop = asyncio.get_running_loop()
        locked = threading.Event()

        def lock_once(done: int, total: int) -> None:
            if not locked.is_set():
                locked.set()
                loop.call_soon_threadsafe(vault.close)

        await vault.rekey(OTHER_RECORD, key(OTHER_KEY), lock_once)
        assert not vault.is_open
        await vault.open(key(OTHER_KEY))
        await assert_filled(vault)

    async def test_a_lock_before_it_began_leaves_the_old_key(self, vault: VaultService) -> None:
        """VAULT_LOCKED, nothing changed."""
        task = asyncio.create_task(vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress))
        await asyncio.sleep(0)
        vault.close()
        assert (await refused(task)).reason is Reason.VAULT_LOCKED
        await vault.open(key())
        await assert_filled(vault)

    async def test_a_damaged_row_stops_it_before_anything_changes(self, vault: VaultService, path: Path) -> None:
        """VAULT_DAMAGED, and the old key goes on opening."""
        tamper(path, "UPDATE past SET body = zeroblob(length(body)) WHERE position = 1")
        assert (await refused(vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress))).reason is Reason.VAULT_DAMAGED
        vault.close()
        await vault.open(key())
        assert value_of(vault.get(secret("key").ref)) == "new"


class TestBackup:
    async def test_a_backup_restores_everywhere(self, vault: VaultService, path: Path, tmp_path: Path) -> None:
        """On a machine without a vault, under another keystore's key; the backup itself stays as it is."""
        backup = tmp_path / "backup.kbv"
        assert await vault.backup(str(backup), BACKUP_RECORD, key(BACKUP_KEY), no_progress) == 43
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        before = content_hash(backup)
        other = vault_at(tmp_path / "elsewhere" / "vault.db")
        asked: list[KeyRecord] = []

        async def opener(record: KeyRecord) -> SecretBytes:
            asked.append(record)
            return key(BACKUP_KEY)

        result = await other.restore(str(backup), opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=False)
        assert (result.items, result.set_aside) == (43, "")
        assert asked == [BACKUP_RECORD]
        assert other.is_open
        assert not rows_of(backup) & (rows_of(path) | rows_of(tmp_path / "elsewhere" / "vault.db"))
        await assert_filled(other)
        await other.shutdown()
        again = await opened_vault(tmp_path / "elsewhere" / "vault.db", OTHER_KEY)
        assert again.count() == 44
        await again.shutdown()
        assert content_hash(backup) == before
        assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.kbv", "elsewhere", "keybaton"]

    async def test_a_file_is_never_overwritten(self, vault: VaultService, tmp_path: Path) -> None:
        """FILE_EXISTS, also for a link that leads nowhere."""
        there = tmp_path / "there"
        there.write_text("mine")
        link = tmp_path / "link"
        link.symlink_to("nowhere")
        for target in (there, link):
            error = await refused(vault.backup(str(target), BACKUP_RECORD, key(BACKUP_KEY), no_progress))
            assert error.reason is Reason.FILE_EXISTS
        assert there.read_text() == "mine"
        missing = await refused(vault.backup(str(tmp_path / "no" / "b"), BACKUP_RECORD, key(BACKUP_KEY), no_progress))
        assert missing.reason is Reason.STORAGE_FAILED
        assert sorted(file.name for file in tmp_path.iterdir()) == ["keybaton", "link", "there"]

    async def test_a_backup_of_what_changes_is_of_one_moment(self, vault: VaultService, tmp_path: Path) -> None:
        """Puts during it are wholly in it or not."""
        backup = asyncio.create_task(vault.backup(str(tmp_path / "b"), BACKUP_RECORD, key(BACKUP_KEY), no_progress))
        number = 0
        while not backup.done():
            await vault.put(secret(f"during{number}"), PutMode.CREATE)
            number += 1
        restored = vault_at(tmp_path / "r" / "vault.db")
        await restore(restored, tmp_path / "b", replace=False)
        assert await restored.check(no_progress) == []
        assert restored.count() == await backup
        await restored.shutdown()


async def restore(vault: VaultService, backup: Path, *, replace: bool, backup_key: bytes = BACKUP_KEY) -> str:
    """Restores under OTHER_KEY; the path of what was set aside."""

    async def opener(record: KeyRecord) -> SecretBytes:
        return key(backup_key)

    result = await vault.restore(str(backup), opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=replace)
    return result.set_aside


class TestRestore:
    @pytest.fixture
    async def backup(self, vault: VaultService, tmp_path: Path) -> Path:
        """A backup, after which the vault went on."""
        await vault.backup(str(tmp_path / "backup"), BACKUP_RECORD, key(BACKUP_KEY), no_progress)
        await vault.put(secret("later"), PutMode.CREATE)
        return tmp_path / "backup"

    async def test_the_replaced_vault_is_kept_and_usable(self, vault: VaultService, backup: Path, path: Path) -> None:
        """Under its old key, with everything that was in its log."""
        aside = Path(await restore(vault, backup, replace=True))
        assert aside.parent == path.parent
        await assert_filled(vault)
        folder = aside.parent / "look"
        folder.mkdir()
        shutil.copy(aside, folder / "vault.db")
        old = await opened_vault(folder / "vault.db", KEY)
        assert value_of(old.get(secret("later").ref)) == "value"
        assert await old.check(no_progress) == []
        await old.shutdown()

    async def test_without_replace_an_existing_vault_stays(self, vault: VaultService, backup: Path) -> None:
        """VAULT_EXISTS, and it goes on working."""
        with pytest.raises(KeybatonError) as caught:
            await restore(vault, backup, replace=False)
        assert caught.value.reason is Reason.VAULT_EXISTS
        await vault.put(secret("goes on"), PutMode.CREATE)

    async def test_a_bad_backup_changes_nothing(
        self, vault: VaultService, backup: Path, path: Path, tmp_path: Path
    ) -> None:
        """Wrong key, damaged row, cut file, no vault, nothing there: a clear word, the vault as before."""
        damaged, cut, rubbish = tmp_path / "damaged", tmp_path / "cut", tmp_path / "rubbish"
        shutil.copy(backup, damaged)
        tamper(damaged, "DELETE FROM item WHERE seq = 9")
        cut.write_bytes(backup.read_bytes()[:8192])
        rubbish.write_bytes(b"x" * 10000)
        before = sorted(file.name for file in path.parent.iterdir())
        for file, backup_key, reason in (
            (backup, OTHER_KEY, Reason.WRONG_KEY),
            (damaged, BACKUP_KEY, Reason.VAULT_DAMAGED),
            (cut, BACKUP_KEY, Reason.VAULT_DAMAGED),
            (rubbish, BACKUP_KEY, Reason.VAULT_DAMAGED),
            (tmp_path / "nothing", BACKUP_KEY, Reason.FILE_UNREADABLE),
            (tmp_path, BACKUP_KEY, Reason.FILE_UNREADABLE),
        ):
            with pytest.raises(KeybatonError) as caught:
                await restore(vault, file, replace=True, backup_key=backup_key)
            assert caught.value.reason is reason, file
        assert sorted(file.name for file in path.parent.iterdir()) == before
        await vault.put(secret("goes on"), PutMode.CREATE)
        assert await vault.check(no_progress) == []

    async def test_a_vault_is_no_backup_of_itself_nor_is_one_in_use(
        self, vault: VaultService, path: Path, tmp_path: Path
    ) -> None:
        """Read without its log it is an older vault: what was acknowledged since would be gone, without a word."""
        await vault.put(secret("later"), PutMode.CREATE)
        link, beside = tmp_path / "link", tmp_path / "beside"
        link.symlink_to(path)
        beside.write_bytes(path.read_bytes())
        beside.with_name("beside-wal").write_bytes(path.with_name("vault.db-wal").read_bytes())
        for file in (path, link, beside):
            with pytest.raises(KeybatonError) as caught:
                await restore(vault, file, replace=True, backup_key=KEY)
            assert caught.value.reason is Reason.FILE_UNREADABLE, file
        assert value_of(vault.get(secret("later").ref)) == "value"

    async def test_a_vault_that_cannot_be_opened_is_replaced_and_kept(self, backup: Path, tmp_path: Path) -> None:
        """Rubbish in its place is set aside as it is, with its log."""
        path = tmp_path / "broken" / "vault.db"
        path.parent.mkdir(mode=0o700)
        path.write_bytes(b"rubbish")
        path.with_name("vault.db-wal").write_bytes(b"log of rubbish")
        vault = vault_at(path)
        with pytest.raises(KeybatonError) as caught:
            vault.header()
        assert caught.value.reason is Reason.VAULT_DAMAGED
        aside = Path(await restore(vault, backup, replace=True))
        assert aside.read_bytes() == b"rubbish"
        assert aside.with_name(aside.name + "-wal").read_bytes() == b"log of rubbish"
        await assert_filled(vault)
        await vault.shutdown()

    @pytest.mark.parametrize("step", range(1, 6))
    async def test_stopped_at_any_step_there_is_the_old_vault_or_the_new(
        self, vault: VaultService, backup: Path, path: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """Complete and sound, under its own key; a second try goes through."""
        synchronised = os.fsync
        calls = itertools.count(1)

        def stop(descriptor: int) -> None:
            if next(calls) == step:
                raise OSError(errno.EIO, "stopped here")
            synchronised(descriptor)

        monkeypatch.setattr(os, "fsync", stop)
        if step <= 4:  # of the new file, and of the folder: old one aside, log gone, new one in place
            with pytest.raises(KeybatonError) as caught:
                await restore(vault, backup, replace=True)
            assert caught.value.reason is Reason.STORAGE_FAILED
        else:
            await restore(vault, backup, replace=True)
        await vault.shutdown()
        monkeypatch.undo()
        assert len(list(path.parent.glob("vault.db.replaced-*"))) == (step >= 4)
        again = vault_at(path)
        header = again.header()
        assert header is not None
        new = header.record == OTHER_RECORD
        assert new == (step >= 4)
        await again.open(key(OTHER_KEY if new else KEY))
        assert again.count() == (43 if new else 44)
        assert await again.check(no_progress) == []
        await restore(again, backup, replace=True)
        await assert_filled(again)
        await again.shutdown()

    async def test_reads_during_a_restore_find_the_old_or_the_new(self, vault: VaultService, backup: Path) -> None:
        """Never an error."""
        task = asyncio.create_task(restore(vault, backup, replace=True))
        while not task.done():
            assert value_of(vault.get(secret("key").ref)) == "new"
            await asyncio.sleep(0)
        await task
        assert value_of(vault.get(secret("key").ref)) == "new"
        await vault.put(secret("goes on"), PutMode.CREATE)
        assert await vault.check(no_progress) == []


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
    "the totals of another moment": ["UPDATE totals SET content = zeroblob(length(content))"],
    "a link removed": ["DELETE FROM link"],
    "a link added": ["INSERT INTO link VALUES (zeroblob(16), 9)"],
    "the log of reads removed": ["DELETE FROM reads"],
    "a body altered": ["UPDATE item SET body = zeroblob(length(body)) WHERE seq = 9"],
}


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
