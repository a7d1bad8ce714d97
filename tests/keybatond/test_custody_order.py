"""The order of custody's steps over fakes: what a power cut leaves, and what failures leave."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.custody_machine import (
    KEYCHAIN,
    PASSPHRASE,
    WORDS,
    Machine,
    PowerCut,
    no_progress,
    refused,
)
from keybaton_testing.fake_keystore import FakeKeyJournal, FakeKeystore
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyChange, KeyRecord
from keybatond.services.wrapping_keys import WrappingKeys


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


async def test_where_nobody_can_tell_which_key_the_file_needs_both_are_kept() -> None:
    """The commit of a rekey failed, and the header cannot be read after it: it may name either key."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)

    def disk_fails(done: int, total: int) -> None:
        machine.vault.failure = KeybatonError(Reason.STORAGE_FAILED)
        machine.disk.problem = Reason.STORAGE_FAILED

    assert await refused(machine.custody.rekey(None, None, disk_fails)) is Reason.STORAGE_FAILED
    assert len(machine.stored) == 2
    assert machine.noted


def test_a_keystore_that_this_machine_lacks_is_never_another_one() -> None:
    """No silent step down to something weaker."""
    keys = WrappingKeys({PASSPHRASE: FakeKeystore(PASSPHRASE)}, FakeKeyJournal(), FakeEntropy(), FakeLog())
    with pytest.raises(KeybatonError) as caught:
        keys.keystore(KEYCHAIN)
    assert caught.value.reason is Reason.KEYCHAIN_UNAVAILABLE
    assert keys.describe(KeyRecord(KEYCHAIN, "0" * 32, b"fake")) == ""


async def test_a_key_that_reads_back_differently_is_never_used() -> None:
    """KEYCHAIN_REFUSED before a vault depends on it, and it is not left in the keychain."""

    class Altering(FakeKeystore):
        async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
            loaded = await super().load(record, passphrase)
            return SecretBytes(loaded.reveal()[:-1] + b"?")

    keychain = Altering()
    keys = WrappingKeys({KEYCHAIN: keychain}, FakeKeyJournal(), FakeEntropy(), FakeLog())
    assert await refused(keys.new(KEYCHAIN, None, None)) is Reason.KEYCHAIN_REFUSED
    assert not keychain.stored
