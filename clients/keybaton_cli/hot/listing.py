"""`keybaton secrets list` in its plain form: for a pipe, a terminal or as JSON, printed as `commands.secrets` does."""

import posix
import time

from keybaton_cli.hot import READ_SECONDS, agent, call, parsed, write
from keybaton_client.messages import LIST_ITEMS, list_answer, list_request

_PAGE = 1000
_YEAR_10000_MS = 253_402_300_800_000


def list_secrets(arguments: list[str]) -> int | None:
    """Fetches every page and prints names, types and times; None for options, names or places that click has to serve."""
    options = parsed(arguments, flags=("--json",))
    if options is None or options[""] or (posix.isatty(1) and "--json" not in options):
        return None
    channel = agent(options.get("--socket"))
    items = []
    token = ""
    while True:
        page, token = call(channel, LIST_ITEMS, list_request(_PAGE, token), list_answer, READ_SECONDS)
        items += page
        if not token:
            break
    channel.close()
    # Names that have to be cleaned for a reader, or times out of a calendar, are for the complete code.
    if not items or not all(
        name.isprintable() and kind.isprintable() and 0 < changed < _YEAR_10000_MS for name, kind, _, changed in items
    ):
        return None
    write(_document(items) if "--json" in options else _lines(items))
    return 0


def _lines(items: list[tuple[str, str, int, int]]) -> bytes:
    lines = []
    shown: dict[int, str] = {}  # what was imported together has one time
    for name, kind, _, changed in items:
        second = changed // 1000
        if second not in shown:
            shown[second] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        lines.append(f"{name}\t{kind}\t{shown[second]}\n")
    return "".join(lines).encode()


def _document(items: list[tuple[str, str, int, int]]) -> bytes:
    entries = []
    for name, kind, version, changed in items:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(changed // 1000))
        entries.append(
            f'{{"name": {_quoted(name)}, "kind": "secret", "type": {_quoted(kind)}, '
            f'"version": {version}, "updatedAt": "{when}.{changed % 1000:03}Z"}}'
        )
    return f'{{"secrets": [{", ".join(entries)}]}}\n'.encode()


def _quoted(text: str) -> str:
    """A printable string for JSON (RFC 8259, section 7): only the quote and the backslash need escaping."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
