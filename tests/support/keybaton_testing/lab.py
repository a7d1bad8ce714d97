"""A local network in a box: hosts as network namespaces, joined by bridges, each a device with folders of its own.

    with Lab() as lab:
        alice, bob = lab.host("alice"), lab.host("bob")
        alice.run(["ip", "addr"])

Nothing is made in the machine's own network: the bridges live in a namespace too. Names carry the test's process id, so that
parallel runs never meet and a later run removes what a killed one has left. Needs root, or the user namespace that
`python -m keybaton_testing.lab -- COMMAND` makes.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from keybaton_testing.device import Device
from keybaton_testing.keyring_session import KeyringSession
from keybaton_testing.processes import wait_until
from keybaton_testing.require import require

COMMAND_SECONDS = 20
NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_OURS = re.compile(r"kb(\d+)x\d+-\w+")  # namespaces
_OUR_FOLDERS = re.compile(r"kbl(\d+)-\w+")
_numbers = itertools.count(1)


def _ip(*commands: str) -> None:
    """Runs `ip` commands in order; the first failure raises."""
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True, timeout=COMMAND_SECONDS)


class Host(Device):
    """A device in a network namespace. `addresses` are its IPv4 addresses in the order of its networks."""

    interfaces = ()

    def __init__(self, name: str, namespace: str, root: Path, addresses: list[str]) -> None:
        super().__init__(name, root=root)
        self.namespace = namespace
        self.prefix = ("ip", "netns", "exec", namespace)
        self.addresses = addresses
        self.keyring: KeyringSession | None = None

    def start_keyring(self, state: Literal["unlocked", "locked", "absent"] = "unlocked") -> KeyringSession:
        """Gives the device a D-Bus session with a real keychain."""
        self.keyring = self.stack.enter_context(KeyringSession(state, root=self.root))
        self.env.update(self.keyring.env)
        return self.keyring

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Moves the calling thread into the host's network: sockets made meanwhile are the host's."""
        with open("/proc/thread-self/ns/net", "rb") as home, (NAMESPACES / self.namespace).open("rb") as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def link(self, state: Literal["up", "down"], interface: str = "eth0") -> None:
        """Takes one of the host's links down, as a pulled cable does, or up again."""
        _ip(f"-netns {self.namespace} link set {interface} {state}")
        if state == "up":
            wait_until(lambda: self._running(interface), f"{interface} of {self.name}")

    def _running(self, interface: str) -> bool:
        shown = subprocess.run(
            ["ip", "-netns", self.namespace, "link", "show", interface], capture_output=True, text=True, check=True
        )
        return "LOWER_UP" in shown.stdout and "NO-CARRIER" not in shown.stdout

    def drop(self, percent: int) -> None:
        """Loses `percent` of all packets that arrive, other than from the host itself."""
        self._filter(f'iifname != "lo" numgen random mod 100 < {percent} drop')

    def drop_broadcasts(self) -> None:
        """Loses every broadcast and multicast that arrives, as many wireless networks do with those of their clients.

        IPv6 goes with them, since it finds its neighbours by multicast.
        """
        self._filter('iifname != "lo" meta pkttype { broadcast, multicast } drop')

    def _filter(self, rule: str) -> None:
        require("nft")
        table = "table inet lab {\n chain input {\n  type filter hook input priority 0; policy accept;\n  RULE\n }\n}\n"
        subprocess.run(
            ["ip", "netns", "exec", self.namespace, "nft", "-f", "-"],
            input=table.replace("RULE", rule).encode(),
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )


def acquaint(*hosts: Host) -> None:
    """Tells each host the hardware addresses of all IPv4 addresses of the others, for good.

    The kernel has one table of neighbours for all its namespaces, and it holds 1,024 that were learned: with several labs and
    an attacker of many addresses in each it overflows, and then nobody reaches an address that is new. Permanent ones do
    not count.
    """
    known = {host: _addresses(host) for host in hosts}
    for host in hosts:
        lines = [
            f"neigh replace {address} lladdr {hardware} dev eth0 nud permanent\n"
            for other, (hardware, addresses) in known.items()
            if other is not host
            for address in addresses
        ]
        subprocess.run(
            ["ip", "-netns", host.namespace, "-batch", "-"],
            input="".join(lines).encode(),
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )


