"""ssh, ssh-add and ssh-keygen with keys of the vault: the real programs, and a real sshd on loopback."""

from __future__ import annotations

import getpass
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.processes import wait_until
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal
from keybaton_testing.unlocked import PassphraseDevice

pytestmark = pytest.mark.e2e

KINDS = {
    "ed25519": ("-t", "ed25519"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "p256": ("-t", "ecdsa", "-b", "256"),
    "p384": ("-t", "ecdsa", "-b", "384"),
    "p521": ("-t", "ecdsa", "-b", "521"),
}
SSHD = "/usr/sbin/sshd"


def generate(path: Path, *kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path), *kind], check=True, timeout=60)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PassphraseDevice]:
    """One key of each kind in the vault, their public halves in files, SSH_AUTH_SOCK as `keybaton ssh-agent` says."""
    require("sshd")
    with PassphraseDevice() as made:
        for name, kind in KINDS.items():
            generate(tmp_path / name, *kind)
            made.put(name, "ssh-key", privateKey=(tmp_path / name).read_text())
            (tmp_path / name).unlink()
        line = made.run(["sh", "-c", 'eval "$(keybaton ssh-agent)"; printf %s "$SSH_AUTH_SOCK"'], check=True)
        made.env["SSH_AUTH_SOCK"] = line.stdout
        yield made


def test_ssh_add_lists_the_keys_and_nothing_is_added_or_taken(device: PassphraseDevice, tmp_path: Path) -> None:
    """By their names in the vault; the socket is this user's alone; adding, removing and locking are refused."""
    listed = device.run(["ssh-add", "-l"], check=True).stdout.splitlines()
    assert [line.split()[2] for line in listed] == list(KINDS)
    public = device.run(["ssh-add", "-L"], check=True).stdout.splitlines()
    assert [line.split()[:2] for line in public] == [
        (tmp_path / f"{name}.pub").read_text().split()[:2] for name in KINDS
    ]
    assert stat.S_IMODE(Path(device.env["SSH_AUTH_SOCK"]).stat().st_mode) == 0o600
    generate(tmp_path / "new", "-t", "ed25519")
    for command in (
        ["ssh-add", str(tmp_path / "new")],
        ["ssh-add", "-D"],
        ["ssh-add", "-d", str(tmp_path / "rsa.pub")],
    ):
        assert device.run(command).returncode != 0
    assert len(device.run(["ssh-add", "-l"], check=True).stdout.splitlines()) == len(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_ssh_keygen_signs_a_file_that_it_then_verifies(device: PassphraseDevice, tmp_path: Path, name: str) -> None:
    """`ssh-keygen -Y sign`, as git signs commits; the private half is nowhere but in the vault."""
    public = tmp_path / f"{name}.pub"
    (tmp_path / "allowed").write_text(f"me {public.read_text()}")
    (tmp_path / "message").write_text("hello")
    device.run(["ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(public), str(tmp_path / "message")], check=True)
    verify = ["-n", "file", "-I", "me", "-f", str(tmp_path / "allowed"), "-s", str(tmp_path / "message.sig")]
    device.run(["ssh-keygen", "-Y", "verify", *verify], stdin="hello", check=True)
    assert device.run(["ssh-keygen", "-Y", "verify", *verify], stdin="hallo").returncode != 0
    assert device.reads()[0] == (name, "ssh")


@pytest.fixture
def sshd(device: PassphraseDevice, tmp_path: Path) -> Iterator[list[str]]:
    """A server on loopback that lets this user in by any of the keys; the beginning of an ssh command for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    generate(tmp_path / "host", "-t", "ed25519")
    (tmp_path / "authorized").write_text("".join((tmp_path / f"{name}.pub").read_text() for name in KINDS))
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        "StrictModes no\nPidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin yes\nAllowAgentForwarding yes\n"
    )
    server = device.start([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd.conf")], output=tmp_path / "sshd.log")

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "sshd")
    options = ["-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "BatchMode=yes", "-p", str(port)]
    yield ["ssh", "-F", "none", *options, f"{getpass.getuser()}@127.0.0.1"]
    server.stop()


@pytest.mark.parametrize("name", KINDS)
def test_ssh_logs_in_with_a_key_of_the_vault(
    device: PassphraseDevice, sshd: list[str], tmp_path: Path, name: str
) -> None:
    """With each kind of key, chosen by its public half alone."""
    chosen = ["-o", "IdentitiesOnly=yes", "-i", str(tmp_path / f"{name}.pub")]
    done = device.run([sshd[0], *chosen, *sshd[1:], "echo in"])
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    assert device.reads()[0] == (name, "ssh")


def test_ssh_is_refused_at_once_while_the_vault_is_locked(device: PassphraseDevice, sshd: list[str]) -> None:
    """With and without a terminal; what is unlocked again serves again."""
    device.lock()
    done = device.run(["ssh-add", "-l"])
    assert "agent refused operation" in done.stderr
    done = device.run(["setsid", "-w", *sshd, "echo in"])
    assert done.returncode == 255
    assert "Permission denied" in done.stderr
    require("tmux")
    with Terminal(device.env) as terminal:
        terminal.run("ssh-add -l")
        assert terminal.exit_code() != 0
        assert "agent refused operation" in terminal.screen()
    device.unlock()
    assert device.run([*sshd, "echo in"]).stdout == "in\n"


def test_setup_ssh_makes_ssh_find_the_agent_by_itself(
    device: PassphraseDevice, sshd: list[str], tmp_path: Path
) -> None:
    """Without SSH_AUTH_SOCK, through ~/.ssh/config, at once and after the agent has been started anew."""
    socket_path = device.env.pop("SSH_AUTH_SOCK")
    device.keybaton("setup", "ssh", "--yes", check=True)
    config = device.root / "home" / ".ssh" / "config"
    assert f'IdentityAgent "{socket_path}"' in config.read_text()
    command = [word if word != "none" else str(config) for word in sshd]
    assert device.run([*command, "echo in"]).stdout == "in\n"
    device.stop_agent()
    assert not Path(socket_path).exists()
    device.unlock()
    wait_until(lambda: Path(socket_path).exists(), "the socket")
    assert device.run([*command, "echo in"]).stdout == "in\n"
    device.keybaton("setup", "ssh", "--remove", "--yes", check=True)
    assert device.run([*command, "echo in"]).returncode == 255


def test_another_user_cannot_reach_the_socket(device: PassphraseDevice) -> None:
    """Its folder and its mode keep them out."""
    require("root")
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", code]
    done = device.run([*command, device.env["SSH_AUTH_SOCK"]])
    assert "PermissionError" in done.stderr, (done, sys.version)
