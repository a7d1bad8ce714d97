"""Whole commands, as people and scripts run them, each in turns with what it is compared to."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from dataclasses import replace

from keybaton_testing.bench.competitors import Dotenvx, Keychain, Missing, Pass
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
    }
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        ours = setting.keybaton(device, "get", name(5))
        others, missing = _others(setting, stack)
        others["py"] = setting.python(device, "-c", "pass")
        return _against("keybaton get NAME", ours, others, missing, bounds, setting.rounds)


def _others(setting: Setting, stack: ExitStack) -> tuple[dict[str, Command], dict[str, str]]:
    commands: dict[str, Command] = {}
    missing: dict[str, str] = {}
    try:
        commands["pass show"] = stack.enter_context(Pass()).show()
    except Missing as error:
        missing["pass show"] = str(error)
    try:
        keychain = stack.enter_context(Keychain(setting))
        commands["secret-tool lookup"], commands["keyring get"] = keychain.secret_tool(), keychain.keyring()
    except Missing as error:
        missing["secret-tool lookup"] = missing["keyring get"] = str(error)
    try:
        commands["dotenvx get"] = stack.enter_context(Dotenvx(setting)).get()
    except Missing as error:
        missing["dotenvx get"] = str(error)
    return commands, missing


def run(setting: Setting) -> list[Row]:
    """`keybaton run -- true` with ten variables."""
    bounds: dict[str, float | None] = {"py": 1.20, "dotenvx run": 0.05}
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        project = device.root / "project"
        project.mkdir()
        (project / ".env").write_text("".join(f"NAME_{number}=value of it\n" for number in range(10)))
        made = replace(setting.keybaton(device, "env", "init", "--yes"), folder=str(project))
        made.run()
        others = {"py": setting.python(device, "-c", "pass")}
        missing: dict[str, str] = {}
        try:
            others["dotenvx run"] = stack.enter_context(Dotenvx(setting)).run()
        except Missing as error:
            missing["dotenvx run"] = str(error)
        ours = replace(setting.keybaton(device, "run", "--", "true"), folder=str(project))
        return _against("keybaton run -- true", ours, others, missing, bounds, setting.rounds)


def listing(setting: Setting) -> list[Row]:
    """`keybaton secrets list` of 1,000 names."""
    what = f"keybaton secrets list of {_LISTED:,} names"
    with ExitStack() as stack:
        device, _ = stack.enter_context(device_with(_LISTED))
        ours = setting.keybaton(device, "secrets", "list")
        others = {"py": setting.python(device, "-c", "pass")}
        missing: dict[str, str] = {}
        with contextlib.ExitStack() as guarded:
            try:
                others["pass ls"] = guarded.enter_context(Pass()).listing(_LISTED)
            except Missing as error:
                missing["pass ls"] = str(error)
            return _against(what, ours, others, missing, {"pass ls": 0.90, "py": None}, setting.rounds)


def _against(
    what: str,
    ours: Command,
    others: dict[str, Command],
    missing: dict[str, str],
    bounds: dict[str, float | None],
    rounds: int,
) -> list[Row]:
    taken = interleaved({"": ours.run, **{key: command.run for key, command in others.items()}}, rounds)
    rows = []
    for against, bound in bounds.items():
        if against in missing:
            rows.append(Row(what, against, None, bound, note=missing[against]))
            continue
        note = f"{milliseconds(taken[''])}, {milliseconds(taken[against])}"
        rows.append(Row(what, against, taken[""] / taken[against], bound, note=note))
    return rows
