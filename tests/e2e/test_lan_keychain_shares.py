"""Two devices of a network whose vault keys lie in real gnome-keyrings hand things to each other, by the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from keybaton_testing.desk import Desk, open_terminal
from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import (
    both_saved,
    document,
    done,
    outcome,
    refusal,
    sharing,
    with_keychain,
)
from keybaton_testing.require import require
from keybaton_testing.sample_items import add_database, as_json_lines, linked, samples, stored

pytestmark = pytest.mark.e2e

EITHER_WAY = pytest.mark.parametrize("way", ["to bob", "to alice"])
DIGITS = "4321"  # as a Photosphere makes them
CODES = {"first": "1111", "second": "2222"}


@dataclass
class World:
    """Alice and Bob; and in another network Carol, who sends, and Dave, whose receiver speaks Photosphere's protocol alone."""

    alice: Host
    bob: Host
    dave: Host
    carols: Spawned
    daves: Spawned

    def ways(self, way: str) -> tuple[Host, Host]:
        """Sender and receiver."""
        return (self.alice, self.bob) if way == "to bob" else (self.bob, self.alice)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Each device has a D-Bus session and a gnome-keyring of its own. Every test uses names of its own."""
    require("root", "netns", "keyring")
    with Lab() as lab:
        carol, dave = (lab.host(name, networks=("far",), keyring="unlocked") for name in ("carol", "dave"))
        done(with_keychain(carol), "secrets", "add", "token", "--type", "token", stdin="hush")
        daves = sharing(with_keychain(dave), "secrets", "receive", "--photosphere", code=DIGITS)
        carols = sharing(carol, "secrets", "send", "token")  # takes as long as a share may: it goes on beside the tests
        alice, bob = (with_keychain(lab.host(name, keyring="unlocked")) for name in ("alice", "bob"))
        yield World(alice, bob, dave, carols, daves)


def add(host: Host, **texts: str) -> None:
    """Stores tokens."""
    for name, text in texts.items():
        done(host, "secrets", "add", name, "--type", "token", stdin=text)


def same(one: Host, other: Host, names: dict[str, str]) -> None:
    """Both devices hold these secrets, by type, as the samples say, byte for byte."""
    for kind, name in names.items():
        assert [stored(host, name, kind) for host in (one, other)] == [samples()[kind]] * 2, name


@EITHER_WAY
def test_a_database_and_all_that_it_needs_go_by_a_made_code(world: World, way: str) -> None:
    """The code that the sender shows is typed on the other device; every field of every linked secret arrives and is linked."""
    sender, receiver = world.ways(way)
    name = f"photos {way}"
    add_database(sender, name)
    send = sender.spawn_keybaton("dbs", "send", name, "--yes", "--json")
    code = send.read_event("code")["code"]
    both_saved(send, sharing(receiver, "dbs", "receive", code=code))
    there, here = (document(host, "dbs", "view", name) for host in (sender, receiver))
    parts = ("name", "path", "description", "origin", "links")
    assert [there[part] for part in parts] == [here[part] for part in parts]
    assert set(here["links"].values()) == set(linked(name).values())
    same(sender, receiver, linked(name))
    receiver.stop_agent()  # what was received is read by the next agent, with the key from the keychain
    same(sender, receiver, linked(name))


@EITHER_WAY
def test_secrets_of_every_type_go_under_one_code(world: World, way: str) -> None:
    """All nine in one share; both ends name them."""
    sender, receiver = world.ways(way)
    names = {kind: f"{kind} {way}" for kind in samples()}
    document(sender, "secrets", "import", "-", stdin=as_json_lines(names, names))
    receive = sharing(receiver, "secrets", "receive")
    ends = both_saved(sharing(sender, "secrets", "send", *names.values()), receive)
    assert [end["names"] for end in ends] == [list(names.values())] * 2
    same(sender, receiver, names)


@EITHER_WAY
def test_an_environment_goes_to_a_device_that_has_the_project_file(world: World, way: str) -> None:
    """`env send` and `env receive` in the project's folder; a program run on the other device has the variables."""
    sender, receiver = world.ways(way)
    folders = {host: host.root / f"shop {way}" for host in (sender, receiver)}
    for folder in folders.values():
        folder.mkdir()
    at = folders[sender]
    (at / ".env.staging").write_text('API_KEY=hush-key\nTEXT="two\nlines"\n')
    done(sender, "env", "init", "--name", f"shop {way}", cwd=at)
    (folders[receiver] / "keybaton.toml").write_bytes((at / "keybaton.toml").read_bytes())
    receive = sharing(receiver, "env", "receive", cwd=folders[receiver])
    both_saved(sharing(sender, "env", "send", "--env", "staging", cwd=at), receive)
    printed = done(receiver, "run", "--env", "staging", "--", "printenv", "API_KEY", "TEXT", cwd=folders[receiver])
    assert printed.stdout == "hush-key\ntwo\nlines\n"


