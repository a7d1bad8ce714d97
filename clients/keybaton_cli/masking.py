"""Replaces secrets in a stream of bytes by eight dots, however the stream is cut into pieces. Pure: no files, no clock.

Each secret is also looked for as base64 (at all three alignments, both alphabets), URL-encoded, escaped in JSON, and with the
line ends of a terminal. A secret that was printed in pieces with pauses between them keeps its first piece: what follows is
masked, so that it never stands there whole.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote_from_bytes, quote_plus

MASK = "••••••••".encode()
MIN_CHARACTERS = 4  # shorter values occur everywhere


def forms(secret: str) -> set[bytes]:
    """Every spelling of a secret that is looked for; none of a short one."""
    if len(secret) < MIN_CHARACTERS:
        return set()
    raw = secret.encode(errors="surrogateescape")
    found = {raw, *_base64_forms(raw)}
    for safe in ("", "/", "/:", "/:@!$&'()*+,;=~?"):
        quoted = quote_from_bytes(raw, safe=safe)
        found |= {quoted.encode(), _lower_escapes(quoted).encode()}
    found |= {quote_plus(raw).encode(), _lower_escapes(quote_plus(raw)).encode()}
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        found |= {text.encode(errors="surrogateescape") for text in (escaped, escaped.replace("/", "\\/"))}
    # A terminal writes a line end as CR LF.
    found |= {form.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for form in found}
    return found


def _base64_forms(raw: bytes) -> set[bytes]:
    """The characters that depend on `raw` alone when it stands at each of the three alignments, and at the end of the text."""
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


class Masker:
    """Masks one stream. What may be the beginning of a secret is held back until more comes, `flush` or `finish`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._patterns = sorted({form for secret in secrets for form in forms(secret)})
        self._longest = max(map(len, self._patterns), default=0)
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
        earliest = size
        for pattern in self._patterns:
            at = max(0, size - len(pattern) + 1)
            while (at := self._buffer.find(pattern[:1], at, earliest)) >= 0:
                if pattern.startswith(self._buffer[at:]):
                    earliest = at
                    break
                at += 1
        return earliest

    def _found(self) -> list[tuple[int, int]]:
        """Where secrets stand, overlapping ones as one."""
        places = []
        for pattern in self._patterns:
            at = self._buffer.find(pattern)
            while at >= 0:
                places.append((at, at + len(pattern)))
                at = self._buffer.find(pattern, at + 1)
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
