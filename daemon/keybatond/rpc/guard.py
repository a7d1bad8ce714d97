"""What surrounds every method of every servicer: errors become wire errors, use counts as activity, no call waits for ever.

The methods are wrapped once, before they are registered, instead of by an interceptor that would run again for each call.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio

from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Log
from keybatond.services.start_gate import StartGate

if TYPE_CHECKING:
    from keybatond.rpc.errors import WireError

_Servicer = TypeVar("_Servicer")
_Context = grpc.aio.ServicerContext[Any, Any]

# Looking on is no activity: a status line or a tray would keep the vault open for ever.
QUIET = frozenset({"GetInfo", "Watch", "Lock", "Doctor", "ListSessions", "WatchSession"})

# These wait for nothing, and reads should not pay for a timer.
AT_ONCE = frozenset({
    "GetItem", "ListItems", "BatchGet", "ListVersions", "ListReads",
    "GetInfo", "ListProjects", "GetEnvironment", "ListSessions",
})  # fmt: skip

# For all others, also from a client without a deadline. Longer than all that one of them may wait for inside: another change of
# keys, then a keychain that asks a person when the key is stored, read back and, in the worst case, removed.
CALL_SECONDS = 240.0


def guarded(servicer: _Servicer, gate: StartGate, log: Log) -> _Servicer:
    """The same servicer with each of its RPC methods wrapped. Those that are not QUIET pass through `gate`."""

    def described(name: str, error: Exception) -> WireError:
        from keybatond.rpc.errors import where, wire_error  # with the first error, not with the first answer

        found = wire_error(error)
        if found.reason.value == "INTERNAL":
            log.event("call failed", method=name, error=type(error).__name__, where=where(error))
        return found

    def unary(
        name: str, method: Callable[[Any, _Context], Awaitable[Any]]
    ) -> Callable[[Any, _Context], Awaitable[Any]]:
        active = name not in QUIET

        async def call(request: Any, context: _Context) -> Any:
            try:
                if active:
                    await gate.admitted()
                return await method(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failed = described(name, error)
            return await context.abort(failed.status, failed.message, failed.trailing())

        return call

    def limited(method: Callable[[Any, _Context], Awaitable[Any]]) -> Callable[[Any, _Context], Awaitable[Any]]:
        async def call(request: Any, context: _Context) -> Any:
            try:
                async with asyncio.timeout(CALL_SECONDS) as deadline:
                    return await method(request, context)
            except TimeoutError:
                if deadline.expired():
                    raise KeybatonError(Reason.TIMED_OUT) from None
                raise

        return call

    def streaming(
        name: str, method: Callable[[Any, _Context], AsyncIterator[Any]]
    ) -> Callable[[Any, _Context], AsyncIterator[Any]]:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            try:
                if name not in QUIET:
                    await gate.admitted()
                async for response in method(request, context):
                    yield response
                return
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failed = described(name, error)
            await context.abort(failed.status, failed.message, failed.trailing())

        return call

    for name, method in inspect.getmembers(servicer, inspect.isroutine):
        if name.startswith("_"):
            continue
        if inspect.isasyncgenfunction(method):
            setattr(servicer, name, streaming(name, method))
        else:
            setattr(servicer, name, unary(name, method if name in AT_ONCE else limited(method)))
    return servicer
