"""Answers to reads of single items: kept sealed while the vault is open and unchanged, and not an instant longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keybaton_core.items import Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.vaults import (
    OTHER_KEY,
    OTHER_RECORD,
    RECORD,
    database,
    key,
    no_progress,
    secret,
    value_of,
    variable,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import Change, PutMode, VaultService
from keybatond.services.vault_answers import READ_MAX_BYTES, READS_MAX
from keybatond.services.vault_types import bare_value


class Reader:
    """Finds an item by the name that is asked for, answers with its value, and counts how often it has to."""

    def __init__(self, vault: VaultService) -> None:
        self.vault = vault
        self.calls = 0

    def __call__(self, asked: bytes) -> tuple[list[Item], bytes]:
        self.calls += 1
        item = self.vault.get(secret(asked.decode()).ref)
        return [item], value_of(item).encode()

    def ask(self, name: str, client: str = "cli") -> bytes:
        """The answer."""
        return self.vault.get_encoded(name.encode(), self, client=client)


@pytest.fixture
async def vault(vault: VaultService) -> VaultService:
    """With two secrets."""
    await vault.batch_put([secret("a", "hush a"), secret("b", "hush b")], PutMode.CREATE)
    return vault


@pytest.fixture
def reader(vault: VaultService) -> Reader:
    """Asks it."""
    return Reader(vault)


async def test_the_same_read_is_answered_once_and_noted_each_time(vault: VaultService, reader: Reader) -> None:
    """With the kind of client that asked this time."""
    for client in ("cli", "git", "run"):
        assert reader.ask("a", client) == b"hush a"
    assert reader.ask("b") == b"hush b"
    assert reader.calls == 2
    reads = [(read.client, read.ref.name, read.version) for read in vault.reads()]
    assert reads == [("cli", "b", 1), ("run", "a", 1), ("git", "a", 1), ("cli", "a", 1)]
    assert {read.id for read in vault.reads()} == {vault.get(secret(name).ref).id for name in "ab"}


async def test_no_value_lies_open_among_the_kept_answers(vault: VaultService, reader: Reader) -> None:
    """What is kept is sealed, and bound to what was asked."""
    reader.ask("a")
    reader.ask("b")
    padded = b"a" * (READ_MAX_BYTES + 1)
    vault._opened().read_answers.keep(padded, b"small", [vault.get(secret("a").ref)])
    assert vault._opened().read_answers.get(padded) is None
    kept = vault._opened().read_answers._answers._kept
    assert set(kept) == {b"a", b"b"}
    assert not any(b"hush" in sealed.answer for (sealed, _) in kept.values())
    kept[b"a"], kept[b"b"] = kept[b"b"], kept[b"a"]
    with pytest.raises(KeybatonError) as caught:
        reader.ask("a")
    assert caught.value.reason is Reason.VAULT_DAMAGED


async def test_a_change_is_seen_by_the_next_read(vault: VaultService, reader: Reader) -> None:
    """Puts, removals and undoing, as soon as they have been answered."""
    assert reader.ask("a") == b"hush a"
    await vault.put(secret("a", "new"), PutMode.REPLACE)
    assert reader.ask("a") == b"new"
    await vault.delete(secret("a").ref)
    with pytest.raises(KeybatonError) as caught:
        reader.ask("a")
    assert caught.value.reason is Reason.NOT_FOUND
    await vault.undo(secret("a").ref)
    assert reader.ask("a") == b"new"
    assert [read.version for read in vault.reads()] == [4, 2, 1]


async def test_what_cannot_be_read_is_neither_kept_nor_noted(vault: VaultService, reader: Reader) -> None:
    """It is asked for anew each time."""
    for _ in range(2):
        with pytest.raises(KeybatonError):
            reader.ask("none")
    assert reader.calls == 2
    assert vault.reads() == []


async def test_nothing_is_left_after_a_lock(vault: VaultService, reader: Reader) -> None:
    """A locked vault gives no answer, has none in memory, and the key of those that were kept is overwritten."""
    reader.ask("a")
    answers = vault._opened().read_answers
    held = answers._seal._key.reveal_view()
    vault.close()
    assert answers._answers._kept == {}
    assert bytes(held) == bytes(len(held))
    with pytest.raises(KeybatonError) as caught:
        reader.ask("a")
    assert caught.value.reason is Reason.VAULT_LOCKED
    await vault.open(key())
    assert reader.ask("a") == b"hush a"
    assert reader.calls == 2


async def test_a_restored_vault_answers_with_its_own_values(
    vault: VaultService, reader: Reader, tmp_path: Path
) -> None:
    """Nothing of the replaced one; a rekey changes no value."""
    backup = str(tmp_path / "backup")
    await vault.backup(backup, OTHER_RECORD, key(OTHER_KEY), no_progress)
    await vault.put(secret("a", "later"), PutMode.REPLACE)
    assert reader.ask("a") == b"later"

    async def opener(record: object) -> Any:
        return key(OTHER_KEY)

    await vault.restore(backup, opener, RECORD, key(), no_progress, replace=True)
    assert reader.ask("a") == b"hush a"
    await vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
    assert reader.ask("a") == b"hush a"


async def test_few_and_small_answers_are_kept(vault: VaultService, reader: Reader) -> None:
    """The oldest make room; large values are read from the vault each time."""
    await vault.put(secret("large", "x" * (READ_MAX_BYTES + 1)), PutMode.CREATE)
    await vault.batch_put([secret(f"n{number}") for number in range(READS_MAX)], PutMode.CREATE)
    reader.ask("large")
    reader.ask("a")
    for number in range(READS_MAX):
        reader.ask(f"n{number}")
    kept = vault._opened().read_answers._answers._kept
    assert list(kept) == [f"n{number}".encode() for number in range(READS_MAX)]


async def test_another_items_row_under_a_name_is_damage(vault: VaultService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name inside the seal is compared: a chance match of tags never gives another item's value."""
    sealer = vault._opened().sealer
    tag = sealer.tag(secret("a").ref)
    monkeypatch.setattr(sealer, "tag", lambda ref: tag)
    with pytest.raises(KeybatonError) as caught:
        vault.get(secret("b").ref)
    assert (caught.value.reason, caught.value.data["problem"]) == (Reason.VAULT_DAMAGED, "name")


class TestBareValue:
    """The value alone, for callers that print it."""

    def test_it_needs_a_field_exactly_when_there_are_several(self) -> None:
        """FIELD_REQUIRED and FIELD_UNKNOWN list the names."""
        login = SecretBody("login", {"username": SecretBytes(b"u"), "password": SecretBytes(b"p")})
        one = secret("one", "v").body
        assert (bare_value(one, ""), bare_value(one, "value"), bare_value(login, "password")) == (b"v", b"v", b"p")
        for body, field, reason, names in (
            (login, "", Reason.FIELD_REQUIRED, "username, password"),
            (one, "nope", Reason.FIELD_UNKNOWN, "value"),
        ):
            with pytest.raises(KeybatonError) as caught:
                bare_value(body, field)
            assert (caught.value.reason, caught.value.data["fields"]) == (reason, names)

    async def test_every_kind_has_values(self, vault: VaultService) -> None:
        """Variables, texts and links of databases; a database is found whatever the case of its name."""
        token = variable("project", "staging", "TOKEN", "x")
        await vault.apply([Change(token, PutMode.CREATE), Change(database("Photos", s3="a"), PutMode.CREATE)])
        assert bare_value(vault.get(token.ref).body, "") == b"x"
        assert bare_value(vault.get(ItemRef(ItemKind.DATABASE, "PHOTOS")).body, "s3") == b"a"
