"""Every path of the agent and every mode: XDG folders, made private and refused where another user could reach in."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from keybatond.ports import Exposed
from keybatond.refusal import StartRefused

FOLDER_MODE = 0o700
FILE_MODE = 0o600
SOCKET_UMASK = 0o177
PRIVATE_UMASK = 0o077
OTHERS = 0o077  # the rights of anybody but the owner
SOCKET_PATH_MAX = 107  # sockaddr_un of Linux holds 108 bytes with the closing NUL


class Paths(NamedTuple):
    """Where everything lies. The folders are Keybaton's own; `prepare` makes them."""

    data: Path
    config: Path
    state: Path
    runtime: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Paths:
        """From XDG variables (relative ones are ignored, as their specification says) and HOME.

        Without XDG_RUNTIME_DIR the socket lies in the state folder. StartRefused when the socket's path is too long.
        """
        home = Path(env["HOME"]) if env.get("HOME", "").startswith("/") else _home_of_the_user()
        state = _base(env, "XDG_STATE_HOME", home / ".local/state") / "keybaton"
        paths = cls(
            data=_base(env, "XDG_DATA_HOME", home / ".local/share") / "keybaton",
            config=_base(env, "XDG_CONFIG_HOME", home / ".config") / "keybaton",
            state=state,
            runtime=_base(env, "XDG_RUNTIME_DIR", state / "run", below="keybaton"),
        )
        if len(os.fsencode(paths.socket)) > SOCKET_PATH_MAX:
            raise StartRefused(
                f"The path of the agent's socket is longer than {SOCKET_PATH_MAX} bytes: {paths.socket}",
                "Set XDG_RUNTIME_DIR to a shorter folder.",
            )
        return paths

    @property
    def socket(self) -> Path:
        """The agent's Unix socket."""
        return self.runtime / "agent.sock"

    @property
    def ssh_agent(self) -> Path:
        """The Unix socket for SSH's programs."""
        return self.runtime / "ssh.sock"  # shorter than the other: it fits wherever that fits

    @property
    def lock(self) -> Path:
        """Held by the one agent that runs."""
        return self.runtime / "agent.lock"

    @property
    def vault(self) -> Path:
        """The vault's database file."""
        return self.data / "vault.db"

    @property
    def settings(self) -> Path:
        """What a person may set."""
        return self.config / "config.toml"

    @property
    def log(self) -> Path:
        """The log's current file."""
        return self.state / "agent.log"

    def prepare(self) -> list[Exposed]:
        """Makes the data, state and runtime folders private; says which were open to others. StartRefused for symlinks and
        for other people's folders.

        The config folder is the person's: it is used when it is there.
        """
        found = [prepare_folder(folder) for folder in (self.data, self.state, self.runtime)]
        return [exposed for exposed in found if exposed is not None]


def _home_of_the_user() -> Path:
    """What the system knows. An empty or relative HOME would make folders wherever the agent happens to stand."""
    import pwd

    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        home = Path()
    if not home.is_absolute():
        raise StartRefused("HOME is not set, and the system knows no home folder of this user.", "Set HOME.")
    return home


def _base(env: Mapping[str, str], name: str, default: Path, below: str = "") -> Path:
    value = env.get(name, "")
    return Path(value) / below if value.startswith("/") else default


def prepare_folder(folder: Path) -> Exposed | None:
    """Makes `folder` with mode 0700 and sets that mode again; says if others could reach in. StartRefused when it is not ours."""
    try:
        folder.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        _check_parent(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
        # Through a descriptor, so that what is checked is what is changed.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if folder.is_symlink():
            raise StartRefused(
                f"{folder} is a symbolic link.", "Keybaton keeps to real folders: remove the link."
            ) from None
        raise StartRefused(f"{folder} cannot be used: {error.strerror}.") from None
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise StartRefused(f"{folder} belongs to another user.", "Choose another place with the XDG variables.")
        mode = stat.S_IMODE(found.st_mode)
        if mode != FOLDER_MODE:
            os.fchmod(descriptor, FOLDER_MODE)
        return Exposed(str(folder), mode, closed=True) if mode & OTHERS else None
    except OSError as error:
        raise StartRefused(f"{folder} cannot be made private: {error.strerror}.") from None
    finally:
        os.close(descriptor)


def _check_parent(parent: Path) -> None:
    """Another user who may rename things in the parent could put a folder of their own in our place."""
    found = parent.stat()
    if found.st_uid not in {0, os.geteuid()}:
        raise StartRefused(f"{parent} belongs to another user.", "Choose another place with the XDG variables.")
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise StartRefused(f"Everybody may write to {parent}.", f"Take that right away: chmod o-w {parent}")
