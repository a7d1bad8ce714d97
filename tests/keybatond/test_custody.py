"""CustodyService over fakes: the order of its steps, what a power cut leaves, locks, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.custody_vault import CustodyDisk, CustodyVault
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_keystore import FakeKeyJournal, FakeKeystore
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyChange, KeyRecord, KeystoreKind
from keybatond.services.custody import CustodyService, VaultState

KEYCHAIN, PASSPHRASE = KeystoreKind.KEYCHAIN, KeystoreKind.PASSPHRASE
WORDS = SecretBytes(b"correct horse battery")
OTHER_WORDS = SecretBytes(b"staple of another kind")


class PowerCut(BaseException):
    """The machine is off: nothing more runs."""


class Machine:
    """Disk, keychain and a working custody; `restarted` is the same machine with a new agent."""

    def __init__(
        self,
        *,
        cut_at: int = 0,
        disk: CustodyDisk | None = None,
        stored: Any = None,
        noted: list[KeyChange] | None = None,
        idle: int = 3600,
    ) -> None:
        self.disk = disk or CustodyDisk()
        self.stored: dict[str, tuple[bytes, bytes | None]] = {} if stored is None else stored
        self.noted: list[KeyChange] = [] if noted is None else noted
        self._left = cut_at
        self.steps: list[str] = []
        self.vault = CustodyVault(self.disk, self._step)
        self.keychain = FakeKeystore(KEYCHAIN, self.stored, self._step)
        self.sealed = FakeKeystore(PASSPHRASE, self.stored, self._step)
        self.journal = FakeKeyJournal(self.noted, self._step)
        self.clock = FakeClock()
        self.log = FakeLog()
        self.custody = CustodyService(
            self.vault,
            {KEYCHAIN: self.keychain, PASSPHRASE: self.sealed},
            self.journal,
            clock=self.clock,
            entropy=FakeEntropy(len(self.stored)),
            log=self.log,
            idle_lock_seconds=idle,
        )

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self._left:
            raise PowerCut

    def restarted(self, *, cut_at: int = 0) -> Machine:
        return Machine(cut_at=cut_at, disk=self.disk, stored=self.stored, noted=self.noted)

    def only_reason(self, name: str) -> list[object]:
        return [fields.get("reason") for event, fields in self.log.events if event == name]


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


async def refused(work: Coroutine[Any, Any, object]) -> Reason:
    with pytest.raises(KeybatonError) as caught:
        await work
    return caught.value.reason


async def test_init_makes_a_vault_that_the_next_agent_unlocks() -> None:
    """After init the vault is open, after a restart locked, after unlock open again, under the kind that was asked for."""
    machine = Machine()
    assert machine.custody.state().vault_state is VaultState.ABSENT
    await machine.custody.init(KEYCHAIN, None)
    assert machine.custody.state().vault_state is VaultState.UNLOCKED
    later = machine.restarted()
    assert later.custody.state().vault_state is VaultState.LOCKED
    await later.custody.unlock()
    state = later.custody.state()
    assert (state.vault_state, state.kind, state.detail) == (VaultState.UNLOCKED, KEYCHAIN, "fake")


async def test_init_over_any_existing_vault_is_refused_and_makes_no_key() -> None:
    """A vault that exists, is damaged or newer keeps its file and its keys: no keystore is even asked."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    keys = dict(machine.stored)
    for problem, reason in ((None, Reason.VAULT_EXISTS), (Reason.VAULT_DAMAGED,) * 2, (Reason.VAULT_NEWER,) * 2):
        machine.disk.problem = problem
        assert await refused(machine.restarted().custody.init(PASSPHRASE, WORDS)) is reason
        assert machine.stored == keys


