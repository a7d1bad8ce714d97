"""One gRPC channel to the agent: every call has a deadline, every failure becomes a ClientError. Knows no single method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import grpc

from keybaton_client.problem import ClientError

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
CONNECT_MILLISECONDS = 5000  # an agent that listens and says nothing for so long hangs
CALL_SECONDS = 30.0
HUMAN_SECONDS = 180.0  # calls that may wait for a person at a keychain's dialog
LONG_SECONDS = 3600.0  # calls that read the whole vault, and watches of sessions

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

# For answers without ErrorInfo: they come from gRPC itself, not from the agent.
_BARE_STATUS: dict[grpc.StatusCode, tuple[str, str]] = {
    grpc.StatusCode.UNAVAILABLE: ("NO_AGENT", "The agent cannot be reached."),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", "The agent did not answer in time."),
    grpc.StatusCode.CANCELLED: ("INTERRUPTED", "The call was cancelled."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("TOO_LARGE", "The message is larger than 4 MiB."),
    grpc.StatusCode.UNIMPLEMENTED: ("PROTOCOL", "The agent does not know this call; it is older than this command."),
}


class _Named(grpc.UnaryUnaryClientInterceptor):
    """Adds to each call what kind of client makes it."""

    def __init__(self, client: str) -> None:
        self._named = ("keybaton-client", client)

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Called by grpc."""
        metadata = [*(client_call_details.metadata or ()), self._named]
        return continuation(client_call_details._replace(metadata=metadata), request)


class AgentChannel:
    """An open channel to the socket at `path`. Close it, or use it in a `with`.

    `client` is what the log of reads calls the caller: one of the kinds in proto/README.md.
    """

    def __init__(self, path: str, client: str = "library") -> None:
        self._bare = grpc.insecure_channel(
            "unix:" + quote(path, safe="/"),
            options=[
                ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
                ("grpc.enable_http_proxy", 0),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.min_reconnect_backoff_ms", CONNECT_MILLISECONDS),  # how long a connection may take, says grpc
            ],
        )
        self.raw = grpc.intercept_channel(self._bare, _Named(client))

    def close(self) -> None:
        """Ends every call and closes the connection."""
        self._bare.close()


def call(
    method: grpc.UnaryUnaryMultiCallable[_Request, _Response], request: _Request, timeout: float = CALL_SECONDS
) -> _Response:
    """One exchange within `timeout` seconds. Raises ClientError."""
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise translated(error) from None


def stream(
    method: grpc.UnaryStreamMultiCallable[_Request, _Response], request: _Request, timeout: float | None
) -> Iterator[_Response]:
    """The answers as they come; closing the iterator cancels the call. `timeout` None: until one side leaves."""
    running = method(request, timeout=timeout)
    try:
        yield from running
    except grpc.RpcError as error:
        raise translated(error) from None
    finally:
        running.cancel()


def translated(error: Any) -> ClientError:
    """The ClientError for what grpc raised: reason, hint and data come from its ErrorInfo where there is one."""
    details = next((value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"), None)
    said = _said(details) if details is not None else None
    if said is not None:
        return said
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "Concurrent" in (error.details() or ""):
        return ClientError("BUSY", "The agent has too many calls at once.", "Try again in a moment.")
    reason, message = _BARE_STATUS.get(error.code(), ("PROTOCOL", "What answers on the socket is no Keybaton agent."))
    return ClientError(reason, message)


def _said(details: bytes) -> ClientError | None:
    """What a serialized google.rpc.Status says in the agent's own words; None where it is none, or somebody else's."""
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    try:
        status = status_pb2.Status.FromString(details)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "keybaton":
                data = dict(info.metadata)
                return ClientError(info.reason, status.message, data.pop("hint", ""), data)
    except DecodeError:
        pass  # the status code still says that it failed
    return None
