"""Locks the vault when logind says that the machine goes to sleep or that this user's screen is locked.

org.freedesktop.login1(5). A delay inhibitor holds the sleep back until the keys are gone (logind waits 5 s at most). Screen
lockers set a session's LockedHint; `loginctl lock-session` and idle policies send the signal Lock. Without a system bus there is
nothing to do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from keybatond.ports import Clock, Log

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus
    from dbus_fast.message import Message

LOGIND: Final = "org.freedesktop.login1"
MANAGER: Final = "org.freedesktop.login1.Manager"
SESSION: Final = "org.freedesktop.login1.Session"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
MANAGER_PATH: Final = "/org/freedesktop/login1"
BUS: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"

CALL_SECONDS: Final = 3.0  # for each answer of logind or the bus
RETRY_SECONDS: Final = 60.0  # after a lost connection
SIGNALS_MAX: Final = 64  # waiting ones; the oldest are dropped, each would only lock once more

_MATCHES: Final = (
    f"type='signal',sender='{LOGIND}',interface='{MANAGER}',member='PrepareForSleep'",
    f"type='signal',sender='{LOGIND}',interface='{SESSION}',member='Lock'",
    f"type='signal',sender='{LOGIND}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{SESSION}'",
)


class _Lost(Exception):
    """The bus or logind does not answer as it should."""


class LogindWatch:
    """Calls `lock` for each reason to. `run` goes on as long as the agent; it returns where there is no system bus."""

    def __init__(
        self,
        lock: Callable[[], Awaitable[None]],
        clock: Clock,
        log: Log,
        *,
        address: str | None = None,
        user_id: int | None = None,
    ) -> None:
        """`address`: of the system bus, default the system's own; `user_id`: whose sessions count, default this process's."""
        self._lock = lock
        self._clock = clock
        self._log = log
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
        self._user_id = os.getuid() if user_id is None else user_id
        self._inhibitor: int | None = None
        self._watched = False  # once

    async def run(self) -> None:
        """Watches; connects again a minute after the connection is lost."""
        while True:
            try:
                await self._watch()
            except (OSError, EOFError, _Lost) as failure:
                self._log.event("logind not watched", reason=type(failure).__name__)
                if isinstance(failure, FileNotFoundError) and not self._watched:
                    return  # without a bus from the start there will never be one
            finally:
                self._let_sleep()
            await self._clock.sleep(RETRY_SECONDS)

    async def _watch(self) -> None:
        path = self._address.removeprefix("unix:path=").partition(",")[0]
        if self._address.startswith("unix:path=") and not os.path.exists(path):  # noqa: PTH110, ASYNC240 - a look, no I/O to speak of
            raise FileNotFoundError(path)
        from dbus_fast.aio import MessageBus
        from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

        try:
            bus = MessageBus(bus_address=self._address, negotiate_unix_fd=True)
        except InvalidAddressError:  # an address of a kind that it does not know
            raise _Lost from None
        signals: asyncio.Queue[Message] = asyncio.Queue(SIGNALS_MAX)

        def heard(message: Message) -> None:
            if message.message_type.name == "SIGNAL" and message.interface in (MANAGER, SESSION, PROPERTIES):
                if signals.full():
                    signals.get_nowait()
                signals.put_nowait(message)

        try:
            async with asyncio.timeout(CALL_SECONDS):
                await bus.connect()
            bus.add_message_handler(heard)
            for match in _MATCHES:
                await self._ask(bus, BUS, BUS_PATH, f"{BUS}.AddMatch", match)
            await self._hold_sleep(bus)
            self._watched = True
            self._log.event("logind watched")
            await self._serve(bus, signals)
        except (TimeoutError, AuthError, DBusError, InvalidAddressError):  # such as a bus that lets nobody in
            raise _Lost from None
        finally:
            bus.disconnect()

    async def _serve(self, bus: MessageBus, signals: asyncio.Queue[Message]) -> None:
        gone = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        try:
            while True:
                following = asyncio.ensure_future(signals.get())
                await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    raise _Lost
                await self._act(bus, following.result())
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _act(self, bus: MessageBus, signal: Message) -> None:
        if not await self._is_logind(bus, signal.sender):
            return
        match (signal.member, signal.body):
            case ("PrepareForSleep", [True]):
                await self._lock_now("sleep")
                self._let_sleep()
            case ("PrepareForSleep", [False]):
                await self._hold_sleep(bus)
            case ("Lock", _):
                if await self._is_ours(bus, signal.path):
                    await self._lock_now("screen")
            case ("PropertiesChanged", [_, dict() as changed, _]):
                if _locked_hint(changed) and await self._is_ours(bus, signal.path):
                    await self._lock_now("screen")

    async def _lock_now(self, reason: str) -> None:
        self._log.event("lock by logind", reason=reason)
        try:
            await self._lock()
        except Exception as failure:  # the watch outlives a lock that is delayed
            self._log.event("lock delayed", error=type(failure).__name__)

    async def _is_logind(self, bus: MessageBus, sender: str | None) -> bool:
        """Anyone on the system bus may send us a signal; only logind's count."""
        (owner,) = await self._ask(bus, BUS, BUS_PATH, f"{BUS}.GetNameOwner", LOGIND)
        return sender is not None and sender == owner

    async def _is_ours(self, bus: MessageBus, path: str | None) -> bool:
        """Whether the session at `path` is this user's. One that has just ended was somebody's: it does not lock."""
        try:
            (owner,) = await self._ask(bus, LOGIND, path or "/", f"{PROPERTIES}.Get", SESSION, "User")
        except _Lost:
            return False
        return bool(owner.value[0] == self._user_id)

    async def _hold_sleep(self, bus: MessageBus) -> None:
        self._let_sleep()
        what = ("sleep", "Keybaton", "Drops its keys from memory", "delay")
        message = await self._reply(bus, LOGIND, MANAGER_PATH, f"{MANAGER}.Inhibit", *what)
        if message.unix_fds:
            self._inhibitor = message.unix_fds[0]

    def _let_sleep(self) -> None:
        if self._inhibitor is not None:
            os.close(self._inhibitor)
            self._inhibitor = None

    async def _ask(self, bus: MessageBus, name: str, path: str, method: str, *texts: str) -> list[Any]:
        return list((await self._reply(bus, name, path, method, *texts)).body)

    async def _reply(self, bus: MessageBus, name: str, path: str, method: str, *texts: str) -> Message:
        """The answer to `interface.Member` with text arguments only. Raises _Lost for none in time, or an error."""
        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        interface, _, member = method.rpartition(".")
        question = Message(
            destination=name,
            path=path,
            interface=interface,
            member=member,
            signature="s" * len(texts),
            body=list(texts),
        )
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await bus.call(question)
        except TimeoutError:
            raise _Lost from None
        if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
            raise _Lost
        return answer


def _locked_hint(changed: dict[str, Any]) -> bool:
    hint = changed.get("LockedHint")
    return hint is not None and hint.value is True
