"""What may be a name, a text, a variable or an environment, and what is made of a peer's text."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.names import (
    BIDI_CONTROLS,
    ENVIRONMENT_MAX,
    NAME_MAX_BYTES,
    TEXT_MAX_BYTES,
    NameRefused,
    check_environment,
    check_name,
    check_text,
    check_variable,
    plain,
)
from keybaton_testing.fuzz import examples

# One of each kind: C0, DEL, C1, half a surrogate pair, line and paragraph separators.
CONTROLS = ["\x00", "\n", "\x1b", "\x7f", "\x9b", "\ud800", "\u2028", "\u2029"]
UNFIT = [*CONTROLS, *sorted(BIDI_CONTROLS)]

# Written anew, so that a change of the rules shows.
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
ENVIRONMENT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def accepts(check: Callable[[str], str], text: str) -> bool:
    try:
        return check(text) == text
    except NameRefused:
        return False


@pytest.mark.parametrize("character", UNFIT, ids=ascii)
def test_no_control_and_no_direction_hides_in_a_name_or_a_text(character: str) -> None:
    """Wherever it stands; a peer's text loses it."""
    for text in (f"a{character}b", f"{character}ab", f"ab{character}"):
        assert not accepts(check_name, text)
        assert not accepts(lambda text: check_text(text, "path"), text)
        assert plain(text) == "ab"


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "\u3000", "a\u00a0", "a" * (NAME_MAX_BYTES + 1), "ä" * 129])
def test_a_name_is_not_blank_not_padded_and_not_long(text: str) -> None:
    """The limit counts bytes of UTF-8."""
    assert not accepts(check_name, text)


@pytest.mark.parametrize("text", ["a", "a b", "Übung №5", "日本", "a" * NAME_MAX_BYTES, "ä" * 128, "../x", "-x", '"'])
def test_everything_else_is_a_name(text: str) -> None:
    """A vault's names are for people, not for file systems or shells."""
    assert accepts(check_name, text)


def test_a_text_may_be_empty_and_padded_up_to_its_limit() -> None:
    """Descriptions and paths are kept as they are."""

    def check(text: str) -> str:
        return check_text(text, "path")

    assert all(accepts(check, text) for text in ("", " a ", "x" * TEXT_MAX_BYTES))
    assert not accepts(check, "x" * (TEXT_MAX_BYTES + 1))


def test_a_refusal_never_quotes_the_text() -> None:
    """It may be a secret that was pasted into the wrong place."""
    for check in (check_name, check_variable, check_environment, lambda text: check_text(text, "path")):
        with pytest.raises(NameRefused) as refused:
            check("hunter2\n" + "x" * TEXT_MAX_BYTES)
        assert "hunter2" not in str(refused.value)


@examples(1000)
@given(st.one_of(st.text(max_size=70), st.from_regex(VARIABLE, fullmatch=True), st.text("aZ0_-. \n", max_size=70)))
def test_variables_and_environments_have_the_documented_form(text: str) -> None:
    """Exactly `[A-Za-z_][A-Za-z0-9_]*` and 1-64 of `[A-Za-z0-9._-]`."""
    assert accepts(check_variable, text) == bool(VARIABLE.fullmatch(text))
    assert accepts(check_environment, text) == bool(ENVIRONMENT.fullmatch(text))


@pytest.mark.parametrize("text", ["", "é", "ſ", "a b", "a\n", "1"])
def test_what_only_looks_like_a_variable_is_refused(text: str) -> None:
    """Python's identifiers know more letters than a shell does."""
    assert not accepts(check_variable, text)
    assert accepts(check_variable, "a" * NAME_MAX_BYTES)
    assert not accepts(check_variable, "a" * (NAME_MAX_BYTES + 1))


def test_an_environment_has_its_length() -> None:
    """1 to 64."""
    assert [accepts(check_environment, "x" * size) for size in (0, 1, ENVIRONMENT_MAX, 65)] == [
        False,
        True,
        True,
        False,
    ]


@examples(1000)
@given(st.text(st.characters(), max_size=100), st.integers(1, 80))
def test_a_peers_text_is_fit_to_show(text: str, limit: int) -> None:
    """Never longer than the limit, nothing unfit in it, and the same when it is made plain again."""
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert not set(shown) & set(UNFIT)
    assert plain(shown, limit) in (shown, shown.strip())


def test_a_text_that_was_cut_says_so() -> None:
    """An ellipsis in the place of the last character."""
    assert plain("abcdef", 4) == "abc…"
    assert plain("abcd", 4) == "abcd"
