"""Every row opened under one vault key and sealed under another: rekey in place, backup and restore into a new file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keybaton_core.vault_keys import NONCE_BYTES
from keybaton_core.vault_parts import Row
from keybaton_core.vault_rows import RowSealer, Totals
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy, Progress
from keybatond.services.vault_transaction import links_of
from keybatond.services.vault_types import opening
from keybatond.vault_ports import VaultReader, VaultWriter

ROWS_TOGETHER: Final = 16  # rows in memory at once: at most 16 × 256 KiB
READS_AT_ONCE: Final = 16
LAST: Final = 2**62  # above every number of a batch


def item_rows(reader: VaultReader) -> Iterator[Row]:
    """Every newest version, removals too."""
    after = 0
    while rows := reader.items_after(after, ROWS_TOGETHER):
        yield from rows
        after = rows[-1].seq


def past_rows(reader: VaultReader) -> Iterator[Row]:
    """Every row of the history."""
    after = 0
    while rows := reader.history_after(after, ROWS_TOGETHER):
        yield from rows
        after = rows[-1].seq


def read_batches(reader: VaultReader) -> Iterator[tuple[int, bytes]]:
    """Every batch of the read log, newest first."""
    before = LAST
    while batches := reader.reads_before(before, READS_AT_ONCE):
        yield from batches
        before = batches[-1][0]


def copy_vault(
    reader: VaultReader,
    writer: VaultWriter,
    source: RowSealer,
    target: RowSealer,
    entropy: Entropy,
    progress: Progress,
    *,
    in_place: bool,
) -> Totals:
    """Seals everything anew and compares the old count and sum on the way. VAULT_DAMAGED when a row or the sum is wrong.

    Returns the new totals, which are written. The header is the caller's. `in_place`: reader and writer are the same file.
    """
    with opening():
        old = source.open_totals(reader.totals())
    new = old._replace(sum=0, seals=1)
    found = Totals()
    done = 0

    def sealed_anew(row: Row) -> tuple[Row, frozenset[str]]:
        """The row, and the names that its body links to."""
        with opening():
            summary, body = source.open_summary(row), source.open_body(row)
            fresh = target.seal(row.seq, row.id, row.version, summary, body, entropy.token(2 * NONCE_BYTES))
        return fresh, links_of(body)

    def advance() -> None:
        nonlocal done
        done += 1
        if done % ROWS_TOGETHER == 0:
            progress(done, max(done, old.rows))

    if in_place:
        writer.drop_links()
    for row in item_rows(reader):
        fresh, links = sealed_anew(row)
        with opening():
            found = found._replace(items=found.items + row.live, rows=found.rows + 1).plus(source.item_term(row))
            new = new._replace(seals=new.seals + 2).plus(target.item_term(fresh))
        writer.put_item(fresh)
        for name in links:
            writer.put_link(target.keys.link_tag(name), fresh.seq)
        advance()
    for row in past_rows(reader):
        fresh, _ = sealed_anew(row)
        with opening():
            found = found._replace(rows=found.rows + 1).plus(source.past_term(row))
            new = new._replace(seals=new.seals + 2).plus(target.past_term(fresh))
        if in_place:
            writer.replace_past(fresh)
        else:
            writer.put_past(fresh)
        advance()
    for number, sealed in read_batches(reader):
        with opening():
            found = found.plus(source.reads_term(number, sealed))
            again = target.seal_reads(number, source.open_reads(number, sealed), entropy.token(NONCE_BYTES))
            new = new._replace(seals=new.seals + 1).plus(target.reads_term(number, again))
        writer.put_reads(number, again)
    if (found.items, found.rows, found.sum) != (old.items, old.rows, old.sum):
        raise KeybatonError(Reason.VAULT_DAMAGED, problem="sum")
    with opening():
        writer.put_totals(target.seal_totals(new, entropy.token(NONCE_BYTES)))
    progress(old.rows, old.rows)
    return new
