"""Byte and JSON encodings with one spelling per value: length prefixes, base64url, and objects read field by field."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NoReturn

_Values = list[object]

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_ONE_OCTET = [bytes([length]) for length in range(0x80)]  # nearly all lengths there are


class Malformed(ValueError):
    """Bytes from outside do not fit. `field` names the part, `problem` says why; neither quotes a value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def lv(*parts: bytes) -> bytes:
    """Every part with its length as LEB128 in front: `lv_cat` of draft-irtf-cfrg-cpace. Injective."""
    return b"".join([(_ONE_OCTET[len(part)] if len(part) < 0x80 else _leb128(len(part))) + part for part in parts])


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def to_base64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str, field: str) -> bytes:
    """Strict inverse of `to_base64url`: no padding, no other characters, no stray bits. Raises Malformed."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Malformed(field, "is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Malformed(field, "is not base64url") from None
    if to_base64url(data) != text:
        raise Malformed(field, "has stray bits at its end")
    return data


def _refuse_number(_: str) -> NoReturn:
    raise Malformed("document", "holds a number that is not an integer")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Malformed("document", "names a field twice")
    return out


def decode_object(data: bytes, limit: int) -> dict[str, object]:
    """One JSON object of at most `limit` bytes of UTF-8, without duplicate keys, fractions or NaN. Raises Malformed."""
    import json  # not at the top: those who only need `lv`, as every start does, save a millisecond

    if len(data) > limit:
        raise Malformed("document", f"is longer than {limit} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except Malformed:
        raise
    except (ValueError, RecursionError):  # bad UTF-8, bad JSON, a number of thousands of digits, nesting without end
        raise Malformed("document", "is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("document", "is not an object")
    return value


def encode_object(value: Mapping[str, object]) -> bytes:
    """Compact JSON in UTF-8."""
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


class Fields:
    """Reads an object's fields by type; each error names the field with its path."""

    def __init__(self, value: Mapping[str, object], path: str = "") -> None:
        self._value = value
        self._path = path

    def only(self, *names: str) -> Fields:
        """Itself when there is no field but these. Raises Malformed."""
        for name in self._value:
            if name not in names:
                raise Malformed(self._path + printable(name), "is unknown")
        return self

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def names(self) -> list[str]:
        """The names that are there, in order."""
        return list(self._value)

    def path(self, name: str) -> str:
        """How errors name this field."""
        return self._path + name

    def _get(self, name: str) -> object:
        if name not in self._value:
            raise Malformed(self.path(name), "is missing")
        return self._value[name]

    def text(self, name: str, limit: int) -> str:
        """Text of at most `limit` bytes of UTF-8."""
        value = self._get(name)
        if not isinstance(value, str):
            raise Malformed(self.path(name), "is not text")
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError:  # half a surrogate pair, written as \ud800
            raise Malformed(self.path(name), "is not Unicode text") from None
        if size > limit:
            raise Malformed(self.path(name), f"is longer than {limit} bytes")
        return value

    def binary(self, name: str, least: int, most: int) -> bytes:
        """`least` to `most` bytes, written as base64url."""
        value = from_base64url(self.text(name, (most + 2) // 3 * 4), self.path(name))
        if not least <= len(value) <= most:
            raise Malformed(self.path(name), f"is not {least} to {most} bytes long")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        """An integer in the range, both ends included."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Malformed(self.path(name), f"is not an integer from {least} to {most}")
        return value

    def object(self, name: str) -> Fields:
        """A nested object."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise Malformed(self.path(name), "is not an object")
        return Fields(value, self.path(name) + ".")

    def objects(self, name: str, most: int) -> list[Fields]:
        """A list of at most `most` objects."""
        value = self._list(name, most)
        out = []
        for index, entry in enumerate(value):
            where = f"{self.path(name)}[{index}]"
            if not isinstance(entry, dict):
                raise Malformed(where, "is not an object")
            out.append(Fields(entry, where + "."))
        return out

    def texts(self, name: str, most: int, limit: int) -> list[str]:
        """A list of at most `most` texts of at most `limit` bytes."""
        value = self._list(name, most)
        return [Fields({"": entry}, f"{self.path(name)}[{index}]").text("", limit) for index, entry in enumerate(value)]

    def _list(self, name: str, most: int) -> _Values:
        value = self._get(name)
        if not isinstance(value, list) or len(value) > most:
            raise Malformed(self.path(name), f"is not a list of at most {most}")
        return value


def printable(name: str) -> str:
    """A field name from outside, shortened and reduced to ASCII letters, digits, `-` and `_`, for an error."""
    return "".join(c for c in name[:40] if c.isascii() and (c.isalnum() or c in "-_")) or "field"
