"""The review of received variables in a real terminal: key by key, driven by keys, against a fake agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_api.agent.v1 import share_pb2
from keybaton_testing.device import PATH, device_environment
from keybaton_testing.fake_agent import FakeAgent, fake_agent, refuse
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

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


class Desk:
    """A terminal with a receiving command to which variables have been handed."""

    def __init__(self, agent: FakeAgent, terminal: Terminal) -> None:
        self.agent = agent
        self.terminal = terminal

    def receive(self, offer: share_pb2.Offer, arguments: str = "env receive", *, folder: Path = Path("/")) -> None:
        """Goes on to the review; `folder` is the working directory."""

        def typed(on: FakeAgent, _code: str) -> None:
            on.become("AUTHENTICATED", peer_name="laptop", peer_address="192.0.2.9:7")
            on.become("REVIEW", offer=offer)

        def saved(on: FakeAgent, request: share_pb2.ReviewRequest, _context: object) -> None:
            on.become("SAVED", name=f"shop/{request.environment}")

        self.agent.on_code, self.agent.on_review = typed, saved
        self.terminal.run(f"cd {folder} && {' '.join(keybaton())} {arguments}")
        self.terminal.wait_for("Code shown on the other device")
        self.terminal.line("4821")

    def decided(self) -> dict[str, tuple[bool, int]]:
        """By name, what the last review wants of each variable."""
        return {d.name: (getattr(d, "import"), d.on_conflict) for d in self.agent.reviews[-1].variables}


@pytest.fixture
def desk() -> Iterator[Desk]:
    require("tmux")
    with short_folder() as folder, fake_agent(f"{folder}/agent.sock") as agent:
        env = {"PATH": PATH, **device_environment(Path(folder)), "KEYBATON_SOCKET": f"{folder}/agent.sock"}
        with Terminal(env) as terminal:
            yield Desk(agent, terminal)


def test_each_changed_key_is_asked_about(desk: Desk) -> None:
    """The screen shows what is new, changed and the same; each choice goes to its key."""
    desk.receive(offered(A=CHANGED, B=CHANGED, C=NEW, D=SAME, LD_PRELOAD=NEW))
    screen = desk.terminal.wait_for("Save in staging?")
    for words in ("laptop hands you 5 variables", "shop", "changed", "new", "same", "can make programs run other code"):
        assert words in screen
    desk.terminal.press("Enter")
    desk.terminal.wait_for("2 variables have other values here.")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("A has another value here.")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("B has another value here.")
    desk.terminal.press("Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "saved shop/staging" in desk.terminal.screen()
    keep, replace = share_pb2.CONFLICT_CHOICE_REUSE, share_pb2.CONFLICT_CHOICE_REPLACE
    assert desk.decided() == {
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
    desk.receive(offered(A=NEW), folder=tmp_path)
    desk.terminal.wait_for("Save in staging?")
    desk.terminal.press("Enter")
    assert desk.terminal.exit_code() == 0
    assert told in " ".join(desk.terminal.screen().split())


def test_keys_can_be_left_out_and_nothing_saved(desk: Desk) -> None:
    """Space takes one out of the list; Decline saves nothing."""
    desk.receive(offered(A=NEW, B=NEW), "secrets receive")  # whatever arrives is taken by every receive
    desk.terminal.wait_for("Save in staging?")
    desk.terminal.press("Down", "Enter")
    desk.terminal.wait_for("Environment:")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Variables to save:")
    desk.terminal.press("Space", "Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.decided() == {"A": (False, 0), "B": (True, 0)}


def test_another_environment_is_compared_anew(desk: Desk) -> None:
    """The agent says what the other environment has; the person looks again and then decides."""
    desk.receive(offered(A=NEW))
    again = offered("mine", A=CHANGED)

    def first(on: FakeAgent, request: share_pb2.ReviewRequest, context: object) -> None:
        assert request.environment == "mine"
        on.on_review = lambda agent, request, _context: agent.become("SAVED", name="shop/mine")
        on.become("REVIEW", offer=again)
        refuse(context, "CONFLICT", "A is taken.", name="A")  # type: ignore[arg-type]

    desk.agent.on_review = first
    desk.terminal.wait_for("Save in staging?")
    desk.terminal.press("Down", "Enter")
    desk.terminal.wait_for("Environment:")
    desk.terminal.press("C-u")
    desk.terminal.line("mine")
    desk.terminal.wait_for("Variables to save:")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("Save in mine?")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("A has another value here.")
    desk.terminal.press("Down", "Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.decided() == {"A": (True, share_pb2.CONFLICT_CHOICE_REPLACE)}
