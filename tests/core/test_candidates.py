"""The candidate book: turns, limits and memory, whatever is announced."""

from __future__ import annotations

import random

import pytest

from keybaton_core.candidates import (
    ADDRESSES_PER_FINGERPRINT,
    CANDIDATES_MAX,
    CANDIDATES_PER_SOURCE,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_SOURCE,
    HEDGE_SECONDS,
    IDLE_SECONDS,
    Candidate,
    CandidateBook,
)

NONCE = "ab" * 16


def fp(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def book() -> CandidateBook:
    return CandidateBook(frozenset({fp(999)}), NONCE)


def opened(book: CandidateBook, now: float = 0.0) -> list[Candidate]:
    return book.plan(now).open


def test_a_receiver_heard_on_two_addresses_is_dialled_once(book: CandidateBook) -> None:
    """The second address is a reserve: tried at once when the first fails, and soon when it is slow."""
    book.heard(fp(1), ("a", 1, 0), None, 0)
    book.heard(fp(1), ("b", 1, 0), None, 0)
    assert [c.source for c in opened(book)] == ["a"]
    assert opened(book, HEDGE_SECONDS - 0.01) == []
    assert [c.source for c in opened(book, HEDGE_SECONDS)] == ["b"]


def test_a_reserve_is_tried_when_the_first_address_fails(book: CandidateBook) -> None:
    """No waiting for the slow path when the first address refuses."""
    book.heard(fp(1), ("a", 1, 0), None, 0)
    book.heard(fp(1), ("b", 1, 0), None, 0)
    first = opened(book)[0]
    book.closed(first, 0.01, failed=True)
    assert [c.source for c in opened(book, 0.01)] == ["b"]


def test_only_one_handshake_for_one_certificate(book: CandidateBook) -> None:
    """Of two connections to one receiver the second is told to wait."""
    book.heard(fp(1), ("a", 1, 0), None, 0)
    book.heard(fp(1), ("b", 1, 0), None, 0)
    first = opened(book)[0]
    second = opened(book, 1.0)[0]
    assert book.connected(second, fp(1), 1.0)
    assert not book.connected(first, fp(1), 1.0)


def test_another_certificate_than_announced_is_no_receiver(book: CandidateBook) -> None:
    """Nor is one that was left alone, or the agent's own."""
    for number, shown in ((1, fp(2)), (3, fp(3))):
        book.heard(fp(number), ("a", number, 0), None, 0)
        candidate = opened(book)[0]
        if number == 3:
            book.ban(fp(3))
        assert not book.connected(candidate, shown, 0)
    book.heard(fp(999), ("a", 9, 0), None, 0)
    book.heard(fp(3), ("a", 10, 0), None, 0)
    assert opened(book, 100) == []


def test_a_receiver_that_answers_another_offer_is_left_alone(book: CandidateBook) -> None:
    """So that two honest pairs do not spend each other's guesses."""
    book.heard(fp(1), ("a", 1, 0), "cd" * 16, 0)
    assert opened(book) == []
    book.heard(fp(1), ("a", 1, 0), NONCE, 0)
    assert len(opened(book)) == 1


def test_connections_are_limited_in_all_and_for_each_source(book: CandidateBook) -> None:
    """64, and 8 for one source address."""
    for number in range(60):
        book.heard(fp(number), ("h0", number + 1, 0), None, 0)
    assert len(opened(book)) == CONNECTIONS_PER_SOURCE
    for number in range(60, 600):
        book.heard(fp(number), (f"h{number % 12}", number + 1, 0), None, 0)
    opened(book)
    assert len(book.active()) == CONNECTIONS_MAX


def test_sources_take_turns(book: CandidateBook) -> None:
    """A source with sixty receivers does not delay another's one."""
    for number in range(60):
        book.heard(fp(number), ("greedy", number + 1, 0), None, 0)
    book.heard(fp(100), ("modest", 1, 0), None, 0)
    assert any(c.source == "modest" for c in opened(book)[:2])


def test_memory_is_bounded_and_a_new_source_still_gets_in(book: CandidateBook) -> None:
    """A flood from many sources pushes out itself, not the one that announces once."""
    for number in range(5000):
        book.heard(fp(number), (f"h{number % 50}", number % 60000 + 1, 0), None, 0)
    assert len(book) <= CANDIDATES_MAX
    book.heard(fp(9999), ("honest", 1, 0), None, 0)
    for number in range(5000, 8000):
        book.heard(fp(number), (f"h{number % 50}", number % 60000 + 1, 0), None, 0)
    assert book.crowded
    assert len(book) <= CANDIDATES_MAX
    assert any(c.source == "honest" for c in opened(book))


def test_a_newcomer_takes_a_place_only_from_who_has_more(book: CandidateBook) -> None:
    """Where every source has as many as the newcomer, nobody is pushed out, or two floods would empty each other's queues."""
    sources = CANDIDATES_MAX // 2
    for number in range(CANDIDATES_MAX):
        book.heard(fp(2000 + number), (f"h{number % sources}", number + 1, 0), None, 0)
    assert not book.crowded
    book.heard(fp(5000), ("h0", 5000, 0), None, 0)  # has two as all others
    assert book.crowded
    assert book.endpoints(fp(5000)) == []
    book.heard(fp(6000), ("new", 6000, 0), None, 0)
    assert book.endpoints(fp(6000)) == [("new", 6000, 0)]
    assert len(book) == CANDIDATES_MAX


def test_who_lied_is_remembered_and_the_oldest_forgotten(book: CandidateBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many and not more, whatever is announced."""
    monkeypatch.setattr("keybaton_core.candidates.LIARS_MAX", 3)
    for number in range(5):
        book.heard(fp(number), ("a", number + 1, 0), None, number)
        (candidate,) = opened(book, number)
        book.closed(candidate, number, failed=True)
    assert list(book._liars) == [(fp(number), "a") for number in (2, 3, 4)]


def test_copies_of_a_fingerprint_do_not_push_the_real_address_aside(book: CandidateBook) -> None:
    """However many false addresses claim a receiver's certificate, its own has its turn as they fail."""
    for number in range(40):
        book.heard(fp(1), (f"false{number}", 1, 0), None, 0)
    now = 0.0
    for _ in range(200):
        book.heard(fp(1), ("real", 1, 0), None, now)
        for candidate in opened(book, now):
            if candidate.source == "real":
                assert book.connected(candidate, fp(1), now)
                return
        now += 0.3
        for candidate in book.active():
            if now - candidate.since >= 3:
                book.closed(candidate, now, failed=True)
    pytest.fail(f"never dialled, with {ADDRESSES_PER_FINGERPRINT} addresses for a certificate")


def test_silent_copies_from_many_hosts_do_not_keep_the_real_receiver_out(book: CandidateBook) -> None:
    """Forty hosts announce its certificate on forty ports, a thousand times as often as itself, and accept and say nothing."""
    chance = random.Random(7)
    for tick in range(40 * 100):
        now = tick / 100
        for _ in range(10):
            book.heard(fp(1), (f"h{chance.randrange(40)}", chance.randrange(1, 40), 0), None, now)
        if tick % 100 == 50:
            book.heard(fp(1), ("real", 1, 0), None, now)
        for candidate in opened(book, now):
            if candidate.source == "real":
                assert book.connected(candidate, fp(1), now)
                return
        for candidate in book.active():
            if now - candidate.since >= 3:
                book.closed(candidate, now, failed=True)
    pytest.fail("never dialled")


def test_a_receiver_without_a_code_makes_room_after_a_while(book: CandidateBook) -> None:
    """Sixty-four receivers that never get a code do not keep the sixty-fifth out."""
    for number in range(CONNECTIONS_MAX):
        book.heard(fp(number), (f"h{number}", 1, 0), None, 0)
    for candidate in opened(book):
        assert book.connected(candidate, candidate.fingerprint or b"", 0)
        book.idle(candidate)
    book.heard(fp(500), ("late", 1, 0), None, 0.5)
    assert book.plan(1.0).open == []
    assert book.wake_at() == IDLE_SECONDS
    plan = book.plan(IDLE_SECONDS)
    assert [c.source for c in plan.open] == ["late"]
    assert len(plan.drop) == 1
    assert len(book.active()) == CONNECTIONS_MAX


def test_a_receiver_that_seems_ready_now_and_then_makes_room_too(book: CandidateBook) -> None:
    """It says "ready" and then has no code after all, again and again: its time is not counted afresh."""
    for number in range(CONNECTIONS_MAX):
        book.heard(fp(number), (f"h{number}", 1, 0), None, 0)
    for candidate in opened(book):
        assert book.connected(candidate, candidate.fingerprint or b"", 0)
    book.heard(fp(500), ("late", 1, 0), None, 0.5)
    for tenth in range(5, 10 * int(IDLE_SECONDS) + 1, 5):
        for candidate in book.active():
            book.busy(candidate)
            book.idle(candidate)
        late = [c for c in opened(book, tenth / 10) if c.source == "late"]
    assert late


def test_what_failed_waits_longer_each_time_and_needs_to_be_heard_again(book: CandidateBook) -> None:
    """Dead announcements cost little; a receiver that comes back is tried again."""
    now, tries = 0.0, []
    while now < 10:
        book.heard(fp(1), ("a", 1, 0), None, now)
        for candidate in opened(book, now):
            tries.append(now)
            book.closed(candidate, now, failed=True)
        now += 0.5
    assert tries == [0.0, 0.5, 1.5, 3.5, 7.5]


def test_an_address_named_by_the_person_takes_whatever_certificate_is_there(book: CandidateBook) -> None:
    """And is refused a handshake with one that was left alone."""
    book.heard(None, ("a", 1, 0), None, 0)
    candidate = opened(book)[0]
    assert book.connected(candidate, fp(5), 0)
    book.ban(fp(5))
    book.closed(candidate, 0, failed=True)
    book.heard(None, ("a", 1, 0), None, 1)
    again = opened(book, 1)[0]
    assert not book.connected(again, fp(5), 1)


@pytest.mark.parametrize("seed", range(8))
def test_limits_hold_through_any_doings(seed: int) -> None:
    """Random announcements, connections, failures and bans: the book stays within its limits and consistent."""
    chance = random.Random(seed)
    book = CandidateBook(frozenset(), NONCE)
    now = 0.0
    for step in range(2000):
        now += chance.random() / 20
        do = chance.randrange(7)
        active = book.active()
        if do <= 2:
            where = (f"h{chance.randrange(40)}", chance.randrange(1, 60), 0)
            book.heard(fp(chance.randrange(1, 1500)), where, chance.choice([None, NONCE]), now)
        elif do == 3:
            plan = book.plan(now)
            assert not set(plan.open) & set(plan.drop)
        elif active:
            candidate = chance.choice(active)
            if do == 4:
                if book.connected(candidate, candidate.fingerprint or b"", now) and chance.random() < 0.5:
                    book.idle(candidate)
            elif do == 5:
                book.closed(candidate, now, failed=chance.random() < 0.8)
            elif chance.random() < 0.05:
                book.ban(candidate.fingerprint or b"")
        if step % 20:
            continue
        active = book.active()
        assert len(active) <= CONNECTIONS_MAX
        for source in {c.source for c in active}:
            assert sum(1 for c in active if c.source == source) <= CONNECTIONS_PER_SOURCE
        assert len(book._known) <= CANDIDATES_MAX
        assert all(len(held) <= CANDIDATES_PER_SOURCE for held in book._by_source.values())
        assert sum(len(queue) for queue in book._queues.values()) <= len(book._known)
