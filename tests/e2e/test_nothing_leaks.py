"""Whole flows on real devices, and then a search of everything that is not the vault for every secret that was used."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keybaton_testing.lab import Host, Lab
from keybaton_testing.leaks import found_in, spellings

pytestmark = pytest.mark.e2e

# Each is long and odd enough to be found by nothing but a leak.
PASSPHRASES = {"alice": "Passphrase-of-alice-7f3a91", "bob": "Passphrase-of-bob-c20d44"}
BACKUP_PASSPHRASE = "Passphrase-of-the-backup-5be8"
SECRET_KEY = "Secret-access-key-of-the-test-91c6"
PLAIN = "Plain-value-of-the-test-0d27ee"
REPLACED = "Replacing-value-of-the-test-aa41"
VARIABLE = "Variable-value-of-the-test-63bb"
PEM = "-----BEGIN PRIVATE KEY-----\nTWFkZS11cC1rZXktbWF0ZXJpYWwtODg0Mg\n-----END PRIVATE KEY-----\n"
CODES = ("83920175", "40719362", "90417733")
WATCH_SECONDS = 0.02
FILE_MAX = 64 * 1024 * 1024


def run(host: Host, *arguments: str, stdin: str = "", fine: tuple[int, ...] = (0,)) -> str:
    """One command that has to end as expected; what it printed."""
    done = host.keybaton(*arguments, stdin=stdin)
    assert done.returncode in fine, (arguments, done.stderr)
    return done.stdout + done.stderr


class Watcher:
    """Keeps every command line of every process of the hosts that it catches."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        self.seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:  # it has ended
                        continue

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()


def hand_over(alice: Host, bob: Host, what: tuple[str, ...], code: str, *, typed: str = "") -> None:
    """One share by the command line, its codes over descriptors; ends as it ends."""
    receive = bob.spawn_keybaton(what[0], "receive", "--yes", "--json", "--code-fd", "0", stdin=f"{typed or code}\n")
    send = alice.spawn_keybaton(what[0], "send", *what[1:], "--yes", "--json", "--code-fd", "0", stdin=f"{code}\n")
    expected = 7 if typed else 0
    for command in (send, receive):
        status, lines, errors = command.finish(timeout=90)
        assert status == expected, (lines, errors)


