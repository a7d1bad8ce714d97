"""The question for system parts skips, or fails where the part was demanded."""

from __future__ import annotations

import pytest

from keybaton_testing import require as module
from keybaton_testing.require import Part, demanded, require


@pytest.fixture(autouse=True)
def _two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        "here": Part(lambda: True, "nothing"),
        "gone": Part(lambda: False, "apt-get install gone"),
        "rare": Part(lambda: False, "another kernel", to_be_had=False),
    }
    monkeypatch.setattr(module, "PARTS", parts)
    monkeypatch.setattr(module, "present", lambda name: parts[name].present())
    monkeypatch.delenv("KEYBATON_TEST_REQUIRE", raising=False)


def test_present_parts_let_the_test_go_on() -> None:
    """Nothing is raised."""
    require("here")


def test_a_missing_part_skips_and_names_what_brings_it() -> None:
    """The package is in the message."""
    with pytest.raises(pytest.skip.Exception, match="apt-get install gone"):
        require("here", "gone")


@pytest.mark.parametrize("value", ["all", "gone", "here, gone"])
def test_a_demanded_part_that_is_missing_fails(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A complete machine never passes by skipping."""
    monkeypatch.setenv("KEYBATON_TEST_REQUIRE", value)
    with pytest.raises(pytest.fail.Exception):
        require("gone")


def test_other_demands_leave_a_skip_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list names what it means."""
    monkeypatch.setenv("KEYBATON_TEST_REQUIRE", "here")
    assert demanded("here")
    with pytest.raises(pytest.skip.Exception):
        require("gone")


def test_what_no_package_brings_is_demanded_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`all` is what can be had; the reason says what is missing."""
    monkeypatch.setenv("KEYBATON_TEST_REQUIRE", "all")
    with pytest.raises(pytest.skip.Exception, match="another kernel"):
        require("rare")
    with pytest.raises(pytest.fail.Exception):
        require("rare", "gone")
    monkeypatch.setenv("KEYBATON_TEST_REQUIRE", "all,rare")
    with pytest.raises(pytest.fail.Exception):
        require("rare")


def test_an_unknown_part_is_a_mistake_in_the_test() -> None:
    """It neither skips nor passes."""
    with pytest.raises(KeyError):
        require("typo")
