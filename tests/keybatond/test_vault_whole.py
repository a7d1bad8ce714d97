"""The vault as a whole: made, rekeyed, backed up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_core.vault_header import decode_header
from keybaton_core.vault_wrap import unwrap
from keybaton_testing.filled_vault import (
    BACKUP_KEY,
    BACKUP_RECORD,
    assert_filled,
    fill,
    refused,
    restore,
    rows_of,
    tamper,
)
from keybaton_testing.vaults import (
    KEY,
    OTHER_KEY,
    OTHER_RECORD,
    RECORD,
    content_hash,
    key,
    made_vault,
    no_progress,
    opened_vault,
    secret,
    value_of,
    vault_at,
)
from keybatond.adapters.sqlite_store import schema
from keybatond.errors import Reason
from keybatond.ports import KeyRecord, Progress
from keybatond.services import vault_transaction
from keybatond.services.vault import Change, PutMode, VaultService
from keybatond.services.vault_compact import Rule
from keybatond.services.vault_reads import FLUSH_READS
from keybatond.services.vault_transaction import Changes


@pytest.fixture
async def vault(vault: VaultService) -> VaultService:
    """With items of each kind, history, a removal and noted reads."""
    await fill(vault)
    return vault


class TestLock:
    """Closing an open vault."""

    async def test_the_keys_are_overwritten_after_the_writes_that_were_under_way(self, vault: VaultService) -> None:
        """A write that has begun is finished with its keys; whoever waits for the end of them does not go on before."""
        assert vault._open is not None
        keys = vault._open.sealer.keys
        begun, go = threading.Event(), threading.Event()

        def slowly(changes: Changes) -> None:
            begun.set()
            assert go.wait(10)
            changes.put(Change(secret("late"), PutMode.CREATE))

        writing = asyncio.create_task(vault.edit(slowly))
        await asyncio.to_thread(begun.wait, 10)
        vault.close()
        waiting = asyncio.create_task(vault.wiped())
        await asyncio.sleep(0)
        assert not keys.wiped
        go.set()
        await waiting
        assert keys.wiped
        await writing


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
        assert vault._open is not None
        keys = vault._open.sealer.keys
        steps: list[tuple[int, int]] = []
        await vault.rekey(OTHER_RECORD, key(OTHER_KEY), lambda done, total: steps.append((done, total)))
        assert steps[-1] == (46, 46)
        assert keys.wiped
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

    async def test_a_key_that_sealed_as_often_as_is_safe_seals_no_more_until_a_rekey(
        self, vault: VaultService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each change counts its seals; reading goes on; the new key's count begins with what the rekey sealed."""
        seals = 2 * 46 + 3 + 1  # of every row, of a put and its totals, and one to spare
        monkeypatch.setattr(vault_transaction, "SEALS_MAX", seals)
        await vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
        await vault.put(secret("last"), PutMode.CREATE)
        for _ in range(2):
            error = await refused(vault.put(secret("more"), PutMode.CREATE))
            assert error.reason is Reason.STORAGE_FAILED
        assert value_of(vault.get(secret("last").ref)) == "value"
        monkeypatch.setattr(vault_transaction, "SEALS_MAX", 2 * seals)
        await vault.put(secret("more"), PutMode.CREATE)

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

    async def test_reads_during_it_are_noted_under_the_new_key(self, vault: VaultService) -> None:
        """However many: they are written when the old key is gone."""
        begun, go = threading.Event(), threading.Event()

        def slowly(done: int, total: int) -> None:
            begun.set()
            assert go.wait(10)

        rekey = asyncio.create_task(vault.rekey(OTHER_RECORD, key(OTHER_KEY), slowly))
        assert await asyncio.to_thread(begun.wait, 10)
        for _ in range(FLUSH_READS):
            vault.get(secret("n0").ref, client="during")
        go.set()
        await rekey
        vault._flush_reads()
        await vault._store.barrier()
        assert await vault.check(no_progress) == []
        assert [read.client for read in vault.reads(FLUSH_READS + 1)] == ["during"] * FLUSH_READS + ["test"]

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
    async def test_each_copy_and_each_rekey_has_a_vault_key_of_its_own(
        self, vault: VaultService, path: Path, tmp_path: Path
    ) -> None:
        """Whoever guesses the passphrase of a backup opens that copy and nothing else."""

        def vault_key(file: Path, wrapping_key: bytes) -> bytes:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                (content,) = connection.execute("SELECT content FROM header").fetchone()
            return unwrap(decode_header(content), key(wrapping_key)).reveal()

        found = [vault_key(path, KEY)]
        await vault.backup(str(tmp_path / "backup"), BACKUP_RECORD, key(BACKUP_KEY), no_progress)
        found.append(vault_key(tmp_path / "backup", BACKUP_KEY))
        await vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
        found.append(vault_key(path, OTHER_KEY))
        await restore(vault, tmp_path / "backup", replace=True)
        found.append(vault_key(path, OTHER_KEY))
        assert len(set(found)) == 4

    async def test_a_backup_restores_everywhere(self, vault: VaultService, path: Path, tmp_path: Path) -> None:
        """On a machine without a vault, under another keystore's key; the backup itself stays as it is."""
        backup = tmp_path / "backup.kbv"
        assert await vault.backup(str(backup), BACKUP_RECORD, key(BACKUP_KEY), no_progress) == 43
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        before = content_hash(backup)
        other = vault_at(tmp_path / "elsewhere" / "vault.db")
        asked: list[KeyRecord] = []
        backup_key = key(BACKUP_KEY)

        async def opener(record: KeyRecord) -> SecretBytes:
            asked.append(record)
            return backup_key

        result = await other.restore(str(backup), opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=False)
        assert (result.items, result.set_aside) == (43, "")
        assert asked == [BACKUP_RECORD]
        assert not any(backup_key.reveal())
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
        assert (missing.reason, missing.data["folder"]) == (Reason.STORAGE_FAILED, str(tmp_path / "no"))
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


@pytest.mark.parametrize("work", ["check", "backup", "preview"])
async def test_a_change_of_keys_lets_whoever_reads_the_whole_begin_anew(
    vault: VaultService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """The vault is open all the time and sound: neither "locked" nor "damaged" is true of it."""
    monkeypatch.setattr(schema, "WRITER_BUSY_MS", 20)
    begun, leave = threading.Event(), threading.Event()

    def hold(*_: int) -> None:
        begun.set()
        assert leave.wait(20)

    async def whole(name: str, progress: Progress) -> object:
        if work == "check":
            return await vault.check(progress)
        if work == "backup":
            return await vault.backup(str(tmp_path / name), BACKUP_RECORD, key(BACKUP_KEY), progress)
        return await vault.compact(Rule(), progress, dry_run=True)

    undisturbed = await whole("first", no_progress)
    snapshot = vault._store.snapshot
    monkeypatch.setattr(vault._store, "snapshot", lambda job: snapshot(lambda reader: (hold(), job(reader))[1]))
    reading = asyncio.create_task(whole("second", hold))
    await asyncio.to_thread(begun.wait, 20)
    await vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
    leave.set()
    assert await reading == undisturbed
    assert await vault.check(no_progress) == []
