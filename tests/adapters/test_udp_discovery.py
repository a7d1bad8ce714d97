"""Discovery with real sockets in a network of our own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from keybaton_testing.lab import Host, Lab
from keybaton_testing.processes import process_exists
from keybaton_testing.require import require
from keybatond.adapters.net_interfaces import PsutilInterfaces
from keybatond.adapters.udp_discovery import DATAGRAM_MAX, PORT, QUEUE_MAX, UdpDiscovery, UdpEndpoint
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, DatagramEndpoint, Interface

SOON = 2.0  # seconds, for what must arrive
SILENCE = 0.1  # seconds, for what must not


class HostInterfaces:
    """The interfaces of a lab host, whatever network the caller is in."""

    restricted = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def up(self) -> list[Interface]:
        with self._host.inside():
            return PsutilInterfaces().up()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@contextlib.asynccontextmanager
async def listening(host: Host) -> AsyncIterator[UdpEndpoint]:
    with host.inside():
        endpoint = await UdpDiscovery(HostInterfaces(host)).listen()
    try:
        yield endpoint
    finally:
        await endpoint.close()


@contextlib.asynccontextmanager
async def soliciting(host: Host, *also_from: str) -> AsyncIterator[UdpEndpoint]:
    with host.inside():
        endpoint = await UdpDiscovery(HostInterfaces(host)).solicit(also_from=frozenset(also_from))
    try:
        yield endpoint
    finally:
        await endpoint.close()


async def heard(endpoint: UdpEndpoint, data: bytes) -> list[Address]:
    """The sources of every copy of `data` that arrives until it is quiet; at least one must come."""
    sources: list[Address] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(SILENCE if sources else SOON):
                got, source = await endpoint.receive()
            if got == data:
                sources.append(source)
    assert sources, "nothing was heard"
    return sources


async def assert_silent(endpoint: UdpEndpoint) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE):
            await endpoint.receive()


def send_raw(host: Host, data: bytes, to: str, *, source: str = "") -> None:
    """A datagram made by hand, as an attacker makes it."""
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((source, 0))
        sock.sendto(data, (to, PORT))


async def test_a_broadcast_reaches_a_neighbour_by_ipv4_and_ipv6(lab: Lab) -> None:
    """The neighbour hears it from both families' addresses, and an answer to each comes back to the asking socket."""
    require("ipv6")
    alice, bob = lab.host("alice"), lab.host("bob")
    async with soliciting(alice) as asking, listening(bob) as hearing:
        assert await asking.broadcast(b"seek") >= 4
        sources = await heard(hearing, b"seek")
        assert {source.host for source in sources if ":" not in source.host} == {alice.addresses[0]}
        v6 = next(source for source in sources if ":" in source.host)
        assert v6.host.startswith("fe80:")
        assert v6.scope > 0
        for source in sources:
            await hearing.send(b"answer", source)
        assert len(await heard(asking, b"answer")) == len(sources)


async def test_every_listener_of_a_host_hears_a_broadcast_even_its_own_hosts(lab: Lab) -> None:
    """Programs share the port: each gets a copy, and a listener on the same machine is reached as well."""
    alice = lab.host("alice")
    async with soliciting(alice) as asking, listening(alice) as first, listening(alice) as second:
        await asking.broadcast(b"seek")
        for endpoint in (first, second):
            assert any(source.host == "127.0.0.1" for source in await heard(endpoint, b"seek"))


async def test_without_any_link_devices_on_one_machine_still_find_each_other(lab: Lab) -> None:
    """Loopback is enough: no interface, no route, no IPv6 link."""
    alone = lab.host("alone", networks=())
    async with soliciting(alone) as asking, listening(alone) as hearing:
        assert await asking.broadcast(b"seek") == 1
        assert [source.host for source in await heard(hearing, b"seek")] == ["127.0.0.1"]


async def test_both_subnets_of_a_host_hear_its_broadcast(lab: Lab) -> None:
    """The limited broadcast leaves by the default route alone; the directed ones reach the second subnet."""
    middle = lab.host("middle", networks=("one", "two"), ipv6=False)
    left, right = lab.host("left", networks=("one",), ipv6=False), lab.host("right", networks=("two",), ipv6=False)
    async with soliciting(middle) as asking, listening(left) as at_left, listening(right) as at_right:
        await asking.broadcast(b"seek")
        assert {source.host for source in await heard(at_left, b"seek")} == {middle.addresses[0]}
        assert {source.host for source in await heard(at_right, b"seek")} == {middle.addresses[1]}


