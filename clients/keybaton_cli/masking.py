"""Replaces secrets in a stream of bytes by eight dots, however the stream is cut into pieces. Pure: no files, no clock.

Each secret is also looked for as base64 (at all three alignments, both alphabets, in lines of any length or in one),
URL-encoded, escaped in JSON, and with the line ends of a terminal; the lines of one with several also one by one, since
programs put something before each (a log's time, an indent). A secret that was printed in pieces with pauses between
them keeps its first piece: what follows is masked, so that it never stands there whole.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote_from_bytes, quote_plus

MASK = "••••••••".encode()
MIN_CHARACTERS = 4  # shorter values occur everywhere
LINE_MIN_CHARACTERS = 8  # so do shorter lines; a secret has many
_BOUNDARY = re.compile(r"-----(BEGIN|END) [^-]*-----")  # RFC 7468, 2: the same in everybody's keys


def forms(secret: str) -> set[bytes]:
    """Every spelling of a secret that is looked for; none of a short one."""
    if len(secret) < MIN_CHARACTERS:
        return set()
    raw = secret.encode(errors="surrogateescape")
    found = {raw, *base64_forms(secret), *line_forms(secret)}
    for safe in ("", "/", "/:", "/:@!$&'()*+,;=~?"):
        quoted = quote_from_bytes(raw, safe=safe)
        found |= {quoted.encode(), _lower_escapes(quoted).encode()}
    found |= {quote_plus(raw).encode(), _lower_escapes(quote_plus(raw)).encode()}
    found |= _json_forms(secret)
    # A terminal writes a line end as CR LF.
    found |= {form.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for form in found}
    return found


def _json_forms(text: str) -> set[bytes]:
    found = set()
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        found |= {form.encode(errors="surrogateescape") for form in (escaped, escaped.replace("/", "\\/"))}
    return found


def line_forms(secret: str) -> set[bytes]:
    """The lines of a secret that has several, as they are and escaped in JSON; without their indents, short ones and what
    tells nothing."""
    lines = [line.strip() for line in secret.split("\n")]
    found = set()
    for line in lines if len(lines) > 1 else ():
        if len(line) >= LINE_MIN_CHARACTERS and not _BOUNDARY.fullmatch(line) and any(map(str.isalnum, line)):
            found |= {line.encode(errors="surrogateescape"), *_json_forms(line)}
    return found


def base64_forms(secret: str) -> set[bytes]:
    """The characters that depend on a secret alone when it stands at each of the three alignments, and at the end of the text."""
    if len(secret) < MIN_CHARACTERS:
        return set()
    raw = secret.encode(errors="surrogateescape")
    found = set()
    for before in range(3):
        text = base64.b64encode(bytes(before) + raw)
        first = -(-8 * before // 6)
        whole = text[first:]
        inner = text[first : 8 * (before + len(raw)) // 6]
        found |= {whole, inner, whole.rstrip(b"=")}
    return found | {form.translate(_URL_SAFE) for form in found}


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _lower_escapes(quoted: str) -> str:
    parts = quoted.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
# What follows the last character of a line, up to the first one of the next: bounded, since it may have to be held back.
_INDENT_MAX = 40
_CR_MAX = 2  # a terminal adds one to a CR LF of the program's own
_LINE_END_MAX = _CR_MAX + 2 + _INDENT_MAX  # with the character before it
_SPACE = b"\r\n\t "
_NEW_LINE = re.compile(rb"\n[ \t]{0,%d}(?=[A-Za-z0-9+/=_-]|\Z)" % _INDENT_MAX)


def _line_ends(text: bytes) -> Iterator[tuple[int, int]]:
    """Where lines end and begin between two characters of base64; at the end of `text` the second may still come."""
    for found in _NEW_LINE.finditer(text):
        start = found.start()
        before = text[max(0, start - _CR_MAX - 1) : start].rstrip(b"\r")[-1:]
        if before and before[0] in _BASE64:
            yield text.rindex(before, 0, start) + 1, found.end()
    line = text.rstrip(b"\r")
    if line and line[-1] in _BASE64 and 0 < len(text) - len(line) <= _CR_MAX:
        yield len(line), len(text)


class _Unwrapped:
    """A text without those line ends; `origin` tells where a byte of it stood."""

    def __init__(self, wrapped: bytes) -> None:
        self._starts, self._origins, pieces = [0], [0], []
        at = size = 0
        for start, end in _line_ends(wrapped):
            pieces.append(wrapped[at:start])
            size += start - at
            at = end
            self._starts.append(size)
            self._origins.append(at)
        self.text = b"".join([*pieces, wrapped[at:]]) if pieces else wrapped

    def origin(self, place: int) -> int:
        """The place in the wrapped text; the end of one is the end of the other."""
        piece = bisect_right(self._starts, place) - 1
        return self._origins[piece] + place - self._starts[piece]


def _beginning(text: bytes, patterns: Sequence[bytes]) -> int:
    """Where the earliest beginning of a pattern that is not complete yet stands; the text's length when none does."""
    size = len(text)
    earliest = size
    for pattern in patterns:
        at = max(0, size - len(pattern) + 1)
        while (at := text.find(pattern[:1], at, earliest)) >= 0:
            if pattern.startswith(text[at:]):
                earliest = at
                break
            at += 1
    return earliest


