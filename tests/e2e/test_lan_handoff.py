"""A database goes from one device to another over real networks of every kind, by the command line alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keybaton_testing.device import Spawned
from keybaton_testing.lab import Host, Lab
from keybaton_testing.lan_devices import CODE, both_saved, document, done, named, outcome, sharing, with_passphrase
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

SECRET_KEY = "the secret access key of the test"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def stock(host: Host) -> Host:
    """A device with a database and the secret that it is linked to."""
    with_passphrase(host)
    fields = ["--field", "region=eu-west-1", "--field", "accessKeyId=AKIATEST", "--field-fd", "secretAccessKey=0"]
    for arguments, stdin in (
        (["secrets", "add", "cloud", "--type", "s3-credentials", *fields], SECRET_KEY),
        (["dbs", "add", "photos", "--path", "s3:bucket:/photos", "--s3", "cloud"], ""),
    ):
        done(host, *arguments, stdin=stdin)
    return host


def sending(host: Host, *more: str, code: str = CODE) -> Spawned:
    return sharing(host, "dbs", "send", "photos", *more, code=code)


def receiving(host: Host, *more: str, code: str = CODE) -> Spawned:
    return sharing(host, "dbs", "receive", *more, code=code)


def assert_handed_over(sender: Host, receiver: Host, *to: str) -> None:
    """One share, with everything that came with it, ends as saved on both sides."""
    receive = receiving(receiver)
    both_saved(sending(sender, *to), receive)
    database = document(receiver, "dbs", "view", "photos")
    assert (database["path"], database["links"]["s3"]) == ("s3:bucket:/photos", "cloud")
    assert receiver.keybaton("get", "cloud", "--field", "secretAccessKey").stdout == f"{SECRET_KEY}\n"


def test_two_devices_in_one_network_hand_over_a_database(lab: Lab) -> None:
    """The plain case: one subnet, IPv4 and IPv6."""
    assert_handed_over(stock(lab.host("alice")), with_passphrase(lab.host("bob")))


def test_a_made_code_is_typed_on_the_other_device(lab: Lab) -> None:
    """Without --code-fd the sender makes the code and shows it; whoever starts first waits."""
    alice, bob = stock(lab.host("alice")), with_passphrase(lab.host("bob"))
    send = alice.spawn_keybaton("dbs", "send", "photos", "--yes", "--json")
    code = send.read_event("code")["code"]
    assert len(code) == 4
    assert code.isdigit()
    both_saved(send, receiving(bob, code=code))


def test_four_pairs_at_once_come_through_where_each_receiver_names_its_sender(lab: Lab) -> None:
    """The same network, the same moment, four codes, nobody at a terminal: all are saved and each has what is its own."""
    senders = [add_secrets(with_passphrase(named(lab.host(f"s{n}"))), mine=f"of {n}") for n in range(4)]
    receivers = [with_passphrase(named(lab.host(f"r{n}"))) for n in range(4)]
    pairs = [
        (
            sharing(sender, "secrets", "send", "mine", code=f"100{n}"),
            sharing(receiver, "secrets", "receive", "--from", sender.name, code=f"100{n}"),
        )
        for n, (sender, receiver) in enumerate(zip(senders, receivers, strict=True))
    ]
    for send, receive in pairs:
        both_saved(send, receive)
    assert [receiver.keybaton("get", "mine").stdout for receiver in receivers] == [f"of {n}\n" for n in range(4)]


def add_secrets(host: Host, **values: str) -> Host:
    for name, value in values.items():
        done(host, "secrets", "add", name, "--type", "token", stdin=value)
    return host


def test_several_secrets_go_under_one_code(lab: Lab) -> None:
    """One share: both ends name them all; a taken name is kept, replaced or renamed as told, secret by secret."""
    alice = add_secrets(with_passphrase(lab.host("alice")), one="1", two="2", three="3")
    bob = add_secrets(with_passphrase(lab.host("bob")), two="old")
    for choice, names, value in (
        ("reuse", ["one", "two", "three"], "old"),
        ("rename", ["one", "two (2)", "three"], "old"),
        ("replace", ["one", "two", "three"], "2"),
    ):
        receive = sharing(bob, "secrets", "receive", "--on-conflict", choice)
        at_alice, at_bob = both_saved(sharing(alice, "secrets", "send", "one", "two", "three", "one"), receive)
        assert (at_alice["name"], at_alice["names"]) == ("one", ["one", "two", "three"])
        assert (at_bob["name"], at_bob["names"]) == ("one", names)
        assert bob.keybaton("get", "two").stdout == f"{value}\n"
    assert [bob.keybaton("get", name).stdout for name in ("one", "three", "two (2)")] == ["1\n", "3\n", "2\n"]


def test_a_sender_reaches_the_second_subnet_of_its_host(lab: Lab) -> None:
    """The receiver lives in the network to which no default route leads."""
    assert_handed_over(
        stock(lab.host("middle", networks=("one", "two"))),
        with_passphrase(lab.host("right", networks=("two",), ipv6=False)),
    )


def test_a_receiver_with_two_subnets_is_reached_in_either(lab: Lab) -> None:
    """One receiver that is heard on two interfaces is one candidate."""
    both = with_passphrase(lab.host("both", networks=("one", "two"), ipv6=False))
    assert_handed_over(stock(lab.host("alice", networks=("two",))), both)


def test_devices_without_a_default_route_hand_over(lab: Lab) -> None:
    """A cable between two machines, no router."""
    alice = stock(lab.host("alice", default_route=False, ipv6=False))
    assert_handed_over(alice, with_passphrase(lab.host("bob", default_route=False, ipv6=False)))


def test_devices_with_ipv6_alone_hand_over(lab: Lab) -> None:
    """Link-local addresses suffice."""
    require("ipv6")
    assert_handed_over(stock(lab.host("alice", ipv4=False)), with_passphrase(lab.host("bob", ipv4=False)))


def test_devices_with_ipv4_alone_hand_over(lab: Lab) -> None:
    """IPv6 is switched off on both."""
    assert_handed_over(stock(lab.host("alice", ipv6=False)), with_passphrase(lab.host("bob", ipv6=False)))


@pytest.mark.parametrize("lossy", ["alice", "bob"])
def test_a_network_that_loses_packets_still_hands_over(lab: Lab, lossy: str) -> None:
    """30 % of what arrives at one of them is lost, for discovery and connection alike."""
    require("nft")
    alice, bob = stock(lab.host("alice")), with_passphrase(lab.host("bob"))
    (alice if lossy == "alice" else bob).drop(30)
    assert_handed_over(alice, bob)


@pytest.mark.parametrize("default_route", [True, False], ids=["default route", "no default route"])
def test_the_photosphere_protocol_hands_over_as_well(lab: Lab, default_route: bool) -> None:
    """Named on both sides; our announcements reach where those of a real Photosphere do not."""
    alice = stock(lab.host("alice", default_route=default_route, ipv6=False))
    bob = with_passphrase(lab.host("bob", default_route=default_route, ipv6=False))
    receive = receiving(bob, "--photosphere", code="4321")
    both_saved(sending(alice, "--photosphere", code="4321"), receive)
    assert bob.keybaton("get", "cloud", "--field", "secretAccessKey").stdout == f"{SECRET_KEY}\n"


def test_where_broadcasts_are_filtered_a_named_host_is_found(lab: Lab) -> None:
    """A wireless network that keeps its clients' broadcasts from each other; `--to HOST` asks that host alone."""
    require("nft")
    alice, bob = stock(lab.host("alice", ipv6=False)), with_passphrase(lab.host("bob", ipv6=False))
    for host in (alice, bob):
        host.drop_broadcasts()
    assert_handed_over(alice, bob, "--to", bob.addresses[0])