async def test_two_links_into_one_subnet_are_both_used(lab: Lab) -> None:
    """Cable and wireless in the same subnet: the routing table knows one of them, a pulled cable may be that one."""
    twice = lab.host("twice", networks=("lan", "spare"), ipv6=False)
    other = lab.host("other", networks=("spare",), ipv4=False, ipv6=False)
    for host, address in ((twice, "10.77.0.200/24"), (other, "10.77.0.201/24")):
        link = "eth1" if host is twice else "eth0"
        host.run(["ip", "addr", "add", address, "brd", "+", "dev", link], check=True)
    async with soliciting(twice) as asking, listening(other) as hearing:
        await asking.broadcast(b"seek")
        assert await heard(hearing, b"seek")


async def test_a_host_without_a_default_route_is_heard_and_hears(lab: Lab) -> None:
    """255.255.255.255 is unreachable there; the directed broadcast is not."""
    bare, other = lab.host("bare", default_route=False, ipv6=False), lab.host("other", ipv6=False)
    async with soliciting(bare) as asking, listening(other) as hearing:
        await asking.broadcast(b"seek")
        assert {source.host for source in await heard(hearing, b"seek")} == {bare.addresses[0]}
    async with soliciting(other) as asking, listening(bare) as hearing:
        await asking.broadcast(b"seek")
        assert await heard(hearing, b"seek")


async def test_hosts_with_ipv6_alone_find_each_other(lab: Lab) -> None:
    """The link-local group needs neither an address plan nor a route."""
    require("ipv6")
    alice, bob = lab.host("alice", ipv4=False), lab.host("bob", ipv4=False)
    async with soliciting(alice) as asking, listening(bob) as hearing:
        await asking.broadcast(b"seek")
        sources = await heard(hearing, b"seek")
        assert all(source.host.startswith("fe80:") and source.scope for source in sources)


async def test_a_lossy_network_is_overcome_by_repetition(lab: Lab) -> None:
    """With 30 % of packets lost, one of ten repetitions arrives (all fail once in 170,000 even by IPv4 alone)."""
    require("nft")
    alice, bob = lab.host("alice"), lab.host("bob", loss=30)
    async with soliciting(alice) as asking, listening(bob) as hearing:
        for _ in range(10):
            await asking.broadcast(b"seek")
        assert await heard(hearing, b"seek")


async def test_a_stranger_from_another_network_is_not_heard_unless_named(lab: Lab) -> None:
    """A source address outside the attached networks does not count, except for hosts that the person named."""
    mallory, bob = lab.host("mallory", ipv6=False), lab.host("bob", ipv6=False)
    mallory.run(["ip", "addr", "add", "198.51.100.7/32", "dev", "eth0"], check=True)
    bob.run(["ip", "route", "add", "198.51.100.7/32", "dev", "eth0"], check=True)
    async with listening(bob) as hearing, soliciting(bob, "198.51.100.7") as expecting:
        send_raw(mallory, b"far", "10.77.0.255", source="198.51.100.7")
        await assert_silent(hearing)
        send_raw(mallory, b"near", "10.77.0.255")
        assert await heard(hearing, b"near")
        await expecting.send(b"hello", Address(mallory.addresses[0], PORT))
        with mallory.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("198.51.100.7", 0))
            sock.sendto(b"answer", (bob.addresses[0], own_port(expecting)))
        assert [source.host for source in await heard(expecting, b"answer")] == ["198.51.100.7"]


def own_port(endpoint: UdpEndpoint) -> int:
    """The endpoint's IPv4 port."""
    sock = endpoint._v4
    assert sock is not None
    port: int = sock.getsockname()[1]
    return port


async def test_a_datagram_is_whole_up_to_the_limit_and_dropped_above_it(lab: Lab) -> None:
    """512 bytes arrive as they were sent; one more and the datagram is nothing of ours, never cut to fit."""
    mallory, bob = lab.host("mallory", ipv6=False), lab.host("bob", ipv6=False)
    async with listening(bob) as hearing:
        send_raw(mallory, b"x" * (DATAGRAM_MAX + 1), "10.77.0.255")
        send_raw(mallory, b"", "10.77.0.255")
        send_raw(mallory, b"y" * DATAGRAM_MAX, "10.77.0.255")
        async with asyncio.timeout(SOON):
            assert [(await hearing.receive())[0] for _ in range(2)] == [b"", b"y" * DATAGRAM_MAX]
        await assert_silent(hearing)


async def test_a_flood_drops_the_oldest_and_keeps_the_newest(lab: Lab) -> None:
    """The queue is bounded; what was sent last is still there after the flood."""
    mallory, bob = lab.host("mallory", ipv6=False), lab.host("bob", ipv6=False)
    async with listening(bob) as hearing:
        with mallory.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for number in range(4 * QUEUE_MAX):
                sock.sendto(b"%d" % number, ("10.77.0.255", PORT))
                if number % 50 == 0:
                    await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        kept = [data for data, _ in hearing._queue]
        assert len(kept) == QUEUE_MAX
        assert kept[-1] == b"%d" % (4 * QUEUE_MAX - 1)


