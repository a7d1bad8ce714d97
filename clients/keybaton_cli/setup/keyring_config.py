"""keyring: the backend in keyringrc.cfg."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from keybaton_cli.setup import files, ini
from keybaton_cli.setup.plan import Plan, State, Step, conflict, installed

BACKEND = "keybaton_cli.helpers.keyring_backend.KeybatonKeyring"
_SECTION, _KEY = "backend", "default-keyring"


def state() -> State:
    """Whether keyring uses the vault."""
    used = ini.value(files.read(_path()), _SECTION, _KEY) == BACKEND
    return State(installed("keyring"), files.shown(_path()) if used else "")


def add(name: str, label: str) -> Plan:
    """Makes it the default backend."""
    text = files.read(_path())
    there = ini.value(text, _SECTION, _KEY)
    if there == BACKEND:
        return Plan()
    if there is not None:
        raise conflict(files.shown(_path()), f"the default keyring is {there}", "Take that line out yourself.")
    step = Step(
        files.shown(_path()),
        (f"[{_SECTION}]", f"{_KEY} = {BACKEND}"),
        partial(files.replace, _path(), text, ini.added(text, _SECTION, _KEY, BACKEND)),
    )
    note = (
        "Every Python environment in which keyring is used needs Keybaton in it, from the folder that you installed it from: "
        "`pipx inject twine FOLDER`; without it, keyring fails there."
    )
    return Plan((step,), (note,))


def remove(name: str, label: str) -> Plan:
    """Takes it out; keyring then looks for a backend by itself."""
    text = files.read(_path())
    if ini.value(text, _SECTION, _KEY) != BACKEND:
        return Plan()
    lines = (f"[{_SECTION}]", f"{_KEY} = {BACKEND}")
    apply = partial(files.replace, _path(), text, ini.removed(text, _SECTION, _KEY))
    return Plan((Step(files.shown(_path()), lines, apply, removes=True),), ("The passwords stay in the vault.",))


def _path() -> Path:
    from keyring.util.platform_ import config_root

    return Path(config_root()) / "keyringrc.cfg"
