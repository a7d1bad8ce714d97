"""Every prompt of the command line in a real terminal, driven by keys, against a fake agent with scripted sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from keybaton_api.agent.v1 import agent_pb2, common_pb2, share_pb2
from keybaton_testing.device import PATH, device_environment
from keybaton_testing.fake_agent import FakeAgent, fake_agent, refuse
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.processes import wait_until
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e


class Desk:
    """A person's place: a terminal and the agent behind it."""

    def __init__(self, agent: FakeAgent, terminal: Terminal) -> None:
        self.agent = agent
        self.terminal = terminal

    def keybaton(self, arguments: str) -> None:
        """Starts `keybaton` with these arguments."""
        self.terminal.run(f"{' '.join(keybaton())} {arguments}")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A terminal and a fake agent that holds a few things."""
    require("tmux")
    from pathlib import Path

    with short_folder() as folder, fake_agent(f"{folder}/agent.sock") as agent:
        env = {"PATH": PATH, **device_environment(Path(folder)), "KEYBATON_SOCKET": f"{folder}/agent.sock"}
        agent.put_secret("photos-s3", "s3-credentials", region="eu", accessKeyId="AK", secretAccessKey="x")
        agent.put_secret("photos-maps", "api-key", apiKey="k")
        agent.put_secret("token", value="abc")
        agent.put_database("notes", path="/notes")
        agent.put_database("photos", path="s3:b", description="Mine", s3="photos-s3", geocoding_key="photos-maps")
        with Terminal(env) as terminal:
            yield Desk(agent, terminal)


def offers(agent: FakeAgent, *, database: bool = True, same: bool = False, **offered: Any) -> None:
    """Once the code has been typed, a payload waits for review."""
    secret = share_pb2.OfferedSecret(key="s3", name="other-s3", type="s3-credentials", field_names=["region"])
    maps = share_pb2.OfferedSecret(key="geocodingKey", name="photos-maps", type="api-key", field_names=["apiKey"])
    maps.exists, maps.same, maps.changes[:] = True, same, [] if same else ["apiKey"]
    offer = share_pb2.Offer(secrets=[secret, maps] if database else [maps])
    if database:
        offer.database.CopyFrom(share_pb2.OfferedDatabase(name="pictures", path="s3:c", **offered))

    def typed(on: FakeAgent, code: str) -> None:
        if code == "4821":
            on.become("AUTHENTICATED", peer_name="laptop", peer_address="192.0.2.9:7")
            on.become("REVIEW", offer=offer)
        else:
            on.become("CODE_NEEDED", needs_code=True, guesses_left=2)

    agent.on_code = typed


def decisions(agent: FakeAgent) -> dict[str, tuple[bool, int, str]]:
    """By key, what the last review wants of each secret."""
    return {
        decision.key: (getattr(decision, "import"), decision.on_conflict, decision.save_as)
        for decision in agent.reviews[-1].secrets
    }


def test_a_secret_is_chosen_from_a_list_and_sent_after_a_warning(desk: Desk) -> None:
    """Without a name the secrets are listed; the warning comes before the question, the code is shown, Ctrl-C ends it."""
    desk.keybaton("secrets send")
    desk.terminal.wait_for("Which secret?")
    desk.terminal.press("Down", "Down", "Enter")
    screen = desk.terminal.wait_for("Send token?")
    assert "whoever types the code" in screen
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Code: 4821")
    screen = desk.terminal.wait_for("Waiting for the other device")
    assert "█" in screen
    assert "keybaton secrets receive" in screen
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.cancelled == 1
    assert desk.terminal.restored()


def test_a_database_is_edited_for_the_way_and_a_secret_unticked(desk: Desk) -> None:
    """Name, description and path go out as edited, the unticked link stays behind; the vault is not changed."""
    desk.keybaton("dbs send photos")
    desk.terminal.wait_for("Send it?")
    desk.terminal.press("Down", "Enter")
    desk.terminal.wait_for("Name: photos")
    desk.terminal.press("C-u")
    desk.terminal.line("pictures")
    desk.terminal.wait_for("Description: Mine")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Path: s3:b")
    desk.terminal.press("C-u")
    desk.terminal.line("s3:other")
    desk.terminal.wait_for("Secrets that go along:")
    desk.terminal.press("Down", "Space", "Enter")
    desk.terminal.wait_for("Code: 4821")
    request = desk.agent.sends[-1]
    assert (request.send_as, request.description, request.path) == ("pictures", "Mine", "s3:other")
    assert list(request.omit_links) == ["geocodingKey"]
    desk.agent.become("SAVED", name="pictures", peer_name="desk")
    desk.terminal.wait_for("saved pictures on desk")
    assert desk.terminal.exit_code() == 0


def test_a_wrong_code_is_asked_again_and_the_right_one_leads_to_the_review(desk: Desk) -> None:
    """What is no code is not even sent; a wrong one says how many tries are left."""
    offers(desk.agent)
    desk.keybaton("dbs receive")
    screen = desk.terminal.wait_for("Code shown on the other device:")
    assert "192.0.2.7:40123" in screen
    desk.terminal.line("12")
    desk.terminal.wait_for("A code has 4 to 8 digits.")
    desk.terminal.line("34")
    desk.terminal.wait_for("That code was wrong. 2 tries left.")
    desk.terminal.line("4821")
    screen = desk.terminal.wait_for("Save it?")
    assert desk.agent.codes == ["1234", "4821"]
    assert "laptop" in screen
    assert "pictures" in screen
    assert "other-s3" in screen
    desk.terminal.press("Enter")
    desk.terminal.wait_for("The secret photos-maps exists here, with other content.")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0
    assert decisions(desk.agent)["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_REUSE, "")


def test_what_is_here_with_the_same_content_is_not_asked_about(desk: Desk) -> None:
    """The review shows it; it is used as it is."""
    offers(desk.agent, same=True)
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    screen = desk.terminal.wait_for("Save it?")
    assert "exists here with the same content" in screen
    desk.terminal.press("Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0
    assert decisions(desk.agent)["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_REUSE, "")


def test_what_arrives_is_edited_unticked_and_renamed_past_a_taken_name(desk: Desk) -> None:
    """A new name that is itself taken is asked again, for secrets and for the database."""
    offers(desk.agent)
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    desk.terminal.wait_for("Save it?")
    desk.terminal.press("Down", "Enter")
    desk.terminal.wait_for("Name: pictures")
    desk.terminal.press("C-u")
    desk.terminal.line("photos")
    desk.terminal.wait_for("Description:")
    desk.terminal.line("Edited")
    desk.terminal.wait_for("Path: s3:c")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Secrets to save:")
    desk.terminal.press("Space", "Enter")
    desk.terminal.wait_for("The secret photos-maps exists here")
    desk.terminal.press("Down", "Down", "Enter")
    desk.terminal.wait_for("New name: photos-maps (2)")
    desk.terminal.press("C-u")
    desk.terminal.line("token")
    desk.terminal.wait_for("The name token is taken too")
    desk.terminal.wait_for("New name: photos-maps (2)")
    desk.terminal.press("C-u")
    desk.terminal.line("new-maps")
    desk.terminal.wait_for("The database photos exists here.")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("New name: photos (2)")
    desk.terminal.press("C-u")
    desk.terminal.line("notes")
    desk.terminal.wait_for("The name notes is taken too")
    desk.terminal.wait_for("New name: photos (2)")
    desk.terminal.press("C-u")
    desk.terminal.line("album")
    desk.terminal.wait_for("saved album")
    assert desk.terminal.exit_code() == 0
    review = desk.agent.reviews[-1]
    assert (review.name, review.description, review.path) == ("album", "Edited", "s3:c")
    chosen = decisions(desk.agent)
    assert chosen["s3"][0] is False
    assert chosen["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_RENAME, "new-maps")


def test_a_secret_is_saved_under_another_name_or_replaces_what_is_there(desk: Desk) -> None:
    """The save-as name is free to choose; replacing is never the default."""
    offers(desk.agent, database=False)
    desk.keybaton("secrets receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    desk.terminal.wait_for("Save it?")
    desk.terminal.press("Down", "Enter")
    desk.terminal.wait_for("Save as:")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("exists here")
    desk.terminal.press("Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert decisions(desk.agent)["geocodingKey"][1] == share_pb2.CONFLICT_CHOICE_REPLACE


def test_a_name_taken_while_the_person_was_choosing_is_asked_about(desk: Desk) -> None:
    """The agent has the last word: its CONFLICT leads back to the questions."""
    offers(desk.agent)
    save = desk.agent.on_review

    def taken_once(agent: FakeAgent, request: share_pb2.ReviewRequest, context: Any) -> None:
        if len(agent.reviews) == 1:
            agent.put_secret("other-s3", "s3-credentials", region="us")
            refuse(context, "CONFLICT", "The name other-s3 is taken.", name="other-s3", kind="secret", key="s3")
        save(agent, request, context)

    desk.agent.on_review = taken_once
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    desk.terminal.wait_for("Save it?")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("photos-maps exists here")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("The secret other-s3 exists here")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0


def test_declining_saves_nothing(desk: Desk) -> None:
    """Exit code 7, and the sender is told."""
    offers(desk.agent)
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    desk.terminal.wait_for("Save it?")
    desk.terminal.press("Down", "Down", "Enter")
    assert desk.terminal.exit_code() == 7
    assert [review.accept for review in desk.agent.reviews] == [False]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("secrets send", "Which secret?"),
        ("secrets send token", "Send token?"),
        ("dbs send photos", "Send it?"),
        ("dbs receive", "Code shown on the other device:"),
        ("secrets add new", "Type:"),
        ("secrets add new --type login", "username"),
        ("secrets add new --type token", "value"),
        ("secrets edit token", "Name:"),
        ("secrets remove token", "Remove token?"),
        ("dbs add new", "Path:"),
        ("dbs edit notes", "Name:"),
        ("undo token", "Bring back token as it was before?"),
        ("vault backup /tmp/none.backup", "Passphrase for the backup:"),
        ("vault rekey", "New passphrase:"),
    ],
)
def test_ctrl_c_at_each_prompt_ends_the_command(desk: Desk, command: str, shown: str) -> None:
    """Exit code 130 at once, the terminal as before, nothing changed."""
    desk.keybaton(command)
    desk.terminal.wait_for(shown)
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 130
    assert "Traceback" not in desk.terminal.screen()
    assert desk.terminal.restored()
    assert desk.agent.field("token", "value") == b"abc"


@pytest.mark.parametrize("keys", [["C-c"], ["Enter", "C-c"]])
def test_ctrl_c_in_the_review_cancels_the_session(desk: Desk, keys: list[str]) -> None:
    """Nothing is saved and the other side is told."""
    offers(desk.agent)
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.line("4821")
    desk.terminal.wait_for("Save it?")
    for key in keys:
        desk.terminal.press(key)
        if key == "Enter":
            desk.terminal.wait_for("The secret photos-maps exists here")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.cancelled == 1
    assert not desk.agent.reviews


def test_a_question_is_taken_back_when_its_share_has_ended(desk: Desk) -> None:
    """A person who is still typing learns at once that the time is over."""
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.type("48")
    desk.agent.become("EXPIRED", reason="expired")
    desk.terminal.wait_for("The time is over.")
    assert desk.terminal.exit_code() == 8
    assert desk.terminal.restored()


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


def test_photosphere_shows_the_address_for_confirmation(desk: Desk) -> None:
    """The warning in one sentence, then the peer's address; No is the default and nothing is sent."""
    desk.agent.on_start = lambda agent: agent.become("CONNECTED", needs_confirmation=True, peer_address="192.0.2.66:1")
    desk.agent.on_confirm = lambda agent, accept: agent.become("CANCELLED", reason="cancelled")
    desk.keybaton("secrets send token --photosphere")
    desk.terminal.wait_for("Send token?")
    desk.terminal.press("Enter")
    screen = desk.terminal.wait_for("192.0.2.66:1. Is that the right device?")
    assert "cannot protect against an attacker" in screen.replace("\n", " ")
    desk.terminal.press("Enter")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.confirmations == [False]


