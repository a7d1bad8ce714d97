"""The items of the vault: read, listed, changed, undone. The vault as a whole is vault_whole.py's.

Every method fails with VAULT_LOCKED while the vault is locked, VAULT_ABSENT where there is none, VAULT_DAMAGED where a row does
not open, and STORAGE_* where the disk fails. An error leaves the vault as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from keybaton_core.items import Item, ItemKind, ItemRef, ItemSummary
from keybaton_core.vault_parts import Row
from keybaton_core.vault_rows import RowSealer
from keybatond.errors import KeybatonError, Reason
from keybatond.services.open_vault import OpenVault
from keybatond.services.vault_changes import Change, PutMode
from keybatond.services.vault_copy import LAST
from keybatond.services.vault_reads import decode_reads
from keybatond.services.vault_transaction import Changes, find, not_found
from keybatond.services.vault_types import (
    BatchResult,
    ItemVersion,
    ReadRecord,
    RestoreResult,
    VaultHeader,
    checked,
    checked_ref,
    opening,
    within,
)
from keybatond.services.vault_whole import WholeVault

__all__ = [
    "BatchResult",
    "Change",
    "ItemVersion",
    "PutMode",
    "ReadRecord",
    "RestoreResult",
    "VaultHeader",
    "VaultService",
]

PAGE_MAX: Final = 1000
PAGE_USUAL: Final = 500
VERSIONS_USUAL: Final = 100
BATCH_MAX: Final = 1000
SCAN_MAX: Final = 1000  # names opened for one page; where few match, the page is short or empty, with a token

# The method `list` hides the type of that name within the class.
Listed = list[ItemSummary]
Versions = list[ItemVersion]
Reads = list[ReadRecord]
Names = list[str]
Refs = list[ItemRef]


class VaultService(WholeVault):
    """One vault and its items. All methods are called on the event loop's thread."""

    # --- reading ---------------------------------------------------------------------------------------------------

    def get(self, ref: ItemRef, *, client: str = "") -> Item:
        """One item. NOT_FOUND. With `client`, the kind of program that asked, the read is noted in the log of reads."""
        session = self._opened()
        found = find(self._store.reader(), session.sealer, checked_ref(ref))
        if found is None:
            raise self._missing(session.sealer.tag(ref), ref)
        if client:
            self._note_reads(session, [found.item], client)
        return found.item

    def _note_reads(self, session: OpenVault, items: Iterable[Item], client: str) -> None:
        for item in items:
            self._note_read(session, ReadRecord(self._clock.now_ms(), item.ref, item.id, item.version, client))

    def _missing(self, tag: bytes, ref: ItemRef) -> KeybatonError:
        """NOT_FOUND, where the file is sound enough to say so."""
        if self._store.reader().misfiled(tag):
            return KeybatonError(Reason.VAULT_DAMAGED, problem="index")
        return not_found(ref)

    def get_encoded(self, asked: bytes, read: Callable[[bytes], tuple[Sequence[Item], bytes]], *, client: str) -> bytes:
        """The answer to `asked`, which names its method too, with the reads noted.

        `read` finds the items and encodes them, unless it did so for the same before. What was answered stays, sealed, until the
        next change or lock.
        """
        session = self._opened()
        with opening():
            kept = session.read_answers.get(asked)
            if kept is None:
                items, answer = read(asked)
                kept = answer, session.read_answers.keep(asked, answer, items)
        answer, marks = kept
        now = self._clock.now_ms()
        for ref, item_id, version in marks:
            self._note_read(session, ReadRecord(now, ref, item_id, version, client))
        return answer

    def batch_get(self, refs: Sequence[ItemRef], most: int, *, client: str = "") -> tuple[list[Item], list[ItemRef]]:
        """Several items, and those that are missing. TOO_LARGE above BATCH_MAX, and above `most` bytes of values."""
        _limit(refs)
        session = self._opened()
        missing: Refs = []

        def each() -> Iterator[Item]:
            for ref in refs:
                found = find(self._store.reader(), session.sealer, checked_ref(ref))
                if found is not None:
                    yield found.item
                elif (error := self._missing(session.sealer.tag(ref), ref)).reason is Reason.NOT_FOUND:
                    missing.append(ref)
                else:
                    raise error

        items = within(each(), most, "items")
        if client:
            self._note_reads(session, items, client)
        return items, missing

    def group(self, kind: ItemKind, vault: str) -> Listed:
        """All names of one kind in one project vault. VAULT_DAMAGED where the file hides one."""
        sealer, reader = self._opened().sealer, self._store.reader()
        with opening():
            group = sealer.group(kind, vault)
            names: Listed = []
            first = last = 0
            while rows := reader.listed(group, last, PAGE_MAX):
                names += [sealer.open_listed(row) for row in rows]
                first, last = first or rows[0].seq, rows[-1].seq
        self._grouped(group, first, last)
        return names

    def _grouped(self, group: bytes, first: int, last: int) -> None:
        """VAULT_DAMAGED where the file hides an item of the group, before the `first` that was found or behind the `last`."""
        if self._store.reader().misgrouped(group, first, last):
            raise KeybatonError(Reason.VAULT_DAMAGED, problem="index")

    def list(
        self,
        kind: ItemKind | None = None,
        vault: str = "",
        environment: str = "",
        prefix: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> tuple[Listed, str]:
        """Names in the order of their making, and the token of the next page, empty at the end. VAULT_DAMAGED as `group`.

        A page may be short, even empty, with more to come. Items made meanwhile come at the end; none is shown twice.
        """
        sealer = self._opened().sealer
        size = min(page_size or PAGE_USUAL, PAGE_MAX)
        after = _number(page_token)
        group = None
        if kind is not None and (vault or kind is not ItemKind.ENV_VARIABLE):
            group = sealer.group(kind, vault)
        plain_list = not prefix and not environment and (group is not None or (kind is None and not vault))
        reader = self._store.reader()
        rows = reader.listed(group, after, size + 1 if plain_list else SCAN_MAX + 1)
        if group is not None:
            self._grouped(group, rows[0].seq if rows else after, rows[-1].seq if rows else after)
        more = len(rows) > (size if plain_list else SCAN_MAX)
        page: list[ItemSummary] = []
        with opening():
            for row in rows[:-1] if more else rows:
                if len(page) == size:
                    more = True
                    break
                summary = sealer.open_listed(row)
                after = row.seq
                ref = summary.ref
                wanted = (
                    (kind is None or ref.kind is kind)
                    and (not vault or ref.vault == vault)
                    and (not environment or ref.environment == environment)
                    and (not prefix or _begins(ref, prefix))
                )
                if wanted:
                    page.append(summary)
        return page, str(after) if more else ""

    def list_encoded(
        self,
        encode: Callable[[Listed, str], bytes],
        kind: ItemKind | None = None,
        vault: str = "",
        environment: str = "",
        prefix: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> bytes:
        """As `list`, the page and the token as `encode` writes them. What was written stays until the next change or lock."""
        answers = self._opened().answers
        asked = (encode, kind, vault, environment, prefix, page_size, page_token)
        answer = answers.get(asked)
        if answer is None:
            answer = encode(*self.list(kind, vault, environment, prefix, page_size, page_token))
            answers.keep(asked, answer)
        return answer

    def versions(self, ref: ItemRef, page_size: int = 0, page_token: str = "") -> tuple[Versions, str]:
        """The versions of an item, newest first, also of a removed one, and the token of the next page. NOT_FOUND."""
        sealer, reader = self._opened().sealer, self._store.reader()
        size = min(page_size or VERSIONS_USUAL, PAGE_MAX)
        tag = sealer.tag(checked_ref(ref))
        newest = reader.live(tag) or reader.removed(tag)
        if newest is None:
            raise self._missing(tag, ref)
        below = _number(page_token) or newest.version + 1
        rows = [newest] if newest.version < below else []
        rows += reader.past_before(newest.id, min(below, newest.version), size + 1 - len(rows))
        versions = [_version(sealer, row, current=row.live and row is newest) for row in rows[:size]]
        return versions, str(versions[-1].version) if len(rows) > size else ""

    def reads(self, limit: int = 100) -> Reads:
        """The last reads, newest first."""
        session = self._opened()
        records = list(reversed(session.reads))
        before = LAST
        reader = self._store.reader()
        while len(records) < limit and (batches := reader.reads_before(before, 1)):
            before, sealed = batches[0]
            with opening():
                records += reversed(decode_reads(session.sealer.open_reads(before, sealed)))
        return records[:limit]

    # --- changing --------------------------------------------------------------------------------------------------

    async def put(self, item: Item, mode: PutMode, base_version: int = 0, rename_from: str = "") -> ItemSummary:
        """Stores one item; durable when it returns. NAME_TAKEN, NOT_FOUND, VERSION_CONFLICT, INVALID_ARGUMENT.

        `base_version`, not 0: the version that must be stored now. `rename_from`, with REPLACE: the name until now; links to a
        renamed secret follow.
        """
        return (await self.apply([Change(item, mode, base_version, rename_from)]))[0]

    async def apply(self, changes: Sequence[Change]) -> Listed:
        """Several puts, all or none. As `put`; TOO_LARGE above BATCH_MAX."""
        _limit(changes)
        for change in changes:
            checked(change.item)
        return await self.edit(lambda tx: [tx.put(change) for change in changes])

    async def batch_put(self, items: Sequence[Item], mode: PutMode, skip_existing: bool = False) -> BatchResult:
        """Stores items, all or none. With `skip_existing` and CREATE those whose name is taken are left as they are."""
        _limit(items)
        for item in items:
            checked(item)

        def store(tx: Changes) -> BatchResult:
            created = replaced = 0
            skipped: list[ItemRef] = []
            for item in items:
                found = tx.find(item.ref)
                if found is not None and skip_existing and mode is PutMode.CREATE:
                    skipped.append(item.ref)
                    continue
                tx.put_at(found, Change(item, mode))
                created, replaced = created + (found is None), replaced + (found is not None)
            return BatchResult(created, replaced, skipped)

        return await self.edit(store)

    async def delete(self, ref: ItemRef) -> tuple[ItemSummary, Names]:
        """Removes one item; `undo` brings it back. Also names the databases that still link to it. NOT_FOUND."""
        checked_ref(ref)
        return await self.edit(lambda tx: tx.remove(ref))

    async def undo(self, ref: ItemRef, version: int = 0) -> ItemSummary:
        """Makes an older version the newest, under the name it had. 0: the one before the current that is no removal.

        NOT_FOUND when there is no such version or it is a removal; NAME_TAKEN when its name now is another item's.
        """
        checked_ref(ref)
        return await self.edit(lambda tx: tx.undo(ref, version))


def _limit(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise KeybatonError(Reason.TOO_LARGE, limit=str(BATCH_MAX))


def _number(token: str) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) <= 18):
        raise KeybatonError(Reason.INVALID_ARGUMENT, field="page_token", problem="is not from an earlier answer")
    return int(token)


def _begins(ref: ItemRef, prefix: str) -> bool:
    return ref.lookup_name().startswith(ItemRef(ref.kind, prefix).lookup_name())


def _version(sealer: RowSealer, row: Row, *, current: bool) -> ItemVersion:
    with opening():
        summary = sealer.open_summary(row)
    return ItemVersion(row.version, summary.updated_at_ms, summary.removed, current, summary.ref.name)
