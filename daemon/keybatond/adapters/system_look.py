"""What the file system and /proc say about the socket, the discovery port and firewalls. Reads only; asks no program."""

# ruff: noqa: PTH110, PTH207

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from keybatond.ports import SocketFacts

_DISCOVERY_PORT = "D431"  # 54321 as /proc/net/udp writes it


class LinuxLook:
    """Implements the port `SystemLook`."""

    def __init__(self, socket: Path, root: Path = Path("/")) -> None:
        """`root` is the file system's root."""
        self._socket = socket
        self._root = root

    def socket(self) -> SocketFacts | None:
        """The socket and its folder."""
        try:
            found, folder = self._socket.lstat(), self._socket.parent.lstat()
        except OSError:
            return None
        if not stat.S_ISSOCK(found.st_mode):
            return None
        return SocketFacts(
            path=str(self._socket),
            folder_mode=stat.S_IMODE(folder.st_mode),
            socket_mode=stat.S_IMODE(found.st_mode),
            ours=found.st_uid == folder.st_uid == os.geteuid(),
        )

    def discovery_sockets(self) -> int:
        """Lines of /proc/net/udp and udp6 with the port as the local one."""
        return sum(
            fields[1].endswith(f":{_DISCOVERY_PORT}")
            for table in ("proc/net/udp", "proc/net/udp6")
            for fields in (line.split() for line in self._text(table).splitlines()[1:])
            if len(fields) > 1
        )

    def firewalls(self) -> list[str]:
        """Those whose configuration or run file says that they are on. Their rules are root's to read."""
        found = []
        if "ENABLED=yes" in self._text("etc/ufw/ufw.conf").splitlines():
            found.append("ufw")
        # Not by pathlib, which raises for a folder that only root may look into.
        if any(os.path.exists(self._root / place) for place in ("run/firewalld.pid", "run/firewalld/firewalld.pid")):
            found.append("firewalld")
        if glob.glob("etc/systemd/system/*.wants/nftables.service", root_dir=self._root):
            found.append("nftables")
        return found

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(errors="replace")
        except OSError:
            return ""
