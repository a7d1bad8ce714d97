"""CustodyService over fakes: init, unlock, restore, its states, and what is refused."""

from __future__ import annotations

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.custody_machine import (
    KEYCHAIN,
    OTHER_WORDS,
    PASSPHRASE,
    WORDS,
    Machine,
    no_progress,
    refused,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.custody import VaultState


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


async def test_a_key_that_does_not_fit_is_no_damage() -> None:
    """The vault is locked as before, and no problem of its file is shown; damage is shown until it opens."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    later = machine.restarted()
    for reason, state in ((Reason.VAULT_DAMAGED, VaultState.DAMAGED), (Reason.WRONG_KEY, VaultState.LOCKED)):
        later.vault.failure = KeybatonError(reason)
        assert await refused(later.custody.unlock()) is reason
        shown = later.custody.state()
        assert (shown.vault_state, shown.problem is not None) == (state, state is VaultState.DAMAGED)
