"""The list of every label that separates one use of a key, hash or signature from another.

A label is never reused and never changed: a new meaning gets a new label.
"""

from __future__ import annotations

from typing import Final

# Wrapping keys under a passphrase (key_file.py)
KEY_FILE_DERIVE: Final = b"keybaton key-file v1 derive"  # Argon2id associated data
KEY_FILE_SEAL: Final = b"keybaton key-file v1 seal"  # AES-256-GCM associated data
