"""Reads everything in the vault and says what is wrong with it, in sentences without names or values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from keybaton_core.vault_codec import Summary
from keybaton_core.vault_keys import SealBroken
from keybaton_core.vault_parts import Row, VaultRowInvalid
from keybaton_core.vault_rows import RowSealer, Totals
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Progress
from keybatond.services.vault_copy import item_rows, past_rows, read_batches
from keybatond.services.vault_reads import decode_reads
from keybatond.services.vault_transaction import links_of
from keybatond.services.vault_types import opening
from keybatond.vault_ports import VaultReader

T = TypeVar("T")

LINKS_TOGETHER: Final = 1000
PROGRESS_ROWS: Final = 64


class Check:
    """One run over one consistent state. `findings` is empty when all is sound."""

    def __init__(self, reader: VaultReader, sealer: RowSealer, progress: Progress) -> None:
        self._reader = reader
        self._sealer = sealer
        self._progress = progress
        self._done = 0
        self._found = Totals()
        self._links = 0
        self.findings: list[str] = []

    def run(self) -> list[str]:
        """The findings. Raises only for storage that fails or a vault that is locked meanwhile."""
        self.findings += [f"The file's structure is damaged: {text}." for text in self._reader.page_findings()]
        totals = self._totals()
        self._each("items", item_rows(self._reader), lambda row: self._item(row, totals), totals.rows if totals else 0)
        self._each("past versions", past_rows(self._reader), self._past, totals.rows if totals else 0)
        self._each("batches of the read log", read_batches(self._reader), self._reads, 0)
        self._guarded("links", self._count_links)
        if totals is not None:
            self._compare(totals)
        return self.findings

    def _totals(self) -> Totals | None:
        try:
            with opening():
                return self._sealer.open_totals(self._reader.totals())
        except KeybatonError as error:
            self._damage(error, "The sealed count and sum cannot be opened.")
            return None

    def _each(self, what: str, rows: Iterable[T], look: Callable[[T], None], total: int) -> None:
        """Looks at every row; tells how many do not open, and goes on with the next kind where the pages end."""
        broken = 0

        def walk() -> None:
            nonlocal broken
            for row in rows:
                try:
                    look(row)
                except (SealBroken, VaultRowInvalid):
                    broken += 1
                self._done += 1
                if self._done % PROGRESS_ROWS == 0:
                    self._progress(self._done, max(self._done, total))

        self._guarded(what, walk)
        if broken:
            self.findings.append(f"{broken} {what} cannot be opened: altered, or moved from another place.")

    def _guarded(self, what: str, walk: Callable[[], None]) -> None:
        try:
            with opening():
                walk()
        except KeybatonError as error:
            self._damage(error, f"Not all {what} can be read.")

    def _damage(self, error: KeybatonError, finding: str) -> None:
        if error.reason is not Reason.VAULT_DAMAGED:
            raise error
        self.findings.append(finding)

    def _item(self, row: Row, totals: Totals | None) -> None:
        self._found = self._counted(row.live).plus(self._sealer.item_term(row))
        summary = self._sealer.open_summary(row)
        links = links_of(self._sealer.open_body(row))
        self._place(row, summary)
        if totals is not None and row.seq >= totals.next_seq:
            raise SealBroken
        tag = row.tag
        if row.live and (self._reader.live(tag) or row).seq != row.seq:
            raise SealBroken  # two items of one name
        for name in links:
            self._links += 1
            if row.seq not in self._reader.linking(self._sealer.keys.link_tag(name)):
                raise SealBroken

    def _past(self, row: Row) -> None:
        self._found = self._counted(live=False).plus(self._sealer.past_term(row))
        self._place(row, self._sealer.open_summary(row))
        self._sealer.open_body(row)

    def _place(self, row: Row, summary: Summary) -> None:
        ref = summary.ref
        if self._sealer.tag(ref) != row.tag or self._sealer.group(ref.kind, ref.vault) != row.group:
            raise SealBroken

    def _counted(self, live: bool) -> Totals:
        found = self._found
        return Totals(items=found.items + live, rows=found.rows + 1, sum=found.sum)

    def _reads(self, batch: tuple[int, bytes]) -> None:
        number, sealed = batch
        self._found = self._found.plus(self._sealer.reads_term(number, sealed))
        decode_reads(self._sealer.open_reads(number, sealed))

    def _count_links(self) -> None:
        count, tag, seq = 0, b"", 0
        while links := self._reader.links_after(tag, seq, LINKS_TOGETHER):
            count += len(links)
            tag, seq = links[-1]
        if count != self._links:
            raise SealBroken

    def _compare(self, totals: Totals) -> None:
        found = self._found
        if found.items != totals.items:
            self.findings.append(f"There are {found.items} items; there should be {totals.items}.")
        if found.rows != totals.rows:
            self.findings.append(f"There are {found.rows} versions in all; there should be {totals.rows}.")
        if found.sum != totals.sum:
            self.findings.append(
                "The sealed sum differs: rows were removed, added, altered or put back to an older state."
            )
        self._progress(found.rows, found.rows)
