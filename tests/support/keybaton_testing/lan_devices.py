"""Devices of a lab as people have them, all by the command line: a vault each, what lies in it, and what they hand over."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host

PASSPHRASE = "a passphrase for the test device"
CODE = "0815"
SHARE_SECONDS = 90  # longer than a share may take


def done(host: Host, *arguments: str, stdin: str = "", cwd: Path | None = None) -> CompletedProcess[str]:
    """Runs `keybaton` on the host; it must end well."""
    ended = host.keybaton(*arguments, stdin=stdin, cwd=cwd)
    assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
    return ended


def document(host: Host, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """What a command that ends well prints as JSON."""
    printed: dict[str, Any] = json.loads(done(host, *arguments, "--json", stdin=stdin).stdout)
    return printed


def refusal(host: Host, *arguments: str, stdin: str = "") -> tuple[int, dict[str, str]]:
    """Exit status and JSON error (reason, message, hint) of a command that must fail."""
    ended = host.keybaton(*arguments, "--json", stdin=stdin)
    assert ended.returncode != 0, ended.stdout
    error: dict[str, str] = json.loads(ended.stdout)["error"]
    return ended.returncode, error


def with_passphrase(host: Host) -> Host:
    """The host with an unlocked, empty vault whose key is a passphrase's."""
    done(host, "init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
    return host


def named(host: Host) -> Host:
    """The host with the name that it has in the lab; before its agent starts."""
    settings = Path(host.env["XDG_CONFIG_HOME"]) / "keybaton" / "config.toml"
    settings.parent.mkdir(mode=0o700, exist_ok=True)
    settings.write_text(f'device_name = "{host.name}"\n')
    return host


def with_keychain(host: Host) -> Host:
    """The host with an unlocked, empty vault whose key lies in its keychain."""
    assert document(host, "init", "--keystore", "keychain")["keystore"] == "keychain"
    return host


def sharing(host: Host, *arguments: str, code: str = CODE, cwd: Path | None = None) -> Spawned:
    """Starts a sending or receiving command that asks nobody, with the code on its standard input."""
    return host.spawn_keybaton(*arguments, "--yes", "--json", "--code-fd", "0", stdin=f"{code}\n", cwd=cwd)


def outcome(command: Spawned) -> tuple[int, dict[str, Any]]:
    """Exit status and last event."""
    status, lines, errors = command.finish(timeout=SHARE_SECONDS)
    assert lines, errors
    return status, json.loads(lines[-1])


def both_saved(sender: Spawned, receiver: Spawned) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last events of the two ends of one share, which must both say saved."""
    ends = [outcome(receiver), outcome(sender)]
    for command, (status, last) in zip((receiver, sender), ends, strict=True):
        assert (status, last["event"], last.get("outcome")) == (0, "done", "saved"), command.lines
    return ends[1][1], ends[0][1]
