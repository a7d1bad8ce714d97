"""`keybaton service`: the agent as a systemd user unit, so that it runs from login on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from keybaton_cli import output, whole_file
from keybaton_cli.agent_end import end_agent
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.setup.files import config_folder
from keybaton_client.start import agent_command

UNIT = "keybatond.service"
_SECONDS = 60
_PLACEHOLDER = "ExecStart=%h/.local/bin/keybatond"


def _template() -> str:
    """The unit as it is shipped: beside this package in a wheel, in the source tree else."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / UNIT, package.parents[1] / "systemd" / UNIT):
        if candidate.is_file():
            return candidate.read_text()
    raise Failure("NOT_FOUND", f"{UNIT} is missing from this installation.", "Install Keybaton again.")


def _target() -> Path:
    return config_folder() / "systemd" / "user" / UNIT


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `systemctl --user` under a deadline. Failure when there is none, or when it hangs."""
    if not shutil.which("systemctl"):
        raise Failure(
            "NO_SYSTEMD", "There is no systemd here.", "An agent is started by the first command that needs one."
        )
    try:
        return subprocess.run(
            ["systemctl", "--user", *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Failure("DEADLINE_EXCEEDED", f"systemctl did not answer within {_SECONDS} seconds.") from None


def _must(*arguments: str) -> None:
    done = _systemctl(*arguments)
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise Failure(
            "NO_SYSTEMD",
            f"systemctl --user {' '.join(arguments)} failed: {told[0]}",
            "Without a login session of systemd the first command starts the agent.",
        )


def _quoted(path: str) -> str:
    """A path for ExecStart (systemd.service, "Command lines"): quoted, and with what systemd would expand doubled."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


@command("install", examples=("keybaton service install",))
@pass_app
def install(app: App) -> None:
    """Install, enable and start the user unit. An agent that runs already is replaced; the vault locks with it."""
    text = _template()
    if _PLACEHOLDER not in text:
        raise Failure("INTERNAL", f"{UNIT} of this installation has no line {_PLACEHOLDER}.")
    target = _target()
    _must("show-environment")  # asks whether there is a user manager, before anything is written
    target.parent.mkdir(parents=True, exist_ok=True)
    unit = text.replace(_PLACEHOLDER, f"ExecStart={_quoted(agent_command())}")
    whole_file.write(target, unit.encode(), 0o644, replace=True)
    _must("daemon-reload")
    _end_running(app)
    _must("enable", "--now", UNIT)
    if app.json:
        output.document({"unit": str(target), "active": True})
    else:
        output.say(f"Installed {output.printable(str(target))}; the agent runs and starts at every login.")


def _end_running(app: App) -> None:
    """An agent that a client started would keep the unit's from the socket: it is told to end, gracefully."""
    if _systemctl("is-active", "--quiet", UNIT).returncode == 0:
        return
    end_agent(app)


@command("uninstall", examples=("keybaton service uninstall",))
@pass_app
def uninstall(app: App) -> None:
    """Stop the agent and remove the user unit. The vault stays; the next command starts an agent by itself."""
    target = _target()
    existed = target.exists()
    if existed:
        _must("disable", "--now", UNIT)
        target.unlink(missing_ok=True)
        _must("daemon-reload")
    if app.json:
        output.document({"unit": str(target), "removed": existed})
    else:
        output.say(f"Removed {output.printable(str(target))}." if existed else "The unit is not installed.")


@command("status", examples=("keybaton service status",))
@pass_app
def status(app: App) -> None:
    """Show whether the unit is installed, enabled and running."""
    target = _target()
    enabled = _systemctl("is-enabled", UNIT).stdout.strip() or "unknown"
    active = _systemctl("is-active", UNIT).stdout.strip() or "unknown"
    if app.json:
        output.document({"unit": str(target), "installed": target.exists(), "enabled": enabled, "active": active})
        return
    output.pairs(
        [
            ("unit", output.printable(str(target)) if target.exists() else "not installed"),
            ("enabled", enabled),
            ("active", active),
        ]
    )
    if not target.exists():
        output.hint("`keybaton service install` starts the agent at login.")
