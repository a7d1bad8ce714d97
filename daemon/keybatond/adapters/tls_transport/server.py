"""The HTTPS server of one session, on aiohttp's low-level server.

aiohttp parses HTTP; accepting, the number of connections, deadlines and the cap on what a peer may send are kept here, so
that slow, half-open or greedy peers never keep an honest one out and never fill the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import itertools
import socket
import ssl

from aiohttp import web

from keybatond.adapters.tls_transport.protocol import LINGER_MAX, LINGER_SECONDS, Protocol
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, RequestHandler, RequestHead, Response

CONNECTIONS_MAX = 64
PER_SOURCE_MAX = 8
BACKLOG = 128
HANDSHAKE_SECONDS = 3.0
NEW_SECONDS = 1.0  # in which an honest peer has shaken hands and said what it wants
BODY_SILENCE_SECONDS = 5.0  # between two pieces of a body
BODY_SECONDS = 30.0  # for all of a body: 1.5 MiB over a bad wireless network
CLOSE_SECONDS = 0.5  # for answers that are under way when the server stops
ACCEPT_PAUSE_SECONDS = 0.1  # when the process is out of descriptors
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def start_server(handler: RequestHandler, context: ssl.SSLContext, fingerprint: bytes) -> HttpsServer:
    """Listens on one port of all addresses. ShareFailed(NETWORK) when none can be had."""
    return HttpsServer(_listener(), handler, context, fingerprint)


def _listener() -> socket.socket:
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "")):
        with contextlib.suppress(OSError):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # one port for IPv4 and IPv6
                sock.setblocking(False)
                sock.bind((host, 0))
                sock.listen(BACKLOG)
            except OSError:
                sock.close()
                raise
            return sock
    raise ShareFailed(ShareReason.NETWORK, "No TCP port can be had on this machine.")


class _Connection:
    """One accepted connection, from before its TLS handshake until it ends."""

    def __init__(self, number: int, peer: Address, since: float) -> None:
        self.number = number
        self.peer = peer
        self.since = since
        self.kept = False
        self.task: asyncio.Task[None] | None = None  # the TLS handshake
        self.adopted = False  # the event loop's transport owns the socket and closes it
        self.protocol: Protocol | None = None  # after the handshake

    def rank(self, now: float) -> tuple[int, int]:
        """Who goes first when there are too many: stuck half way, without a request, with one, new; among them the oldest.

        New ones go after all of these: else a stream of newcomers would push each other's handshakes out, and the honest
        one's with them, as soon as the rest of the places are held by requests. Kept ones go last.
        """
        if self.kept:
            return 4, self.number
        if now - self.since < NEW_SECONDS:
            return 3, self.number
        if self.protocol is None or self.protocol.reading:
            return 0, self.number
        return 1 if self.protocol.idle else 2, self.number

    def abort(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.protocol is not None:
            self.protocol.abort()


class HttpsServer:
    """Implements TlsServer."""

    def __init__(self, listener: socket.socket, handler: RequestHandler, context: ssl.SSLContext, fingerprint: bytes):
        self._listener = listener
        self._handler = handler
        self._context = context
        self._fingerprint = fingerprint
        self._port: int = listener.getsockname()[1]
        self._numbers = itertools.count(1)
        self._connections: dict[int, _Connection] = {}
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self._closed = False
        self._http = web.Server(self._serve, handler_cancellation=True)
        self._loop.add_reader(listener, self._accept)

    @property
    def port(self) -> int:
        """The port, the same for IPv4 and IPv6."""
        return self._port

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER certificate."""
        return self._fingerprint

    async def close(self) -> None:
        """Stops listening, gives answers that are under way half a second, and closes every connection."""
        if self._closed:
            return
        self._closed = True
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        handshakes = [one.task for one in self._connections.values() if one.task is not None]
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        self._http.pre_shutdown()  # ends idle connections; without it they would use up the time
        await self._http.shutdown(CLOSE_SECONDS)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                sock, source = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._loop.remove_reader(self._listener)
                    self._resume = self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._accept_again)
                    return
                continue  # the peer went away before it was accepted
            peer = _address(source)
            if not self._make_room(peer.host):
                sock.close()
                continue
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
                )  # asyncio does it only for sockets of its own
            connection = _Connection(next(self._numbers), peer, self._loop.time())
            self._connections[connection.number] = connection
            connection.task = self._loop.create_task(self._shake_hands(connection, sock))
            # Not in the task itself: one that is cancelled before its first step runs nothing of its own.
            connection.task.add_done_callback(functools.partial(self._handshake_over, connection, sock))

    def _accept_again(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _make_room(self, host: str) -> bool:
        """Whether one more from `host` may come. A source has its share; when all is taken, the source that holds the most
        loses the connection that has got least far: crowding others out takes as many addresses as connections."""
        sources: dict[str, list[_Connection]] = {}
        for connection in self._connections.values():
            sources.setdefault(connection.peer.host, []).append(connection)
        if len(sources.get(host, [])) >= PER_SOURCE_MAX:
            return False
        if len(self._connections) >= CONNECTIONS_MAX:
            now = self._loop.time()
            crowd = max(sources.values(), key=lambda held: (len(held), -min(one.rank(now)[0] for one in held)))
            victim = min(crowd, key=lambda one: one.rank(now))
            victim.abort()
            self._connections.pop(victim.number, None)
        return True

    async def _shake_hands(self, connection: _Connection, sock: socket.socket) -> None:
        def made() -> Protocol:
            connection.adopted = True
            return Protocol(self._http, self._loop, connection.number, connection.peer, self._lost)

        with contextlib.suppress(OSError):  # TLS errors and deadlines among them: not a peer of ours
            _, connection.protocol = await self._loop.connect_accepted_socket(
                made,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )

    def _handshake_over(self, connection: _Connection, sock: socket.socket, task: asyncio.Task[None]) -> None:
        connection.task = None
        if connection.protocol is None:
            self._connections.pop(connection.number, None)
            if not connection.adopted:
                sock.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a TLS handshake failed", "exception": error})

    def _lost(self, number: int) -> None:
        self._connections.pop(number, None)
        self._handler.disconnected(number)

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        protocol = request.protocol
        assert isinstance(protocol, Protocol)
        with protocol.serving():
            path, mark, query = request.raw_path.partition("?")
            head = RequestHead(
                method=request.method,
                path=path,
                query=query if mark else None,
                connection=protocol.number,
                peer=protocol.peer,
                content_length=request.content_length,
            )
            answer = await self._answer(head, request, protocol)
            if answer.keep and protocol.number in self._connections:
                self._connections[protocol.number].kept = True
            return _response(answer)

    async def _answer(self, head: RequestHead, request: web.BaseRequest, protocol: Protocol) -> Response:
        limit = self._handler.body_limit(head)
        if isinstance(limit, Response):
            protocol.allow(min(head.content_length or 0, LINGER_MAX))
            return limit
        if head.content_length is not None and head.content_length > limit:
            protocol.allow(min(head.content_length, LINGER_MAX))
            return self._too_large(head)
        protocol.allow(limit)
        body = bytearray()
        protocol.reading = True
        async with asyncio.timeout(BODY_SECONDS) as deadline, asyncio.timeout(BODY_SILENCE_SECONDS) as silence:
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit:
                    return self._too_large(head)
                silence.reschedule(self._loop.time() + BODY_SILENCE_SECONDS)
            silence.reschedule(None)
            deadline.reschedule(None)
        protocol.reading = False
        return await self._handler.respond(head, bytes(body))

    def _too_large(self, head: RequestHead) -> Response:
        answer = self._handler.too_large(head)
        return Response(answer.status, answer.body, close=True)


def _address(source: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    host = source[0].removeprefix("::ffff:") if "." in source[0] else source[0]
    return Address(host, source[1], source[3] if len(source) == 4 and "." not in source[0] else 0)


def _response(answer: Response) -> web.Response:
    # The names of library and Python version are nobody's business.
    headers = {"Server": "keybaton", "Cache-Control": "no-store"}
    response = web.Response(status=answer.status, body=answer.body, headers=headers, content_type="application/json")
    if answer.close:
        response.force_close()
    return response
