"""Which older versions a rule lets go, and how they go. What is left can be undone to as before; what has gone cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from keybaton_core.items import ItemRef
from keybaton_core.vault_parts import Row
from keybaton_core.vault_rows import RowSealer
from keybatond.ports import Progress
from keybatond.services.vault_copy import item_rows
from keybatond.services.vault_transaction import Changes
from keybatond.services.vault_types import opening
from keybatond.vault_ports import VaultReader

SHOWN_MAX: Final = 1000  # items named in an answer
PAST_TOGETHER: Final = 100
PROGRESS_ITEMS: Final = 64
DAY_MS: Final = 24 * 60 * 60 * 1000


class Rule(NamedTuple):
    """What stays of each item beside its current version: the newest `keep` before it, and what was current within `days`.

    Removals are not counted. `days` None: however lately it was.
    """

    keep: int = 0
    days: int | None = None


class Compacted(NamedTuple):
    """What goes of one item. `gone`: it was removed before, and nothing of it is left."""

    ref: ItemRef
    versions: int
    gone: bool


class Compaction(NamedTuple):
    """What goes in all; `shown` are the first SHOWN_MAX items."""

    versions: int
    items: int
    gone: int
    shown: list[Compacted]


class _Outdated(NamedTuple):
    newest: Row
    versions: list[int]
    gone: bool


class Limits(NamedTuple):
    """A rule at one moment: what was replaced or removed at `since_ms` (Unix time in milliseconds) or later stays."""

    keep: int
    since_ms: int | None


def limits(rule: Rule, now_ms: int) -> Limits:
    """The rule at `now_ms`."""
    return Limits(rule.keep, None if rule.days is None else now_ms - rule.days * DAY_MS)


def preview(reader: VaultReader, sealer: RowSealer, stays: Limits, progress: Progress) -> Compaction:
    """What would go. VAULT_DAMAGED."""
    return _told(_outdated(reader, sealer, stays, progress), sealer)


def compact(changes: Changes, reader: VaultReader, sealer: RowSealer, stays: Limits, progress: Progress) -> Compaction:
    """Takes it away within the transaction of `changes`, whose reader it is. VAULT_DAMAGED."""

    def taken() -> Iterator[_Outdated]:
        for found in _outdated(reader, sealer, stays, progress):
            for version in found.versions:
                changes.drop_past(found.newest.id, version)
            if found.gone:
                changes.drop_removal(found.newest)
            yield found

    return _told(taken(), sealer)


def _told(found: Iterator[_Outdated], sealer: RowSealer) -> Compaction:
    versions = items = gone = 0
    shown: list[Compacted] = []
    for newest, numbers, whole in found:
        versions, items, gone = versions + len(numbers), items + 1, gone + whole
        if len(shown) < SHOWN_MAX:
            with opening():
                shown.append(Compacted(sealer.open_summary(newest).ref, len(numbers), whole))
    return Compaction(versions, items, gone, shown)


def _outdated(reader: VaultReader, sealer: RowSealer, stays: Limits, progress: Progress) -> Iterator[_Outdated]:
    """Each item of which something goes, in the order of their making."""
    with opening():
        total = sealer.open_totals(reader.totals()).rows
    for done, newest in enumerate(item_rows(reader)):
        if done % PROGRESS_ITEMS == 0:
            progress(done, total)
        found = _of_one(reader, sealer, newest, stays)
        if found.versions:
            yield found
    progress(total, total)


def _of_one(reader: VaultReader, sealer: RowSealer, newest: Row, stays: Limits) -> _Outdated:
    versions: list[int] = []
    kept = 0  # versions that undo could bring back
    after = newest  # the next newer version
    for row in _past_of(reader, newest):
        if versions or not (kept < stays.keep or _recent(sealer, after, stays)):
            versions.append(row.version)  # with all that are older still: a history has no gaps
        else:
            kept += row.live
        after = row
    return _Outdated(newest, versions, gone=not newest.live and not kept)


def _recent(sealer: RowSealer, row: Row, stays: Limits) -> bool:
    if stays.since_ms is None:
        return False
    with opening():
        return sealer.open_summary(row).updated_at_ms >= stays.since_ms


def _past_of(reader: VaultReader, newest: Row) -> Iterator[Row]:
    version = newest.version
    while rows := reader.past_before(newest.id, version, PAST_TOGETHER):
        yield from rows
        version = rows[-1].version
