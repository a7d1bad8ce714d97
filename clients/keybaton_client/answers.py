"""The answers to the hot commands' `requests`, field by field as proto/keybaton_api/agent/v1/*.proto numbers them.

With the reading half of Protocol Buffers' wire format, as its writing half is in `requests`.
"""

from keybaton_client.requests import bytes_field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_CONTINUED = sum(0x80 << 7 * place for place in range(5))  # what says of five octets that more follow
_ID_START, _ID_SIZE = b"\x12\x20", 34  # an item's id with the key and the length before its 32 digits


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


def list_answer(data: bytes) -> tuple[list[str], list[tuple[str, int, int]], str]:
    """The items of a ListItemsResponse: their names; of each (type, version, time of change in ms); the next page's token."""
    names: list[str] = []
    rests: list[tuple[str, int, int]] = []
    at, end = 0, len(data)
    heads: dict[bytes, tuple[int, int]] = {}  # lengths, by the octets that say them
    tails: dict[bytes, tuple[str, int, int]] = {}  # what was imported together is alike here
    kinds: dict[bytes, str] = {}
    while at < end:
        head = data[at : at + 8]
        try:
            to_id, size = heads[head]
        except KeyError:
            lengths = _lengths(head)
            if lengths is None:
                break
            to_id, size = heads[head] = lengths
        id_at, after = at + to_id, at + size
        if after > end or data[id_at : id_at + 2] != _ID_START:
            break
        tail = data[id_at + _ID_SIZE : after]
        try:
            rest = tails[tail]
        except KeyError:
            found = _after_id(tail, kinds)
            if found is None:
                break
            rest = tails[tail] = found
        try:
            names.append(data[at + 8 : id_at].decode())
        except UnicodeDecodeError:
            break
        rests.append(rest)
        at = after
    token = ""
    for key, content in fields(data[at:]):  # the token; and items of any other look, with all behind them
        if key == 1:
            name, rest = _merged(fields(blob(content)))
            names.append(name)
            rests.append(rest)
        elif key == 2:
            token = text(content)
    return names, rests, token


def _lengths(head: bytes) -> tuple[int, int] | None:
    """Where the id lies in a ListItemsResponse's next item that begins like this, and where that item ends.

    None unless it is a secret with a short name and room for an id, as nearly all are.
    """
    if len(head) < 8 or head[:1] != b"\n" or head[2:3] != b"\n" or head[4:7] != b"\x08\x01\x12":
        return None
    item, reference, name = head[1], head[3], head[7]
    if item > 0x7F or reference != 4 + name or 6 + name + _ID_SIZE > item:
        return None
    return 8 + name, 2 + item


def _after_id(tail: bytes, kinds: dict[bytes, str]) -> tuple[str, int, int] | None:
    """Type, version and time of change, which follow an item's id. None where a name follows too.

    `kinds` holds the types that have been read, by the octets that say them.
    """
    if len(tail) > 9:
        version_key, version, time_key, a, b, c, d, e, f = tail[:9]
        kind = kinds.get(tail[9:])
        # A version below 128, and a time of six octets: from 1971 to 2109.
        if kind is not None and version_key == 0x18 and time_key == 0x20 and version | f < 0x80 <= a & b & c & d & e:
            return kind, version, a + (b << 7) + (c << 14) + (d << 21) + (e << 28) + (f << 35) - _CONTINUED
    found = fields(tail)
    if any(key == 1 for key, _ in found):
        return None
    rest = _merged(found)[1]
    if tail[9:] == bytes_field(5, rest[0].encode()):
        kinds[tail[9:]] = rest[0]
    return rest


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
    return _merged(fields(summary))


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


def _merged(summary: "list[tuple[int, int | bytes]]") -> tuple[str, tuple[str, int, int]]:
    """What an ItemSummary of these fields says: its name, and (type, version, time of change in ms)."""
    name = kind = ""
    version = changed = 0
    for key, content in summary:
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
