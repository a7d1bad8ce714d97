"""What surrounds every method of every servicer: errors become wire errors, and use counts as activity.

The methods are wrapped once, before they are registered, instead of by an interceptor that would run again for each call.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio

from keybatond.ports import Log
from keybatond.services.start_gate import StartGate

if TYPE_CHECKING:
    from keybatond.rpc.errors import WireError

_Servicer = TypeVar("_Servicer")
_Context = grpc.aio.ServicerContext[Any, Any]

# Looking on is no activity: a status line or a tray would keep the vault open for ever.
QUIET = frozenset({"GetInfo", "Watch", "Lock", "Doctor", "ListSessions", "WatchSession"})


def guarded(servicer: _Servicer, touch: Callable[[], None], gate: StartGate, log: Log) -> _Servicer:
    """The same servicer with each of its RPC methods wrapped. Those that are not QUIET wait at `gate` and call `touch`."""

    def described(name: str, error: Exception) -> WireError:
        from keybatond.rpc.errors import where, wire_error  # with the first error, not with the first answer

        found = wire_error(error)
        if found.reason.value == "INTERNAL":
            log.event("call failed", method=name, error=type(error).__name__, where=where(error))
        return found

    async def admitted() -> None:
        if not gate.is_open:
            await gate.passed()
        touch()

    def unary(
        name: str, method: Callable[[Any, _Context], Awaitable[Any]]
    ) -> Callable[[Any, _Context], Awaitable[Any]]:
        active = name not in QUIET

        async def call(request: Any, context: _Context) -> Any:
            try:
                if active:
                    if not gate.is_open:
                        await gate.passed()
                    touch()
                return await method(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failed = described(name, error)
            return await context.abort(failed.status, failed.message, failed.trailing())

        return call

    def streaming(
        name: str, method: Callable[[Any, _Context], AsyncIterator[Any]]
    ) -> Callable[[Any, _Context], AsyncIterator[Any]]:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            try:
                if name not in QUIET:
                    await admitted()
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
        wrap: Any = streaming if inspect.isasyncgenfunction(method) else unary
        setattr(servicer, name, wrap(name, method))
    return servicer
