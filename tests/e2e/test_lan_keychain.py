"""Two devices of a network whose vault keys lie in real gnome-keyrings: everything that a vault can do, by the command line."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import PASSPHRASE, document, done, refusal, with_keychain
from keybaton_testing.processes import process_exists, wait_until
from keybaton_testing.require import require
from keybaton_testing.sample_items import add_database, as_json_lines, samples, stored

pytestmark = pytest.mark.e2e

KINDS = (
    "s3-credentials", "encryption-key", "api-key", "plain", "login", "token", "ssh-key", "note", "file",
)  # fmt: skip


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Host, Host]]:
    """Alice and Bob, each with a D-Bus session and a gnome-keyring of their own. Every test uses names of its own."""
    require("root", "netns", "keyring")
    with Lab() as lab:
        yield with_keychain(lab.host("alice", keyring="unlocked")), with_keychain(lab.host("bob", keyring="unlocked"))


@pytest.fixture
def alice(devices: tuple[Host, Host]) -> Host:
    return devices[0]


@pytest.fixture
def bob(devices: tuple[Host, Host]) -> Host:
    return devices[1]


def keys_in_keychain(host: Host) -> set[str]:
    """Every key of ours that the device's gnome-keyring holds, asked by another program than Keybaton."""
    found = host.run(["secret-tool", "search", "--all", "service", "keybaton"])
    return set(re.findall(r"^secret = (\S+)$", found.stdout, re.MULTILINE))


def add(host: Host, name: str, kind: str) -> None:
    """Stores the sample of this type, each field from a file."""
    options = []
    for field, content in samples()[kind].items():
        path = host.root / f"field-{field}"
        # The final newline of a text is the editor's, a file's content is taken as it is.
        path.write_bytes(content.encode() + (b"" if kind == "file" and field == "content" else b"\n"))
        options += ["--field-file", f"{field}={path}"]
    added = document(host, "secrets", "add", name, "--type", kind, *options)
    assert (added["name"], added["type"], added["version"]) == (name, kind, 1)


def test_each_key_lies_in_its_own_keychain_and_in_no_file(alice: Host, bob: Host) -> None:
    """Another program finds one key in each gnome-keyring; nothing below the data, config and state folders holds it."""
    keys = [keys_in_keychain(host) for host in (alice, bob)]
    assert [len(found) for found in keys] == [1, 1]
    assert keys[0].isdisjoint(keys[1])
    for host, (key,) in zip((alice, bob), keys, strict=True):
        status = document(host, "status")
        assert (status["vault"], status["keystore"], status["keystoreDetail"]) == (
            "unlocked",
            "keychain",
            "SecretService",
        )
        checked = document(host, "doctor")
        assert ("ok", "keystore") in {(finding["level"], finding["topic"]) for finding in checked["findings"]}
        files = [path for folder in ("data", "config", "state") for path in (host.root / folder).rglob("keybaton/**/*")]
        assert any(path.name == "vault.db" for path in files)
        for path in filter(lambda path: path.is_file(), files):
            content = path.read_bytes()
            assert key.encode() not in content, path
            assert bytes.fromhex(key) not in content, path


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_of_each_type_lives_its_whole_life(devices: tuple[Host, Host], kind: str) -> None:
    """Added, listed, viewed with its values hidden, changed, its versions listed, brought back, removed, brought back."""
    host = devices[KINDS.index(kind) % 2]
    name = f"life of {kind}"
    add(host, name, kind)
    fields = dict(samples()[kind])
    assert stored(host, name, kind) == fields
    assert {"name": name, "type": kind}.items() <= document(host, "secrets", "list", "--prefix", name)["secrets"][
        0
    ].items()
    assert "hush" not in done(host, "secrets", "view", name).stdout
    assert document(host, "secrets", "view", name, "--reveal")["fields"].keys() == fields.keys()
    changed = list(fields)[-1]
    edited = done(host, "secrets", "edit", name, "--field-file", f"{changed}={_file(host, 'other')}")
    assert "version 2" in edited.stdout
    assert stored(host, name, kind) == {**fields, changed: "other"}
    assert [one["version"] for one in document(host, "history", name)["versions"]] == [2, 1]
    assert document(host, "undo", name, "--yes")["version"] == 3
    assert stored(host, name, kind) == fields
    done(host, "secrets", "remove", name, "--yes")
    assert refusal(host, "get", name, "--field", changed)[0] == 5
    done(host, "undo", name, "--yes")
    assert stored(host, name, kind) == fields


def _file(host: Host, content: str) -> str:
    path = host.root / "value"
    path.write_text(content)
    return str(path)