@EITHER_WAY
def test_the_photosphere_protocol_hands_over_either_way(world: World, way: str) -> None:
    """A database with all its secrets, and a single secret, with the flag on both devices and its warning."""
    sender, receiver = world.ways(way)
    name = f"album {way}"
    add_database(sender, name)
    receive = sharing(receiver, "dbs", "receive", "--photosphere", code=DIGITS)
    both_saved(sharing(sender, "dbs", "send", name, "--photosphere", code=DIGITS), receive)
    assert set(document(receiver, "dbs", "view", name)["links"].values()) == set(linked(name).values())
    same(sender, receiver, linked(name))
    single = f"single {way}"
    done(sender, "secrets", "add", single, "--type", "plain", stdin="hush")
    receive = sharing(receiver, "secrets", "receive", "--photosphere", code=DIGITS)
    send = sharing(sender, "secrets", "send", single, "--photosphere", code=DIGITS)
    status, lines, warned = send.finish()
    assert (status, json.loads(lines[-1])["outcome"]) == (0, "saved")
    assert "Photosphere" in warned
    assert outcome(receive)[0] == 0
    assert done(receiver, "get", single).stdout == "hush\n"


def test_a_named_address_is_reached(world: World) -> None:
    """`--to` with the host alone, and with the address and port that the receiver prints."""
    add(world.alice, here="hush", there="hush")
    both_saved(
        sharing(world.alice, "secrets", "send", "here", "--to", world.bob.addresses[0]),
        sharing(world.bob, "secrets", "receive"),
    )
    receive = sharing(world.bob, "secrets", "receive")
    printed = receive.read_event("listening")["addresses"]
    address = next(one for one in printed if one.startswith(world.bob.addresses[0]))
    both_saved(sharing(world.alice, "secrets", "send", "there", "--to", address), receive)
    assert done(world.bob, "get", "there").stdout == "hush\n"


def test_taken_names_are_resolved_as_told(world: World) -> None:
    """A secret: kept, renamed, replaced. A database: refused, which the sender learns as well, then renamed, then replaced."""
    add(world.alice, taken="new")
    add(world.bob, taken="old")
    for choice, conflict, name, text in (
        ("reuse", "reused", "taken", "old"),
        ("rename", "renamed", "taken (2)", "new"),
        ("replace", "replaced", "taken", "new"),
    ):
        receive = sharing(world.bob, "secrets", "receive", "--on-conflict", choice)
        _, end = both_saved(sharing(world.alice, "secrets", "send", "taken"), receive)
        assert (end["conflict"], end["name"]) == (conflict, name)
        assert done(world.bob, "get", name).stdout == f"{text}\n"
    done(world.bob, "undo", "taken", "--yes")
    assert done(world.bob, "get", "taken").stdout == "old\n"

    add_database(world.alice, "twice")
    done(world.bob, "dbs", "add", "TWICE", "--path", "/mine")
    receive, send = sharing(world.bob, "dbs", "receive"), sharing(world.alice, "dbs", "send", "twice")
    status, lines, _ = receive.finish()
    assert (status, json.loads(lines[-1])["error"]["reason"]) == (6, "CONFLICT")
    status, last = outcome(send)
    assert (status, last["reason"]) == (7, "declined")
    assert document(world.bob, "dbs", "view", "TWICE")["path"] == "/mine"
    assert refusal(world.bob, "get", "twice s3", "--field", "region")[0] == 5
    for choice, name in (("rename", "twice (2)"), ("replace", "twice")):
        receive = sharing(world.bob, "dbs", "receive", "--on-conflict", choice)
        both_saved(sharing(world.alice, "dbs", "send", "twice"), receive)
        assert document(world.bob, "dbs", "view", name)["path"] == "s3:bucket:/twice"


