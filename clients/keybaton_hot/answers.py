"""The answers to the requests of `unary`, field by field as proto/keybaton_api/agent/v1/*.proto numbers them.

With the reading half of Protocol Buffers' wire format, as its writing half is there.
"""

import sys

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(Exception):
    """The bytes are not a message of that type."""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise WireError("cut integer")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise WireError("integer too long")


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Every field in order as (number, integer or bytes). Raises WireError; groups, which proto3 lacks, are refused."""
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(data)
    while at < end:
        # Keys, lengths and numbers below 128 are one octet, which is nearly all of them: no call for those.
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _read_varint(data, at - 1)
        number, kind = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise WireError("field number out of range")
        if not kind & ~_BYTES:  # _BYTES or _VARINT: an integer follows
            if at == end:
                raise WireError("cut field")
            size = data[at]
            at += 1
            if size > 0x7F:
                size, at = _read_varint(data, at - 1)
            if kind == _VARINT:
                found.append((number, size))
                continue
        elif kind == _FIXED64:
            size = 8
        elif kind == _FIXED32:
            size = 4
        else:
            raise WireError("unknown wire type")
        if size > end - at:
            raise WireError("cut field")
        found.append((number, data[at : at + size]))
        at += size
    return found


def text(value: int | bytes) -> str:
    """A string field's value. Raises WireError when it is not UTF-8."""
    try:
        return blob(value).decode()
    except UnicodeDecodeError:
        raise WireError("text that is not UTF-8") from None


def blob(value: int | bytes) -> bytes:
    """A bytes field's value."""
    if isinstance(value, int):
        raise WireError("a number where bytes belong")
    return value


def number(value: int | bytes) -> int:
    """An integer field's value."""
    if not isinstance(value, int):
        raise WireError("bytes where a number belongs")
    return value


def get_answer(data: bytes) -> bytes:
    """The bare value of a GetItemResponse."""
    value = b""
    for key, content in fields(data):
        if key == 2:
            value = blob(content)
    return value


def list_answer(data: bytes) -> tuple[str, list[str], list[int], list[int], str]:
    """The columns of a ListItemsResponse: names, each ended by a line feed; types; versions; times of change in ms; and the
    next page's token.

    Raises WireError also where there are none, or of unlike lengths.
    """
    parts: list[bytes] = []
    token = ""
    for key, content in fields(data):
        if key == 3:
            parts.append(blob(content))
        elif key == 2:
            token = text(content)
    if not parts:
        raise WireError("no columns")
    names = ""
    types: list[str] = []
    packed = {3: b"", 4: b"", 5: b""}
    for key, content in fields(b"".join(parts)):
        if key == 1:
            names = text(content)
        elif key == 2:
            types.append(text(content))
        elif key in packed:
            packed[key] += blob(content)
    try:
        kinds = [types[place] for place in _varints(packed[3])]
        versions, times = _varints(packed[4]), _times(packed[5])
    except (IndexError, ValueError):
        raise WireError("columns that do not fit together") from None
    if not names.count("\n") == len(kinds) == len(versions) == len(times) or names[-1:] not in ("", "\n"):
        raise WireError("columns that do not fit together")
    return names, kinds, versions, times, token


def _varints(data: bytes) -> list[int]:
    """Packed integers."""
    if data.isascii():  # each is its own octet
        return list(data)
    found = []
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        found.append(value)
    return found


def _times(data: bytes) -> list[int]:
    """Packed sfixed64. Raises ValueError for a part of one."""
    if len(data) % 8:
        raise ValueError
    if sys.byteorder == "little":
        return memoryview(data).cast("q").tolist()
    return [int.from_bytes(data[at : at + 8], "little", signed=True) for at in range(0, len(data), 8)]


def batch_put_answer(data: bytes) -> int:
    """How many were created, of a BatchPutResponse."""
    created = 0
    for key, content in fields(data):
        if key == 1:
            created = number(content)
    return created


def put_answer(data: bytes) -> tuple[str, tuple[str, int, int]]:
    """The summary in a PutItemResponse: its name, and (type, version, time of change in ms)."""
    summary = b""
    for key, content in fields(data):
        if key == 1:
            summary += blob(content)  # several parts of one message are merged by joining them
    name = kind = ""
    version = changed = 0
    for key, content in fields(summary):
        if key == 1:
            for part, value in fields(blob(content)):
                if part == 2:
                    name = text(value)
        elif key == 3:
            version = number(content)
        elif key == 4:
            changed = number(content)
        elif key == 5:
            kind = text(content)
    return name, (kind, version, changed - (changed >> 63 << 64))


def environment_answer(data: bytes) -> dict[bytes, bytes]:
    """Name and value of each variable of a GetEnvironmentResponse."""
    variables = {}
    for key, content in fields(data):
        if key == 1:
            name = value = b""
            for part, inner in fields(blob(content)):
                if part == 1:
                    name = blob(inner)
                elif part == 2:
                    value = blob(inner)
            variables[name] = value
    return variables
