"""The small adapters of the machine itself: clock, entropy, device name, interfaces."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.names import BIDI_CONTROLS, DEVICE_NAME_MAX_BYTES
from keybaton_testing.lab import Lab
from keybatond.adapters.device_name import device_name
from keybatond.adapters.net_interfaces import PsutilInterfaces
from keybatond.adapters.system_clock import SystemClock
from keybatond.adapters.system_entropy import SystemEntropy


async def test_the_clock_goes_forward_and_sleeps_as_long_as_asked() -> None:
    """Monotonic seconds, wall milliseconds, and a sleep that is no shorter."""
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - start >= 0.01
    assert abs(clock.now_ms() - time.time() * 1000) < 1000


async def test_a_cancelled_sleep_ends_at_once() -> None:
    """Deadlines are called off all the time."""
    sleeping = asyncio.create_task(SystemClock().sleep(600))
    await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


def test_tokens_have_their_size_and_differ_and_numbers_stay_below_the_limit() -> None:
    """Codes and nonces come from here."""
    entropy = SystemEntropy()
    assert len(entropy.token(16)) == 16
    assert entropy.token(16) != entropy.token(16)
    assert {entropy.below(3) for _ in range(200)} == {0, 1, 2}


@pytest.mark.parametrize(
    ("host", "name"),
    [("laptop", "laptop"), ("laptop.example.org", "laptop"), ("", "device"), (".", "device"), ("\x1b[31m", "[31m")],
)
def test_a_host_name_becomes_a_plain_short_name(host: str, name: str) -> None:
    """The domain is nobody's business, and a name is never empty."""
    assert device_name(host) == name


@given(st.text(max_size=300))
def test_whatever_the_host_is_called_the_name_is_fit_for_a_datagram(host: str) -> None:
    """Non-empty, at most 64 bytes of UTF-8, nothing that moves a cursor or turns text around."""
    name = device_name(host)
    assert 0 < len(name.encode()) <= DEVICE_NAME_MAX_BYTES
    assert not any(ord(character) < 32 or character in BIDI_CONTROLS for character in name)


def test_interfaces_are_those_that_are_up_with_their_computed_broadcast() -> None:
    """An address added without broadcast gets the right one, /31 and loopback get none, a link that is down is left out."""
    with Lab() as lab:
        host = lab.host("host", networks=("one", "two"), ipv6=False)
        for command in (
            "addr add 10.99.0.5/20 dev eth0",
            "addr add 10.98.0.4/31 dev eth0",
            "addr add 10.97.0.4/24 brd + dev eth0 label eth0:old",
            "link set eth1 down",
        ):
            host.run(["ip", *command.split()], check=True)
        with host.inside():
            found = {one.address: one for one in PsutilInterfaces().up()}
    assert {address: one.broadcast for address, one in found.items()} == {
        "127.0.0.1": None,
        "10.77.0.2": "10.77.0.255",
        "10.99.0.5": "10.99.15.255",
        "10.98.0.4": None,
        "10.97.0.4": "10.97.0.255",
    }
    assert {one.name for one in found.values()} == {"lo", "eth0"}
    assert found["127.0.0.1"].loopback
    assert not found["10.77.0.2"].loopback
    assert found["10.99.0.5"].netmask == "255.255.240.0"


def test_an_ipv6_interface_shows_its_prefix_length_and_index() -> None:
    """Enough to join a group on it and to tell its network."""
    with Lab() as lab:
        host = lab.host("host", ipv4=False)
        with host.inside():
            links = [one for one in PsutilInterfaces().up() if one.name == "eth0"]
    assert len(links) == 1
    assert links[0].address.startswith("fe80::")
    assert "%" not in links[0].address
    assert (links[0].netmask, links[0].broadcast) == ("64", None)
    assert links[0].index > 1
