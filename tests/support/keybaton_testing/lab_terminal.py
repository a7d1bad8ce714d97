"""`python -m keybaton_testing.lab`: two devices in one local network, for a person to try things on.

With tmux on a terminal: two panes, one for each device. Without: the commands that enter them, until standard input ends.
`python -m keybaton_testing.lab -- COMMAND` runs a command that makes labs of its own; without root, in a user namespace.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from keybaton_testing.device import Device
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import named

NAMES = ("alice", "bob")
PASSPHRASE = "the passphrase of both devices"


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    if os.geteuid() != 0:
        return _as_root_of_a_namespace(arguments)
    if arguments[:1] == ["--"]:
        return subprocess.run(arguments[1:], check=False).returncode
    if arguments:
        print("usage: python -m keybaton_testing.lab [-- COMMAND…]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab is taken down
    with Lab() as lab:
        hosts = [named(lab.host(name)) for name in NAMES]
        for host in hosts:
            made = host.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
            if made.returncode != 0:
                print(made.stderr, file=sys.stderr)
                return 1
        scripts = [entry_script(host) for host in hosts]
        if sys.stdin.isatty() and shutil.which("tmux"):
            return _panes(hosts[0], scripts)
        print("Two devices in one network, keybaton initialised and unlocked on each. Enter them with:")
        for script in scripts:
            print(f"    {script}")
        print("They end with the end of standard input (Ctrl-D).", flush=True)
        sys.stdin.read()
    return 0


def entry_script(device: Device) -> Path:
    """An executable that opens a shell on the device, or runs `-c COMMAND` there."""
    script = device.root / "enter"
    variables = shlex.join(f"{name}={value}" for name, value in {**device.env, "PS1": f"{device.name}$ "}.items())
    script.write_text(f'#!/bin/sh\nexec {shlex.join(device.prefix)} env -i {variables} bash --norc "$@"\n')
    script.chmod(0o700)
    return script


def _panes(first: Host, scripts: Sequence[Path]) -> int:
    server = ["tmux", "-S", str(first.root / "tmux"), "-f", os.devnull]
    subprocess.run([*server, "new-session", "-d", "-s", "lab", str(scripts[0])], check=True)
    try:
        subprocess.run([*server, "split-window", "-h", "-t", "lab", str(scripts[1])], check=True)
        hint = f" passphrase: {PASSPHRASE} | other pane: Ctrl-b o | leave: Ctrl-b d "
        for option, value in (
            ("status-right", ""),
            ("status-left-length", "120"),
            ("status-left", hint),
            ("mouse", "on"),
        ):
            subprocess.run([*server, "set-option", "-g", option, value], check=True)
        return subprocess.run([*server, "attach-session", "-t", "lab"], check=False).returncode
    finally:
        subprocess.run([*server, "kill-server"], check=False, capture_output=True)


def _as_root_of_a_namespace(arguments: Sequence[str]) -> int:
    """`ip netns` needs a /run of its own there."""
    again = shlex.join([sys.executable, "-m", "keybaton_testing.lab", *arguments])
    command = [
        "unshare",
        "--map-root-user",
        "--net",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs none /run && exec {again}",
    ]
    return subprocess.run(command, check=False).returncode
