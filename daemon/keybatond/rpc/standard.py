"""The standard health and reflection services, so that any gRPC tool works on the agent."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Everything is SERVING until `stopped`."""

    def __init__(self, names: Sequence[str], stopped: asyncio.Event) -> None:
        """`names`: the full names of the services."""
        self._names = frozenset(["", *names])
        self._stopped = stopped

    def _status(self) -> Any:
        kinds = health_pb2.HealthCheckResponse
        return kinds(status=kinds.NOT_SERVING if self._stopped.is_set() else kinds.SERVING)

    async def Check(self, request: Any, context: _Context) -> Any:
        """The status of one service, or of the agent for the empty name."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return self._status()

    async def Watch(self, request: Any, context: _Context) -> AsyncIterator[Any]:
        """The status at once and when it changes; a service that is not there is unknown for ever."""
        kinds = health_pb2.HealthCheckResponse
        known = request.service in self._names
        yield self._status() if known else kinds(status=kinds.SERVICE_UNKNOWN)
        await self._stopped.wait()
        if known:
            yield self._status()

    async def List(self, request: Any, context: _Context) -> Any:
        """The status of every service."""
        return health_pb2.HealthListResponse(statuses={name: self._status() for name in self._names})


def add_reflection(names: Sequence[str], server: Any) -> None:
    """Adds server reflection, which describes the services in `names`; their messages must be imported to be described."""
    from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

    from keybaton_api.agent.v1 import agent_pb2, env_pb2, share_pb2, vault_pb2

    for module in (agent_pb2, env_pb2, share_pb2, vault_pb2):
        assert module.DESCRIPTOR.package  # importing put it into the pool
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), server)
