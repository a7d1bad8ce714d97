"""KeychainKeystore against the real gnome-keyring: unlocked, locked, absent, wedged; and against children that misbehave."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybaton_testing.keyring_session import KeyringSession
from keybaton_testing.keystore_contract import KEY, KEY_ID, HoldsKeysContract
from keybatond.adapters import keychain_keystore
from keybatond.adapters.keychain_keystore import CALL_SECONDS, KeychainKeystore
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord, Keystore, KeystoreKind

SECRET_SERVICE = b"keyring.backends.SecretService.Keyring"
RECORD = KeyRecord(KeystoreKind.KEYCHAIN, KEY_ID, SECRET_SERVICE)
KEYRINGS_MAX = 3
SLACK_SECONDS = 6.0  # for processes to start on a busy machine


def keychain(command: list[str] | None = None) -> KeychainKeystore:
    return KeychainKeystore(FakeEntropy(), FakeLog(), command or keychain_keystore.CHILD)


def enter(session: KeyringSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts this process into the session, as an agent of that desktop."""
    for name, value in session.env.items():
        monkeypatch.setenv(name, value)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHON_KEYRING_BACKEND"):
        monkeypatch.delenv(name, raising=False)


async def reason(work: Coroutine[Any, Any, object]) -> Reason:
    with pytest.raises(KeybatonError) as caught:
        await work
    return caught.value.reason


