"""The vault across lock and restart, and its log of reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.vaults import (
    OTHER_KEY,
    key,
    opened_vault,
    refusal,
    secret,
    value_of,
    vault_at,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_reads import FLUSH_READS, FLUSH_SECONDS, READS_TOGETHER
from keybatond.services.vault_transaction import READ_BATCHES_KEPT

CREATE = PutMode.CREATE


class TestLock:
    async def test_a_locked_vault_tells_so_and_opens_again(self, vault: VaultService, path: Path) -> None:
        """VAULT_LOCKED for every call; another process finds everything."""
        await vault.put(secret("a", "1"), CREATE)
        vault.close()
        assert not vault.is_open
        for call in (lambda: vault.get(secret("a").ref), vault.list, vault.count, vault.reads):
            with pytest.raises(KeybatonError) as caught:
                call()
            assert refusal(caught) is Reason.VAULT_LOCKED
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("b"), CREATE)
        assert refusal(caught) is Reason.VAULT_LOCKED
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key(OTHER_KEY))
        assert refusal(caught) is Reason.WRONG_KEY
        await vault.open(key())
        assert value_of(vault.get(secret("a").ref)) == "1"
        await vault.shutdown()
        again = await opened_vault(path)
        assert value_of(again.get(secret("a").ref)) == "1"
        await again.shutdown()

    async def test_writes_on_their_way_are_finished_by_a_lock(self, vault: VaultService) -> None:
        """What was accepted before the lock is stored and answered; the keys are overwritten after it."""
        writes = [asyncio.create_task(vault.put(secret(f"n{n}"), CREATE)) for n in range(20)]
        await asyncio.sleep(0)
        assert vault._open is not None
        keys = vault._open.sealer.keys
        vault.close()
        assert all(summary.version == 1 for summary in await asyncio.gather(*writes))
        await vault._store.barrier()
        assert keys.wiped
        await vault.open(key())
        assert vault.count() == 20

    async def test_without_a_vault_every_call_says_absent(self, path: Path) -> None:
        """And nothing is made by asking."""
        vault = vault_at(path)
        assert vault.header() is None
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key())
        assert refusal(caught) is Reason.VAULT_ABSENT
        with pytest.raises(KeybatonError) as caught:
            vault.list()
        assert refusal(caught) is Reason.VAULT_ABSENT
        await vault.shutdown()
        assert not path.parent.exists()

    async def test_subscribers_hear_of_changes_and_not_of_refusals(self, vault: VaultService) -> None:
        """Until they end it."""
        heard: list[int] = []
        end = vault.subscribe(lambda: heard.append(vault.count()))
        await vault.put(secret("a"), CREATE)
        with pytest.raises(KeybatonError):
            await vault.put(secret("a"), CREATE)
        end()
        await vault.put(secret("b"), CREATE)
        assert heard == [1]


class TestReads:
    async def test_reads_are_noted_written_later_and_survive(
        self, vault: VaultService, path: Path, clock: FakeClock
    ) -> None:
        """With kind of client and time; internal reads are not noted."""
        await vault.put(secret("a"), CREATE)
        vault.get(secret("a").ref, client="command line")
        vault.get(secret("a").ref)
        clock.move_to(clock.monotonic() + 1)
        vault.get(secret("a").ref, client="git\x1b[0m")
        await clock.advance(FLUSH_SECONDS)
        await vault._store.barrier()
        vault.get(secret("a").ref, client="last")
        assert [read.client for read in vault.reads()] == ["last", "git[0m", "command line"]
        await vault.shutdown()
        again = await opened_vault(path)
        reads = again.reads()
        assert [(read.client, read.ref.name, read.version) for read in reads] == [
            ("last", "a", 1),
            ("git[0m", "a", 1),
            ("command line", "a", 1),
        ]
        assert reads[1].at_ms - reads[2].at_ms == 1000
        assert [read.client for read in again.reads(2)] == ["last", "git[0m"]
        assert await again.check(lambda done, total: None) == []
        await again.shutdown()

    async def test_the_log_is_bounded(self, vault: VaultService, path: Path) -> None:
        """The oldest batches go; the sum stays right."""
        await vault.put(secret("a"), CREATE)
        for n in range(READ_BATCHES_KEPT * READS_TOGETHER + FLUSH_READS):
            vault.get(secret("a").ref, client=str(n))
        await vault._store.barrier()
        kept = vault.reads(10**6)
        assert len(kept) == READ_BATCHES_KEPT * READS_TOGETHER
        assert kept[-1].client == str(FLUSH_READS)
        assert await vault.check(lambda done, total: None) == []
