"""The small unary client against servers that break the rules: each call ends with an answer or a ClientError, in time."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_client.problem import ClientError
from keybaton_hot.unary import Channel

SECONDS = 10.0
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
OK = b"@\x0bgrpc-status\x010"
MESSAGE = b"\0\0\0\0\x02hi"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


ANSWER = frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, OK)


def outcome(said: bytes, *, request: bytes = b"request", timeout: float = SECONDS, close: bool = True) -> bytes | str:
    """What a call returns, or the reason it raises, when the server says `said` whatever it is asked."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        if close:
            theirs.shutdown(socket.SHUT_WR)
        try:
            return Channel(ours).call("/a.B/C", request, timeout)
        except ClientError as error:
            return error.reason


def test_the_plain_exchange_works() -> None:
    """The frames of this file are right, so that what follows tests what it says."""
    assert outcome(SETTINGS + ANSWER) == b"hi"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "NO_AGENT"),
        (SETTINGS, "NO_AGENT"),
        (SETTINGS + ANSWER[:-1], "NO_AGENT"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE), "NO_AGENT"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "PROTOCOL"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "PROTOCOL"),
        (ANSWER, "PROTOCOL"),
        (SETTINGS + b"\xff\xff\xff" + bytes(6), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 1, 1, MESSAGE), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE + b"x") + frame(1, 5, 1, OK), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE[:-1]) + frame(1, 5, 1, OK), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\x01" + MESSAGE[1:]) + frame(1, 5, 1, OK), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\0\xff\xff\xff\xff"), "TOO_LARGE"),
        (SETTINGS + frame(1, 4, 1, b"\x89") + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, OK), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, b"\x40\x01a\x01b"), "PROTOCOL"),
        (
            SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, b"\xff\xff\xff\xff\xff"),
            "PROTOCOL",
        ),
        (SETTINGS + frame(0, 0, 1, MESSAGE), "PROTOCOL"),
        (SETTINGS + frame(1, 4, 3, b"\x88"), "PROTOCOL"),
        (SETTINGS + frame(1, 0, 1, b"\x88") + ANSWER, "PROTOCOL"),
        (SETTINGS + frame(9, 4, 1, b"\x88"), "PROTOCOL"),
        (SETTINGS + frame(1, 0, 1, b"") + frame(9, 0, 1, bytes(16_384)) * 5, "PROTOCOL"),
        (SETTINGS + frame(5, 4, 1, b"\0\0\0\x02\x88"), "PROTOCOL"),
        (SETTINGS + frame(3, 0, 1, b"\0\0\0\x08"), "INTERRUPTED"),
        (SETTINGS + frame(3, 0, 1, b"\0\0\0\x07"), "NO_AGENT"),
        (SETTINGS + frame(3, 0, 1, b"\0\0\0\x02"), "PROTOCOL"),
        (SETTINGS + frame(7, 0, 0, bytes(8)), "NO_AGENT"),
        (SETTINGS + frame(7, 0, 0, b"\x7f\xff\xff\xff" + bytes(4)), "NO_AGENT"),
        (SETTINGS + frame(8, 0, 0, bytes(4)), "PROTOCOL"),
        (SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff"), "PROTOCOL"),
        (SETTINGS + frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"), "PROTOCOL"),
        (SETTINGS + frame(4, 0, 0, b"\0\x04\xff"), "PROTOCOL"),
        (SETTINGS + frame(6, 0, 0, b"ping"), "PROTOCOL"),
        (SETTINGS + frame(0, 8, 1, b"\x05abc"), "PROTOCOL"),
    ],
)
def test_what_no_server_may_send_ends_the_call_with_a_reason(said: bytes, reason: str) -> None:
    """Each kind of violation, cut and early end."""
    assert outcome(said) == reason


@pytest.mark.parametrize(
    "said",
    [
        SETTINGS + frame(7, 0, 0, b"\x7f\xff\xff\xff" + bytes(4)) + ANSWER,
        SETTINGS + frame(6, 0, 0, b"12345678") + frame(6, 1, 0, b"12345678") + ANSWER,
        SETTINGS + frame(2, 0, 1, bytes(5)) + frame(0xFE, 0xFF, 9, b"what is to come") + ANSWER,
        SETTINGS
        + frame(1, 0x2C, 1, b"\x02" + bytes(5) + b"\x88" + bytes(2))
        + frame(0, 8, 1, b"\x03" + MESSAGE + bytes(3))
        + frame(1, 1, 1, OK[:4])
        + frame(9, 0, 1, OK[4:9])
        + frame(9, 4, 1, OK[9:]),
        SETTINGS
        + frame(1, 4, 1, b"\x88")
        + b"".join(frame(0, 0, 1, MESSAGE[i : i + 1]) for i in range(7))
        + frame(1, 5, 1, OK),
        SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, b"\x20" + OK),
        SETTINGS + frame(8, 0, 1, b"\0\0\0\x01") + frame(4, 1, 0, b"") + ANSWER,
    ],
)
def test_what_a_server_may_send_is_understood(said: bytes) -> None:
    """GOAWAY that spares the call, PING, PRIORITY, unknown frames, padding, continuations, small pieces, table updates."""
    assert outcome(said) == b"hi"


