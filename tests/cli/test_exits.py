"""The table of exit codes covers every reason there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import keybaton_cli
import keybaton_client
from keybaton_cli import exits
from keybatond.errors import Reason, ShareReason


def test_every_reason_of_the_agent_has_an_exit_code_and_no_other_has() -> None:
    """A new reason without an exit code must fail here, before a script meets it."""
    assert set(exits.AGENT_REASONS) == {reason.value for reason in Reason}


def test_every_reason_of_a_share_has_an_exit_code_and_no_other_has() -> None:
    """The bracketed codes of the handoff protocol's list, complete."""
    assert set(exits.SHARE_REASONS) == {reason.value for reason in ShareReason}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("NOT_FOUND", 5),
        ("VAULT_LOCKED", 4),
        ("NO_AGENT", 3),
        ("wrong-code", 7),
        ("no-peer", 8),
        ("busy", 6),
        ("from-the-future", 1),
    ],
)
def test_exit_codes_are_those_of_the_manual(reason: str, code: int) -> None:
    """One of each kind, as documented; a reason this version does not know is a plain failure."""
    assert exits.exit_code(reason) == code


def test_every_reason_that_a_client_names_has_an_exit_code() -> None:
    """What the sources of the two packages raise is in one of the lists."""
    folders = [Path(module.__file__).parent for module in (keybaton_cli, keybaton_client)]
    sources = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    named = set(re.findall(r'(?:Failure|ClientError)\(\s*"([A-Za-z_-]+)"', sources))
    assert len(named) > 20
    assert not named - {*exits.AGENT_REASONS, *exits.SHARE_REASONS, *exits.CLIENT_REASONS}


def test_no_failure_exits_with_success() -> None:
    """Every reason's code is one of the documented, and none is 0."""
    codes = {*exits.AGENT_REASONS.values(), *exits.SHARE_REASONS.values(), *exits.CLIENT_REASONS.values()}
    assert codes <= {1, 2, 3, 4, 5, 6, 7, 8, 130}
