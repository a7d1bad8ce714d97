"""Answers to the last lists, kept while the vault is open and unchanged: who lists again does not wait for every seal again.

They hold names in the clear, so they belong to the open vault and go with its keys.
"""

from __future__ import annotations

from typing import Final

ANSWERS_MAX: Final = 4
ANSWERS_MAX_BYTES: Final = 1024 * 1024  # of all together, with what was asked for them

Asked = tuple[object, ...]


class ListAnswers:
    """Encoded answers by what was asked; the oldest make room."""

    def __init__(self) -> None:
        self._kept: dict[Asked, bytes] = {}
        self._bytes = 0

    def get(self, asked: Asked) -> bytes | None:
        """The answer that was kept for this."""
        return self._kept.get(asked)

    def keep(self, asked: Asked, answer: bytes) -> None:
        """Keeps one that is not kept yet. What is too large alone leaves nothing behind."""
        self._kept[asked] = answer
        self._bytes += _size(asked, answer)
        while len(self._kept) > ANSWERS_MAX or self._bytes > ANSWERS_MAX_BYTES:
            oldest = next(iter(self._kept))
            self._bytes -= _size(oldest, self._kept.pop(oldest))

    def drop(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


def _size(asked: Asked, answer: bytes) -> int:
    return len(answer) + sum(len(part) for part in asked if isinstance(part, str))
