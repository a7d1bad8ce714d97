"""Bounds on a count of successes that chance alone keeps: exact binomial tails."""

from __future__ import annotations

from fractions import Fraction
from math import comb

PRACTICALLY_NEVER = Fraction(1, 1_000_000)


def bounds(tries: int, odds: Fraction) -> tuple[int, int]:
    """The least and the most successes in `tries`, such that either side is passed with probability below one in a million."""
    weights = [comb(tries, k) * odds**k * (1 - odds) ** (tries - k) for k in range(tries + 1)]
    return _edge(weights), tries - _edge(weights[::-1])


def _edge(weights: list[Fraction]) -> int:
    total = Fraction(0)
    for k, weight in enumerate(weights):
        total += weight
        if total >= PRACTICALLY_NEVER:
            return k
    return len(weights) - 1