def test_secrets_of_every_type_are_imported_at_once(bob: Host) -> None:
    """One file with all types; imported again, names that are taken are left alone or replaced as told."""
    names = {kind: f"imported {kind}" for kind in KINDS}
    lines = as_json_lines(names, KINDS)
    assert document(bob, "secrets", "import", "-", stdin=lines)["created"] == len(KINDS)
    listed = document(bob, "secrets", "list", "--prefix", "imported ")["secrets"]
    assert {one["type"]: one["name"] for one in listed} == names
    for kind in KINDS:
        assert stored(bob, names[kind], kind) == samples()[kind]
    assert refusal(bob, "secrets", "import", "-", stdin=lines)[1]["reason"] == "NAME_TAKEN"
    skipped = document(bob, "secrets", "import", "-", "--on-conflict", "skip", stdin=lines)
    assert (skipped["created"], len(skipped["skipped"])) == (0, len(KINDS))
    assert document(bob, "secrets", "import", "-", "--on-conflict", "replace", stdin=lines)["replaced"] == len(KINDS)
    dotenv = bob.root / "shop.env"
    dotenv.write_text("SHOP_TOKEN=hush-shop\n")
    assert document(bob, "secrets", "import", str(dotenv))["created"] == 1
    assert done(bob, "get", "SHOP_TOKEN").stdout == "hush-shop\n"


def test_a_database_with_all_its_links_lives_its_whole_life(alice: Host) -> None:
    """Added with S3 credentials, encryption key and API key; viewed, listed, changed, undone, removed and brought back."""
    add_database(alice, "life")
    links = {"s3": "life s3", "encryptionKey": "life encryption-key", "geocodingKey": "life geocoding-key"}
    database = document(alice, "dbs", "view", "life")
    assert database["links"] == links
    assert (database["path"], database["description"]) == ("s3:bucket:/life", "Of life")
    assert "life" in {one["name"] for one in document(alice, "dbs", "list")["databases"]}
    done(alice, "dbs", "edit", "life", "--path", "/elsewhere", "--geocoding-key", "")
    changed = document(alice, "dbs", "view", "life")
    assert (changed["path"], changed["links"]) == ("/elsewhere", {**links, "geocodingKey": None})
    assert [one["version"] for one in document(alice, "history", "--database", "life")["versions"]] == [2, 1]
    done(alice, "undo", "--database", "life", "--yes")
    done(alice, "secrets", "edit", "life s3", "--rename", "renamed s3")  # the link follows
    assert document(alice, "dbs", "view", "life")["links"] == {**links, "s3": "renamed s3"}
    done(alice, "dbs", "remove", "life", "--yes")
    assert refusal(alice, "dbs", "view", "life")[0] == 5
    done(alice, "undo", "--database", "life", "--yes")
    assert document(alice, "dbs", "view", "life")["path"] == "s3:bucket:/life"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_key_comes_back_from_the_keychain_after_a_restart(alice: Host, number: signal.Signals) -> None:
    """The next command starts another agent, which needs nobody to open the vault."""
    name = f"before {number.name}"
    done(alice, "secrets", "add", name, "--type", "token", stdin="hush")
    pid = alice.agent_pid()
    assert pid is not None
    os.kill(pid, number)
    wait_until(lambda: not process_exists(pid), "the agent's end")
    assert done(alice, "get", name).stdout == "hush\n"
    status = document(alice, "status")
    assert (status["vault"], status["pid"] != pid) == ("unlocked", True)


def test_a_locked_vault_gives_nothing_until_it_is_unlocked(bob: Host) -> None:
    """Exit 4 and the way out, for the quick commands and the others; the keychain then opens it without a question."""
    done(bob, "secrets", "add", "locked in", "--type", "token", stdin="hush")
    assert document(bob, "lock")["vault"] == "locked"
    for command in (["get", "locked in"], ["secrets", "list"], ["secrets", "send", "locked in", "--yes"]):
        ended = bob.keybaton(*command)
        assert ended.returncode == 4, ended
        assert "keybaton unlock" in ended.stderr
        assert "hush" not in ended.stdout
    assert document(bob, "unlock")["vault"] == "unlocked"
    assert done(bob, "get", "locked in").stdout == "hush\n"


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [("locked", "KEYCHAIN_LOCKED", 4), ("absent", "KEYCHAIN_UNAVAILABLE", 1), ("wedged", "KEYCHAIN_TIMEOUT", 8)],
)
def test_a_keychain_that_does_not_answer_is_told_as_that(alice: Host, state: str, reason: str, status: int) -> None:
    """An unlock and a restarted agent say what is wrong with it, and change nothing; once it answers, all is as before."""
    assert alice.keyring is not None
    done(alice, "secrets", "add", f"while {state}", "--type", "token", stdin="hush")
    keys = keys_in_keychain(alice)
    break_off, mend = {
        "locked": (alice.keyring.lock, alice.keyring.unlock),
        "absent": (alice.keyring.stop_keyring, alice.keyring.start_keyring),
        "wedged": (alice.keyring.wedge, alice.keyring.unwedge),
    }[state]
    done(alice, "lock")
    break_off()
    try:
        ended, error = refusal(alice, "unlock")
        assert (ended, error["reason"]) == (status, reason)
        assert error["hint"]
        alice.stop_agent()
        assert alice.keybaton("get", f"while {state}").returncode == 4
        assert refusal(alice, "init")[1]["reason"] == "VAULT_EXISTS"
    finally:
        mend()
    done(alice, "unlock")
    assert done(alice, "get", f"while {state}").stdout == "hush\n"
    assert keys_in_keychain(alice) == keys


