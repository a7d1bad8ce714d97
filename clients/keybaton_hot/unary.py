"""Unary gRPC calls over a Unix socket with built-in modules alone, for commands that must start quickly.

One connection, one call at a time: HTTP/2 (RFC 9113) by hand, within both flow-control windows, with a deadline on every
wait. Whatever the other side sends, a call ends with the answer or with a ClientError; after an error the channel is closed.
Streams, TLS and compression are left to `grpcio`; what comes back to `incoming`, which is loaded while the agent works.
"""

import _socket
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keybaton_hot.incoming import Incoming

FRAME_MAX = 16_384  # SETTINGS_MAX_FRAME_SIZE of both sides, never raised here
WINDOW = 65_535  # of the connection and of a stream, unless a side says otherwise (RFC 9113, section 6.9.2)
_RECEIVE_WINDOW = 8 * 1024 * 1024  # over the largest message: an answer never waits for a window update
_TIMEOUT_MAX_MS = 99_999_999  # grpc-timeout has eight digits

DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that is not indexed (RFC 7541, section 6.2.2); both strings are ours and shorter than 127 octets."""
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


_OPENING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\0\0\x04" + _RECEIVE_WINDOW.to_bytes(4, "big"))  # no push; our window
    + frame(WINDOW_UPDATE, 0, 0, (_RECEIVE_WINDOW - WINDOW).to_bytes(4, "big"))
)
_POST_HTTP = b"\x83\x86"  # :method POST, :scheme http
_FURTHER_HEADERS = (
    _literal(b":authority", b"localhost")
    + _literal(b"content-type", b"application/grpc")
    + _literal(b"te", b"trailers")
    + _literal(b"user-agent", b"keybaton-unary")
)


class Channel:
    """One connection to an agent. `client` is the kind of program that calls, as the log of reads shows it.

    `patience`: seconds that every call has at least, where the agent may be busy with its own start.
    """

    patience = 0.0

    def __init__(self, connection: _socket.socket, client: bytes = b"") -> None:
        self._socket = connection
        self._headers = _FURTHER_HEADERS + _literal(b"keybaton-client", client) if client else _FURTHER_HEADERS
        self._out = bytearray(_OPENING)
        self._stream = -1
        self._writable = True
        self._incoming: Incoming | None = None  # from the first answer on

    def close(self) -> None:
        """Ends the connection; a call that runs is cancelled by it."""
        self._socket.close()

    def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """`send` and `answer` in one."""
        self.send(method, request, timeout)
        return self.answer()

    def send(self, method: str, request: bytes, timeout: float) -> None:
        """Begins a call. `method` is `/package.Service/Method`; `timeout`, in seconds, runs until the answer is there.

        Sends what the agent takes at once; the rest goes out in `answer`. Raises ClientError as that does.
        """
        timeout = max(timeout, self.patience)
        self._deadline = time.monotonic() + timeout
        self._stream += 2
        milliseconds = min(max(int(timeout * 1000), 1), _TIMEOUT_MAX_MS)
        timing = _literal(b"grpc-timeout", b"%dm" % milliseconds)
        headers = _POST_HTTP + _literal(b":path", method.encode()) + self._headers + timing
        self._out += frame(HEADERS, END_HEADERS, self._stream, headers)
        self._body = b"\0%b%b" % (len(request).to_bytes(4, "big"), request)
        self._sent = 0
        if self._incoming:
            self._incoming.begin(self._stream)
        try:
            self._flush()
        except BaseException as error:
            raise self._failed(error) from None

    def answer(self) -> bytes:
        """The serialized answer to the request that was sent.

        Raises ClientError with the agent's reason, or DEADLINE_EXCEEDED, NO_AGENT (it ended, or is about to), PROTOCOL.
        """
        try:
            if not self._incoming:
                from keybaton_hot.incoming import Incoming

                self._incoming = Incoming(self._stream, self._sent)
            while True:
                self._socket.settimeout(self._remaining())
                self._out += self._incoming.take(self._socket.recv(65_536))
                if self._incoming.ended:
                    break
                self._flush()
            if self._sent < len(self._body):  # answered early: the rest is not wanted
                self._out += frame(RST_STREAM, 0, self._stream, CANCEL.to_bytes(4, "big"))
            return self._incoming.message()
        except BaseException as error:
            raise self._failed(error) from None

    def _flush(self) -> None:
        """Sends what waits, and of the request what the windows let through."""
        while self._sent < len(self._body):
            window = self._incoming.window() if self._incoming else WINDOW - self._sent
            size = min(len(self._body) - self._sent, FRAME_MAX, window)
            if size <= 0:
                break
            flags = END_STREAM if self._sent + size == len(self._body) else 0
            self._out += frame(DATA, flags, self._stream, self._body[self._sent : self._sent + size])
            self._sent += size
            if self._incoming:
                self._incoming.spend(size)
        if self._out and self._writable:
            self._socket.settimeout(self._remaining())
            try:
                self._socket.sendall(self._out)
            except (BrokenPipeError, ConnectionResetError):
                self._writable = False  # its last words, an error or GOAWAY, may still wait to be read
        self._out.clear()

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _failed(self, error: BaseException) -> BaseException:
        """What a call that ends with `error` raises."""
        self.close()
        if not isinstance(error, OSError):
            return error
        from keybaton_client.problem import ClientError
        from keybaton_hot.incoming import gone

        if isinstance(error, TimeoutError):
            return ClientError("DEADLINE_EXCEEDED", "The agent did not answer in time.")
        return gone()


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
            from keybaton_client.problem import ClientError

            raise ClientError("NO_AGENT", f"The socket {path} belongs to another user; nothing was sent to it.")
    except BaseException:
        connection.close()
        raise
    return Channel(connection, client)
