"""The format of `$GITHUB_ENV`: by the rules of GitHub's runner, and held against GitHub's own writer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_cli.dotenv import writing
from keybaton_testing import github_file
from keybaton_testing.dotenv_corpus import HARD_VALUES, carried
from keybaton_testing.require import require


def test_githubs_rules_give_each_value_back() -> None:
    """On every system that its runner runs on; what is refused would be cut on Windows."""
    taken, refused = carried(writing.github_actions, HARD_VALUES)
    text = writing.github_actions(taken)
    assert github_file.read(text) == taken
    assert github_file.read(text, windows=True) == taken
    assert refused
    assert all(github_file.read(f"K<<E\n{value}\nE\n", windows=True) != {"K": value} for value in refused)


def test_githubs_own_writer_writes_the_same() -> None:
    """But for its delimiter, which is random in both."""
    require("node-actions")
    taken, _ = carried(writing.github_actions, HARD_VALUES)
    delimiter = re.compile(r"(?:ghadelimiter|KEYBATON)_[0-9a-f-]+")
    theirs = github_file.written(list(taken.items()))
    for (name, value), text in zip(taken.items(), theirs, strict=True):
        assert github_file.read(text) == {name: value}
        assert delimiter.sub("E", writing.github_actions({name: value})) == delimiter.sub("E", text)


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60))
@settings(max_examples=300)
def test_no_value_ends_its_own_block(value: str) -> None:
    """Nor begins another: what follows is read as well."""
    before, after = {"A": "1\nKEYBATON_0\n2"}, {"Z": ""}
    try:
        text = writing.github_actions({**before, "K": value, **after})
    except writing.CannotCarry:
        assert value.endswith("\r")
        return
    assert github_file.read(text) == {**before, "K": value, **after}


def test_nobody_can_know_where_a_value_will_end() -> None:
    """A value that was made of an earlier output ends nothing, and sets no variable of its own."""
    earlier = writing.github_actions({"K": "v"}).partition("<<")[2].partition("\n")[0]
    value = f"{earlier}\nPATH<<{earlier}\n/evil\n{earlier}"
    assert github_file.read(writing.github_actions({"K": value})) == {"K": value}


@pytest.mark.parametrize("name", ["NODE_OPTIONS", "node_options"])
def test_what_githubs_runner_refuses_is_refused_before(name: str) -> None:
    """It takes them from the workflow alone."""
    with pytest.raises(writing.CannotCarry, match=f"^{name}: ") as refused:
        writing.github_actions({name: "--max-old-space-size=4096"})
    assert "workflow" in refused.value.hint
    with pytest.raises(ValueError, match="refused"):
        github_file.read(f"{name}=1\n")
