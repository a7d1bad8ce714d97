"""Searches bytes for a secret in every spelling that a program might write it in."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable, Mapping

_EDGE = 4  # characters at either end of a base64 text that depend on what stands beside the secret


def spellings(secret: bytes) -> set[bytes]:
    """The secret as it is, as hexadecimal, as base64 (both alphabets, at each of its three alignments) and in JSON."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + secret).rstrip(b"=")
        inner = text[_EDGE if offset else 0 : -_EDGE]
        if len(inner) >= 8:
            found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    with contextlib.suppress(UnicodeDecodeError):
        found.add(json.dumps(secret.decode())[1:-1].encode())
    return {one for one in found if one}


def found_in(places: Iterable[tuple[str, bytes]], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secrets (by their label) stand in which places: "label in place", nothing of the secret itself."""
    wanted = {label: spellings(secret) for label, secret in secrets.items()}
    return [
        f"{label} in {place}"
        for place, content in places
        for label, forms in wanted.items()
        if any(form in content for form in forms)
    ]
