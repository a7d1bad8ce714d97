"""The credential helpers as other programs start them, with a fake agent behind a real grpcio server."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from keybaton_api.agent.v1 import agent_pb2
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.trampoline import SECONDS, starting

GIT_QUERY = b"protocol=https\nhost=git.example\n\n"
HINT = "`keybaton unlock` opens it."


@dataclass
class Helpers:
    """A fake agent and the environment of programs that find it. No terminal controls what runs in it."""

    agent: FakeAgent
    env: dict[str, str]

    def run(self, *arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """One request to a helper, as the trampoline starts it."""
        command = [*starting(), "helper", *arguments]
        return subprocess.run(
            command,
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,
        )

    def git(self, action: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        return self.run("git", action, stdin=stdin)

    def docker(self, action: str, stdin: bytes = b"") -> tuple[int, str]:
        done = self.run("docker", action, stdin=stdin)
        return done.returncode, done.stdout.decode()

    def lock(self) -> None:
        self.agent.info.vault_state = agent_pb2.VAULT_STATE_LOCKED

    def make_absent(self) -> None:
        self.agent.info.vault_state = agent_pb2.VAULT_STATE_ABSENT

    def names(self) -> list[str]:
        return sorted(name for (_, name), versions in self.agent.items.items() if versions[-1] is not None)


@contextlib.contextmanager
def unlocked_helpers() -> Iterator[Helpers]:
    """An unlocked vault without anything in it."""
    with short_folder() as folder, fake_agent(f"{folder}/s") as agent:
        yield Helpers(agent, {"KEYBATON_SOCKET": f"{folder}/s", "PATH": os.environ["PATH"], "HOME": folder})
