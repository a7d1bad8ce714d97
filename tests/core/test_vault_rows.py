"""Seals of rows hold to their place; tags and sums are keyed; wiped keys do nothing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keybaton_core import labels, vault_keys, vault_rows
from keybaton_core.items import EnvBody, ItemKind, ItemRef
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_codec import Summary, encode_summary
from keybaton_core.vault_keys import KeysWiped, SealBroken, VaultKeys
from keybaton_core.vault_parts import Row
from keybaton_core.vault_rows import RowSealer, Totals

ID = bytes(range(16))
VAULT = bytes(range(16, 32))
REF = ItemRef(ItemKind.ENV_VARIABLE, "NAME", "project", "default")


def sealer(key: bytes = b"k" * 32, vault: bytes = VAULT) -> RowSealer:
    """A sealer with a fixed key."""
    return RowSealer(VaultKeys(SecretBytes(key), vault), vault)


def row(removed: bool = False, version: int = 3) -> Row:
    """A row of a fixed item."""
    body = None if removed else EnvBody(SecretBytes.from_text("secret value"))
    return sealer().seal(7, ID, version, Summary(REF, "", 1, removed), body, bytes(range(24)))


def test_a_row_opens_to_what_was_sealed_and_shows_nothing_of_it() -> None:
    """Neither name nor value nor project is in the stored bytes."""
    item = sealer().open_item(row())
    assert (item.ref, item.version, item.id) == (REF, 3, ID.hex())
    stored = b"".join((row().id, row().tag, row().group, row().summary, row().body))
    for hidden in (b"NAME", b"project", b"default", b"secret value"):
        assert hidden not in stored


MOVES = [
    {"id": bytes(16)},
    {"version": 2},
    {"tag": bytes(16)},
    {"group": bytes(16)},
    {"live": False},
    {"summary": row().body},
    {"body": row().summary},
    {"body": row(version=2).body},
    {"summary": b"short"},
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
def test_a_row_that_was_moved_or_altered_does_not_open(move: dict[str, object]) -> None:
    """Place, version, tag, group, liveness and part are bound by both seals."""
    moved = row()._replace(**move)  # type: ignore[arg-type]
    with pytest.raises(SealBroken):
        sealer().open_item(moved)
    assert sealer().item_term(moved) != sealer().item_term(row())


def test_a_summary_that_contradicts_its_row_does_not_open() -> None:
    """Were a removal ever sealed in the place of a living item, it would be taken for neither."""
    living = row()
    place = sealer()._summary_label + vault_rows._place(living)
    removal = sealer().keys.seal(bytes(12), encode_summary(Summary(REF, "", 1, True)), place)
    with pytest.raises(SealBroken):
        sealer().open_summary(living._replace(summary=removal))


def test_another_key_or_vault_does_not_open_a_row() -> None:
    """The vault's id is bound, not only the key."""
    for other in (sealer(b"x" * 32), sealer(vault=bytes(16))):
        with pytest.raises(SealBroken):
            other.open_item(row())
        assert other.keys.index_tag(1, "", "", "a") != sealer().keys.index_tag(1, "", "", "a")
    mixed = RowSealer(sealer().keys, bytes(16))
    with pytest.raises(SealBroken):
        mixed.open_item(row())


def test_a_removal_is_no_item() -> None:
    """It opens as a summary alone."""
    gone = row(removed=True)
    assert sealer().open_summary(gone).removed
    assert sealer().open_body(gone) is None
    with pytest.raises(SealBroken):
        sealer().open_item(gone)


def test_tags_differ_by_every_part_and_use() -> None:
    """No two parts can be shifted into each other."""
    keys = sealer().keys
    tags = [
        keys.index_tag(1, "", "", "ab"),
        keys.index_tag(2, "", "", "ab"),
        keys.index_tag(1, "a", "", "b"),
        keys.index_tag(1, "", "a", "b"),
        keys.index_tag(1, "a", "b", ""),
        keys.group_tag(1, "ab"),
        keys.group_tag(1, ""),
        keys.link_tag("ab"),
    ]
    assert len(set(tags)) == len(tags)


def test_a_term_tells_history_from_the_newest_and_position_from_position() -> None:
    """A row's position counts for the newest version only, where it is the order of lists."""
    there = row()
    assert sealer().item_term(there) != sealer().past_term(there)
    assert sealer().item_term(there) != sealer().item_term(there._replace(seq=8))
    assert sealer().past_term(there) == sealer().past_term(there._replace(seq=8))


def test_batches_of_reads_and_totals_hold_to_their_place() -> None:
    """A batch opens under its own number alone; totals are no batch."""
    sealed = sealer().seal_reads(4, b"content", bytes(12))
    assert sealer().open_reads(4, sealed) == b"content"
    with pytest.raises(SealBroken):
        sealer().open_reads(5, sealed)
    totals = sealer().seal_totals(Totals(items=3), bytes(12))
    assert sealer().open_totals(totals).items == 3
    with pytest.raises(SealBroken):
        sealer().open_totals(sealed)


def test_wiped_keys_do_nothing() -> None:
    """Every use raises, and nothing is ever sealed under zeros."""
    one = sealer()
    one.keys.wipe()
    for use in (
        lambda: one.open_item(row()),
        lambda: one.keys.seal(bytes(12), b"", b""),
        lambda: one.keys.index_tag(1, "", "", "a"),
        lambda: one.item_term(row()),
        lambda: one.keys.link_tag("a"),
    ):
        with pytest.raises(KeysWiped):
            use()
    assert not one.keys.same_vault_key(SecretBytes(bytes(32)))


def test_what_was_sealed_while_the_keys_were_wiped_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on another thread may overwrite the key under the cipher, and zeros are no key."""
    keys = VaultKeys(SecretBytes(b"k" * 32), VAULT)

    class Locking:
        def __init__(self, key: memoryview) -> None:
            self._cipher = AESGCM(key)

        def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
            keys.wipe()
            return self._cipher.encrypt(nonce, plaintext, associated)

    monkeypatch.setattr(vault_keys, "AESGCM", Locking)
    with pytest.raises(KeysWiped):
        keys.seal(bytes(12), b"value", b"")


def test_what_does_not_open_because_the_keys_were_wiped_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on another thread, for reading: a vault that was just locked is sound."""
    keys = VaultKeys(SecretBytes(b"k" * 32), VAULT)
    sealed = keys.seal(bytes(12), b"value", b"")

    class Locking:
        def __init__(self, key: memoryview) -> None:
            keys.wipe()
            self.decrypt = AESGCM(key).decrypt

    monkeypatch.setattr(vault_keys, "AESGCM", Locking)
    with pytest.raises(KeysWiped):
        keys.open(sealed, b"")


def test_labels_are_never_used_twice() -> None:
    """One use, one label."""
    values = [value for name, value in vars(labels).items() if name.isupper()]
    assert len(values) == len(set(values))
