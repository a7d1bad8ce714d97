"""What the services need from the outside, named after the need. Adapters implement these, fakes stand in for tests.

The network's ports are in network_ports.py, the vault's in vault_ports.py: an agent that starts needs neither's records.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from keybaton_core.secret import SecretBytes

# --- time and chance ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time as the services see it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines. Does not count while the machine is suspended."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; for records only, it may jump."""

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of `monotonic`."""


class Entropy(Protocol):
    """The operating system's random bytes."""

    def token(self, size: int) -> bytes:
        """`size` fresh random bytes."""

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1."""


# --- keys --------------------------------------------------------------------------------------------------------------


class KeystoreKind(enum.IntEnum):
    """Where a wrapping key lives. Equal to the API's Keystore; the numbers are stored in vault headers."""

    KEYCHAIN = 1
    PASSPHRASE = 2
    CREDENTIAL = 3


class KeyRecord(NamedTuple):
    """What the vault's header says of its wrapping key. Public: a thief of the file may read it.

    `parameters` is the keystore's own business (at most 4 KiB): backend name, or Argon2id parameters and the sealed key.
    """

    kind: KeystoreKind
    key_id: str  # 32 hexadecimal digits
    parameters: bytes


class Keystore(Protocol):
    """Keeps wrapping keys. Every call has a deadline inside; errors are KeybatonError with a keychain or passphrase reason."""

    @property
    def kind(self) -> KeystoreKind:
        """Which one it is."""

    async def probe(self) -> str:
        """A real round trip (write, read, delete) of a throw-away key; returns a name for people, such as the backend's."""

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        """Keeps `key` and returns the record for the header. Never replaces a key that is there."""

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        """The key of `record`. KEY_ABSENT only when the store definitely does not have it."""

    async def remove(self, record: KeyRecord) -> None:
        """Forgets the key; no error when it is not there. Without parameters: where `store` puts keys now."""

    def describe(self, record: KeyRecord) -> str:
        """Where `record` says the key lives, in a few words for people. Waits for nothing; never fails."""


class KeyChange(NamedTuple):
    """A change of a vault's keys that has begun."""

    new: KeyRecord  # as far as it is known before it is stored: without parameters
    old: KeyRecord | None  # what the header named; None where no header could be read
    drops_old: bool  # whether the old key is to go once the header names the new one


class KeyJournal(Protocol):
    """Remembers, beyond the process, which change of keys is under way: a key that nothing needs is found by it."""

    def pending(self) -> KeyChange | None:
        """What was begun last and not ended. Never fails."""

    async def begin(self, change: KeyChange) -> None:
        """Remembers `change` in place of what was pending; durable when it returns. STORAGE_*."""

    async def end(self) -> None:
        """Nothing is pending any more. STORAGE_*."""


class KeyHolder(Protocol):
    """Keeps the few keys that live as long as the vault is open where they are not swapped out and are wiped when dropped."""

    def hold(self, key: SecretBytes) -> SecretBytes:
        """Moves `key` into protected memory: the argument is wiped, the result's `wipe` gives the memory back.

        Where memory cannot be protected the result is an ordinary secret; the holder has logged it once.
        """


# --- the machine -------------------------------------------------------------------------------------------------------


class DeviceInfo(Protocol):
    """What this device calls itself."""

    def name(self) -> str:
        """A short name for peers, without control characters."""


class SocketFacts(NamedTuple):
    """What the file system says of the agent's socket. Modes are permission bits; `ours`: both belong to this user."""

    path: str
    folder_mode: int
    socket_mode: int
    ours: bool


class Exposed(NamedTuple):
    """Something of the agent's own that other users could reach when it was found."""

    path: str
    mode: int  # permission bits as they were found
    closed: bool  # whether others are kept out now


class SystemLook(Protocol):
    """What only the operating system can say about the agent's surroundings. Never raises, never waits."""

    def socket(self) -> SocketFacts | None:
        """The agent's socket; None when it is gone from its place."""

    def discovery_sockets(self) -> int:
        """UDP sockets on the discovery port now, of any program."""

    def firewalls(self) -> list[str]:
        """Names of the firewalls that seem to be in force, such as "ufw"."""


class Log(Protocol):
    """Structured events. Values are ids, reasons, counts, durations: never names, values, codes or keys."""

    def event(self, event: str, /, **fields: str | int | float | bool | None) -> None:
        """Writes one event with fields from the closed list of `keybatond.logs`."""


Progress = Callable[[int, int], None]
"""Called with (done, total); from any thread."""

KeyOpener = Callable[[KeyRecord], Awaitable[SecretBytes]]
"""Fetches the wrapping key that a header's record names."""
