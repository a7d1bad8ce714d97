"""Domain errors: each carries data and a reason from a closed list; the words for people are chosen in `rpc/errors.py`."""

from __future__ import annotations

import enum
import errno


class Reason(enum.Enum):
    """Why a call failed, for programs. The list only grows; it is documented in proto/README.md."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    ENVIRONMENT_NOT_FOUND = "ENVIRONMENT_NOT_FOUND"
    VARIABLE_NOT_FOUND = "VARIABLE_NOT_FOUND"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    FIELD_UNKNOWN = "FIELD_UNKNOWN"
    NAME_TAKEN = "NAME_TAKEN"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    VAULT_ABSENT = "VAULT_ABSENT"
    VAULT_EXISTS = "VAULT_EXISTS"
    VAULT_LOCKED = "VAULT_LOCKED"
    VAULT_DAMAGED = "VAULT_DAMAGED"
    VAULT_NEWER = "VAULT_NEWER"
    WRONG_KEY = "WRONG_KEY"
    PASSPHRASE_REQUIRED = "PASSPHRASE_REQUIRED"
    WRONG_PASSPHRASE = "WRONG_PASSPHRASE"
    PASSPHRASE_WEAK = "PASSPHRASE_WEAK"
    KEY_ABSENT = "KEY_ABSENT"
    KEYCHAIN_UNAVAILABLE = "KEYCHAIN_UNAVAILABLE"
    KEYCHAIN_LOCKED = "KEYCHAIN_LOCKED"
    KEYCHAIN_TIMEOUT = "KEYCHAIN_TIMEOUT"
    KEYCHAIN_REFUSED = "KEYCHAIN_REFUSED"
    CREDENTIAL_ABSENT = "CREDENTIAL_ABSENT"
    STORAGE_FULL = "STORAGE_FULL"
    STORAGE_READ_ONLY = "STORAGE_READ_ONLY"
    STORAGE_FAILED = "STORAGE_FAILED"
    FILE_EXISTS = "FILE_EXISTS"
    FILE_UNREADABLE = "FILE_UNREADABLE"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    WRONG_STATE = "WRONG_STATE"
    INVALID_CODE = "INVALID_CODE"
    BUSY = "BUSY"
    CONFLICT = "CONFLICT"
    TOO_LARGE = "TOO_LARGE"
    NETWORK = "NETWORK"
    TIMED_OUT = "TIMED_OUT"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"


class KeybatonError(Exception):
    """An expected failure. `data` is for programs and for the sentence: names of fields, files, limits; never a value."""

    def __init__(self, reason: Reason, **data: str) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.data = data


_STORAGE = {
    errno.ENOSPC: Reason.STORAGE_FULL,
    errno.EDQUOT: Reason.STORAGE_FULL,
    errno.EROFS: Reason.STORAGE_READ_ONLY,
    errno.EACCES: Reason.STORAGE_READ_ONLY,
    errno.EPERM: Reason.STORAGE_READ_ONLY,
}


def storage_failure(error: OSError) -> KeybatonError:
    """STORAGE_* for an error of the file system; `problem` names its code."""
    code = error.errno or errno.EIO
    return KeybatonError(_STORAGE.get(code, Reason.STORAGE_FAILED), problem=errno.errorcode.get(code, "EIO"))


def refused(field: str, problem: str) -> KeybatonError:
    """INVALID_ARGUMENT for one field of a request."""
    return KeybatonError(Reason.INVALID_ARGUMENT, field=field, problem=problem)


class ShareReason(enum.Enum):
    """Why a share ended without being saved: the closed list of the handoff protocol."""

    WRONG_CODE = "wrong-code"
    GUESSES_USED_UP = "guesses-used-up"
    DECLINED = "declined"
    MANY_ANNOUNCERS = "many-announcers"
    NO_PEER = "no-peer"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    BUSY = "busy"
    LOCKED = "locked"
    CANCELLED = "cancelled"
    PEER_GONE = "peer-gone"
    UNCONFIRMED = "unconfirmed"
    WRONG_VERSION = "wrong-version"
    PHOTOSPHERE_ONLY = "photosphere-only"
    PAYLOAD_INVALID = "payload-invalid"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    NETWORK = "network"
    STORAGE = "storage"


class ShareFailed(Exception):
    """Ends a share session with a reason; `hint` is one sentence for the person and holds no peer-made text."""

    def __init__(self, reason: ShareReason, hint: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.hint = hint