@pytest.mark.parametrize(
    "reason",
    [
        Reason.KEY_ABSENT,
        Reason.KEYCHAIN_UNAVAILABLE,
        Reason.KEYCHAIN_LOCKED,
        Reason.KEYCHAIN_TIMEOUT,
        Reason.KEYCHAIN_REFUSED,
    ],
)
async def test_a_keychain_error_never_leads_to_a_new_key_or_another_keystore(reason: Reason) -> None:
    """Unlock, rekey and init tell the keychain's own reason; keys, header and kind stay."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    header, keys = machine.disk.vault, dict(machine.stored)
    later = machine.restarted()
    later.keychain.failure = KeybatonError(reason)
    assert await refused(later.custody.unlock(WORDS)) is reason
    assert later.custody.state().vault_state is VaultState.LOCKED
    machine.keychain.failure = KeybatonError(reason)
    assert await refused(machine.custody.rekey(None, WORDS, no_progress)) is reason
    assert (machine.disk.vault, machine.stored) == (header, keys)

    fresh = Machine()
    fresh.keychain.failure = KeybatonError(reason)
    assert await refused(fresh.custody.init(KEYCHAIN, WORDS)) is reason
    assert fresh.disk.vault is None and not fresh.stored


async def _init(machine: Machine) -> None:
    await machine.custody.init(KEYCHAIN, None)


async def _rekey(machine: Machine) -> None:
    await machine.custody.unlock()
    await machine.custody.rekey(None, None, no_progress)


async def _rekey_to_passphrase(machine: Machine) -> None:
    await machine.custody.unlock()
    await machine.custody.rekey(PASSPHRASE, WORDS, no_progress)


async def _restore(machine: Machine) -> None:
    await machine.custody.restore("/b", WORDS, None, None, no_progress, replace=True)


@pytest.mark.parametrize("change", [_init, _rekey, _rekey_to_passphrase, _restore])
@pytest.mark.parametrize("cut_at", range(1, 14))
async def test_a_power_cut_at_any_step_leaves_a_vault_that_its_keystore_opens(
    change: Callable[[Machine], Coroutine[Any, Any, None]], cut_at: int
) -> None:
    """Whatever header is on the disk after the cut, the keystore that it names has its key; a key that nothing needs goes.

    But where there was no vault: in the moment between the note's end and the file's coming a key may be left, since a note that
    is found beside no file could be about a vault that somebody moved away.
    """
    before = Machine()
    if change is not _init:
        await _init(before)
        await before.custody.backup("/b", WORDS, no_progress)
    machine = before.restarted(cut_at=cut_at)
    cut = False
    try:
        await change(machine)
    except PowerCut:
        cut = True
    assert cut or len(machine.steps) < cut_at
    after = machine.restarted()
    if machine.disk.vault is None:
        assert change is _init
        await after.custody.init(KEYCHAIN, None)
    else:
        await after.custody.unlock(WORDS)
    assert after.vault.is_open
    assert machine.disk.vault is not None
    needed = {machine.disk.vault.record.key_id, *(kept.record.key_id for kept in machine.disk.set_aside if kept)}
    in_keychain = {key_id for key_id, (_, passphrase) in machine.stored.items() if passphrase is None}
    left = in_keychain - needed
    if change is _init and machine.steps[-1] in ("after end", "before commit"):
        assert len(left) == 1
    else:
        assert not left
    assert needed <= machine.stored.keys() and not machine.noted


async def test_rekey_stores_the_new_key_then_commits_then_removes_the_old_one() -> None:
    """The order is the whole safety; afterwards exactly the new key is left."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    old = machine.disk.vault
    machine.steps.clear()
    await machine.custody.rekey(None, None, no_progress)
    assert [step for step in machine.steps if step.startswith("after")] == [
        "after begin",
        "after store",
        "after commit",
        "after remove",
        "after end",
    ]
    assert old is not None and machine.disk.vault is not None
    assert list(machine.stored) == [machine.disk.vault.record.key_id] != [old.record.key_id]


