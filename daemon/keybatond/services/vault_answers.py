"""Answers that were given, kept while the vault is open and unchanged: who asks again does not wait for every seal again.

They belong to the open vault and go with its keys. Names stand in them in the clear; values are sealed under a key of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from keybaton_core.items import Item, ItemRef
from keybaton_core.memory_seal import MemorySeal
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_keys import NONCE_BYTES
from keybatond.ports import Entropy

ANSWERS_MAX: Final = 4
ANSWERS_MAX_BYTES: Final = 1024 * 1024  # of all together, with what was asked for them
READS_MAX: Final = 128
READS_MAX_BYTES: Final = 2 * 1024 * 1024  # of all together, with what was asked for them and with their marks
READ_MAX_BYTES: Final = 8192  # of one, such as an environment, and of what was asked for it
MARK_BYTES: Final = 640  # of memory for one, with the objects that it is made of

_Asked = TypeVar("_Asked", bound=Hashable)
_Answer = TypeVar("_Answer")


class _Answers(Generic[_Asked, _Answer]):
    """Answers by what was asked, so many and so large; the oldest make room."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[_Asked, tuple[_Answer, int]] = {}
        self._bytes = 0

    def get(self, asked: _Asked) -> _Answer | None:
        """The answer that was kept for this."""
        kept = self._kept.get(asked)
        return None if kept is None else kept[0]

    def put(self, asked: _Asked, answer: _Answer, size: int) -> None:
        """Keeps one that is not kept yet, of `size` bytes. What is too large alone leaves nothing behind."""
        self._kept[asked] = answer, size
        self._bytes += size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            _, gone = self._kept.pop(next(iter(self._kept)))
            self._bytes -= gone

    def drop(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


Listing = tuple[object, ...]


class ListAnswers(_Answers[Listing, bytes]):
    """Encoded lists of names, by the arguments of their making."""

    def __init__(self) -> None:
        super().__init__(ANSWERS_MAX, ANSWERS_MAX_BYTES)

    def keep(self, asked: Listing, answer: bytes) -> None:
        """As `put`."""
        self.put(asked, answer, len(answer) + sum(len(part) for part in asked if isinstance(part, str)))


Mark = tuple[ItemRef, str, int]
"""What the log of reads needs of an item in an answer: name, id, version."""


class _Sealed(NamedTuple):
    answer: bytes
    marks: list[Mark]


class ReadAnswers:
    """Encoded answers to reads of items, each sealed and bound to what was asked."""

    def __init__(self, key: SecretBytes, entropy: Entropy) -> None:
        """`key`: 32 random bytes, for this alone."""
        self._seal = MemorySeal(key)
        self._entropy = entropy
        self._answers: _Answers[bytes, _Sealed] = _Answers(READS_MAX, READS_MAX_BYTES)

    def get(self, asked: bytes) -> tuple[bytes, list[Mark]] | None:
        """The answer that was kept for this, and the marks of the items in it."""
        sealed = self._answers.get(asked)
        return None if sealed is None else (self._seal.open(sealed.answer, asked), sealed.marks)

    def keep(self, asked: bytes, answer: bytes, items: Sequence[Item]) -> list[Mark]:
        """Keeps one that is not kept yet, unless it is too large; the marks of the items."""
        marks = [(item.ref, item.id, item.version) for item in items]
        if len(asked) <= READ_MAX_BYTES and len(answer) <= READ_MAX_BYTES:
            sealed = self._seal.seal(self._entropy.token(NONCE_BYTES), answer, asked)
            self._answers.put(asked, _Sealed(sealed, marks), len(asked) + len(sealed) + MARK_BYTES * len(marks))
        return marks

    def drop(self) -> None:
        """Forgets all."""
        self._answers.drop()

    def wipe(self) -> None:
        """Forgets all, and the key."""
        self._answers.drop()
        self._seal.wipe()
