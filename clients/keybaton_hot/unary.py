"""Unary gRPC calls over a Unix socket with built-in modules alone, for commands that must start quickly.

One connection, one call at a time: HTTP/2 (RFC 9113) by hand, within both flow-control windows, with a deadline on every
wait. Whatever the other side sends, a call ends with the answer or with a ClientError; after an error the channel is closed.
Streams, TLS and compression are left to `grpcio`.

Here is all that a request needs, its message included, field by field as proto/keybaton_api/agent/v1/*.proto numbers them:
another module would cost more than what is in it. What comes back is left to `incoming` and `answers`, which are loaded while
the agent works.
"""

import _socket
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keybaton_hot.incoming import Incoming

FRAME_MAX = 16_384  # SETTINGS_MAX_FRAME_SIZE of both sides, never raised here
WINDOW = 65_535  # of the connection and of a stream, unless a side says otherwise (RFC 9113, section 6.9.2)
_RECEIVE_WINDOW = 8 * 1024 * 1024  # over the largest message: an answer never waits for a window update
_TIMEOUT_MAX_MS = 99_999_999  # grpc-timeout has eight digits

GET_ITEM = "/keybaton_api.agent.v1.VaultService/GetItem"
LIST_ITEMS = "/keybaton_api.agent.v1.VaultService/ListItems"
BATCH_PUT = "/keybaton_api.agent.v1.VaultService/BatchPut"
PUT_ITEM = "/keybaton_api.agent.v1.VaultService/PutItem"
GET_ENVIRONMENT = "/keybaton_api.agent.v1.EnvService/GetEnvironment"

SECRET = 1  # ITEM_KIND_SECRET
CREATE = 1  # PUT_MODE_CREATE
_PAGE_MAX = 1000

_LENGTH_PREFIXED = 2  # the wire type

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


def varint(value: int) -> bytes:
    """A base-128 integer, 0 <= value < 2**64."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """An unsigned or enum field; nothing for 0, which is the default."""
    return varint(number << 3) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A string or bytes field; nothing for an empty one, which is the default."""
    return message_field(number, value) if value else b""


def message_field(number: int, value: bytes) -> bytes:
    """A message field, present even when it is empty."""
    key, size = number << 3 | _LENGTH_PREFIXED, len(value)
    if key | size <= 0x7F:  # nearly all
        return b"%c%c%b" % (key, size, value)
    return varint(key) + varint(size) + value


def _reference(kind: int, name: str) -> bytes:
    return number_field(1, kind) + bytes_field(2, name.encode())


def get_request(name: str, field: str) -> bytes:
    """GetItemRequest for the bare value of one field of a secret; an empty `field` means its only one."""
    return message_field(1, _reference(SECRET, name)) + bytes_field(2, field.encode()) + b"\x18\x01"


def list_request(page_token: str = "", prefix: str = "") -> bytes:
    """ListItemsRequest for a page, as large as there are, of the columns of secrets whose names begin with `prefix`."""
    chosen = number_field(1, SECRET) + bytes_field(4, prefix.encode())
    return chosen + number_field(5, _PAGE_MAX) + bytes_field(6, page_token.encode()) + b"\x38\x01"


def put_request(name: str, kind: str, values: "Mapping[str, bytes]", mode: int) -> bytes:
    """PutItemRequest for a secret of type `kind` with these fields."""
    return message_field(1, _secret(name, kind, values)) + number_field(2, mode)


def batch_put_request(secrets: "list[tuple[str, str, Mapping[str, bytes]]]", mode: int) -> bytes:
    """BatchPutRequest for secrets, each as (name, type, fields)."""
    items = [message_field(1, _secret(name, kind, values)) for name, kind, values in secrets]
    return b"".join(items) + number_field(2, mode)


def _secret(name: str, kind: str, values: "Mapping[str, bytes]") -> bytes:
    """An Item with a Secret in it."""
    body = bytes_field(1, kind.encode())
    for key, value in values.items():
        body += message_field(2, bytes_field(1, key.encode()) + bytes_field(2, value))
    return message_field(1, _reference(SECRET, name)) + message_field(5, body)


def environment_request(project: str, environment: str) -> bytes:
    """GetEnvironmentRequest."""
    return bytes_field(1, project.encode()) + bytes_field(2, environment.encode())
