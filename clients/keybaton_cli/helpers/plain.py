"""What the helpers' protocols have in common: bounded input, a line for a person, JSON without the module for it."""

import posix
from _json import (
    encode_basestring_ascii as quoted,
)  # the module `json` imports `re`, which costs more than all the rest

from keybaton_client.problem import ClientError
from keybaton_hot import write

__all__ = ["attended", "document", "quoted", "read", "say", "sentence", "write"]

INPUT_MAX = 64 * 1024  # bytes; more than any of the callers sends


def read(end: bytes = b"") -> bytes:
    """Everything on standard input, up to its end or to `end`. ClientError TOO_LARGE over INPUT_MAX bytes."""
    data = b""
    while not (end and (data.endswith(end) or data == end[1:])):
        try:
            piece = posix.read(0, 65_536)
        except OSError as error:
            raise ClientError("USAGE", f"Standard input cannot be read: {error.strerror}.") from None
        if not piece:
            break
        data += piece
        if len(data) > INPUT_MAX:
            raise ClientError("TOO_LARGE", f"The request is larger than {INPUT_MAX // 1024} KiB.")
    return data


def sentence(error: ClientError) -> str:
    """What went wrong and what to do, on one line, fit for a terminal."""
    text = f"{error.message} {error.hint}".strip()
    return "".join(c if c.isprintable() else " " for c in text)


def say(text: str) -> None:
    """A line for the person, on standard error."""
    try:
        posix.write(2, f"keybaton: {text}\n".encode())
    except OSError:
        return  # nobody listens; the protocol's own answer still goes out


def attended() -> bool:
    """Whether a person could be asked: there is a terminal that controls this process."""
    try:
        posix.close(posix.open("/dev/tty", posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC))
    except OSError:
        return False
    return True


def document(values: dict[str, object]) -> bytes:
    """A JSON object of texts, numbers and such objects, in ASCII, with a newline."""
    return (_encoded(values) + "\n").encode()


def _encoded(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {_encoded(inner)}" for key, inner in value.items()) + "}"
    return str(value) if isinstance(value, int) else quoted(str(value))
