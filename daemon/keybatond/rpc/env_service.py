"""EnvService: translate, call, translate back."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

from typing import Any, Final

import grpc.aio

from keybaton_api.agent.v1 import env_pb2, env_pb2_grpc
from keybaton_core.items import EnvBody, Item
from keybaton_core.secret import SecretBytes
from keybatond.errors import refused
from keybatond.rpc.client_kind import client_kind
from keybatond.rpc.convert import sendable
from keybatond.rpc.encoded import decoded, take_bytes
from keybatond.rpc.limits import MESSAGE_MAX_BYTES
from keybatond.services.environments import DEFAULT, EnvironmentService, Project
from keybatond.services.vault import VaultService

NAME: Final = "keybaton_api.agent.v1.EnvService"
_ENVIRONMENT: Final = b"environment "  # kept answers are found by method and request
_Context = grpc.aio.ServicerContext[Any, Any]


def add_to_server(servicer: EnvServicer, server: Any) -> None:
    """Registers the servicer; what `run` reads takes bytes."""
    take_bytes(NAME, servicer, ("GetEnvironment",), server)
    env_pb2_grpc.add_EnvServiceServicer_to_server(servicer, server)


class EnvServicer(env_pb2_grpc.EnvServiceServicer):
    """Hands calls about projects and environments to their service."""

    def __init__(self, environments: EnvironmentService, vault: VaultService) -> None:
        """`vault`: the one that `environments` are in."""
        self._environments = environments
        self._vault = vault

    async def CreateProject(
        self, request: env_pb2.CreateProjectRequest, context: _Context
    ) -> env_pb2.CreateProjectResponse:
        return env_pb2.CreateProjectResponse(project=_project_to(await self._environments.create_project(request.name)))

    async def ListProjects(
        self, request: env_pb2.ListProjectsRequest, context: _Context
    ) -> env_pb2.ListProjectsResponse:
        return env_pb2.ListProjectsResponse(
            projects=[_project_to(project) for project in self._environments.projects()]
        )

    async def RemoveProject(
        self, request: env_pb2.RemoveProjectRequest, context: _Context
    ) -> env_pb2.RemoveProjectResponse:
        return env_pb2.RemoveProjectResponse(variables=await self._environments.remove_project(request.project_id))

    async def GetEnvironment(self, request: bytes, context: _Context) -> bytes:  # type: ignore[override]  # see add_to_server
        return self._vault.get_encoded(_ENVIRONMENT + request, self._read, client=client_kind(context))

    def _read(self, asked: bytes) -> tuple[list[Item], bytes]:
        request = decoded(env_pb2.GetEnvironmentRequest(), asked.removeprefix(_ENVIRONMENT))
        items = self._environments.variables(request.project_id, request.environment or DEFAULT, MESSAGE_MAX_BYTES)
        response = sendable(env_pb2.GetEnvironmentResponse(variables=[_variable_to(item) for item in items]), "values")
        return items, response.SerializeToString()

    async def ChangeEnvironment(
        self, request: env_pb2.ChangeEnvironmentRequest, context: _Context
    ) -> env_pb2.ChangeEnvironmentResponse:
        values = {variable.name: SecretBytes(variable.value) for variable in request.set}
        if len(values) != len(request.set):
            raise refused("set", "names a variable twice")
        done = await self._environments.change(
            request.project_id,
            request.environment or DEFAULT,
            values,
            request.remove,
            create=request.create,
            exclusive=request.exclusive,
        )
        return env_pb2.ChangeEnvironmentResponse(
            created=done.created, changed=done.changed, unchanged=done.unchanged, removed=done.removed
        )

    async def RemoveEnvironment(
        self, request: env_pb2.RemoveEnvironmentRequest, context: _Context
    ) -> env_pb2.RemoveEnvironmentResponse:
        removed = await self._environments.remove_environment(request.project_id, request.environment)
        return env_pb2.RemoveEnvironmentResponse(variables=removed)


def _project_to(project: Project) -> env_pb2.Project:
    return env_pb2.Project(
        id=project.id,
        name=project.name,
        environments=[
            env_pb2.EnvironmentSummary(name=name, variables=count) for name, count in project.environments.items()
        ],
    )


def _variable_to(item: Item) -> env_pb2.Variable:
    assert isinstance(item.body, EnvBody)
    return env_pb2.Variable(
        name=item.ref.name, value=item.body.value.reveal(), version=item.version, updated_at_ms=item.updated_at_ms
    )
