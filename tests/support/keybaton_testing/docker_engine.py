"""A real docker engine for tests that run as root: folders, mounts and processes of its own, and no network of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self

from keybaton_testing.processes import Running, wait_until

LIFE_SECONDS = 120  # the kernel ends it then, and everything that it started
START_SECONDS = 30
_ALONE = f"timeout -s KILL {LIFE_SECONDS} unshare --mount --pid --fork --mount-proc --kill-child"
_NO_NETWORK = "--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false"


class DockerEngine:
    """A context manager. `host` is what DOCKER_HOST says."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._root = Path(tempfile.mkdtemp(prefix="kbo-"))
        self._stack.callback(shutil.rmtree, self._root, ignore_errors=True)
        self._socket = self._root / "s"
        self.host = f"unix://{self._socket}"

    def __enter__(self) -> Self:
        folders = f"--data-root {self._root}/data --exec-root {self._root}/exec --pidfile {self._root}/pid"
        dockerd = f"dockerd -H {self.host} --storage-driver vfs {_NO_NETWORK} {folders}"
        script = f"mount -t tmpfs tmpfs /run && exec {dockerd}"
        self._log = self._root / "log"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._root)}
        engine = Running([*_ALONE.split(), "sh", "-c", script], env=environment, output=self._log)
        self._stack.callback(engine.stop)
        wait_until(lambda: self._answers() or not engine.alive(), "the docker engine", seconds=START_SECONDS)
        assert engine.alive(), self._log.read_text()[-2000:]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(START_SECONDS)
            probe.connect(str(self._socket))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(64)
        return False
