"""What a killed process leaves beside the vault's file, and what the next one makes of it."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.vaults import RECORD, content_hash, key, made_vault, no_progress, secret, value_of, vault_at
from keybatond.adapters.sqlite_store import files
from keybatond.adapters.sqlite_store.copies import Copies
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_compact import Rule

WRITES = 5
ASIDE = "vault.db.replaced-17"


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """A vault whose acknowledged writes are in its log alone, as a killed process leaves it."""
    living = tmp_path / "living" / "vault.db"
    vault = await made_vault(living)
    for number in range(WRITES):
        await vault.put(secret(f"n{number}", f"value {number}"), PutMode.CREATE)
    path = tmp_path / "keybaton" / "vault.db"
    path.parent.mkdir(mode=0o700)
    for part in (living, files.log_of(living)):
        shutil.copy(part, path.with_name(part.name))
    await vault.shutdown()
    return path


async def assert_whole(vault: VaultService) -> None:
    await vault.open(key())
    assert [value_of(vault.get(secret(f"n{number}").ref)) for number in range(WRITES)] == [
        f"value {number}" for number in range(WRITES)
    ]
    assert await vault.check(no_progress) == []


def names(path: Path) -> set[str]:
    """What lies beside the vault, its log's index aside."""
    return {part.name for part in path.parent.iterdir()} - {"vault.db-shm"}


