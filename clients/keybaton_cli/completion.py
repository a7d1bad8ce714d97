"""Completes names from the agent: quickly or not at all, and never by starting one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from keybaton_api.agent.v1 import common_pb2

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
    import os

    from keybaton_api.agent.v1 import common_pb2, vault_pb2, vault_pb2_grpc
    from keybaton_cli.framework import App
    from keybaton_client.channel import AgentChannel, call
    from keybaton_client.problem import ClientError
    from keybaton_client.start import ensure_agent

    app = context.ensure_object(App)
    request = vault_pb2.ListItemsRequest(kind=kind, name_prefix=incomplete, page_size=_MOST)
    try:
        channel = AgentChannel(ensure_agent(os.environ, app.socket or "", start=False))
        try:
            answer = call(vault_pb2_grpc.VaultServiceStub(channel.raw).ListItems, request, _SECONDS)
        finally:
            channel.close()
    except ClientError:
        return []  # no agent, locked, too slow: nothing to offer, and no place for words
    kinds = {common_pb2.ITEM_KIND_SECRET, common_pb2.ITEM_KIND_DATABASE}
    return [
        CompletionItem(item.ref.name, help=item.secret_type or "database")
        for item in answer.items
        if item.ref.kind in kinds
    ]


def complete_session(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of running shares."""
    import os

    from keybaton_api.agent.v1 import share_pb2, share_pb2_grpc
    from keybaton_cli.framework import App
    from keybaton_cli.share_words import ENDED
    from keybaton_client.channel import AgentChannel, call
    from keybaton_client.problem import ClientError
    from keybaton_client.start import ensure_agent

    app = context.ensure_object(App)
    try:
        channel = AgentChannel(ensure_agent(os.environ, app.socket or "", start=False))
        try:
            stub = share_pb2_grpc.ShareServiceStub(channel.raw)
            answer = call(stub.ListSessions, share_pb2.ListSessionsRequest(), _SECONDS)
        finally:
            channel.close()
    except ClientError:
        return []
    return [
        CompletionItem(session.id[:8])
        for session in answer.sessions
        if session.state not in ENDED and session.id.startswith(incomplete)
    ]
