"""The hot commands' requests and answers as bytes, field by field as proto/keybaton_api/agent/v1/*.proto numbers them."""

from keybaton_client.wire import blob, bytes_field, fields, message_field, number, number_field, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

GET_ITEM = "/keybaton_api.agent.v1.VaultService/GetItem"
LIST_ITEMS = "/keybaton_api.agent.v1.VaultService/ListItems"
BATCH_PUT = "/keybaton_api.agent.v1.VaultService/BatchPut"
PUT_ITEM = "/keybaton_api.agent.v1.VaultService/PutItem"
GET_ENVIRONMENT = "/keybaton_api.agent.v1.EnvService/GetEnvironment"

SECRET = 1  # ITEM_KIND_SECRET
CREATE = 1  # PUT_MODE_CREATE

_CONTINUED = sum(0x80 << 7 * place for place in range(5))  # what says of five octets that more follow
_ID_START, _ID_SIZE = b"\x12\x20", 34  # an item's id with the key and the length before its 32 digits


def _reference(kind: int, name: str) -> bytes:
    return number_field(1, kind) + bytes_field(2, name.encode())


def get_request(name: str, field: str) -> bytes:
    """GetItemRequest for the bare value of one field of a secret; an empty `field` means its only one."""
    return message_field(1, _reference(SECRET, name)) + bytes_field(2, field.encode()) + b"\x18\x01"


def get_answer(data: bytes) -> bytes:
    """The bare value of a GetItemResponse."""
    value = b""
    for key, content in fields(data):
        if key == 2:
            value = blob(content)
    return value


def list_request(page_size: int, page_token: str) -> bytes:
    """ListItemsRequest for secrets."""
    return number_field(1, SECRET) + number_field(5, page_size) + bytes_field(6, page_token.encode())


def list_answer(data: bytes) -> tuple[list[tuple[str, str, int, int]], str]:
    """(name, type, version, time of change in ms) of each item of a ListItemsResponse, and the token of the next page."""
    items = []
    at, end = 0, len(data)
    heads: dict[bytes, tuple[int, int]] = {}  # lengths, by the octets that say them
    tails: dict[bytes, tuple[str, int, int]] = {}  # what was imported together is alike here
    kinds: dict[bytes, str] = {}
    while at < end:
        head = data[at : at + 8]
        lengths = heads.get(head)
        if lengths is None:
            lengths = _lengths(head)
            if lengths is None:
                break
            heads[head] = lengths
        id_at, after = at + lengths[0], at + lengths[1]
        if after > end or data[id_at : id_at + 2] != _ID_START:
            break
        tail = data[id_at + _ID_SIZE : after]
        rest = tails.get(tail)
        if rest is None:
            rest = _after_id(tail, kinds)
            if rest is None:
                break
            tails[tail] = rest
        kind, version, changed = rest
        try:
            items.append((data[at + 8 : id_at].decode(), kind, version, changed))
        except UnicodeDecodeError:
            break
        at = after
    token = ""
    for key, content in fields(data[at:]):  # the token; and items of any other look, with all behind them
        if key == 1:
            items.append(_merged(fields(blob(content))))
        elif key == 2:
            token = text(content)
    return items, token


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
    _, kind, version, changed = _merged(found)
    if tail[9:] == bytes_field(5, kind.encode()):
        kinds[tail[9:]] = kind
    return kind, version, changed


def put_request(name: str, kind: str, values: "Mapping[str, bytes]", mode: int) -> bytes:
    """PutItemRequest for a secret of type `kind` with these fields."""
    return message_field(1, _secret(name, kind, values)) + number_field(2, mode)


def batch_put_request(secrets: "list[tuple[str, str, Mapping[str, bytes]]]", mode: int) -> bytes:
    """BatchPutRequest for secrets, each as (name, type, fields)."""
    items = [message_field(1, _secret(name, kind, values)) for name, kind, values in secrets]
    return b"".join(items) + number_field(2, mode)


def batch_put_answer(data: bytes) -> int:
    """How many were created, of a BatchPutResponse."""
    created = 0
    for key, content in fields(data):
        if key == 1:
            created = number(content)
    return created


def _secret(name: str, kind: str, values: "Mapping[str, bytes]") -> bytes:
    """An Item with a Secret in it."""
    body = bytes_field(1, kind.encode())
    for key, value in values.items():
        body += message_field(2, bytes_field(1, key.encode()) + bytes_field(2, value))
    return message_field(1, _reference(SECRET, name)) + message_field(5, body)


def put_answer(data: bytes) -> tuple[str, str, int, int]:
    """The summary in a PutItemResponse, as in `list_answer`."""
    summary = b""
    for key, content in fields(data):
        if key == 1:
            summary += blob(content)  # several parts of one message are merged by joining them
    return _merged(fields(summary))


def environment_request(project: str, environment: str) -> bytes:
    """GetEnvironmentRequest."""
    return bytes_field(1, project.encode()) + bytes_field(2, environment.encode())


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


def _merged(summary: "list[tuple[int, int | bytes]]") -> tuple[str, str, int, int]:
    """What an ItemSummary of these fields says."""
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
    return name, kind, version, changed - (changed >> 63 << 64)
