"""`keybaton shares`: lists, resumes and cancels the agent's share sessions."""

from __future__ import annotations

from typing import Any

import click

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.receive import receive_needs
from keybaton_cli.commands.send import send_needs
from keybaton_cli.completion import complete_session
from keybaton_cli.failure import Failure
from keybaton_cli.follow import follow, reporter_for
from keybaton_cli.framework import CONTEXT_SETTINGS, App, LazyGroup, command, pass_app
from keybaton_cli.share_words import ENDED, PROTOCOLS, STATES, several
from keybaton_client.problem import NoAgentRuns

_ROLES = {share_pb2.SHARE_ROLE_SEND: "send", share_pb2.SHARE_ROLE_RECEIVE: "receive"}


@click.command(
    "shares",
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
    context_settings=CONTEXT_SETTINGS,
    examples=("keybaton shares", "keybaton shares resume", "keybaton shares cancel 3f9a"),
    commands={
        "list": ("keybaton_cli.commands.shares:list_shares", "The same as `keybaton shares`."),
        "resume": ("keybaton_cli.commands.shares:resume", "Look on at a running share again."),
        "cancel": ("keybaton_cli.commands.shares:cancel", "End a running share."),
    },
)
@click.pass_context
def shares(context: click.Context) -> None:
    """Shares that run, or that ended in the last ten minutes.

    A share goes on in the agent when its terminal is closed.
    """
    if context.invoked_subcommand is None:
        _list(context.ensure_object(App))


@command("list", examples=("keybaton shares list",))
@pass_app
def list_shares(app: App) -> None:
    """Shares that run, or that ended in the last ten minutes."""
    _list(app)


def _sessions(app: App) -> list[share_pb2.Session]:
    try:
        return app.client(start=False).shares.sessions()
    except NoAgentRuns:
        return []  # shares live in the agent


def _list(app: App) -> None:
    found = _sessions(app)
    if app.json:
        output.document({"shares": [_session_json(session) for session in found]})
        return
    rows = [
        (
            session.id[:8],
            _ROLES.get(session.role, "?"),
            _what(session),
            session.peer_name or session.peer_address or "-",
            STATES.get(session.state, "unknown") + (f" ({session.reason})" if session.reason else ""),
        )
        for session in found
    ]
    output.table(("ID", "ROLE", "WHAT", "PEER", "STATE"), rows)
    if not found:
        output.note("No shares.")


def _what(session: share_pb2.Session) -> str:
    if session.names:
        return several(session.names)
    if session.name:
        return session.name
    if session.offer.HasField("database"):
        return session.offer.database.name
    if session.offer.HasField("environment"):
        return f"{session.offer.environment.project_name}/{session.offer.environment.environment}"
    return ", ".join(secret.name for secret in session.offer.secrets) or "-"


def _session_json(session: share_pb2.Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "role": _ROLES.get(session.role),
        "protocol": PROTOCOLS.get(session.protocol),
        "state": STATES.get(session.state, "unknown"),
        "reason": session.reason or None,
        "what": _what(session),
        "peer": {"name": session.peer_name, "address": session.peer_address},
        "needsCode": session.needs_code,
        "code": session.code or None,
    }


def _one(app: App, given: str | None, wanted: str) -> share_pb2.Session:
    """The session whose id begins with `given`, else the only one that runs."""
    running = [session for session in _sessions(app) if session.state not in ENDED]
    if given is not None:
        matching = [session for session in running if session.id.startswith(given)]
        if len(matching) != 1:
            problem = "No running share has" if not matching else "More than one running share has"
            raise Failure(
                "SESSION_NOT_FOUND", f"{problem} an id that begins with {given}.", "`keybaton shares` lists them."
            )
        return matching[0]
    if not running:
        raise Failure("SESSION_NOT_FOUND", "No share is running.")
    if len(running) == 1:
        return running[0]
    prompts.demand(app, f"Which share to {wanted}", "Give its ID; `keybaton shares` lists them.")
    titles = [
        (f"{session.id[:8]}  {_ROLES.get(session.role, '?')} {_what(session)}  {STATES.get(session.state)}", session)
        for session in running
    ]
    return prompts.Asker().choose("Which share?", titles)


@command("resume", events=True, examples=("keybaton shares resume", "keybaton shares resume 3f9a"))
@click.argument("id", required=False, shell_complete=complete_session)
@pass_app
def resume(app: App, id: str | None) -> None:  # noqa: A002  # the argument's name in the help
    """Look on at a running share again, and answer what it asks."""
    session = _one(app, id, "resume")
    if session.role == share_pb2.SHARE_ROLE_SEND:
        needs = send_needs(app)
    else:
        photosphere = session.protocol == share_pb2.SHARE_PROTOCOL_PHOTOSPHERE
        needs = receive_needs(app, photosphere=photosphere, on_conflict=None, yes=False)
    follow(app, session, reporter_for(app, "secrets"), needs)  # every `receive` takes whatever is handed over


@command("cancel", examples=("keybaton shares cancel", "keybaton shares cancel 3f9a"))
@click.argument("id", required=False, shell_complete=complete_session)
@pass_app
def cancel(app: App, id: str | None) -> None:  # noqa: A002  # the argument's name in the help
    """End a running share at once; the other device is told."""
    session = app.client(start=False).shares.cancel(_one(app, id, "cancel").id)
    if app.json:
        output.document(_session_json(session))
    else:
        output.say("Cancelled.")
