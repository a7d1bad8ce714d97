"""The credential helpers' requests and answers as bytes, beside those of `unary` and `answers`."""

from keybaton_hot.answers import blob, fields, text
from keybaton_hot.unary import GET_ITEM, PUT_ITEM, SECRET, bytes_field, message_field, number_field

__all__ = [
    "DELETE_ITEM",
    "GET_ITEM",
    "PUT_ITEM",
    "delete_request",
    "secret_answer",
    "secret_request",
]

DELETE_ITEM = "/keybaton_api.agent.v1.VaultService/DeleteItem"


def _reference(name: str) -> bytes:
    return message_field(1, number_field(1, SECRET) + bytes_field(2, name.encode()))


def secret_request(name: str) -> bytes:
    """GetItemRequest for a secret with all of its fields."""
    return _reference(name)


def secret_answer(data: bytes) -> tuple[str, dict[str, bytes]]:
    """Type and fields of the secret in a GetItemResponse."""
    item = b"".join(blob(content) for key, content in fields(data) if key == 1)
    body = b"".join(blob(content) for key, content in fields(item) if key == 5)
    kind = ""
    values = {}
    for key, content in fields(body):
        if key == 1:
            kind = text(content)
        elif key == 2:
            name, value = "", b""
            for part, inner in fields(blob(content)):
                if part == 1:
                    name = text(inner)
                elif part == 2:
                    value = blob(inner)
            values[name] = value
    return kind, values


def delete_request(name: str) -> bytes:
    """DeleteItemRequest for a secret."""
    return _reference(name)
