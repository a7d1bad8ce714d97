"""Changes of items within one transaction: history, names, links and totals move together or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from keybaton_core.items import Body, DatabaseBody, Item, ItemKind, ItemRef, ItemSummary, SecretBody
from keybaton_core.vault_codec import Summary
from keybaton_core.vault_keys import NONCE_BYTES, SEALS_MAX
from keybaton_core.vault_parts import Row
from keybaton_core.vault_rows import RowSealer
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy
from keybatond.services.vault_changes import Change, PutMode
from keybatond.services.vault_types import opening
from keybatond.vault_ports import VaultReader, VaultWriter

READ_BATCHES_KEPT: Final = 256  # with READS_TOGETHER of vault_reads.py some 16,000 reads, below 4 MiB
LISTED_TOGETHER: Final = 1000


@dataclass(frozen=True)
class Found:
    """An item with its row."""

    row: Row
    item: Item


def find(reader: VaultReader, sealer: RowSealer, ref: ItemRef) -> Found | None:
    """The item of that name, as it is now. VAULT_DAMAGED when its row does not open or holds another name."""
    with opening():
        row = reader.live(sealer.tag(ref))
        if row is None:
            return None
        item = sealer.open_item(row)
    if not same_place(item.ref, ref):
        raise KeybatonError(Reason.VAULT_DAMAGED, problem="name")
    return Found(row, item)


def same_place(one: ItemRef, other: ItemRef) -> bool:
    """Whether both name the same item."""
    return one == other or (
        one.kind == other.kind
        and one.vault == other.vault
        and one.environment == other.environment
        and one.lookup_name() == other.lookup_name()
    )


def not_found(ref: ItemRef) -> KeybatonError:
    """NOT_FOUND with the name that the caller asked for."""
    return KeybatonError(Reason.NOT_FOUND, name=ref.name)


def secret_type(body: Body) -> str:
    """The type of a secret, empty for the other kinds."""
    return body.type if isinstance(body, SecretBody) else ""


def links_of(body: Body | None) -> frozenset[str]:
    """Names of the secrets that a body links to."""
    return frozenset(body.links.values()) if isinstance(body, DatabaseBody) else frozenset()


class Changes:
    """One transaction. Ends with `finish`; an error in between leaves nothing behind."""

    def __init__(self, writer: VaultWriter, sealer: RowSealer, entropy: Entropy, now_ms: int) -> None:
        self._writer = writer
        self._sealer = sealer
        self._entropy = entropy
        self._now_ms = now_ms
        with opening():
            self._totals = sealer.open_totals(writer.totals())

    def finish(self) -> None:
        """Seals the new totals. To be called last."""
        self._count_seals(1)
        with opening():
            sealed = self._sealer.seal_totals(self._totals, self._entropy.token(NONCE_BYTES))
        self._writer.put_totals(sealed)

    def get(self, ref: ItemRef) -> Item | None:
        """The item of that name, as this transaction sees it."""
        found = self.find(ref)
        return None if found is None else found.item

    def find(self, ref: ItemRef) -> Found | None:
        """The same with its row."""
        return find(self._writer, self._sealer, ref)

    def exists(self, ref: ItemRef) -> bool:
        """Whether there is an item of that name now."""
        return self.find(ref) is not None

    def listed(self, kind: ItemKind, vault: str) -> list[ItemRef]:
        """The names of that kind in one project vault, in the order of their making."""
        refs: list[ItemRef] = []
        after = 0
        with opening():
            group = self._sealer.group(kind, vault)
            while rows := self._writer.listed(group, after, LISTED_TOGETHER):
                refs += [self._sealer.open_listed(row).ref for row in rows]
                after = rows[-1].seq
        return refs

    def put(self, change: Change) -> ItemSummary:
        """Stores one item. NAME_TAKEN, NOT_FOUND, VERSION_CONFLICT, INVALID_ARGUMENT."""
        ref = change.item.ref
        if change.rename_from and change.mode is not PutMode.REPLACE:
            raise KeybatonError(Reason.INVALID_ARGUMENT, field="rename_from", problem="needs the mode REPLACE")
        return self.put_at(self.find(replace(ref, name=change.rename_from) if change.rename_from else ref), change)

    def put_at(self, found: Found | None, change: Change) -> ItemSummary:
        """`put`, where the caller has looked for the item already."""
        item = change.item
        if found is None and change.mode is PutMode.REPLACE:
            raise KeybatonError(Reason.NOT_FOUND, name=change.rename_from or item.ref.name)
        if found is not None and change.mode is PutMode.CREATE:
            raise KeybatonError(Reason.NAME_TAKEN, name=item.ref.name)
        current = 0 if found is None else found.row.version
        if change.base_version and change.base_version != current:
            raise KeybatonError(Reason.VERSION_CONFLICT, name=item.ref.name, current=str(current))
        if found is None:
            return self._create(item)
        return self._change(found, item.ref, item.body)

    def remove(self, ref: ItemRef) -> tuple[ItemSummary, list[str]]:
        """Removes one item, keeping its history. NOT_FOUND. Also the databases that still name the removed secret."""
        found = self.find(ref)
        if found is None:
            raise not_found(ref)
        self._writer.drop_item(found.row.seq)
        gone = self._store(found.row, found.item.body, found.item.ref, None, secret_type(found.item.body), moved=True)
        linked = self._linking(found.item.ref) if ref.kind is ItemKind.SECRET else []
        return gone, sorted(database.item.ref.name for database in linked)

    def undo(self, ref: ItemRef, version: int) -> ItemSummary:
        """Makes an older version the newest; 0: the newest older one that is no removal. NOT_FOUND, NAME_TAKEN."""
        found = self.find(ref)
        newest = found.row if found is not None else self._removal(ref)
        if newest is None:
            raise not_found(ref)
        older = self._older(newest, version)
        if older is None:
            raise KeybatonError(Reason.NOT_FOUND, name=ref.name, version=str(version))
        with opening():
            item = self._sealer.open_item(older)
        if found is not None:
            return self._change(found, item.ref, item.body)
        if self.exists(item.ref):
            raise KeybatonError(Reason.NAME_TAKEN, name=item.ref.name)
        self._writer.drop_item(newest.seq)
        return self._store(newest, None, item.ref, item.body, secret_type(item.body), moved=True)

    def drop_past(self, item_id: bytes, version: int) -> None:
        """Takes one version out of the history for good."""
        row = self._writer.past(item_id, version)
        assert row is not None
        with opening():
            self._totals = self._totals._replace(rows=self._totals.rows - 1).minus(self._sealer.past_term(row))
        self._writer.drop_past(row.seq)

    def drop_removal(self, row: Row) -> None:
        """Takes the removal of an item away, whose history has gone: nothing is left of it."""
        with opening():
            self._totals = self._totals._replace(rows=self._totals.rows - 1).minus(self._sealer.item_term(row))
        self._writer.drop_item(row.seq)

    def add_reads(self, content: bytes) -> None:
        """Appends a batch to the read log and drops the oldest above READ_BATCHES_KEPT."""
        number = self._totals.next_read
        self._count_seals(1)
        with opening():
            sealed = self._sealer.seal_reads(number, content, self._entropy.token(NONCE_BYTES))
            self._totals = self._totals._replace(next_read=number + 1).plus(self._sealer.reads_term(number, sealed))
        self._writer.put_reads(number, sealed)
        for old, old_sealed in self._writer.reads_before(number - READ_BATCHES_KEPT + 1, 1):
            with opening():
                self._totals = self._totals.minus(self._sealer.reads_term(old, old_sealed))
            self._writer.drop_reads(old)

    # --- steps -----------------------------------------------------------------------------------------------------

    def _create(self, item: Item) -> ItemSummary:
        """A new item; one that was removed under this name goes on with its history."""
        removal = self._removal(item.ref)
        if removal is not None:
            self._writer.drop_item(removal.seq)
        return self._store(removal, None, item.ref, item.body, secret_type(item.body), moved=True)

    def _change(self, found: Found, ref: ItemRef, body: Body) -> ItemSummary:
        """A new version of an item, perhaps under a new name. NAME_TAKEN. Links to a renamed secret follow."""
        moved_name = not same_place(found.item.ref, ref)
        if moved_name and self.exists(ref):
            raise KeybatonError(Reason.NAME_TAKEN, name=ref.name)
        linking = self._linking(found.item.ref) if moved_name and ref.kind is ItemKind.SECRET else []
        summary = self._store(found.row, found.item.body, ref, body, secret_type(body), moved=False)
        for database in linking:
            assert isinstance(database.item.body, DatabaseBody)
            links = {
                slot: ref.name if name == found.item.ref.name else name
                for slot, name in database.item.body.links.items()
            }
            followed = replace(database.item.body, links=links)
            self._store(database.row, database.item.body, database.item.ref, followed, "", moved=False)
        return summary

    def _store(
        self, old: Row | None, old_body: Body | None, ref: ItemRef, body: Body | None, type_name: str, *, moved: bool
    ) -> ItemSummary:
        """Writes the next version. `old` goes to the history; `moved`: it gets a new position, its old row is gone already."""
        totals = self._totals
        self._count_seals(2)
        nonces = self._entropy.token(2 * NONCE_BYTES)
        seq = totals.next_seq if old is None or moved else old.seq
        item_id = self._entropy.token(16) if old is None else old.id
        summary = Summary(ref, type_name, self._now_ms, removed=body is None)
        with opening():
            row = self._sealer.seal(seq, item_id, 1 if old is None else old.version + 1, summary, body, nonces)
            totals = totals._replace(rows=totals.rows + 1, next_seq=max(totals.next_seq, seq + 1))
            totals = totals.plus(self._sealer.item_term(row))
            if old is not None:
                totals = totals.minus(self._sealer.item_term(old)).plus(self._sealer.past_term(old))
                self._writer.put_past(old)
            self._writer.put_item(row)
            gained = int(row.live) - int(old is not None and old.live)
            self._totals = totals._replace(items=totals.items + gained)
            self._relink(old.seq if old is not None else seq, links_of(old_body), seq, links_of(body))
        return ItemSummary(ref, item_id.hex(), row.version, self._now_ms, type_name)

    def _relink(self, old_seq: int, old: Iterable[str], seq: int, new: Iterable[str]) -> None:
        was = {(self._sealer.keys.link_tag(name), old_seq) for name in old}
        becomes = {(self._sealer.keys.link_tag(name), seq) for name in new}
        for tag, place in was - becomes:
            self._writer.drop_link(tag, place)
        for tag, place in becomes - was:
            self._writer.put_link(tag, place)

    def _linking(self, ref: ItemRef) -> list[Found]:
        """The databases that link to the secret `ref`."""
        found = []
        with opening():
            for seq in self._writer.linking(self._sealer.keys.link_tag(ref.name)):
                row = self._writer.item(seq)
                item = self._sealer.open_item(row) if row is not None else None
                if row is None or item is None or ref.name not in links_of(item.body):
                    raise KeybatonError(Reason.VAULT_DAMAGED, problem="link")
                found.append(Found(row, item))
        return found

    def _removal(self, ref: ItemRef) -> Row | None:
        """The latest removal of an item of that name."""
        with opening():
            row = self._writer.removed(self._sealer.tag(ref))
            if row is not None and not same_place(self._sealer.open_summary(row).ref, ref):
                raise KeybatonError(Reason.VAULT_DAMAGED, problem="name")
        return row

    def _older(self, newest: Row, version: int) -> Row | None:
        if version == 0:
            # A removal is never followed by another, so that one of two is none.
            versions = [row.version for row in self._writer.past_before(newest.id, newest.version, 2) if row.live]
            if not versions:
                return None
            version = versions[0]
        row = self._writer.past(newest.id, version) if version < newest.version else None
        return row if row is not None and row.live else None

    def _count_seals(self, seals: int) -> None:
        count = self._totals.seals + seals
        if count > SEALS_MAX:
            raise KeybatonError(Reason.STORAGE_FAILED, problem="seals used up: rekey")
        self._totals = self._totals._replace(seals=count)
