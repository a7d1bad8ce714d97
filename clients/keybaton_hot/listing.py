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

_Rest = tuple[str, int, int]  # type, version, time of change


def name_order(name: str) -> tuple[str, str]:
    """The key by which every list of names is sorted for a reader; the agent's own order is that of storing."""
    return name.casefold(), name


def show(channel: "Channel", *, json: bool, in_table: bool) -> int | None:
    """Prints names, types and times of every page; the first one has been asked for. None for what click has to print."""
    from keybaton_hot.answers import list_answer

    names, rests, token = answer(channel, list_answer)
    in_pages = bool(token)  # each of them sorted
    while token:
        channel.send(LIST_ITEMS, list_request(token), READ_SECONDS)
        page, details, token = answer(channel, list_answer)
        names += page
        rests += details
    channel.close()
    # Names that have to be cleaned for a reader, or times out of a calendar, are for the complete code.
    if not names or not "".join(names).isprintable():
        return None
    if not all(kind.isprintable() and 0 < changed < _YEAR_10000_MS for kind, _, changed in set(rests)):
        return None
    pairs = list(zip(names, rests, strict=True))
    if in_pages:
        pairs.sort(key=lambda pair: name_order(pair[0]))
    if in_table:
        from keybaton_cli import output

        shown = [(name, kind, output.when(changed)) for name, (kind, _, changed) in pairs]
        output.table(HEAD, shown)
        sys.stdout.flush()
    else:
        write(_document(pairs) if json else _lines(pairs))
    return 0


def _lines(pairs: list[tuple[str, _Rest]]) -> bytes:
    ends = {}
    shown: dict[int, str] = {}
    for rest in {rest for _, rest in pairs}:
        kind, _, changed = rest
        second = changed // 1000
        if second not in shown:
            shown[second] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        ends[rest] = f"\t{kind}\t{shown[second]}\n"
    return "".join([name + ends[rest] for name, rest in pairs]).encode()


def _document(pairs: list[tuple[str, _Rest]]) -> bytes:
    ends = {}
    for rest in {rest for _, rest in pairs}:
        kind, version, changed = rest
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(changed // 1000))
        ends[rest] = (
            f', "kind": "secret", "type": {_quoted(kind)}, '
            f'"version": {version}, "updatedAt": "{when}.{changed % 1000:03}Z"}}'
        )
    entries = [f'{{"name": {_quoted(name)}{ends[rest]}' for name, rest in pairs]
    return f'{{"secrets": [{", ".join(entries)}]}}\n'.encode()


def _quoted(text: str) -> str:
    """A printable string for JSON (RFC 8259, section 7): only the quote and the backslash need escaping."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
