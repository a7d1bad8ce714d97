"""The programs that ours are compared with: how each is set up with one secret, without touching anybody's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from keybaton_testing.bench.measure import Command, interleaved
from keybaton_testing.bench.setting import Setting
from keybaton_testing.keyring_session import KeyringSession

SETUP_SECONDS = 300
VALUE = "a value of thirty-two bytes here"
VARIABLES = {f"NAME_{number}": "value of it" for number in range(10)}  # of the project that `run` starts a program in
_KEY = (
    "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519\n"
    "Name-Real: bench\n%no-protection\n%commit\n"
)


class Missing(Exception):
    """A competitor cannot be measured here; the text says what is missing."""


def set_up(arguments: list[str], env: Mapping[str, str], stdin: str = "", cwd: Path | None = None) -> None:
    """One step of preparation. Missing when it fails."""
    try:
        subprocess.run(
            arguments,
            env=dict(env),
            input=stdin,
            text=True,
            cwd=cwd,
            check=True,
            capture_output=True,
            timeout=SETUP_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        lines = (said or "").strip().splitlines()
        raise Missing(f"missing: {Path(arguments[0]).name} {lines[-1][:80] if lines else 'failed'}") from None


class Competitor:
    """A context manager with a folder of its own, which goes with it, also where setting it up fails."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.root = Path(tempfile.mkdtemp(prefix="kbp-"))
        self._stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.root)}

    def __enter__(self) -> Self:
        try:
            self._prepare()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prepare(self) -> None:
        """Sets it up. Missing where it cannot be."""
        raise NotImplementedError


class Pass(Competitor):
    """A `pass` store whose key has no passphrase: with one it asks, and is ten times slower."""

    def __init__(self) -> None:
        super().__init__()
        self.env |= {"GNUPGHOME": str(self.root / "gpg"), "PASSWORD_STORE_DIR": str(self.root / "store")}
        self._count = 0

    def _prepare(self) -> None:
        if not shutil.which("pass") or not shutil.which("gpg"):
            raise Missing("missing: pass, gnupg")
        (self.root / "gpg").mkdir(mode=0o700)
        self._stack.callback(
            lambda: subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=False, timeout=30)
        )
        set_up(["gpg", "--batch", "--gen-key"], self.env, _KEY)
        set_up(["pass", "init", "bench"], self.env)
        set_up(["pass", "insert", "-m", "one"], self.env, VALUE)
        (self.root / "value").write_text(VALUE)

    def show(self) -> Command:
        """Prints one value."""
        return Command(["pass", "show", "one"], self.env)

    def insert(self) -> float:
        """Stores one more value; seconds."""
        self._count += 1
        return Command(["pass", "insert", "-m", f"new/{self._count}"], self.env, str(self.root / "value")).run()

    def listing(self, count: int) -> Command:
        """Lists `count` names."""
        for number in range(count - 1):
            shutil.copyfile(self.root / "store" / "one.gpg", self.root / "store" / f"secret-{number:07}.gpg")
        return Command(["pass", "ls"], self.env)


class Keychain:
    """A private gnome-keyring with one secret for `secret-tool` and one for `keyring`."""

    def __init__(self, setting: Setting) -> None:
        self._stack = contextlib.ExitStack()
        self._keyring = str(setting.programs / "keyring")

    def __enter__(self) -> Self:
        for program in ("dbus-daemon", "gnome-keyring-daemon", "secret-tool"):
            if not shutil.which(program):
                raise Missing(f"missing: {program}")
        session = self._stack.enter_context(KeyringSession("unlocked"))
        self.env = {"PATH": os.environ["PATH"], **session.env}
        self.value = session.root / "value"
        self.value.write_text(VALUE)
        try:
            set_up(["secret-tool", "store", "--label=bench", "name", "one"], self.env, VALUE)
            set_up([self._keyring, "set", "bench", "one"], self.env, VALUE)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def secret_tool(self) -> Command:
        """`secret-tool lookup` of one value."""
        return Command(["secret-tool", "lookup", "name", "one"], self.env)

    def keyring(self) -> Command:
        """`keyring get` of one value."""
        return Command([self._keyring, "get", "bench", "one"], self.env)

    def keyring_set(self) -> Command:
        """`keyring set` of one value."""
        return Command([self._keyring, "set", "bench", "two"], self.env, str(self.value))


