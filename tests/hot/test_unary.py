"""The small unary client against a real grpcio server: sizes, errors, deadlines, shutdown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybaton_client.channel import _BARE_STATUS
from keybaton_client.problem import ClientError
from keybaton_hot.incoming import MESSAGE_MAX
from keybaton_hot.trailers import BARE_STATUS
from keybaton_hot.unary import Channel, connect
from keybaton_testing.grpc_server import serving, short_folder
from keybatond.errors import Reason

ECHO, FAIL, HANG, HEADERS = "/test.Calls/Echo", "/test.Calls/Fail", "/test.Calls/Hang", "/test.Calls/Headers"
SECONDS = 20.0
real_server = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass
class Calls:
    """What the server is to do, and what it has seen."""

    status: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    message: str = ""
    trailing: tuple[tuple[str, bytes | str], ...] = ()
    release: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    remaining: float = 0.0

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return request

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(self.trailing)
        context.abort(self.status, self.message)

    def hang(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.remaining = context.time_remaining()
        self.entered.set()
        self.release.wait(SECONDS)
        return b"late"

    def headers(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata(self.trailing)
        context.set_trailing_metadata(self.trailing)
        return request


@dataclass
class Server:
    """A running server, its behaviour and its socket."""

    path: str
    calls: Calls
    grpc: grpc.Server

    def channel(self) -> Channel:
        return connect(self.path, SECONDS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module; each test sets what it does."""
    calls = Calls()
    with short_folder() as folder:
        handlers = {ECHO: calls.echo, FAIL: calls.fail, HANG: calls.hang, HEADERS: calls.headers}
        with serving(handlers, f"{folder}/s") as running:
            yield Server(f"{folder}/s", calls, running)
        calls.release.set()


def failing(server: Server, method: str = FAIL, request: bytes = b"", timeout: float = SECONDS) -> ClientError:
    """The error of one call on a fresh connection."""
    with pytest.raises(ClientError) as caught:
        server.channel().call(method, request, timeout)
    return caught.value


@pytest.mark.parametrize(
    "size",
    [0, 1, 5, 16_378, 16_379, 16_384, 65_529, 65_530, 65_535, 65_536, 1 << 20, MESSAGE_MAX - 1, MESSAGE_MAX],
)
def test_a_message_of_any_size_comes_back_whole(server: Server, size: int) -> None:
    """From nothing to gRPC's limit, across the borders of frames and of both flow-control windows."""
    message = bytes(i * 31 % 251 for i in range(min(size, 4096)))
    message = (message * (size // max(len(message), 1) + 1))[:size]
    channel = server.channel()
    assert channel.call(ECHO, message, SECONDS) == message
    assert channel.call(ECHO, message, SECONDS) == message
    channel.close()


@real_server
@given(messages=st.lists(st.binary(max_size=200_000), min_size=1, max_size=5))
def test_calls_follow_each_other_on_one_connection(server: Server, messages: list[bytes]) -> None:
    """Windows and header compression carry over from call to call."""
    channel = server.channel()
    assert [channel.call(ECHO, message, SECONDS) for message in messages] == messages
    channel.close()


def test_many_calls_renew_the_windows(server: Server) -> None:
    """Forty answers of 1 MiB are five times what the window takes without renewal."""
    channel = server.channel()
    message = bytes(1 << 20)
    for _ in range(40):
        assert channel.call(ECHO, message, SECONDS) == message
    channel.close()


def test_a_request_over_the_limit_is_refused_and_named(server: Server) -> None:
    """The server answers before it has read everything; the client stops sending and says so."""
    assert failing(server, ECHO, bytes(MESSAGE_MAX + 1)).reason == "TOO_LARGE"
    assert failing(server, ECHO, bytes(4 * MESSAGE_MAX)).reason == "TOO_LARGE"


@real_server
@given(
    reason=st.sampled_from([reason.value for reason in Reason]),
    message=st.text(max_size=300),
    data=st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=200), max_size=4),
    code=st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]),
)
def test_every_reason_arrives_with_its_words_and_data(
    server: Server, reason: str, message: str, data: dict[str, str], code: grpc.StatusCode
) -> None:
    """ErrorInfo in grpc-status-details-bin, whatever its bytes: grpcio writes them Huffman-coded."""
    info = error_details_pb2.ErrorInfo(domain="keybaton", reason=reason, metadata=data)
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=message, details=[packed])
    server.calls.status, server.calls.message = code, message
    server.calls.trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    error = failing(server)
    hint = data.get("hint", "")
    rest = {key: value for key, value in data.items() if key != "hint"}
    assert (error.reason, error.message, error.hint, dict(error.data)) == (reason, message, hint, rest)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_errors_of_the_grpc_layer_have_the_same_words_as_in_the_complete_client(
    server: Server, code: grpc.StatusCode
) -> None:
    """Without ErrorInfo the status decides, by the same table as in `channel`."""
    server.calls.status, server.calls.message, server.calls.trailing = code, "x", ()
    error = failing(server)
    fallback = ("PROTOCOL", "What answers on the socket is no Keybaton agent.")
    assert (error.reason, error.message) == _BARE_STATUS.get(code, fallback)
    assert set(BARE_STATUS) == {status.value[0] for status in _BARE_STATUS}


