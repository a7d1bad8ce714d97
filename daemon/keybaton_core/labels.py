"""The list of every label that separates one use of a key, hash or signature from another.

A label is never reused and never changed: a new meaning gets a new label.
"""

from __future__ import annotations

from typing import Final

# Wrapping keys under a passphrase (key_file.py)
KEY_FILE_DERIVE: Final = b"keybaton key-file v1 derive"  # Argon2id associated data
KEY_FILE_SEAL: Final = b"keybaton key-file v1 seal"  # AES-256-GCM associated data

# The vault (vault_keys.py, vault_header.py, vault_rows.py)
VAULT_ROW_KEY: Final = b"keybaton vault v1 row key"  # HKDF info; AES-256-GCM of rows
VAULT_INDEX_KEY: Final = b"keybaton vault v1 index key"  # HKDF info; HMAC-SHA256 of lookup names
VAULT_GROUP_KEY: Final = b"keybaton vault v1 group key"  # HKDF info; HMAC-SHA256 of kind and project vault
VAULT_LINK_KEY: Final = b"keybaton vault v1 link key"  # HKDF info; HMAC-SHA256 of linked secrets' names
VAULT_SUM_KEY: Final = b"keybaton vault v1 sum key"  # HKDF info; HMAC-SHA256 of whole rows
VAULT_WRAP: Final = b"keybaton vault v1 wrap"  # associated data of the vault key under the wrapping key
VAULT_SUMMARY: Final = b"keybaton vault v1 summary"  # associated data of an item's name, type and time
VAULT_BODY: Final = b"keybaton vault v1 body"  # associated data of an item's values
VAULT_TOTALS: Final = b"keybaton vault v1 totals"  # associated data of the sealed totals
VAULT_READS: Final = b"keybaton vault v1 reads"  # associated data of a batch of the read log
VAULT_SUM_ITEM: Final = b"keybaton vault v1 sum item"  # first part of what the sum key hashes, by table
VAULT_SUM_PAST: Final = b"keybaton vault v1 sum past"
VAULT_SUM_READS: Final = b"keybaton vault v1 sum reads"

# CPace, as draft-irtf-cfrg-cpace names them for X25519 (cpace.py)
CPACE_GENERATOR: Final = b"CPace255"
CPACE_ISK: Final = b"CPace255_ISK"

# The handoff (handoff_keys.py)
HANDOFF_CONTEXT: Final = b"keybaton/handoff/1"  # first part of the channel identifier
HANDOFF_RECEIVER_CONFIRM: Final = b"keybaton/handoff/1 receiver-confirm"  # HKDF info, as those below
HANDOFF_SENDER_CONFIRM: Final = b"keybaton/handoff/1 sender-confirm"
HANDOFF_PAYLOAD: Final = b"keybaton/handoff/1 payload"
HANDOFF_RECEIPT: Final = b"keybaton/handoff/1 receipt"
