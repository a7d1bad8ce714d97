"""aws: `credential_process` in a profile of its shared configuration file."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from keybaton_cli.failure import UsageFailure
from keybaton_cli.setup import files, ini
from keybaton_cli.setup.plan import Plan, State, Step, conflict, helper, installed

PROGRAM = "keybaton-aws-credentials"
_KEY = "credential_process"


def state() -> State:
    """Which profiles take their keys from the vault."""
    profiles = [_profile(section) or section for section in _ours(files.read(_path()))]
    return State(installed("aws"), f"{files.shown(_path())}: {', '.join(profiles)}" if profiles else "")


def add(name: str, label: str) -> Plan:
    """Profile `label` (else named as the secret) takes its keys from the secret `name`."""
    if not name:
        raise UsageFailure("A secret is needed.", "`keybaton setup aws NAME [--as PROFILE]`")
    profile = label or name
    text = files.read(_path())
    section = next((known for known in ini.sections(text) if _profile(known) == profile), None) or _section(profile)
    value = f"{shlex.quote(helper(PROGRAM))} {shlex.quote(name)}"
    there = ini.value(text, section, _KEY)
    if there == value:
        return Plan()
    if there is not None:
        raise conflict(
            files.shown(_path()), f"profile {profile} has a credential_process", "--as names another profile."
        )
    notes = []
    if profile in ini.sections(files.read(_credentials())):
        notes.append(
            f"{files.shown(_credentials())} has the profile {profile} too, and its keys win: take them out there."
        )
    after = ini.added(text, section, _KEY, value)
    notes.append(
        f"Use it with `aws --profile {shlex.quote(profile)}`." if profile != "default" else "It is the default profile."
    )
    lines = (f"[{section}]", f"{_KEY} = {value}")
    return Plan((Step(files.shown(_path()), lines, partial(files.replace, _path(), text, after)),), tuple(notes))


def remove(name: str, label: str) -> Plan:
    """Takes the line out of profile `label`, or of those that use the secret `name`, or of all."""
    text = after = files.read(_path())
    lines: list[str] = []
    for section, value in _ours(text).items():
        if label and _profile(section) != label:
            continue
        if name and shlex.split(value)[1:] != [name]:
            continue
        lines += [f"[{section}]", f"{_KEY} = {value}"]
        after = ini.removed(after, section, _KEY)
    if not lines:
        return Plan()
    return Plan((Step(files.shown(_path()), tuple(lines), partial(files.replace, _path(), text, after), removes=True),))


def _ours(text: str) -> dict[str, str]:
    """Our value by section."""
    found = {}
    for section in ini.sections(text):
        value = ini.value(text, section, _KEY) or ""
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        if words and Path(words[0]).name == PROGRAM:
            found[section] = value
    return found


def _profile(section: str) -> str | None:
    """The profile that a section describes: its name may be quoted."""
    try:
        words = shlex.split(section)
    except ValueError:
        return None
    if words == ["default"]:
        return "default"
    return words[1] if len(words) == 2 and words[0] == "profile" else None


def _section(profile: str) -> str:
    if not profile.isprintable() or any(c in profile for c in "[]#;") or profile != profile.strip():
        raise UsageFailure("This name cannot be a profile's.", "--as names the profile.")
    if profile == "default":
        return profile
    return f'profile "{profile}"' if " " in profile else f"profile {profile}"


def _path() -> Path:
    return files.home("AWS_CONFIG_FILE", ".aws", "config")


def _credentials() -> Path:
    return files.home("AWS_SHARED_CREDENTIALS_FILE", ".aws", "credentials")
