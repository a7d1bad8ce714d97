"""`keybaton secrets list` in its plain form: for a pipe, a terminal or as JSON, printed as `commands.secrets` does."""

import sys
import time

from keybaton_hot import READ_SECONDS, answer, write
from keybaton_hot.unary import LIST_ITEMS, list_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keybaton_hot.unary import Channel

HEAD = ("NAME", "TYPE", "CHANGED")
_YEAR_10000_MS = 253_402_300_800_000

_Row = tuple[str, str, int, int]  # name, type, version, time of change


def name_order(name: str) -> tuple[str, str]:
    """The key by which every list of names is sorted for a reader; the agent's own order is that of storing."""
    return name.casefold(), name


def show(channel: "Channel", *, json: bool, in_table: bool) -> int | None:
    """Prints names, types and times of every page; the first one has been asked for. None for what click has to print."""
    from keybaton_hot.answers import list_answer

    names, kinds, versions, times, token = answer(channel, list_answer)
    in_pages = bool(token)  # each of them sorted
    while token:
        channel.send(LIST_ITEMS, list_request(token), READ_SECONDS)
        more, more_kinds, more_versions, more_times, token = answer(channel, list_answer)
        names += more
        kinds += more_kinds
        versions += more_versions
        times += more_times
    channel.close()
    # Names that have to be cleaned for a reader, or times out of a calendar, are for the complete code.
    if not names or not names.replace("\n", "").isprintable():
        return None
    if not "".join(set(kinds)).isprintable() or not 0 < min(times) <= max(times) < _YEAR_10000_MS:
        return None
    if not (json or in_table or in_pages) and len(set(kinds)) == len(set(times)) == 1:
        write(names.replace("\n", _end(kinds[0], times[0])).encode())  # imported together: one call for all
        return 0
    rows = list(zip(names[:-1].split("\n"), kinds, versions, times, strict=True))
    if in_pages:
        rows.sort(key=lambda row: name_order(row[0]))
    if in_table:
        from keybaton_cli import output

        output.table(HEAD, [(name, kind, output.when(changed)) for name, kind, _, changed in rows])
        sys.stdout.flush()
    else:
        write(_document(rows) if json else _lines(rows))
    return 0


def _end(kind: str, changed: int) -> str:
    return f"\t{kind}\t{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(changed // 1000))}\n"


def _lines(rows: list[_Row]) -> bytes:
    ends = {pair: _end(*pair) for pair in {(kind, changed) for _, kind, _, changed in rows}}
    return "".join([name + ends[kind, changed] for name, kind, _, changed in rows]).encode()


def _document(rows: list[_Row]) -> bytes:
    ends = {}
    for rest in {row[1:] for row in rows}:
        kind, version, changed = rest
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(changed // 1000))
        ends[rest] = (
            f', "kind": "secret", "type": {_quoted(kind)}, '
            f'"version": {version}, "updatedAt": "{when}.{changed % 1000:03}Z"}}'
        )
    entries = [f'{{"name": {_quoted(row[0])}{ends[row[1:]]}' for row in rows]
    return f'{{"secrets": [{", ".join(entries)}]}}\n'.encode()


def _quoted(text: str) -> str:
    """A printable string for JSON (RFC 8259, section 7): only the quote and the backslash need escaping."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
