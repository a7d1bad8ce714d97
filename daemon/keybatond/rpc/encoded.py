"""Methods that are given and give bytes: an answer that the vault kept needs no message."""

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from keybatond.errors import refused

_Message = TypeVar("_Message", bound=Message)


def take_bytes(service: str, servicer: Any, names: tuple[str, ...], server: Any) -> None:
    """Registers methods of `servicer` so; to be called before the generated registration: the first that is found serves."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name)) for name in names
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def decoded(message: _Message, content: bytes) -> _Message:
    """`message`, filled. INVALID_ARGUMENT."""
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise refused("request", "is cut or garbled") from None
    return message
