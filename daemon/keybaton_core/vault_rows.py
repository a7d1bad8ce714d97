"""Rows as they are stored: sealed parts bound to their place, their share of the keyed sum, and the sealed totals."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from keybaton_core.encoding import lv
from keybaton_core.items import Body, Item, ItemKind, ItemRef, ItemSummary
from keybaton_core.labels import (
    VAULT_BODY,
    VAULT_READS,
    VAULT_SUM_ITEM,
    VAULT_SUM_PAST,
    VAULT_SUM_READS,
    VAULT_SUMMARY,
    VAULT_TOTALS,
)
from keybaton_core.vault_codec import (
    Summary,
    decode_body,
    decode_summary,
    encode_body,
    encode_summary,
)
from keybaton_core.vault_keys import NONCE_BYTES, SUM_BYTES, TAG_BYTES, SealBroken, VaultKeys
from keybaton_core.vault_parts import Row, VaultRowInvalid

_U64 = struct.Struct(">Q")
_TOTALS = struct.Struct(">BQQQQQ32s")
_TOTALS_VERSION: Final = 1
_SUM_RANGE: Final = 1 << (8 * SUM_BYTES)
_PLACE: Final = struct.Struct(">B16sBQB16sB16sBB")
_PLACE_ID_BYTES: Final = 16  # of an item, and of its tags


class Totals(NamedTuple):
    """What all rows together must be; sealed in a row of its own and written in each transaction."""

    items: int = 0  # live ones
    rows: int = 0  # of items, removals and history
    next_seq: int = 1
    next_read: int = 1
    seals: int = 0  # under this vault key
    sum: int = 0

    def encode(self) -> bytes:
        """Its bytes."""
        numbers = (self.items, self.rows, self.next_seq, self.next_read, self.seals)
        return _TOTALS.pack(_TOTALS_VERSION, *numbers, self.sum.to_bytes(SUM_BYTES))

    def plus(self, term: int) -> Totals:
        """With a row's term added."""
        return self._replace(sum=(self.sum + term) % _SUM_RANGE)

    def minus(self, term: int) -> Totals:
        """With a row's term taken away."""
        return self._replace(sum=(self.sum - term) % _SUM_RANGE)


def decode_totals(data: bytes) -> Totals:
    """The totals of `data`. Raises VaultRowInvalid."""
    if len(data) != _TOTALS.size or data[0] != _TOTALS_VERSION:
        raise VaultRowInvalid("totals have another form")
    _, items, rows, next_seq, next_read, seals, total = _TOTALS.unpack(data)
    return Totals(items, rows, next_seq, next_read, seals, int.from_bytes(total))


def edges(sealed: bytes) -> bytes:
    """Nonce and tag of a seal: under the key they stand for the whole of it."""
    return sealed[:NONCE_BYTES] + sealed[-TAG_BYTES:]


def _place(row: Row) -> bytes:
    """What binds a seal to its row: lv(id, version u64, tag, group, live u8). Raises SealBroken for ids of another length."""
    _, item_id, version, tag, group, live, _, _ = row
    if not len(item_id) == len(tag) == len(group) == _PLACE_ID_BYTES:
        raise SealBroken
    return _PLACE.pack(16, item_id, 8, version, 16, tag, 16, group, 1, live)


def _fitting(row: Row, content: bytes) -> Summary:
    """The summary of `content`, which says of its row what the row does."""
    summary = decode_summary(content)
    if summary.removed == row.live:
        raise SealBroken
    return summary


