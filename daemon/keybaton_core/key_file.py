"""A wrapping key sealed under a passphrase: Argon2id (RFC 9106), then AES-256-GCM. Leaves storing the bytes to the caller.

Layout, 83 bytes, integers big-endian:
version u8 = 1 | memory in KiB u32 | passes u8 | lanes u8 | salt 16 | nonce 12 | sealed key 32 | tag 16

Everything before the nonce, and the key's id, is associated data of the seal: no part of one record fits another.
"""

from __future__ import annotations

import struct
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from keybaton_core.labels import KEY_FILE_DERIVE, KEY_FILE_SEAL
from keybaton_core.secret import SecretBytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# Ciphers are imported where they are used: describing a record, as an agent does at its start, needs none.

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16  # RFC 9106, section 3.1: 16 bytes are recommended for password hashing
NONCE_BYTES: Final = 12
PASSPHRASE_MIN_CHARACTERS: Final = (
    8  # NIST SP 800-63B-4, section 3.1.1.2, for a memorised secret beside another factor (the file)
)
PASSPHRASE_MAX_BYTES: Final = 1024  # far above any passphrase; bounds the work of hashing it


class KeyFileInvalid(ValueError):
    """The bytes are no sealed key of this version, or their parameters are outside the accepted range."""


class WrongPassphrase(Exception):
    """The seal did not open: another passphrase, another key's id, or altered bytes."""


class PassphraseWeak(ValueError):
    """The passphrase is too short, too long or not text. `problem` says which; it never quotes it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Argon2Profile(NamedTuple):
    """Named Argon2id parameters: memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


RFC_9106_LOW_MEMORY: Final = Argon2Profile(memory_kib=64 * 1024, passes=3, lanes=4)
"""The second recommended option of RFC 9106, section 4, for environments where 2 GiB are too much."""

FLOOR: Final = Argon2Profile(memory_kib=19 * 1024, passes=2, lanes=1)
"""The weakest accepted: the lowest Argon2id setting of the OWASP Password Storage Cheat Sheet."""

CAP: Final = Argon2Profile(memory_kib=1024 * 1024, passes=8, lanes=16)
"""The costliest accepted, so that an altered file cannot exhaust the machine: 1 GiB, some ten seconds."""


class SealedKey(NamedTuple):
    """The fields of a record whose parameters lie within FLOOR and CAP."""

    profile: Argon2Profile
    salt: bytes
    nonce: bytes
    sealed: bytes  # ciphertext and tag


_VERSION: Final = 1
_HEAD = struct.Struct(">BIBB16s")
_WHOLE = struct.Struct(">BIBB16s12s48s")
RECORD_BYTES: Final = _WHOLE.size


def check_profile(profile: Argon2Profile) -> Argon2Profile:
    """Itself when each parameter lies within FLOOR and CAP. Raises KeyFileInvalid."""
    if not FLOOR.memory_kib <= profile.memory_kib <= CAP.memory_kib:
        raise KeyFileInvalid(f"memory is not {FLOOR.memory_kib}-{CAP.memory_kib} KiB")
    if not FLOOR.passes <= profile.passes <= CAP.passes:
        raise KeyFileInvalid(f"passes are not {FLOOR.passes}-{CAP.passes}")
    if not FLOOR.lanes <= profile.lanes <= CAP.lanes:
        raise KeyFileInvalid(f"lanes are not {FLOOR.lanes}-{CAP.lanes}")
    return profile


def check_new_passphrase(passphrase: SecretBytes) -> None:
    """Raises PassphraseWeak unless it is UTF-8 of at least 8 characters and at most 1,024 bytes."""
    if len(_hashed_form(passphrase).decode()) < PASSPHRASE_MIN_CHARACTERS:
        raise PassphraseWeak(f"is shorter than {PASSPHRASE_MIN_CHARACTERS} characters")


def _hashed_form(passphrase: SecretBytes) -> bytes:
    if len(passphrase) > PASSPHRASE_MAX_BYTES:
        raise PassphraseWeak(f"is longer than {PASSPHRASE_MAX_BYTES} bytes")
    try:
        # One keyboard composes an accented letter, another sends letter and accent: both must open.
        return unicodedata.normalize("NFC", passphrase.reveal_text()).encode()
    except UnicodeDecodeError:
        raise PassphraseWeak("is not UTF-8 text") from None


def decode(data: bytes) -> SealedKey:
    """The fields of a record, before any costly work. Raises KeyFileInvalid; there is one spelling of each record."""
    if len(data) != RECORD_BYTES:
        raise KeyFileInvalid(f"is not {RECORD_BYTES} bytes long")
    version, memory_kib, passes, lanes, salt, nonce, sealed = _WHOLE.unpack(data)
    if version != _VERSION:
        raise KeyFileInvalid(f"has version {version}, this program knows {_VERSION}")
    return SealedKey(check_profile(Argon2Profile(memory_kib, passes, lanes)), salt, nonce, sealed)


def encode(record: SealedKey) -> bytes:
    """The record's bytes, RECORD_BYTES long."""
    return _head(record.profile, record.salt) + record.nonce + record.sealed


def _head(profile: Argon2Profile, salt: bytes) -> bytes:
    return _HEAD.pack(_VERSION, profile.memory_kib, profile.passes, profile.lanes, salt)


def _cipher(passphrase: SecretBytes, profile: Argon2Profile, salt: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    derivation = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=profile.passes,
        lanes=profile.lanes,
        memory_cost=profile.memory_kib,
        ad=KEY_FILE_DERIVE,
    )
    return AESGCM(derivation.derive(_hashed_form(passphrase)))


def _associated(key_id: str, profile: Argon2Profile, salt: bytes) -> bytes:
    # The label and the head have fixed lengths, so the id can only begin in one place.
    return KEY_FILE_SEAL + _head(profile, salt) + key_id.encode()


def seal_key(
    key: SecretBytes, passphrase: SecretBytes, key_id: str, *, profile: Argon2Profile, salt: bytes, nonce: bytes
) -> bytes:
    """The record of `key`, sealed. Blocks for the derivation (about 0.1-0.3 s), without the interpreter's lock.

    `salt` (16 bytes) and `nonce` (12 bytes) are fresh random bytes. Raises PassphraseWeak, KeyFileInvalid for a profile
    out of range, ValueError for a key that is not 32 bytes.
    """
    if len(key) != KEY_BYTES or len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError("key, salt and nonce are 32, 16 and 12 bytes")
    check_profile(profile)
    check_new_passphrase(passphrase)
    cipher = _cipher(passphrase, profile, salt)
    sealed = cipher.encrypt(nonce, key.reveal(), _associated(key_id, profile, salt))
    return encode(SealedKey(profile, salt, nonce, sealed))


def open_key(data: bytes, passphrase: SecretBytes, key_id: str) -> SecretBytes:
    """The key of a record. Raises KeyFileInvalid before any work, WrongPassphrase after it. Blocks like `seal_key`."""
    from cryptography.exceptions import InvalidTag

    record = decode(data)
    try:
        cipher = _cipher(passphrase, record.profile, record.salt)
    except PassphraseWeak:
        raise WrongPassphrase from None  # none such was ever accepted, so it cannot be the one
    try:
        return SecretBytes(
            cipher.decrypt(record.nonce, record.sealed, _associated(key_id, record.profile, record.salt))
        )
    except InvalidTag:
        raise WrongPassphrase from None
