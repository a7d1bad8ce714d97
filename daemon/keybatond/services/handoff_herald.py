"""How a receiver makes itself known: RECV every second and in answer to SEEK, naming the offer it answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from keybaton_core.announcements import DISCOVERY_PORT, Offer, Seek, format_receiver, parse
from keybaton_core.offers import OfferBook
from keybatond.errors import ShareFailed
from keybatond.network_ports import Address, DatagramEndpoint, Discovery
from keybatond.ports import Clock, Log

RECV_EVERY = 1.0
ANSWERS_PER_SECOND = 20
ANSWERS_PER_SOURCE = 8  # a sender asks six times in its first second


class Herald:
    """Announces one receiving session. `nonce` is that of the offer which it was started from, None: of none.

    `sender` gives the name of the device that it is for (empty: any); `show` is told the names of those that offer.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        discovery: Discovery,
        log: Log,
        nonce: str | None,
        offers: OfferBook,
        sender: Callable[[], str],
        show: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._clock = clock
        self._discovery = discovery
        self._log = log
        self._named = nonce
        self._offers = offers
        self._sender = sender
        self._show = show
        self._answers: deque[tuple[float, str]] = deque()
        self._server: tuple[int, bytes] = (0, b"")
        self._moved = asyncio.Event()

    def serve(self, port: int, fingerprint: bytes) -> None:
        """Announces this server from now on, and at once."""
        self._server = (port, fingerprint)
        self._moved.set()

    async def run(self) -> None:
        """Announces until it is cancelled."""
        try:
            endpoint = await self._discovery.listen()
        except ShareFailed:
            # Whoever listens still hears RECV every second; nobody's SEEK is answered.
            self._log.event("discovery_deaf", port=DISCOVERY_PORT)
            endpoint = await self._discovery.solicit()
        hearing = asyncio.ensure_future(self._hear(endpoint))
        try:
            while True:  # until the session ends or a sender has proved itself
                self._moved.clear()
                self._show_offers()
                await endpoint.broadcast(self._announcement())
                await self._tick()
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await endpoint.close()

    async def _tick(self) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(RECV_EVERY))
        moved = asyncio.ensure_future(self._moved.wait())
        try:
            await asyncio.wait({timer, moved}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            moved.cancel()

    def _announcement(self) -> bytes:
        nonce = self._named or self._offers.only_nonce(self._sender(), self._clock.monotonic())
        return format_receiver(*self._server, nonce)

    def _show_offers(self) -> None:
        self._show(self._offers.names(self._clock.monotonic()))

    async def _hear(self, endpoint: DatagramEndpoint) -> None:
        while True:  # ends with `run`
            data, source = await endpoint.receive()
            heard = parse(data)
            if isinstance(heard, Offer):
                self._offers.heard(heard, source.host, self._clock.monotonic())
                self._show_offers()
            elif isinstance(heard, Seek) and self._may_answer(source):
                await endpoint.send(self._announcement(), source)

    def _may_answer(self, source: Address) -> bool:
        now = self._clock.monotonic()
        while self._answers and self._answers[0][0] <= now - 1.0:
            self._answers.popleft()
        beside = sum(1 for _, host in self._answers if host == source.host)
        if len(self._answers) >= ANSWERS_PER_SECOND or beside >= ANSWERS_PER_SOURCE:
            return False
        self._answers.append((now, source.host))
        return True
