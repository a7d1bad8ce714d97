"""Completes names from the agent: quickly or not at all, and never by starting one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from keybaton_api.agent.v1 import common_pb2, env_pb2
    from keybaton_cli.project.file import Project
    from keybaton_client.channel import AgentChannel

_SECONDS = 0.8  # a person waits at the Tab key
_MOST = 1000


def complete_secret(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of secrets, with their types as help."""
    from keybaton_cli.items import SECRET

    return _names(context, SECRET, incomplete)


def complete_database(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of databases."""
    from keybaton_cli.items import DATABASE

    return _names(context, DATABASE, incomplete)


def complete_item(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of secrets and databases."""
    from keybaton_api.agent.v1 import common_pb2

    return _names(context, common_pb2.ITEM_KIND_UNSPECIFIED, incomplete)


def _names(context: click.Context, kind: common_pb2.ItemKind.ValueType, incomplete: str) -> list[CompletionItem]:
    from keybaton_api.agent.v1 import common_pb2, vault_pb2, vault_pb2_grpc

    request = vault_pb2.ListItemsRequest(kind=kind, name_prefix=incomplete, page_size=_MOST)
    answer = _asked(context, lambda channel: vault_pb2_grpc.VaultServiceStub(channel.raw).ListItems, request)
    if answer is None:
        return []
    kinds = {common_pb2.ITEM_KIND_SECRET, common_pb2.ITEM_KIND_DATABASE}
    return [
        CompletionItem(item.ref.name, help=item.secret_type or "database")
        for item in answer.items
        if item.ref.kind in kinds
    ]


def complete_environment(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Environments of the project that the working directory belongs to."""
    return [CompletionItem(e.name) for e in _environments(context) if e.name.startswith(incomplete)]


def complete_variable(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the variables in the environment that the command line names."""
    from keybaton_api.agent.v1 import common_pb2, vault_pb2, vault_pb2_grpc
    from keybaton_cli.project.context import DEFAULT

    project = _project()
    if project is None:
        return []
    request = vault_pb2.ListItemsRequest(
        kind=common_pb2.ITEM_KIND_ENV_VARIABLE,
        vault=project.vault,
        environment=project.environment(context.params.get("environment") or DEFAULT),
        name_prefix=incomplete,
        page_size=_MOST,
    )
    answer = _asked(context, lambda channel: vault_pb2_grpc.VaultServiceStub(channel.raw).ListItems, request)
    return [] if answer is None else [CompletionItem(item.ref.name) for item in answer.items]


def complete_program(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A command line to run: programs on PATH for its first word, files for what follows and for paths."""
    import os

    found: set[str] = set()
    if incomplete and "/" not in incomplete and not context.params.get("command_line"):
        for folder in os.get_exec_path():
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                found |= {e.name for e in entries if e.name.startswith(incomplete) and os.access(e.path, os.X_OK)}
    return [CompletionItem(name) for name in sorted(found)[:_MOST]] or [CompletionItem(incomplete, type="file")]


def _project() -> Project | None:
    from keybaton_cli.failure import Failure
    from keybaton_cli.project.context import project_of

    try:
        return project_of()
    except Failure:
        return None


def _environments(context: click.Context) -> list[env_pb2.EnvironmentSummary]:
    from keybaton_api.agent.v1 import env_pb2, env_pb2_grpc

    project = _project()
    request = env_pb2.ListProjectsRequest()
    if project is None:
        return []
    answer = _asked(context, lambda channel: env_pb2_grpc.EnvServiceStub(channel.raw).ListProjects, request)
    return [e for p in answer.projects if p.id == project.vault for e in p.environments] if answer is not None else []


def _asked(context: click.Context, method: Callable[[AgentChannel], Any], request: Any) -> Any:
    """The answer of a running agent, or None: there is no place for words, and none is started."""
    import os

    from keybaton_cli.framework import App
    from keybaton_client.channel import AgentChannel, call
    from keybaton_client.problem import ClientError
    from keybaton_client.start import ensure_agent

    app = context.ensure_object(App)
    try:
        channel = AgentChannel(ensure_agent(os.environ, app.socket or "", start=False))
        try:
            return call(method(channel), request, _SECONDS)
        finally:
            channel.close()
    except ClientError:
        return None


def complete_session(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of running shares."""
    from keybaton_api.agent.v1 import share_pb2, share_pb2_grpc
    from keybaton_cli.share_words import ENDED

    request = share_pb2.ListSessionsRequest()
    answer = _asked(context, lambda channel: share_pb2_grpc.ShareServiceStub(channel.raw).ListSessions, request)
    if answer is None:
        return []
    return [
        CompletionItem(session.id[:8])
        for session in answer.sessions
        if session.state not in ENDED and session.id.startswith(incomplete)
    ]
