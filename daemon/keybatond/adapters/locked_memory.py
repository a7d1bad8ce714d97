"""Keeps long-lived keys in memory that is not swapped, not dumped and not inherited: mlock and madvise on pages of its own.

Python cannot promise more than this: a key was an ordinary object before it came here, and whatever uses it (a cipher, a
`reveal()`) holds a copy of its own. What it does promise: the bytes that live here for hours never reach the disk.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading

from keybaton_core.secret import SecretBytes
from keybatond.ports import Log

SLOT_BYTES = 256  # for the keys of one vault, which are 192 bytes; each slot starts at a multiple of it
_HELD_PAGES = 1  # 16 slots: one vault is open, a second one for a moment during a rekey


class _Slots:
    """Pages of equal slots. Locked pages must not be shared with other objects: munlock knows no count."""

    def __init__(self) -> None:
        size = _HELD_PAGES * mmap.PAGESIZE
        self._pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._view = memoryview(self._pages)
        self._free = list(range(0, size, SLOT_BYTES))
        self._lock(size)

    def _lock(self, size: int) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        library = ctypes.CDLL(None, use_errno=True)
        # As c_void_p: an int would be cut to 32 bits.
        if library.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        for advice in ("MADV_DONTDUMP", "MADV_DONTFORK"):  # Linux has them
            if hasattr(mmap, advice):
                self._pages.madvise(getattr(mmap, advice))

    def take(self, size: int) -> tuple[int, memoryview] | None:
        """A slot's offset and its first `size` bytes, or None when all are taken."""
        if not self._free:
            return None
        offset = self._free.pop()
        return offset, self._view[offset : offset + size]

    def give_back(self, offset: int) -> None:
        """Zeroes the slot for the next key."""
        self._view[offset : offset + SLOT_BYTES] = bytes(SLOT_BYTES)
        self._free.append(offset)


class _LockedSecret(SecretBytes):
    """A secret in a slot. After `wipe` it is zeros in ordinary memory, so the next key in the slot never shows through it."""

    __slots__ = ("_offset", "_slots")

    def __init__(self, value: memoryview, slots: _Slots, offset: int, view: memoryview) -> None:
        view[:] = value
        self._buffer = view
        self._slots = slots
        self._offset = offset

    def wipe(self) -> None:
        """Overwrites the key and gives the slot back."""
        offset, self._offset = self._offset, -1
        if offset >= 0:
            self._buffer = bytearray(len(self._buffer))
            self._slots.give_back(offset)

    def __del__(self) -> None:
        self.wipe()


class LockedMemory:
    """KeyHolder with a page of locked memory, which it takes at the first key."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._slots: _Slots | None = None
        self._refused = False
        self._mutex = threading.Lock()  # a rekey holds its keys from a worker thread

    def hold(self, key: SecretBytes) -> SecretBytes:
        """Moves `key` into a slot. Keys above 256 bytes, or where RLIMIT_MEMLOCK allows no page, stay ordinary secrets."""
        with self._mutex:
            taken = self._take(len(key)) if len(key) <= SLOT_BYTES else None
        with key.reveal_view() as value:
            if taken is not None and self._slots is not None:
                held: SecretBytes = _LockedSecret(value, self._slots, *taken)
            else:
                held = SecretBytes(value)
        key.wipe()
        return held

    def _take(self, size: int) -> tuple[int, memoryview] | None:
        if self._slots is None and not self._refused:
            try:
                self._slots = _Slots()
            except (OSError, MemoryError) as failure:  # MemoryError: libffi without executable memory
                self._refused = True
                self._log.event("key memory not locked", reason=type(failure).__name__)
        return self._slots.take(size) if self._slots is not None else None
