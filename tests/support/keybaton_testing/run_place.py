"""A project's folder, a real grpcio server that holds its environments, and `keybaton run` in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from keybaton_api.agent.v1 import env_pb2
from keybaton_hot.unary import GET_ENVIRONMENT
from keybaton_testing.grpc_server import serving, short_folder
from keybaton_testing.trampoline import SECONDS, starting
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.errors import wire_error

PROJECT = "0123456789abcdef" * 2
both_forms = pytest.mark.parametrize("bare", [True, False], ids=["hot", "complete"])
SHOW = 'import os; print({k: v for k, v in os.environ.items() if k.startswith("T_")})'


@dataclass
class Environments:
    """What the server holds; `failure` makes every call fail, `hangs` keeps it without an answer until it is set."""

    values: dict[str, dict[str, bytes]] = field(default_factory=dict)
    failure: KeybatonError | None = None
    hangs: threading.Event | None = None
    asked: list[str] = field(default_factory=list)

    def get(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = env_pb2.GetEnvironmentRequest.FromString(data)
        self.asked.append(request.environment)
        if self.hangs is not None:
            self.hangs.wait(SECONDS)
        failure = self.failure
        if failure is None and request.environment not in self.values:
            failure = KeybatonError(
                Reason.ENVIRONMENT_NOT_FOUND,
                name=request.environment,
                nearest="staging",
                suggestion="; the nearest is staging",
            )
        if failure is not None:
            wire = wire_error(failure)
            context.set_trailing_metadata(wire.trailing())
            context.abort(wire.status, wire.message)
        assert request.project_id == PROJECT
        found = self.values[request.environment]
        variables = [env_pb2.Variable(name=name, value=value) for name, value in found.items()]
        return env_pb2.GetEnvironmentResponse(variables=variables).SerializeToString()


@dataclass
class Place:
    """A project's folder, a server, and the environment of a command."""

    held: Environments
    folder: Path
    env: dict[str, str]

    def toml(self, more: str = "") -> None:
        """Writes the project's file."""
        (self.folder / "keybaton.toml").write_text(f'vault = "{PROJECT}"\nname = "shop"\n{more}')

    def run(
        self, *arguments: str, bare: bool = True, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`keybaton run` with these arguments; `bare` as the trampoline starts it, else through click."""
        return subprocess.run(
            [*starting(bare=bare), "run", *arguments],
            env={**self.env, **(env or {})},
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def shown(self, *arguments: str, bare: bool = True, env: dict[str, str] | None = None) -> dict[str, str]:
        """The program's variables whose names begin with T_."""
        done = self.run(*arguments, "--", sys.executable, "-c", SHOW, bare=bare, env=env)
        assert done.returncode == 0, done.stderr
        found = eval(done.stdout, {})
        assert isinstance(found, dict)
        return found


@contextmanager
def run_place() -> Iterator[Place]:
    """A project with the environments `default` and `staging`."""
    held = Environments({"default": {"T_A": b"vault", "T_B": "wörth\n2".encode()}, "staging": {"T_A": b"stage"}})
    with short_folder() as folder:
        Path(folder, "keybaton").mkdir(mode=0o700)
        Path(folder, "project").mkdir()
        env = {"XDG_RUNTIME_DIR": folder, "HOME": folder, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        made = Place(held, Path(folder, "project"), env)
        made.toml()
        with serving({GET_ENVIRONMENT: held.get}, f"{folder}/keybaton/agent.sock"):
            yield made
