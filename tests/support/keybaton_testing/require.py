"""Asks for the system parts that a test needs: a missing one skips the test, or fails it where it was demanded.

`KEYBATON_TEST_REQUIRE` is a comma-separated list of names below, or `all`; a demanded part that is missing is a failure, so
that a complete machine never passes by skipping. `all` leaves out the few that no package can bring; they are demanded by name.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from keybaton_testing import github_file, node_dotenv, node_packages, pythons

CHECK_SECONDS = 10  # for a check that runs a program
_ROOT = Path(__file__).resolve().parents[3]
OTHER_KUBECTL = "KEYBATON_TEST_KUBECTL"


@dataclass(frozen=True)
class Part:
    """How to tell that a part is there, and what brings it. `to_be_had`: whether a package, or this project, can."""

    present: Callable[[], bool]
    remedy: str
    to_be_had: bool = True


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) for name in names)


def _npm(package: str) -> Callable[[], bool]:
    return lambda: node_packages.folder(package) is not None


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=CHECK_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _is_root() -> bool:
    return os.geteuid() == 0


def _has_namespaces() -> bool:
    if not _programs("ip", "unshare")():
        return False
    return _succeeds("unshare", "-n", "true") if _is_root() else _succeeds("unshare", "-rnm", "true")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _has_nft() -> bool:
    return _programs("nft")() and _has_namespaces()


def _has_systemd() -> bool:
    return Path("/usr/lib/systemd/systemd").exists() and _programs("systemctl", "systemd-analyze")()


def _has_user_namespaces() -> bool:
    nobody = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--")
    return _is_root() and _succeeds(*nobody, "unshare", "-rnm", "true")


def _other_python(version: str) -> Part:
    remedy = f"Python {version} on PATH or beside this one; no package of Debian 12 brings it"
    return Part(lambda: pythons.other(version) is not None, remedy, to_be_had=False)


def _has_docker_engine() -> bool:
    return _is_root() and _has_namespaces() and _programs("docker", "dockerd", "containerd")()


def _has_other_kubectl() -> bool:
    return os.access(os.environ.get(OTHER_KUBECTL, ""), os.X_OK)


def _has_sshd() -> bool:
    return Path("/usr/sbin/sshd").exists() and _programs("ssh", "ssh-keygen", "ssh-add")()


PARTS: dict[str, Part] = {
    "root": Part(_is_root, "run as root"),
    "netns": Part(_has_namespaces, "apt-get install iproute2 util-linux; network namespaces must be permitted"),
    "user-namespaces": Part(
        _has_user_namespaces,
        "a kernel that permits namespaces to every user, which no package changes",
        to_be_had=False,
    ),
    "ipv6": Part(_has_ipv6, "a kernel with IPv6"),
    "nft": Part(_has_nft, "apt-get install nftables"),
    "keyring": Part(
        _programs("dbus-daemon", "gnome-keyring-daemon", "secret-tool"),
        "apt-get install dbus gnome-keyring libsecret-tools",
    ),
    "systemd": Part(_has_systemd, "apt-get install systemd"),
    "shells": Part(_programs("bash", "zsh", "fish"), "apt-get install bash bash-completion zsh fish"),
    "man": Part(_programs("man"), "apt-get install man-db"),
    "buf": Part(_programs("buf"), "npm install -g @bufbuild/buf"),
    "node": Part(_programs("node"), "apt-get install nodejs"),
    "node-dotenv": Part(_npm(node_dotenv.PACKAGE), "apt-get install nodejs npm; npm install -g dotenv"),
    "dotenvx": Part(_programs("dotenvx"), "apt-get install nodejs npm; npm install -g @dotenvx/dotenvx@2"),
    "node-actions": Part(_npm(github_file.PACKAGE), "apt-get install nodejs npm; npm install -g @actions/core@1"),
    "tmux": Part(_programs("tmux"), "apt-get install tmux"),
    "pass": Part(_programs("pass", "gpg"), "apt-get install pass gnupg"),
    "gpg": Part(_programs("gpg"), "apt-get install gnupg"),
    "wormhole": Part(_programs("wormhole"), "apt-get install magic-wormhole magic-wormhole-mailbox-server"),
    "h2load": Part(_programs("h2load"), "apt-get install nghttp2-client"),
    "hyperfine": Part(_programs("hyperfine"), "apt-get install hyperfine"),
    "socat": Part(_programs("socat"), "apt-get install socat"),
    "strace": Part(_programs("strace"), "apt-get install strace"),
    "tcpdump": Part(_programs("tcpdump"), "apt-get install tcpdump"),
    "ssh": Part(_programs("ssh", "ssh-keygen"), "apt-get install openssh-client"),
    "vim": Part(_programs("vim"), "apt-get install vim"),
    "less": Part(_programs("less"), "apt-get install less"),
    "checkout": Part(lambda: (_ROOT / ".git").exists(), "a clone of the repository, not an archive of it"),
    "environment": Part(lambda: os.access(Path(sys.executable).parent / "keybaton", os.X_OK), "make venv"),
    "system-python": Part(pythons.has_system, "apt-get install python3, of version 3.11 or later"),
    "python3.12": _other_python("3.12"),
    "python3.13": _other_python("3.13"),
    "git": Part(_programs("git"), "apt-get install git"),
    "sshd": Part(_has_sshd, "apt-get install openssh-server openssh-client"),
    "docker": Part(_programs("docker"), "apt-get install docker.io"),
    "docker-engine": Part(_has_docker_engine, "apt-get install docker.io; run as root with namespaces permitted"),
    "aws": Part(_programs("aws"), "apt-get install awscli"),
    "kubectl": Part(_programs("kubectl"), "apt-get install kubernetes-client"),
    "other-kubectl": Part(_has_other_kubectl, f"{OTHER_KUBECTL} names a kubectl of another version"),
}


@functools.cache
def present(name: str) -> bool:
    """Whether the part is on this machine; asked once for each run."""
    return PARTS[name].present()


def demanded(name: str) -> bool:
    """Whether `KEYBATON_TEST_REQUIRE` says that this part must be there."""
    listed = {word.strip() for word in os.environ.get("KEYBATON_TEST_REQUIRE", "").split(",")}
    return name in listed or ("all" in listed and PARTS[name].to_be_had)


def require(*names: str) -> None:
    """Goes on only where every named part is present; KeyError for a name that is not in the table."""
    missing = [name for name in names if not present(name)]
    if not missing:
        return
    remedy = "; ".join(f"{name}: {PARTS[name].remedy}" for name in missing)
    if any(demanded(name) for name in missing):
        pytest.fail(f"demanded by KEYBATON_TEST_REQUIRE but missing: {remedy}", pytrace=False)
    pytest.skip(f"missing {remedy}")
