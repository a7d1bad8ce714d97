"""Where the agent's socket is and whether somebody listens there. Imports only `os` and built-in modules (hot path)."""

# pathlib would cost more than the whole start of a hot command.
# ruff: noqa: PTH100

from __future__ import annotations

import _socket
import os
from _collections_abc import Mapping  # already loaded, unlike `collections`

from keybaton_client.problem import ClientError

SOCKET_PATH_MAX = 107  # sockaddr_un of Linux holds 108 bytes with the closing NUL
_SOCKET_TYPE = 0o140000  # S_IFSOCK; `stat` is not imported for one number
_TYPE_MASK = 0o170000
_CONNECT_SECONDS = 2.0


def _folder(env: Mapping[str, str], name: str) -> str:
    """An XDG folder from the environment; the specification says that relative ones are ignored."""
    value = env.get(name, "")
    return value if value.startswith("/") else ""


def default_socket(env: Mapping[str, str]) -> str:
    """The path at which an agent with this environment listens. Equal to `keybatond.paths`, which a test checks."""
    runtime = _folder(env, "XDG_RUNTIME_DIR")
    if runtime:
        return f"{runtime.rstrip('/')}/keybaton/agent.sock"
    state = _folder(env, "XDG_STATE_HOME")
    if not state:
        home = env.get("HOME", "")
        state = (home if home.startswith("/") else _home_of_the_user()) + "/.local/state"
    return f"{state.rstrip('/')}/keybaton/run/agent.sock"


def _home_of_the_user() -> str:
    import pwd

    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = ""
    if not home.startswith("/"):
        raise ClientError("USAGE", "HOME is not set, and the system knows no home folder of this user.", "Set HOME.")
    return home


def socket_path(env: Mapping[str, str], option: str = "") -> str:
    """The socket to use: the option `--socket`, else KEYBATON_SOCKET, else the agent's own place.

    ClientError USAGE when it is longer than the system allows.
    """
    path = os.path.abspath(option or env.get("KEYBATON_SOCKET", "") or default_socket(env))
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise ClientError(
            "USAGE",
            f"The path of the agent's socket is longer than {SOCKET_PATH_MAX} bytes: {path}",
            "Set XDG_RUNTIME_DIR to a shorter folder.",
        )
    return path


def listening(path: str) -> bool:
    """Whether something accepts connections on the socket.

    ClientError NO_AGENT when the path is not ours to trust: no socket, another user's, or not accessible.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise ClientError(
            "NO_AGENT", f"The agent's socket {path} is not accessible: it belongs to another user."
        ) from None
    if found.st_mode & _TYPE_MASK != _SOCKET_TYPE:
        raise ClientError("NO_AGENT", f"{path} is not a socket.", "Remove it, or name another with --socket.")
    if found.st_uid not in (0, os.geteuid()):
        raise ClientError("NO_AGENT", f"The socket {path} belongs to another user; nothing was sent to it.")
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.settimeout(_CONNECT_SECONDS)
        probe.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except PermissionError:
        raise ClientError(
            "NO_AGENT", f"The agent's socket {path} is not accessible: it belongs to another user."
        ) from None
    except OSError:
        return True  # a full backlog or a slow agent is an agent; the call that follows has its own deadline
    finally:
        probe.close()
    return True