async def test_a_failed_commit_takes_its_new_key_along_and_keeps_the_old_one() -> None:
    """A full disk at rekey: STORAGE_FULL, the old key opens, no key is left over."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    keys = dict(machine.stored)
    machine.vault.failure = KeybatonError(Reason.STORAGE_FULL)
    assert await refused(machine.custody.rekey(None, None, no_progress)) is Reason.STORAGE_FULL
    assert machine.stored == keys
    await machine.restarted().custody.unlock()


async def test_a_commit_that_fails_after_it_took_effect_keeps_the_key_that_the_header_names() -> None:
    """An error that comes after the commit must not remove the only key."""
    machine = Machine()
    commit = machine.vault.create

    async def create(record: KeyRecord, wrapping_key: SecretBytes) -> None:
        await commit(record, wrapping_key)
        raise KeybatonError(Reason.STORAGE_FAILED)

    machine.vault.create = create  # type: ignore[method-assign]
    assert await refused(machine.custody.init(KEYCHAIN, None)) is Reason.STORAGE_FAILED
    await machine.restarted().custody.unlock()


async def test_an_old_key_that_cannot_be_removed_is_logged_and_rekey_succeeds() -> None:
    """The vault no longer needs it; the change is done."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    keep = machine.keychain.remove

    async def remove(record: KeyRecord) -> None:
        machine.keychain.failure = KeybatonError(Reason.KEYCHAIN_TIMEOUT)
        await keep(record)

    machine.keychain.remove = remove  # type: ignore[method-assign]
    await machine.custody.rekey(None, None, no_progress)
    assert machine.only_reason("unneeded key left") == ["KEYCHAIN_TIMEOUT"]
    assert len(machine.stored) == 2
    await machine.restarted().custody.unlock()
    assert len(machine.stored) == 1


async def test_a_key_that_another_vault_may_need_is_never_removed() -> None:
    """A note beside a vault that it is not about, or beside none where there was one: the file was exchanged or moved by hand."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    first = machine.disk.vault
    assert first is not None
    noted = KeyChange(KeyRecord(KEYCHAIN, "0" * 32, b""), first.record, drops_old=True)
    machine.noted[:] = [noted]
    moved = Machine(stored=machine.stored, noted=machine.noted)
    await moved.custody.init(KEYCHAIN, None)
    assert first.record.key_id in machine.stored and not machine.noted
    machine.noted[:] = [noted]
    await moved.restarted().custody.unlock()
    assert first.record.key_id in machine.stored and not machine.noted
    assert len(machine.stored) == 2


async def test_a_note_that_cannot_be_written_stops_a_change_before_it_begins_and_never_an_unlock() -> None:
    """A full disk at rekey: nothing is stored. A note that cannot be ended is looked at again."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    keys = dict(machine.stored)
    machine.journal.failure = KeybatonError(Reason.STORAGE_FULL)
    assert await refused(machine.custody.rekey(None, None, no_progress)) is Reason.STORAGE_FULL
    assert machine.stored == keys
    later = machine.restarted()
    later.noted[:] = [KeyChange(KeyRecord(KEYCHAIN, "0" * 32, b""), None, drops_old=False)]
    later.journal.failure = KeybatonError(Reason.STORAGE_READ_ONLY)
    await later.custody.unlock()
    assert later.only_reason("note of keys left") == ["STORAGE_READ_ONLY"]


async def test_a_passphrase_is_demanded_and_checked() -> None:
    """PASSPHRASE_REQUIRED, PASSPHRASE_WEAK, WRONG_PASSPHRASE reach the caller as they are."""
    machine = Machine()
    assert await refused(machine.custody.init(PASSPHRASE, None)) is Reason.PASSPHRASE_REQUIRED
    assert await refused(machine.custody.init(PASSPHRASE, SecretBytes(b"short"))) is Reason.PASSPHRASE_WEAK
    await machine.custody.init(PASSPHRASE, WORDS)
    later = machine.restarted()
    assert await refused(later.custody.unlock()) is Reason.PASSPHRASE_REQUIRED
    assert await refused(later.custody.unlock(OTHER_WORDS)) is Reason.WRONG_PASSPHRASE
    await later.custody.unlock(WORDS)


async def test_unlock_without_a_vault_and_changes_of_a_locked_one_are_refused() -> None:
    """VAULT_ABSENT before init; VAULT_LOCKED for rekey and backup."""
    machine = Machine()
    assert await refused(machine.custody.unlock()) is Reason.VAULT_ABSENT
    await machine.custody.init(KEYCHAIN, None)
    await machine.custody.lock()
    assert await refused(machine.custody.rekey(None, None, no_progress)) is Reason.VAULT_LOCKED
    assert await refused(machine.custody.backup("/b", WORDS, no_progress)) is Reason.VAULT_LOCKED


