"""The agent's whole state: told at once, whatever happened to the vault's file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keybaton_core import key_file
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_keystore import FakeKeyJournal
from keybaton_testing.fake_machine import FakeLog
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeystoreKind
from keybatond.services.agent_state import AgentIdentity, AgentStatus
from keybatond.services.custody import CustodyService, VaultState
from keybatond.services.vault import VaultService
from keybatond.services.vault_front import VaultFront


class Device:
    """A device with a name."""

    def name(self) -> str:
        return "laptop"


class Machine:
    """Custody over a real vault, and the status of the agent that it is in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vault.db"
        clock, entropy, store = FakeClock(), SystemEntropy(), SqliteStore(self.path)
        self.front = VaultFront(store, lambda: VaultService(store, clock=clock, entropy=entropy))
        keystores = {KeystoreKind.PASSPHRASE: PassphraseKeystore(entropy, profile=key_file.FLOOR)}
        self.custody = CustodyService(
            self.front, keystores, FakeKeyJournal(), clock=clock, entropy=entropy, log=FakeLog()
        )
        self.status = AgentStatus(AgentIdentity("1", 7, "/data", 0, 0), Device(), self.custody, self.front, lambda: 0)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """With an open vault."""
    machine = Machine(tmp_path)
    await machine.custody.init(KeystoreKind.PASSPHRASE, SecretBytes(b"seven quiet otters"))
    yield machine
    await machine.front.shutdown()


async def test_a_watch_shows_the_state_at_once_and_then_what_is_another_one(machine: Machine) -> None:
    """A change that nobody can see is not told."""
    watch = machine.status.watch()
    assert (await anext(watch)).custody.vault_state is VaultState.UNLOCKED
    following = asyncio.ensure_future(anext(watch))
    for _ in range(3):
        machine.status.changed()
        await asyncio.sleep(0)
    assert not following.done()
    await machine.custody.lock()
    machine.status.changed()
    assert (await asyncio.wait_for(following, 5)).custody.vault_state is VaultState.LOCKED
    machine.status.close()
    with pytest.raises(KeybatonError) as caught:
        await anext(watch)
    assert caught.value.reason is Reason.SHUTTING_DOWN


async def test_a_vault_that_is_damaged_while_it_is_open_is_told_as_that(machine: Machine) -> None:
    """GetInfo never fails: who asks what is wrong gets an answer, and a watch goes on."""
    status = machine.status
    assert (status.state().custody.vault_state, status.state().items) == (VaultState.UNLOCKED, 0)

    with sqlite3.connect(machine.path) as other:
        other.execute("UPDATE totals SET content = zeroblob(77)")
    other.close()
    found = status.state()
    assert found.custody.vault_state is VaultState.DAMAGED
    assert found.custody.problem is not None
    assert found.custody.problem.reason is Reason.VAULT_DAMAGED
    assert found.items == 0
