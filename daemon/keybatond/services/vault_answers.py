"""Answers that were given, kept while the vault is open and unchanged: who asks again does not wait for every seal again.

They belong to the open vault and go with its keys. Names stand in them in the clear; values are sealed under a key of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from keybaton_core.items import Item, ItemRef
from keybaton_core.memory_seal import MemorySeal
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_keys import NONCE_BYTES
from keybatond.ports import Entropy

ANSWERS_MAX: Final = 4
ANSWERS_MAX_BYTES: Final = 1024 * 1024  # of all together, with what was asked for them
READS_MAX: Final = 128
READ_MAX_BYTES: Final = 8192  # of one, such as an environment, and of what was asked for it: 2 MiB in all

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


Mark = tuple[ItemRef, str, int]
"""What the log of reads needs of an item in an answer: name, id, version."""


class _Kept(NamedTuple):
    sealed: bytes
    marks: list[Mark]


class ReadAnswers:
    """Encoded answers to reads of items, each sealed and bound to what was asked; the oldest make room."""

    def __init__(self, key: SecretBytes, entropy: Entropy) -> None:
        """`key`: 32 random bytes, for this alone."""
        self._seal = MemorySeal(key)
        self._entropy = entropy
        self._kept: dict[bytes, _Kept] = {}

    def get(self, asked: bytes) -> tuple[bytes, list[Mark]] | None:
        """The answer that was kept for this, and the marks of the items in it."""
        kept = self._kept.get(asked)
        return None if kept is None else (self._seal.open(kept.sealed, asked), kept.marks)

    def keep(self, asked: bytes, answer: bytes, items: Sequence[Item]) -> list[Mark]:
        """Keeps one that is not kept yet, unless it is too large; the marks of the items."""
        marks = [(item.ref, item.id, item.version) for item in items]
        if len(asked) <= READ_MAX_BYTES and len(answer) <= READ_MAX_BYTES:
            if len(self._kept) == READS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[asked] = _Kept(self._seal.seal(self._entropy.token(NONCE_BYTES), answer, asked), marks)
        return marks

    def drop(self) -> None:
        """Forgets all."""
        self._kept.clear()

    def wipe(self) -> None:
        """Forgets all, and the key."""
        self._kept.clear()
        self._seal.wipe()
