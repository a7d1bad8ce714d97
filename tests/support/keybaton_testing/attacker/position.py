"""Where the attacker stands: its host's sockets, what it has overheard, and everything it has ever seen, kept for the search.

A program is a coroutine over a Position; `Mallory` runs it in the host's network namespace, in a thread with an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from keybaton_core.announcements import DISCOVERY_PORT, Offer, Receiver, Seek, parse
from keybaton_core.photosphere_wire import parse_announcement
from keybaton_testing.attacker.certificate import Certificate, make_certificate
from keybaton_testing.lab import Host

ADDRESSES = 79  # the attacker's own, beside the first
FIRST_ADDRESS = 100
CERTIFICATES = 96
STOP_SECONDS = 5.0
TRANSCRIPT_MAX = 64 * 1024 * 1024
RELAY_PORT = 40404  # where relays listen, so that a person can be made to name it

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Program = Callable[["Position"], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Target:
    """The honest receiver, as it announced itself."""

    host: str
    port: int
    fingerprint: bytes


class Position:
    """The attacker's means. Its attributes are read by the campaign only while no program runs."""

    def __init__(self, addresses: list[str], certificates: list[Certificate], seed: int) -> None:
        self.addresses = addresses
        self.broadcast = addresses[0].rpartition(".")[0] + ".255"
        self.certificates = certificates
        self.random = random.Random(seed)
        self.recorded: list[
            tuple[str, bytes]
        ] = []  # path and body of requests that honest senders have made, for replays
        self.begin()

    def begin(self, guesses: Sequence[str] = ()) -> None:
        """A new try. `guesses` are the codes that the attacker will try, in order; empty: it makes them up."""
        self.transcript: list[bytes] = []
        self.kept = 0
        self.did: Counter[str] = Counter()  # evidence that the attack took place
        self.learned: list[bytes] = []  # payloads that the attacker could open
        self.guesses = list(guesses)
        self.target: Target | None = None
        self.photosphere: Target | None = None
        self.seek: tuple[Seek, tuple[str, int]] | None = None
        self.offer: Offer | None = None
        self.at_seek: Callable[[], None] | None = None  # done at once when the sender asks
        self._heard = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken: BaseException | None = None

    def see(self, data: bytes) -> None:
        """Keeps what was seen."""
        self.kept += len(data)
        if self.kept <= TRANSCRIPT_MAX:
            self.transcript.append(data)

    def next_guess(self) -> str:
        """The next code to try: of those given, else eight digits at random."""
        if self.guesses:
            return self.guesses.pop()
        return f"{self.random.randrange(10**8):08}"

    # --- datagrams ---

    def overhear(self, data: bytes, source: tuple[str, int]) -> None:
        """A datagram on the discovery port."""
        if source[0] in self.addresses:
            return
        self.see(data)
        heard = parse(data)
        if isinstance(heard, Receiver):
            self.target = Target(source[0], heard.port, heard.fingerprint)
        elif (foreign := parse_announcement(data)) is not None:
            self.photosphere = Target(source[0], foreign.port, foreign.fingerprint)
        elif isinstance(heard, Seek):
            self.seek = (heard, source)
            if self.at_seek is not None:
                self.at_seek()
        elif isinstance(heard, Offer):
            self.offer = heard
        self._heard.set()

    async def wait_target(self) -> Target:
        """The honest receiver, once it has announced itself."""
        while self.target is None:
            self._heard.clear()
            await self._heard.wait()
        return self.target

    async def wait_photosphere(self) -> Target:
        """The same of a Photosphere receiver."""
        while self.photosphere is None:
            self._heard.clear()
            await self._heard.wait()
        return self.photosphere

    def shout(self, datagram: bytes, source: str = "") -> None:
        """Broadcasts a datagram, and answers the sender's question with it as an honest receiver would."""
        with self.datagram_socket(source) as sock, contextlib.suppress(OSError):
            sock.sendto(datagram, (self.broadcast, DISCOVERY_PORT))
            if self.seek is not None:
                sock.sendto(datagram, self.seek[1])
        self.did["datagrams"] += 1

    @staticmethod
    def datagram_socket(source: str = "") -> socket.socket:
        """A socket that may broadcast."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((source, 0))
        return sock

    # --- connections ---

    async def serve(
        self,
        handler: Callable[[Streams], Awaitable[None]],
        certificate: Certificate | None,
        *,
        address: str = "",
        port: int = 0,
    ) -> int:
        """Listens on an address of ours (all, when empty) and returns the port; plain TCP without a certificate."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                await handler((reader, writer))
            writer.transport.abort()
            self._writers.discard(writer)

        server = await asyncio.start_server(
            self._watched(handle),
            address or "0.0.0.0",
            port,
            ssl=None if certificate is None else certificate.context,
            ssl_handshake_timeout=None if certificate is None else 5,
            reuse_address=True,
            backlog=256,
        )
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    def _watched(
        self, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        return lambda reader, writer: self.start(handle(reader, writer))

    async def dial(self, target: Target, *, source: str = "", tls: bool = True) -> Streams:
        """A connection to the honest receiver. OSError."""
        context: ssl.SSLContext | None = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                target.host,
                target.port,
                ssl=context,
                server_hostname="" if tls else None,
                local_addr=(source, 0) if source else None,
            )
        self._writers.add(writer)
        return reader, writer

    # --- the program's tasks ---

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside the program. A network error ends it quietly, a mistake of ours fails the try."""

        async def guarded() -> None:
            try:
                await work
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                self.did["interrupted"] += 1
            except Exception as error:
                self.broken = self.broken or error

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before its first step

    async def end(self) -> None:
        """Closes everything that the program has opened."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()


