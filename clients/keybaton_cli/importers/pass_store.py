"""Imports a `pass` store: a folder of .gpg files, decrypted one after the other by gpg, as pass itself does.

The first line is the password. Lines such as `user:`, `url:` and `otpauth://…` make it a login; other lines become a note
beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keybaton_cli.importers.model import (
    Found,
    ImportedItem,
    ImportProblem,
    ImportRefused,
    checked,
    free_name,
    printable,
)

ENTRIES_MAX: Final = 100_000
ENTRY_MAX_BYTES: Final = 256 * 1024
GPG_SECONDS: Final = 120.0  # the first one may ask a person for the key's passphrase

_LINE = re.compile(r"\s*([A-Za-z_-]+)\s*:\s*(\S.*?)\s*")
_KEYS: Final = {
    **dict.fromkeys(("user", "username", "login", "email", "e-mail"), "username"),
    **dict.fromkeys(("url", "uri", "website", "site"), "url"),
    **dict.fromkeys(("totp", "otp"), "totp"),
}


def names_keys(folder: Path) -> bool:
    """Whether a folder says for which keys it encrypts, as every store made by pass does."""
    return (folder / ".gpg-id").is_file()


def has_entries(folder: Path) -> bool:
    """Whether a folder holds .gpg files somewhere."""
    return next(folder.glob("**/*.gpg"), None) is not None


def entries(store: Path) -> list[Path]:
    """The entries' files in order. Links to folders are not followed: they could lead in a circle."""
    found = []
    for folder, subfolders, files in os.walk(store):
        subfolders[:] = sorted(name for name in subfolders if name != ".git")
        found += [Path(folder, name) for name in sorted(files) if name.endswith(".gpg")]
        if len(found) > ENTRIES_MAX:
            raise ImportRefused(f"The store has more than {ENTRIES_MAX} entries.")
    return found


def read(store: Path, files: list[Path]) -> Iterator[Found]:
    """The items of `files`, each decrypted when it is its turn; a file that gpg cannot decrypt is a problem of its own."""
    taken: dict[str, int] = {}
    for path in files:
        name = path.relative_to(store).as_posix().removesuffix(".gpg")
        try:
            content = _decrypted(path)
        except _Undecrypted as failure:
            yield ImportProblem(printable(name), str(failure))
            continue
        yield from items_of(name, content, taken)


class _Undecrypted(Exception):
    """gpg gave no text; the message says why, for a person."""


def _decrypted(path: Path) -> str:
    if not path.is_file():
        raise _Undecrypted("is no file")
    options = os.environ.get("PASSWORD_STORE_GPG_OPTS", "").split()  # as the shell that pass is written in splits them
    # A short file may unpack to any length.
    limit = ["--max-output", str(ENTRY_MAX_BYTES)]
    command = ["gpg", *options, *limit, "--quiet", "--yes", "--batch", "--decrypt", str(path.absolute())]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=GPG_SECONDS, check=False)
    except FileNotFoundError:
        raise ImportRefused("gpg is not installed, so the store cannot be decrypted.") from None
    except subprocess.TimeoutExpired:
        raise _Undecrypted(f"gpg did not answer within {GPG_SECONDS:.0f} s") from None
    if b"--max-output" in done.stderr:
        raise _Undecrypted(f"is longer than {ENTRY_MAX_BYTES} bytes")
    if done.returncode != 0:
        missing_key = b"No secret key" in done.stderr
        raise _Undecrypted("there is no secret key for it" if missing_key else "gpg cannot decrypt it")
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        raise _Undecrypted("is not UTF-8 text") from None


def items_of(name: str, content: str, taken: dict[str, int]) -> Iterator[Found]:
    """What one entry becomes; its name is made free among `taken`."""
    password, *lines = content.split("\n")
    fields: dict[str, str] = {}
    rest: list[str] = []
    for line in lines:
        key, value = _known(line)
        if key and key not in fields:
            fields[key] = value
        elif line.strip():
            rest.append(line)
    name = free_name(name, taken)
    if not fields and rest:
        # A key file, a note: the text is one thing, and which line is the password nobody can say.
        yield _found(name, "note", {"value": content.removesuffix("\n")})
        return
    if not fields:
        yield _found(name, "plain", {"value": password})
        return
    yield _found(name, "login", {"username": "", "password": password} | fields)
    if rest:
        yield _found(free_name(f"{name} (notes)", taken), "note", {"value": "\n".join(rest)})


def _known(line: str) -> tuple[str, str]:
    if line.strip().startswith("otpauth://"):
        return "totp", line.strip()
    match = _LINE.fullmatch(line)
    return (_KEYS.get(match[1].lower(), ""), match[2]) if match else ("", "")


def _found(name: str, kind: str, fields: dict[str, str]) -> Found:
    try:
        return checked(ImportedItem(name, kind, {key: value.encode() for key, value in fields.items()}))
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return ImportProblem(printable(name), "is not named in UTF-8")