def test_in_another_network_the_printed_address_is_enough(lab: Lab) -> None:
    """Over a router that forwards no broadcasts, `--to HOST:PORT` as the receiver shows it."""
    alice = stock(lab.host("alice", networks=("one",), ipv6=False))
    bob = with_passphrase(lab.host("bob", networks=("two",), ipv6=False))
    bob.run(["ip", "route", "replace", "default", "via", "10.77.1.1"], check=True)
    lab.route()
    receive = receiving(bob)
    addresses = receive.read_event("listening")["addresses"]
    address = next(one for one in addresses if one.startswith(bob.addresses[0]))
    both_saved(sending(alice, "--to", address), receive)


def test_two_devices_on_one_machine_without_a_network_hand_over(lab: Lab) -> None:
    """Loopback alone: two users of one machine, offline; also by the address that the receiver shows."""
    alone = lab.host("alone", networks=())
    other = lab.second_device(alone, "other")
    assert_handed_over(stock(alone), with_passphrase(other))
    receive = receiving(other)
    address = receive.read_event("listening")["addresses"][0]
    assert address.startswith("127.")
    both_saved(sending(alone, "--to", address), receive)


def test_a_wrong_code_delivers_nothing_and_both_ends_say_so(lab: Lab) -> None:
    """Exit 7 on both sides with the reason, and the receiver's vault stays empty."""
    alice, bob = stock(lab.host("alice")), with_passphrase(lab.host("bob"))
    receive, send = receiving(bob, code="1111"), sending(alice, code="2222")
    for command in (send, receive):
        status, last = outcome(command)
        assert status == 7, command.lines
        assert last["event"] == "failed"
        assert last["reason"] in ("wrong-code", "guesses-used-up")
    assert json.loads(bob.keybaton("dbs", "list", "--json").stdout) == {"databases": []}
    assert bob.keybaton("get", "cloud").returncode == 5


def test_announcements_of_dead_and_stalling_receivers_do_not_end_a_share(lab: Lab) -> None:
    """An attacker floods the network with receivers that are not there; the honest one is still found in time."""
    alice, bob, mallory = stock(lab.host("alice")), with_passphrase(lab.host("bob")), lab.host("mallory")
    flood = (
        "import os, socket, time\n"
        "stalling = socket.socket(); stalling.bind(('', 0)); stalling.listen(200)\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "for number in range(3000):\n"
        "    port = stalling.getsockname()[1] if number % 2 else 9\n"
        "    line = f'KEYBATON/1 RECV {port} {os.urandom(32).hex()}'\n"
        "    sock.sendto(line.encode(), ('10.77.0.255', 54321))\n"
        "    time.sleep(0.01)\n"
    )
    mallory.start(["python3", "-c", flood])
    assert_handed_over(alice, bob)
