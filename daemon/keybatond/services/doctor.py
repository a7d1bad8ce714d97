"""What the agent finds out about itself, from its socket and vault to the firewall, and what of it is worth saying."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keybatond.errors import KeybatonError, ShareFailed
from keybatond.network_ports import Discovery, Interface, Interfaces
from keybatond.ports import Exposed, SystemLook
from keybatond.services.custody_types import CustodyState

CHECK_SECONDS = 5.0  # a key store has 3 s of its own


class Level(enum.IntEnum):
    """Equal to the API's Finding.Level."""

    OK = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True)
class Finding:
    """One thing found. `topic` is one of those in agent.proto; `hint` says what to do."""

    level: Level
    topic: str
    text: str
    hint: str = ""
    problem: KeybatonError | None = None  # with it, the words are those of this failure


class Doctor:
    """Looks at everything once per call."""

    def __init__(
        self,
        look: SystemLook,
        interfaces: Interfaces,
        discovery: Discovery,
        probe_keystore: Callable[[], Awaitable[str]],
        vault: Callable[[], CustodyState],
        exposed: Sequence[Exposed],
    ) -> None:
        """`exposed`: what was open to other users; it may grow."""
        self._look = look
        self._interfaces = interfaces
        self._discovery = discovery
        self._probe_keystore = probe_keystore
        self._vault = vault
        self._exposed = exposed

    async def findings(self) -> list[Finding]:
        """Every finding, good ones too, in a fixed order."""
        return [
            self._socket(),
            *self._file(),
            *await self._keystore(),
            *self._reach(),
            await self._port(),
            *self._firewall(),
        ]

    def _socket(self) -> Finding:
        facts = self._look.socket()
        if facts is None:
            return Finding(
                Level.ERROR,
                "socket",
                "The socket is gone from its place.",
                "Restart the agent: new clients cannot find it.",
            )
        if facts.ours and facts.folder_mode == 0o700 and facts.socket_mode == 0o600:
            return Finding(Level.OK, "socket", f"{facts.path} is reachable for you alone.")
        text = f"{facts.path} has mode {facts.socket_mode:04o} in a folder of mode {facts.folder_mode:04o}."
        return Finding(Level.ERROR, "socket", text, "Restart the agent, which sets 0600 and 0700.")

    def _file(self) -> list[Finding]:
        state = self._vault()
        found = [_exposed_finding(exposed) for exposed in self._exposed]
        if state.problem is not None:
            found.append(Finding(Level.ERROR, "vault", "", problem=state.problem))
        else:
            found.append(Finding(Level.OK, "vault", f"The vault is {state.vault_state.name.lower()}."))
        return found

    async def _keystore(self) -> list[Finding]:
        state = self._vault()
        if state.problem is not None and state.kind is None:
            return []  # only the vault knows which one it needs
        return [await self._probed()]

    async def _probed(self) -> Finding:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                name = await self._probe_keystore()
        except TimeoutError:
            return Finding(
                Level.ERROR, "keystore", "The key store does not answer.", "Is it asking for its password somewhere?"
            )
        except KeybatonError as error:
            text = f"The key store cannot be used ({error.reason.value})."
            hint = "With a vault, `keybaton vault rekey --keystore passphrase` moves its key to another one; without, "
            return Finding(Level.ERROR, "keystore", text, hint + "`keybaton init --keystore passphrase` needs none.")
        return Finding(Level.OK, "keystore", f"{name}: a key was written, read and removed.")

    def _reach(self) -> list[Finding]:
        """One finding for each interface: whether announcements leave by it. Loopback counts where the person named it."""
        by_name: dict[str, list[Interface]] = {}
        for interface in self._interfaces.up():
            if self._interfaces.restricted or not interface.loopback:
                by_name.setdefault(interface.name, []).append(interface)
        if not by_name:
            return [
                Finding(
                    Level.WARNING,
                    "interface",
                    "No network interface that config.toml names is up."
                    if self._interfaces.restricted
                    else "No network interface is up.",
                    "Devices on this machine alone can be reached.",
                )
            ]
        return [_interface_finding(name, found) for name, found in by_name.items()]

    async def _port(self) -> Finding:
        others = self._look.discovery_sockets()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                endpoint = await self._discovery.listen()
                await endpoint.close()
        except (ShareFailed, TimeoutError):
            return Finding(
                Level.ERROR,
                "port",
                "UDP port 54321 is held by a program that does not share it.",
                "`ss -ulnp sport = :54321` names it; until it ends, use --to HOST:PORT.",
            )
        if others:
            return Finding(
                Level.OK, "port", f"UDP port 54321 is shared with {others} open socket{'s' if others > 1 else ''}."
            )
        return Finding(Level.OK, "port", "UDP port 54321 is free.")

    def _firewall(self) -> list[Finding]:
        return [
            Finding(
                Level.WARNING,
                "firewall",
                f"{name} seems to be in force.",
                "Receiving needs UDP 54321 and a TCP port of the system's choice open to the local network.",
            )
            for name in self._look.firewalls()
        ]


def _exposed_finding(exposed: Exposed) -> Finding:
    text = f"{exposed.path} was open to other users (mode {exposed.mode:04o}) when it was found"
    if not exposed.closed:
        return Finding(Level.WARNING, "vault", f"{text} and still is.", f"chmod go= {exposed.path}")
    hint = "A copy of the vault needs its key; where that is a passphrase, it must not be easy to guess."
    return Finding(Level.WARNING, "vault", f"{text}; it has been closed.", hint)


def _interface_finding(name: str, found: list[Interface]) -> Finding:
    addresses = ", ".join(interface.address for interface in found)
    if all(interface.loopback for interface in found):
        return Finding(Level.OK, "interface", f"{name} ({addresses}) carries announcements, to this machine alone.")
    if any(interface.broadcast or ":" in interface.address for interface in found):
        return Finding(Level.OK, "interface", f"{name} ({addresses}) carries announcements.")
    return Finding(
        Level.WARNING,
        "interface",
        f"{name} ({addresses}) is point-to-point: announcements do not travel on it.",
        "Use --to HOST:PORT with the address that the receiver prints.",
    )