async def test_the_attended_kind_stays_locked_at_start_and_the_others_unlock() -> None:
    """unlock_unattended opens a keychain vault, leaves a passphrase one, and logs a failure instead of raising."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    later = machine.restarted()
    await later.custody.unlock_unattended()
    assert later.vault.is_open
    failing = machine.restarted()
    failing.keychain.failure = KeybatonError(Reason.KEYCHAIN_LOCKED)
    await failing.custody.unlock_unattended()
    assert failing.only_reason("unlock at start failed") == ["KEYCHAIN_LOCKED"]
    other = Machine()
    await other.custody.unlock_unattended()
    await other.custody.init(PASSPHRASE, WORDS)
    again = other.restarted()
    await again.custody.unlock_unattended()
    assert not again.vault.is_open


async def test_lock_drops_the_keys_first_and_then_tells_everybody() -> None:
    """Callbacks see a closed vault; one that fails does not keep the others from running; a locked vault tells nobody."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    seen: list[bool] = []

    async def failing() -> None:
        raise RuntimeError

    async def noting() -> None:
        seen.append(machine.vault.is_open)

    machine.custody.on_lock(failing)
    machine.custody.on_lock(noting)
    await machine.custody.lock()
    await machine.custody.lock()
    assert seen == [False]


def test_the_idle_lock_comes_after_the_idle_time_and_activity_delays_it() -> None:
    """60 minutes by default, counted from the last touch; nothing locks twice; zero means never."""

    async def run() -> None:
        machine = Machine()
        machine.clock = clock
        machine.custody._clock = clock
        await machine.custody.init(KEYCHAIN, None)
        watch = asyncio.create_task(machine.custody.watch_idle())
        await asyncio.sleep(3000)
        machine.custody.touch()
        await asyncio.sleep(3599)
        assert machine.vault.is_open
        await asyncio.sleep(2)
        assert not machine.vault.is_open
        await machine.custody.unlock()
        await asyncio.sleep(3601)
        assert not machine.vault.is_open
        watch.cancel()
        await Machine(idle=0).custody.watch_idle()

    clock = FakeClock()
    simulate(clock, run())


class SlowKeystore(FakeKeystore):
    """Answers a load only when told."""

    def __init__(self, stored: dict[str, tuple[bytes, bytes | None]]) -> None:
        super().__init__(KEYCHAIN, stored)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        self.asked.set()
        await self.go.wait()
        return await super().load(record, passphrase)


async def _slow_machine() -> tuple[Machine, SlowKeystore]:
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    later = machine.restarted()
    slow = SlowKeystore(machine.stored)
    later.custody._keys._keystores = {KEYCHAIN: slow}
    return later, slow


async def test_a_lock_ends_an_unlock_that_waits_for_its_keystore() -> None:
    """Suspend while a keychain asks a person: the lock wins at once, the unlock says VAULT_LOCKED, the vault stays closed."""
    machine, slow = await _slow_machine()
    unlocking = asyncio.create_task(machine.custody.unlock())
    await slow.asked.wait()
    await asyncio.wait_for(machine.custody.lock(), 1)
    assert await refused(unlocking) is Reason.VAULT_LOCKED  # type: ignore[arg-type]
    assert not machine.vault.is_open


async def test_concurrent_unlocks_ask_the_keystore_once() -> None:
    """Calls are one after the other: the second finds the vault open."""
    machine, slow = await _slow_machine()
    slow.go.set()
    await asyncio.gather(*(machine.custody.unlock() for _ in range(20)))
    assert machine.vault.is_open


def test_a_change_that_takes_too_long_makes_the_next_one_busy_and_a_lock_follows_it() -> None:
    """BUSY after 10 s instead of waiting for ever; the lock that was refused is made up for when the change ends."""

    async def run() -> None:
        machine, slow = await _slow_machine()
        slow.go.set()
        await machine.custody.unlock()
        slow.go.clear()
        slow.asked.clear()
        rekeying = asyncio.create_task(machine.custody.rekey(None, None, no_progress))
        await slow.asked.wait()
        assert await refused(machine.custody.backup("/b", WORDS, no_progress)) is Reason.BUSY
        assert await refused(machine.custody.lock()) is Reason.BUSY
        slow.go.set()
        await rekeying
        assert not machine.vault.is_open
        await machine.restarted().custody.unlock()

    simulate(FakeClock(), run())


