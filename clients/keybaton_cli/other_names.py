"""What other programs call Keybaton's commands, for the suggestion where a command is not there."""

from __future__ import annotations

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "add": ("set",),
    "cat": ("get", "view"),
    "change": ("edit",),
    "create": ("add", "set"),
    "del": ("remove",),
    "delete": ("remove",),
    "exec": ("run",),
    "find": ("list",),
    "get": ("view",),
    "grep": ("list",),
    "insert": ("add", "set"),
    "login": ("unlock",),
    "logout": ("lock",),
    "ls": ("list",),
    "mv": ("edit",),
    "new": ("add", "set"),
    "passwd": ("rekey",),
    "read": ("get", "view"),
    "rename": ("edit",),
    "rm": ("remove",),
    "search": ("list",),
    "set": ("edit",),
    "show": ("get", "view"),
    "signin": ("unlock",),
    "signout": ("lock",),
    "unset": ("remove",),
    "update": ("edit", "set"),
    "view": ("get",),
    "write": ("add", "set"),
}
"""By the other name: the commands that may be meant, the likeliest first."""
