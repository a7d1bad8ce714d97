"""The log of reads: which item was read, when, and by which kind of client. Sealed, bounded, written behind the readers' backs.

A read never waits for the disk: a power cut loses the reads of the last FLUSH_SECONDS, a disk that takes nothing those that it
was given.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from keybaton_core.encoding import lv
from keybaton_core.items import ItemKind, ItemRef
from keybaton_core.names import plain
from keybaton_core.vault_parts import VaultRowInvalid, split_lv
from keybatond.services.vault_types import ReadRecord

READS_TOGETHER: Final = 64  # in one sealed batch
FLUSH_SECONDS: Final = 5.0
FLUSH_READS: Final = 4096  # a program that reads without pause does not make the disk sync all the time
PENDING_MAX: Final = 8192  # while a rekey or restore runs; the oldest are lost
CLIENT_MAX: Final = 32  # characters of a client's kind

_HEAD = struct.Struct(">BQQB16s")
_VERSION: Final = 1
_PARTS: Final = 5


def encode_reads(records: Iterable[ReadRecord]) -> bytes:
    """The bytes of a batch: for each, lv(fixed part, name, vault, environment, client)."""
    clients: dict[str, bytes] = {}  # few kinds read many items
    out = bytearray()
    for at_ms, ref, item_id, version, client in records:
        if client not in clients:
            clients[client] = plain(client, CLIENT_MAX).encode()
        head = _HEAD.pack(_VERSION, at_ms, version, ref.kind, bytes.fromhex(item_id))
        out += lv(head, ref.name.encode(), ref.vault.encode(), ref.environment.encode(), clients[client])
    return bytes(out)


def decode_reads(data: bytes) -> list[ReadRecord]:
    """The batch of `data`, oldest first. Raises VaultRowInvalid."""
    parts = split_lv(data, most=READS_TOGETHER * _PARTS)
    if len(parts) % _PARTS:
        raise VaultRowInvalid("a batch of reads is cut")
    records = []
    for at in range(0, len(parts), _PARTS):
        head = parts[at]
        if len(head) != _HEAD.size or head[0] != _VERSION:
            raise VaultRowInvalid("a read has another form")
        _, at_ms, version, kind, item_id = _HEAD.unpack(head)
        try:
            name, vault, environment, client = (part.decode() for part in parts[at + 1 : at + _PARTS])
            ref = ItemRef(ItemKind(kind), name, vault, environment)
        except ValueError:
            raise VaultRowInvalid("a read has a bad text or kind") from None
        if client != plain(client, CLIENT_MAX):
            raise VaultRowInvalid("a read has an unfit kind of client")
        records.append(ReadRecord(at_ms, ref, item_id.hex(), version, client))
    return records
