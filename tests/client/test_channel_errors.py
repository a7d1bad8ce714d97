"""What the grpcio client makes of an error: the agent's reason where it gives one, else what the status says."""

from __future__ import annotations

import threading
from concurrent import futures

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from keybaton_client.channel import call, translated
from keybaton_client.problem import ClientError
from keybaton_testing.grpc_server import short_folder


class Error:
    """As grpc raises it."""

    def __init__(self, code: grpc.StatusCode, details: bytes | None, text: str = "") -> None:
        self._code = code
        self._details = details
        self._text = text

    def details(self) -> str:
        return self._text

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


@pytest.mark.parametrize(
    "said", [details("example.com"), b"", b"\xff\xff", None], ids=["another's", "nothing", "no message", "none"]
)  # the order of a map's entries in bytes is another in each process, and so would be the test's name
def test_what_is_not_the_agents_leaves_the_status(said: bytes | None) -> None:
    """A reason of another domain is none of ours, though it may be spelled alike."""
    assert translated(Error(grpc.StatusCode.UNAVAILABLE, said)).reason == "NO_AGENT"
    assert translated(Error(grpc.StatusCode.DEADLINE_EXCEEDED, said)).reason == "DEADLINE_EXCEEDED"
    assert translated(Error(grpc.StatusCode.DATA_LOSS, said)).reason == "PROTOCOL"


def test_too_many_calls_are_no_message_that_is_too_large() -> None:
    """gRPC has one status for both; what a server says that has no room for a call is taken from a real one."""
    proceed, begun = threading.Event(), threading.Event()

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        begun.set()
        proceed.wait(10)
        return b""

    method = {"C": grpc.unary_unary_rpc_method_handler(wait)}
    server = grpc.server(futures.ThreadPoolExecutor(1), maximum_concurrent_rpcs=1)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", method),))
    with short_folder() as folder:
        server.add_insecure_port(f"unix:{folder}/s")
        server.start()
        with grpc.insecure_channel(f"unix:{folder}/s") as channel:
            first = channel.unary_unary("/a.B/C").future(b"")
            begun.wait(10)
            with pytest.raises(ClientError) as refused:
                call(channel.unary_unary("/a.B/C"), b"")
            proceed.set()
            assert first.result(10) == b""
        server.stop(0)
    assert refused.value.reason == "BUSY"
    large = Error(grpc.StatusCode.RESOURCE_EXHAUSTED, None, "Received message larger than max (5 vs. 4)")
    assert translated(large).reason == "TOO_LARGE"
