"""A backup in the vault's place: whole or not at all, and what was there is kept."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from pathlib import Path

import pytest

from keybaton_testing.filled_vault import (
    BACKUP_KEY,
    BACKUP_RECORD,
    assert_filled,
    fill,
    restore,
    tamper,
)
from keybaton_testing.vaults import (
    KEY,
    OTHER_KEY,
    OTHER_RECORD,
    key,
    no_progress,
    opened_vault,
    secret,
    value_of,
    vault_at,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import PutMode, VaultService


@pytest.fixture
async def vault(vault: VaultService) -> VaultService:
    """With items of each kind, history, a removal and noted reads."""
    await fill(vault)
    return vault


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

    async def test_a_restore_goes_on_when_its_caller_leaves(self, vault: VaultService, backup: Path) -> None:
        """Once it has begun, memory and file change together."""
        caller = asyncio.create_task(restore(vault, backup, replace=True))
        while vault._may_write.is_set():
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await vault._may_write.wait()
        header = vault.header()
        assert header is not None
        assert header.record == OTHER_RECORD
        await assert_filled(vault)

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
