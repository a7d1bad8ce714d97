"""Unary gRPC calls over a Unix socket with built-in modules alone, for commands that must start quickly.

One connection, one call at a time: HTTP/2 frames (RFC 9113) by hand, with both flow-control windows, a deadline on every
wait and headers decoded only where they are not the plain success. Whatever the other side sends, a call ends with the
answer or with a ClientError; after an error the channel is closed. Streams, TLS and compression are left to `grpcio`.
"""

import _socket
import posix
import sys
import time

from keybaton_client.problem import ClientError

MESSAGE_MAX = 4 * 1024 * 1024  # gRPC's default limit, which is the agent's too
_FRAME_MAX = 16_384  # SETTINGS_MAX_FRAME_SIZE of both sides, never raised here
_BLOCK_MAX = 65_536  # octets of one header block with its continuations
_RECEIVE_WINDOW = 8 * 1024 * 1024  # over MESSAGE_MAX: an answer never waits for a window update
_RENEW_WINDOW = 1024 * 1024  # what has come in before the windows are topped up (padding counts too)
_WINDOW_MAX = 2**31 - 1
_TIMEOUT_MAX_MS = 99_999_999  # grpc-timeout has eight digits

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    0,
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
)
_ACK = _END_STREAM = 0x1
_END_HEADERS = 0x4
_PADDED = 0x8
_PRIORITY = 0x20
_REFUSED_STREAM, _CANCEL = 7, 8
_INITIAL_WINDOW_SIZE = 4

