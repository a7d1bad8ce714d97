"""The standard health and reflection services, imported when the first client asks for them: few ever do."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc.aio

_HEALTH = "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class StandardServices(grpc.GenericRpcHandler):
    """Gives gRPC the handlers of both services. Everything is SERVING until `stop`."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: the full names of the other services."""
        self._names = [*names, _HEALTH, _REFLECTION]
        self._stopped = asyncio.Event()
        self._loaded: dict[str, _Handlers] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler for a method of the two services, None for all others."""
        service = handler_call_details.method.rpartition("/")[0][1:]
        if service not in (_HEALTH, _REFLECTION):
            return None
        if service not in self._loaded:
            self._loaded[service] = (
                _health(self._names, self._stopped) if service == _HEALTH else _reflection(self._names)
            )
        return self._loaded[service].service(handler_call_details)

    def stop(self) -> None:
        """Says from now on that nothing is served."""
        self._stopped.set()


class _Handlers:
    """Stands where generated code expects a server, and keeps what it registers."""

    def __init__(self) -> None:
        self._generic: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._generic.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """The same handlers again, for servers that look methods up by name."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        found = (handler.service(details) for handler in self._generic)
        return next((handler for handler in found if handler is not None), None)


def _reflection(names: Sequence[str]) -> _Handlers:
    from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

    handlers = _Handlers()
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), handlers)
    return handlers


def _health(names: Sequence[str], stopped: asyncio.Event) -> _Handlers:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    known = frozenset(["", *names])

    def status() -> Any:
        serving = health_pb2.HealthCheckResponse
        return serving(status=serving.NOT_SERVING if stopped.is_set() else serving.SERVING)

    class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
        async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if request.service not in known:
                await context.abort(grpc.StatusCode.NOT_FOUND)
            return status()

        async def Watch(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if request.service in known:
                yield status()
                await stopped.wait()
                yield status()
            else:
                yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
                await stopped.wait()

        async def List(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return health_pb2.HealthListResponse(statuses={name: status() for name in known})

    handlers = _Handlers()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), handlers)
    return handlers
