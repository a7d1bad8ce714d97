"""What a receiving person is asked in a real terminal: the code, the review, taken names. Against a fake agent."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from keybaton_api.agent.v1 import share_pb2
from keybaton_testing.fake_agent import FakeAgent, refuse
from keybaton_testing.processes import wait_until
from keybaton_testing.prompt_desk import CODE, Desk

pytestmark = pytest.mark.e2e


def test_a_wrong_code_is_asked_again_and_the_right_one_leads_to_the_review(desk: Desk) -> None:
    """What is no code is not even sent; a wrong one says how many tries are left."""
    desk.offers()
    desk.keybaton("dbs receive")
    screen = desk.terminal.wait_for("Code shown on the other device:")
    assert "192.0.2.7:40123" in screen
    desk.terminal.line("12")
    desk.terminal.wait_for("A code has 4 to 8 digits.")
    desk.terminal.line("34")  # what was typed is still there
    desk.answer("That code was wrong. 2 tries left.", typed="4821")
    screen = desk.terminal.wait_for("Save it?")
    assert desk.agent.codes == ["1234", "4821"]
    assert "laptop" in screen
    assert "pictures" in screen
    assert "other-s3" in screen
    desk.terminal.press("Enter")
    desk.answer("The secret photos-maps exists here, with other content.", "Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0
    assert desk.decisions()["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_REUSE, "")


def test_what_is_here_with_the_same_content_is_not_asked_about(desk: Desk) -> None:
    """The review shows it; it is used as it is."""
    desk.offers(same=True)
    desk.receives("dbs receive")
    screen = desk.terminal.wait_for("Save it?")
    assert "exists here with the same content" in screen
    desk.terminal.press("Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0
    assert desk.decisions()["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_REUSE, "")


def test_what_arrives_is_edited_unticked_and_renamed_past_a_taken_name(desk: Desk) -> None:
    """A new name that is itself taken is asked again, for secrets and for the database."""
    desk.offers()
    desk.receives("dbs receive")
    desk.answer("Save it?", "Down", "Enter")
    desk.answer("Name: pictures", typed="photos")
    desk.answer("Description:", typed="Edited")
    desk.answer("Path: s3:c", "Enter")
    desk.answer("Secrets to save:", "Space", "Enter")
    desk.answer("The secret photos-maps exists here", "Down", "Down", "Enter")
    desk.answer("New name: photos-maps (2)", typed="token")
    desk.terminal.wait_for("The name token is taken too")
    desk.answer("New name: photos-maps (2)", typed="new-maps")
    desk.answer("The database photos exists here.", "Enter")
    desk.answer("New name: photos (2)", typed="notes")
    desk.terminal.wait_for("The name notes is taken too")
    desk.answer("New name: photos (2)", typed="album")
    desk.terminal.wait_for("saved album")
    assert desk.terminal.exit_code() == 0
    review = desk.agent.reviews[-1]
    assert (review.name, review.description, review.path) == ("album", "Edited", "s3:c")
    chosen = desk.decisions()
    assert chosen["s3"][0] is False
    assert chosen["geocodingKey"] == (True, share_pb2.CONFLICT_CHOICE_RENAME, "new-maps")


def test_a_secret_is_saved_under_another_name_or_replaces_what_is_there(desk: Desk) -> None:
    """The save-as name is free to choose; replacing is never the default."""
    desk.offers(database=False)
    desk.receives("secrets receive")
    desk.answer("Save it?", "Down", "Enter")
    desk.answer("Save as:", "Enter")
    desk.answer("exists here", "Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.decisions()["geocodingKey"][1] == share_pb2.CONFLICT_CHOICE_REPLACE


def test_a_name_taken_while_the_person_was_choosing_is_asked_about(desk: Desk) -> None:
    """The agent has the last word: its CONFLICT leads back to the questions."""
    desk.offers()
    save = desk.agent.on_review

    def taken_once(agent: FakeAgent, request: share_pb2.ReviewRequest, context: Any) -> None:
        if len(agent.reviews) == 1:
            agent.put_secret("other-s3", "s3-credentials", region="us")
            refuse(context, "CONFLICT", "The name other-s3 is taken.", name="other-s3", kind="secret", key="s3")
        save(agent, request, context)

    desk.agent.on_review = taken_once
    desk.receives("dbs receive")
    desk.answer("Save it?", "Enter")
    desk.answer("photos-maps exists here", "Enter")
    desk.answer("The secret other-s3 exists here", "Enter")
    desk.terminal.wait_for("saved pictures")
    assert desk.terminal.exit_code() == 0


def test_declining_saves_nothing(desk: Desk) -> None:
    """Exit code 7, and the sender is told."""
    desk.offers()
    desk.receives("dbs receive")
    desk.answer("Save it?", "Down", "Down", "Enter")
    assert desk.terminal.exit_code() == 7
    assert [review.accept for review in desk.agent.reviews] == [False]


def test_a_question_is_taken_back_when_its_share_has_ended(desk: Desk) -> None:
    """A person who is still typing learns at once that the time is over."""
    desk.keybaton("dbs receive")
    desk.terminal.wait_for("Code shown on the other device:")
    desk.terminal.type("48")
    desk.agent.become("EXPIRED", reason="expired")
    desk.terminal.wait_for("The time is over.")
    assert desk.terminal.exit_code() == 8
    assert desk.terminal.restored()


def test_what_changed_during_a_question_is_not_shown_after_it(desk: Desk) -> None:
    """After a wrong code the receiver listens elsewhere: of no use any more once the right one was typed."""
    desk.offers()
    desk.keybaton("dbs receive")
    desk.answer("Code shown on the other device:", typed="1234")
    desk.terminal.wait_for("2 tries left.")
    desk.terminal.wait_for("Code shown on the other device:", times=2)
    del desk.agent.session.addresses[:]
    desk.agent.become("CODE_NEEDED", addresses=["192.0.2.7:40124"])
    wait_until(lambda: all(watcher.empty() for watcher in desk.agent._watchers), "the watch that tells it")
    desk.terminal.line(CODE)
    screen = desk.answer("Save it?", "C-c")
    assert screen.count("can be reached at") == 1
    assert desk.terminal.exit_code() == 130


def test_what_crossed_the_answer_on_its_way_is_not_shown_either(desk: Desk) -> None:
    """A new address that the agent told of while the code was being typed, and that is read after it was sent."""
    desk.offers()
    reviewed = desk.agent.on_code
    later: list[threading.Timer] = []

    def crossed(agent: FakeAgent, code: str) -> None:
        del agent.session.addresses[:]
        agent.become("CODE_NEEDED", needs_code=True, addresses=["192.0.2.7:40124"])
        agent.session.needs_code = False
        later.append(threading.Timer(0.5, reviewed, (agent, code)))
        later[0].start()

    desk.agent.on_code = crossed
    desk.keybaton("dbs receive")
    desk.answer("Code shown on the other device:", typed=CODE)
    screen = desk.answer("Save it?", "C-c")
    assert screen.count("can be reached at") == 1
    assert desk.terminal.exit_code() == 130
    later[0].join()


def test_what_is_wrong_with_an_answer_stands_below_the_question(desk: Desk) -> None:
    """Not at the bottom of a large window."""
    desk.keybaton("dbs receive")
    desk.answer("Code shown on the other device:", typed="12")
    lines = desk.terminal.wait_for("A code has 4 to 8 digits.").rstrip().splitlines()
    question = next(place for place, line in enumerate(lines) if "Code shown" in line)
    assert lines[question + 1] == "A code has 4 to 8 digits."
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 130


def test_what_is_typed_ahead_stands_in_the_next_question_only(desk: Desk) -> None:
    """While the agent looks at one answer, the terminal shows nothing of the next one: it could be a passphrase."""
    desk.offers()
    answered, typed = desk.agent.on_code, threading.Event()

    def slowly(on: FakeAgent, code: str) -> None:
        typed.wait(20)
        answered(on, code)

    desk.agent.on_code = slowly
    desk.keybaton("dbs receive")
    desk.answer("Code shown on the other device:", typed="1234")
    wait_until(lambda: desk.agent.codes == ["1234"], "the first code at the agent")
    desk.terminal.line(CODE)
    typed.set()
    screen = desk.answer("Save it?", "C-c")
    assert f"Code shown on the other device: {CODE}" in screen
    assert screen.count(CODE) == 1
    assert desk.terminal.exit_code() == 130
    assert desk.terminal.restored()