# `:status 200` and, as grpcio writes it, a literal `grpc-status: 0`. Any other spelling goes through the decoder.
_STATUS_200 = b"\x88"
_GRPC_OK = b"@\x0bgrpc-status\x010"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that is not indexed (RFC 7541, section 6.2.2); both strings are ours and shorter than 127 octets."""
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


_OPENING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _frame(_SETTINGS, 0, 0, b"\0\x02\0\0\0\0\0\x04" + _RECEIVE_WINDOW.to_bytes(4, "big"))  # no push; our window
    + _frame(_WINDOW_UPDATE, 0, 0, (_RECEIVE_WINDOW - 65_535).to_bytes(4, "big"))
)
_POST_HTTP = b"\x83\x86"  # :method POST, :scheme http
_FURTHER_HEADERS = (
    _literal(b":authority", b"localhost")
    + _literal(b"content-type", b"application/grpc")
    + _literal(b"te", b"trailers")
    + _literal(b"user-agent", b"keybaton-unary")
)


class Channel:
    """One connection to an agent. `client` is the kind of program that calls, as the log of reads shows it."""

    def __init__(self, connection: _socket.socket, client: bytes = b"") -> None:
        self._socket = connection
        self._headers = _FURTHER_HEADERS + _literal(b"keybaton-client", client) if client else _FURTHER_HEADERS
        self._in = bytearray()
        self._out = bytearray(_OPENING)
        self._stream = -1
        self._settled = False  # the server's SETTINGS have come
        self._writable = True
        self._send_window = 65_535
        self._initial_window = 65_535
        self._undecoded: list[bytes] = []  # header blocks in order; the compression state runs through all of them
        self._decoder: object = None
        self._received = 0

    def _begin(self, deadline: float) -> None:
        self._stream += 2
        self._deadline = deadline
        self._stream_window = self._initial_window
        self._message = bytearray()
        self._blocks = 0  # header blocks of this stream
        self._block = bytearray()
        self._block_flags = -1  # of the HEADERS frame whose continuations are awaited
        self._ended = False

    def close(self) -> None:
        """Ends the connection; a call that runs is cancelled by it."""
        self._socket.close()

    def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """The serialized answer to one request. `method` is `/package.Service/Method`, `timeout` is in seconds.

        Raises ClientError with the agent's reason, or DEADLINE_EXCEEDED, NO_AGENT (it ended, or is about to), PROTOCOL.
        """
        try:
            self._exchange(method.encode(), request, timeout)
            return self._answer()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise ClientError("DEADLINE_EXCEEDED", "The agent did not answer in time.") from None
            if isinstance(error, OSError):
                raise _gone() from None
            raise

    def _exchange(self, method: bytes, request: bytes, timeout: float) -> None:
        self._begin(time.monotonic() + timeout)
        milliseconds = min(max(int(timeout * 1000), 1), _TIMEOUT_MAX_MS)
        timing = _literal(b"grpc-timeout", b"%dm" % milliseconds)
        headers = _POST_HTTP + _literal(b":path", method) + self._headers + timing
        self._out += _frame(_HEADERS, _END_HEADERS, self._stream, headers)
        body = b"\0%b%b" % (len(request).to_bytes(4, "big"), request)
        sent = 0
        while True:
            while sent < len(body) and self._send_window > 0 and self._stream_window > 0:
                size = min(len(body) - sent, _FRAME_MAX, self._send_window, self._stream_window)
                flags = _END_STREAM if sent + size == len(body) else 0
                self._out += _frame(_DATA, flags, self._stream, body[sent : sent + size])
                sent += size
                self._send_window -= size
                self._stream_window -= size
            self._flush()
            self._receive()
            if self._ended:
                break
        if sent < len(body):  # answered early: the rest is not wanted
            self._out += _frame(_RST_STREAM, 0, self._stream, _CANCEL.to_bytes(4, "big"))

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _flush(self) -> None:
        if self._out and self._writable:
            self._socket.settimeout(self._remaining())
            try:
                self._socket.sendall(self._out)
            except (BrokenPipeError, ConnectionResetError):
                self._writable = False  # its last words, an error or GOAWAY, may still wait to be read
        self._out.clear()

    def _receive(self) -> None:
        """Waits for at least one whole frame and takes every whole one there is, up to the end of the answer."""
        taken = False
        while not taken:
            self._socket.settimeout(self._remaining())
            data = self._socket.recv(65_536)
            if not data:
                raise _gone()
            self._in += data
            while len(self._in) >= 9 and not self._ended:
                size = int.from_bytes(self._in[:3], "big")
                if size > _FRAME_MAX:
                    raise _broken("a frame over the size limit")
                if len(self._in) < 9 + size:
                    break
                kind, flags = self._in[3], self._in[4]
                stream = int.from_bytes(self._in[5:9], "big") & _WINDOW_MAX
                payload = bytes(self._in[9 : 9 + size])
                del self._in[: 9 + size]
                self._take(kind, flags, stream, payload)
                taken = True

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """One frame. Raises ClientError for what ends the call or what no server may send."""
        if not self._settled:
            if kind != _SETTINGS or flags & _ACK:
                raise _broken("no SETTINGS at the start")
            self._settled = True
        if self._block_flags >= 0 and kind != _CONTINUATION:
            raise _broken("a header block that is not continued")
        if kind in (_SETTINGS, _PING, _GOAWAY):
            if stream:
                raise _broken("a connection's frame on a stream")
        elif kind in (_DATA, _HEADERS, _RST_STREAM, _CONTINUATION) and not stream:
            raise _broken("a stream's frame on the connection")
        if kind == _DATA:
            self._take_data(flags, stream, payload)
        elif kind == _HEADERS:
            self._take_headers(flags, stream, payload)
        elif kind == _CONTINUATION:
            self._take_continuation(flags, stream, payload)
        elif kind == _SETTINGS:
            self._take_settings(flags, payload)
        elif kind == _WINDOW_UPDATE:
            self._take_window(stream, payload)
        elif kind == _PING:
            if len(payload) != 8:
                raise _broken("a PING of the wrong size")
            if not flags & _ACK:
                self._out += _frame(_PING, _ACK, 0, payload)
        elif kind == _RST_STREAM:
            self._take_reset(stream, payload)
        elif kind == _GOAWAY:
            if len(payload) < 8:
                raise _broken("a GOAWAY of the wrong size")
            if int.from_bytes(payload[:4], "big") & _WINDOW_MAX < self._stream:
                raise ClientError("NO_AGENT", "The agent is shutting down and did not take the call.", "Try again.")
        elif kind == _PUSH_PROMISE:
            raise _broken("a push")
        # PRIORITY and unknown kinds are ignored (RFC 9113, sections 5.3.2 and 5.5).

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _RENEW_WINDOW:
            renewed = self._received.to_bytes(4, "big")
            self._out += _frame(_WINDOW_UPDATE, 0, 0, renewed) + _frame(_WINDOW_UPDATE, 0, self._stream, renewed)
            self._received = 0
        if stream < self._stream:
            return
        if stream > self._stream or not self._blocks:
            raise _broken("data before headers")
        self._message += _unpadded(flags, payload)
        message = self._message
        if len(message) >= 5:
            size = int.from_bytes(message[1:5], "big")
            if message[0]:
                raise _broken("a compressed message")
            if size > MESSAGE_MAX:
                raise ClientError("TOO_LARGE", f"The answer is larger than {MESSAGE_MAX // 2**20} MiB.")
            if len(message) > 5 + size:
                raise _broken("more than one message")
        if flags & _END_STREAM:
            raise _broken("an answer without a status")

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if stream != self._stream:
            raise _broken("headers on another stream")
        payload = _unpadded(flags, payload)
        if flags & _PRIORITY:
            if len(payload) < 5:
                raise _broken("headers that are cut")
            payload = payload[5:]
        self._block = bytearray(payload)
        self._block_flags = flags
        self._end_block(flags)

    def _take_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block_flags < 0 or stream != self._stream:
            raise _broken("a continuation of nothing")
        self._block += payload
        if len(self._block) > _BLOCK_MAX:
            raise _broken("headers over the size limit")
        self._end_block(flags)

    def _end_block(self, flags: int) -> None:
        if not flags & _END_HEADERS:
            return
        self._ended = bool(self._block_flags & _END_STREAM)
        self._block_flags = -1
        self._undecoded.append(bytes(self._block))
        self._blocks += 1
        if self._blocks > 2 or (self._blocks == 2 and not self._ended):
            raise _broken("headers in the middle of an answer")

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & _ACK:
            if payload:
                raise _broken("an acknowledgement with content")
            return
        if len(payload) % 6:
            raise _broken("SETTINGS of the wrong size")
        for at in range(0, len(payload), 6):
            if int.from_bytes(payload[at : at + 2], "big") == _INITIAL_WINDOW_SIZE:
                size = int.from_bytes(payload[at + 2 : at + 6], "big")
                self._stream_window += size - self._initial_window
                self._initial_window = size
                if max(size, self._stream_window) > _WINDOW_MAX:
                    raise _broken("a window over the limit")
        self._out += _frame(_SETTINGS, _ACK, 0, b"")

    def _take_window(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _broken("a WINDOW_UPDATE of the wrong size")
        size = int.from_bytes(payload, "big") & _WINDOW_MAX
        if not stream:
            self._send_window += size
        elif stream == self._stream:
            self._stream_window += size
        else:
            return  # of a stream that has ended
        if not size or max(self._send_window, self._stream_window) > _WINDOW_MAX:
            raise _broken("a window out of its limits")

    def _take_reset(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _broken("an RST_STREAM of the wrong size")
        if stream != self._stream:
            return
        code = int.from_bytes(payload, "big")
        if code == _REFUSED_STREAM:
            raise ClientError("NO_AGENT", "The agent did not take the call.", "Try again.")
        if code == _CANCEL:
            raise ClientError("INTERRUPTED", "The agent cancelled the call.")
        raise _broken(f"a reset with code {code}")

    def _answer(self) -> bytes:
        """The message of the stream that has ended, or its error."""
        whole = len(self._message) >= 5 and len(self._message) == 5 + int.from_bytes(self._message[1:5], "big")
        last = self._undecoded[-self._blocks :]
        if whole and last[0].startswith(_STATUS_200) and last[-1].startswith(_GRPC_OK):
            return bytes(self._message[5:])
        from keybaton_client.trailers import check_status  # only where needed: it decodes headers and error details

        self._decoder = check_status(self._decoder, self._undecoded, self._blocks)
        self._undecoded = []
        if not whole:
            raise _broken("a success without a message")
        return bytes(self._message[5:])


def connect(path: str, timeout: float, client: bytes = b"") -> Channel:
    """A channel to the agent that listens on `path`; `client` is what the log of reads calls the caller.

    Raises OSError, or ClientError when another user listens there.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        # struct ucred: pid, uid, gid; as they were when the listener called listen(2)
        credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], sys.byteorder) not in (0, posix.geteuid()):
            raise ClientError("NO_AGENT", f"The socket {path} belongs to another user; nothing was sent to it.")
    except BaseException:
        connection.close()
        raise
    return Channel(connection, client)


def _unpadded(flags: int, payload: bytes) -> bytes:
    """The content of a frame that may be padded (RFC 9113, section 6.1)."""
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _broken("padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def _broken(what: str) -> ClientError:
    return ClientError("PROTOCOL", f"What answers on the agent's socket does not speak as an agent does: {what}.")


def _gone() -> ClientError:
    return ClientError("NO_AGENT", "The agent ended before it answered.", "`keybaton status` starts it again.")
