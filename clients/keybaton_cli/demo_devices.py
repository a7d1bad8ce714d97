"""The two throw-away devices of the demonstration: folders of their own, an agent each, and a certain end."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keybaton_api.agent.v1 import agent_pb2
from keybaton_client.client import Client
from keybaton_client.locate import SOCKET_PATH_MAX, default_socket
from keybaton_client.problem import ClientError

_STOP_SECONDS = 8.0
_FOLDERS = {
    "HOME": "home",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
    "XDG_RUNTIME_DIR": "run",
}
# What an agent may take over from the caller: nothing that leads to the caller's own agent, keychain or desktop.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


class DemoDevice:
    """One device: its environment, its agent, and a client of it."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.env = {key: os.environ[key] for key in _KEPT if key in os.environ}
        for variable, folder in _FOLDERS.items():
            (root / folder).mkdir(mode=0o700, parents=True)
            self.env[variable] = str(root / folder)
        settings = root / "config" / "keybaton"
        settings.mkdir(mode=0o700)
        (settings / "config.toml").write_text(f'device_name = "{name}"\ninterfaces = ["lo"]\n')
        self._client: Client | None = None
        self._pid = 0

    @property
    def client(self) -> Client:
        """The connection to the agent; `start` comes first."""
        if self._client is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._client

    def start(self) -> int:
        """Starts the agent and makes a vault under a passphrase that nobody will know. Returns the process id."""
        self._client = Client.connect(env=self.env)
        self._pid = self._client.agent.info().pid
        self._client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, secrets.token_urlsafe(24).encode())
        return self._pid

    def stop(self) -> None:
        """Ends the agent: asked first, killed when it does not go."""
        if self._client is not None:
            self._client.close()
        if not self._pid:
            self._pid = self._find()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._pid or not self._end(number):
                return

    def _find(self) -> int:
        """The process of an agent that was started just before an interruption; 0 when there is none."""
        try:
            with Client.connect(start=False, env=self.env) as client:
                return client.agent.info(timeout=2).pid
        except ClientError:
            return 0

    def _end(self, number: signal.Signals) -> bool:
        """Sends a signal and waits; True while the process is still there."""
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            os.kill(self._pid, number)
            while time.monotonic() < deadline:
                if _dead(self._pid):
                    return False
                time.sleep(0.01)
        except ProcessLookupError:
            return False
        return True


def _dead(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has collected it yet (as in a container without an init)."""
    os.kill(pid, 0)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


@contextmanager
def two_devices() -> Iterator[tuple[DemoDevice, DemoDevice]]:
    """Two devices that have not been started; both are ended and their folders removed at the end, whatever happens."""
    root = _short_folder()
    try:
        devices = DemoDevice("laptop", root / "a"), DemoDevice("desktop", root / "b")
        try:
            yield devices
        finally:
            for device in devices:
                device.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _short_folder() -> Path:
    """A private temporary folder in which a socket's path is not too long for the system."""
    folder = Path(tempfile.mkdtemp(prefix="keybaton-demo-"))
    if len(os.fsencode(default_socket({"XDG_RUNTIME_DIR": str(folder / "a" / "run")}))) <= SOCKET_PATH_MAX:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="keybaton-demo-", dir="/tmp"))  # mkdtemp makes it private
