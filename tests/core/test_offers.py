"""The offers that a receiver hears: which of them stand, what they are called, and when one nonce can be named."""

from __future__ import annotations

from keybaton_core.announcements import Offer
from keybaton_core.offers import OFFER_SECONDS, OFFERS_MAX, OFFERS_PER_SOURCE, OfferBook, same_device

ONE, TWO, THREE = (digit * 32 for digit in "123")


def book(*offers: tuple[str, str], own: frozenset[str] = frozenset()) -> OfferBook:
    made = OfferBook(own)
    for number, (nonce, name) in enumerate(offers):
        made.heard(Offer(nonce, name), f"10.0.0.{number}", 0.0)
    return made


def test_a_single_offer_is_named_without_being_chosen() -> None:
    """Nothing for no offer and for two; an offer that is repeated stays one."""
    assert book().only_nonce("", 0) is None
    assert book((ONE, "desk"), (ONE, "desk")).only_nonce("", 0) == ONE
    assert book((ONE, "desk"), (TWO, "laptop")).only_nonce("", 0) is None


def test_a_name_chooses_its_offer() -> None:
    """Whatever its case; a name of two offers or of none chooses nothing."""
    heard = book((ONE, "desk"), (TWO, "laptop"), (THREE, "Laptop"))
    assert heard.only_nonce("DESK", 0) == ONE
    assert heard.only_nonce("laptop", 0) is None
    assert heard.only_nonce("tablet", 0) is None
    assert same_device("Büro", "büro")


def test_a_nonce_copied_under_another_name_still_is_the_senders() -> None:
    """Whoever repeats an offer with another name hides nothing."""
    heard = book((ONE, "not the desk"), (ONE, "desk"))
    assert heard.names(0) == ("desk", "not the desk")
    assert heard.only_nonce("desk", 0) == ONE


def test_an_offer_that_is_not_repeated_is_forgotten() -> None:
    """After the time of three repetitions; one that is repeated stays."""
    heard = book((ONE, "desk"), (TWO, "laptop"))
    heard.heard(Offer(TWO, "laptop"), "10.0.0.2", 3)
    assert heard.names(OFFER_SECONDS) == ("desk", "laptop")
    assert heard.names(OFFER_SECONDS + 0.1) == ("laptop",)
    assert heard.only_nonce("", OFFER_SECONDS + 0.1) == TWO


def test_offers_of_the_same_agent_are_none() -> None:
    """They are neither shown nor in the way of the one that counts."""
    heard = book((ONE, "desk"), (TWO, "laptop"), own=frozenset({ONE}))
    assert heard.names(0) == ("laptop",)
    assert heard.only_nonce("", 0) == TWO


def test_the_book_is_bounded() -> None:
    """In all, and for one source; what was there first stays while it is repeated."""
    heard = book((ONE, "desk"))
    for number in range(1000):
        heard.heard(Offer(f"{number:032x}", f"n{number:03}"), "10.0.0.66", 1)
    assert len(heard.names(1)) == 1 + OFFERS_PER_SOURCE
    for number in range(1000):
        heard.heard(Offer(f"{number:032x}", f"m{number:03}"), f"10.0.1.{number}", 1)
    assert len(heard.names(1)) == OFFERS_MAX
    heard.heard(Offer(ONE, "desk"), "10.0.0.0", 2)
    assert "desk" in heard.names(5)
