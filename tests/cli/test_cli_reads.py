"""`keybaton history --reads`, and what each client says of its kind."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import grpc
import pytest

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_client.client import Client
from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import NOW_MS, FakeAgent
from keybaton_testing.trampoline import starting
from keybatond.rpc.client_kind import KINDS, OTHER, client_kind

pytestmark = pytest.mark.usefixtures("agent")


@pytest.fixture
def agent(agent: FakeAgent) -> FakeAgent:
    """With a secret and a database of one name."""
    agent.put_secret("token", "token", value="v")
    agent.put_database("token", path="/p")
    return agent


def test_each_client_is_noted_by_its_kind(agent: FakeAgent, run: CommandLine) -> None:
    """The quick path and the complete one of the command line, and the library."""
    command = [*starting(), "get", "token"]
    subprocess.run(command, env=dict(os.environ), check=True, capture_output=True, timeout=30)
    run("get", "token")
    with Client.connect() as client:
        client.vault.get_value(common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="token"))
    assert [read.client for read in reversed(agent.reads)] == ["cli", "cli", "library"]


def test_reads_are_listed_newest_first(agent: FakeAgent, run: CommandLine) -> None:
    """When, by what, which kind of item, and its name; a variable with its environment."""
    project = "0" * 32
    variable = common_pb2.ItemRef(
        kind=common_pb2.ITEM_KIND_ENV_VARIABLE, name="PORT", vault=project, environment="staging"
    )
    database = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_DATABASE, name="token")
    agent.reads = [
        vault_pb2.Read(at_ms=NOW_MS + 1000, ref=variable, version=2, client="run"),
        vault_pb2.Read(at_ms=NOW_MS, ref=database, version=1, client="git"),
    ]
    lines = [line.split("\t")[1:] for line in run("history", "--reads").out.splitlines()]
    assert lines == [["run", "variable", "PORT (staging)"], ["git", "database", "token"]]
    document = run("history", "--reads", "--json").document
    assert document["reads"][0] == {
        "at": "2023-11-14T22:13:21.000Z", "name": "PORT", "kind": "variable", "project": project,
        "environment": "staging", "version": 2, "client": "run",
    }  # fmt: skip
    assert len(run("history", "--reads", "--limit", "1").out.splitlines()) == 1
    assert run("history", "--reads", "PORT").out.count("\n") == 1
    assert run("history", "--reads", "token").out.count("\n") == 1
    assert json.loads(run("history", "--reads", "PORT", "--database", "--json").out) == {"reads": []}


@pytest.mark.parametrize(
    "arguments", [(), ("token", "--limit", "3"), ("--reads", "--limit", "0"), ("--reads", "--limit", "1001")]
)
def test_a_command_line_that_does_not_fit(run: CommandLine, arguments: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert run("history", *arguments).code == 2


class Context:
    """The metadata of a call."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata or None


def kind_of(*metadata: tuple[str, str | bytes]) -> str:
    context: grpc.aio.ServicerContext[Any, Any] = Context(*metadata)  # type: ignore[assignment]
    return client_kind(context)


def test_only_known_kinds_reach_the_log() -> None:
    """Silence, an unknown word and bytes are all "other": a caller cannot write into the log."""
    for kind in KINDS:
        assert kind_of(("user-agent", "x"), ("keybaton-client", kind)) == kind
    for metadata in ((), (("keybaton-client", "rm -rf"),), (("keybaton-client", b"git"),), (("other", "git"),)):
        assert kind_of(*metadata) == OTHER
