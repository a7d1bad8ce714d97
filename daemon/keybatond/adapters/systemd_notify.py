"""Tells systemd about the agent: READY, STOPPING, and the watchdog's beat. Speaks sd_notify(3) itself, one datagram each."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping


class SystemdNotify:
    """Sends to NOTIFY_SOCKET; without it every method does nothing."""

    def __init__(self, env: Mapping[str, str]) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._beat_seconds = _beat_seconds(env)

    def ready(self) -> None:
        """The socket listens and calls are answered."""
        self._send(b"READY=1")

    def stopping(self) -> None:
        """The agent is about to end."""
        self._send(b"STOPPING=1")

    async def watchdog(self) -> None:
        """Beats while the event loop turns, at half of WatchdogSec; returns at once when systemd wants no beat."""
        while self._beat_seconds:
            self._send(b"WATCHDOG=1")
            await asyncio.sleep(self._beat_seconds)

    def _send(self, message: bytes) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1.0)
            try:
                sender.sendto(message, self._address)
            except OSError:
                return  # systemd then acts on its own deadline, which is what it is for


def _beat_seconds(env: Mapping[str, str]) -> float:
    """Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; 0 when it is not for this process."""
    microseconds = env.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(microseconds) / 2_000_000
