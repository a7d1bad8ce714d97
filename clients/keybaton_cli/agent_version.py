"""Whether the agent that runs is of this command's version: one that was started before an update goes on until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keybaton_api.agent.v1 import agent_pb2

HINT = "`keybaton stop` ends it; the next command starts an agent of its own version."


def own_version() -> str:
    """The version of what is installed here."""
    from importlib.metadata import version

    return version("keybaton")


def difference(info: agent_pb2.AgentInfo) -> str:
    """A sentence where agent and command are of different versions, else nothing; HINT belongs to it."""
    own = own_version()
    return "" if info.version == own else f"The agent that runs is version {info.version}, this command is {own}."
