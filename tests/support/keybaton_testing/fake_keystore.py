"""Fake keystores over a dict that outlives them, as a keychain outlives an agent; each step can fail or lose power."""

from __future__ import annotations

from collections.abc import Callable

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyChange, KeyRecord, KeystoreKind


class FakeKeystore:
    """The Keystore port. `stored` maps a key's id to (key, passphrase); `step` is called before and after each change.

    `failure`: when set, every call raises it.
    """

    def __init__(
        self,
        kind: KeystoreKind = KeystoreKind.KEYCHAIN,
        stored: dict[str, tuple[bytes, bytes | None]] | None = None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._kind = kind
        self.stored = {} if stored is None else stored
        self.failure: KeybatonError | None = None
        self._step = step

    @property
    def kind(self) -> KeystoreKind:
        return self._kind

    async def probe(self) -> str:
        self._fail()
        return "fake"

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        self._fail()
        given = self._passphrase(passphrase)
        if given is not None and len(given) < 8:
            raise KeybatonError(Reason.PASSPHRASE_WEAK)
        if key_id in self.stored:
            raise KeybatonError(Reason.KEYCHAIN_REFUSED)
        self._step("before store")
        self.stored[key_id] = (key.reveal(), given)
        self._step("after store")
        return KeyRecord(self._kind, key_id, b"fake")

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        self._fail()
        given = self._passphrase(passphrase)
        if record.key_id not in self.stored:
            raise KeybatonError(Reason.KEY_ABSENT)
        key, expected = self.stored[record.key_id]
        if given != expected:
            raise KeybatonError(Reason.WRONG_PASSPHRASE)
        return SecretBytes(key)

    async def remove(self, record: KeyRecord) -> None:
        self._fail()
        if self._kind is KeystoreKind.KEYCHAIN and record.key_id in self.stored:
            self._step("before remove")
            del self.stored[record.key_id]
            self._step("after remove")

    def describe(self, record: KeyRecord) -> str:
        return "fake" if record.parameters == b"fake" else "unreadable"

    def _passphrase(self, passphrase: SecretBytes | None) -> bytes | None:
        if self._kind is not KeystoreKind.PASSPHRASE:
            return None
        if passphrase is None or len(passphrase) == 0:
            raise KeybatonError(Reason.PASSPHRASE_REQUIRED)
        return passphrase.reveal()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeKeyJournal:
    """The KeyJournal port over a list that outlives it. `failure`: when set, each change raises it."""

    def __init__(self, noted: list[KeyChange] | None = None, step: Callable[[str], None] = lambda _: None) -> None:
        self.noted = [] if noted is None else noted
        self.failure: KeybatonError | None = None
        self._step = step

    def pending(self) -> KeyChange | None:
        return self.noted[-1] if self.noted else None

    async def begin(self, change: KeyChange) -> None:
        if self.failure is not None:
            raise self.failure
        self._step("before begin")
        self.noted[:] = [change]
        self._step("after begin")

    async def end(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._step("before end")
        self.noted.clear()
        self._step("after end")
