"""The agent's whole state: told at once, whatever happened to the vault's file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from keybaton_core import key_file
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_keystore import FakeKeyJournal
from keybaton_testing.fake_machine import FakeLog
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.errors import Reason
from keybatond.ports import KeystoreKind
from keybatond.services.agent_state import AgentIdentity, AgentStatus
from keybatond.services.custody import CustodyService, VaultState
from keybatond.services.vault import VaultService
from keybatond.services.vault_front import VaultFront


class Device:
    """A device with a name."""

    def name(self) -> str:
        return "laptop"


async def test_a_vault_that_is_damaged_while_it_is_open_is_told_as_that(tmp_path: Path) -> None:
    """GetInfo never fails: who asks what is wrong gets an answer, and a watch goes on."""
    clock, entropy = FakeClock(), SystemEntropy()
    store = SqliteStore(tmp_path / "vault.db")
    front = VaultFront(store, lambda: VaultService(store, clock=clock, entropy=entropy))
    keystores = {KeystoreKind.PASSPHRASE: PassphraseKeystore(entropy, profile=key_file.FLOOR)}
    custody = CustodyService(front, keystores, FakeKeyJournal(), clock=clock, entropy=entropy, log=FakeLog())
    status = AgentStatus(AgentIdentity("1", 7, "/data", 0, 0), Device(), custody, front, lambda: 0)
    await custody.init(KeystoreKind.PASSPHRASE, SecretBytes(b"seven quiet otters"))
    assert (status.state().custody.vault_state, status.state().items) == (VaultState.UNLOCKED, 0)

    with sqlite3.connect(tmp_path / "vault.db") as other:
        other.execute("UPDATE totals SET content = zeroblob(77)")
    other.close()
    found = status.state()
    assert found.custody.vault_state is VaultState.DAMAGED
    assert found.custody.problem is not None
    assert found.custody.problem.reason is Reason.VAULT_DAMAGED
    assert found.items == 0
    await front.shutdown()
