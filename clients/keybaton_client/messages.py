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
    token = ""
    for key, content in fields(data):
        if key == 1:
            items.append(_summary(blob(content)))
        elif key == 2:
            token = text(content)
    return items, token


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
    return _summary(summary)


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


def _summary(data: bytes) -> tuple[str, str, int, int]:
    name = kind = ""
    version = changed = 0
    for key, content in fields(data):
        if key == 1:
            name = _reference_name(blob(content), name)
        elif key == 3:
            version = number(content)
        elif key == 4:
            changed = number(content)
        elif key == 5:
            kind = text(content)
    return name, kind, version, changed - (changed >> 63 << 64)


def _reference_name(reference: bytes, name: str) -> str:
    """The name in an ItemRef, or `name` where it holds none."""
    if reference.startswith(b"\x08\x01\x12") and len(reference) == 4 + reference[3] < 0x84:
        return text(reference[4:])  # a secret with a short name and nothing more: nearly all there are
    for part, value in fields(reference):
        if part == 2:
            name = text(value)
    return name
