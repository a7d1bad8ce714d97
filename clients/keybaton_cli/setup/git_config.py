"""git: a line `helper` in the person's global configuration, written by git itself."""

from __future__ import annotations

import shlex
import subprocess
from functools import partial

from keybaton_cli.failure import Failure
from keybaton_cli.setup.plan import Plan, State, Step, first_line, helper, installed

PROGRAM = "git-credential-keybaton"
_KEY = "credential.helper"
_SECONDS = 10


def state() -> State:
    """Whether git has our helper."""
    if not installed("git"):
        return State(False, "")
    return State(True, "git config --global credential.helper" if _ours(_helpers()) else "")


def add(name: str, label: str) -> Plan:
    """Adds our helper behind those that are there."""
    _required()
    present = _helpers()
    if _ours(present):
        return Plan()
    found = helper(PROGRAM)
    value = "keybaton" if found == PROGRAM else shlex.quote(found)
    command = ("git", "config", "--global", "--add", _KEY, value)
    others = [other for other in present if other]
    notes: tuple[str, ...] = ()
    if others:
        notes = (
            f"git goes on asking {', '.join(others)} first, and gives each helper what you type: "
            "take away what you do not want with `git config --global --unset-all credential.helper NAME`.",
        )
    step = Step("git's global configuration", ("[credential]", f"    helper = {value}"), partial(_run, *command))
    return Plan((step,), notes)


def remove(name: str, label: str) -> Plan:
    """Takes our helper out; other helpers stay."""
    _required()
    steps = []
    for value in _ours(_helpers()):
        command = ("git", "config", "--global", "--fixed-value", "--unset-all", _KEY, value)
        lines = ("[credential]", f"    helper = {value}")
        steps.append(Step("git's global configuration", lines, partial(_run, *command), removes=True))
    return Plan(tuple(steps), ("The logins stay in the vault.",) if steps else ())


def _helpers() -> list[str]:
    found = _run("git", "config", "--global", "--get-all", _KEY, missing=True)
    return found.splitlines()


def _ours(values: list[str]) -> list[str]:
    found = []
    for value in values:
        try:
            word = shlex.split(value)[:1]
        except ValueError:
            continue
        if word == ["keybaton"] or (word and word[0].endswith("/" + PROGRAM)):
            found.append(value)
    return sorted(set(found))


def _required() -> None:
    if not installed("git"):
        raise Failure("NOT_FOUND", "git is not installed.")


def _run(*command: str, missing: bool = False) -> str:
    """What git prints. Exit code 1 of a query means that nothing is there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise Failure("STORAGE_FAILED", "git cannot be run, or does not answer.") from None
    if done.returncode and not (missing and done.returncode == 1):
        raise Failure("STORAGE_FAILED", f"git refused: {first_line(done.stderr)}")
    return done.stdout
