"""The table of states, pair by pair, and that nothing changes after the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_testing.fake_clock import FakeClock
from keybatond.services.share_run import Run
from keybatond.services.share_session import (
    ENDED,
    NEXT_STATES,
    Role,
    ShareProtocol,
    State,
)
from keybatond.services.share_view import Session


def new_run(role: Role) -> tuple[Run, FakeClock]:
    clock = FakeClock()
    return Run(Session("s", role, ShareProtocol.KEYBATON, State.SEEKING), clock, 60), clock


def brought_to(role: Role, state: State) -> Run:
    """A run in `state`, along the table."""
    paths = {State.SEEKING: [], State.ANNOUNCING: []}
    frontier = [State.SEEKING if role is Role.SEND else State.ANNOUNCING]
    while frontier:
        here = frontier.pop()
        for after in NEXT_STATES[role][here]:
            if after not in paths:
                paths[after] = [*paths[here], after]
                frontier.append(after)
    run, _ = new_run(role)
    for step in paths[state]:
        run.enter(step)
    return run


@pytest.mark.parametrize(
    ("role", "state", "after"),
    [(role, state, after) for role, table in NEXT_STATES.items() for state in table for after in State],
)
def test_every_pair_of_states_is_in_the_table_or_refused(role: Role, state: State, after: State) -> None:
    """The present state again is no step; ends come only by ending."""
    run = brought_to(role, state)
    if after is state or after in NEXT_STATES[role][state]:
        run.enter(after)
        assert run.session.state is after
    else:
        with pytest.raises(RuntimeError):
            run.enter(after)
        assert run.session.state is state


ACTIONS: dict[str, Callable[[Run], object]] = {
    "peer": lambda run: run.show_peer(name="x", address="y"),
    "guesses": lambda run: run.show_guesses(1),
    "candidates": lambda run: run.show_candidates(3),
    "listening": lambda run: run.show_listening(["a"], b"f" * 32),
    "code": lambda run: run.give_code("1234"),
    "ask": lambda run: run.ask_code(),
    "wrong": lambda run: run.code_was_wrong(),
    "confirm": lambda run: run.answer_confirmation(True),
    "saved": lambda run: run.end(State.SAVED, name="n"),
    "failed": lambda run: run.end(State.FAILED, reason="network"),
    **{f"enter {state.name}": lambda run, state=state: run.enter(state) for state in State},  # type: ignore[misc]
}


@settings(max_examples=300)
@given(st.sampled_from(Role), st.lists(st.sampled_from(sorted(ACTIONS)), max_size=12), st.sampled_from(sorted(ENDED)))
def test_nothing_changes_after_the_end(role: Role, actions: list[str], ending: State) -> None:
    """Whatever a driver or a client still does."""
    run, clock = new_run(role)
    run.end(ending, reason="why")
    ended = run.session
    for name in actions:
        clock.move_to(clock.monotonic() + 1)
        try:
            ACTIONS[name](run)
        except RuntimeError:
            continue
        assert run.session == ended
    assert replace(run.session) == ended


def test_what_was_heard_of_the_other_protocol_is_shown_while_it_seeks() -> None:
    """A state that follows, and the end, take it back."""
    for follow in (
        lambda run: run.enter(State.CONNECTED),
        lambda run: run.end(State.FAILED, reason="photosphere-only"),
    ):
        run, _ = new_run(Role.SEND)
        run.show_only_photosphere(True)
        assert run.session.only_photosphere
        follow(run)
        assert not run.session.only_photosphere
