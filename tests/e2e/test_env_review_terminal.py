"""The review of received variables in a real terminal: key by key, driven by keys, against a fake agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from keybaton_api.agent.v1 import share_pb2
from keybaton_testing.fake_agent import FakeAgent, refuse
from keybaton_testing.program import keybaton
from keybaton_testing.prompt_desk import CODE, Desk

pytestmark = pytest.mark.e2e

PROJECT = "0123456789abcdef" * 2
NEW, CHANGED, SAME = (
    share_pb2.VARIABLE_CHANGE_NEW,
    share_pb2.VARIABLE_CHANGE_CHANGED,
    share_pb2.VARIABLE_CHANGE_SAME,
)


def offered(target: str = "staging", **changes: share_pb2.VariableChange.ValueType) -> share_pb2.Offer:
    """An offer of these variables."""
    variables = [share_pb2.OfferedVariable(name=name, change=change) for name, change in changes.items()]
    return share_pb2.Offer(
        environment=share_pb2.OfferedEnvironment(
            project_id=PROJECT,
            project_name="shop",
            environment="staging",
            target=target,
            project_exists=True,
            target_exists=True,
            variables=variables,
        )
    )


def receive(desk: Desk, offer: share_pb2.Offer, arguments: str = "env receive", *, folder: Path = Path("/")) -> None:
    """Goes on to the review of these variables; `folder` is the working directory."""

    def saved(on: FakeAgent, request: share_pb2.ReviewRequest, _context: object) -> None:
        on.become("SAVED", name=f"shop/{request.environment}")

    desk.hands_over(offer)
    desk.agent.on_review = saved
    desk.terminal.run(f"cd {folder} && {' '.join(keybaton())} {arguments}")
    desk.answer("Code shown on the other device", typed=CODE)


def decided(desk: Desk) -> dict[str, tuple[bool, int]]:
    """By name, what the last review wants of each variable."""
    return {d.name: (getattr(d, "import"), d.on_conflict) for d in desk.agent.reviews[-1].variables}


def test_each_changed_key_is_asked_about(desk: Desk) -> None:
    """The screen shows what is new, changed and the same; each choice goes to its key."""
    receive(desk, offered(A=CHANGED, B=CHANGED, C=NEW, D=SAME, LD_PRELOAD=NEW))
    screen = desk.terminal.wait_for("Save in staging?")
    for words in ("laptop hands you 5 variables", "shop", "changed", "new", "same", "can make programs run other code"):
        assert words in screen
    desk.terminal.press("Enter")
    desk.answer("2 variables have other values here.", "Enter")
    desk.answer("A has another value here.", "Enter")
    desk.answer("B has another value here.", "Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "saved shop/staging" in desk.terminal.screen()
    keep, replace = share_pb2.CONFLICT_CHOICE_REUSE, share_pb2.CONFLICT_CHOICE_REPLACE
    assert decided(desk) == {
        "A": (True, keep), "B": (True, replace), "C": (True, 0), "D": (True, 0), "LD_PRELOAD": (True, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("vault", "told"),
    [
        (PROJECT, "`keybaton env list` shows what is here"),
        ("f" * 32, f'when its keybaton.toml holds vault = "{PROJECT}"'),
        ("", f'when its keybaton.toml holds vault = "{PROJECT}"'),
    ],
)
def test_what_comes_next_fits_the_folder(desk: Desk, tmp_path: Path, vault: str, told: str) -> None:
    """Only in a folder of the project do `env list` and `run` find what was saved; elsewhere it is said what makes one."""
    if vault:
        (tmp_path / "keybaton.toml").write_text(f'vault = "{vault}"\n')
    receive(desk, offered(A=NEW), folder=tmp_path)
    desk.answer("Save in staging?", "Enter")
    assert desk.terminal.exit_code() == 0
    assert told in " ".join(desk.terminal.screen().split())


def test_keys_can_be_left_out_and_nothing_saved(desk: Desk) -> None:
    """Space takes one out of the list; Decline saves nothing."""
    receive(desk, offered(A=NEW, B=NEW), "secrets receive")  # whatever arrives is taken by every receive
    desk.answer("Save in staging?", "Down", "Enter")
    desk.answer("Environment:", "Enter")
    desk.answer("Variables to save:", "Space", "Enter")
    assert desk.terminal.exit_code() == 0
    assert decided(desk) == {"A": (False, 0), "B": (True, 0)}


def test_another_environment_is_compared_anew(desk: Desk) -> None:
    """The agent says what the other environment has; the person looks again and then decides."""
    receive(desk, offered(A=NEW))
    again = offered("mine", A=CHANGED)

    def first(on: FakeAgent, request: share_pb2.ReviewRequest, context: object) -> None:
        assert request.environment == "mine"
        on.on_review = lambda agent, request, _context: agent.become("SAVED", name="shop/mine")
        on.become("REVIEW", offer=again)
        refuse(context, "CONFLICT", "A is taken.", name="A")  # type: ignore[arg-type]

    desk.agent.on_review = first
    desk.answer("Save in staging?", "Down", "Enter")
    desk.answer("Environment:", typed="mine")
    desk.answer("Variables to save:", "Enter")
    desk.answer("Save in mine?", "Enter")
    desk.answer("A has another value here.", "Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert decided(desk) == {"A": (True, share_pb2.CONFLICT_CHOICE_REPLACE)}
