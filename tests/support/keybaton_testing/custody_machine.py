"""A machine with disk, keychain and custody over fakes, which loses its power at any step and starts again."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.custody_vault import CustodyDisk, CustodyVault
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_keystore import FakeKeyJournal, FakeKeystore
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyChange, KeystoreKind
from keybatond.services.custody import CustodyService

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
