"""Protocol Buffers' wire format for the few messages of the hot commands; everything else uses the generated code."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(Exception):
    """The bytes are not a message of that type."""


def varint(value: int) -> bytes:
    """A base-128 integer, 0 <= value < 2**64."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """An unsigned or enum field; nothing for 0, which is the default."""
    return varint(number << 3) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A string or bytes field; nothing for an empty one, which is the default."""
    return message_field(number, value) if value else b""


def message_field(number: int, value: bytes) -> bytes:
    """A message field, present even when it is empty."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


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
