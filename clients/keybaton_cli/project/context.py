"""Where an `env` command works: the project of the working directory and the environment that was named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from keybaton_api.agent.v1 import env_pb2
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_cli.project import file

DEFAULT = "default"
VARIABLE = "KEYBATON_ENV"  # names the environment where `--env` does not


@dataclass(frozen=True)
class Place:
    """A project and one of its environments."""

    app: App
    project: file.Project
    environment: str

    def variables(self, environment: str = "") -> list[env_pb2.Variable]:
        """The variables of this environment, or of another one of the project. ClientError."""
        return self.app.client().environments.variables(self.project.vault, environment or self.environment)

    def values(self, environment: str = "") -> dict[str, str]:
        """The same as texts by name."""
        return {variable.name: variable.value.decode() for variable in self.variables(environment)}

    def environments(self) -> list[env_pb2.EnvironmentSummary]:
        """Every environment of the project. Failure PROJECT_NOT_FOUND."""
        for project in self.app.client().environments.projects():
            if project.id == self.project.vault:
                return list(project.environments)
        raise Failure(
            "PROJECT_NOT_FOUND",
            f"This vault has no project of the id {self.project.vault}, which {self.project.path} names.",
            "`keybaton env receive` takes its variables from another device; `keybaton env vaults` lists what is here.",
        )


def project_of(start: Path | None = None) -> file.Project:
    """The project of the working directory. Failure NOT_FOUND without one, USAGE for a malformed file."""
    path = file.find(start or Path.cwd())
    if path is None:
        raise Failure(
            "PROJECT_NOT_FOUND",
            f"There is no {file.FILE_NAME} in this folder or above it.",
            "`keybaton env init` makes one and imports the .env files that are here.",
        )
    try:
        return file.read(path)
    except file.ProjectRefused as refused:
        raise Failure("USAGE", str(refused)) from None
    except OSError as error:
        raise Failure("FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.") from None


def place(app: App, environment: str | None) -> Place:
    """The project of the working directory and the environment: `--env`, else KEYBATON_ENV, else `default`."""
    project = project_of()
    return Place(app, project, project.environment(environment or os.environ.get(VARIABLE, "") or DEFAULT))
