"""What storage and header need of the vault's forms, without any key: a row as it is stored, and lengths taken apart."""

from __future__ import annotations

from typing import Final, NamedTuple

ROW_MAX_BYTES: Final = 512 * 1024  # a secret's values reach 256 KiB, names and lengths far less
PARTS_MAX: Final = 65  # a project's name and its environments; no type has that many fields


class VaultRowInvalid(ValueError):
    """The bytes inside a seal are not of this version's form."""


class Row(NamedTuple):
    """One version of one item, as stored. `summary` and `body` are sealed; `body` may be left out where only names are read."""

    seq: int  # order of lists; grows, never used twice. In the history only a position to page by: (id, version) is the place
    id: bytes  # 16 bytes
    version: int
    tag: bytes  # keyed hash of the name
    group: bytes  # keyed hash of kind and project vault
    live: bool  # False: this version is the removal
    summary: bytes
    body: bytes


def split_lv(data: bytes, start: int = 0, most: int = PARTS_MAX) -> list[bytes]:
    """The parts of `lv(…)` from `start` to the end, at most `most`. Raises VaultRowInvalid."""
    if len(data) > ROW_MAX_BYTES:
        raise VaultRowInvalid("a row is too long")
    parts: list[bytes] = []
    at, end = start, len(data)
    while at < end:
        if len(parts) == most:
            raise VaultRowInvalid("a row has too many parts")
        length = data[at]
        at += 1
        if length > 0x7F:
            length, at = _long_length(data, at - 1)
        after = at + length
        if after > end:
            raise VaultRowInvalid("a part is cut")
        parts.append(data[at:after])
        at = after
    return parts


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """A length of several octets at `at`, and where it ends."""
    length = 0
    for shift in (0, 7, 14, 21):  # four groups of seven bits hold any length up to ROW_MAX_BYTES
        if at == len(data):
            break
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte == 0:
            raise VaultRowInvalid("a length is not in its shortest form")
        if byte < 0x80:
            return length, at
    raise VaultRowInvalid("a length is cut or too long")