def test_fields_are_asked_for_without_showing_what_is_secret(desk: Desk) -> None:
    """A visible field is shown as typed, a secret one never; optional ones may stay empty."""
    desk.keybaton("secrets add site --type login")
    desk.terminal.wait_for("username:")
    desk.terminal.line("me")
    desk.terminal.wait_for("password:")
    desk.terminal.line("hush-hush")
    desk.terminal.wait_for("url (optional):")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("totp (optional):")
    desk.terminal.press("Enter")
    assert desk.terminal.exit_code() == 0
    assert "hush-hush" not in desk.terminal.screen()
    assert desk.agent.field("site", "password") == b"hush-hush"
    item = desk.agent.current(common_pb2.ITEM_KIND_SECRET, "site")
    assert item is not None
    assert {field.key for field in item.secret.fields} == {"username", "password"}


def test_a_key_of_several_lines_is_typed_unseen(desk: Desk) -> None:
    """Enter begins a new line, Esc and Enter end the text; the private part is never on the screen."""
    desk.keybaton("secrets add pair --type ssh-key")
    desk.terminal.wait_for("privateKey:")
    desk.terminal.wait_for("Esc, then Enter ends")
    desk.terminal.line("hush-first")
    desk.terminal.type("hush-second")
    desk.terminal.press("Escape", "Enter")
    desk.terminal.wait_for("publicKey (optional):")
    desk.terminal.wait_for("Esc, then Enter ends", times=2)
    desk.terminal.type("ssh-ed25519 shown")
    desk.terminal.press("Escape", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "hush" not in desk.terminal.screen()
    assert desk.agent.field("pair", "privateKey") == b"hush-first\nhush-second"
    assert desk.agent.field("pair", "publicKey") == b"ssh-ed25519 shown"


def test_a_wrong_passphrase_is_asked_again(desk: Desk) -> None:
    """Three tries, the terminal never shows what is typed."""
    desk.agent.info.vault_state = agent_pb2.VAULT_STATE_LOCKED
    desk.keybaton("unlock")
    desk.terminal.wait_for("Passphrase:")
    desk.terminal.line("wrong one")
    desk.terminal.wait_for("2 tries left")
    desk.terminal.line("open sesame")
    desk.terminal.wait_for("Unlocked.")
    assert desk.terminal.exit_code() == 0
    assert "sesame" not in desk.terminal.screen()


def test_removing_asks_first_and_does_nothing_by_default(desk: Desk) -> None:
    """Enter alone removes nothing."""
    desk.keybaton("secrets remove token")
    desk.terminal.wait_for("Remove token?")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Nothing was removed.")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.field("token", "value") == b"abc"


def test_an_edit_keeps_what_enter_confirms(desk: Desk) -> None:
    """The name is there to be edited, the value stays hidden and as it was."""
    desk.keybaton("secrets edit token")
    desk.terminal.wait_for("Name: token")
    desk.terminal.press("C-u")
    desk.terminal.line("token-2")
    desk.terminal.wait_for("value (Enter keeps it):")
    desk.terminal.press("Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.field("token-2", "value") == b"abc"


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
