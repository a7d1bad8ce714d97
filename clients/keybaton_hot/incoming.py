"""What the agent's side of a `unary` connection sends: frames in, the answer of the call and the replies they demand out.

Does no I/O. Headers are decoded only where they are not the plain success. Raises ClientError, and nothing else, for
whatever ends the call or must not be sent by a server.
"""

from keybaton_hot.unary import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_MAX,
    HEADERS,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    WINDOW_UPDATE,
    frame,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keybaton_client.problem import ClientError

MESSAGE_MAX = 4 * 1024 * 1024  # gRPC's default limit, which is the agent's too
_BLOCK_MAX = 65_536  # octets of one header block with its continuations
_RENEW_WINDOW = 1024 * 1024  # what has come in before the windows are topped up (padding counts too)
_WINDOW_MAX = 2**31 - 1

_PUSH_PROMISE, _PING, _GOAWAY, _CONTINUATION = 5, 6, 7, 9
_ACK = 0x1
_PADDED = 0x8
_PRIORITY = 0x20
_REFUSED_STREAM = 7
_INITIAL_WINDOW_SIZE = 4

# `:status 200` and, as grpcio writes it, a literal `grpc-status: 0`. Any other spelling goes through the decoder.
_STATUS_200 = b"\x88"
_GRPC_OK = b"@\x0bgrpc-status\x010"


class Incoming:
    """The other side of one connection. `sent` octets of the request on `stream`, the first, are on their way already."""

    def __init__(self, stream: int, sent: int) -> None:
        self._in = bytearray()
        self._out = bytearray()
        self._settled = False  # the server's SETTINGS have come
        self._send_window = WINDOW
        self._initial_window = WINDOW
        self._undecoded: list[bytes] = []  # header blocks in order; the compression state runs through all of them
        self._decoder: object = None
        self._received = 0
        self.begin(stream)
        self.spend(sent)

    def begin(self, stream: int) -> None:
        """The next call, on `stream`."""
        self.ended = False  # the answer is there
        self._stream = stream
        self._stream_window = self._initial_window
        self._message = bytearray()
        self._blocks = 0  # header blocks of this stream
        self._block = bytearray()
        self._block_flags = -1  # of the HEADERS frame whose continuations are awaited

    def window(self) -> int:
        """How many octets of the request may be sent; also negative."""
        return min(self._send_window, self._stream_window)

    def spend(self, size: int) -> None:
        """Says that `size` octets of the request are sent."""
        self._send_window -= size
        self._stream_window -= size

    def take(self, data: bytes) -> bytes:
        """Takes what came, up to the end of the answer, and returns the frames to reply with. No data is the end of all."""
        if not data:
            raise gone()
        self._in += data
        while len(self._in) >= 9 and not self.ended:
            size = int.from_bytes(self._in[:3], "big")
            if size > FRAME_MAX:
                raise _broken("a frame over the size limit")
            if len(self._in) < 9 + size:
                break
            kind, flags = self._in[3], self._in[4]
            stream = int.from_bytes(self._in[5:9], "big") & _WINDOW_MAX
            payload = bytes(self._in[9 : 9 + size])
            del self._in[: 9 + size]
            self._take(kind, flags, stream, payload)
        replies = bytes(self._out)
        self._out.clear()
        return replies

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """One frame. Raises ClientError for what ends the call or what no server may send."""
        if not self._settled:
            if kind != SETTINGS or flags & _ACK:
                raise _broken("no SETTINGS at the start")
            self._settled = True
        if self._block_flags >= 0 and kind != _CONTINUATION:
            raise _broken("a header block that is not continued")
        if kind in (SETTINGS, _PING, _GOAWAY):
            if stream:
                raise _broken("a connection's frame on a stream")
        elif kind in (DATA, HEADERS, RST_STREAM, _CONTINUATION) and not stream:
            raise _broken("a stream's frame on the connection")
        if kind == DATA:
            self._take_data(flags, stream, payload)
        elif kind == HEADERS:
            self._take_headers(flags, stream, payload)
        elif kind == _CONTINUATION:
            self._take_continuation(flags, stream, payload)
        elif kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == WINDOW_UPDATE:
            self._take_window(stream, payload)
        elif kind == _PING:
            if len(payload) != 8:
                raise _broken("a PING of the wrong size")
            if not flags & _ACK:
                self._out += frame(_PING, _ACK, 0, payload)
        elif kind == RST_STREAM:
            self._take_reset(stream, payload)
        elif kind == _GOAWAY:
            if len(payload) < 8:
                raise _broken("a GOAWAY of the wrong size")
            if int.from_bytes(payload[:4], "big") & _WINDOW_MAX < self._stream:
                raise _problem("NO_AGENT", "The agent is shutting down and did not take the call.", "Try again.")
        elif kind == _PUSH_PROMISE:
            raise _broken("a push")
        # PRIORITY and unknown kinds are ignored (RFC 9113, sections 5.3.2 and 5.5).

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _RENEW_WINDOW:
            renewed = self._received.to_bytes(4, "big")
            self._out += frame(WINDOW_UPDATE, 0, 0, renewed) + frame(WINDOW_UPDATE, 0, self._stream, renewed)
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
                raise _problem("TOO_LARGE", f"The answer is larger than {MESSAGE_MAX // 2**20} MiB.")
            if len(message) > 5 + size:
                raise _broken("more than one message")
        if flags & END_STREAM:
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
        if not flags & END_HEADERS:
            return
        self.ended = bool(self._block_flags & END_STREAM)
        self._block_flags = -1
        self._undecoded.append(bytes(self._block))
        self._blocks += 1
        if self._blocks > 2 or (self._blocks == 2 and not self.ended):
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
        self._out += frame(SETTINGS, _ACK, 0, b"")

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
            raise _problem("NO_AGENT", "The agent did not take the call.", "Try again.")
        if code == CANCEL:
            raise _problem("INTERRUPTED", "The agent cancelled the call.")
        raise _broken(f"a reset with code {code}")

    def message(self) -> bytes:
        """The message of the stream that has ended. Raises its error as a ClientError."""
        whole = len(self._message) >= 5 and len(self._message) == 5 + int.from_bytes(self._message[1:5], "big")
        last = self._undecoded[-self._blocks :]
        if whole and last[0].startswith(_STATUS_200) and last[-1].startswith(_GRPC_OK):
            return bytes(self._message[5:])
        from keybaton_hot.trailers import check_status  # only where needed: it decodes headers and error details

        self._decoder = check_status(self._decoder, self._undecoded, self._blocks)
        self._undecoded = []
        if not whole:
            raise _broken("a success without a message")
        return bytes(self._message[5:])


def _unpadded(flags: int, payload: bytes) -> bytes:
    """The content of a frame that may be padded (RFC 9113, section 6.1)."""
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _broken("padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def _broken(what: str) -> "ClientError":
    return _problem("PROTOCOL", f"What answers on the agent's socket does not speak as an agent does: {what}.")


def gone() -> "ClientError":
    """For a connection that has ended."""
    return _problem("NO_AGENT", "The agent ended before it answered.", "`keybaton status` starts it again.")


def _problem(reason: str, message: str, hint: str = "") -> "ClientError":
    from keybaton_client.problem import ClientError  # rarely needed, and classes of exceptions take long to make

    return ClientError(reason, message, hint)