async def test_a_change_goes_on_when_its_caller_leaves() -> None:
    """A client that hangs up during a rekey does not leave it to chance which key the vault needs."""
    machine, slow = await _slow_machine()
    slow.go.set()
    await machine.custody.unlock()
    slow.go.clear()
    slow.asked.clear()
    caller = asyncio.create_task(machine.custody.rekey(None, None, no_progress))
    await slow.asked.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    slow.go.set()
    await machine.custody.lock()
    assert len(machine.stored) == 1
    await machine.restarted().custody.unlock()


async def test_a_damaged_or_newer_vault_is_a_state_with_its_reason() -> None:
    """The state never fails: it says DAMAGED and why, for a header and for a body that does not open."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    later = machine.restarted()
    later.vault.failure = KeybatonError(Reason.VAULT_DAMAGED)
    assert await refused(later.custody.unlock()) is Reason.VAULT_DAMAGED
    assert later.custody.state().vault_state is VaultState.DAMAGED
    later.vault.failure = None
    await later.custody.unlock()
    assert later.custody.state().vault_state is VaultState.UNLOCKED
    for problem in (Reason.VAULT_DAMAGED, Reason.VAULT_NEWER, Reason.STORAGE_FAILED):
        machine.disk.problem = problem
        state = machine.restarted().custody.state()
        assert state.vault_state is VaultState.DAMAGED and state.problem is not None and state.problem.reason is problem


async def test_a_backup_restores_under_a_new_key_and_keeps_the_replaced_vaults_key() -> None:
    """Over an existing vault only when told to; the file set aside still has its key; a wrong passphrase changes nothing."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    assert await machine.custody.backup("/b", WORDS, no_progress) == 3
    old = machine.disk.vault
    assert old is not None
    restore = machine.custody.restore
    assert await refused(restore("/b", WORDS, None, None, no_progress, replace=False)) is Reason.VAULT_EXISTS
    keys = dict(machine.stored)
    assert await refused(restore("/b", OTHER_WORDS, None, None, no_progress, replace=True)) is Reason.WRONG_PASSPHRASE
    assert machine.stored == keys and machine.disk.vault == old
    result = await restore("/b", WORDS, PASSPHRASE, OTHER_WORDS, no_progress, replace=True)
    assert (result.items, result.set_aside) == (3, "vault.db.replaced")
    assert machine.vault.is_open and old.record.key_id in machine.stored
    assert machine.custody.state().kind is PASSPHRASE


async def test_a_damaged_vault_can_be_replaced_by_a_backup() -> None:
    """Without `replace` it is told as damaged; with it the keychain gets the new key."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    await machine.custody.backup("/b", WORDS, no_progress)
    machine.disk.problem = Reason.VAULT_DAMAGED
    later = machine.restarted()
    assert (
        await refused(later.custody.restore("/b", WORDS, None, None, no_progress, replace=False))
        is Reason.VAULT_DAMAGED
    )
    await later.custody.restore("/b", WORDS, None, None, no_progress, replace=True)
    assert later.custody.state().vault_state is VaultState.UNLOCKED


async def test_after_close_nothing_is_changed_any_more() -> None:
    """A stopping agent drops its keys and answers SHUTTING_DOWN."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    await machine.custody.close()
    assert not machine.vault.is_open
    assert await refused(machine.custody.unlock()) is Reason.SHUTTING_DOWN


async def test_every_change_is_told_to_watchers() -> None:
    """Init, lock, unlock: three states seen."""
    machine = Machine()
    seen: list[VaultState] = []
    machine.custody.on_change(lambda: seen.append(machine.custody.state().vault_state))
    await machine.custody.init(KEYCHAIN, None)
    await machine.custody.lock()
    await machine.custody.unlock()
    assert seen == [VaultState.UNLOCKED, VaultState.LOCKED, VaultState.UNLOCKED]
