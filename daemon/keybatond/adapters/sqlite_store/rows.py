"""The statements: reads and changes of rows on one connection."""

# ruff: noqa: S608 (what is put into the statements are the constants of this module)
from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from keybaton_core.vault_parts import Row
from keybatond.adapters.sqlite_store.failures import damaged, translate

FINDINGS_MAX: Final = 20

_WHOLE: Final = "seq, id, version, tag, grp, live, summary, body"
_LISTED: Final = "seq, id, version, tag, grp, live, summary, x''"
_PAST_WHOLE: Final = "position, id, version, tag, grp, live, summary, body"
_PAST_LISTED: Final = "position, id, version, tag, grp, live, summary, x''"
_TYPES: Final = [int, bytes, int, bytes, bytes, int, bytes, bytes]

# Whether what the index of tags says of the entries beside a tag is what their rows say. An entry whose tag has changed on the
# disk is not found, but stays on its page: 200 entries to either side are more than a page holds.
_MISFILED: Final = tuple(
    "SELECT 1 FROM (SELECT seq, tag AS filed FROM item INDEXED BY item_live "
    f"WHERE live = 1 AND tag {beside} ? ORDER BY tag {order} LIMIT 200) AS near "
    "LEFT JOIN item NOT INDEXED ON item.seq = near.seq WHERE item.tag IS NOT near.filed OR item.live IS NOT 1 LIMIT 1"
    for beside, order in ((">", "ASC"), ("<", "DESC"))
)

# The same of a group's index: an entry whose group has changed on the disk ends the list of its group before or behind itself.
_MISGROUPED: Final = tuple(
    "SELECT 1 FROM (SELECT seq, grp AS filed FROM item INDEXED BY item_group "
    f"WHERE live = 1 AND (grp, seq) {beside} (?, ?) ORDER BY grp {order}, seq {order} LIMIT 1) AS near "
    "LEFT JOIN item NOT INDEXED ON item.seq = near.seq WHERE item.grp IS NOT near.filed OR item.live IS NOT 1"
    for beside, order in (("<", "DESC"), (">", "ASC"))
)

_LIVE: Final = f"SELECT {_WHOLE} FROM item WHERE tag = ? AND live = 1"  # made once: each read of an item asks it


def _row(values: Sequence[Any]) -> Row:
    if list(map(type, values)) != _TYPES or values[5] not in (0, 1) or values[0] < 1 or values[2] < 1:
        raise damaged("row")
    seq, item_id, version, tag, group, live, summary, body = values
    return Row(seq, item_id, version, tag, group, live == 1, summary, body)


