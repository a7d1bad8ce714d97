"""How a sender looks for receivers: SEEK and OFFER datagrams at their times, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keybaton_core.announcements import (
    DISCOVERY_PORT,
    ForeignReceiver,
    Receiver,
    format_offer,
    format_seek,
    parse,
)
from keybaton_core.candidates import CandidateBook
from keybaton_core.host_port import split_host_port
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, DatagramEndpoint, Discovery, Transport
from keybatond.ports import Clock, Log

SEEK_TIMES = (0.0, 0.02, 0.06, 0.14, 0.3, 0.62)  # seconds after the start: the second side is found within milliseconds
SEEK_EVERY = 1.0  # after those
RESOLVE_SECONDS = 3.0
LISTEN_LATER_SECONDS = 1.0  # where the host is named: by then it has been asked six times


class Search:
    """Fills a candidate book. `changed` is called after each change of it, `foreign` with a foreign receiver's version."""

    def __init__(
        self,
        *,
        clock: Clock,
        discovery: Discovery,
        transport: Transport,
        log: Log,
        book: CandidateBook,
        nonce: str,
        device: str,
        changed: Callable[[], None],
        foreign: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._discovery = discovery
        self._transport = transport
        self._log = log
        self._book = book
        self._seek = format_seek(nonce)
        self._offer = format_offer(nonce, device)
        self._changed = changed
        self._foreign = foreign
        self._hosts: list[Address] = []  # the named peer, where it hears SEEK; empty: everybody
        self._direct: list[Address] = []  # the named peer with its port
        self.widen = False  # the named port is no use any more: ask the host for another
        self.reachable = False

    async def run(self, to: str | None) -> None:
        """Searches until it is cancelled. ShareFailed(NETWORK) when the named peer has no address."""
        if to is not None:
            await self._name(to)
        only = frozenset(address.host for address in self._hosts)
        asking = await self._discovery.solicit(also_from=only)
        tasks = [
            asyncio.ensure_future(work) for work in (self._ask(asking), self._hear(asking, only), self._listen(only))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asking.close()

    async def _listen(self, only: frozenset[str]) -> None:
        """Hears RECV on the shared port. Answers to SEEK come elsewhere, so that this may fail."""
        if only:
            # A unicast SEEK to this very machine would reach the socket that was bound last: ours.
            await self._clock.sleep(LISTEN_LATER_SECONDS)
        try:
            endpoint = await self._discovery.listen()
        except ShareFailed:
            self._log.event("discovery_deaf", port=DISCOVERY_PORT)
            return
        try:
            await self._hear(endpoint, only)
        finally:
            await endpoint.close()

    async def _name(self, to: str) -> None:
        try:
            host, port = split_host_port(to)
        except ValueError:
            raise ShareFailed(ShareReason.NETWORK, "The peer must be named as HOST or HOST:PORT.") from None
        found = await self._transport.resolve(host, port or DISCOVERY_PORT, timeout=RESOLVE_SECONDS)
        self._hosts = [Address(address.host, DISCOVERY_PORT, address.scope) for address in found]
        self._direct = found if port is not None else []

    async def _ask(self, endpoint: DatagramEndpoint) -> None:
        begun = self._clock.monotonic()
        tick = 0
        while True:  # until the session ends or a receiver has proved itself
            if tick == 0 or tick >= len(SEEK_TIMES):
                await self._send(endpoint, self._offer)
                self._dial_direct()
            await self._send(endpoint, self._seek)
            tick += 1
            extra = max(0, tick - len(SEEK_TIMES) + 1)
            due = begun + SEEK_TIMES[min(tick, len(SEEK_TIMES) - 1)] + extra * SEEK_EVERY
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))

    async def _send(self, endpoint: DatagramEndpoint, datagram: bytes) -> None:
        if not self._hosts:
            self.reachable |= await endpoint.broadcast(datagram) > 0
            return
        self.reachable = True
        if not self._direct or self.widen:
            for address in self._hosts:
                await endpoint.send(datagram, address)

    def _dial_direct(self) -> None:
        for address in self._direct:
            self._book.heard(None, (address.host, address.port, address.scope), None, self._clock.monotonic())
        if self._direct:
            self._changed()

    async def _hear(self, endpoint: DatagramEndpoint, only: frozenset[str]) -> None:
        while True:  # until the session ends or a receiver has proved itself
            data, source = await endpoint.receive()
            if only and source.host not in only:
                continue
            heard = parse(data)
            if isinstance(heard, ForeignReceiver):
                self._foreign(heard.version)
            elif isinstance(heard, Receiver) and (not self._direct or self.widen):
                where = (source.host, heard.port, source.scope)
                self._book.heard(heard.fingerprint, where, heard.nonce, self._clock.monotonic())
                self._changed()
