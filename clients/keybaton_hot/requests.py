"""The hot commands' requests as bytes, field by field as proto/keybaton_api/agent/v1/*.proto numbers them.

With the writing half of Protocol Buffers' wire format; `answers` has the other. A module more costs more than what is in it.
"""

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

_LENGTH_PREFIXED = 2  # the wire type


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
    key, size = number << 3 | _LENGTH_PREFIXED, len(value)
    if key | size <= 0x7F:  # nearly all
        return b"%c%c%b" % (key, size, value)
    return varint(key) + varint(size) + value


def _reference(kind: int, name: str) -> bytes:
    return number_field(1, kind) + bytes_field(2, name.encode())


def get_request(name: str, field: str) -> bytes:
    """GetItemRequest for the bare value of one field of a secret; an empty `field` means its only one."""
    return message_field(1, _reference(SECRET, name)) + bytes_field(2, field.encode()) + b"\x18\x01"


def list_request(page_size: int, page_token: str, prefix: str = "") -> bytes:
    """ListItemsRequest for the columns of secrets whose names begin with `prefix`."""
    rest = number_field(5, page_size) + bytes_field(6, page_token.encode()) + b"\x38\x01"
    return number_field(1, SECRET) + bytes_field(4, prefix.encode()) + rest


def put_request(name: str, kind: str, values: "Mapping[str, bytes]", mode: int) -> bytes:
    """PutItemRequest for a secret of type `kind` with these fields."""
    return message_field(1, _secret(name, kind, values)) + number_field(2, mode)


def batch_put_request(secrets: "list[tuple[str, str, Mapping[str, bytes]]]", mode: int) -> bytes:
    """BatchPutRequest for secrets, each as (name, type, fields)."""
    items = [message_field(1, _secret(name, kind, values)) for name, kind, values in secrets]
    return b"".join(items) + number_field(2, mode)


def _secret(name: str, kind: str, values: "Mapping[str, bytes]") -> bytes:
    """An Item with a Secret in it."""
    body = bytes_field(1, kind.encode())
    for key, value in values.items():
        body += message_field(2, bytes_field(1, key.encode()) + bytes_field(2, value))
    return message_field(1, _reference(SECRET, name)) + message_field(5, body)


def environment_request(project: str, environment: str) -> bytes:
    """GetEnvironmentRequest."""
    return bytes_field(1, project.encode()) + bytes_field(2, environment.encode())
