"""The agent's EnvService for Python programs: projects and their environments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keybaton_api.agent.v1 import env_pb2, env_pb2_grpc
from keybaton_client.channel import AgentChannel, call


class EnvApi:
    """Projects and environments as a whole; single variables are items of the vault."""

    def __init__(self, channel: AgentChannel) -> None:
        self._stub = env_pb2_grpc.EnvServiceStub(channel.raw)

    def create_project(self, name: str) -> env_pb2.Project:
        """A new project with an empty environment `default`."""
        return call(self._stub.CreateProject, env_pb2.CreateProjectRequest(name=name)).project

    def projects(self) -> list[env_pb2.Project]:
        """Every project with its environments."""
        return list(call(self._stub.ListProjects, env_pb2.ListProjectsRequest()).projects)

    def remove_project(self, project_id: str) -> int:
        """Removes a project; returns how many variables it had."""
        return call(self._stub.RemoveProject, env_pb2.RemoveProjectRequest(project_id=project_id)).variables

    def variables(self, project_id: str, environment: str) -> list[env_pb2.Variable]:
        """The variables of one environment, by name."""
        request = env_pb2.GetEnvironmentRequest(project_id=project_id, environment=environment)
        return list(call(self._stub.GetEnvironment, request).variables)

    def change(
        self,
        project_id: str,
        environment: str,
        values: Mapping[str, bytes],
        remove: Iterable[str] = (),
        *,
        create: bool = False,
        exclusive: bool = False,
    ) -> env_pb2.ChangeEnvironmentResponse:
        """Sets and removes variables in one transaction."""
        request = env_pb2.ChangeEnvironmentRequest(
            project_id=project_id,
            environment=environment,
            create=create,
            set=[env_pb2.Variable(name=name, value=value) for name, value in values.items()],
            remove=remove,
            exclusive=exclusive,
        )
        return call(self._stub.ChangeEnvironment, request)

    def remove_environment(self, project_id: str, environment: str) -> int:
        """Removes an environment; returns how many variables it had."""
        request = env_pb2.RemoveEnvironmentRequest(project_id=project_id, environment=environment)
        return call(self._stub.RemoveEnvironment, request).variables
