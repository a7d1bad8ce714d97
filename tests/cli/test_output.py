"""How lines end on a terminal, and what the prompts say of a new passphrase."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keybaton_cli import output, prompts
from keybaton_core.key_file import PASSPHRASE_MIN_CHARACTERS

WORDS = st.lists(st.sampled_from(["a", "lock", "日本語", "`keybaton secrets list`", "unlock…", "x" * 30]), min_size=1)


@given(WORDS, st.integers(1, 60))
@example(["`keybaton secrets list`"], 3)
def test_lines_end_between_words_and_never_within_a_command(words: list[str], columns: int) -> None:
    """No word is lost or cut; a line is longer than the terminal only where one word or command is."""
    lines = output.folded(" ".join(words), columns)
    assert " ".join(lines) == " ".join(words)
    for line in lines:
        assert output.width(line) <= columns or line in words
        assert line.count("`") % 2 == 0


def test_a_line_is_filled_before_the_next_one_begins() -> None:
    """As many words as there is room for."""
    assert output.folded("one two three", 7) == ["one two", "three"]


@pytest.mark.parametrize("length", [0, PASSPHRASE_MIN_CHARACTERS - 1, PASSPHRASE_MIN_CHARACTERS])
def test_a_new_passphrase_is_measured_as_by_the_agent(length: int) -> None:
    """What the prompt takes, the agent takes."""
    assert prompts.PASSPHRASE_MIN_CHARACTERS == PASSPHRASE_MIN_CHARACTERS
    assert (prompts.long_enough("x" * length) == "") == (length >= PASSPHRASE_MIN_CHARACTERS)


def test_what_is_said_beside_the_answer_keeps_its_place() -> None:
    """Where both streams go to one pipe, as with `2>&1`, the lines stand in the order in which they were said."""
    script = "from keybaton_cli import output\noutput.say('first')\noutput.hint('second')\noutput.say('third')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "first\nhint: second\nthird\n"


def test_on_a_narrow_terminal_sentences_end_their_lines_between_words() -> None:
    """With a coloured word before them and without; what is indented or is no terminal's stays as it is."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 20, 0, 0))
    script = (
        "from keybaton_cli import output\noutput.note('a sentence of several words')\n"
        "output.hint('`keybaton unlock` opens the vault')\noutput.note('  indented, and not for reading')"
    )
    subprocess.run([sys.executable, "-c", script], stderr=terminal, env={"NO_COLOR": "1"}, timeout=30, check=True)
    shown = os.read(master, 1000)
    os.close(terminal)
    os.close(master)
    assert shown.decode().split("\r\n")[:-1] == [
        "a sentence of",
        "several words",
        "hint:",
        "`keybaton unlock`",
        "opens the vault",
        "  indented, and not for reading",
    ]
