"""Rules for the text that identifies things: names, paths, descriptions, variable and environment names."""

from __future__ import annotations

NAME_MAX_BYTES = 256  # handoff protocol: "name 256 B"
TEXT_MAX_BYTES = 4096  # descriptions, paths, origins: PATH_MAX of Linux
DEVICE_NAME_MAX_BYTES = 64  # fits an OFFER datagram of 512 bytes as hexadecimal

# Unicode UAX #9: explicit directional controls and marks. They let a name look like another one.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

ENVIRONMENT_MAX = 64
_OF_ENVIRONMENTS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


class NameRefused(ValueError):
    """A text is not fit for its field. `field` names it, `problem` says why; the text itself is never quoted."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def _unfit(text: str) -> str | None:
    if text.isascii() and text.isprintable():  # nearly all names
        return None
    import unicodedata  # the agent's start would wait for it

    for character in text:
        if character in BIDI_CONTROLS:
            return "contains a bidirectional control character"
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            return "contains a control character"
    return None


def check_name(text: str, field: str = "name") -> str:
    """Returns `text` when it is a usable name: 1–256 bytes of UTF-8, no control or bidirectional characters, not blank.

    Raises NameRefused.
    """
    problem = _unfit(text)
    if problem is None and not text.strip():
        problem = "is empty"
    if problem is None and text != text.strip():
        problem = "begins or ends with white space"
    if problem is None and len(text.encode()) > NAME_MAX_BYTES:
        problem = f"is longer than {NAME_MAX_BYTES} bytes"
    if problem is not None:
        raise NameRefused(field, problem)
    return text


def check_text(text: str, field: str) -> str:
    """Returns `text` when it is fit for a description, path or origin: at most 4,096 bytes, no control characters.

    Raises NameRefused. Empty is allowed.
    """
    problem = _unfit(text)
    if problem is None and len(text.encode()) > TEXT_MAX_BYTES:
        problem = f"is longer than {TEXT_MAX_BYTES} bytes"
    if problem is not None:
        raise NameRefused(field, problem)
    return text


def check_variable(text: str, field: str = "name") -> str:
    """Returns `text` when it is a name of an environment variable, `[A-Za-z_][A-Za-z0-9_]*`. Raises NameRefused."""
    # Of ASCII, identifiers of Python are exactly that form; a regular expression is slow to compile.
    if not (text.isascii() and text.isidentifier()) or len(text) > NAME_MAX_BYTES:
        raise NameRefused(field, "is not of the form [A-Za-z_][A-Za-z0-9_]*")
    return text


def check_environment(text: str, field: str = "environment") -> str:
    """Returns `text` when it names an environment: 1–64 of `[A-Za-z0-9._-]`. Raises NameRefused."""
    if not 0 < len(text) <= ENVIRONMENT_MAX or text.strip(_OF_ENVIRONMENTS):
        raise NameRefused(field, "is not 1-64 of the characters A-Z a-z 0-9 . _ -")
    return text


def plain(text: str, limit: int = 64) -> str:
    """`text` of a peer made fit to show: control and bidirectional characters dropped, shortened to `limit` characters."""
    kept = (text if _unfit(text) is None else "".join(c for c in text if _unfit(c) is None)).strip()
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"
