"""ssh: the agent's setting `ssh_agent`, and a block at the end of ~/.ssh/config that names its socket.

ssh takes the first value that it reads for a host: at the end, the block overrides nothing that is there.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from keybaton_cli.failure import Failure
from keybaton_cli.setup import files
from keybaton_cli.setup.plan import Plan, State, Step, installed
from keybaton_client.locate import default_socket

_BEGIN = "# keybaton setup ssh: begin"
_END = "# keybaton setup ssh: end"
_SETTING = re.compile(r"^[ \t]*ssh_agent[ \t]*=[ \t]*(true|false)[ \t\r]*(#.*)?$", re.MULTILINE)


def state() -> State:
    """Whether ssh is told where the agent serves it."""
    return State(installed("ssh"), files.shown(_path()) if _BEGIN in files.read(_path()) else "")


def add(name: str, label: str) -> Plan:
    """Turns the serving on and names the socket."""
    steps = []
    settings = files.read(_settings())
    found = _SETTING.search(settings)
    if not found or found[1] == "false":
        after = _SETTING.sub("ssh_agent = true", settings) if found else f"ssh_agent = true\n{settings}"
        apply = partial(files.replace, _settings(), settings, after)
        steps.append(Step(files.shown(_settings()), ("ssh_agent = true",), apply))
    text = files.read(_path())
    if _BEGIN not in text:
        block = (_BEGIN, "Match all", f"    IdentityAgent {_quoted(ssh_socket())}", _END)
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        after = text + gap + "\n".join(block) + "\n"
        steps.append(Step(files.shown(_path()), block, partial(files.replace, _path(), text, after)))
    if not steps:
        return Plan()
    notes = (
        "ssh then asks this agent in the place of the one in SSH_AUTH_SOCK; keys in files are used as before.",
        'ssh-add and git signing look at SSH_AUTH_SOCK alone: `eval "$(keybaton ssh-agent)"`.',
    )
    return Plan(tuple(steps), notes)


def remove(name: str, label: str) -> Plan:
    """Takes both out."""
    steps = []
    settings = files.read(_settings())
    found = _SETTING.search(settings)
    if found and found[1] == "true":
        after = settings[: found.start()] + settings[found.end() :].removeprefix("\n")
        apply = partial(files.replace, _settings(), settings, after)
        steps.append(Step(files.shown(_settings()), ("ssh_agent = true",), apply, removes=True))
    text = files.read(_path())
    if _BEGIN in text:
        before, _, rest = text.partition(_BEGIN)
        block, end, behind = rest.partition(_END)
        if not end:
            raise Failure("FILE_UNREADABLE", f"{files.shown(_path())}: the line {_END!r} is missing.", "Put it back.")
        if before.endswith("\n\n"):
            before = before[:-1]  # the empty line that `add` made
        after = before + behind.removeprefix("\n")
        apply = partial(files.replace, _path(), text, after)
        lines = (_BEGIN, *block.strip("\n").split("\n"), _END)
        steps.append(Step(files.shown(_path()), lines, apply, removes=True))
    notes = ("An agent that runs goes on serving ssh until it ends.",) if steps else ()
    return Plan(tuple(steps), notes)


def ssh_socket() -> Path:
    """Where the agent of this environment serves SSH's programs: beside its own socket."""
    return Path(default_socket(os.environ)).with_name("ssh.sock")


def _quoted(path: Path) -> str:
    """A path in ssh_config(5): `%` begins a token there."""
    return '"' + str(path).replace("%", "%%") + '"'


def _path() -> Path:
    return Path.home() / ".ssh" / "config"


def _settings() -> Path:
    return files.config_folder() / "keybaton" / "config.toml"
