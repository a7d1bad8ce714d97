"""Values from options, descriptors and standard input: the ways past the command line, which other programs can read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

from keybaton_cli import output
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import is_descriptor
from keybaton_cli.items import hidden
from keybaton_cli.secret_types import SECRET_TYPES, FieldSpec, field_names, main_field, spec_of

# The agent takes 256 KiB for a secret's fields together; more is read only to say that it is too much.
_INPUT_MAX_BYTES = 256 * 1024 + 2
_LINE_MAX_BYTES = 4096


def read_descriptor(number: int, option: str, limit: int = _INPUT_MAX_BYTES) -> bytes:
    """Everything from an open descriptor, up to `limit` bytes. UsageFailure when it is not open for reading."""
    try:
        return _up_to(limit, number)
    except OSError as error:
        raise UsageFailure(
            f"{option}: file descriptor {number} cannot be read: {error.strerror}.",
            f"In a shell, `{option} 3 3<file` opens one.",
        ) from None


def _up_to(limit: int, number: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size < limit and (piece := os.read(number, min(65536, limit - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def first_line(number: int, option: str) -> bytes:
    """The first line from a descriptor, without its newline; reads no further than needed."""
    kept = bytearray()
    try:
        while len(kept) < _LINE_MAX_BYTES and (byte := os.read(number, 1)) not in {b"", b"\n"}:
            kept += byte
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageFailure(
            f"{option}: file descriptor {number} cannot be read: {told}.",
            f"In a shell, `{option} 3 3<file` opens one.",
        ) from None
    if kept.endswith(b"\r"):
        del kept[-1]
    return bytes(kept)


def code_from(number: int, *, any_text: bool) -> str:
    """The pairing code from `--code-fd`: 4 to 8 digits, or any text for Photosphere."""
    line = first_line(number, "--code-fd")
    try:
        code = line.decode()
    except UnicodeDecodeError:
        raise UsageFailure("--code-fd: the code is not text.") from None
    if not code:
        raise UsageFailure("--code-fd: the first line is empty; the code belongs there.")
    if not any_text and not is_code(code):
        raise UsageFailure("--code-fd: a code has 4 to 8 digits.")
    return code


def is_code(text: str) -> bool:
    """Whether `text` can be a code of the Keybaton handoff."""
    return 4 <= len(text) <= 8 and text.isascii() and text.isdigit()


def without_newline(value: bytes) -> bytes:
    """Drops one final newline, as every shell and editor adds it."""
    return value[:-1] if value.endswith(b"\n") else value


def given_fields(
    secret_type: str, plain: Sequence[str], described: Sequence[str], filed: Sequence[str], file: str | None
) -> dict[str, bytes]:
    """Fields from `--field KEY=VALUE` (with a warning for a secret one), `--field-fd KEY=N`, `--field-file KEY=PATH` and
    `--file PATH`. UsageFailure for a field named twice."""
    fields: dict[str, bytes] = {}
    for text in plain:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageFailure("--field takes KEY=VALUE.", "`--field-fd KEY=N` keeps the value off the command line.")
        _take(fields, key, os.fsencode(value))
    if any(hidden(secret_type, key) for key in fields):
        output.warn("values after --field can be read by other programs of this user; --field-fd keeps them private")
    for text in described:
        key, equals, number = text.partition("=")
        if not equals or not key or not is_descriptor(number):
            raise UsageFailure("--field-fd takes KEY=N, N being the number of an open file descriptor.")
        _take(fields, key, without_newline(read_descriptor(int(number), "--field-fd")))
    for text in filed:
        key, equals, path = text.partition("=")
        if not equals or not key or not path:
            raise UsageFailure("--field-file takes KEY=PATH.")
        _take(fields, key, _file_value(spec_of(secret_type, key), path, "--field-file"))
    if file is not None:
        spec = main_field(secret_type)
        if spec is None:
            raise UsageFailure(
                f"--file: {secret_type} has several fields: {field_names(secret_type)}.",
                "`--field-file KEY=PATH` says which one it is.",
            )
        _take(fields, spec.name, _file_value(spec, file, "--file"))
    return fields


def _file_value(spec: FieldSpec | None, path: str, option: str) -> bytes:
    """A file's content; of one that is text without its final newline."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = _up_to(_INPUT_MAX_BYTES, number)
        finally:
            os.close(number)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise Failure("FILE_UNREADABLE", f"{option}: {path} cannot be read: {told}.") from None
    return content if spec is not None and spec.binary else without_newline(content)


def _take(fields: dict[str, bytes], key: str, value: bytes) -> None:
    if key in fields:
        raise UsageFailure(f"The field {key} is given twice.")
    fields[key] = value


def stdin_is_piped() -> bool:
    """Whether standard input is a pipe or a file that somebody gave, not a terminal, /dev/null or nothing."""
    try:
        number = sys.stdin.fileno()
        mode = os.fstat(number).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return not os.isatty(number) and not stat.S_ISCHR(mode)


def field_from_stdin(secret_type: str) -> dict[str, bytes]:
    """The only field of a type from standard input; nothing when the type has several or no input was given."""
    specs = SECRET_TYPES.get(secret_type, ())
    if len(specs) != 1 or not stdin_is_piped():
        return {}
    return {specs[0].name: from_stdin()}


def from_stdin() -> bytes:
    """The value on standard input, without one final newline. UsageFailure when it holds nothing at all: so it is when the
    program before the pipe has failed."""
    value = read_descriptor(sys.stdin.fileno(), "standard input")
    if not value:
        raise nothing_came(" `echo |` stores an empty value.")
    return without_newline(value)


def nothing_came(hint: str = "") -> UsageFailure:
    """Standard input holds not a single byte."""
    return UsageFailure(
        "Standard input is empty, so nothing was stored.", f"Look whether the program before the pipe failed.{hint}"
    )
