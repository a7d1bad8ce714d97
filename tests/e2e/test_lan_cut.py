"""A cable is pulled while a person reviews what came: the receipt comes by another way, or the sender says what it knows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from keybaton_testing.desk import Desk, open_terminal
from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import done, outcome, with_passphrase
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

NOTICED_SECONDS = (
    40  # 11 until the silence is noticed, 15 in which the receiver is looked for, and some for a slow machine
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("netns", "tmux")
    with Lab() as made:
        yield made


def in_review(alice: Host, desk: Desk) -> tuple[Spawned, str]:
    """A send whose payload waits for the person at the receiver, and the address that it went to."""
    done(alice, "secrets", "add", "token", "--type", "token", stdin="hush")
    send = alice.spawn_keybaton("secrets", "send", "token", "--yes", "--json")
    code = send.read_event("code")["code"]
    desk.keybaton("secrets receive")
    desk.answer("Code shown on the other device:", typed=code)
    desk.terminal.wait_for("Save it?")
    return send, send.read_event("peer")["address"].rpartition(":")[0]


def test_the_receipt_comes_by_the_other_network(lab: Lab) -> None:
    """Both devices are in two networks; the one that carried the payload breaks without a word."""
    alice, bob = (with_passphrase(lab.host(name, networks=("one", "two"), ipv6=False)) for name in ("alice", "bob"))
    with open_terminal(bob) as terminal:
        send, used = in_review(alice, Desk(bob, terminal))
        bob.link("down", f"eth{bob.addresses.index(used)}")
        terminal.press("Enter")
        terminal.wait_for("\nsaved token")
        began = time.monotonic()
        status, last = outcome(send)
        assert (status, last["event"]) == (0, "done"), last
        assert time.monotonic() - began < NOTICED_SECONDS


def test_without_another_network_the_sender_says_that_it_may_have_been_saved(lab: Lab) -> None:
    """It is saved there; the sender cannot know, and says neither saved nor that nothing was."""
    alice, bob = (with_passphrase(lab.host(name, ipv6=False)) for name in ("alice", "bob"))
    with open_terminal(bob) as terminal:
        send, _ = in_review(alice, Desk(bob, terminal))
        bob.link("down")
        terminal.press("Enter")
        terminal.wait_for("\nsaved token")
        began = time.monotonic()
        status, last = outcome(send)
        assert (status, last["event"], last["reason"]) == (1, "failed", "unconfirmed")
        assert "may have been saved" in last["message"] + last["hint"]
        assert time.monotonic() - began < NOTICED_SECONDS
