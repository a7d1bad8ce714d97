"""`keybaton secrets import FILE` where one batch takes all of it; everything else about an import is left to click."""

import posix

from keybaton_client.problem import ClientError
from keybaton_hot import WRITE_SECONDS, agent, call, parsed, write
from keybaton_hot.answers import batch_put_answer
from keybaton_hot.unary import BATCH_PUT, CREATE, batch_put_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keybaton_cli.importers import ImportedItem

_BATCH_ITEMS = 1000  # of the API
_BATCH_BYTES = 3 * 1024 * 1024
_LARGEST_FILE = 4 * 1024 * 1024  # bytes; above, there is more than one batch in it
_REGULAR, _TYPE_MASK = 0o100000, 0o170000


def import_file(arguments: list[str]) -> int | None:
    """Stores what is in a file; None for folders, pipes, and whatever has to be explained."""
    options = parsed(arguments, ("--format",))
    if options is None or len(options[""]) != 1:
        return None
    path = options[""][0]
    found = _items(path, options.get("--format", [""])[0])
    if found is None:
        return None
    source, items = found
    request = batch_put_request([(item.name, item.type, item.fields) for item in items], CREATE)
    if len(request) > _BATCH_BYTES:
        return None
    try:
        stored = call(agent(options.get("--socket")), BATCH_PUT, request, batch_put_answer, WRITE_SECONDS)
    except ClientError as error:
        if error.reason == "NAME_TAKEN":  # nothing was stored; click asks again and says which, and what can be done
            return None
        raise
    write(f"{source}: {stored:,} stored.\n".encode())
    return 0


def _items(path: str, named: str) -> "tuple[str, list[ImportedItem]] | None":
    """Format and items of a file in which everything is as it should be."""
    try:
        found = posix.stat(path)
    except OSError:
        return None
    if found.st_mode & _TYPE_MASK != _REGULAR or found.st_size > _LARGEST_FILE:
        return None
    import sys

    from keybaton_cli.importers import FORMATS, ImportedItem, open_source
    from keybaton_cli.secret_types import doubt

    if named and named not in FORMATS:
        return None
    source = open_source(path, sys.stdin.buffer, named or None)
    items: list[ImportedItem] = []
    names: set[str] = set()
    for item in source.items:
        if not isinstance(item, ImportedItem) or item.is_database or item.name in names or len(items) == _BATCH_ITEMS:
            return None
        if doubt(item.fields):
            return None
        names.add(item.name)
        items.append(item)
    return (source.format, items) if items else None
