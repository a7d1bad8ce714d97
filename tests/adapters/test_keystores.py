"""The keystores that need no desktop, and the fakes, under one contract."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from keybaton_core import key_file
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_keystore import FakeKeystore
from keybaton_testing.fake_machine import FakeEntropy
from keybaton_testing.keystore_contract import (
    KEY,
    KEY_ID,
    WORDS,
    AsksPassphraseContract,
    HoldsKeysContract,
    KeystoreContract,
)
from keybatond.adapters.credential_keystore import CREDENTIAL_NAME, CredentialKeystore, read_credential
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord, Keystore, KeystoreKind


class TestFakeKeychain(HoldsKeysContract):
    @pytest.fixture
    def keystore(self) -> Keystore:
        return FakeKeystore()


class TestFakePassphrase(AsksPassphraseContract):
    @pytest.fixture
    def keystore(self) -> Keystore:
        return FakeKeystore(KeystoreKind.PASSPHRASE)


SOON = 20.0


class TestPassphraseKeystore(AsksPassphraseContract):
    @pytest.fixture
    def keystore(self) -> Keystore:
        return PassphraseKeystore(FakeEntropy(), profile=key_file.FLOOR)

    async def test_a_damaged_record_is_damage_and_not_a_wrong_passphrase(self, keystore: Keystore) -> None:
        """VAULT_DAMAGED, even before a passphrase is asked for."""
        for parameters in (b"", bytes(key_file.RECORD_BYTES)):
            with pytest.raises(KeybatonError) as caught:
                await keystore.load(KeyRecord(KeystoreKind.PASSPHRASE, KEY_ID, parameters), None)
            assert caught.value.reason is Reason.VAULT_DAMAGED

    async def test_the_recommended_profile_is_the_default(self) -> None:
        """RFC 9106's second recommended option, unless another is named."""
        record = await PassphraseKeystore(FakeEntropy()).store(KEY_ID, KEY, WORDS)
        assert key_file.decode(record.parameters).profile == key_file.Argon2Profile(65536, 3, 4)

    async def test_the_event_loop_goes_on_during_a_derivation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The loop turns while Argon2id runs in its thread: here it does not begin before the loop has turned."""
        turned = threading.Event()
        sealed = key_file.seal_key

        def waits(*arguments: Any, **more: Any) -> bytes:
            assert turned.wait(SOON), "the loop stood still"
            return sealed(*arguments, **more)

        monkeypatch.setattr(key_file, "seal_key", waits)
        task = asyncio.create_task(PassphraseKeystore(FakeEntropy(), profile=key_file.FLOOR).store(KEY_ID, KEY, WORDS))
        for _ in range(3):
            await asyncio.sleep(0)
        turned.set()
        await task


def credential(folder: Path, content: bytes, mode: int = 0o400) -> dict[str, str]:
    path = folder / CREDENTIAL_NAME
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def credential_keystore(environment: dict[str, str]) -> CredentialKeystore:
    sealed = PassphraseKeystore(FakeEntropy(), kind=KeystoreKind.CREDENTIAL, profile=key_file.FLOOR)
    return CredentialKeystore(sealed, environment)


class TestCredentialKeystore(KeystoreContract):
    kind = KeystoreKind.CREDENTIAL

    @pytest.fixture
    def keystore(self, tmp_path: Path) -> Keystore:
        return credential_keystore(credential(tmp_path, b"correct horse battery\n"))

    async def test_another_credential_does_not_open(self, tmp_path: Path) -> None:
        """WRONG_PASSPHRASE when the file changed; only the first line counts."""
        environment = credential(tmp_path, b"correct horse battery\nsecond line")
        keystore = credential_keystore(environment)
        record = await keystore.store(KEY_ID, KEY, None)
        credential(tmp_path, b"correct horse battery")
        assert await keystore.load(record, None) == KEY
        credential(tmp_path, b"something else entirely")
        with pytest.raises(KeybatonError) as caught:
            await keystore.load(record, None)
        assert caught.value.reason is Reason.WRONG_PASSPHRASE

    async def test_a_person_can_help_out_where_the_credential_is_gone(self, tmp_path: Path) -> None:
        """The passphrase typed opens the same record; without one it is CREDENTIAL_ABSENT."""
        keystore = credential_keystore(credential(tmp_path, WORDS.reveal()))
        record = await keystore.store(KEY_ID, KEY, None)
        without = credential_keystore({})
        assert await without.load(record, SecretBytes(WORDS.reveal())) == KEY
        with pytest.raises(KeybatonError) as caught:
            await without.load(record, None)
        assert caught.value.reason is Reason.CREDENTIAL_ABSENT


def refusal(folder: str) -> str:
    with pytest.raises(KeybatonError) as caught:
        read_credential(folder)
    assert caught.value.reason is Reason.CREDENTIAL_ABSENT
    return caught.value.data["problem"]


def test_a_credential_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Any bit for group or others on one's own file; on root's, reading by the group is how an access list looks."""
    for mode in (0o440, 0o404, 0o420, 0o402, 0o444):
        credential(tmp_path, b"correct horse battery", mode)
        assert refusal(str(tmp_path)) == "can be read or changed by others"
    credential(tmp_path, b"correct horse battery", 0o600)
    assert read_credential(str(tmp_path)) == WORDS


def test_a_credential_that_is_no_plain_file_of_ours_is_refused(tmp_path: Path) -> None:
    """A symlink, a pipe, a folder, nothing, too much, another user's: each with its problem, none hangs."""
    path = tmp_path / CREDENTIAL_NAME
    assert refusal("") == "CREDENTIALS_DIRECTORY is not set"
    assert refusal(str(tmp_path)) == "No such file or directory"
    credential(tmp_path, b"x" * 1025)
    assert refusal(str(tmp_path)) == "is longer than 1024 bytes"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "symbolic links" in refusal(str(tmp_path))
    path.unlink()
    os.mkfifo(path, 0o600)
    assert refusal(str(tmp_path)) == "is not a regular file"
    path.unlink()
    path.mkdir()
    assert refusal(str(tmp_path)) == "is not a regular file"
    if os.geteuid() == 0:
        path.rmdir()
        credential(tmp_path, b"correct horse battery")
        os.chown(path, 4711, -1)
        assert refusal(str(tmp_path)) == "belongs to another user"
