"""The vault's ssh-keys as an agent offers them, over a real vault."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from keybaton_core.items import Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_core.ssh_agent import FAILURE, string, take_string
from keybaton_core.ssh_signing import public_blob
from keybaton_testing.vaults import secret
from keybatond.services import ssh_keys
from keybatond.services.ssh_keys import SshKeys
from keybatond.services.vault import PutMode, VaultService

LIST = b"\x0b"


class Events:
    """A log that keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def event(self, event: str, /, **fields: object) -> None:
        self.seen.append((event, fields))


class Key:
    """A fresh Ed25519 key in both of its texts."""

    def __init__(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.private = self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        self.line = self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.blob = public_blob(self.line.decode())

    def item(self, name: str, *, line: bytes = b"") -> Item:
        fields = {"privateKey": SecretBytes(self.private)}
        if line:
            fields["publicKey"] = SecretBytes(line)
        return Item(ItemRef(ItemKind.SECRET, name), SecretBody("ssh-key", fields))

    def request(self, data: bytes = b"data") -> bytes:
        return b"\x0d" + string(self.blob) + string(data) + bytes(4)


def served(vault: VaultService) -> tuple[SshKeys, Events, list[int]]:
    """The service, its log, and a list that grows by one for each request that was let in."""
    admissions: list[int] = []

    async def admitted() -> None:
        admissions.append(1)

    log = Events()
    return SshKeys(vault, admitted, log), log, admissions


def listed(answer: bytes) -> list[tuple[bytes, str]]:
    assert answer[0] == 12
    rest, found = answer[5:], []
    while rest:
        blob, rest = take_string(rest)
        comment, rest = take_string(rest)
        found.append((blob, comment.decode()))
    assert len(found) == int.from_bytes(answer[1:5], "big")
    return found


async def test_keys_are_listed_by_name_with_or_without_a_stored_public_half(vault: VaultService) -> None:
    """Other secrets and keys that cannot be used are left out; listing notes no read."""
    one, two = Key(), Key()
    await vault.put(one.item("one"), PutMode.CREATE)
    await vault.put(secret("no key"), PutMode.CREATE)
    await vault.put(two.item("two", line=two.line + b" me@laptop"), PutMode.CREATE)
    broken = Item(ItemRef(ItemKind.SECRET, "broken"), SecretBody("ssh-key", {"privateKey": SecretBytes(b"nonsense")}))
    await vault.put(broken, PutMode.CREATE)
    keys, _, admissions = served(vault)
    assert listed(await keys.answer(LIST)) == [(one.blob, "one"), (two.blob, "two")]
    assert vault.reads() == []
    assert admissions == [1]


async def test_a_signature_is_the_keys_and_is_noted_as_a_read(vault: VaultService) -> None:
    """By the client kind ssh, once for each signature."""
    one, two = Key(), Key()
    await vault.put(one.item("one"), PutMode.CREATE)
    await vault.put(two.item("two"), PutMode.CREATE)
    keys, _, _ = served(vault)
    answer = await keys.answer(two.request())
    assert answer[0] == 14
    algorithm, rest = take_string(take_string(answer[1:])[0])
    assert algorithm == b"ssh-ed25519"
    two.key.public_key().verify(take_string(rest)[0], b"data")
    assert [(read.ref.name, read.client) for read in vault.reads()] == [("two", "ssh")]


async def test_no_more_keys_are_read_than_are_listed(vault: VaultService, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: an answer names only so many, and each that is read costs a derivation."""
    monkeypatch.setattr(ssh_keys, "KEYS_MAX", 2)
    monkeypatch.setattr(ssh_keys, "_PAGE", 1)
    made = [Key() for _ in range(4)]
    for number, one in enumerate(made):
        await vault.put(one.item(f"key {number}"), PutMode.CREATE)
    keys, _, _ = served(vault)
    assert listed(await keys.answer(LIST)) == [(made[0].blob, "key 0"), (made[1].blob, "key 1")]
    assert len(keys._blobs) == 2


async def test_a_change_of_the_vault_is_seen_at_once(vault: VaultService) -> None:
    """A renamed, replaced or removed key."""
    old, new = Key(), Key()
    await vault.put(old.item("key"), PutMode.CREATE)
    keys, _, _ = served(vault)
    assert listed(await keys.answer(LIST)) == [(old.blob, "key")]
    await vault.put(new.item("key"), PutMode.REPLACE)
    assert listed(await keys.answer(LIST)) == [(new.blob, "key")]
    assert await keys.answer(old.request()) == FAILURE
    await vault.delete(ItemRef(ItemKind.SECRET, "key"))
    assert listed(await keys.answer(LIST)) == []


async def test_a_public_half_of_another_key_signs_nothing(vault: VaultService) -> None:
    """Else a secret from elsewhere could answer for a key that it is not."""
    shown, used = Key(), Key()
    await vault.put(used.item("key", line=shown.line), PutMode.CREATE)
    keys, _, _ = served(vault)
    assert listed(await keys.answer(LIST)) == [(shown.blob, "key")]
    assert await keys.answer(shown.request()) == FAILURE


async def test_a_locked_vault_refuses_and_says_so_in_the_log(vault: VaultService) -> None:
    """FAILURE for both requests, though the public halves were known."""
    key = Key()
    await vault.put(key.item("key"), PutMode.CREATE)
    keys, log, _ = served(vault)
    await keys.answer(LIST)
    vault.close()
    assert await keys.answer(LIST) == FAILURE
    assert await keys.answer(key.request()) == FAILURE
    assert log.seen == [("ssh refused", {"reason": "VAULT_LOCKED"})] * 2


@pytest.mark.parametrize("message", [b"", b"\x0d", b"\x11key", b"\x13", b"\x16lock", b"\x1bextension", b"\xff" * 50])
async def test_whatever_else_is_asked_is_refused(vault: VaultService, message: bytes) -> None:
    """And is neither a use of the vault nor a line in the log."""
    keys, log, admissions = served(vault)
    assert await keys.answer(message) == FAILURE
    assert (log.seen, admissions) == ([], [])
