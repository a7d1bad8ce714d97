"""Finds a receiver again that has proved itself: at any address that was announced for its certificate, the quickest counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from keybatond.errors import ShareFailed
from keybatond.network_ports import Address, TlsConnection, Transport

Found = tuple[TlsConnection, Address]


async def redial(
    transport: Transport,
    fingerprint: bytes,
    addresses: Iterable[Address],
    *,
    timeout: float,
    shut: Callable[[TlsConnection], None],
) -> Found | None:
    """The first connection to the certificate, or None when no address has it within `timeout` seconds.

    Announced addresses may be lies; the certificate is checked before a byte of a request. `shut` closes what is too late.
    """
    found: list[Found] = []

    async def dial(address: Address) -> None:
        with contextlib.suppress(ShareFailed):
            found.append((await transport.connect(address, fingerprint=fingerprint, timeout=timeout), address))

    dials = {asyncio.ensure_future(dial(address)) for address in addresses}
    waiting = set(dials)
    won: Found | None = None
    try:
        while waiting and not found:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        won = found[0] if found else None
    finally:
        for one in dials:
            one.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        for late in found:
            if late is not won:
                shut(late[0])
    return won
