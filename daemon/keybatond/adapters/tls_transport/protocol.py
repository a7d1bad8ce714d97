"""aiohttp's HTTP protocol for one connection, with deadlines and a cap on what the peer may send at any moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from keybatond.network_ports import Address

FIRST_REQUEST_SECONDS = 5.0  # from the TLS handshake until the first request's headers are complete
NEXT_REQUEST_SECONDS = 30.0  # from an answer until the next request's headers are complete
LINGER_SECONDS = 2.0  # reads and drops the rest of a refused body, so that the answer is not lost in a reset
# Bytes that may come beyond a body: a request's head, framing, and what one read of the TLS layer (256 KiB) brings of a body
# before its request has been looked at.
ALLOWANCE = 512 * 1024
LINE_MAX = 4096
LINGER_MAX = 4 * 1024 * 1024  # bytes of a refused body that are read and dropped


class Protocol(web.RequestHandler):
    """Talks HTTP with one peer. It ends the connection when a request does not come in time or too much comes."""

    __slots__ = ("_allowance", "_at_end", "_timer", "idle", "number", "peer", "reading")

    def __init__(
        self,
        manager: web.Server,
        loop: asyncio.AbstractEventLoop,
        number: int,
        peer: Address,
        at_end: Callable[[int], None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # documented: no access log
            keepalive_timeout=2 * NEXT_REQUEST_SECONDS,  # never first: the deadlines below are stricter
            lingering_time=LINGER_SECONDS,
            max_line_size=LINE_MAX,
            max_field_size=LINE_MAX,
            auto_decompress=False,
        )
        self.number = number
        self.peer = peer
        self.idle = True
        self.reading = False  # a body
        self._at_end = at_end
        self._allowance = ALLOWANCE
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is complete."""
        super().connection_made(transport)
        self._arm(FIRST_REQUEST_SECONDS)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        self._disarm()
        super().connection_lost(exc)
        self._at_end(self.number)

    def data_received(self, data: bytes) -> None:
        """Counts before it parses: pipelined requests and endless bodies end the connection, not the memory."""
        self._allowance -= len(data)
        if self._allowance < 0:
            self.abort()
            return
        super().data_received(data)

    def allow(self, body: int) -> None:
        """Lets `body` bytes of a body come."""
        self._allowance = ALLOWANCE + body

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """While a request is served: its own deadlines hold, not those of an idle connection."""
        self._disarm()
        self.idle = False
        self.allow(0)
        try:
            yield
        finally:
            self.idle = True
            self.reading = False
            self._arm(NEXT_REQUEST_SECONDS)

    def abort(self) -> None:
        """Ends the connection at once."""
        transport = self.transport
        if transport is not None:
            transport.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A bare status: no library's name, and nothing of the request repeated."""
        if exc is not None and status >= 500:
            self._loop.call_exception_handler({"message": "a request handler failed", "exception": exc})
        answer = web.Response(status=status, text='{"error":"refused"}', content_type="application/json")
        answer.headers["Server"] = "keybaton"
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Malformed requests are not worth a line: anyone on the network could fill the log."""

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, self.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