def keyring_set(setting: Setting, rounds: int) -> float | str:
    """Median seconds of one `keyring set`, or what is missing."""
    try:
        with Keychain(setting) as keychain:
            return interleaved({"set": keychain.keyring_set().run}, rounds)["set"]
    except Missing as missing:
        return str(missing)


class Dotenvx(Competitor):
    """npm's dotenvx, with an encrypted .env of one value; installed into the bench's own folder."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._node = setting.tools / "node"
        self._file = str(self.root / ".env")
        self.program = str(self._node / "node_modules" / ".bin" / "dotenvx")

    def _prepare(self) -> None:
        if not Path(self.program).exists():
            if not shutil.which("npm"):
                raise Missing("missing: npm, for @dotenvx/dotenvx")
            self._node.mkdir(parents=True, exist_ok=True)
            install = [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(self._node),
                "@dotenvx/dotenvx",
            ]
            set_up(install, os.environ)
        set_up([self.program, "set", "ONE", VALUE, "-f", self._file], self.env, cwd=self.root)

    def get(self) -> Command:
        """Prints one value."""
        return Command([self.program, "get", "ONE", "-f", self._file], self.env)

    def run(self) -> Command:
        """Runs a program with the values."""
        return Command([self.program, "run", "-f", self._file, "--quiet", "--", "true"], self.env)


class KeePassXc(Competitor):
    """A KeePassXC database under a key file alone, with the quickest key derivation that it offers (100 ms; 1 s by default)."""

    def __init__(self) -> None:
        super().__init__()
        self._key, self._database = str(self.root / "key"), str(self.root / "database.kdbx")

    def _prepare(self) -> None:
        if not shutil.which("keepassxc-cli"):
            raise Missing("missing: keepassxc-cli (keepassxc)")
        Path(self._key).write_bytes(os.urandom(64))
        create = ["keepassxc-cli", "db-create", "-q", "--set-key-file", self._key, "-t", "100", self._database]
        set_up(create, self.env)
        set_up([*self._command("add"), "-p", self._database, "one"], self.env, f"{VALUE}\n")

    def _command(self, name: str) -> list[str]:
        return ["keepassxc-cli", name, "-q", "--no-password", "-k", self._key]

    def show(self) -> Command:
        """Prints one value."""
        return Command([*self._command("show"), "-s", "-a", "Password", self._database, "one"], self.env)


class Direnv(Competitor):
    """direnv with an allowed .envrc that exports the variables."""

    def _prepare(self) -> None:
        if not shutil.which("direnv"):
            raise Missing("missing: direnv")
        lines = (f"export {name}='{value}'\n" for name, value in VARIABLES.items())
        (self.root / ".envrc").write_text("".join(lines))
        set_up(["direnv", "allow", str(self.root)], self.env)

    def run(self) -> Command:
        """Runs a program with the values."""
        return Command(["direnv", "exec", str(self.root), "true"], self.env)


class PythonDotenv(Competitor):
    """The command of python-dotenv with a plaintext .env; it lies beside the `keybaton` under test."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._program = setting.programs / "dotenv"

    def _prepare(self) -> None:
        if not self._program.exists():
            raise Missing("missing: dotenv (python-dotenv)")
        lines = (f"{name}='{value}'\n" for name, value in {"ONE": VALUE, **VARIABLES}.items())
        (self.root / ".env").write_text("".join(lines))

    def get(self) -> Command:
        """Prints one value."""
        return self._command("get", "ONE")

    def run(self) -> Command:
        """Runs a program with the values."""
        return self._command("run", "true")

    def _command(self, *arguments: str) -> Command:
        return Command([str(self._program), "-f", str(self.root / ".env"), *arguments], self.env)


def wormhole(setting: Setting) -> Path:
    """The folder of a Python environment that holds magic-wormhole and its mailbox server. Missing when it cannot be made."""
    folder = setting.tools / "wormhole"
    if not (folder / "bin" / "twist").exists():
        set_up([sys.executable, "-m", "venv", str(folder)], os.environ)
        python = str(folder / "bin" / "python")
        packages = ["magic-wormhole", "magic-wormhole-mailbox-server", "setuptools<81"]
        set_up([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], os.environ)
    return folder / "bin"
