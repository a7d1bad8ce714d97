"""A logind on a private system bus: says that the machine goes to sleep, locks sessions, and gives inhibitor descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from keybaton_testing.processes import Running, wait_until
from keybaton_testing.require import require

LOGIND = "org.freedesktop.login1"
MANAGER_PATH = "/org/freedesktop/login1"
OURS, THEIRS = "/org/freedesktop/login1/session/_31", "/org/freedesktop/login1/session/_32"
OUR_UID, THEIR_UID = 4711, 4712

_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class FakeLogind:
    """An async context manager; `address` is the bus. `holds` tells how many inhibitors are held right now."""

    def __init__(self) -> None:
        require("keyring")  # brings dbus-daemon
        self._stack = contextlib.ExitStack()
        root = Path(tempfile.mkdtemp(prefix="kbl-"))
        self._stack.callback(shutil.rmtree, root, ignore_errors=True)
        self._root = root
        self.address = f"unix:path={root / 'bus'}"
        self.inhibitors: list[int] = []  # our ends; the other one is closed when the watcher lets go
        self._bus: MessageBus | None = None
        self._daemon: Running | None = None

    async def __aenter__(self) -> Self:
        config = self._root / "bus.conf"
        config.write_text(_BUS_CONFIG.format(path=self._root / "bus"))
        self._daemon = Running(["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"])
        self._stack.callback(self._daemon.stop)
        wait_until((self._root / "bus").exists, "the D-Bus socket")
        self._bus = await MessageBus(bus_address=self.address, negotiate_unix_fd=True).connect()
        await self._bus.request_name(LOGIND)
        self._bus.add_message_handler(self._answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._bus is not None:
            self._bus.disconnect()
        for end in self.inhibitors:
            os.close(end)
        self._stack.close()

    def stop_bus(self) -> None:
        """The system bus dies."""
        assert self._daemon is not None
        self._daemon.stop()

    @property
    def holds(self) -> int:
        """How many inhibitors are held."""
        return sum(not self._released(end) for end in self.inhibitors)

    def _released(self, end: int) -> bool:
        try:
            return os.read(end, 1) == b""
        except BlockingIOError:
            return False

    def prepare_for_sleep(self, active: bool) -> None:
        """Before the sleep, or after it."""
        self._emit(MANAGER_PATH, "org.freedesktop.login1.Manager", "PrepareForSleep", "b", [active])

    def lock_session(self, path: str) -> None:
        """As `loginctl lock-session`."""
        self._emit(path, "org.freedesktop.login1.Session", "Lock", "", [])

    def set_locked_hint(self, path: str, locked: bool) -> None:
        """As a screen locker does."""
        body = ["org.freedesktop.login1.Session", {"LockedHint": Variant("b", locked)}, []]
        self._emit(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", body)

    async def forge_sleep(self) -> None:
        """Somebody else on the bus sends logind's signal to everyone whom it can name."""
        stranger = await MessageBus(bus_address=self.address).connect()
        reply = await stranger.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="ListNames",
            )
        )
        assert reply is not None
        for name in reply.body[0]:
            signal = Message(
                destination=name,
                message_type=MessageType.SIGNAL,
                path=MANAGER_PATH,
                interface="org.freedesktop.login1.Manager",
                member="PrepareForSleep",
                signature="b",
                body=[True],
            )
            await stranger.send(signal)
        stranger.disconnect()

    def _emit(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        assert self._bus is not None
        signal = Message(
            message_type=MessageType.SIGNAL,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
        )
        asyncio.ensure_future(self._bus.send(signal))  # noqa: RUF006 - the bus keeps it until it is written

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.destination != LOGIND:
            return None
        if message.member == "Inhibit":
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            self.inhibitors.append(ours)
            asyncio.get_running_loop().call_later(0.2, os.close, theirs)  # once the bus has passed a copy on
            return Message.new_method_return(message, "h", [0], unix_fds=[theirs])
        if message.member == "Get" and message.path in (OURS, THEIRS):
            uid = OUR_UID if message.path == OURS else THEIR_UID
            return Message.new_method_return(message, "v", [Variant("(uo)", [uid, MANAGER_PATH])])
        return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "no such object")
