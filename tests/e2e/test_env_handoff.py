"""An environment goes from one device to another over a real network, by the command line alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import SHARE_SECONDS, sharing, with_passphrase

pytestmark = pytest.mark.e2e

VALUES = {"DATABASE_URL": "postgres://u:hush-db@h/d", "API_KEY": "hush-key", "TEXT": 'two\nlines \'n "quotes"'}


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def prepare(host: Host) -> Host:
    """A device with an unlocked, empty vault and a folder for the project."""
    folder(with_passphrase(host)).mkdir()
    return host


def folder(host: Host) -> Path:
    return host.root / "shop"


def within(host: Host, *arguments: str, stdin: str = "") -> CompletedProcess[str]:
    """Runs `keybaton` in the project's folder."""
    return host.keybaton(*arguments, stdin=stdin, cwd=folder(host))


def stock(host: Host) -> Host:
    """A device with a project whose environment `staging` holds VALUES."""
    prepare(host)
    assert within(host, "env", "init", "--name", "shop").returncode == 0
    for name, value in VALUES.items():
        done = within(host, "env", "set", name, "--env", "staging", "--create", stdin=value)
        assert done.returncode == 0, done.stderr
    return host


def clone(source: Host, target: Host) -> None:
    """The committed file comes to the other device as it does with git."""
    shutil.copy(folder(source) / "keybaton.toml", folder(target))


def handed_over(sender: Host, receiver: Host, sends: list[str], receives: list[str]) -> tuple[Spawned, Spawned]:
    """One share that ends as saved on both sides."""
    receive = sharing(receiver, "env", "receive", *receives, cwd=folder(receiver))
    send = sharing(sender, "env", "send", *sends, cwd=folder(sender))
    for spawned in (receive, send):
        status, lines, errors = spawned.finish(timeout=SHARE_SECONDS)
        assert status == 0, (lines, errors)
        assert json.loads(lines[-1])["outcome"] == "saved"
        assert "hush" not in "".join(lines) + errors
    return send, receive


def values(host: Host, environment: str) -> dict[str, str]:
    """What the project's environment holds there."""
    done = within(host, "env", "print", "--format", "json", "--env", environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_colleague_gets_a_whole_environment_and_runs_with_it(lab: Lab) -> None:
    """The receiver has never heard of the project; with the committed keybaton.toml everything works at once."""
    alice, bob = stock(lab.host("alice")), prepare(lab.host("bob"))
    clone(alice, bob)
    _, receive = handed_over(alice, bob, ["--env", "staging"], [])
    review = next(event for event in map(json.loads, receive.lines) if event["event"] == "review")
    shown = review["environment"]
    assert (shown["name"], shown["target"], shown["projectExists"]) == ("shop", "staging", False)
    assert shown["variables"] == [{"name": name, "change": "new"} for name in sorted(VALUES)]
    assert json.loads(receive.lines[-1])["name"] == "shop/staging"
    assert values(bob, "staging") == VALUES
    ran = within(bob, "run", "--env", "staging", "--", "printenv", "API_KEY")
    assert (ran.returncode, ran.stdout) == (0, "hush-key\n")


def test_a_selection_changes_only_what_it_names(lab: Lab) -> None:
    """What is here already is kept or replaced as the receiver says; --env says where it goes."""
    alice, bob = stock(lab.host("alice")), prepare(lab.host("bob"))
    clone(alice, bob)
    handed_over(alice, bob, ["API_KEY", "--env", "staging"], ["--env", "mine"])
    assert values(bob, "mine") == {"API_KEY": "hush-key"}
    for name, value in (("API_KEY", "bobs"), ("OWN", "stays")):
        assert within(bob, "env", "set", name, "--env", "mine", stdin=value).returncode == 0
    _, kept = handed_over(alice, bob, ["API_KEY", "TEXT", "--env", "staging"], ["--env", "mine"])
    assert json.loads(kept.lines[-1])["conflict"] == "reused"
    assert values(bob, "mine") == {"API_KEY": "bobs", "OWN": "stays", "TEXT": VALUES["TEXT"]}
    send, replaced = handed_over(
        alice, bob, ["API_KEY", "--env", "staging"], ["--env", "mine", "--on-conflict", "replace"]
    )
    for spawned in (send, replaced):
        assert json.loads(spawned.lines[-1])["conflict"] == "replaced"
    assert values(bob, "mine") == {"API_KEY": "hush-key", "OWN": "stays", "TEXT": VALUES["TEXT"]}
    assert within(bob, "env", "undo", "API_KEY", "--env", "mine").returncode == 0
    assert values(bob, "mine")["API_KEY"] == "bobs"


def test_what_cannot_be_sent_is_said_at_once(lab: Lab) -> None:
    """An unknown variable is named with the nearest."""
    alice = stock(lab.host("alice"))
    unknown = within(alice, "env", "send", "API_KYE", "--env", "staging", "--yes", "--json")
    assert unknown.returncode == 5
    last = json.loads(unknown.stdout.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("failed", "variable-not-found")
    assert "API_KEY" in last["error"]["message"] + last["error"]["hint"]
