"""Two people at two terminals with real agents on one network: a whole handoff by keys, and what a closed window does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from keybaton_testing.desk import Desk, open_terminal
from keybaton_testing.lab import Lab
from keybaton_testing.lan_devices import done, named, with_passphrase
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("netns", "tmux")
    with Lab() as made:
        yield made


@pytest.fixture
def desks(lab: Lab) -> Iterator[tuple[Desk, Desk]]:
    """A laptop with a database, and a desktop that already has a secret of one of its names."""
    laptop, desktop = (with_passphrase(named(lab.host(name))) for name in ("laptop", "desktop"))
    fields = ["--field", "region=eu", "--field", "accessKeyId=AK", "--field-fd", "secretAccessKey=0"]
    done(laptop, "secrets", "add", "cloud", "--type", "s3-credentials", *fields, stdin="hush")
    done(laptop, "secrets", "add", "maps", "--type", "api-key", stdin="from the laptop")
    done(laptop, "dbs", "add", "photos", "--path", "s3:b:/p", "--s3", "cloud", "--geocoding-key", "maps")
    done(desktop, "secrets", "add", "maps", "--type", "api-key", stdin="from the desktop")
    with open_terminal(laptop) as left, open_terminal(desktop) as right:
        yield Desk(laptop, left), Desk(desktop, right)


def test_a_database_is_handed_over_by_two_people(desks: tuple[Desk, Desk]) -> None:
    """Chosen from a list, a wrong code and then the right one, a taken name renamed; both sides say saved."""
    left, right = desks
    left.keybaton("dbs send")
    left.answer("Which database?", "Enter")
    left.answer("Send it?", "Enter")
    code = left.shown_code()
    right.keybaton("dbs receive")
    right.answer("Code shown on the other device:", typed="0000" if code != "0000" else "1111")
    right.answer("That code was wrong. 2 tries left.", typed=code)
    right.terminal.wait_for("Save it?")
    assert "laptop" in right.terminal.screen()
    right.terminal.press("Enter")
    right.answer("The secret maps exists here, with other content.", "Down", "Down", "Enter")
    right.answer("New name: maps (2)", "Enter")
    right.terminal.wait_for("\nsaved photos")
    left.terminal.wait_for("\nsaved photos on desktop")
    assert (left.terminal.exit_code(), right.terminal.exit_code()) == (0, 0)
    assert right.value("cloud", "secretAccessKey") == "hush\n"
    assert right.value("maps", "apiKey") == "from the desktop\n"
    assert right.value("maps (2)", "apiKey") == "from the laptop\n"
    assert '"geocodingKey": "maps (2)"' in right.host.keybaton("dbs", "view", "photos", "--json").stdout


def test_a_database_that_is_here_already_is_not_asked_about(desks: tuple[Desk, Desk]) -> None:
    """The same with the same secrets: saving asks nothing, and there is no copy and no new version."""
    left, right = desks
    fields = ["--field", "region=eu", "--field", "accessKeyId=AK", "--field-fd", "secretAccessKey=0"]
    for arguments, value in (
        (["secrets", "add", "cloud", "--type", "s3-credentials", *fields], "hush"),
        (["secrets", "edit", "maps"], "from the laptop"),
        (["dbs", "add", "photos", "--path", "s3:b:/p", "--s3", "cloud", "--geocoding-key", "maps"], ""),
    ):
        done(right.host, *arguments, stdin=value)
    left.keybaton("dbs send photos --yes")
    code = left.shown_code()
    right.keybaton("dbs receive")
    right.answer("Code shown on the other device:", typed=code)
    right.terminal.wait_for("Save it?")
    assert "exists and is the same" in right.terminal.screen()
    right.terminal.press("Enter")
    right.terminal.wait_for("\nsaved photos (what existed here was kept)")
    left.terminal.wait_for("\nsaved photos on desktop")
    shown = right.host.keybaton("dbs", "list", "--json").stdout
    assert (shown.count('"name"'), '"version": 1' in shown) == (1, True)


def test_of_several_secrets_some_are_chosen_at_the_terminal(desks: tuple[Desk, Desk]) -> None:
    """One code for both; the receiver unticks one and keeps its own of the other, and each end names what it knows."""
    left, right = desks
    left.keybaton("secrets send cloud maps")
    left.answer("Send cloud, maps?", "Enter")
    code = left.shown_code()
    right.keybaton("secrets receive")
    right.answer("Code shown on the other device:", typed=code)
    right.terminal.wait_for("Save it?")
    assert "hands you 2 secrets:" in right.terminal.screen()
    assert "exists here; replacing it changes apiKey" in right.terminal.screen()
    right.terminal.press("Down", "Enter")
    right.answer("Secrets to save:", "Space", "Enter")
    right.answer("The secret maps exists here, with other content.", "Down", "Enter")
    right.terminal.wait_for("\nsaved maps (what existed here was replaced")
    left.terminal.wait_for("\nsaved cloud, maps on desktop (or only those chosen there)")
    assert right.value("maps", "apiKey") == "from the laptop\n"
    assert right.host.keybaton("get", "cloud").returncode == 5


def test_where_several_devices_send_the_person_says_which_one_shows_the_code(
    lab: Lab, desks: tuple[Desk, Desk]
) -> None:
    """The list comes after the code; a wrong choice costs one try, and is corrected with the next one."""
    left, right = desks
    tablet = with_passphrase(named(lab.host("tablet")))
    done(tablet, "secrets", "add", "other", "--type", "token", stdin="of the tablet")
    other = tablet.spawn_keybaton("secrets", "send", "other", "--yes", "--json")
    other.read_event("code")
    left.keybaton("secrets send cloud --yes")
    left.terminal.wait_for("Waiting for the other device")
    code = left.shown_code()
    right.keybaton("secrets receive")
    right.terminal.wait_for("Code shown on the other device:")
    time.sleep(2.5)  # a person types; an offer is repeated each second
    right.terminal.line(code)
    right.terminal.wait_for("Several devices are sending. Which one shows this code?")
    assert all(name in right.terminal.screen() for name in ("laptop", "tablet", "Another one"))
    right.terminal.press("Down", "Enter")
    right.answer("That code was wrong. 2 tries left.", typed=code)
    right.answer("» laptop", "Enter")
    right.answer("Save it?", "Enter")
    right.terminal.wait_for("\nsaved cloud")
    left.terminal.wait_for("\nsaved cloud on desktop")
    other.stop()


def test_a_share_goes_on_when_its_window_is_closed(desks: tuple[Desk, Desk]) -> None:
    """Another window on the same device resumes it with the same code, and it is saved."""
    left, right = desks
    left.keybaton("secrets send cloud --yes")
    code = left.shown_code()
    left.terminal.close()
    resumed = left.another()
    with resumed.terminal:
        resumed.keybaton("shares resume")
        assert resumed.shown_code() == code
        right.keybaton("secrets receive")
        right.answer("Code shown on the other device:", typed=code)
        right.answer("Save it?", "Enter")
        resumed.terminal.wait_for("\nsaved cloud on desktop")
        assert resumed.terminal.exit_code() == 0
    assert right.value("cloud", "secretAccessKey") == "hush\n"


def test_ctrl_c_in_the_review_ends_both_sides_at_once(desks: tuple[Desk, Desk]) -> None:
    """The sender learns of it and says so; nothing is saved; both terminals are as before."""
    left, right = desks
    left.keybaton("secrets send cloud --yes")
    code = left.shown_code()
    right.keybaton("secrets receive")
    right.answer("Code shown on the other device:", typed=code)
    right.answer("Save it?", "C-c")
    assert right.terminal.exit_code() == 130
    left.terminal.wait_for("cancelled: ", seconds=5)
    assert left.terminal.exit_code() == 130
    assert right.terminal.restored()
    assert left.terminal.restored()
    assert right.host.keybaton("get", "cloud", "--field", "region").returncode == 5


def test_ctrl_c_while_waiting_leaves_no_session_behind(desks: tuple[Desk, Desk]) -> None:
    """In both roles, before anybody has met."""
    left, right = desks
    left.keybaton("secrets send cloud --yes")
    left.terminal.wait_for("Waiting for the other device")
    left.terminal.press("C-c")
    assert left.terminal.exit_code() == 130
    right.keybaton("secrets receive")
    right.answer("Code shown on the other device:", "C-c")
    assert right.terminal.exit_code() == 130
    for desk in desks:
        assert "none open" in desk.host.keybaton("status").stdout
