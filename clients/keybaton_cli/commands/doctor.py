"""`keybaton doctor`: findings about this installation, the agent, and what lies between it and other devices."""

from __future__ import annotations

import os
import shutil
import sys

import click

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output
from keybaton_cli.agent_version import HINT, difference
from keybaton_cli.framework import App, command, pass_app
from keybaton_client.locate import listening, socket_path
from keybaton_client.problem import ClientError

_LEVELS = {
    agent_pb2.Finding.LEVEL_OK: ("ok", "green"),
    agent_pb2.Finding.LEVEL_WARNING: ("warning", "yellow"),
    agent_pb2.Finding.LEVEL_ERROR: ("error", "red"),
}


@command("doctor", examples=("keybaton doctor", "keybaton doctor --json"))
@pass_app
def doctor(app: App) -> None:
    """Look for what keeps Keybaton from working here, and say what to do. Exit code 1 when something is wrong."""
    findings = _own_findings(app)
    if not any(finding.level == agent_pb2.Finding.LEVEL_ERROR for finding in findings):
        try:
            agent = app.client().agent
            differs = difference(agent.info())
            if differs:
                findings.append(_warning("agent", differs, HINT))
            findings += agent.doctor()
        except ClientError as error:
            findings.append(_error("agent", error.message, error.hint))
    wrong = sum(finding.level == agent_pb2.Finding.LEVEL_ERROR for finding in findings)
    if app.json:
        listed = [
            {
                "level": _LEVELS.get(entry.level, ("unknown", ""))[0],
                "topic": entry.topic,
                "text": entry.text,
                "hint": entry.hint,
            }
            for entry in findings
        ]
        output.document({"ok": not wrong, "findings": listed})
    else:
        _print(findings)
    if wrong:
        raise click.exceptions.Exit(1)


def _own_findings(app: App) -> list[agent_pb2.Finding]:
    """What the client sees before it asks the agent: the socket, and whether an agent runs or can be started."""
    findings: list[agent_pb2.Finding] = []
    try:
        path = socket_path(os.environ, app.socket or "")
        ran = listening(path)
        app.client()
    except ClientError as error:
        return [_error("agent", error.message, error.hint)]
    findings.append(_ok("agent", f"{'runs' if ran else 'did not run; it was started'}, on {path}"))
    if not os.environ.get("XDG_RUNTIME_DIR") and not app.socket and not os.environ.get("KEYBATON_SOCKET"):
        text = "XDG_RUNTIME_DIR is not set, so the socket lies in the state folder."
        findings.append(_warning("socket", text, "A login session sets it; with sudo or cron set it yourself."))
    if sys.platform == "linux" and not any(map(shutil.which, ("wl-copy", "xclip", "xsel"))):
        if os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY"):
            text = "--copy does not work: no clipboard tool is installed."
            findings.append(_warning("clipboard", text, "Install wl-clipboard, xclip or xsel."))
    return findings


def _ok(topic: str, text: str) -> agent_pb2.Finding:
    return agent_pb2.Finding(level=agent_pb2.Finding.LEVEL_OK, topic=topic, text=text)


def _warning(topic: str, text: str, hint: str) -> agent_pb2.Finding:
    return agent_pb2.Finding(level=agent_pb2.Finding.LEVEL_WARNING, topic=topic, text=text, hint=hint)


def _error(topic: str, text: str, hint: str) -> agent_pb2.Finding:
    return agent_pb2.Finding(level=agent_pb2.Finding.LEVEL_ERROR, topic=topic, text=text, hint=hint)


def _print(findings: list[agent_pb2.Finding]) -> None:
    size = max(len(finding.topic) for finding in findings)
    for finding in findings:
        word, style = _LEVELS.get(finding.level, ("unknown", "dim"))
        label = output.styled(f"{word:<7}", style)
        output.say(f"{label}  {finding.topic:<{size}}  {output.printable(finding.text)}")
        if finding.hint:
            output.say(f"{'':7}  {'':{size}}  {output.styled('hint:', 'cyan')} {output.printable(finding.hint)}")
