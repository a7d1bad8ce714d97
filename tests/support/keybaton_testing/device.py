"""A throw-away device: XDG folders of its own below one short folder, programs run in them, and an agent that surely ends."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from keybaton_testing.processes import Running, process_exists, wait_until
from keybaton_testing.program import keybaton

RUN_SECONDS = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FOLDERS = {
    "HOME": "home",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
    "XDG_RUNTIME_DIR": "run",
}


def device_environment(root: Path) -> dict[str, str]:
    """Makes the folders below `root`, each 0700, and returns the variables that name them."""
    environment = {name: str(root / folder) for name, folder in _FOLDERS.items()}
    for folder in environment.values():
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(folder).chmod(0o700)
    return environment


class Device:
    """One device on this machine; a context manager. `env` is the whole environment of its programs.

    `root`: a folder for everything (short, since the agent's socket lies below it); made and removed when None.
    """

    prefix: tuple[str, ...] = ()  # what puts a command into the device
    interfaces: tuple[str, ...] = ("lo",)  # those its agent uses: a test never speaks to the machine's real networks

    def __init__(self, name: str = "device", *, root: Path | None = None) -> None:
        self.name = name
        self.stack = contextlib.ExitStack()
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="kbd-"))
            self.stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.root = root
        self.env = {"PATH": PATH, "LANG": "C.UTF-8", "TERM": "xterm-256color", **device_environment(root)}
        self.env["PATH"] = f"{_program_folder(root)}:{PATH}"
        if self.interfaces:
            settings = root / "config" / "keybaton"
            settings.mkdir(mode=0o700, exist_ok=True)
            (settings / "config.toml").write_text(f"interfaces = {json.dumps(self.interfaces)}\n")
        self.stack.callback(self.stop_agent)

    @property
    def socket(self) -> Path:
        """The agent's socket."""
        return self.root / "run" / "keybaton" / "agent.sock"

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str | bytes = b"",
        timeout: float = RUN_SECONDS,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs one command on the device to its end; its output is text."""
        return subprocess.run(
            [*self.prefix, *command],
            input=stdin.decode() if isinstance(stdin, bytes) else stdin,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
            pass_fds=pass_fds,
            cwd=cwd,
        )

    def keybaton(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs `keybaton` with `arguments`; `options` are those of `run`."""
        return self.run([*keybaton(), *arguments], **options)

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, output: Path | None = None
    ) -> Running:
        """Starts a long-running program; it ends with the device."""
        running = Running([*self.prefix, *command], env={**self.env, **(env or {})}, output=output)
        self.stack.callback(running.stop)
        return running

    def spawn_keybaton(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> Spawned:
        """Starts `keybaton` and lets it go on; `stdin` is all of its input."""
        spawned = Spawned(
            subprocess.Popen(
                [*self.prefix, *keybaton(), *arguments],
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                cwd=cwd,
            ),
            stdin,
        )
        self.stack.callback(spawned.stop)
        return spawned

    def agent_pid(self) -> int | None:
        """The process that listens on the agent's socket, as the kernel tells it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return None
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0]) or None

    def stop_agent(self) -> None:
        """Ends the agent, gently and then not."""
        pid = self.agent_pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            try:
                wait_until(lambda: not process_exists(pid), "the agent's end")
            except AssertionError:
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


def _program_folder(root: Path) -> Path:
    """A folder with `keybaton` in it, for what is typed or run by name on the device."""
    program = keybaton()
    if len(program) == 1:
        return Path(program[0]).parent
    script = root / "bin" / "keybaton"
    script.parent.mkdir(mode=0o700, exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
    script.chmod(0o700)
    return script.parent


class Spawned:
    """A command that goes on while the test does something else."""

    def __init__(self, process: subprocess.Popen[str], stdin: str) -> None:
        self.process = process
        self.lines: list[str] = []
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
            process.stdin.close()
        process.stdin = None

    def read_event(self, name: str) -> dict[str, Any]:
        """Reads JSON lines up to the event of this name. AssertionError when the output ends without it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            event: dict[str, Any] = json.loads(line)
            if event.get("event") == name:
                return event
        raise AssertionError(f"no event {name!r} in {self.lines}; stderr: {self.finish()[2]}")

    def finish(self, *, timeout: float = RUN_SECONDS) -> tuple[int, list[str], str]:
        """Waits for the end: exit status, all lines of stdout, stderr."""
        out, err = self.process.communicate(timeout=timeout)
        self.lines += out.splitlines()
        return self.process.returncode, self.lines, err

    def stop(self) -> None:
        """Ends it and what it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
