"""Ctrl-C at every question in a real terminal: the command ends, nothing is changed, the terminal is as before."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from keybaton_api.agent.v1 import agent_pb2, share_pb2
from keybaton_testing.prompt_desk import Desk, Place, RealDesk
from keybaton_testing.questions import FAKE, REAL, Walk, in_the_source

pytestmark = pytest.mark.e2e


def interrupted(desk: Place, walk: Walk, place: int) -> None:
    """Goes on to the question and takes it back; exit code 130, and the terminal echoes and reads lines as before."""
    for question in walk.questions[:place]:
        if question.keys.startswith("="):
            desk.answer(question.shown, typed=question.keys[1:])
        else:
            desk.answer(question.shown, *question.keys.split())
    desk.terminal.wait_for(walk.questions[place].shown)
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 130
    assert "Traceback" not in desk.terminal.screen()
    assert desk.terminal.restored()


def prepare(desk: Desk, before: str) -> None:
    """Makes the state in which the question comes."""
    if before == "a receiver answers":
        desk.agent.on_start = lambda agent: agent.become("CONNECTED", needs_confirmation=True, peer_address="192.0.2.6")
    elif before == "two devices send":
        desk.agent.on_start = lambda agent: agent.become("ANNOUNCING", senders=["laptop", "phone"])
    elif before == "there is no vault":
        desk.agent.info.vault_state = agent_pb2.VAULT_STATE_ABSENT
    elif before == "token was changed":
        desk.agent.put_secret("token", value="newer")
    elif before == "there are older versions":
        desk.has_older_versions()
    elif before == "the vault is locked":
        desk.agent.info.vault_state = agent_pb2.VAULT_STATE_LOCKED
    elif before == "variables are offered":
        changed = [
            share_pb2.OfferedVariable(name=name, change=share_pb2.VARIABLE_CHANGE_CHANGED) for name in ("A", "B")
        ]
        offered = share_pb2.OfferedEnvironment(environment="staging", target="staging", variables=changed)
        desk.hands_over(share_pb2.Offer(environment=offered))
    elif before:
        desk.offers(database=before == "a database is offered")


@pytest.mark.parametrize("walk", FAKE, ids=lambda walk: walk.command)
def test_ctrl_c_changes_nothing_and_ends_a_share_that_has_begun(desk: Desk, walk: Walk) -> None:
    """At each question: exit code 130; what is stored is as it was, nothing was handed in, the other side is told."""
    prepare(desk, walk.before)
    items, info = copy.deepcopy(desk.agent.items), desk.agent.info.SerializeToString()
    for place in range(len(walk.questions)):
        desk.agent.session, desk.agent.cancelled = share_pb2.Session(), 0
        desk.keybaton(walk.command)
        interrupted(desk, walk, place)
        assert (desk.agent.items, desk.agent.info.SerializeToString()) == (items, info)
        assert (desk.agent.passphrase, desk.agent.backups) == (b"open sesame", {})
        assert not desk.agent.reviews
        assert all(request.dry_run for request in desk.agent.compacted)
        assert not desk.agent.confirmations
        assert desk.agent.cancelled == (1 if desk.agent.session.id else 0)
        assert not list(desk.home.iterdir())


@pytest.mark.parametrize("walk", REAL, ids=lambda walk: walk.command)
def test_ctrl_c_leaves_a_project_as_it_was(real: RealDesk, walk: Walk) -> None:
    """At each question: exit code 130; the vault, the folder and the shares that run are as they were."""
    (real.folder / ".env").write_text("PATTERN=a#b\n")  # for Node's dotenv `a`, for python-dotenv `a#b`
    command = walk.command
    if walk.before == "a project":
        real.with_project()
        command = command.replace("ID", real.project_id())
    elif walk.before == "two shares run":
        real.two_shares()
    before = real.stored()
    for place in range(len(walk.questions)):
        real.keybaton(command)
        interrupted(real, walk, place)
    assert real.stored() == before


def test_every_question_is_in_the_table() -> None:
    """A new one must be driven too: interrupted by the tests above, and answered by the test that the table names."""
    walks = FAKE + REAL
    assert set(in_the_source()) == {question.source for walk in walks for question in walk.questions}
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for walk in walks:
        assert f"def {walk.answered}(" in tests, walk
