"""The private keyring session of the tests is what it says it is."""

from __future__ import annotations

import os
import subprocess

import pytest

from keybaton_testing.keyring_session import KeyringSession
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e


def _secret_tool(
    session: KeyringSession, *arguments: str, stdin: bytes = b"", seconds: float = 10
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["secret-tool", *arguments],
        env={**os.environ, **session.env},
        input=stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def test_an_unlocked_session_keeps_and_returns_a_secret() -> None:
    """What secret-tool stores, it finds again; both speak to the session's own keyring."""
    require("keyring")
    with KeyringSession("unlocked") as session:
        assert _secret_tool(session, "store", "--label", "x", "service", "kb", stdin=b"value").returncode == 0
        assert _secret_tool(session, "lookup", "service", "kb").stdout == b"value"


def test_a_locked_session_gives_nothing_until_it_is_unlocked() -> None:
    """Locking hides the secret, unlocking with the password brings it back."""
    require("keyring")
    with KeyringSession("unlocked") as session:
        assert _secret_tool(session, "store", "--label", "x", "service", "kb", stdin=b"value").returncode == 0
        session.lock()
        assert session.is_locked()
        session.unlock()
        assert _secret_tool(session, "lookup", "service", "kb").stdout == b"value"
    with KeyringSession("locked") as session:
        assert session.is_locked()


def test_an_absent_keyring_is_an_error_at_once() -> None:
    """No Secret Service is started behind the test's back."""
    require("keyring")
    with KeyringSession("absent") as session:
        assert _secret_tool(session, "lookup", "service", "kb").returncode != 0


def test_a_wedged_keyring_hangs_every_call_and_recovers() -> None:
    """A stopped keyring answers nothing until it goes on."""
    require("keyring")
    with KeyringSession("unlocked") as session:
        session.wedge()
        with pytest.raises(subprocess.TimeoutExpired):
            _secret_tool(session, "lookup", "service", "kb", seconds=0.5)
        session.unwedge()
        assert not session.is_locked()


def test_a_session_leaves_no_process_and_no_file() -> None:
    """After the end neither the folder nor a process of the session is left."""
    require("keyring")
    with KeyringSession("unlocked") as session:
        root = session.root
        environ = str(root).encode()
        assert root.exists()
    assert not root.exists()
    left = []
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if environ in file.read():
                    left.append(pid)
        except OSError:
            continue
    assert left == []