def exchange_until(path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanges the files up to the `step`th time that the folder is synchronised."""
    synchronised, calls = files.sync_folder, itertools.count(1)

    def stop(folder: Path) -> None:
        synchronised(folder)
        if next(calls) == step:
            raise SystemExit

    monkeypatch.setattr(files, "sync_folder", stop)
    with pytest.raises(SystemExit):
        files.exchange(files.new_file(path), path, path.with_name(ASIDE))
    monkeypatch.undo()


async def test_what_a_killed_process_was_to_forget_is_not_left_in_its_log(killed: Path) -> None:
    """It was killed after the change and before its log was folded: whoever looks again at what there is to forget ends it."""
    vault = vault_at(killed)
    await vault.open(key())
    assert files.log_bytes(killed)
    assert (await vault.compact(Rule(), no_progress, dry_run=True)).items == 0
    assert not files.log_bytes(killed)
    await assert_whole(vault)
    await vault.shutdown()


@pytest.mark.parametrize("step", [1, 2])
async def test_an_exchange_that_was_cut_off_is_taken_back(
    killed: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The old vault has one name again and its log, with every write that was only in there; later ones are kept too."""
    exchange_until(killed, step, monkeypatch)
    assert ASIDE in names(killed)
    assert ("vault.db-wal" in names(killed)) == (step == 1)
    vault = vault_at(killed)
    await assert_whole(vault)
    await vault.put(secret("later"), PutMode.CREATE)
    await vault.shutdown()
    assert names(killed) == {"vault.db"}
    again = vault_at(killed)
    await assert_whole(again)
    assert again.count() == WRITES + 1
    await again.shutdown()


async def test_an_exchange_that_was_done_is_not_taken_back(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is the vault, and the old one stays beside it with its log."""
    exchange_until(killed, 3, monkeypatch)
    vault = vault_at(killed)
    with pytest.raises(KeybatonError):  # an empty file is what the test put in its place
        vault.header()
    assert {ASIDE, ASIDE + "-wal"} <= names(killed)


async def test_a_vault_without_its_log_is_not_opened_as_an_older_one(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log cannot be brought back, on a read-only disk for example, that is the answer; then it comes back."""
    exchange_until(killed, 2, monkeypatch)
    before = content_hash(killed)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "link", refuse)
    vault = vault_at(killed)
    for _ in range(2):
        with pytest.raises(KeybatonError) as caught:
            vault.header()
        assert caught.value.reason is Reason.STORAGE_READ_ONLY
    assert content_hash(killed) == before
    monkeypatch.undo()
    await assert_whole(vault)
    await vault.shutdown()


async def test_a_vault_that_went_on_without_the_old_log_keeps_its_own(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two logs of one file that differ: nothing is guessed, the one beside the vault counts, the other stays."""
    exchange_until(killed, 2, monkeypatch)
    log = killed.with_name("vault.db-wal")
    shutil.copy(killed.with_name(ASIDE + "-wal"), log)
    vault = vault_at(killed)
    await assert_whole(vault)
    assert {ASIDE, ASIDE + "-wal"} <= names(killed)
    await vault.shutdown()


async def test_unfinished_files_are_removed_at_the_first_look_and_not_later(killed: Path) -> None:
    """A killed backup or restore takes no room for ever, and a running one is not disturbed."""
    unfinished = files.new_file(killed)
    vault = vault_at(killed)
    await assert_whole(vault)
    assert not unfinished.exists()
    running = files.new_file(killed)
    assert await vault.check(no_progress) == []  # a connection of its own
    assert running.exists()
    await vault.shutdown()


class TestCopies:
    """Unfinished copies in a folder that is anybody's."""

    async def test_the_next_copy_to_a_folder_removes_what_a_killed_process_left_there(
        self, killed: Path, tmp_path: Path
    ) -> None:
        """Under whatever name the copy was to be kept; the rest of the folder stays as it is."""
        left = Copies(killed).new_file(tmp_path / "first backup")
        stranger = Copies(killed.with_name("other.db")).new_file(tmp_path / "of another vault")
        link = left.with_name(left.name[:-16] + "0" * 16)
        link.symlink_to(stranger)
        folder = left.with_name(left.name[:-16] + "1" * 16)
        folder.mkdir()
        vault = vault_at(killed)
        await assert_whole(vault)
        await vault.backup(str(tmp_path / "second backup"), RECORD, key(), no_progress)
        await vault.shutdown()
        assert set(tmp_path.iterdir()) == {
            *(stranger, link, folder, tmp_path / "second backup"),
            *(tmp_path / "living", tmp_path / "keybaton"),
        }

    def test_a_copy_that_is_being_made_is_left_alone(self, killed: Path, tmp_path: Path) -> None:
        """Two backups to one folder at once do not take each other's file away."""
        copies = Copies(killed)
        assert len({copies.new_file(tmp_path / "backup"), copies.new_file(tmp_path / "backup")}) == 2
        assert len(list(tmp_path.glob(".keybaton.new-*"))) == 2

    def test_a_copy_is_nobody_elses_to_read(self, killed: Path, tmp_path: Path) -> None:
        """Mode 0600 from the first instant."""
        assert stat.S_IMODE(Copies(killed).new_file(tmp_path / "backup").stat().st_mode) == 0o600


async def test_another_name_that_somebody_gave_the_file_stays(killed: Path) -> None:
    """Only names that a restore gives are its to take back."""
    mine = killed.with_name("vault.db.mine")
    os.link(killed, mine)
    vault = vault_at(killed)
    await assert_whole(vault)
    await vault.shutdown()
    assert mine.exists()


async def test_another_program_that_looks_into_the_file_and_leaves_takes_no_write_away(tmp_path: Path) -> None:
    """A program of SQLite's that thinks itself the last one removes the log; what is written later must outlive a kill."""
    living = tmp_path / "living" / "vault.db"
    vault = await made_vault(living)
    await vault.put(secret("n0", "value 0"), PutMode.CREATE)
    assert await vault.check(no_progress) == []
    with pytest.raises(KeybatonError):
        await vault.restore(str(living), _no_key, RECORD, key(), no_progress, replace=True)
    look = "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1])\n"
    look += "connection.execute('SELECT count(*) FROM item').fetchall()\nconnection.close()\n"
    subprocess.run([sys.executable, "-c", look, living], check=True, timeout=30)
    for number in range(1, WRITES):
        await vault.put(secret(f"n{number}", f"value {number}"), PutMode.CREATE)
    path = tmp_path / "keybaton" / "vault.db"
    path.parent.mkdir(mode=0o700)
    for part in (living, files.log_of(living)):
        shutil.copy(part, path.with_name(part.name))
    after = vault_at(path)
    await assert_whole(after)
    await after.shutdown()
    await vault.shutdown()


async def _no_key(_record: KeyRecord) -> SecretBytes:
    raise AssertionError
