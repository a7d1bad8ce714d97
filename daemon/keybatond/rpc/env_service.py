"""EnvService: translate, call, translate back."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

from typing import Any

import grpc.aio

from keybaton_api.agent.v1 import env_pb2, env_pb2_grpc
from keybaton_core.items import EnvBody, Item
from keybaton_core.secret import SecretBytes
from keybatond.errors import refused
from keybatond.rpc.client_kind import client_kind
from keybatond.rpc.convert import sendable
from keybatond.services.environments import DEFAULT, EnvironmentService, Project

_Context = grpc.aio.ServicerContext[Any, Any]


class EnvServicer(env_pb2_grpc.EnvServiceServicer):
    """Hands calls about projects and environments to their service."""

    def __init__(self, environments: EnvironmentService) -> None:
        self._environments = environments

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

    async def GetEnvironment(
        self, request: env_pb2.GetEnvironmentRequest, context: _Context
    ) -> env_pb2.GetEnvironmentResponse:
        environment = request.environment or DEFAULT
        items = self._environments.variables(request.project_id, environment, client=client_kind(context))
        return sendable(env_pb2.GetEnvironmentResponse(variables=[_variable_to(item) for item in items]))

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