def test_a_wrong_code_delivers_nothing_and_the_right_one_does(world: World) -> None:
    """Both ends say why and exit with 7; afterwards both are ready for the next share."""
    add(world.bob, guarded="hush")
    ends = [
        sharing(world.alice, "secrets", "receive", code="1111"),
        sharing(world.bob, "secrets", "send", "guarded", code="2222"),
    ]
    for command in ends:
        status, last = outcome(command)
        assert (status, last["event"]) == (7, "failed"), command.lines
        assert last["reason"] in {"wrong-code", "guesses-used-up"}
    assert refusal(world.alice, "get", "guarded")[0] == 5
    both_saved(sharing(world.bob, "secrets", "send", "guarded"), sharing(world.alice, "secrets", "receive"))


def test_both_devices_send_and_receive_at_the_same_time(world: World) -> None:
    """Bob waits with both for Alice, who then does both: one share each way."""
    add(world.alice, gift="from alice")
    add(world.bob, present="from bob")
    bobs = [sharing(world.bob, "secrets", "send", "present", code="1111")]
    bobs[0].read_event("state")
    bobs.append(sharing(world.bob, "secrets", "receive", code="2222"))
    bobs[1].read_event("listening")
    assert document(world.bob, "status")["openSessions"] == 2
    alices = [
        sharing(world.alice, "secrets", "receive", code="1111"),
        sharing(world.alice, "secrets", "send", "gift", code="2222"),
    ]
    both_saved(bobs[0], alices[0])
    both_saved(alices[1], bobs[1])
    assert done(world.bob, "get", "gift").stdout == "from alice\n"
    assert done(world.alice, "get", "present").stdout == "from bob\n"


def test_two_things_are_sent_at_once(world: World) -> None:
    """Two sending commands wait on one device; each goes to the receiver that has its code."""
    add(world.alice, first="1", second="2")
    sends = {name: sharing(world.alice, "secrets", "send", name, code=code) for name, code in CODES.items()}
    for command in sends.values():
        command.read_event("state")
    for name in ("second", "first"):
        both_saved(sends[name], sharing(world.bob, "secrets", "receive", code=CODES[name]))
    assert [done(world.bob, "get", name).stdout for name in CODES] == ["1\n", "2\n"]


def test_a_second_receiver_is_refused_and_the_first_goes_on(world: World) -> None:
    """Exit 6 at once, with the word for it; `shares` shows the first one."""
    add(world.alice, late="hush")
    first = sharing(world.bob, "secrets", "receive")
    first.read_event("listening")
    second = sharing(world.bob, "dbs", "receive")
    status, lines, _ = second.finish(timeout=10)
    assert (status, json.loads(lines[-1])["reason"]) == (6, "busy"), lines
    shares = document(world.bob, "shares")["shares"]
    assert [share["role"] for share in shares if share["state"] in {"announcing", "code-needed"}] == ["receive"]
    both_saved(sharing(world.alice, "secrets", "send", "late"), first)


def test_a_share_is_cancelled_from_either_end(world: World) -> None:
    """By Ctrl-C, by `shares cancel` from another window, and by locking the vault: it ends at once and nothing is left open."""
    add(world.alice, unsent="hush")
    for start in (
        lambda: sharing(world.alice, "secrets", "send", "unsent"),
        lambda: sharing(world.alice, "secrets", "receive"),
    ):
        command = start()
        command.read_event("state")
        command.process.send_signal(signal.SIGINT)
        assert outcome(command)[0] == 130
        command = start()
        command.read_event("state")
        document(world.alice, "shares", "cancel")
        assert outcome(command)[0] == 130
    command = sharing(world.alice, "secrets", "send", "unsent")
    command.read_event("state")
    done(world.alice, "lock")
    status, last = outcome(command)
    assert (status, last["reason"]) == (4, "locked")
    done(world.alice, "unlock")
    assert document(world.alice, "status")["openSessions"] == 0


