"""What custody tells others, and what it needs of the vault."""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError
from keybatond.ports import KeyOpener, KeyRecord, KeystoreKind, Progress


class VaultState(enum.IntEnum):
    """Equal to the API's VaultState."""

    ABSENT = 1
    LOCKED = 2
    UNLOCKED = 3
    DAMAGED = 4


class CustodyState(NamedTuple):
    """State of the vault as a whole. `problem` is what keeps a DAMAGED one from opening; its words are chosen at the edge."""

    vault_state: VaultState
    kind: KeystoreKind | None = None
    detail: str = ""
    problem: KeybatonError | None = None


class Header(Protocol):
    """What custody reads of a vault's header."""

    @property
    def record(self) -> KeyRecord:
        """Names the wrapping key."""


class Restored(Protocol):
    """What a restore says."""

    @property
    def items(self) -> int:
        """How many it brought."""

    @property
    def set_aside(self) -> str:
        """Where the replaced vault lies, or empty."""


class Vault(Protocol):
    """The vault as custody uses it; `VaultFront` is one. A wrapping key given to it is not kept: custody wipes it."""

    @property
    def is_open(self) -> bool: ...

    def header(self) -> Header | None: ...

    async def create(self, record: KeyRecord, wrapping_key: SecretBytes) -> None: ...

    async def open(self, wrapping_key: SecretBytes) -> None: ...

    def close(self) -> None: ...

    async def wiped(self) -> None: ...

    async def rekey(self, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> None: ...

    async def backup(self, path: str, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> int: ...

    async def restore(
        self,
        path: str,
        opener: KeyOpener,
        record: KeyRecord,
        wrapping_key: SecretBytes,
        progress: Progress,
        *,
        replace: bool,
    ) -> Restored: ...