class RowReader:
    """VaultReader on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _all(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error) from None

    def _one(self, statement: str, *values: object) -> Row | None:
        rows = self._all(statement, *values)
        return _row(rows[0]) if rows else None

    def _rows(self, statement: str, *values: object) -> list[Row]:
        return [_row(values) for values in self._all(statement, *values)]

    def _single(self, statement: str) -> bytes:
        rows = self._all(statement)
        if len(rows) != 1 or type(rows[0][0]) is not bytes:
            raise damaged("single row")
        content: bytes = rows[0][0]
        return content

    def header(self) -> bytes:
        return self._single("SELECT content FROM header")

    def totals(self) -> bytes:
        return self._single("SELECT content FROM totals")

    def live(self, tag: bytes) -> Row | None:
        return self._one(_LIVE, tag)

    def misfiled(self, tag: bytes) -> bool:
        return any(self._all(statement, tag) for statement in _MISFILED)

    def misgrouped(self, group: bytes, first: int, last: int) -> bool:
        before, behind = _MISGROUPED
        return bool(self._all(before, group, first) or self._all(behind, group, last))

    def removed(self, tag: bytes) -> Row | None:
        return self._one(f"SELECT {_WHOLE} FROM item WHERE tag = ? AND live = 0 ORDER BY seq DESC LIMIT 1", tag)

    def item(self, seq: int) -> Row | None:
        return self._one(f"SELECT {_WHOLE} FROM item WHERE seq = ?", seq)

    def listed(self, group: bytes | None, after: int, limit: int) -> list[Row]:
        if group is None:
            return self._rows(
                f"SELECT {_LISTED} FROM item WHERE seq > ? AND live = 1 ORDER BY seq LIMIT ?",
                after,
                limit,
            )
        return self._rows(
            f"SELECT {_LISTED} FROM item WHERE grp = ? AND seq > ? AND live = 1 ORDER BY seq LIMIT ?",
            group,
            after,
            limit,
        )

    def linking(self, tag: bytes) -> list[int]:
        return [seq for (seq,) in self._all("SELECT seq FROM link WHERE tag = ? ORDER BY seq", tag)]

    def past(self, item_id: bytes, version: int) -> Row | None:
        return self._one(f"SELECT {_PAST_WHOLE} FROM past WHERE id = ? AND version = ?", item_id, version)

    def past_before(self, item_id: bytes, version: int, limit: int) -> list[Row]:
        return self._rows(
            f"SELECT {_PAST_LISTED} FROM past WHERE id = ? AND version < ? ORDER BY version DESC LIMIT ?",
            item_id,
            version,
            limit,
        )

    def items_after(self, seq: int, limit: int) -> list[Row]:
        return self._rows(f"SELECT {_WHOLE} FROM item WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)

    def history_after(self, position: int, limit: int) -> list[Row]:
        return self._rows(
            f"SELECT {_PAST_WHOLE} FROM past WHERE position > ? ORDER BY position LIMIT ?", position, limit
        )

    def links_after(self, tag: bytes, seq: int, limit: int) -> list[tuple[bytes, int]]:
        return self._all(
            "SELECT tag, seq FROM link WHERE (tag, seq) > (?, ?) ORDER BY tag, seq LIMIT ?", tag, seq, limit
        )

    def reads_before(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        found = self._all(
            "SELECT number, content FROM reads WHERE number < ? ORDER BY number DESC LIMIT ?", number, limit
        )
        if any(list(map(type, values)) != [int, bytes] or values[0] < 1 for values in found):
            raise damaged("reads")
        return found

    def page_findings(self) -> list[str]:
        found = self._all(f"PRAGMA integrity_check({FINDINGS_MAX})")
        texts = [text.decode(errors="replace") for (text,) in found]
        return [] if texts == ["ok"] else texts


class RowWriter(RowReader):
    """VaultWriter on one connection, within a transaction that the caller began."""

    def _run(self, statement: str, *values: object) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise translate(error) from None

    def put_header(self, content: bytes) -> None:
        self._run("INSERT OR REPLACE INTO header VALUES (1, ?)", content)

    def put_totals(self, content: bytes) -> None:
        self._run("INSERT OR REPLACE INTO totals VALUES (1, ?)", content)

    def put_item(self, row: Row) -> None:
        self._run(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET id = excluded.id, "
            "version = excluded.version, tag = excluded.tag, grp = excluded.grp, live = excluded.live, "
            "summary = excluded.summary, body = excluded.body",
            *(row.seq, row.id, row.version, row.tag, row.group, int(row.live), row.summary, row.body),
        )

    def drop_item(self, seq: int) -> None:
        self._run("DELETE FROM item WHERE seq = ?", seq)

    def put_past(self, row: Row) -> None:
        self._run(
            "INSERT INTO past (id, version, tag, grp, live, summary, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(row.id, row.version, row.tag, row.group, int(row.live), row.summary, row.body),
        )

    def replace_past(self, row: Row) -> None:
        self._run(
            "UPDATE past SET tag = ?, grp = ?, summary = ?, body = ? WHERE position = ?",
            *(row.tag, row.group, row.summary, row.body, row.seq),
        )

    def drop_past(self, position: int) -> None:
        self._run("DELETE FROM past WHERE position = ?", position)

    def put_link(self, tag: bytes, seq: int) -> None:
        self._run("INSERT OR IGNORE INTO link VALUES (?, ?)", tag, seq)

    def drop_link(self, tag: bytes, seq: int) -> None:
        self._run("DELETE FROM link WHERE tag = ? AND seq = ?", tag, seq)

    def drop_links(self) -> None:
        self._run("DELETE FROM link")

    def put_reads(self, number: int, content: bytes) -> None:
        self._run("INSERT OR REPLACE INTO reads VALUES (?, ?)", number, content)

    def drop_reads(self, number: int) -> None:
        self._run("DELETE FROM reads WHERE number = ?", number)
