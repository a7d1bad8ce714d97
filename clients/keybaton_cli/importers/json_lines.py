"""Keybaton's own import format: one JSON object a line.

    {"name": "geo", "type": "api-key", "fields": {"apiKey": "…"}}
    {"name": "geo", "type": "api-key", "value": "…"}
    {"name": "seal", "type": "file", "fields": {"name": "seal.bin", "content": {"base64": "…"}}}
    {"name": "Photos", "description": "…", "path": "…", "origin": "…", "links": {"s3": "bucket", "encryptionKey": null}}

`value` is for types of one field. The last form is what `keybaton dbs view --json` prints. Blank lines are skipped.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from keybaton_cli.importers.model import DATABASE, DATABASE_FIELDS, Found, ImportedItem, ImportProblem, checked
from keybaton_cli.secret_types import SECRET_TYPES

LINE_MAX_BYTES: Final = 2 * 1024 * 1024  # the largest value, every byte of it as a \\u escape, and the names

SHAPE: Final = '{"name": …, "type": …, "fields": {…}}'
_ONLY_FIELD: Final = {kind: specs[0].name for kind, specs in SECRET_TYPES.items() if len(specs) == 1}


class _Unfit(ValueError):
    """A line is not an item; the text is the problem's."""


def read(lines: Iterable[bytes]) -> Iterator[Found]:
    """Items and problems in the order of the lines."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            yield checked(_item(text))
        except _Unfit as unfit:
            yield ImportProblem(f"line {number}", str(unfit))


def _item(line: bytes) -> ImportedItem:
    if len(line) > LINE_MAX_BYTES:
        raise _Unfit(f"is longer than {LINE_MAX_BYTES} bytes")
    try:
        parsed = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise _Unfit(f"is not JSON; a line looks like {SHAPE}") from None
    if not isinstance(parsed, dict):
        raise _Unfit(f"is not a JSON object; a line looks like {SHAPE}")
    name = parsed.get("name")
    if not isinstance(name, str):
        raise _Unfit("has no name")
    if parsed.get("type", DATABASE) == DATABASE:
        return _database(name, parsed)
    kind, fields = parsed.get("type"), parsed.get("fields")
    if isinstance(kind, str) and parsed.keys() == {"name", "type", "value"}:
        if kind in SECRET_TYPES and kind not in _ONLY_FIELD:
            names = ", ".join(spec.name for spec in SECRET_TYPES[kind])
            raise _Unfit(f"has a value, but {kind} has several fields ({names}): they go into fields")
        fields = {_ONLY_FIELD.get(kind, "value"): parsed["value"]}
    elif not isinstance(kind, str) or not isinstance(fields, dict) or parsed.keys() - {"name", "type", "fields"}:
        raise _Unfit("has not exactly name, type and fields (or value, for a type of one field)")
    return ImportedItem(name, kind, {key: _value(key, value) for key, value in fields.items() if value is not None})


def _database(name: str, parsed: dict[str, Any]) -> ImportedItem:
    links = parsed.get("links", {})
    if not isinstance(links, dict) or parsed.keys() - {"name", "type", "links", *DATABASE_FIELDS}:
        raise _Unfit('has no "type", which all but databases need')
    if not all(isinstance(link, str) or link is None for link in links.values()):
        raise _Unfit("has a link that is no name")
    fields = {key: _value(key, parsed[key]) for key in DATABASE_FIELDS if parsed.get(key) is not None}
    return ImportedItem(name, DATABASE, fields, {slot: link for slot, link in links.items() if link})


def _value(key: str, value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise _Unfit("holds half a surrogate pair") from None
    if isinstance(value, dict) and value.keys() == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise _Unfit("has a field that is not base64") from None
    raise _Unfit("has a field that is no text")
