"""CPace against the draft's own numbers, and what it does with points that nobody honest sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keybaton_core.cpace import LowOrderPoint, calculate_generator, isk_ir, multiply

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "cpace-x25519.json").read_text())
RUN = {name: bytes.fromhex(value) for name, value in VECTORS["run"].items()}
POINTS = {name: bytes.fromhex(value) for name, value in VECTORS["points"].items()}
REFUSED = {f"Invalid Y{n}" for n in (0, 1, 2, 3, 4, 5, 7)}


def test_the_generator_is_the_drafts() -> None:
    """The map to the curve, which alone is our own arithmetic, gives the draft's point."""
    assert calculate_generator(RUN["PRS"], RUN["CI"], RUN["sid"]) == RUN["g"]


def test_both_sides_messages_and_secret_are_the_drafts() -> None:
    """Ya, Yb and K of both sides equal the draft's."""
    assert multiply(RUN["ya"], RUN["g"]) == RUN["Ya"]
    assert multiply(RUN["yb"], RUN["g"]) == RUN["Yb"]
    assert multiply(RUN["ya"], RUN["Yb"]) == multiply(RUN["yb"], RUN["Ya"]) == RUN["K"]


def test_the_session_key_is_the_drafts() -> None:
    """ISK_IR equals the draft's."""
    isk = isk_ir(RUN["sid"], RUN["K"], RUN["Ya"], RUN["ADa"], RUN["Yb"], RUN["ADb"])
    assert isk == RUN["ISK_IR"]


@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_point_is_refused_exactly_where_its_multiple_is_zero(name: str) -> None:
    """Seven of the draft's twelve points end the run; the others give some secret that nobody else has."""
    if name in REFUSED:
        with pytest.raises(LowOrderPoint):
            multiply(RUN["ya"], POINTS[name])
    else:
        assert multiply(RUN["ya"], POINTS[name]) != bytes(32)


def test_there_are_twelve_points() -> None:
    """None of the draft's points went missing from the file."""
    assert len(POINTS) == 12


def test_every_input_changes_the_generator() -> None:
    """Another code, certificate or session gives another point."""
    base = (RUN["PRS"], RUN["CI"], RUN["sid"])
    changed = [(b"1", *base[1:]), (base[0], b"x", base[2]), (*base[:2], bytes(16))]
    assert len({calculate_generator(*inputs) for inputs in [base, *changed]}) == 4
