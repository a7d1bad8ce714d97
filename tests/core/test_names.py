"""Names of variables and environments: exactly the forms that their messages name."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.names import NameRefused, check_environment, check_variable

texts = st.one_of(
    st.text(alphabet="aZ_09.- \n\0é١ª", max_size=5), st.text(max_size=5), st.sampled_from(["a" * 64, "a" * 65])
)


def taken(text: str, *, variable: bool) -> bool:
    """Whether `text` passes."""
    try:
        return (check_variable if variable else check_environment)(text) == text
    except NameRefused:
        return False


@settings(max_examples=2000)
@given(text=texts)
def test_variables_are_of_the_form_that_the_refusal_names(text: str) -> None:
    """Letters, digits and underscores of ASCII, no digit first; other scripts have letters and digits too."""
    assert taken(text, variable=True) == bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text))


@settings(max_examples=2000)
@given(text=texts)
def test_environments_are_of_the_form_that_the_refusal_names(text: str) -> None:
    """One to 64 characters; a foreign one is found at the ends and in the middle."""
    assert taken(text, variable=False) == bool(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text))
