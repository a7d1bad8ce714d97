"""The keyring backend: by keyring's own test class, through its command, and under pip and twine with an index on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError, PasswordSetError
from keyring.testing.backend import BackendBasicTests

from keybaton_cli.helpers.keyring_backend import KeybatonKeyring
from keybaton_testing.keyring_session import KeyringSession
from keybaton_testing.loopback import Asked, Loopback, Reply, basic, guarded
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.unlocked import LOCKED_HINT, PassphraseDevice

pytestmark = pytest.mark.e2e

CHOSEN = {"PYTHON_KEYRING_BACKEND": "keybaton_cli.helpers.keyring_backend.KeybatonKeyring"}


@pytest.fixture(scope="module")
def shared() -> Iterator[PassphraseDevice]:
    """One device for keyring's own tests, each of which cleans up."""
    with PassphraseDevice() as made:
        yield made


@pytest.fixture
def device() -> Iterator[PassphraseDevice]:
    with PassphraseDevice() as made:
        yield made


class TestByKeyringsOwnTests(BackendBasicTests):
    """What keyring demands of a backend."""

    @pytest.fixture(autouse=True)
    def _device(self, shared: PassphraseDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEYBATON_SOCKET", str(shared.socket))

    def init_keyring(self) -> KeyringBackend:
        return KeybatonKeyring()


def test_its_errors_are_keyrings(device: PassphraseDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked, out of reach, too long, no text: each by its class, the first with what to do."""
    monkeypatch.setenv("KEYBATON_SOCKET", str(device.socket))
    backend = KeybatonKeyring()
    with pytest.raises(PasswordSetError):
        backend.set_password("s" * 300, "user", "password")
    with pytest.raises(PasswordSetError):
        backend.set_password("service", "user", "\ud800")
    with pytest.raises(PasswordDeleteError):
        backend.delete_password("service", "user")
    assert backend.get_password("s" * 300, "user") is None
    backend.set_password("service", "user", "password")
    device.lock()
    for call in (
        lambda: backend.get_password("service", "user"),
        lambda: backend.get_credential("service", None),
        lambda: backend.set_password("service", "user", "other"),
        lambda: backend.delete_password("service", "user"),
    ):
        started = time.monotonic()
        with pytest.raises(KeyringLocked, match="keybaton unlock"):
            call()
        assert time.monotonic() - started < 1
    monkeypatch.setenv("KEYBATON_SOCKET", "/nowhere/s")
    with pytest.raises(InitError):
        backend.get_password("service", "user")


def python() -> str:
    """The interpreter of the environment in which the `keybaton` under test is installed."""
    beside = Path(keybaton()[0]).parent / "python3"
    return str(beside) if beside.exists() else sys.executable


def test_keyring_finds_it_by_its_entry_point_and_prefers_a_desktops_keychain(device: PassphraseDevice) -> None:
    """It is offered with a low priority, and importing it neither starts an agent nor loads gRPC."""
    device.stop_agent()
    code = (
        "import keyring, keyring.backend, sys\n"
        "found = {type(b).__name__: b for b in keyring.backend.get_all_keyring()}\n"
        "assert 0 < found['KeybatonKeyring'].priority < 1, found\n"
        "assert 'grpc' not in sys.modules and 'keybaton_hot' not in sys.modules\n"
        "print(keyring.get_keyring().name)\n"
    )
    done = device.run([python(), "-I", "-c", code], check=True)
    assert "Keybaton" in done.stdout
    assert device.agent_pid() is None
    with KeyringSession("unlocked") as session:
        done = device.run([python(), "-I", "-c", code], env=session.env, check=True)
        assert "Keybaton" not in done.stdout


def test_keyrings_command_stores_and_gets(device: PassphraseDevice) -> None:
    """Through keyringrc.cfg as `keybaton setup keyring` writes it."""
    device.keybaton("setup", "keyring", "--yes", check=True)
    command = [python(), "-I", "-m", "keyring"]
    device.run([*command, "set", "service x", "ann"], stdin="geheim\n", check=True)
    assert device.run([*command, "get", "service x", "ann"], check=True).stdout == "geheim\n"
    assert device.names() == ["keyring:service%20x"]
    assert ("keyring:service%20x", "keyring") in device.reads()
    device.lock()
    done = device.run(["setsid", "-w", *command, "get", "service x", "ann"])
    assert done.returncode != 0
    assert LOCKED_HINT in done.stderr
    device.unlock()
    device.run([*command, "del", "service x", "ann"], check=True)
    assert device.names() == []


def test_the_agents_own_key_goes_to_the_desktops_keychain_all_the_same() -> None:
    """Also where keyring's default is our backend: the vault's key cannot lie in the vault."""
    require("keyring")
    with KeyringSession("unlocked") as session, PassphraseDevice() as device:
        device.keybaton("setup", "keyring", "--yes", check=True)
        device.stop_agent()
        (device.root / "data" / "keybaton" / "vault.db").unlink()
        for leftover in (device.root / "data" / "keybaton").iterdir():
            leftover.unlink()
        device.env["DBUS_SESSION_BUS_ADDRESS"] = session.env["DBUS_SESSION_BUS_ADDRESS"]
        done = device.keybaton("init", "--keystore", "keychain")
        assert done.returncode == 0, done.stderr
        assert "SecretService" in device.keybaton("status", "--json", check=True).stdout


WHEEL_NAME = "keybaton_test_package-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """A package with nothing but a number."""
    info = "keybaton_test_package-1.0.dist-info"
    contents = {
        "keybaton_test_package.py": "NUMBER = 7\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: keybaton-test-package\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in contents.items()
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in {**contents, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return file.getvalue()


def index(asked: Asked) -> Reply:
    """A package index of one package, which takes uploads."""
    if asked.method == "POST":
        return Reply(200)
    if asked.path.endswith(WHEEL_NAME):
        return Reply(200, wheel(), {"Content-Type": "application/octet-stream"})
    page = f'<!DOCTYPE html><html><body><a href="/{WHEEL_NAME}">{WHEEL_NAME}</a></body></html>'
    return Reply(200, page.encode(), {"Content-Type": "text/html"})


def pip(device: PassphraseDevice, server: Loopback, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """pip installs from the index, asking keyring for the password of the user in the address, or of anybody."""
    place = f"{server.url}/simple"
    return device.run(
        [
            *(
                "setsid",
                "-w",
                python(),
                "-I",
                "-m",
                "pip",
                "--isolated",
                "--no-input",
                "--disable-pip-version-check",
                "install",
            ),
            *(
                "--keyring-provider",
                "import",
                "--no-cache-dir",
                "--no-deps",
                "--index-url",
                place,
                "--target",
                str(target),
            ),
            *more,
            "keybaton-test-package",
        ],
        env=CHOSEN,
    )


def test_pip_installs_from_an_index_whose_password_is_in_the_vault(device: PassphraseDevice, tmp_path: Path) -> None:
    """Without a prompt; and where the vault is locked it fails at once instead of asking."""
    with Loopback(guarded("ann", "geheim", index)) as server:
        command = [python(), "-I", "-m", "keyring", "set", server.place, "ann"]
        device.run(command, stdin="geheim\n", env=CHOSEN, check=True)
        done = pip(device, server, tmp_path / "unlocked")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "unlocked" / "keybaton_test_package.py").read_text() == "NUMBER = 7\n"
        assert (f"keyring:{server.place}", "keyring") in device.reads()
        device.lock()
        done = pip(device, server, tmp_path / "locked")
        assert done.returncode != 0
        assert LOCKED_HINT in done.stdout + done.stderr


def twine(device: PassphraseDevice, place: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """twine uploads to the index, asking keyring for the user, unless one is named, and for the password."""
    command = [sys.executable, "-I", "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"]
    return device.run(["setsid", "-w", *command, "--repository-url", place, *more, str(file)], env=CHOSEN)


def test_twine_uploads_to_an_index_whose_password_is_in_the_vault(device: PassphraseDevice, tmp_path: Path) -> None:
    """The file arrives with the login of the vault and without a prompt; a locked vault is told, and nothing is sent."""
    file = tmp_path / WHEEL_NAME
    file.write_bytes(wheel())
    with Loopback(guarded("ann", "geheim", index)) as server:
        place = f"{server.url}/legacy/"
        command = [python(), "-I", "-m", "keyring", "set", place, "ann"]
        device.run(command, stdin="geheim\n", env=CHOSEN, check=True)
        for user in ((), ("--username", "ann")):
            done = twine(device, place, file, *user)
            assert done.returncode == 0, done.stdout + done.stderr
            sent = server.asked.pop()
            assert (sent.method, sent.path, sent.headers["Authorization"]) == (
                "POST",
                "/legacy/",
                basic("ann", "geheim"),
            )
            assert file.read_bytes() in sent.body
        assert set(device.reads()) == {(device.names()[0], "keyring")}
        device.lock()
        server.asked.clear()
        done = twine(device, place, file)
        assert done.returncode != 0
        assert "keybaton unlock" in done.stdout + done.stderr
        assert server.asked == []


def test_the_library_and_the_tests_speak_of_one_backend() -> None:
    """The class that other programs name in their settings."""
    name = f"{KeybatonKeyring.__module__}.{KeybatonKeyring.__qualname__}"
    assert name == CHOSEN["PYTHON_KEYRING_BACKEND"]
    assert type(keyring.core.load_keyring(name)) is KeybatonKeyring
