"""The machine's network interfaces, read with psutil."""

from __future__ import annotations

import ipaddress
import socket

from keybatond.network_ports import Interface


class PsutilInterfaces:
    """Implements Interfaces. A call takes well below a millisecond and never raises: what cannot be read is left out.

    `only`: names of the interfaces to use; all when empty.
    """

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self._only = frozenset(only)

    @property
    def restricted(self) -> bool:
        """Whether only some may be used."""
        return bool(self._only)

    def up(self) -> list[Interface]:
        """Every address of every interface that is up, IPv4 and IPv6."""
        import psutil  # at the first share: it costs a tenth of the agent's start

        try:
            addresses, stats = psutil.net_if_addrs(), psutil.net_if_stats()
        except OSError:  # the table changed under the reader, or /proc is not there
            return []
        found: list[Interface] = []
        for label, entries in addresses.items():
            name = label.partition(":")[0]  # an IPv4 alias, as `eth0:1`
            if name not in stats or not stats[name].isup or (self._only and name not in self._only):
                continue
            try:
                index = socket.if_nametoindex(name)
            except OSError:  # gone since
                continue
            flags = frozenset(stats[name].flags.split(","))
            for entry in entries:
                if entry.family in (socket.AF_INET, socket.AF_INET6) and entry.netmask:
                    one = _interface(name, index, entry.address, entry.netmask, flags)
                    if one is not None:
                        found.append(one)
        return found


def _interface(name: str, index: int, address: str, netmask: str, flags: frozenset[str]) -> Interface | None:
    """One address as the port wants it. The kernel's own broadcast field is not used: an address that was added without
    one reports itself there."""
    loopback = "loopback" in flags
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            prefix = int(ipaddress.IPv6Address(netmask)).bit_count()
            return Interface(name, index, str(parsed), str(prefix), None, loopback)
        network = ipaddress.IPv4Network((int(parsed), netmask), strict=False)
    except ValueError:
        return None
    broadcasts = not loopback and "pointopoint" not in flags and network.prefixlen < 31
    return Interface(
        name, index, str(parsed), str(network.netmask), str(network.broadcast_address) if broadcasts else None, loopback
    )