def _addresses(host: Host) -> tuple[str, list[str]]:
    """The hardware address of the host's first link, and its IPv4 addresses."""
    shown = subprocess.run(
        ["ip", "-json", "-netns", host.namespace, "address", "show", "dev", "eth0"],
        capture_output=True,
        check=True,
        timeout=COMMAND_SECONDS,
    )
    (link,) = json.loads(shown.stdout)
    return link["address"], [found["local"] for found in link["addr_info"] if found["family"] == "inet"]


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Lab:
    """The networks and their hosts; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        require("root", "netns")
        self._name = f"kb{os.getpid()}x{next(_numbers)}"
        self._stack = contextlib.ExitStack()
        self._switch = f"{self._name}-switch"
        self._networks: dict[str, int] = {}
        self._hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=f"kbl{os.getpid()}-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self._namespace(self._switch)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def host(
        self,
        name: str,
        *,
        networks: Sequence[str] = ("lan",),
        ipv4: bool = True,
        ipv6: bool = True,
        default_route: bool = True,
        loss: int = 0,
        keyring: Literal["unlocked", "locked", "absent"] | None = None,
    ) -> Host:
        """A new host with one link (eth0, eth1, …) to each of `networks`, all up when this returns.

        Network number n is 10.77.n.0/24; IPv6 is link-local alone. The default route leads into the first network.
        """
        namespace = f"{self._name}-{name}"
        self._namespace(namespace)
        if not ipv6:
            _write_sysctl(namespace, "ipv6/conf/all/disable_ipv6", "1")
            _write_sysctl(namespace, "ipv6/conf/default/disable_ipv6", "1")
        number = len(self._hosts) + 2
        addresses: list[str] = []
        for position, network in enumerate(networks):
            subnet = self._network(network)
            link, port = f"eth{position}", f"h{number}p{position}"
            commands = [
                f"link add {link} netns {namespace} type veth peer name {port} netns {self._switch}",
                f"-netns {self._switch} link set {port} master br{subnet} up",
            ]
            if ipv4:
                address = f"10.77.{subnet}.{number}"
                addresses.append(address)
                commands.append(f"-netns {namespace} addr add {address}/24 brd + dev {link}")
            commands.append(f"-netns {namespace} link set {link} up")
            if ipv4 and default_route and position == 0:
                commands.append(f"-netns {namespace} route add default via 10.77.{subnet}.1")
            _ip(*commands)
        host = Host(name, namespace, self._folder / name, addresses)
        self._hosts[name] = host
        self._stack.callback(host.stack.close)
        for position in range(len(networks)):
            wait_until(lambda link=f"eth{position}": host._running(link), f"the links of {name}")  # type: ignore[misc]
        if loss:
            host.drop(loss)
        if keyring is not None:
            host.start_keyring(keyring)
        return host

    def route(self) -> None:
        """Makes the switch a router between its networks: 10.77.n.1, which forwards no broadcasts."""
        _write_sysctl(self._switch, "ipv4/ip_forward", "1")

    def second_device(self, host: Host, name: str) -> Host:
        """Another device with folders of its own in the same network namespace, as a second user of the machine."""
        device = Host(name, host.namespace, self._folder / name, host.addresses)
        self._hosts[name] = device
        self._stack.callback(device.stack.close)
        return device

    def _network(self, name: str) -> int:
        if name not in self._networks:
            subnet = self._networks[name] = len(self._networks)
            _ip(
                f"-netns {self._switch} link add br{subnet} type bridge forward_delay 0 mcast_snooping 0",
                f"-netns {self._switch} addr add 10.77.{subnet}.1/24 dev br{subnet}",
                f"-netns {self._switch} link set br{subnet} up",
            )
        return self._networks[name]

    def _namespace(self, name: str) -> None:
        self._stack.callback(_remove, name)
        _ip(f"netns add {name}")
        # Without duplicate address detection a link-local address can be used at once, not after 2 s.
        _write_sysctl(name, "ipv6/conf/default/accept_dad", "0")
        _write_sysctl(name, "ipv6/conf/all/accept_dad", "0")
        _ip(f"-netns {name} link set lo up")


def _write_sysctl(namespace: str, name: str, value: str) -> None:
    subprocess.run(
        ["ip", "netns", "exec", namespace, "tee", f"/proc/sys/net/{name}"],
        input=value.encode(),
        check=True,
        capture_output=True,
        timeout=COMMAND_SECONDS,
    )


def _pids(namespace: str) -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def _remove(namespace: str) -> None:
    """Ends every process of the namespace and then the namespace."""
    if not (NAMESPACES / namespace).exists():
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _pids(namespace):
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not _pids(namespace), f"the end of {namespace}", seconds=5)
    subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True, timeout=COMMAND_SECONDS)


def _sweep() -> None:
    """Removes the namespaces and folders of test runs that were killed."""
    for entry in NAMESPACES.iterdir() if NAMESPACES.is_dir() else ():
        ours = _OURS.fullmatch(entry.name)
        if ours and not Path(f"/proc/{ours[1]}").exists():
            _remove(entry.name)
    for folder in Path(tempfile.gettempdir()).iterdir():
        ours = _OUR_FOLDERS.fullmatch(folder.name)
        if ours and not Path(f"/proc/{ours[1]}").exists():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    from keybaton_testing.lab_terminal import main

    sys.exit(main(sys.argv[1:]))
