"""Texts that are hard for readers of variables, put together at random from what makes them hard."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from keybaton_cli.dotenv.writing import CannotCarry

ATOMS = [
    "A", "B_C", "export ", "=", ":", " ", "\t", "'", '"', "`", "\\", "\\n", "\\r", "\n", "\r\n", "\r", "#", "$", "${A}",
    "${X:-d}", "x", "1", "é", "😀", "\u2028", "\ufeff", "\u00a0", "\x0b", "\x1c", "\x85", ".", "-", "k=v", "\\'", '\\"', "A=",
    "\nB=", "\nC='", '\nD="', "\nexport E=`",
]  # fmt: skip


def corpus(seed: int, count: int) -> list[str]:
    """`count` texts; a seed makes them the same in every run."""
    chance = random.Random(seed)
    return ["".join(chance.choice(ATOMS) for _ in range(chance.randint(1, 25))) for _ in range(count)]


HARD_VALUES = ["", " ", "#", "=", "  'x' # y ", "a\r", "\r", "\n", "a\n", "\r\n", "a\rb", "${A}", *corpus(23, 2000)]


def carried(write: Callable[[Mapping[str, str]], str], values: list[str]) -> tuple[dict[str, str], list[str]]:
    """Those that a format takes, each under a name of its own, and those that it refuses."""
    taken: dict[str, str] = {}
    refused = []
    for number, value in enumerate(values):
        name = f"K{number}"
        try:
            write({name: value})
            taken[name] = value
        except CannotCarry as error:
            assert error.name == name
            refused.append(value)
    return taken, refused
