"""Exit codes of the command line: one table from reasons to numbers, documented in README.md. Imports nothing (hot path)."""

DONE = 0
FAILED = 1
USAGE = 2
NO_AGENT = 3
LOCKED = 4
NOT_FOUND = 5
CONFLICT = 6
REFUSED = 7
TIMED_OUT = 8
INTERRUPTED = 130

# Reasons that a client makes itself, without an agent's answer.
CLIENT_REASONS: dict[str, int] = {
    "USAGE": USAGE,
    "NO_AGENT": NO_AGENT,
    "DEADLINE_EXCEEDED": TIMED_OUT,
    "PROTOCOL": FAILED,  # what answers on the socket does not speak as an agent does
    "INTERRUPTED": INTERRUPTED,
    "NO_CLIPBOARD": FAILED,
    "NO_SYSTEMD": FAILED,
}

# Reasons in the ErrorInfo of the agent's errors.
AGENT_REASONS: dict[str, int] = {
    "INVALID_ARGUMENT": USAGE,
    "NOT_FOUND": NOT_FOUND,
    "PROJECT_NOT_FOUND": NOT_FOUND,
    "ENVIRONMENT_NOT_FOUND": NOT_FOUND,
    "VARIABLE_NOT_FOUND": NOT_FOUND,
    "FIELD_REQUIRED": USAGE,
    "FIELD_UNKNOWN": NOT_FOUND,
    "NAME_TAKEN": CONFLICT,
    "VERSION_CONFLICT": CONFLICT,
    "VAULT_ABSENT": FAILED,
    "VAULT_EXISTS": CONFLICT,
    "VAULT_LOCKED": LOCKED,
    "VAULT_DAMAGED": FAILED,
    "VAULT_NEWER": FAILED,
    "WRONG_KEY": FAILED,
    "PASSPHRASE_REQUIRED": LOCKED,
    "WRONG_PASSPHRASE": LOCKED,
    "PASSPHRASE_WEAK": USAGE,
    "KEY_ABSENT": FAILED,
    "KEYCHAIN_UNAVAILABLE": FAILED,
    "KEYCHAIN_LOCKED": LOCKED,
    "KEYCHAIN_TIMEOUT": TIMED_OUT,
    "KEYCHAIN_REFUSED": FAILED,
    "CREDENTIAL_ABSENT": FAILED,
    "STORAGE_FULL": FAILED,
    "STORAGE_READ_ONLY": FAILED,
    "STORAGE_FAILED": FAILED,
    "FILE_EXISTS": CONFLICT,
    "FILE_UNREADABLE": FAILED,
    "SESSION_NOT_FOUND": NOT_FOUND,
    "WRONG_STATE": FAILED,
    "INVALID_CODE": USAGE,
    "BUSY": CONFLICT,
    "CONFLICT": CONFLICT,
    "TOO_LARGE": USAGE,
    "NETWORK": FAILED,
    "TIMED_OUT": TIMED_OUT,
    "SHUTTING_DOWN": NO_AGENT,
    "INTERNAL": FAILED,
}

# Reasons with which a share ends, as the handoff protocol lists them.
SHARE_REASONS: dict[str, int] = {
    "wrong-code": REFUSED,
    "guesses-used-up": REFUSED,
    "declined": REFUSED,
    "many-announcers": REFUSED,
    "no-peer": TIMED_OUT,
    "expired": TIMED_OUT,
    "conflict": CONFLICT,
    "busy": CONFLICT,
    "locked": LOCKED,
    "cancelled": INTERRUPTED,
    "peer-gone": FAILED,
    "unconfirmed": FAILED,
    "wrong-version": FAILED,
    "photosphere-only": FAILED,
    "payload-invalid": FAILED,
    "payload-too-large": FAILED,
    "network": FAILED,
    "storage": FAILED,
}


def exit_code(reason: str) -> int:
    """The exit code for a reason of any of the three lists; FAILED for one this version does not know."""
    for table in (AGENT_REASONS, SHARE_REASONS, CLIENT_REASONS):
        if reason in table:
            return table[reason]
    return FAILED