class _Ears(asyncio.DatagramProtocol):
    def __init__(self, position: Position) -> None:
        self._position = position

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._position.overhear(data, addr)


class Mallory:
    """The attacker's host at work; a context manager."""

    def __init__(self, host: Host, seed: int) -> None:
        self._host = host
        stem = host.addresses[0].rpartition(".")[0]
        more = [f"{stem}.{FIRST_ADDRESS + number}" for number in range(ADDRESSES)]
        for address in more:
            subprocess.run(
                ["ip", "-netns", host.namespace, "addr", "add", f"{address}/24", "dev", "eth0"], check=True, timeout=20
            )
        self.address = host.addresses[0]
        self._addresses = [self.address, *more]
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mallory", daemon=True)
        self._ready: Future[Position] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self.position = self._ready.result(timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            with self._host.inside():
                asyncio.set_event_loop(self._loop)
                self._ready.set_result(self._loop.run_until_complete(self._take_position()))
                self._loop.run_forever()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _take_position(self) -> Position:
        with tempfile.TemporaryDirectory(prefix="kbm-") as folder:
            certificates = [make_certificate(Path(folder)) for _ in range(CERTIFICATES)]
        position = Position(self._addresses, certificates, self._seed)
        ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ears.bind(("", DISCOVERY_PORT))
        ears.setblocking(False)
        await self._loop.create_datagram_endpoint(lambda: _Ears(position), sock=ears)
        return position

    @contextlib.contextmanager
    def attacking(self, program: Program, guesses: Sequence[str] = ()) -> Iterator[Position]:
        """Runs `program` until the block ends. A mistake in the program is raised here."""
        self._call(self._begin(program, guesses))
        try:
            yield self.position
        finally:
            self._call(self.position.end())
        if self.position.broken is not None:
            raise self.position.broken

    async def _begin(self, program: Program, guesses: Sequence[str]) -> None:
        self.position.begin(guesses)
        self.position.start(program(self.position))
        await asyncio.sleep(0)

    def _call(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=STOP_SECONDS + 15)
