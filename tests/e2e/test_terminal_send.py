"""What a sending person is asked and shown in a real terminal, driven by keys, against a fake agent."""

from __future__ import annotations

import pytest

from keybaton_api.agent.v1 import share_pb2
from keybaton_testing.processes import wait_until
from keybaton_testing.prompt_desk import Desk

pytestmark = pytest.mark.e2e


def test_secrets_are_ticked_in_a_list_and_sent_after_a_warning(desk: Desk) -> None:
    """Without names the secrets are listed, none ticked; one at least is needed; the warning comes before the question."""
    desk.keybaton("secrets send")
    screen = desk.answer("Which secrets?", "Enter")
    assert "●" not in screen
    desk.terminal.wait_for("Nothing is ticked")
    desk.answer("» ○ photos-maps", "Space", "Down", "Down", "Space", "Enter")
    screen = desk.answer("Send photos-maps, token?", "Enter")
    assert "whoever types the code" in screen
    desk.terminal.wait_for("Code: 4821")
    screen = desk.terminal.wait_for("Waiting for the other device")
    assert "█" in screen
    assert "keybaton secrets receive" in screen
    assert [item.name for item in desk.agent.sends[-1].items] == ["photos-maps", "token"]
    desk.agent.become("SAVED", name="photos-maps", names=["photos-maps", "token"], peer_name="desk")
    desk.terminal.wait_for("saved photos-maps, token on desk")
    assert desk.terminal.exit_code() == 0


def test_the_only_secret_is_ticked_already(desk: Desk) -> None:
    """Enter sends it."""
    for key in [key for key in desk.agent.items if key[1].startswith("photos-")]:
        del desk.agent.items[key]
    desk.keybaton("secrets send")
    desk.answer("Which secrets?", "Enter")
    desk.answer("Send token?", "C-c")
    assert desk.terminal.exit_code() == 130


def test_a_long_list_is_narrowed_by_typing(desk: Desk) -> None:
    """What was ticked before stays ticked; `j` and `a` are letters then."""
    for number in range(60):
        desk.agent.put_secret(f"many-{number}", value="x")
    desk.agent.put_secret("ajar", value="x")
    desk.keybaton("secrets send")
    desk.answer("typing narrows", "Space")
    desk.terminal.wait_for("» ● ajar")
    desk.terminal.type("y-59")
    desk.answer("» ○ many-59", "Space", "Enter")
    desk.answer("Send ajar, many-59?", "C-c")
    assert desk.terminal.exit_code() == 130


def test_ctrl_c_while_waiting_ends_the_share(desk: Desk) -> None:
    """Exit code 130, the other side is told, and the terminal is as before."""
    desk.keybaton("secrets send token --yes")
    desk.answer("Waiting for the other device", "C-c")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.cancelled == 1
    assert desk.terminal.restored()


def test_a_database_is_edited_for_the_way_and_a_secret_unticked(desk: Desk) -> None:
    """Name, description and path go out as edited, the unticked link stays behind; the vault is not changed."""
    desk.keybaton("dbs send")
    desk.answer("Which database?", "Down", "Enter")
    desk.answer("Send it?", "Down", "Enter")
    desk.answer("Name: photos", typed="pictures")
    desk.answer("Description: Mine", "Enter")
    desk.answer("Path: s3:b", typed="s3:other")
    desk.answer("Secrets that go along:", "Down", "Space", "Enter")
    desk.terminal.wait_for("Code: 4821")
    request = desk.agent.sends[-1]
    assert (request.send_as, request.description, request.path) == ("pictures", "Mine", "s3:other")
    assert list(request.omit_links) == ["geocodingKey"]
    desk.agent.become("SAVED", name="pictures", peer_name="desk")
    desk.terminal.wait_for("saved pictures on desk")
    assert desk.terminal.exit_code() == 0


def test_one_secret_that_photosphere_knows_is_chosen(desk: Desk) -> None:
    """The warning, then the peer's address; No is the default and nothing is sent."""
    desk.agent.put_secret("a-login", "login", username="me", password="x")
    desk.agent.on_start = lambda agent: agent.become("CONNECTED", needs_confirmation=True, peer_address="192.0.2.66:1")
    desk.agent.on_confirm = lambda agent, accept: agent.become("CANCELLED", reason="cancelled")
    desk.keybaton("secrets send --photosphere")
    screen = desk.answer("Which secret?", "Down", "Down", "Enter")
    assert "a-login" not in screen
    desk.answer("Send token?", "Enter")
    screen = desk.answer("192.0.2.66:1. Is that the right device?", "Enter")
    assert "cannot protect against an attacker" in screen.replace("\n", " ")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.confirmations == [False]


def test_a_closed_terminal_leaves_the_session_to_the_agent(desk: Desk) -> None:
    """Nothing is cancelled; another terminal resumes it and sees the same code."""
    desk.keybaton("secrets send token --yes")
    desk.terminal.wait_for("Waiting for the other device")
    desk.terminal.close()
    assert desk.agent.cancelled == 0


def test_a_session_is_resumed_in_another_terminal(desk: Desk) -> None:
    """The code is shown again, and the end."""
    desk.agent.session = share_pb2.Session(id="5e5510" + "0" * 26, role=share_pb2.SHARE_ROLE_SEND, code="4821")
    desk.agent.become("SEEKING")
    desk.keybaton("shares resume")
    desk.terminal.wait_for("Code: 4821")
    desk.terminal.wait_for("Waiting for the other device")
    desk.agent.become("DECLINED", reason="declined")
    assert desk.terminal.exit_code() == 7


def test_the_count_down_counts(desk: Desk) -> None:
    """The waiting line shows the time that is left."""
    import time

    deadline = int(time.time() * 1000) + 65_000
    desk.agent.on_start = lambda agent: agent.become("SEEKING", deadline_at_ms=deadline)
    desk.keybaton("secrets send token --yes")
    desk.terminal.wait_for("1:0")
    wait_until(lambda: "… 0:5" in desk.terminal.screen(), "the count-down below a minute", seconds=20)
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 130