def _places(text: bytes, patterns: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where patterns stand, overlapping ones too."""
    for pattern in patterns:
        at = text.find(pattern)
        while at >= 0:
            yield at, at + len(pattern)
            at = text.find(pattern, at + 1)


class Masker:
    """Masks one stream. What may be the beginning of a secret is held back until more comes, `flush` or `finish`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = list(secrets)
        self._base64 = sorted({form for secret in found for form in base64_forms(secret)})
        self._others = sorted({form for secret in found for form in forms(secret)} - set(self._base64))
        self._reach = _LINE_END_MAX * max(map(len, self._base64), default=0)
        self._buffer = b""
        self._done = 0  # bytes at the buffer's beginning that are out already, and stay as context
        self._masked = False  # whether the last of them went out under a mask

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return self._done < len(self._buffer)

    def feed(self, data: bytes) -> bytes:
        """What can be shown after `data` has come."""
        self._buffer += data
        keep = self._undecided()
        out = self._advance(keep)
        self._buffer = self._buffer[keep:]
        self._done -= keep
        return out

    def flush(self) -> bytes:
        """What is held back, since nothing has come for a while; it goes on being looked at."""
        return self._advance(len(self._buffer))

    def finish(self) -> bytes:
        """The rest of a stream that has ended."""
        out = self.flush()
        self._buffer, self._done, self._masked = b"", 0, False
        return out

    def _undecided(self) -> int:
        """Where the earliest beginning of a secret that is not complete yet stands; the buffer's length when none does."""
        size = len(self._buffer)
        earliest = _beginning(self._buffer, self._others)
        bare = self._buffer[-self._reach :].translate(None, _SPACE)
        if _beginning(bare, self._base64) < len(bare):
            unwrapped = _Unwrapped(self._buffer[-self._reach :])
            begun = unwrapped.origin(_beginning(unwrapped.text, self._base64))
            earliest = min(earliest, max(0, size - self._reach) + begun)
        return earliest

    def _found(self) -> list[tuple[int, int]]:
        """Where secrets stand, overlapping ones as one."""
        places = list(_places(self._buffer, self._others))
        bare = self._buffer.translate(None, _SPACE)
        if any(form in bare for form in self._base64):  # most texts hold none and need no closer look
            unwrapped = _Unwrapped(self._buffer)
            for start, end in _places(unwrapped.text, self._base64):
                places.append((unwrapped.origin(start), unwrapped.origin(end - 1) + 1))
        merged: list[tuple[int, int]] = []
        for start, end in sorted(places):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _advance(self, end: int) -> bytes:
        """Puts out what begins before `end`."""
        out = bytearray()
        at, masked = self._done, self._masked
        for start, stop in self._found():
            if stop <= at:
                continue
            if start >= end:
                break
            if start >= at or not masked:
                out += self._buffer[at:start] + MASK
            at, masked = stop, True
        if at < end:
            out += self._buffer[at:end]
            at, masked = end, False
        self._done, self._masked = at, masked
        return bytes(out)
