"""Whole commands, as people and scripts run them, each in turns with what it is compared to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from keybaton_testing.bench.competitors import (
    VARIABLES,
    Direnv,
    Dotenvx,
    KeePassXc,
    Keychain,
    Missing,
    Pass,
    PythonDotenv,
)
from keybaton_testing.bench.measure import Command, Row, interleaved, milliseconds
from keybaton_testing.bench.setting import Setting, device_with, name

_LISTED = 1000


def get(setting: Setting) -> list[Row]:
    """`keybaton get NAME` against the start of Python and against other stores."""
    bounds: dict[str, float | None] = {
        "py": 1.10,
        "pass show": 0.75,
        "secret-tool lookup": 1.05,
        "keyring get": 0.10,
        "dotenvx get": 0.06,
        "keepassxc-cli show": None,
        "dotenv get": None,
    }
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        keychain = functools.cache(lambda: stack.enter_context(Keychain(setting)))
        others = {
            "py": lambda: setting.python(device, "-c", "pass"),
            "pass show": lambda: stack.enter_context(Pass()).show(),
            "secret-tool lookup": lambda: keychain().secret_tool(),
            "keyring get": lambda: keychain().keyring(),
            "dotenvx get": lambda: stack.enter_context(Dotenvx(setting)).get(),
            "keepassxc-cli show": lambda: stack.enter_context(KeePassXc()).show(),
            "dotenv get": lambda: stack.enter_context(PythonDotenv(setting)).get(),
        }
        return _against("keybaton get NAME", setting.keybaton(device, "get", name(5)), others, bounds, setting.rounds)


def run(setting: Setting) -> list[Row]:
    """`keybaton run -- true` with ten variables."""
    bounds: dict[str, float | None] = {"py": 1.20, "dotenvx run": 0.05, "direnv exec": None, "dotenv run": None}
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        project = device.root / "project"
        project.mkdir()
        (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in VARIABLES.items()))
        made = replace(setting.keybaton(device, "env", "init", "--yes"), folder=str(project))
        made.run()
        others = {
            "py": lambda: setting.python(device, "-c", "pass"),
            "dotenvx run": lambda: stack.enter_context(Dotenvx(setting)).run(),
            "direnv exec": lambda: stack.enter_context(Direnv()).run(),
            "dotenv run": lambda: stack.enter_context(PythonDotenv(setting)).run(),
        }
        ours = replace(setting.keybaton(device, "run", "--", "true"), folder=str(project))
        return _against("keybaton run -- true", ours, others, bounds, setting.rounds)


def listing(setting: Setting) -> list[Row]:
    """`keybaton secrets list` of 1,000 names."""
    what = f"keybaton secrets list of {_LISTED:,} names"
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        others = {
            "py": lambda: setting.python(device, "-c", "pass"),
            "pass ls": lambda: stack.enter_context(Pass()).listing(_LISTED),
        }
        ours = setting.keybaton(device, "secrets", "list")
        return _against(what, ours, others, {"pass ls": 0.90, "py": None}, setting.rounds)


def _against(
    what: str,
    ours: Command,
    others: Mapping[str, Callable[[], Command]],
    bounds: Mapping[str, float | None],
    rounds: int,
) -> list[Row]:
    """A row for each bound. One of `others` that cannot be set up here is left out of the rounds; its row says why."""
    commands: dict[str, Command] = {"": ours}
    missing: dict[str, str] = {}
    for against, set_up in others.items():
        try:
            commands[against] = set_up()
        except Missing as error:
            missing[against] = str(error)
    taken = interleaved({key: command.run for key, command in commands.items()}, rounds)
    rows = []
    for against, bound in bounds.items():
        if against in missing:
            rows.append(Row(what, against, None, bound, note=missing[against]))
            continue
        note = f"{milliseconds(taken[''])}, {milliseconds(taken[against])}"
        rows.append(Row(what, against, taken[""] / taken[against], bound, note=note))
    return rows
