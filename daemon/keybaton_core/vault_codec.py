"""Bytes of an item inside its seals: the summary (name, type, time) and the body (values). Leaves sealing to vault_rows.py.

Version 1. Summary: version u8 | kind u8 | removed u8 | updated_at_ms u64 | lv(secret type, name, vault, environment).
Body: version u8 | kind u8 | lv(…): a secret's type and then field, value by rising field name; a database's description, path,
origin and then slot, name by rising slot; a variable's value; a project's title and then its environments.
Integers are big-endian, lv as in encoding.py.
The decoders are total: they return an item or raise VaultRowInvalid, and accept one spelling for each value.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from keybaton_core.encoding import lv
from keybaton_core.items import Body, DatabaseBody, EnvBody, ItemKind, ItemRef, ProjectBody, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_parts import VaultRowInvalid, split_lv

VERSION: Final = 1

_SUMMARY = struct.Struct(">BBBQ")
_BODY = struct.Struct(">BB")
_KINDS = {kind.value: kind for kind in ItemKind}


class Summary(NamedTuple):
    """What a list shows, and whether this version is a removal."""

    ref: ItemRef
    secret_type: str
    updated_at_ms: int
    removed: bool


def encode_summary(summary: Summary) -> bytes:
    """The bytes of `summary`."""
    ref = summary.ref
    head = _SUMMARY.pack(VERSION, ref.kind, summary.removed, summary.updated_at_ms)
    return head + lv(summary.secret_type.encode(), ref.name.encode(), ref.vault.encode(), ref.environment.encode())


def decode_summary(data: bytes) -> Summary:
    """The summary of `data`. Raises VaultRowInvalid."""
    if len(data) < _SUMMARY.size:
        raise VaultRowInvalid("a summary is too short")
    version, kind_number, removed, updated_at_ms = _SUMMARY.unpack_from(data)
    kind = _kind(version, kind_number)
    if removed > 1:
        raise VaultRowInvalid("a summary has an unknown flag")
    parts = split_lv(data, _SUMMARY.size)
    if len(parts) != 4:
        raise VaultRowInvalid("a summary has not four texts")
    try:
        secret_type, name, vault, environment = [part.decode() for part in parts]
    except UnicodeDecodeError:
        raise VaultRowInvalid("a text is not UTF-8") from None
    return Summary(ItemRef(kind, name, vault, environment), secret_type, updated_at_ms, removed == 1)


def encode_body(body: Body) -> bytes:
    """The bytes of `body`."""
    match body:
        case SecretBody():
            pairs = ((name.encode(), value.reveal()) for name, value in body.fields.items())
            return _BODY.pack(VERSION, ItemKind.SECRET) + lv(body.type.encode(), *_sorted(pairs))
        case DatabaseBody():
            texts = (body.description.encode(), body.path.encode(), body.origin.encode())
            links = ((slot.encode(), name.encode()) for slot, name in body.links.items())
            return _BODY.pack(VERSION, ItemKind.DATABASE) + lv(*texts, *_sorted(links))
        case EnvBody():
            return _BODY.pack(VERSION, ItemKind.ENV_VARIABLE) + lv(body.value.reveal())
        case ProjectBody():
            names = [name.encode() for name in (body.title, *body.environments)]
            return _BODY.pack(VERSION, ItemKind.PROJECT) + lv(*names)


def decode_body(data: bytes) -> Body:
    """The body of `data`. Raises VaultRowInvalid."""
    if len(data) < _BODY.size:
        raise VaultRowInvalid("a body is too short")
    kind, parts = _kind(data[0], data[1]), split_lv(data, _BODY.size)
    if kind is ItemKind.SECRET and parts:
        fields = _pairs(parts[1:])
        return SecretBody(_text(parts[0]), {_text(name): SecretBytes(value) for name, value in fields})
    if kind is ItemKind.DATABASE and len(parts) >= 3:
        links = {_text(slot): _text(name) for slot, name in _pairs(parts[3:])}
        return DatabaseBody(_text(parts[0]), _text(parts[1]), _text(parts[2]), links)
    if kind is ItemKind.ENV_VARIABLE and len(parts) == 1:
        return EnvBody(SecretBytes(parts[0]))
    if kind is ItemKind.PROJECT and parts:
        return ProjectBody(_text(parts[0]), tuple(_text(part) for part in parts[1:]))
    raise VaultRowInvalid("a body lacks parts")


def _kind(version: int, number: int) -> ItemKind:
    if version != VERSION:
        raise VaultRowInvalid("a row has an unknown version")
    kind = _KINDS.get(number)
    if kind is None:
        raise VaultRowInvalid("a row has an unknown kind")
    return kind


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise VaultRowInvalid("a text is not UTF-8") from None


def _sorted(pairs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [part for pair in sorted(pairs) for part in pair]


def _pairs(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    names = parts[::2]
    if len(parts) % 2 or not all(map(operator.lt, names, names[1:])):
        raise VaultRowInvalid("pairs are cut or not in rising order")
    return list(zip(names, parts[1::2], strict=True))
