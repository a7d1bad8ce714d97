"""What a person is asked with --photosphere, in a real terminal, against the independent peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from keybaton_testing.desk import open_terminal
from keybaton_testing.lab import Host, Lab
from keybaton_testing.photosphere_process import PhotosphereProcess
from keybaton_testing.prompt_desk import PASSPHRASE, Place
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e

WARNING = "cannot protect against an attacker who is active on this network"
DATABASE: dict[str, Any] = {
    "type": "database",
    "name": "photos",
    "description": "mine",
    "path": "s3:bucket:/photos",
    "geocodingKey": {"name": "geo", "apiKey": "AIza"},
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("netns", "tmux", "node")
    with Lab() as made:
        yield made


def person(host: Host) -> Terminal:
    """A terminal on a host with an open vault that holds the secret `geo`."""
    made = host.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
    assert made.returncode == 0, made.stderr
    added = host.keybaton("secrets", "add", "geo", "--type", "api-key", stdin="AIza")
    assert added.returncode == 0, added.stderr
    return open_terminal(host)


def shown_code(screen: str) -> str:
    return screen.partition("Code: ")[2].split()[0]


def test_a_database_is_sent_to_photosphere_by_a_person(lab: Lab) -> None:
    """The warning, the review, the code, and only after a yes to the receiver's address is it sent."""
    left, right = lab.host("left"), lab.host("right")
    with person(left) as terminal:
        added = left.keybaton("dbs", "add", "photos", "--path", "s3:b", "--geocoding-key", "geo")
        assert added.returncode == 0, added.stderr
        desk = Place(terminal)
        desk.keybaton("dbs send photos --photosphere")
        screen = desk.answer("Send it?", "Enter")
        assert WARNING in screen.replace("\n", " ")
        code = shown_code(terminal.wait_for("Waiting for the other device"))
        assert "Start receiving in Photosphere" in terminal.screen()
        with PhotosphereProcess.receiver(code, prefix=right.prefix, wait=30) as peer:
            peer.event("listening")
            screen = desk.answer("Is that the right device?", "y")
            assert right.addresses[0] in screen
            terminal.wait_for("\ndelivered photos to the other device")
            assert peer.event("done")["payload"]["name"] == "photos"
        assert terminal.exit_code() == 0
        assert terminal.restored()


def test_a_receiver_that_is_not_the_right_one_gets_nothing(lab: Lab) -> None:
    """No, the default: nothing is sent, exit code 130."""
    left, right = lab.host("left"), lab.host("right")
    with person(left) as terminal:
        desk = Place(terminal)
        desk.keybaton("secrets send --photosphere")
        desk.answer("Which secret?", "Enter")
        desk.answer("Send geo?", "Enter")
        code = shown_code(terminal.wait_for("Waiting for the other device"))
        with PhotosphereProcess.receiver(code, prefix=right.prefix, wait=20) as peer:
            peer.event("listening")
            desk.answer("Is that the right device?", "Enter")
            assert terminal.exit_code() == 130
            assert peer.event("done").get("payload") is None


def test_a_database_is_taken_from_photosphere_by_a_person(lab: Lab) -> None:
    """The warning, the code (any text, as there), the review with a taken name, and it is saved."""
    left, right = lab.host("left"), lab.host("right")
    with person(right) as terminal:
        desk = Place(terminal)
        desk.keybaton("dbs receive --photosphere")
        desk.answer("Code shown on the other device:", "Enter")
        screen = desk.answer("The code is needed.", typed="any-text")
        assert WARNING in screen.replace("\n", " ")
        with PhotosphereProcess.sender("any-text", DATABASE, prefix=left.prefix, wait=30) as peer:
            screen = desk.answer("Save it?", "Down", "Enter")
            assert "hands you a database:" in screen
            desk.answer("Name: photos", typed="pictures")
            desk.answer("Description: mine", "Enter")
            desk.answer("Path: s3:bucket:/photos", "Enter")
            desk.answer("Secrets to save:", "Enter")
            terminal.wait_for("\nsaved pictures")
            assert peer.event("done")["outcome"] == "delivered"
        assert terminal.exit_code() == 0
        assert terminal.restored()
        assert '"geocodingKey": "geo"' in right.keybaton("dbs", "view", "pictures", "--json").stdout


def test_ctrl_c_in_the_review_tells_photosphere_that_nothing_was_saved(lab: Lab) -> None:
    """The sender's delivery fails; exit code 130 and no database."""
    left, right = lab.host("left"), lab.host("right")
    with person(right) as terminal:
        desk = Place(terminal)
        desk.keybaton("dbs receive --photosphere")
        desk.answer("Code shown on the other device:", typed="1234")
        with PhotosphereProcess.sender("1234", DATABASE, prefix=left.prefix, wait=20) as peer:
            desk.answer("Save it?", "C-c")
            assert terminal.exit_code() == 130
            assert peer.event("done")["outcome"] == "failed"
        assert right.keybaton("dbs", "list").stdout == ""
