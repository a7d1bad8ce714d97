"""The type of a secret value: it has no text, no hash and no pickle, and one method that shows it.

Searching the code for `.reveal` lists every place where a secret leaves its type.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretBytes:
    """Bytes that must not be printed, logged or compared in variable time.

    `wipe()` overwrites the buffer; Python may have made copies before, which the threat model says.
    """

    __slots__ = ("_buffer",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self._buffer: bytearray | memoryview = bytearray(value)

    @classmethod
    def from_text(cls, text: str) -> SecretBytes:
        """The UTF-8 bytes of `text`."""
        return cls(text.encode())

    @classmethod
    def over(cls, buffer: memoryview) -> SecretBytes:
        """A secret that lives in `buffer` itself, such as locked memory, without a copy. The caller gives the buffer up."""
        if buffer.readonly or buffer.format != "B" or not buffer.contiguous:
            raise ValueError("a secret needs a writable, contiguous buffer of bytes")
        secret = cls.__new__(cls)
        secret._buffer = buffer
        return secret

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return bytes(self._buffer)

    def reveal_view(self) -> memoryview:
        """The bytes in place, read-only and without a copy that nobody wipes; not to be kept beyond the secret's life."""
        return memoryview(self._buffer).toreadonly()

    def reveal_text(self) -> str:
        """The bytes as UTF-8 text; UnicodeDecodeError where they are none."""
        return str(self._buffer, "utf-8")

    def wipe(self) -> None:
        """Overwrites the value with zeros; the length stays."""
        self._buffer[:] = bytes(len(self._buffer))

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self._buffer, other._buffer)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "SecretBytes(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
