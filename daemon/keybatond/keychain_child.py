"""The short-lived program that makes one keychain call for the agent: protects itself, then lets the keyring library work."""

from __future__ import annotations

import signal

from keybatond.adapters import keyring_call
from keybatond.adapters.process_hardening import harden

LIFE_SECONDS = 90  # beyond the longest wait for a person: it never outlives an agent that was killed

if __name__ == "__main__":
    signal.alarm(LIFE_SECONDS)
    harden()
    keyring_call.converse()
