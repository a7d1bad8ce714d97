"""The hot commands that store, against a real grpcio server: `secrets add` and `secrets import`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keybaton_cli.secret_types import SECRET_TYPES
from keybaton_hot import adding
from keybaton_testing.hot_device import HotDevice, Ran
from keybatond.errors import Reason


def test_add_stores_what_stdin_and_descriptors_bring(device: HotDevice) -> None:
    """One final newline is dropped; the type's only field comes from standard input, others from descriptors."""
    assert device.run("secrets", "add", "a", "--type", "token", stdin=b"v\n\n") == Ran(0, b"Stored a.\n", b"")
    reading, writing = os.pipe()
    os.write(writing, b"-----BEGIN X-----\n-----END X-----\n")
    os.close(writing)
    ran = device.run(
        "secrets", "add", "b", "--type=encryption-key", "--field-fd", f"privateKeyPem={reading}", fds=(reading,)
    )
    os.close(reading)
    assert ran == Ran(0, b"Stored b.\n", b"")
    assert [(item.ref.name, item.secret.type) for item in device.vault.stored] == [
        ("a", "token"),
        ("b", "encryption-key"),
    ]
    assert [[(f.key, f.value) for f in item.secret.fields] for item in device.vault.stored] == [
        [("value", b"v\n")],
        [("privateKeyPem", b"-----BEGIN X-----\n-----END X-----")],
    ]


def test_add_stores_nothing_when_nothing_comes(device: HotDevice) -> None:
    """The program before the pipe has failed, most likely; what comes from a descriptor may be empty."""
    ran = device.run("secrets", "add", "a", "--type", "token", stdin=b"")
    assert (ran.code, ran.out) == (2, b"")
    assert ran == device.run("secrets", "add", "a", "--type", "token", stdin=b"", bare=False)
    assert b"Standard input is empty, so nothing was stored." in ran.err
    assert not device.vault.stored
    assert device.run("secrets", "add", "a", "--type", "token", "--field-fd", "value=0", stdin=b"").code == 0


def test_the_types_are_those_of_the_complete_command() -> None:
    """Needed fields, and which types take standard input."""
    assert {
        name: tuple(spec.name for spec in specs if spec.required) for name, specs in SECRET_TYPES.items()
    } == adding.NEEDED
    assert tuple(name for name, specs in SECRET_TYPES.items() if len(specs) == 1) == adding.ONE_FIELD


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\nB='two words'\n"),
        ("secrets.jsonl", '{"name": "a", "type": "token", "fields": {"value": "v"}}\n'),
        ("twice.jsonl", '{"name": "a", "type": "token", "fields": {"value": "v"}}\n' * 2),
        ("nothing", "what is this?"),
    ],
)
def test_import_stores_and_says_what_click_stores_and_says(
    device: HotDevice, tmp_path: Path, name: str, text: str
) -> None:
    """A file of one batch goes the short way, one with problems the long way: nothing of it shows outside."""
    (tmp_path / name).write_text(text)
    short = device.run("secrets", "import", str(tmp_path / name)), list(device.vault.stored)
    device.vault.stored.clear()
    assert short == (device.run("secrets", "import", str(tmp_path / name), bare=False), device.vault.stored)


def test_a_taken_name_stops_an_import_with_the_words_of_click(device: HotDevice, tmp_path: Path) -> None:
    """The agent stores nothing of such a batch, so that asking again is safe."""
    (tmp_path / ".env").write_text("A=1\n")
    device.vault.failure = Reason.NAME_TAKEN
    ran = device.run("secrets", "import", str(tmp_path / ".env"))
    assert ran.code == 6
    assert ran == device.run("secrets", "import", str(tmp_path / ".env"), bare=False)
