"""The pass importer on a store made by the real pass, with a key without passphrase in a GNUPGHOME of its own."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_cli.importers import ImportedItem, ImportProblem, open_source, pass_store
from keybaton_testing.require import require

ENTRIES = {
    "simple": "just-a-password\n",
    "web/shop": "p4ss\nuser: ada\nurl: https://shop.example\notpauth://totp/x?secret=ABC\n",
    "web/forum": "p5ss\nUsername: bob\nsecurity question: dog\npin 7\n",
    "keys/server": "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
    "umlaut/ö": "pässwort\n",
}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    require("pass")
    with tempfile.TemporaryDirectory(prefix="kbp-") as root:
        home, folder = Path(root, "gnupg"), Path(root, "store")
        home.mkdir(mode=0o700)
        monkeypatch.setenv("GNUPGHOME", str(home))
        monkeypatch.setenv("PASSWORD_STORE_DIR", str(folder))
        monkeypatch.delenv("PASSWORD_STORE_GPG_OPTS", raising=False)
        key = [
            "--batch",
            "--passphrase",
            "",
            "--quick-gen-key",
            "test@example.invalid",
            "future-default",
            "default",
            "never",
        ]
        _run(["gpg", *key])
        _run(["pass", "init", "test@example.invalid"])
        for name, content in ENTRIES.items():
            _run(["pass", "insert", "--multiline", name], content)
        yield folder
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False, timeout=20)


def _run(command: list[str], text: str = "") -> None:
    subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=60, env=dict(os.environ))


def test_a_store_of_the_real_pass_is_imported(store: Path) -> None:
    """Password alone: plain. With known lines: login, and a note for the others. Several other lines: a note."""
    source = open_source(str(store), io.BytesIO())
    assert (source.format, source.total) == ("pass", len(ENTRIES))
    items = {item.name: item for item in source.items if isinstance(item, ImportedItem)}
    assert {
        name: (item.type, {key: value.decode() for key, value in item.fields.items()}) for name, item in items.items()
    } == {
        "simple": ("plain", {"value": "just-a-password"}),
        "web/shop": (
            "login",
            {
                "username": "ada",
                "password": "p4ss",
                "url": "https://shop.example",
                "totp": "otpauth://totp/x?secret=ABC",
            },
        ),
        "web/forum": ("login", {"username": "bob", "password": "p5ss"}),
        "web/forum (notes)": ("note", {"value": "security question: dog\npin 7"}),
        "keys/server": ("note", {"value": ENTRIES["keys/server"].removesuffix("\n")}),
        "umlaut/ö": ("plain", {"value": "pässwort"}),
    }


def test_what_is_too_long_or_no_file_is_a_problem_of_its_own(store: Path) -> None:
    """Some kilobytes that would unpack to many megabytes are given up at the limit; a FIFO is not waited for."""
    sealed = ["--encrypt", "--recipient", "test@example.invalid", "--output", str(store / "bomb.gpg")]
    _run(["gpg", "--batch", "--trust-model", "always", *sealed], "x" * 20_000_000)
    os.mkfifo(store / "pipe.gpg")
    assert (store / "bomb.gpg").stat().st_size < 100_000
    found = {
        item.where: item for item in open_source(str(store), io.BytesIO()).items if isinstance(item, ImportProblem)
    }
    assert found["bomb"].problem == f"is longer than {pass_store.ENTRY_MAX_BYTES} bytes"
    assert found["pipe"].problem == "is no file"
    assert len(found) == 2


def test_an_entry_that_cannot_be_decrypted_does_not_stop_the_others(store: Path) -> None:
    """A broken file, and one for a key that is not here, are problems; progress is made one entry at a time."""
    (store / "broken.gpg").write_bytes(b"no pgp at all")
    (store / "loop").symlink_to(store)
    (store / ".git").mkdir()
    (store / ".git" / "object.gpg").write_bytes(b"x")
    found = list(open_source(str(store), io.BytesIO()).items)
    assert [(item.where, item.problem) for item in found if isinstance(item, ImportProblem)] == [
        ("broken", "gpg cannot decrypt it")
    ]
    assert len(found) == len(ENTRIES) + 2
    empty = store.parent / "empty"
    empty.mkdir(mode=0o700)
    os.environ["GNUPGHOME"] = str(empty)
    try:
        keyless = list(open_source(str(store), io.BytesIO()).items)
    finally:
        os.environ["GNUPGHOME"] = str(store.parent / "gnupg")
    assert {item.problem for item in keyless if isinstance(item, ImportProblem)} == {
        "there is no secret key for it",
        "gpg cannot decrypt it",
    }
