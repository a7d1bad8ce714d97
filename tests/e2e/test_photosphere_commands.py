"""The commands with --photosphere, through the agent and its vault, against the independent peer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import document, done, outcome, sharing, with_passphrase
from keybaton_testing.photosphere_process import PhotosphereProcess
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

CODE = "4321"
SECRET_KEY = "the secret access key of the test"
DATABASE: dict[str, Any] = {
    "type": "database",
    "name": "photos",
    "description": "mine",
    "path": "s3:bucket:/photos",
    "s3Credentials": {
        "name": "cloud",
        "region": "eu-west-1",
        "accessKeyId": "AKIATEST",
        "secretAccessKey": SECRET_KEY,
    },
    "geocodingKey": {"name": "geo", "apiKey": "AIza"},
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("node")
    with Lab() as made:
        yield made


def receive(host: Host, *more: str) -> Spawned:
    return sharing(host, "dbs", "receive", "--photosphere", *more, code=CODE)


def view(host: Host) -> dict[str, Any]:
    return document(host, "dbs", "view", "photos")


def test_a_database_goes_to_photosphere_and_says_what_it_cannot_know(lab: Lab) -> None:
    """Exit 0; the peer holds what the vault held; the warning stands on stderr."""
    left, right = with_passphrase(lab.host("left")), lab.host("right")
    fields = ["--field", "region=eu-west-1", "--field", "accessKeyId=AKIATEST", "--field-fd", "secretAccessKey=0"]
    done(left, "secrets", "add", "cloud", "--type", "s3-credentials", *fields, stdin=SECRET_KEY)
    done(left, "secrets", "add", "geo", "--type", "api-key", stdin="AIza")
    links = ["--s3", "cloud", "--geocoding-key", "geo"]
    done(left, "dbs", "add", "photos", "--path", "s3:bucket:/photos", "--description", "mine", *links)
    with PhotosphereProcess.receiver(CODE, prefix=right.prefix, wait=30) as peer:
        peer.event("listening")
        sending = sharing(left, "dbs", "send", "photos", "--photosphere", code=CODE)
        taken = peer.event("done")
        status, lines, errors = sending.finish(timeout=90)
    assert status == 0, errors
    assert json.loads(lines[-1])["outcome"] == "saved"
    assert taken["payload"] == DATABASE
    assert "Photosphere" in errors


def test_a_database_comes_from_photosphere_and_is_never_overwritten(lab: Lab) -> None:
    """The second time the database is in the way: exit 6, and what was there stays."""
    left, right = lab.host("left"), with_passphrase(lab.host("right"))
    with PhotosphereProcess.sender(CODE, DATABASE, prefix=left.prefix, wait=30) as peer:
        peer.event("listening")
        status, last = outcome(receive(right))
        assert peer.event("done")["outcome"] == "delivered"
    assert (status, last["outcome"], last["name"]) == (0, "saved", "photos")
    stored = view(right)
    assert stored["links"] == {"s3": "cloud", "encryptionKey": None, "geocodingKey": "geo"}
    value = right.keybaton("get", "cloud", "--field", "secretAccessKey")
    assert value.stdout == SECRET_KEY + "\n"

    changed = {**DATABASE, "path": "s3:elsewhere:/photos"}
    with PhotosphereProcess.sender(CODE, changed, prefix=left.prefix, wait=30) as peer:
        peer.event("listening")
        status, last = outcome(receive(right))
        assert peer.event("done")["outcome"] == "failed"
    assert (status, last["reason"]) == (6, "conflict")
    assert view(right) == stored

    with PhotosphereProcess.sender(CODE, changed, prefix=left.prefix, wait=30) as peer:
        peer.event("listening")
        status, last = outcome(receive(right, "--on-conflict", "replace"))
        assert peer.event("done")["outcome"] == "delivered"
    assert (status, last["outcome"], last["conflict"]) == (0, "saved", "replaced")
    assert view(right)["path"] == "s3:elsewhere:/photos"


def test_a_secret_that_exists_is_reused_by_default(lab: Lab) -> None:
    """Exit 0, `reused`, and the value that was there."""
    left, right = lab.host("left"), with_passphrase(lab.host("right"))
    done(right, "secrets", "add", "geo", "--type", "api-key", stdin="mine")
    payload = {"type": "secret", "name": "geo", "secretType": "api-key", "value": "theirs"}
    with PhotosphereProcess.sender(CODE, payload, prefix=left.prefix, wait=30) as peer:
        peer.event("listening")
        status, last = outcome(sharing(right, "secrets", "receive", "--photosphere", code=CODE))
        assert peer.event("done")["outcome"] == "delivered"
    assert (status, last["outcome"], last["conflict"], last["name"]) == (0, "saved", "reused", "geo")
    assert right.keybaton("get", "geo").stdout == "mine\n"
