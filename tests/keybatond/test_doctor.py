"""The doctor: each finding names what is wrong and what to do, and a part that fails is a finding, not an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from keybatond.adapters.system_look import LinuxLook
from keybatond.errors import KeybatonError, Reason, ShareFailed, ShareReason
from keybatond.network_ports import DatagramEndpoint, Interface
from keybatond.ports import Exposed, KeystoreKind, SocketFacts
from keybatond.services.custody_types import CustodyState, VaultState
from keybatond.services.doctor import Doctor, Finding, Level


class FakeLook:
    """A machine as it is told to look."""

    def __init__(self, facts: SocketFacts | None, sockets: int, firewalls: list[str]) -> None:
        self._facts, self._sockets, self._firewalls = facts, sockets, firewalls

    def socket(self) -> SocketFacts | None:
        return self._facts

    def discovery_sockets(self) -> int:
        return self._sockets

    def firewalls(self) -> list[str]:
        return self._firewalls


class FakeInterfaces:
    """Interfaces as they are told to be."""

    def __init__(self, *interfaces: Interface, restricted: bool = False) -> None:
        self._interfaces = list(interfaces)
        self.restricted = restricted

    def up(self) -> list[Interface]:
        return self._interfaces


class HeldDiscovery:
    """A port that another program keeps to itself."""

    async def listen(self) -> DatagramEndpoint:
        raise ShareFailed(ShareReason.NETWORK)

    async def solicit(self, *, also_from: frozenset[str] = frozenset()) -> DatagramEndpoint:
        raise ShareFailed(ShareReason.NETWORK)


async def good_probe() -> str:
    return "SecretService"


GOOD = SocketFacts("/run/agent.sock", 0o700, 0o600, ours=True)
ABSENT = CustodyState(VaultState.ABSENT)
LOOPBACK = Interface("lo", 1, "127.0.0.1", "255.0.0.0", None, loopback=True)
TUNNEL = Interface("tun0", 2, "10.8.0.2", "255.255.255.255", None, loopback=False)
ETHERNET = Interface("eth0", 3, "10.0.0.2", "255.255.255.0", "10.0.0.255", loopback=False)


async def findings(doctor: Doctor, topic: str) -> list[Finding]:
    return [finding for finding in await doctor.findings() if finding.topic == topic]


def doctor(
    look: FakeLook | None = None,
    interfaces: FakeInterfaces | None = None,
    probe: object = good_probe,
    vault: CustodyState = ABSENT,
    exposed: tuple[Exposed, ...] = (),
) -> Doctor:
    return Doctor(
        look or FakeLook(GOOD, 0, []),
        interfaces or FakeInterfaces(LOOPBACK),
        HeldDiscovery(),
        probe,  # type: ignore[arg-type]
        lambda: vault,
        exposed,
    )


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (GOOD, Level.OK),
        (None, Level.ERROR),
        (SocketFacts("/s", 0o755, 0o600, ours=True), Level.ERROR),
        (SocketFacts("/s", 0o700, 0o666, ours=True), Level.ERROR),
        (SocketFacts("/s", 0o700, 0o600, ours=False), Level.ERROR),
    ],
)
async def test_a_socket_that_others_could_reach_is_an_error(facts: SocketFacts | None, level: Level) -> None:
    """Modes and owner are compared with what they must be."""
    (finding,) = await findings(doctor(FakeLook(facts, 0, [])), "socket")
    assert finding.level is level
    assert bool(finding.hint) is (level is Level.ERROR)


async def test_a_key_store_that_fails_or_hangs_is_a_finding() -> None:
    """The doctor never hangs with it."""

    async def refuses() -> str:
        raise KeybatonError(Reason.KEYCHAIN_LOCKED)

    async def hangs() -> str:
        raise TimeoutError

    for probe, word in ((refuses, "KEYCHAIN_LOCKED"), (hangs, "does not answer")):
        (finding,) = await findings(doctor(probe=probe), "keystore")
        assert finding.level is Level.ERROR
        assert word in finding.text


async def test_a_vault_that_does_not_open_is_named_and_no_key_store_is_blamed() -> None:
    """The failure's own words are chosen at the edge. Which key store it needs is not known where its header is not readable."""
    newer = KeybatonError(Reason.VAULT_NEWER)
    unreadable = doctor(vault=CustodyState(VaultState.DAMAGED, problem=newer))
    (finding,) = await findings(unreadable, "vault")
    assert (finding.level, finding.problem) == (Level.ERROR, newer)
    assert await findings(unreadable, "keystore") == []
    damaged = doctor(vault=CustodyState(VaultState.DAMAGED, KeystoreKind.KEYCHAIN, problem=newer))
    assert len(await findings(damaged, "keystore")) == 1
    (finding,) = await findings(doctor(), "vault")
    assert (finding.level, finding.text) == (Level.OK, "The vault is absent.")


