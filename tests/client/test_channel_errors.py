"""What the grpcio client makes of an error: the agent's reason where it gives one, else what the status says."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from keybaton_client.channel import translated


class Error:
    """As grpc raises it."""

    def __init__(self, code: grpc.StatusCode, details: bytes | None) -> None:
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("other", b"x"), *((("grpc-status-details-bin", self._details),) if self._details is not None else ()))


def details(domain: str) -> bytes:
    """A status whose ErrorInfo is of that domain."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(domain=domain, reason="NOT_FOUND", metadata={"hint": "Look.", "name": "n"}))
    return status_pb2.Status(message="There is none.", details=[packed]).SerializeToString()


def test_the_agents_own_words_are_taken() -> None:
    """Reason, message, hint and the rest of the data."""
    error = translated(Error(grpc.StatusCode.UNKNOWN, details("keybaton")))
    assert (error.reason, error.message, error.hint) == ("NOT_FOUND", "There is none.", "Look.")
    assert error.data == {"name": "n"}


@pytest.mark.parametrize("said", [details("example.com"), b"", b"\xff\xff", None])
def test_what_is_not_the_agents_leaves_the_status(said: bytes | None) -> None:
    """A reason of another domain is none of ours, though it may be spelled alike."""
    assert translated(Error(grpc.StatusCode.UNAVAILABLE, said)).reason == "NO_AGENT"
    assert translated(Error(grpc.StatusCode.DEADLINE_EXCEEDED, said)).reason == "DEADLINE_EXCEEDED"
    assert translated(Error(grpc.StatusCode.DATA_LOSS, said)).reason == "PROTOCOL"
