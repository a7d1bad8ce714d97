"""Custody over the real vault and the real sealed keystore: the whole way of a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from keybaton_core import key_file
from keybaton_core.items import Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_keystore import FakeKeystore
from keybaton_testing.fake_machine import FakeLog
from keybaton_testing.vaults import vault_at
from keybatond.adapters.key_journal import KeyJournalFile
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeystoreKind
from keybatond.services.custody import CustodyService, VaultState
from keybatond.services.vault import PutMode, VaultService

WORDS, OTHER_WORDS = SecretBytes(b"correct horse battery"), SecretBytes(b"staple of another kind")
GEO = ItemRef(ItemKind.SECRET, "geo")


def agent(folder: Path, keychain: FakeKeystore) -> tuple[CustodyService, VaultService]:
    vault = vault_at(folder / "vault.db")
    sealed = PassphraseKeystore(SystemEntropy(), profile=key_file.FLOOR)
    stores = {KeystoreKind.KEYCHAIN: keychain, KeystoreKind.PASSPHRASE: sealed}
    journal = KeyJournalFile(folder / "vault.keys")
    return CustodyService(vault, stores, journal, clock=FakeClock(), entropy=SystemEntropy(), log=FakeLog()), vault


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


async def test_a_secret_survives_every_change_of_keys(tmp_path: Path) -> None:
    """Init in the keychain, rekey to a passphrase, backup, restart, unlock, restore into the keychain again."""
    keychain = FakeKeystore()
    custody, vault = agent(tmp_path, keychain)
    await custody.init(KeystoreKind.KEYCHAIN, None)
    await vault.put(Item(GEO, SecretBody("api-key", {"apiKey": SecretBytes(b"k")})), PutMode.CREATE)
    await custody.rekey(KeystoreKind.PASSPHRASE, WORDS, no_progress)
    assert keychain.stored == {}
    backup = str(tmp_path / "backup")
    assert await custody.backup(backup, OTHER_WORDS, no_progress) == 1
    await custody.close()
    await vault.shutdown()

    custody, vault = agent(tmp_path, keychain)
    with pytest.raises(KeybatonError) as caught:
        await custody.unlock(OTHER_WORDS)
    assert caught.value.reason is Reason.WRONG_PASSPHRASE
    await custody.unlock(WORDS)
    restored = await custody.restore(backup, OTHER_WORDS, KeystoreKind.KEYCHAIN, None, no_progress, replace=True)
    assert restored.items == 1 and Path(restored.set_aside).exists() and len(keychain.stored) == 1
    await custody.lock()
    await custody.unlock()
    body = vault.get(GEO).body
    assert isinstance(body, SecretBody) and body.fields["apiKey"] == SecretBytes(b"k")
    await vault.shutdown()


async def test_a_vault_whose_key_is_gone_is_left_as_it_is(tmp_path: Path) -> None:
    """KEY_ABSENT at unlock, VAULT_EXISTS at init, and the file is byte for byte the same."""
    keychain = FakeKeystore()
    custody, vault = agent(tmp_path, keychain)
    await custody.init(KeystoreKind.KEYCHAIN, None)
    await vault.shutdown()
    before = (tmp_path / "vault.db").read_bytes()
    keychain.stored.clear()
    custody, vault = agent(tmp_path, keychain)
    for work, reason in (
        (custody.unlock(), Reason.KEY_ABSENT),
        (custody.init(KeystoreKind.KEYCHAIN, None), Reason.VAULT_EXISTS),
    ):
        with pytest.raises(KeybatonError) as caught:
            await work
        assert caught.value.reason is reason
    assert custody.state().vault_state is VaultState.LOCKED
    await vault.shutdown()
    assert (tmp_path / "vault.db").read_bytes() == before


class Killed(BaseException):
    """The process is gone: nothing more runs."""


async def test_a_key_that_a_killed_rekey_left_in_the_keychain_is_removed_at_the_next_unlock(tmp_path: Path) -> None:
    """Before the commit it is the new one, after it the old one."""
    for failing in ("rekey", "drop"):
        folder = tmp_path / failing
        folder.mkdir()
        keychain = FakeKeystore()
        custody, vault = agent(folder, keychain)
        await custody.init(KeystoreKind.KEYCHAIN, None)

        async def killed(*_: object) -> None:
            raise Killed

        if failing == "rekey":
            vault.rekey = killed  # type: ignore[method-assign]
        else:
            keychain.remove = killed  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await custody.rekey(None, None, no_progress)
        await vault.shutdown()
        assert len(keychain.stored) == 2 and (folder / "vault.keys").exists()
        keychain = FakeKeystore(stored=keychain.stored)
        custody, vault = agent(folder, keychain)
        await custody.unlock()
        assert vault.is_open and len(keychain.stored) == 1 and not (folder / "vault.keys").exists()
        await vault.shutdown()