def test_what_arrives_is_edited_in_a_real_terminal(world: World) -> None:
    """A wrong code and then the right one; name, description and path changed, one secret unticked, another renamed."""
    require("tmux")
    add_database(world.bob, "edited")
    done(world.alice, "secrets", "add", "edited geocoding-key", "--type", "api-key", stdin="mine")
    with open_terminal(world.bob) as left, open_terminal(world.alice) as right:
        sender, receiver = Desk(world.bob, left), Desk(world.alice, right)
        sender.keybaton("dbs send edited --yes")
        code = sender.shown_code()
        receiver.keybaton("dbs receive")
        right.wait_for("Code shown on the other device:")
        right.line("0000" if code != "0000" else "1111")
        right.wait_for("That code was wrong. 2 tries left.")
        right.line(code)
        right.wait_for("Save it?")
        right.press("Down", "Enter")
        for asked, answer in (
            ("Name: edited", "changed"),
            ("Description: Of edited", "Mine"),
            ("Path: s3:bucket:/edited", "/x"),
        ):
            right.wait_for(asked)
            right.press("C-u")
            right.line(answer)
        right.wait_for("Secrets to save:")
        right.press("Down", "Space", "Enter")
        right.wait_for("The secret edited geocoding-key exists here, with other content.")
        right.press("Down", "Down", "Enter")
        right.wait_for("New name: edited geocoding-key (2)")
        right.press("Enter")
        right.wait_for("\nsaved changed")
        left.wait_for("\nsaved")
        assert (left.exit_code(), right.exit_code()) == (0, 0)
    saved = document(world.alice, "dbs", "view", "changed")
    assert (saved["description"], saved["path"]) == ("Mine", "/x")
    assert saved["links"] == {"s3": "edited s3", "encryptionKey": None, "geocodingKey": "edited geocoding-key (2)"}
    assert done(world.alice, "get", "edited geocoding-key").stdout == "mine\n"
    same(world.bob, world.alice, {"s3-credentials": "edited s3"})
    assert done(world.alice, "get", "edited geocoding-key (2)").stdout == f"{samples()['api-key']['apiKey']}\n"
    assert refusal(world.alice, "get", "edited encryption-key", "--field", "privateKeyPem")[0] == 5
    assert refusal(world.alice, "dbs", "view", "edited")[0] == 5


def test_ctrl_c_in_the_review_ends_both_ends(world: World) -> None:
    """The sender learns of it at once, and nothing is saved."""
    require("tmux")
    add(world.alice, looked_at="hush")
    with open_terminal(world.alice) as left, open_terminal(world.bob) as right:
        sender, receiver = Desk(world.alice, left), Desk(world.bob, right)
        sender.keybaton("secrets send looked_at --yes")
        code = sender.shown_code()
        receiver.keybaton("secrets receive")
        right.wait_for("Code shown on the other device:")
        right.line(code)
        right.wait_for("Save it?")
        right.press("C-c")
        assert right.exit_code() == 130
        left.wait_for("cancelled: ", seconds=5)
        assert left.exit_code() == 130
    assert refusal(world.bob, "get", "looked_at")[0] == 5


def test_a_sender_that_meets_only_a_photosphere_receiver_names_the_flag(world: World) -> None:
    """It never falls back by itself: nothing comes to the other end."""
    status, last = outcome(world.carols)
    assert (status, last["event"], last["reason"]) == (1, "failed", "photosphere-only")
    assert "--photosphere" in last["hint"]
    waiting = [event for event in map(json.loads, world.carols.lines) if event["event"] == "waiting"]
    assert [event["reason"] for event in waiting] == ["photosphere-only"]
    status, last = outcome(world.daves)
    assert (status, last["reason"]) == (8, "expired")
    assert document(world.dave, "secrets", "list")["secrets"] == []