async def test_a_link_that_goes_and_comes_back_is_used_again(lab: Lab) -> None:
    """No send raises while the cable is out, and both families work when it is in again."""
    require("ipv6")
    alice, bob = lab.host("alice"), lab.host("bob")
    async with soliciting(alice) as asking, listening(bob) as hearing:
        alice.link("down")
        await asking.broadcast(b"unheard")
        await asking.send(b"unheard", Address(bob.addresses[0], PORT))
        alice.link("up")
        await asking.broadcast(b"seek")
        assert {":" in source.host for source in await heard(hearing, b"seek")} >= {False}
        for _ in range(20):  # the new link-local address takes a moment
            await asking.broadcast(b"again")
            if any(":" in source.host for source in await heard(hearing, b"again")):
                return
        pytest.fail("IPv6 did not come back")


async def test_an_interface_that_appears_later_is_listened_on(lab: Lab) -> None:
    """A dock is plugged in during the session: the group is joined there at the next reading."""
    require("ipv6")
    alice, bob = lab.host("alice", ipv4=False), lab.host("bob", ipv4=False)
    bob.link("down")
    async with soliciting(alice) as asking, listening(bob) as hearing:
        bob.link("up")
        await hearing.broadcast(b"own tick")
        for _ in range(20):
            await asking.broadcast(b"seek")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    while (await hearing.receive())[0] != b"seek":
                        pass
                    return
        pytest.fail("the new interface was never joined")


async def test_a_port_that_another_program_keeps_to_itself_is_an_error_with_a_reason(lab: Lab) -> None:
    """ShareFailed(NETWORK), and nothing stays open."""
    host = lab.host("host")
    with host.inside():
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taken:
        taken.bind(("", PORT))
        with host.inside(), pytest.raises(ShareFailed) as failure:
            await UdpDiscovery(HostInterfaces(host)).listen()
        assert failure.value.reason is ShareReason.NETWORK


async def test_a_program_that_shares_the_port_is_no_hindrance(lab: Lab) -> None:
    """A Photosphere that listens on the port with SO_REUSEADDR keeps hearing, and so do we."""
    alice, bob = lab.host("alice", ipv6=False), lab.host("bob", ipv6=False)
    with bob.inside():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", PORT))
        other.settimeout(SOON)
        async with soliciting(alice) as asking, listening(bob) as hearing:
            await asking.broadcast(b"seek")
            assert await heard(hearing, b"seek")
            assert other.recv(600) == b"seek"


async def test_closing_wakes_whoever_waits(lab: Lab) -> None:
    """A pending receive ends with ShareFailed(NETWORK); closing twice is fine."""
    host = lab.host("host")
    async with listening(host) as endpoint:
        waiting = asyncio.create_task(endpoint.receive())
        await asyncio.sleep(0)
        await endpoint.close()
        await endpoint.close()
        with pytest.raises(ShareFailed):
            await waiting
        assert await endpoint.broadcast(b"late") == 0


def test_the_lab_ends_what_runs_in_it() -> None:
    """Neither a namespace, nor a folder, nor a process is left, also of programs that left their session."""
    with Lab() as lab:
        host = lab.host("host")
        left = host.start(["sleep", "600"])
        stray = host.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"]).stdout.strip()
        folder, namespace = host.root, host.namespace
        assert left.alive()
    assert not left.alive()
    assert not folder.exists()
    assert namespace not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not process_exists(int(stray))


def test_chosen_interfaces_keep_datagrams_off_the_others(lab: Lab) -> None:
    """With interfaces chosen, a neighbour on another one hears nothing, and loopback still works."""
    one, other = lab.host("one"), lab.host("other")
    assert asyncio.run(_heard(one, other, ())) == (True, True)
    assert asyncio.run(_heard(one, other, ("lo",))) == (False, True)


async def _heard(one: Host, other: Host, chosen: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether a broadcast of `one`, using `chosen`, reaches `other` and a second agent on `one` itself."""

    class Chosen(HostInterfaces):
        restricted = bool(chosen)

        def up(self) -> list[Interface]:
            with one.inside():
                return PsutilInterfaces(chosen).up()

    with other.inside():
        far = await UdpDiscovery(HostInterfaces(other)).listen()
    with one.inside():
        near = await UdpDiscovery(HostInterfaces(one)).listen()
        sender = await UdpDiscovery(Chosen(one)).solicit()
    try:
        await sender.broadcast(b"hello")
        return await _comes(far), await _comes(near)
    finally:
        for endpoint in (far, near, sender):
            await endpoint.close()


async def _comes(endpoint: DatagramEndpoint) -> bool:
    try:
        async with asyncio.timeout(SILENCE * 5):
            return (await endpoint.receive())[0] == b"hello"
    except TimeoutError:
        return False
