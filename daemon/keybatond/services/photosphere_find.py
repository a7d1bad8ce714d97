"""Finds the one Photosphere receiver: listens to announcements and stops when more than one certificate is announced."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import dataclass
from typing import NoReturn

from keybaton_core.announcements import Receiver
from keybaton_core.announcements import parse as parse_keybaton
from keybaton_core.photosphere_wire import parse_announcement
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, DatagramEndpoint
from keybatond.ports import Clock
from keybatond.services.deadlines import within
from keybatond.services.share_session import SendControl

LISTEN_SECONDS = 2.0  # after the first announcement: a real receiver speaks twice in that time
MAX_ADDRESSES = 8  # of one fingerprint: copies over several interfaces, and what a stranger adds


@dataclass(frozen=True)
class Found:
    """A receiver: where it may be, in the order heard, and the certificate announced (None when it was named by hand)."""

    addresses: tuple[Address, ...]
    fingerprint: bytes | None


class Ears:
    """Hears announcements on one endpoint. `only_from` are hosts that the person named; empty: any."""

    def __init__(
        self,
        endpoint: DatagramEndpoint,
        control: SendControl,
        own: Container[bytes],
        only_from: frozenset[str],
    ) -> None:
        self._endpoint = endpoint
        self._control = control
        self._own = own
        self._only_from = only_from
        self._heard: dict[bytes, list[Address]] = {}
        self._keybaton = False

    async def find(self, clock: Clock, deadline: float) -> Found:
        """The only receiver. ShareFailed: NO_PEER after `deadline`, MANY_ANNOUNCERS when more than one speaks."""
        try:
            await within(clock, deadline - clock.monotonic(), self._first())
        except TimeoutError:
            raise self._nobody() from None
        with contextlib.suppress(TimeoutError):  # nobody else spoke: the good case
            await within(clock, min(LISTEN_SECONDS, deadline - clock.monotonic()), self.hear_another())
        fingerprint, addresses = next(iter(self._heard.items()))
        return Found(tuple(addresses), fingerprint)

    async def hear_another(self) -> NoReturn:
        """Listens on; raises ShareFailed(MANY_ANNOUNCERS) as soon as a second fingerprint is heard, else never returns."""
        while len(self._heard) < 2:  # its caller gives it a deadline
            await self._hear()
        raise ShareFailed(
            ShareReason.MANY_ANNOUNCERS,
            "More than one receiver announces itself; one of them may be a stranger's. Nothing was sent.",
        )

    async def _first(self) -> None:
        while not self._heard:
            await self._hear()

    async def _hear(self) -> None:
        data, source = await self._endpoint.receive()
        heard = parse_announcement(data)
        if heard is None:
            self._keybaton = self._keybaton or isinstance(parse_keybaton(data), Receiver)
            return
        if heard.fingerprint in self._own or (self._only_from and source.host not in self._only_from):
            return
        addresses = self._heard.setdefault(heard.fingerprint, [])
        address = Address(source.host, heard.port, source.scope)
        if address not in addresses and len(addresses) < MAX_ADDRESSES:
            addresses.append(address)
        self._control.show_candidates(len(self._heard))

    def _nobody(self) -> ShareFailed:
        if self._keybaton:
            return ShareFailed(
                ShareReason.NO_PEER, "Only a Keybaton receiver answers: send without Photosphere's protocol."
            )
        return ShareFailed(ShareReason.NO_PEER, "No Photosphere receiver announced itself.")
