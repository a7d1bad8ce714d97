"""docker: `credsStore`, or `credHelpers` for one registry, in its config.json."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from keybaton_cli.failure import Failure
from keybaton_cli.setup import files
from keybaton_cli.setup.plan import Plan, State, Step, conflict, helper, installed

PROGRAM = "docker-credential-keybaton"
_NAME = "keybaton"
_NOT_ON_PATH = "docker finds its helpers on PATH alone: put the folder of {} there."


def state() -> State:
    """Whether docker keeps passwords with us, for all registries or some."""
    values = _parsed(files.read(_path()))
    used = values.get("credsStore") == _NAME or _NAME in _helpers(values).values()
    return State(installed("docker"), files.shown(_path()) if used else "")


def add(name: str, label: str) -> Plan:
    """For the registry `name`, else for all of them."""
    text = files.read(_path())
    values = _parsed(text)
    if name:
        other = _helpers(values).get(name)
        lines: dict[str, Any] = {"credHelpers": {name: _NAME}}
        changed = {**values, "credHelpers": {**_helpers(values), name: _NAME}}
    else:
        other = values.get("credsStore")
        lines = {"credsStore": _NAME}
        changed = {**values, "credsStore": _NAME}
    if other == _NAME:
        return Plan()
    if other:
        raise conflict(
            files.shown(_path()),
            f"passwords are kept by {other!r} already",
            "`keybaton setup docker REGISTRY` takes over one registry; or take that line out yourself.",
        )
    notes = []
    if (found := helper(PROGRAM)) != PROGRAM:
        notes.append(_NOT_ON_PATH.format(found))
    if values.get("auths") and any(isinstance(auth, dict) and auth.get("auth") for auth in values["auths"].values()):
        notes.append("The file holds passwords, readable as they are: `docker login` again moves each into the vault.")
    return Plan((_step(text, changed, lines),), tuple(notes))


def remove(name: str, label: str) -> Plan:
    """Takes us out for the registry `name`, else everywhere."""
    text = files.read(_path())
    values = _parsed(text)
    helpers = _helpers(values)
    gone = {registry: used for registry, used in helpers.items() if used == _NAME and name in ("", registry)}
    changed = dict(values)
    lines: dict[str, Any] = {}
    if gone:
        lines["credHelpers"] = gone
        changed["credHelpers"] = {registry: used for registry, used in helpers.items() if registry not in gone}
        if not changed["credHelpers"]:
            del changed["credHelpers"]
    if not name and values.get("credsStore") == _NAME:
        lines["credsStore"] = _NAME
        del changed["credsStore"]
    if not lines:
        return Plan()
    return Plan((_step(text, changed, lines, removes=True),), ("The logins stay in the vault.",))


def _step(text: str, changed: dict[str, Any], lines: dict[str, Any], *, removes: bool = False) -> Step:
    after = json.dumps(changed, indent="\t", ensure_ascii=False) + "\n"
    shown = json.dumps(lines, indent=4, ensure_ascii=False).splitlines()[1:-1]
    return Step(files.shown(_path()), tuple(shown), partial(files.replace, _path(), text, after), removes)


def _path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG", "")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def _parsed(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text) if text.strip() else {}
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Failure("FILE_UNREADABLE", f"{files.shown(_path())}{where}: expected JSON.") from None
    if not isinstance(values, dict):
        raise Failure("FILE_UNREADABLE", f"{files.shown(_path())}: expected a JSON object.")
    return values


def _helpers(values: dict[str, Any]) -> dict[str, Any]:
    found = values.get("credHelpers")
    return found if isinstance(found, dict) else {}