@settings(max_examples=1500)
@given(said=st.binary(max_size=300), settled=st.booleans())
def test_any_bytes_end_the_call(said: bytes, settled: bool) -> None:
    """Whatever comes, there is an answer or a reason, and never another exception."""
    assert outcome((SETTINGS if settled else b"") + said)


frames = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    st.integers(0, 255),
    st.sampled_from([0, 1, 1, 1, 2, 3, 2**31 - 1]),
    st.one_of(st.binary(max_size=40), st.sampled_from([b"\x88", OK, MESSAGE, bytes(4), bytes(8)])),
)


@settings(max_examples=1500)
@given(said=st.lists(frames, max_size=8))
def test_any_frames_end_the_call(said: list[bytes]) -> None:
    """The same with whole frames, which reach deeper."""
    assert isinstance(outcome(SETTINGS + b"".join(said)), bytes | str)


@settings(max_examples=1500)
@given(first=st.binary(max_size=60), last=st.binary(max_size=120))
def test_any_header_blocks_end_the_call(first: bytes, last: bytes) -> None:
    """Header blocks of any content, in an exchange that is otherwise right."""
    said = SETTINGS + frame(1, 4, 1, first) + frame(0, 0, 1, MESSAGE) + frame(1, 5, 1, last)
    assert outcome(said) in (b"hi", "PROTOCOL", "NO_AGENT", "TOO_LARGE", "DEADLINE_EXCEEDED", "INTERRUPTED")


@pytest.mark.parametrize("said", [b"", SETTINGS, SETTINGS + ANSWER[:20], SETTINGS + frame(4, 0, 0, b"\0\x04\0\0\0\0")])
def test_a_silent_server_costs_no_more_than_the_deadline(said: bytes) -> None:
    """Silence at the start, in the middle, and with a window that never opens."""
    assert outcome(said, timeout=0.05, close=False) == "DEADLINE_EXCEEDED"


def serve(ours: socket.socket, script: Callable[[socket.socket], None]) -> threading.Thread:
    """Runs a server's side in a thread."""
    thread = threading.Thread(target=script, args=(ours,), daemon=True)
    thread.start()
    return thread


def test_the_request_waits_for_both_windows_and_keeps_to_the_frame_size() -> None:
    """Windows far smaller than the request, opened piece by piece: what arrives is whole, in frames of at most 16,384."""
    ours, theirs = socket.socketpair()
    seen: list[int] = []
    got = bytearray()
    request = bytes(range(256)) * 800

    def script(side: socket.socket) -> None:
        reader = side.makefile("rb")
        side.sendall(frame(4, 0, 0, b"\0\x04" + (1000).to_bytes(4, "big")))
        assert reader.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        while True:
            head = reader.read(9)
            payload = reader.read(int.from_bytes(head[:3], "big"))
            if head[3] == 0:
                seen.append(len(payload))
                got.extend(payload)
                if head[4] & 1:
                    break
                side.sendall(
                    frame(8, 0, 1, (len(payload) + 100).to_bytes(4, "big"))
                    + frame(8, 0, 0, (len(payload)).to_bytes(4, "big"))
                )
        side.sendall(ANSWER)

    with ours, theirs:
        thread = serve(theirs, script)
        assert Channel(ours).call("/a.B/C", request, SECONDS) == b"hi"
        thread.join(SECONDS)
    assert bytes(got) == b"\0" + len(request).to_bytes(4, "big") + request
    assert max(seen) <= 16_384


def test_pings_and_settings_are_acknowledged() -> None:
    """A server that measures or insists gets its answers before the call ends."""
    ours, theirs = socket.socketpair()
    acknowledged: list[bytes] = []

    def script(side: socket.socket) -> None:
        reader = side.makefile("rb")
        side.sendall(SETTINGS + frame(6, 0, 0, b"12345678"))
        reader.read(24)
        while len(acknowledged) < 2:
            head = reader.read(9)
            payload = reader.read(int.from_bytes(head[:3], "big"))
            if head[3] in (4, 6) and head[4] & 1:
                acknowledged.append(payload)
        side.sendall(ANSWER)

    with ours, theirs:
        thread = serve(theirs, script)
        assert Channel(ours).call("/a.B/C", b"", SECONDS) == b"hi"
        thread.join(SECONDS)
    assert sorted(acknowledged) == [b"", b"12345678"]
