"""Imports Photosphere's plaintext vault, by default in ~/.config/photosphere/vault.

Two layouts are known: `vault.json`, one object of secrets by name, and, older, a file of its own for each secret. A secret is
{"name", "type", "value"}; s3-credentials hold JSON in the value, an encryption key is PEM or JSON, anything else is bare text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from keybaton_cli.importers.model import Found, ImportedItem, ImportProblem, ImportRefused, checked, printable

VAULT_FILE: Final = "vault.json"
FILE_MAX_BYTES: Final = 64 * 1024 * 1024
FILES_MAX: Final = 100_000

_PRIVATE: Final = ("privateKeyPem", "privateKey")
_PUBLIC: Final = ("publicKeyPem", "publicKey")


class _Unfit(ValueError):
    """A value does not fit its type; the text is the problem's."""


def is_secret(parsed: object) -> bool:
    """Whether a JSON value has the shape of one secret."""
    return isinstance(parsed, dict) and all(isinstance(parsed.get(key), str) for key in ("name", "type", "value"))


def is_vault(parsed: object) -> bool:
    """Whether a JSON value has the shape of `vault.json`."""
    return isinstance(parsed, dict) and bool(parsed) and all(is_secret(value) for value in parsed.values())


def is_vault_folder(folder: Path) -> bool:
    """Whether a folder is one of the two layouts."""
    if (folder / VAULT_FILE).is_file():
        return True
    first = next((path for path in sorted(folder.glob("*.json"))), None)
    return first is not None and is_secret(_parsed(first))


def read_folder(folder: Path) -> Iterator[Found]:
    """Every secret of a vault folder."""
    single = folder / VAULT_FILE
    if single.is_file():
        yield from read_parsed(_parsed(single))
        return
    for path in sorted(folder.glob("*.json"))[:FILES_MAX]:
        parsed = _parsed(path)
        yield _secret(parsed) if is_secret(parsed) else ImportProblem(printable(path.name), "is not a secret")


def read_parsed(parsed: Any) -> Iterator[Found]:
    """Every secret of `vault.json`'s content, or the one secret of a file of its own."""
    if is_secret(parsed):
        yield _secret(parsed)
        return
    if not isinstance(parsed, dict):
        raise ImportRefused(f"{VAULT_FILE} is not a Photosphere vault.")
    for name, secret in parsed.items():
        yield _secret(secret) if is_secret(secret) else ImportProblem(printable(name), "is not a secret")


def _parsed(path: Path) -> Any:
    if not path.is_file():  # a FIFO would wait for a writer
        return None
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
        return json.loads(data.decode()) if len(data) <= FILE_MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None


def _secret(parsed: Any) -> Found:
    name, kind, value = parsed["name"], parsed["type"], parsed["value"]
    try:
        if kind == "s3-credentials":
            return checked(ImportedItem(name, kind, _s3(value)))
        if kind in ("encryption-key", "key-pair"):
            return checked(ImportedItem(name, "encryption-key", _key_pair(value)))
        if kind == "api-key":
            return checked(ImportedItem(name, kind, {"apiKey": _api_key(value)}))
        return checked(ImportedItem(name, "plain", {"value": _bytes(value)}))
    except _Unfit as unfit:
        return ImportProblem(printable(name), str(unfit))


def _s3(value: str) -> dict[str, bytes]:
    parts = _object(value)
    if parts is None or not {"accessKeyId", "secretAccessKey"} <= parts.keys():
        raise _Unfit("its value is not JSON of S3 credentials")
    region = parts.get("region", b"")  # older vaults leave it out
    fields = {"region": region, "accessKeyId": parts["accessKeyId"], "secretAccessKey": parts["secretAccessKey"]}
    return fields | ({"endpoint": parts["endpoint"]} if parts.get("endpoint") else {})


def _key_pair(value: str) -> dict[str, bytes]:
    parts = _object(value)
    if parts is None:
        return {"privateKeyPem": _bytes(value)}
    private = next((parts[key] for key in _PRIVATE if parts.get(key)), None)
    public = next((parts[key] for key in _PUBLIC if parts.get(key)), None)
    if private is None:
        raise _Unfit("its value holds no private key")
    return {"privateKeyPem": private} | ({"publicKeyPem": public} if public else {})


def _api_key(value: str) -> bytes:
    parts = _object(value)
    return parts["apiKey"] if parts is not None and "apiKey" in parts else _bytes(value)


def _object(value: str) -> dict[str, bytes] | None:
    """The text parts of a JSON object, or None when `value` is none."""
    if not value.lstrip().startswith("{"):
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    return {key: _bytes(part) for key, part in parsed.items() if isinstance(part, str)}


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _Unfit("holds half a surrogate pair") from None