def test_an_open_vault_goes_on_while_its_keychain_is_locked(bob: Host) -> None:
    """The key is asked for when the vault is opened, not for each secret; what needs the keychain says so, the rest works."""
    assert bob.keyring is not None
    done(bob, "secrets", "add", "meanwhile", "--type", "token", stdin="hush")
    keys = keys_in_keychain(bob)
    bob.keyring.lock()
    try:
        assert done(bob, "get", "meanwhile").stdout == "hush\n"
        assert refusal(bob, "vault", "rekey")[1]["reason"] == "KEYCHAIN_LOCKED"
        assert done(bob, "get", "meanwhile").stdout == "hush\n"
    finally:
        bob.keyring.unlock()
    assert keys_in_keychain(bob) == keys
    bob.stop_agent()
    assert done(bob, "get", "meanwhile").stdout == "hush\n"


def test_a_backup_is_checked_and_brings_everything_back(alice: Host, bob: Host) -> None:
    """On the device that made it, and on the other one, where the key then lies in that device's keychain."""
    add_database(alice, "saved")
    assert document(alice, "vault", "check") == {"sound": True, "findings": []}
    backup = {host: str(host.root / "backup") for host in (alice, bob)}
    typed = ["--passphrase-fd", "0"]
    for host, path in backup.items():
        count = document(host, "vault", "backup", path, *typed, stdin=f"{PASSPHRASE}\n")["items"]
        assert count == document(host, "status")["items"]
    for kind in ("secrets", "dbs"):
        done(alice, kind, "remove", "saved s3" if kind == "secrets" else "saved", "--yes")
    ended, error = refusal(alice, "vault", "restore", backup[alice], *typed, stdin=f"{PASSPHRASE}\n")
    assert (ended, error["reason"]) == (6, "VAULT_EXISTS")
    restore = ["vault", "restore", "--replace", *typed]
    assert refusal(alice, *restore, backup[alice], stdin="a wrong passphrase\n")[1]["reason"] == "WRONG_PASSPHRASE"
    restored = document(alice, *restore, backup[alice], stdin=f"{PASSPHRASE}\n")
    assert restored["info"]["keystore"] == "keychain"
    done(bob, *restore, backup[alice], stdin=f"{PASSPHRASE}\n")
    for host in (alice, bob):
        host.stop_agent()  # whose successor has the key from the keychain alone
        assert document(host, "dbs", "view", "saved")["links"]["s3"] == "saved s3"
        assert stored(host, "saved s3", "s3-credentials") == samples()["s3-credentials"]
        assert document(host, "vault", "check")["sound"]
    done(bob, *restore, backup[bob], stdin=f"{PASSPHRASE}\n")
    assert refusal(bob, "dbs", "view", "saved")[0] == 5


def test_new_keys_replace_the_old_one_in_the_keychain(bob: Host) -> None:
    """Everything is read as before, history included, also by a new agent; the key before is gone from the keychain."""
    done(bob, "secrets", "add", "rekeyed", "--type", "token", stdin="first")
    done(bob, "secrets", "edit", "rekeyed", stdin="second")
    before = keys_in_keychain(bob)
    assert document(bob, "vault", "rekey")["keystore"] == "keychain"
    after = keys_in_keychain(bob)
    assert len(after) == len(before)
    assert len(after & before) == len(before) - 1
    bob.stop_agent()
    assert done(bob, "get", "rekeyed").stdout == "second\n"
    done(bob, "undo", "rekeyed", "--yes")
    assert done(bob, "get", "rekeyed").stdout == "first\n"
    assert document(bob, "vault", "check")["sound"]


def test_the_key_moves_to_a_passphrase_and_back(bob: Host) -> None:
    """Meanwhile the keychain does not hold it, and it is the passphrase that opens the vault."""
    done(bob, "secrets", "add", "moved", "--type", "token", stdin="hush")
    before = keys_in_keychain(bob)
    moved = document(bob, "vault", "rekey", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
    assert moved["keystore"] == "passphrase"
    between = keys_in_keychain(bob)
    assert between < before
    done(bob, "lock")
    ended, error = refusal(bob, "unlock")
    assert (ended, "--passphrase-fd" in error["hint"]) == (2, True)
    ended, error = refusal(bob, "unlock", "--passphrase-fd", "0", stdin="a wrong passphrase\n")
    assert (ended, error["reason"]) == (4, "WRONG_PASSPHRASE")
    done(bob, "unlock", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
    assert document(bob, "vault", "rekey", "--keystore", "keychain")["keystore"] == "keychain"
    assert len(keys_in_keychain(bob) - between) == 1
    bob.stop_agent()
    assert done(bob, "get", "moved").stdout == "hush\n"
