"""Imports Bitwarden's unencrypted JSON export: logins, notes, cards and identities (as notes), SSH keys.

What has no field of its own (notes, further addresses, custom fields) becomes a note beside the item, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from keybaton_cli.importers.model import (
    Found,
    ImportedItem,
    ImportProblem,
    ImportRefused,
    checked,
    free_name,
    printable,
)

# Bitwarden's CipherType.
LOGIN, NOTE, CARD, IDENTITY, SSH_KEY = 1, 2, 3, 4, 5
_LISTED: Final = {CARD: "card", IDENTITY: "identity"}


def is_export(parsed: object) -> bool:
    """Whether a JSON value has the shape of an export, encrypted or not."""
    return isinstance(parsed, dict) and ("encrypted" in parsed or "folders" in parsed or "collections" in parsed)


def read(parsed: Any) -> Iterator[Found]:
    """Every item of an export; ImportRefused for an encrypted one."""
    if isinstance(parsed, dict) and parsed.get("encrypted") is True:
        raise ImportRefused("The Bitwarden export is encrypted.", "Export again with the file format .json.")
    items = parsed.get("items") if isinstance(parsed, dict) else None
    if not isinstance(items, list):
        raise ImportRefused("The file is not a Bitwarden export.")
    taken: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            yield ImportProblem(f"item {number}", "is not an item")
        elif item.get("deletedDate"):
            yield ImportProblem(printable(item["name"]), "is in the trash")
        else:
            yield from _item(item, taken)


def _item(item: dict[str, Any], taken: dict[str, int]) -> Iterator[Found]:
    kind, title = item.get("type"), item["name"].strip()
    rest = _rest(item)
    if kind == LOGIN:
        login = _part(item, "login")
        fields = {"username": _text(login, "username"), "password": _text(login, "password")}
        addresses = [_text(uri, "uri") for uri in _objects(login, "uris")]
        fields |= {
            key: value for key, value in (("url", (addresses or [""])[0]), ("totp", _text(login, "totp"))) if value
        }
        name = free_name(title, taken, fields["username"])
        yield _found(name, "login", fields)
        rest = [*(f"url: {address}" for address in addresses[1:]), *rest]
    elif kind == SSH_KEY:
        key = _part(item, "sshKey")
        name = free_name(title, taken)
        public = _text(key, "publicKey")
        yield _found(
            name, "ssh-key", {"privateKey": _text(key, "privateKey")} | ({"publicKey": public} if public else {})
        )
    elif kind in (NOTE, *_LISTED):
        part = _part(item, _LISTED[kind]) if kind in _LISTED else {}
        lines = [f"{key}: {value}" for key, value in part.items() if isinstance(value, str) and value]
        yield _found(free_name(title, taken), "note", {"value": "\n".join([*lines, *rest])})
        return
    else:
        yield ImportProblem(printable(title), "is of a kind that is not known")
        return
    if rest:
        yield _found(free_name(f"{name} (notes)", taken), "note", {"value": "\n".join(rest)})


def _rest(item: dict[str, Any]) -> list[str]:
    """Custom fields and notes, as lines."""
    lines = [f"{_text(field, 'name')}: {_text(field, 'value')}" for field in _objects(item, "fields")]
    notes = _text(item, "notes")
    return lines + ([notes] if notes else [])


def _part(item: dict[str, Any], key: str) -> dict[str, Any]:
    part = item.get(key)
    return part if isinstance(part, dict) else {}


def _objects(part: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = part.get(key)
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _text(part: dict[str, Any], key: str) -> str:
    value = part.get(key)
    return value if isinstance(value, str) else ""


def _found(name: str, kind: str, fields: dict[str, str]) -> Found:
    try:
        return checked(ImportedItem(name, kind, {key: value.encode() for key, value in fields.items()}))
    except UnicodeEncodeError:
        return ImportProblem(printable(name), "holds half a surrogate pair")