async def test_what_was_open_to_others_is_a_warning() -> None:
    """Closed or not; what to do is said in either case."""
    closed, still = Exposed("/v/vault.db", 0o644, closed=True), Exposed("/v/vault.db-wal", 0o640, closed=False)
    first, second, _ = await findings(doctor(exposed=(closed, still)), "vault")
    assert (first.level, second.level) == (Level.WARNING, Level.WARNING)
    assert "0644" in first.text and "has been closed" in first.text
    assert "still is" in second.text and second.hint == "chmod go= /v/vault.db-wal"


async def test_each_interfaces_reach_is_told() -> None:
    """A tunnel carries no announcements; loopback is not mentioned, unless the person chose it."""
    found = await findings(doctor(interfaces=FakeInterfaces(LOOPBACK, TUNNEL, ETHERNET)), "interface")
    assert [(finding.level, finding.text.split()[0]) for finding in found] == [
        (Level.WARNING, "tun0"),
        (Level.OK, "eth0"),
    ]
    (alone,) = await findings(doctor(), "interface")
    assert alone.level is Level.WARNING
    assert "config.toml" not in alone.text
    (gone,) = await findings(doctor(interfaces=FakeInterfaces(restricted=True)), "interface")
    assert gone.level is Level.WARNING
    assert "config.toml" in gone.text
    (chosen,) = await findings(doctor(interfaces=FakeInterfaces(LOOPBACK, restricted=True)), "interface")
    assert chosen.level is Level.OK
    assert chosen.text == "lo (127.0.0.1) carries announcements, to this machine alone."


async def test_a_port_that_cannot_be_shared_is_an_error_with_a_way_out() -> None:
    """--to works without discovery."""
    (finding,) = await findings(doctor(), "port")
    assert finding.level is Level.ERROR
    assert "--to" in finding.hint


async def test_each_firewall_is_named() -> None:
    """With what has to be open."""
    (finding,) = await findings(doctor(FakeLook(GOOD, 0, ["ufw"])), "firewall")
    assert finding.text.startswith("ufw")
    assert "54321" in finding.hint


def test_linux_is_read_from_its_files(tmp_path: Path) -> None:
    """Tables of sockets, and the traces of each firewall."""
    look = LinuxLook(tmp_path / "agent.sock", tmp_path)
    assert (look.socket(), look.discovery_sockets(), look.firewalls()) == (None, 0, [])
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/udp").write_text(
        "  sl  local_address\n 1: 00000000:D431 00000000:0000 07\n 2: 00000000:0035 0:0 07\n"
    )
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/ufw/ufw.conf").write_text("# on\nENABLED=yes\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/firewalld.pid").write_text("1")
    wanted = tmp_path / "etc/systemd/system/sysinit.target.wants"
    wanted.mkdir(parents=True)
    (wanted / "nftables.service").symlink_to(tmp_path)
    assert look.discovery_sockets() == 1
    assert look.firewalls() == ["ufw", "firewalld", "nftables"]


def test_what_cannot_be_looked_at_is_not_there(tmp_path: Path) -> None:
    """Some systems keep a firewall's folder to root; it never keeps the other findings from being told."""
    look = LinuxLook(
        tmp_path / ("x" * 300) / "agent.sock", tmp_path / ("x" * 300)
    )  # as refused as root can be: too long
    assert (look.socket(), look.discovery_sockets(), look.firewalls()) == (None, 0, [])
