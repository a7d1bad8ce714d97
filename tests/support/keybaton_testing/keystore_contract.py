"""What every keystore promises, fake or real: one class of tests, made concrete by a fixture `keystore`."""

from __future__ import annotations

import pytest

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord, Keystore, KeystoreKind

KEY = SecretBytes(bytes(range(32)))
KEY_ID = "0123456789abcdef" * 2
WORDS = SecretBytes(b"correct horse battery")


class KeystoreContract:
    """`keystore` is the fixture of a subclass; `passphrase` what its calls take, `kind` what it says of itself."""

    kind = KeystoreKind.KEYCHAIN
    passphrase: SecretBytes | None = None

    async def test_a_stored_key_is_loaded_again(self, keystore: Keystore) -> None:
        """The record names kind and id, fits a header, holds no bare key, and loads the same key."""
        record = await keystore.store(KEY_ID, KEY, self.passphrase)
        assert (record.kind, record.key_id) == (self.kind, KEY_ID)
        assert keystore.kind is self.kind
        assert len(record.parameters) <= 4096 and KEY.reveal() not in record.parameters
        assert await keystore.load(record, self.passphrase) == KEY

    async def test_the_probe_names_the_place_and_leaves_nothing(self, keystore: Keystore) -> None:
        """It may be repeated, and its name is not empty."""
        assert await keystore.probe() == await keystore.probe() != ""

    async def test_removing_is_repeatable(self, keystore: Keystore) -> None:
        """A key that is not there is no error."""
        record = await keystore.store(KEY_ID, KEY, self.passphrase)
        await keystore.remove(record)
        await keystore.remove(record)

    async def test_a_record_is_described_whatever_it_says(self, keystore: Keystore) -> None:
        """Some words without control characters, also for parameters from an altered header."""
        for parameters in (b"", b"\xff\x00\x1b[31m", b"x" * 4096):
            assert keystore.describe(KeyRecord(self.kind, KEY_ID, parameters)).isprintable()


class HoldsKeysContract(KeystoreContract):
    """In addition, for a keystore that keeps the key itself, such as a keychain."""

    async def test_a_removed_key_is_definitely_not_there(self, keystore: Keystore) -> None:
        """KEY_ABSENT, and nothing else, for a store that answers."""
        record = await keystore.store(KEY_ID, KEY, self.passphrase)
        await keystore.remove(record)
        with pytest.raises(KeybatonError) as caught:
            await keystore.load(record, self.passphrase)
        assert caught.value.reason is Reason.KEY_ABSENT

    async def test_a_key_is_removed_by_its_id_alone(self, keystore: Keystore) -> None:
        """From where keys are put now: who was killed in `store` never saw the record."""
        record = await keystore.store(KEY_ID, KEY, self.passphrase)
        await keystore.remove(KeyRecord(self.kind, KEY_ID, b""))
        with pytest.raises(KeybatonError) as caught:
            await keystore.load(record, self.passphrase)
        assert caught.value.reason is Reason.KEY_ABSENT

    async def test_a_key_that_is_there_is_never_replaced(self, keystore: Keystore) -> None:
        """The same id a second time is refused and the first key stays."""
        record = await keystore.store(KEY_ID, KEY, self.passphrase)
        with pytest.raises(KeybatonError) as caught:
            await keystore.store(KEY_ID, SecretBytes(bytes(32)), self.passphrase)
        assert caught.value.reason is Reason.KEYCHAIN_REFUSED
        assert await keystore.load(record, self.passphrase) == KEY


class AsksPassphraseContract(KeystoreContract):
    """In addition, for a keystore under a passphrase that a person types."""

    kind = KeystoreKind.PASSPHRASE
    passphrase = WORDS

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (None, Reason.PASSPHRASE_REQUIRED),
            (SecretBytes(b""), Reason.PASSPHRASE_REQUIRED),
            (SecretBytes(b"another one entirely"), Reason.WRONG_PASSPHRASE),
        ],
    )
    async def test_only_the_passphrase_loads(
        self, keystore: Keystore, given: SecretBytes | None, reason: Reason
    ) -> None:
        """None or an empty one is required, another one is wrong."""
        record = await keystore.store(KEY_ID, KEY, WORDS)
        with pytest.raises(KeybatonError) as caught:
            await keystore.load(record, given)
        assert caught.value.reason is reason

    @pytest.mark.parametrize(
        ("given", "reason"), [(None, Reason.PASSPHRASE_REQUIRED), (SecretBytes(b"short"), Reason.PASSPHRASE_WEAK)]
    )
    async def test_storing_demands_a_passphrase_that_is_worth_it(
        self, keystore: Keystore, given: SecretBytes | None, reason: Reason
    ) -> None:
        """None is required, fewer than 8 characters are weak."""
        with pytest.raises(KeybatonError) as caught:
            await keystore.store(KEY_ID, KEY, given)
        assert caught.value.reason is reason
