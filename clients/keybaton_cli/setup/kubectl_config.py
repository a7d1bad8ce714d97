"""kubectl: a user of the kubeconfig with our exec credential plugin, written by kubectl itself."""

from __future__ import annotations

import json
import shlex
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.setup.plan import Plan, State, Step, conflict, first_line, helper, installed

PROGRAM = "keybaton-kubectl-credentials"
_GROUP = "client.authentication.k8s.io"
_WHERE = "the kubeconfig"
_SECONDS = 20


def state() -> State:
    """Which users take their credentials from the vault."""
    if not installed("kubectl"):
        return State(False, "")
    users = [name for name, user in _users().items() if _is_ours(user)]
    return State(True, f"{_WHERE}: {', '.join(users)}" if users else "")


def add(name: str, label: str) -> Plan:
    """The user `label` (else named as the secret) takes its credentials from the secret `name`."""
    if not name:
        raise UsageFailure("A secret is needed.", "`keybaton setup kubectl NAME [--as USER]`")
    user = label or name
    there = _users().get(user)
    if there and _is_ours(there) and there["exec"].get("args") == [name]:
        return Plan()
    if there:
        raise conflict(_WHERE, f"the user {user} has other credentials", "--as names another user.")
    commands = _commands(user, name)
    lines = tuple(shlex.join(["kubectl", *arguments]) for arguments in commands)
    step = Step(_WHERE, lines, partial(_write, user, commands))
    return Plan((step,), (f"Use it with `kubectl config set-context --current --user={shlex.quote(user)}`.",))


def _commands(user: str, name: str) -> list[list[str]]:
    """What kubectl is told, one after the other."""
    written = ["config", "set-credentials", user, f"--exec-command={helper(PROGRAM)}", f"--exec-arg={_listed(name)}"]
    if "--exec-interactive-mode" in _run("config", "set-credentials", "--help"):
        return [[*written, f"--exec-api-version={_GROUP}/v1", "--exec-interactive-mode=Never"]]
    # kubectl before 1.26 cannot write the mode that version v1 demands, and 1.20 as built by Debian 12 crashes when
    # `set-credentials` has to make a user: it is made with a property that the second command takes out again.
    made = ["config", "set", f"users.{user}.username", user]
    return [made, [*written, "--username=", f"--exec-api-version={_GROUP}/v1beta1"]]


def _listed(name: str) -> str:
    """One value of an option that takes a list: kubectl reads it as a line of CSV."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name


def _write(user: str, commands: list[list[str]]) -> None:
    """Runs the commands; a user that is not finished does not stay."""
    _run(*commands[0])
    for arguments in commands[1:]:
        try:
            _run(*arguments)
        except Failure:
            _run("config", "delete-user", user)
            raise


def remove(name: str, label: str) -> Plan:
    """Removes the user `label`, or those that use the secret `name`, or all of ours."""
    steps = []
    for user, entry in _users().items():
        if not _is_ours(entry) or label not in ("", user) or (name and entry["exec"].get("args") != [name]):
            continue
        arguments = ["config", "unset", f"users.{user}"]
        if "." in user:
            arguments = ["config", "delete-user", user]
        steps.append(Step(_WHERE, (shlex.join(["kubectl", *arguments]),), partial(_run, *arguments)))
    return Plan(tuple(steps))


def _users() -> dict[str, Any]:
    text = _run("config", "view", "-o", "json")
    try:
        listed = json.loads(text).get("users") or []
        return {entry["name"]: entry.get("user") or {} for entry in listed}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure("FILE_UNREADABLE", "kubectl shows its configuration in a form that is not known.") from None


def _is_ours(user: Any) -> bool:
    plugin = user.get("exec") if isinstance(user, dict) else None
    return isinstance(plugin, dict) and Path(str(plugin.get("command", ""))).name == PROGRAM


def _run(*arguments: str) -> str:
    if not installed("kubectl"):
        raise Failure("NOT_FOUND", "kubectl is not installed.")
    try:
        done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise Failure("STORAGE_FAILED", "kubectl cannot be run, or does not answer.") from None
    if done.returncode:
        raise Failure("STORAGE_FAILED", f"kubectl refused: {first_line(done.stderr)}")
    return done.stdout