class RowSealer:
    """Seals and opens the rows of one vault."""

    def __init__(self, keys: VaultKeys, vault_id: bytes) -> None:
        self.keys = keys
        self.vault_id = vault_id
        self._summary_label = lv(VAULT_SUMMARY, vault_id)
        self._body_label = lv(VAULT_BODY, vault_id)
        self._tagged: tuple[ItemRef | None, bytes] = (None, b"")
        self._grouped: tuple[ItemKind | None, str, bytes] = (None, "", b"")

    def tag(self, ref: ItemRef) -> bytes:
        """The keyed tag that an item is found by. The last one is kept: a write asks for it three times in a row."""
        last, tag = self._tagged
        if ref is not last:
            tag = self.keys.index_tag(ref.kind, ref.vault, ref.environment, ref.lookup_name())
            self._tagged = (ref, tag)
        return tag

    def group(self, kind: ItemKind, vault: str) -> bytes:
        """The keyed tag that items are listed by. The last one is kept: a batch mostly has one group."""
        last, last_vault, tag = self._grouped
        if kind is not last or vault != last_vault:
            tag = self.keys.group_tag(kind, vault)
            self._grouped = (kind, vault, tag)
        return tag

    def seal(self, seq: int, item_id: bytes, version: int, summary: Summary, body: Body | None, nonces: bytes) -> Row:
        """The row of one version; two seals, with the 24 bytes of `nonces`. A removal has no body."""
        ref = summary.ref
        row = Row(seq, item_id, version, self.tag(ref), self.group(ref.kind, ref.vault), not summary.removed, b"", b"")
        place = _place(row)
        content = b"" if body is None else encode_body(body)
        return row._replace(
            summary=self.keys.seal(nonces[:NONCE_BYTES], encode_summary(summary), self._summary_label + place),
            body=self.keys.seal(nonces[NONCE_BYTES:], content, self._body_label + place),
        )

    def open_summary(self, row: Row) -> Summary:
        """Name, type and time. Raises SealBroken or VaultRowInvalid."""
        return _fitting(row, self.keys.open(row.summary, self._summary_label + _place(row)))

    def open_body(self, row: Row) -> Body | None:
        """The values; None for a removal. Raises SealBroken or VaultRowInvalid."""
        content = self.keys.open(row.body, self._body_label + _place(row))
        return decode_body(content) if row.live or content else None

    def open_item(self, row: Row) -> Item:
        """The whole item of a row that is no removal. Raises SealBroken or VaultRowInvalid."""
        if not row.live:
            raise SealBroken
        place = _place(row)
        content, body = self.keys.open_two(row.summary, self._summary_label + place, row.body, self._body_label + place)
        summary = _fitting(row, content)
        return Item(summary.ref, decode_body(body), row.id.hex(), row.version, summary.updated_at_ms)

    def open_listed(self, row: Row) -> ItemSummary:
        """What a list shows. Raises SealBroken or VaultRowInvalid."""
        summary = self.open_summary(row)
        return ItemSummary(summary.ref, row.id.hex(), row.version, summary.updated_at_ms, summary.secret_type)

    def item_term(self, row: Row) -> int:
        """The share in the sum of a row that is its item's newest."""
        return self._term(VAULT_SUM_ITEM, row)

    def past_term(self, row: Row) -> int:
        """The share in the sum of a row of the history."""
        return self._term(VAULT_SUM_PAST, row._replace(seq=0))

    def _term(self, label: bytes, row: Row) -> int:
        content = lv(label, _U64.pack(row.seq)) + _place(row) + lv(edges(row.summary), edges(row.body))
        return self.keys.sum_term(content)

    def seal_totals(self, totals: Totals, nonce: bytes) -> bytes:
        """The sealed totals."""
        return self.keys.seal(nonce, totals.encode(), lv(VAULT_TOTALS, self.vault_id))

    def open_totals(self, sealed: bytes) -> Totals:
        """The totals. Raises SealBroken or VaultRowInvalid."""
        return decode_totals(self.keys.open(sealed, lv(VAULT_TOTALS, self.vault_id)))

    def seal_reads(self, number: int, content: bytes, nonce: bytes) -> bytes:
        """One batch of the read log."""
        return self.keys.seal(nonce, content, lv(VAULT_READS, self.vault_id, _U64.pack(number)))

    def open_reads(self, number: int, sealed: bytes) -> bytes:
        """What `seal_reads` was given. Raises SealBroken."""
        return self.keys.open(sealed, lv(VAULT_READS, self.vault_id, _U64.pack(number)))

    def reads_term(self, number: int, sealed: bytes) -> int:
        """The share in the sum of one batch of the read log."""
        return self.keys.sum_term(lv(VAULT_SUM_READS, _U64.pack(number), edges(sealed)))
