"""A private D-Bus session with the real gnome-keyring on it: unlocked, locked, absent, or wedged.

    with KeyringSession("unlocked") as session:
        subprocess.run([...], env={**os.environ, **session.env})

Nothing of the machine's own session is touched: the bus, the home, the keyrings and the control socket live in one short
temporary folder. The bus activates no service by itself, so that an absent Secret Service stays absent.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from keybaton_testing.device import device_environment
from keybaton_testing.processes import Running, wait_until
from keybaton_testing.require import require

State = Literal["unlocked", "locked", "absent"]
PASSWORD = b"keyring password of the test"
SECRETS = "org.freedesktop.secrets"

_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class KeyringSession:
    """The session; a context manager. `env` holds the variables that put a program into it.

    `root`: an empty or absent folder to keep everything in (short: the bus socket lies in it); made and removed when None.
    """

    def __init__(self, state: State = "unlocked", *, root: Path | None = None) -> None:
        require("keyring")
        self._stack = contextlib.ExitStack()
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="kbk-"))
            self._stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.root = root
        self._initial = state
        self._keyring: Running | None = None
        self.env = {**device_environment(root), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={root / 'bus'}"}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        config = self.root / "bus.conf"
        config.write_text(_BUS_CONFIG.format(path=self.root / "bus"))
        bus = Running(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"],
            env=self._program_env(),
            output=self._log,
        )
        self._stack.callback(bus.stop)
        wait_until((self.root / "bus").exists, "the D-Bus socket")
        if self._initial != "absent":
            self.start_keyring()
        if self._initial == "locked":
            self.lock()

    @property
    def _log(self) -> Path:
        return self.root / "session.log"

    def _program_env(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", **self.env}

    def start_keyring(self) -> None:
        """Starts gnome-keyring unlocked; its login keyring is the default collection."""
        keyring = Running(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
            env=self._program_env(),
            stdin=PASSWORD,
            output=self._log,
        )
        self._stack.callback(keyring.stop)
        self._keyring = keyring
        wait_until(self._has_default_collection, "gnome-keyring's default collection")

    def stop_keyring(self) -> None:
        """Ends gnome-keyring; its files stay, and `start_keyring` brings them back."""
        assert self._keyring is not None
        self._keyring.stop()
        self._keyring = None

    def lock(self) -> None:
        """Locks the default collection, as a screen locker does."""
        with self._connection() as connection:
            import secretstorage

            secretstorage.get_default_collection(connection).lock()

    def unlock(self) -> None:
        """Unlocks it with the password, as the login does, while gnome-keyring goes on running."""
        import secretstorage
        from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]

        service = DBusAddress("/org/freedesktop/secrets", bus_name=SECRETS)
        with self._connection() as connection:
            path = secretstorage.get_default_collection(connection).collection_path
            opened = connection.send_and_get_reply(
                new_method_call(
                    service.with_interface("org.freedesktop.Secret.Service"), "OpenSession", "sv", ("plain", ("s", ""))
                )
            )
            secret = (opened.body[1], b"", PASSWORD, "text/plain")
            connection.send_and_get_reply(
                new_method_call(
                    service.with_interface("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"),
                    "UnlockWithMasterPassword",
                    "o(oayays)",
                    (path, secret),
                )
            )
        assert not self.is_locked()

    def is_locked(self) -> bool:
        """Whether the default collection is locked."""
        with self._connection() as connection:
            import secretstorage

            return bool(secretstorage.get_default_collection(connection).is_locked())

    def answers(self) -> bool:
        """Whether gnome-keyring still runs and has its collection on the bus."""
        return self._keyring is not None and self._keyring.alive() and self._has_default_collection()

    def wedge(self) -> None:
        """Stops gnome-keyring's process (SIGSTOP): every call to it now hangs."""
        assert self._keyring is not None
        self._keyring.signal(signal.SIGSTOP)

    def unwedge(self) -> None:
        """Lets it go on."""
        assert self._keyring is not None
        self._keyring.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

        connection = open_dbus_connection(self.env["DBUS_SESSION_BUS_ADDRESS"])
        try:
            yield connection
        finally:
            connection.close()

    def _has_default_collection(self) -> bool:
        import secretstorage
        from secretstorage.exceptions import SecretStorageException

        with self._connection() as connection:
            try:
                path = secretstorage.get_default_collection(connection).collection_path
            except SecretStorageException:
                return False
            return path != "/"
