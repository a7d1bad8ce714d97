"""Writes a file whole or not at all: under another name beside it, on the disk, then in its place."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write(path: Path, data: bytes, mode: int, *, replace: bool = False, exact: bool = False) -> None:
    """Makes the file, or with `replace` puts it in the place of another. OSError; FileExistsError where one is in the way.

    What the umask takes away is missing in its mode, unless that is to be `exact`.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if exact:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
