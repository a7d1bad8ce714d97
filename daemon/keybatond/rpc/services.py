"""The agent's services by their full names, each with what imports and adds it when its first call comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from keybatond.ports import Log
from keybatond.rpc.lazy import Load
from keybatond.services.start_gate import StartGate

if TYPE_CHECKING:
    from keybatond.services.agent_state import AgentStatus
    from keybatond.services.custody import CustodyService
    from keybatond.services.doctor import Doctor
    from keybatond.services.environments import EnvironmentService
    from keybatond.services.shares import ShareService
    from keybatond.services.vault import VaultService

AGENT = "keybaton_api.agent.v1.AgentService"
VAULT = "keybaton_api.agent.v1.VaultService"
ENV = "keybaton_api.agent.v1.EnvService"
SHARE = "keybaton_api.agent.v1.ShareService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
NAMES = (AGENT, VAULT, ENV, SHARE, HEALTH, REFLECTION)


class Behind(NamedTuple):
    """What stands behind the API. What few callers need is a function that makes it."""

    status: AgentStatus
    custody: CustodyService
    vault: Callable[[], VaultService]
    environments: Callable[[], EnvironmentService]
    shares: Callable[[], ShareService]
    doctor: Callable[[], Doctor]
    serve_ssh: Callable[[], Awaitable[str]]
    gate: StartGate
    log: Log
    stopped: asyncio.Event


def services(behind: Behind) -> Mapping[str, Load]:
    """Every service, to be given to the server."""

    def guard(servicer: Any) -> Any:
        from keybatond.rpc.guard import guarded

        return guarded(servicer, behind.gate, behind.log)

    def add_agent(server: Any) -> None:
        from keybaton_api.agent.v1.agent_pb2_grpc import add_AgentServiceServicer_to_server
        from keybatond.rpc.agent_service import AgentServicer

        servicer = AgentServicer(behind.status, behind.custody, behind.vault, behind.doctor, behind.serve_ssh)
        add_AgentServiceServicer_to_server(guard(servicer), server)

    def add_vault(server: Any) -> None:
        from keybatond.rpc.vault_service import VaultServicer, add_to_server

        add_to_server(guard(VaultServicer(behind.vault())), server)

    def add_env(server: Any) -> None:
        from keybatond.rpc.env_service import EnvServicer, add_to_server

        add_to_server(guard(EnvServicer(behind.environments(), behind.vault())), server)

    def add_share(server: Any) -> None:
        from keybaton_api.agent.v1.share_pb2_grpc import add_ShareServiceServicer_to_server
        from keybatond.rpc.share_service import ShareServicer

        add_ShareServiceServicer_to_server(guard(ShareServicer(behind.shares())), server)

    def add_health(server: Any) -> None:
        from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

        from keybatond.rpc.standard import HealthServicer

        add_HealthServicer_to_server(HealthServicer(NAMES, behind.stopped), server)

    def add_reflection(server: Any) -> None:
        from keybatond.rpc import standard

        standard.add_reflection(NAMES, server)

    return {
        VAULT: add_vault,
        ENV: add_env,
        AGENT: add_agent,
        SHARE: add_share,
        HEALTH: add_health,
        REFLECTION: add_reflection,
    }