def test_details_of_another_domain_or_that_cannot_be_read_leave_the_status(server: Server) -> None:
    """A reason counts only when it is ours."""
    foreign = any_pb2.Any()
    foreign.Pack(error_details_pb2.ErrorInfo(domain="example.com", reason="NOT_FOUND"))
    for details in (status_pb2.Status(details=[foreign]).SerializeToString(), b"\xff" * 40, b""):
        server.calls.status = grpc.StatusCode.DEADLINE_EXCEEDED
        server.calls.trailing = (("grpc-status-details-bin", details),)
        assert failing(server).reason == "DEADLINE_EXCEEDED"


@real_server
@given(values=st.lists(st.binary(max_size=600), min_size=1, max_size=6))
def test_metadata_that_is_not_ours_does_not_disturb(server: Server, values: list[bytes]) -> None:
    """Headers and trailers with other metadata, repeated on one connection: indexed and Huffman-coded in all ways."""
    server.calls.trailing = tuple((f"x-{number}-bin", value) for number, value in enumerate(values))
    channel = server.channel()
    for _ in range(3):
        assert channel.call(HEADERS, b"abc", SECONDS) == b"abc"
    channel.close()


def test_an_unknown_method_says_that_the_agent_is_older(server: Server) -> None:
    """UNIMPLEMENTED comes as headers alone, without a message."""
    assert failing(server, "/test.Calls/None").reason == "PROTOCOL"


def test_a_deadline_ends_the_call_on_both_sides(server: Server) -> None:
    """The client gives up in time, and the server knew the deadline."""
    server.calls.release.clear()
    start = time.monotonic()
    assert failing(server, HANG, timeout=0.3).reason == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 5
    assert 0 < server.calls.remaining <= 0.31
    server.calls.release.set()


def test_a_server_that_shuts_down_finishes_the_call_and_takes_no_other() -> None:
    """GOAWAY during a call lets it end; the next call on the connection ends with a reason, not with a hang."""
    calls = Calls()
    with short_folder() as folder, serving({HANG: calls.hang, ECHO: calls.echo}, f"{folder}/s") as running:
        channel = connect(f"{folder}/s", SECONDS)
        answers: list[bytes] = []
        caller = threading.Thread(target=lambda: answers.append(channel.call(HANG, b"", SECONDS)))
        caller.start()
        assert calls.entered.wait(SECONDS)
        # A GOAWAY that comes after the answer is followed by a ping that nobody reads: the server uses up its grace.
        stopped = running.stop(SECONDS / 4)
        calls.release.set()
        caller.join(SECONDS)
        assert answers == [b"late"]
        assert stopped.wait(SECONDS)
        with pytest.raises(ClientError) as caught:
            channel.call(ECHO, b"x", SECONDS)
        assert caught.value.reason == "NO_AGENT"


def test_nobody_listening_is_an_os_error() -> None:
    """The caller starts an agent then; no words are needed yet."""
    with short_folder() as folder, pytest.raises(FileNotFoundError):
        connect(f"{folder}/none", SECONDS)
