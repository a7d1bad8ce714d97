"""The man pages: up to date with the commands' help, and rendered by the real `man` without a warning."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from keybaton_cli.manpages import pages
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).resolve().parents[2] / "clients" / "man"


def test_the_committed_pages_are_what_the_help_says() -> None:
    """`python -m keybaton_cli.manpages clients/man` brings them up to date."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*")} == pages()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.1")), ids=lambda path: path.name)
def test_a_page_is_rendered_without_a_warning(path: Path) -> None:
    """groff with all warnings on says nothing, and what a person has to type is on the page."""
    require("man")
    done = subprocess.run(
        ["man", "--warnings=w", "-l", str(path)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    assert path.stem.replace("-", " ", 1) in done.stdout
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"):
        assert f"\n{section}\n" in done.stdout
