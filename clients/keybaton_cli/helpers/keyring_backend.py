"""The backend for the library `keyring`, so that pip, twine, poetry and uv find their passwords in the vault.

Logins lie under `keyring:SERVICE` (see `logins`). Importing this module reaches for nothing; the agent is asked by calls only.
The agent itself never takes this backend for its own keychain: it lists those that it trusts (`keybatond.adapters.keyring_call`).
"""

from __future__ import annotations

import os
from typing import Any

from keyring.backend import KeyringBackend
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import InitError, KeyringError, KeyringLocked, PasswordDeleteError, PasswordSetError

from keybaton_client.locate import socket_path
from keybaton_client.problem import ClientError

_LOCKED = frozenset({"VAULT_LOCKED", "PASSPHRASE_REQUIRED", "KEYCHAIN_LOCKED"})
_UNREACHABLE = frozenset({"NO_AGENT", "DEADLINE_EXCEEDED", "PROTOCOL", "VAULT_ABSENT", "SHUTTING_DOWN"})


class KeybatonKeyring(KeyringBackend):
    """Passwords in Keybaton's vault, through its agent."""

    # Below 1: `keyring` takes it by itself only where no desktop keychain is, so that installing Keybaton moves no password.
    priority = 0.5

    def get_password(self, service: str, username: str) -> str | None:
        """The password; None when there is none. KeyringError."""
        login = _done(lambda: _logins().find(service, username))
        return None if login is None else login.password

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """A username and its password: of `username` where one is named, else those first stored. KeyringError."""
        login = _done(lambda: _logins().find(service, username))
        return None if login is None else SimpleCredential(login.username, login.password)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Stores a password. PasswordSetError or another KeyringError."""
        _done(lambda: _logins().store(service, username, password), PasswordSetError)

    def delete_password(self, service: str, username: str) -> None:
        """Removes a password. PasswordDeleteError, also when there is none."""
        if not _done(lambda: _logins().erase(service, username), PasswordDeleteError):
            raise PasswordDeleteError("There is no such password.")


def _logins() -> Any:
    from keybaton_cli.helpers.logins import Logins
    from keybaton_cli.helpers.vault import Vault

    return Logins(Vault(b"keyring", socket_path(os.environ)), "keyring")


def _done(action: Any, kind: type[KeyringError] = KeyringError) -> Any:
    """The result of `action`; the agent's errors as keyring's, with the hint in the text."""
    try:
        return action()
    except UnicodeError:
        raise kind("A service, username or password is not Unicode text.") from None
    except ClientError as error:
        if error.reason in _LOCKED:
            kind = KeyringLocked
        elif error.reason in _UNREACHABLE:
            kind = InitError
        raise kind(f"{error.message} {error.hint}".strip()) from None
