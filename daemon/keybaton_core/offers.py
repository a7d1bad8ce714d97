"""Which devices offer something at this moment, as one receiver hears them. All of it is hearsay and bounded.

A receiver that knows which offer it is for names that offer's nonce, and honest senders of others leave it alone: each
handshake between strangers costs both a guess.
"""

from __future__ import annotations

from collections.abc import Container

from keybaton_core.announcements import Offer

OFFERS_MAX = 64
OFFERS_PER_SOURCE = 8
OFFER_SECONDS = 3.5  # an offer is repeated each second: two lost datagrams in a row do not end it


class OfferBook:
    """The offers heard lately. `own` are the nonces of the same agent's offers: nobody receives from himself."""

    def __init__(self, own: Container[str]) -> None:
        self._own = own
        self._heard: dict[Offer, tuple[float, str]] = {}  # when last, from which host

    def heard(self, offer: Offer, host: str, now: float) -> None:
        """An OFFER came in from `host`."""
        self._forget(now)
        if offer not in self._heard:
            beside = sum(1 for _, source in self._heard.values() if source == host)
            if len(self._heard) >= OFFERS_MAX or beside >= OFFERS_PER_SOURCE:
                return
        self._heard[offer] = (now, host)

    def names(self, now: float) -> tuple[str, ...]:
        """What the offering devices call themselves, each name once, in order."""
        self._forget(now)
        return tuple(sorted({offer.name for offer in self._others()}, key=lambda name: (name.casefold(), name)))

    def only_nonce(self, sender: str, now: float) -> str | None:
        """The nonce of the one offer of the device `sender` (empty: of any); None for no offer and for several."""
        self._forget(now)
        nonces = {offer.nonce for offer in self._others() if not sender or same_device(offer.name, sender)}
        return nonces.pop() if len(nonces) == 1 else None

    def _others(self) -> list[Offer]:
        return [offer for offer in self._heard if offer.nonce not in self._own]

    def _forget(self, now: float) -> None:
        for offer in [offer for offer, (last, _) in self._heard.items() if now - last > OFFER_SECONDS]:
            del self._heard[offer]


def same_device(name: str, other: str) -> bool:
    """Whether two device names mean the same: host names know no case."""
    return name.casefold() == other.casefold()
