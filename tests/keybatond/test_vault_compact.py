"""Older versions that go for good: which ones, what is left of them, and what stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from keybaton_api.agent.v1 import agent_pb2
from keybaton_core.items import ItemRef
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.filled_vault import BACKUP_KEY, BACKUP_RECORD, fill, restore, rows_of, tamper
from keybaton_testing.vaults import key, no_progress, opened_vault, refusal, secret, value_of
from keybatond.adapters.sqlite_store import schema
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.convert_compact import compaction_to, rule_from
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_compact import DAY_MS, SHOWN_MAX, Rule

NAME = secret("a").ref


async def forget(vault: VaultService, keep: int = 0, days: int | None = None) -> list[tuple[str, int, bool]]:
    """Compacts, after a preview that must say the same and change nothing; name, versions and whether it is gone, of each."""
    before = {ref: vault.versions(ref) for ref in present(vault)}
    would = await vault.compact(Rule(keep, days), no_progress, dry_run=True)
    assert before == {ref: vault.versions(ref) for ref in present(vault)}
    done = await vault.compact(Rule(keep, days), no_progress, dry_run=False)
    assert done == would
    assert await vault.check(no_progress) == []
    return [(item.ref.name, item.versions, item.gone) for item in done.shown]


def present(vault: VaultService) -> list[ItemRef]:
    """What is in the vault now."""
    return [summary.ref for summary in vault.list()[0]]


def numbers(vault: VaultService, ref: ItemRef = NAME) -> list[int]:
    """The versions that are left, newest first."""
    return [version.version for version in vault.versions(ref)[0]]


def left_of(sealed: set[bytes], path: Path) -> list[bytes]:
    """Those of which an end is still in the file or its log."""
    log = path.with_name("vault.db-wal")
    content = path.read_bytes() + (log.read_bytes() if log.exists() else b"")
    return [part for part in sealed if part[-16:] in content or part[:16] in content]


class TestWhatGoes:
    async def test_so_many_versions_before_the_current_stay(self, vault: VaultService) -> None:
        """Of each item; what stays can be brought back, what has gone not, and numbers go on."""
        for number in range(1, 7):
            await vault.put(secret("a", str(number)), PutMode.UPSERT)
        await vault.put(secret("b"), PutMode.CREATE)
        assert await forget(vault, keep=2) == [("a", 3, False)]
        assert numbers(vault) == [6, 5, 4]
        with pytest.raises(KeybatonError) as caught:
            await vault.undo(NAME, 3)
        assert refusal(caught) is Reason.NOT_FOUND
        assert (await vault.undo(NAME, 4)).version == 7
        assert value_of(vault.get(NAME)) == "4"
        assert await forget(vault, keep=0) == [("a", 3, False)]
        assert numbers(vault) == [7]
        with pytest.raises(KeybatonError) as caught:
            await vault.undo(NAME)
        assert refusal(caught) is Reason.NOT_FOUND
        assert await forget(vault, keep=0) == []

    async def test_a_removal_is_no_version_to_keep(self, vault: VaultService) -> None:
        """What can be brought back counts, so that keeping one always leaves a step back."""
        await vault.put(secret("a", "1"), PutMode.CREATE)
        await vault.put(secret("a", "2"), PutMode.REPLACE)
        await vault.delete(NAME)
        await vault.put(secret("a", "3"), PutMode.CREATE)
        assert await forget(vault, keep=1) == [("a", 1, False)]
        assert numbers(vault) == [4, 3, 2]
        await vault.undo(NAME)
        assert value_of(vault.get(NAME)) == "2"

    async def test_of_a_removed_item_nothing_is_left_with_its_last_version(self, vault: VaultService) -> None:
        """Not even that it was removed; its name begins anew. What stays comes back by undo."""
        first = await vault.put(secret("a", "1"), PutMode.CREATE)
        await vault.delete(NAME)
        assert await forget(vault, keep=1) == []
        await vault.undo(NAME)
        await vault.delete(NAME)
        assert await forget(vault, keep=0) == [("a", 3, True)]
        with pytest.raises(KeybatonError) as caught:
            vault.versions(NAME)
        assert refusal(caught) is Reason.NOT_FOUND
        again = await vault.put(secret("a"), PutMode.CREATE)
        assert again.version == 1 and again.id != first.id

    async def test_days_count_from_when_a_version_was_replaced(self, vault: VaultService, clock: FakeClock) -> None:
        """A value of three years that was changed yesterday is yesterday's, and the step back is there."""
        await vault.put(secret("a", "long used"), PutMode.CREATE)
        await vault.put(secret("gone"), PutMode.CREATE)
        clock.jump_wall(1000 * DAY_MS)
        await vault.put(secret("a", "new"), PutMode.REPLACE)
        await vault.delete(secret("gone").ref)
        clock.jump_wall(DAY_MS)
        assert await forget(vault, days=2) == []
        assert await forget(vault, days=1) == []
        clock.jump_wall(1)
        assert await forget(vault, days=1) == [("a", 1, False), ("gone", 1, True)]

    async def test_a_clock_that_was_set_back_leaves_no_gap(self, vault: VaultService, clock: FakeClock) -> None:
        """What is older than a version that goes is gone too: nobody finds version 1 before version 3."""
        await vault.put(secret("a", "1"), PutMode.CREATE)
        clock.jump_wall(10 * DAY_MS)
        await vault.put(secret("a", "2"), PutMode.REPLACE)
        clock.jump_wall(-10 * DAY_MS)
        await vault.put(secret("a", "3"), PutMode.REPLACE)
        clock.jump_wall(8 * DAY_MS)
        assert await forget(vault, days=5) == [("a", 2, False)]

    async def test_with_both_rules_stays_what_either_keeps(self, vault: VaultService, clock: FakeClock) -> None:
        """Old versions beyond the number go."""
        for number in range(1, 6):
            await vault.put(secret("a", str(number)), PutMode.UPSERT)
            clock.jump_wall(DAY_MS)
        assert await forget(vault, keep=1, days=2) == [("a", 2, False)]
        clock.jump_wall(10 * DAY_MS)
        assert await forget(vault, keep=1, days=2) == [("a", 1, False)]
        assert numbers(vault) == [5, 4]

    async def test_an_answer_names_a_thousand_items_and_counts_all(self, vault: VaultService) -> None:
        """A message has an end."""
        for value in ("1", "2"):
            for start in (0, SHOWN_MAX):
                items = [secret(f"n{start + number}", value) for number in range(SHOWN_MAX - start // 2)]
                await vault.batch_put(items, PutMode.UPSERT)
        done = await vault.compact(Rule(), no_progress, dry_run=False)
        assert (done.items, done.versions, len(done.shown)) == (1500, 1500, SHOWN_MAX)


class TestWhatIsLeft:
    async def test_no_octet_of_what_went_is_left_in_the_file(self, vault: VaultService, path: Path) -> None:
        """Neither in free pages nor in the log, and the file is smaller."""
        for number in range(40):
            await vault.put(secret("large", bytes([number]) * 20_000), PutMode.UPSERT)
        await vault.put(secret("gone", "x" * 5000), PutMode.CREATE)
        await vault.delete(secret("gone").ref)
        await vault._store.fold()
        size, before = path.stat().st_size, rows_of(path)
        await forget(vault, keep=1)
        forgotten = before - rows_of(path)
        assert len(forgotten) == 2 * 38
        await forget(vault, keep=0)
        forgotten |= before - rows_of(path)
        assert not left_of(forgotten, path)
        assert path.stat().st_size < size / 10
        assert value_of(vault.get(secret("large").ref)) == "\x27" * 20_000

    @pytest.mark.parametrize("own", [True, False])
    async def test_what_somebody_was_reading_goes_once_he_has_left(
        self, vault: VaultService, path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
    ) -> None:
        """With the end of a check or backup at once, with that of another program's reading with the next change."""
        monkeypatch.setattr(schema, "WRITER_BUSY_MS", 20)
        for number in range(3):
            await vault.put(secret("a", bytes([number]) * 5000), PutMode.UPSERT)
        await vault._store.fold()
        before = rows_of(path)
        begun, leave = threading.Event(), threading.Event()

        def read(*_: object) -> None:
            begun.set()
            assert leave.wait(20)

        def read_outside() -> None:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM item").fetchall()
                read()

        reading = asyncio.create_task(vault.check(read) if own else asyncio.to_thread(read_outside))
        await asyncio.to_thread(begun.wait, 20)
        await vault.compact(Rule(), no_progress, dry_run=False)
        leave.set()
        await reading
        if not own:
            await vault.put(secret("b"), PutMode.CREATE)
        assert not left_of(before - rows_of(path), path)
        assert await vault.check(no_progress) == []

    async def test_links_reads_and_what_is_current_stay(self, vault: VaultService, path: Path, tmp_path: Path) -> None:
        """Also over a restart, a backup and its return."""
        await fill(vault)
        listed = vault.list()
        await forget(vault)
        await vault.backup(str(tmp_path / "backup"), BACKUP_RECORD, key(BACKUP_KEY), no_progress)
        await vault.shutdown()
        again = await opened_vault(path)
        assert again.list() == listed
        assert [read.ref.name for read in again.reads()] == ["key"]
        await again.put(secret("renamed", "new"), PutMode.REPLACE, rename_from="key")
        await restore(again, tmp_path / "backup", replace=True)
        assert [summary.ref for summary in again.list()[0]] == [summary.ref for summary in listed[0]]
        assert [version.version for version in again.versions(secret("key").ref)[0]] == [2]
        assert await again.check(no_progress) == []
        await again.shutdown()

    async def test_it_hides_no_tampering(self, vault: VaultService, path: Path) -> None:
        """A version that somebody took out of the file is still missed when the rest has gone."""
        for number in range(4):
            await vault.put(secret("a", str(number)), PutMode.UPSERT)
        await vault.shutdown()
        tamper(path, "DELETE FROM past WHERE version = 2")
        again = await opened_vault(path)
        await again.compact(Rule(), no_progress, dry_run=False)
        assert await again.check(no_progress) != []
        await again.shutdown()

    async def test_writes_wait_and_are_kept(self, vault: VaultService) -> None:
        """Whatever comes while the file is made smaller; it goes on when its caller leaves."""
        for number in range(20):
            await vault.put(secret("a", str(number)), PutMode.UPSERT)
        compacting = asyncio.create_task(vault.compact(Rule(), no_progress, dry_run=False))
        await asyncio.sleep(0)
        compacting.cancel()
        await asyncio.gather(*(vault.put(secret(f"n{number}"), PutMode.CREATE) for number in range(20)))
        with contextlib.suppress(asyncio.CancelledError):
            await compacting
        assert vault.count() == 21
        assert numbers(vault) == [20]
        assert await vault.check(no_progress) == []

    async def test_a_lock_in_between_waits_for_it(self, vault: VaultService) -> None:
        """Whatever had begun is done with the keys that it began with; the vault is sound when it is opened again."""
        for number in range(20):
            await vault.put(secret("a", str(number)), PutMode.UPSERT)
        compacting = asyncio.create_task(vault.compact(Rule(), no_progress, dry_run=False))
        await asyncio.sleep(0.001)
        vault.close()
        await vault.wiped()
        assert (await compacting).versions == 19
        await vault.open(key())
        assert numbers(vault) == [20]
        assert await vault.check(no_progress) == []

    async def test_a_locked_vault_forgets_nothing(self, vault: VaultService) -> None:
        """Neither does it say what it would forget."""
        vault.close()
        for dry_run in (True, False):
            with pytest.raises(KeybatonError) as caught:
                await vault.compact(Rule(), no_progress, dry_run=dry_run)
            assert refusal(caught) is Reason.VAULT_LOCKED


class TestWire:
    def test_nothing_goes_unless_it_is_said_what_stays(self) -> None:
        """An empty request is refused; 0 is not the same as nothing."""
        with pytest.raises(KeybatonError) as caught:
            rule_from(agent_pb2.CompactVaultRequest())
        assert refusal(caught) is Reason.INVALID_ARGUMENT
        assert rule_from(agent_pb2.CompactVaultRequest(keep=0)) == Rule(0, None)
        assert rule_from(agent_pb2.CompactVaultRequest(older_than_days=0)) == Rule(0, 0)
        assert rule_from(agent_pb2.CompactVaultRequest(keep=3, older_than_days=9)) == Rule(3, 9)

    async def test_the_answer_says_what_went(self, vault: VaultService) -> None:
        """Each item with its name and how much of it."""
        await vault.put(secret("a"), PutMode.CREATE)
        await vault.delete(NAME)
        answer = compaction_to(await vault.compact(Rule(), no_progress, dry_run=True))
        assert (answer.finished, answer.versions, answer.items, answer.gone) == (True, 1, 1, 1)
        assert [(item.ref.name, item.versions, item.gone) for item in answer.shown] == [("a", 1, True)]