def children() -> list[str]:
    """Processes that were started from here and still are there."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


class TestGnomeKeyring(HoldsKeysContract):
    @pytest.fixture
    def keystore(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keystore]:
        with KeyringSession("unlocked") as session:
            enter(session, monkeypatch)
            yield keychain()

    async def test_the_record_names_the_backend_and_another_one_is_never_asked(self, keystore: Keystore) -> None:
        """A key is looked for where it was put; a header that names a plaintext file, or nonsense, opens nothing."""
        record = await keystore.store(KEY_ID, KEY, None)
        assert record.parameters == SECRET_SERVICE and keystore.describe(record) == "SecretService"
        for name in (b"keyrings.alt.file.PlaintextKeyring", b"keyring.backends.null.Keyring", b"os.path", b"\xff", b".",
                     b"keyring.backends.SecretService.SimpleCredential", b"keyring.backends.kwallet.DBusKeyring"):  # fmt: skip
            other = KeyRecord(KeystoreKind.KEYCHAIN, KEY_ID, name)
            assert await reason(keystore.load(other, None)) is Reason.KEYCHAIN_UNAVAILABLE

    async def test_a_setting_cannot_lead_to_plaintext(
        self, keystore: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A keyring library that is set to nothing at all, or to no backend, gives no keychain instead of a worse one."""
        for backend in ("keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "no.such.Backend"):
            monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
            assert await reason(keystore.store(KEY_ID, KEY, None)) is Reason.KEYCHAIN_UNAVAILABLE
            assert await reason(keystore.probe()) is Reason.KEYCHAIN_UNAVAILABLE

    async def test_an_entry_that_is_no_key_is_a_wrong_key(self, keystore: Keystore) -> None:
        """Somebody edited it: WRONG_KEY, not a crash."""
        await keystore.store(KEY_ID, SecretBytes(b"short"), None)
        assert await reason(keystore.load(RECORD, None)) is Reason.WRONG_KEY

    async def test_a_cancelled_call_leaves_no_process(self, keystore: Keystore) -> None:
        """The child is killed with its call."""
        before = len(children())
        task = asyncio.create_task(keystore.load(RECORD, None))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(children()) == before


async def test_many_calls_at_once_all_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve stores and loads side by side.

    gnome-keyring has been seen to leave the bus under that (version 42.1, twice in some hundred runs): then a new one is tried,
    and what is said must be that the keychain is gone. While it is there, nothing may fail.
    """
    for _ in range(KEYRINGS_MAX):
        with KeyringSession("unlocked") as session:
            enter(session, monkeypatch)
            keystore = keychain()
            ids = [f"{number:032x}" for number in range(12)]
            try:
                records = await asyncio.gather(*(keystore.store(one, KEY, None) for one in ids))
                assert await asyncio.gather(*(keystore.load(record, None) for record in records)) == [KEY] * 12
                return
            except KeybatonError as failure:
                if session.answers():
                    raise
                assert failure.reason is Reason.KEYCHAIN_UNAVAILABLE
    raise AssertionError(f"{KEYRINGS_MAX} gnome-keyrings have ended by themselves")


async def test_a_locked_keychain_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to unlock it: KEYCHAIN_LOCKED within the deadline for every call, and the key is there after unlocking."""
    with KeyringSession("unlocked") as session:
        enter(session, monkeypatch)
        keystore = keychain()
        await keystore.store(KEY_ID, KEY, None)
        session.lock()
        start = time.monotonic()
        assert await reason(keystore.probe()) is Reason.KEYCHAIN_LOCKED
        assert await reason(keystore.store("f" * 32, KEY, None)) is Reason.KEYCHAIN_LOCKED
        assert await reason(keystore.load(RECORD, None)) is Reason.KEYCHAIN_LOCKED
        assert await reason(keystore.remove(RECORD)) is Reason.KEYCHAIN_LOCKED
        assert time.monotonic() - start < 4 * CALL_SECONDS
        session.unlock()
        assert await keystore.load(RECORD, None) == KEY


async def test_an_absent_keychain_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus without the service, a bus that is not there, no address at all: KEYCHAIN_UNAVAILABLE, never KEY_ABSENT."""
    with KeyringSession("absent") as session:
        enter(session, monkeypatch)
        assert await reason(keychain().probe()) is Reason.KEYCHAIN_UNAVAILABLE
        assert await reason(keychain().load(RECORD, None)) is Reason.KEYCHAIN_UNAVAILABLE
    assert await reason(keychain().load(RECORD, None)) is Reason.KEYCHAIN_UNAVAILABLE
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    assert await reason(keychain().load(RECORD, None)) is Reason.KEYCHAIN_UNAVAILABLE
    assert await reason(keychain().store(KEY_ID, KEY, None)) is Reason.KEYCHAIN_UNAVAILABLE


async def test_a_wedged_keychain_times_out_and_nothing_piles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped (SIGSTOP): each of many calls ends with KEYCHAIN_TIMEOUT, leaves no process, and the next one works again."""
    with KeyringSession("unlocked") as session:
        enter(session, monkeypatch)
        keystore = keychain()
        await keystore.store(KEY_ID, KEY, None)
        before = len(children())
        session.wedge()
        start = time.monotonic()
        calls = (
            keystore.load(RECORD, None),
            keystore.probe(),
            keystore.store("f" * 32, KEY, None),
            keystore.remove(RECORD),
        )
        reasons = await asyncio.gather(*(reason(call) for call in calls))
        assert set(reasons) == {Reason.KEYCHAIN_TIMEOUT}
        assert time.monotonic() - start < 2 * CALL_SECONDS + SLACK_SECONDS
        assert len(children()) == before
        session.unwedge()
        assert await keystore.load(RECORD, None) == KEY


@pytest.mark.parametrize(
    "script",
    ["pass", "print('')", "print('{')", "print('[]')", "print('{\"event\": 1}')", "print('{}')", "print('x' * 200000)",
     "print('{\"event\":\"done\"}')", "[print('{\"event\":\"ready\"}') for _ in range(9)]",
     "print('{\"event\":\"failed\",\"reason\":\"VAULT_ABSENT\"}')"],
)  # fmt: skip
async def test_a_child_that_misbehaves_is_a_keychain_error(script: str) -> None:
    """No answer, or nonsense: never KEY_ABSENT, never an unexpected exception, no process left."""
    before = len(children())
    found = await reason(keychain([sys.executable, "-c", script]).load(RECORD, None))
    assert found in (Reason.KEYCHAIN_UNAVAILABLE, Reason.KEYCHAIN_REFUSED)
    assert len(children()) == before


async def test_a_program_that_cannot_be_started_is_a_keychain_error() -> None:
    """For example when the interpreter was replaced by an upgrade."""
    assert await reason(keychain(["/nonexistent/python"]).probe()) is Reason.KEYCHAIN_UNAVAILABLE


async def test_a_person_who_is_asked_has_longer_and_one_who_does_not_answer_leaves_it_locked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After "asking" the short deadline no longer counts; when the long one ends it is KEYCHAIN_LOCKED."""
    monkeypatch.setattr(keychain_keystore, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(keychain_keystore, "HUMAN_SECONDS", 1.0)
    say = 'import time;print(\'{"event":"ready"}\',flush=True);print(\'{"event":"asking"}\',flush=True);time.sleep(%s)'
    answer = f';print(\'{{"event":"done","backend":"b","value":"{"00" * 32}"}}\',flush=True)'
    assert await keychain([sys.executable, "-c", say % 0.5 + answer]).load(RECORD, None) == SecretBytes(bytes(32))
    assert await reason(keychain([sys.executable, "-c", say % 30]).load(RECORD, None)) is Reason.KEYCHAIN_LOCKED
