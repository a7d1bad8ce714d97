"""The one table from reasons to what a person reads and a gRPC tool sees: status, sentence, hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from keybatond.errors import Reason

_S = grpc.StatusCode


@dataclass(frozen=True)
class Wording:
    """How a reason is told: `sentence` may name the error's data in braces."""

    status: grpc.StatusCode
    sentence: str
    hint: str = ""


WORDINGS: Mapping[Reason, Wording] = {
    Reason.INVALID_ARGUMENT: Wording(_S.INVALID_ARGUMENT, "The {field} {problem}."),
    Reason.NOT_FOUND: Wording(
        _S.NOT_FOUND,
        "There is no secret or database named {name}.",
        "`keybaton secrets list` and `keybaton dbs list` show the names.",
    ),
    Reason.PROJECT_NOT_FOUND: Wording(
        _S.NOT_FOUND,
        "This vault has no project of the id {name}.",
        "`keybaton env vaults` lists the projects; `keybaton env init` makes one; `keybaton env receive` takes one over.",
    ),
    Reason.ENVIRONMENT_NOT_FOUND: Wording(
        _S.NOT_FOUND, "There is no environment {name}{suggestion}.", "`keybaton env envs` lists them."
    ),
    Reason.VARIABLE_NOT_FOUND: Wording(
        _S.NOT_FOUND, "There is no variable {name}{suggestion}.", "`keybaton env list` shows the names."
    ),
    Reason.FIELD_REQUIRED: Wording(_S.INVALID_ARGUMENT, "It has several fields: {fields}.", "Name one with --field."),
    Reason.FIELD_UNKNOWN: Wording(
        _S.NOT_FOUND, "It has no such field; it has {fields}.", "Name one of them with --field."
    ),
    Reason.NAME_TAKEN: Wording(
        _S.ALREADY_EXISTS, "There is already something named {name}.", "Choose another name, or edit what has it."
    ),
    Reason.VERSION_CONFLICT: Wording(
        _S.ABORTED, "It was changed meanwhile.", "Look at it again, then repeat the change."
    ),
    Reason.VAULT_ABSENT: Wording(_S.FAILED_PRECONDITION, "There is no vault yet.", "`keybaton init` makes one."),
    Reason.VAULT_EXISTS: Wording(
        _S.ALREADY_EXISTS, "There is a vault already; nothing was changed.", "`keybaton status` shows it."
    ),
    Reason.VAULT_LOCKED: Wording(_S.FAILED_PRECONDITION, "The vault is locked.", "`keybaton unlock` opens it."),
    Reason.VAULT_DAMAGED: Wording(
        _S.DATA_LOSS,
        "The vault is damaged and was left as it is.",
        "`keybaton vault check` shows where; `keybaton vault restore` brings a backup back.",
    ),
    Reason.VAULT_NEWER: Wording(
        _S.FAILED_PRECONDITION,
        "The vault was written by a newer Keybaton and was left as it is.",
        "Install that version or a later one.",
    ),
    Reason.WRONG_KEY: Wording(
        _S.FAILED_PRECONDITION,
        "The stored key does not open this vault; the vault was left as it is.",
        "Restore the vault that belongs to the key, or a backup with `keybaton vault restore`.",
    ),
    Reason.PASSPHRASE_REQUIRED: Wording(
        _S.UNAUTHENTICATED, "A passphrase is needed.", "Type it at the prompt, or give it with --passphrase-fd."
    ),
    Reason.WRONG_PASSPHRASE: Wording(_S.UNAUTHENTICATED, "The passphrase is wrong."),
    Reason.PASSPHRASE_WEAK: Wording(
        _S.INVALID_ARGUMENT, "The passphrase {problem}.", "Several random words are easy to keep in mind."
    ),
    Reason.KEY_ABSENT: Wording(
        _S.FAILED_PRECONDITION,
        "The vault's key is not in its key store; the vault was left as it is.",
        "Is it the same keychain as when the vault was made? `keybaton vault restore` opens a backup without it.",
    ),
    Reason.KEYCHAIN_UNAVAILABLE: Wording(
        _S.UNAVAILABLE,
        "No usable keychain answers.",
        "Start the desktop's keychain, or choose `--keystore passphrase` on a machine without one.",
    ),
    Reason.KEYCHAIN_LOCKED: Wording(
        _S.FAILED_PRECONDITION, "The keychain is locked.", "Unlock it in the desktop session, then try again."
    ),
    Reason.KEYCHAIN_TIMEOUT: Wording(
        _S.DEADLINE_EXCEEDED,
        "The keychain did not answer in time.",
        "Is it asking for its password somewhere? `keybaton doctor` looks at it.",
    ),
    Reason.KEYCHAIN_REFUSED: Wording(
        _S.FAILED_PRECONDITION, "The keychain refused.", "`keybaton doctor` shows which one it is."
    ),
    Reason.CREDENTIAL_ABSENT: Wording(
        _S.FAILED_PRECONDITION,
        "The agent was started without its systemd credential.",
        "See the unit's LoadCredential= or SetCredentialEncrypted=, and start the agent by systemd.",
    ),
    Reason.STORAGE_FULL: Wording(
        _S.RESOURCE_EXHAUSTED, "The disk is full; nothing was changed.", "Make room, then repeat."
    ),
    Reason.STORAGE_READ_ONLY: Wording(
        _S.FAILED_PRECONDITION,
        "The vault's folder cannot be written to; nothing was changed.",
        "`keybaton status` shows the folder.",
    ),
    Reason.STORAGE_FAILED: Wording(
        _S.UNAVAILABLE,
        "The disk reported an error; what was not acknowledged may be missing.",
        "`keybaton vault check` reads everything once.",
    ),
    Reason.FILE_EXISTS: Wording(_S.ALREADY_EXISTS, "The file exists and was not overwritten.", "Choose another file."),
    Reason.FILE_UNREADABLE: Wording(
        _S.INVALID_ARGUMENT, "The file cannot be used.", "Is it there, readable, and the right one?"
    ),
    Reason.SESSION_NOT_FOUND: Wording(_S.NOT_FOUND, "There is no such share.", "`keybaton shares` lists them."),
    Reason.WRONG_STATE: Wording(
        _S.FAILED_PRECONDITION, "The share does not wait for that now.", "`keybaton shares` shows its state."
    ),
    Reason.INVALID_CODE: Wording(_S.INVALID_ARGUMENT, "A code is 4 to 8 digits."),
    Reason.BUSY: Wording(
        _S.ABORTED,
        "Another receiver is running on this device.",
        "`keybaton shares` lists it; finish or cancel it first.",
    ),
    Reason.CONFLICT: Wording(
        _S.ABORTED, "The name is taken; nothing was saved yet.", "Reuse, replace, or save under another name."
    ),
    Reason.TOO_LARGE: Wording(_S.RESOURCE_EXHAUSTED, "It is too large; nothing was changed."),
    Reason.NETWORK: Wording(_S.UNAVAILABLE, "The network cannot be used.", "`keybaton doctor` looks at it."),
    Reason.TIMED_OUT: Wording(
        _S.DEADLINE_EXCEEDED,
        "It took too long; it may still be done.",
        "Look whether it was, then repeat; `keybaton doctor` looks for what holds the agent up.",
    ),
    Reason.SHUTTING_DOWN: Wording(_S.UNAVAILABLE, "The agent is shutting down."),
    Reason.INTERNAL: Wording(
        _S.INTERNAL, "The agent failed in a way it does not know.", "Its log says where; please report it."
    ),
}

BY_DATA: Mapping[str, tuple[str, str]] = {
    # STORAGE_FAILED because something lies where the vault's file belongs
    "obstacle": (
        "The vault cannot be used: {obstacle}.",
        "It was left as it is; move it away, bring the file back, or make it yours with chown.",
    ),
    # BUSY for another reason than a second receiver
    "busy": ("{busy}.", "Try again in a moment."),
    # TOO_LARGE for an answer
    "items": (
        "The items have more than {items} in all, which one answer cannot hold.",
        "Ask for fewer of them at once.",
    ),
    "values": (
        "The environment's values have more than {values} in all, which is too much for one environment.",
        "Remove variables with `keybaton env remove`, or make some shorter with `keybaton env set`; what is large is better kept "
        "as a secret of the type file.",
    ),
    # STORAGE_* while a file is made elsewhere than beside the vault
    "folder": ("No file can be made in {folder}.", "Choose another folder, or make room in it."),
}
"""Sentence and hint of an error that carries these data, in place of its reason's."""