def use_everything(alice: Host, bob: Host) -> None:
    """Vaults, items, environments, backups, locks, and shares that succeed and fail."""
    for host in (alice, bob):
        run(host, "init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASES[host.name] + "\n")
    fields = ["--field", "region=eu-west-1", "--field", "accessKeyId=AKIATEST", "--field-fd", "secretAccessKey=0"]
    run(alice, "secrets", "add", "cloud", "--type", "s3-credentials", *fields, stdin=SECRET_KEY)
    run(alice, "secrets", "add", "plain", "--type", "plain", stdin=PLAIN)
    run(alice, "secrets", "add", "key", "--type", "encryption-key", "--field-fd", "privateKeyPem=0", stdin=PEM)
    run(alice, "dbs", "add", "photos", "--path", "s3:bucket:/photos", "--s3", "cloud", "--encryption-key", "key")
    hand_over(alice, bob, ("dbs", "photos"), CODES[0])
    hand_over(alice, bob, ("secrets", "plain"), CODES[1])
    hand_over(alice, bob, ("secrets", "plain"), CODES[2], typed="11112222")
    assert run(bob, "get", "plain") == f"{PLAIN}\n"
    run(bob, "get", "absent-" + "x" * 8, fine=(5,))
    run(alice, "secrets", "edit", "plain", "--field-fd", "value=0", stdin=REPLACED)
    run(alice, "vault", "backup", str(alice.root / "backup"), "--passphrase-fd", "0", stdin=BACKUP_PASSPHRASE + "\n")
    run(alice, "vault", "check")
    project = alice.root / "project"
    project.mkdir()
    for command in ("env init", "env set WHOLE_FLOW --value-fd 0", "run -- sh -c 'test -n \"$WHOLE_FLOW\"'"):
        done = alice.run(["sh", "-c", f"cd {project} && keybaton {command}"], stdin=VARIABLE)
        assert done.returncode == 0, (command, done.stderr)
    for host in (alice, bob):
        run(host, "lock")
        run(host, "get", "plain", fine=(4,))
        run(host, "unlock", "--passphrase-fd", "0", stdin="A-wrong-" + PASSPHRASES[host.name] + "\n", fine=(1, 3, 4, 7))
        run(host, "unlock", "--passphrase-fd", "0", stdin=PASSPHRASES[host.name] + "\n")
        run(host, "doctor", fine=tuple(range(10)))
        run(host, "status")


@pytest.fixture(scope="module")
def flown() -> Iterator[tuple[dict[str, bytes], Watcher, list[Host]]]:
    """The devices after all of it, agents still running, and the secrets by label."""
    secrets = {
        "a passphrase": PASSPHRASES["alice"],
        "the other passphrase": PASSPHRASES["bob"],
        "the backup's passphrase": BACKUP_PASSPHRASE,
        "the secret access key": SECRET_KEY,
        "the plain value": PLAIN,
        "its replacement": REPLACED,
        "the variable": VARIABLE,
        "the PEM key": PEM,
        "the PEM key's body": PEM.splitlines()[1],
    }
    secrets |= {f"code {number}": code for number, code in enumerate(CODES)}
    watcher = Watcher()
    with Lab() as lab:
        alice, bob = lab.host("alice"), lab.host("bob")
        with watcher.watching():
            use_everything(alice, bob)
        yield {label: value.encode() for label, value in secrets.items()}, watcher, [alice, bob]


def test_no_command_line_ever_held_a_secret(flown: tuple[dict[str, bytes], Watcher, list[Host]]) -> None:
    """Of any process on the machine, at any of many instants of the whole flow."""
    secrets, watcher, _ = flown
    assert any(b"keybatond" in line for line in watcher.seen)
    assert found_in((("a command line", line) for line in watcher.seen), secrets) == []


def test_no_file_holds_a_secret(flown: tuple[dict[str, bytes], Watcher, list[Host]]) -> None:
    """Logs, state, configuration, runtime folder, home, and the vault's own files, whose content is sealed."""
    secrets, _, hosts = flown
    files = [path for host in hosts for path in host.root.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert {"agent.log", "vault.db"} <= names
    places = ((str(path), path.read_bytes()[:FILE_MAX]) for path in files)
    assert found_in(places, secrets) == []
    assert found_in(((str(path), str(path).encode()) for path in files), secrets) == []


def test_the_log_tells_of_the_shares_and_of_nothing_that_was_in_them(
    flown: tuple[dict[str, bytes], Watcher, list[Host]],
) -> None:
    """Sessions by their ids; no item's name, no path, no address, no name of a device."""
    _, _, hosts = flown
    for host in hosts:
        log = (host.root / "state" / "keybaton" / "agent.log").read_text()
        assert log.count("share_ended") == 3
        for word in ("cloud", "photos", "s3:bucket", "AKIATEST", "absent-", "10.77.", os.uname().nodename):
            assert word not in log, word


def test_no_agents_environment_holds_a_secret(flown: tuple[dict[str, bytes], Watcher, list[Host]]) -> None:
    """What /proc/PID/environ shows to root."""
    secrets, _, hosts = flown
    pids = [host.agent_pid() for host in hosts]
    places = [(f"the environment of {pid}", Path(f"/proc/{pid}/environ").read_bytes()) for pid in pids]
    assert found_in(places, secrets) == []


@pytest.mark.parametrize("offset", range(3))
def test_the_search_itself_finds_every_spelling(offset: int) -> None:
    """Else the tests above would prove nothing."""
    secret = PLAIN.encode()
    written = [
        secret,
        secret.hex().encode(),
        base64.b64encode(b"x" * offset + secret),
        base64.urlsafe_b64encode(secret),
    ]
    for text in written:
        assert found_in([("a text", b"before " + text + b" after")], {"it": secret}) == ["it in a text"]
    assert all(len(form) >= 8 for form in spellings(secret))
