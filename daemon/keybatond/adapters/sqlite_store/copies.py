"""Unfinished copies of the vault in folders that are not its own: made under a name that tells them from all other files there.

A file without a name would leave nothing behind, but SQLite opens names only; and a lock on the file would be in SQLite's way on
network shares. So the name says whose copy it is: two agents never have one vault open on a machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from keybatond.adapters.sqlite_store import files

_BEGIN: Final = ".keybaton.new-"
_BYTES: Final = 8  # of each part of a name


class Copies:
    """Names for the copies of one vault."""

    def __init__(self, vault: Path) -> None:
        self._vault = vault
        self._process = os.urandom(_BYTES).hex()

    def new_file(self, target: Path) -> Path:
        """An empty file of mode 0600 with a temporary name in the folder of `target`. OSError.

        What a killed process has left of this vault's copies in that folder is removed first.
        """
        mine = _BEGIN + self._owner()
        with contextlib.suppress(OSError):  # it takes only room
            for path in target.parent.glob(f"{mine}*"):
                if not path.name.startswith(mine + self._process):
                    _remove(path)
        return files.make_empty(target.with_name(mine + self._process + os.urandom(_BYTES).hex()))

    def _owner(self) -> str:
        """The same for every agent of this vault and for no other, also where machines share the folder."""
        place = f"{os.uname().nodename}\0{self._vault.resolve()}"
        return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[: 2 * _BYTES]


def _remove(path: Path) -> None:
    state = path.lstat()
    if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid():
        path.unlink()
