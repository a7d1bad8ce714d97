"""One call to the desktop's keychain through the keyring library; runs in a process of its own (`keybatond.keychain_child`).

A blocking D-Bus call to a stopped keychain cannot be ended from another thread, a process can. The conversation is lines of
JSON: a request on stdin, then on stdout `{"event": "ready"}` when the libraries are loaded, `{"event": "asking"}` when a
person may now be asked to unlock, and last `{"event": "done", …}` or `{"event": "failed", "reason": …}`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

SERVICE: Final = "keybaton"
REQUEST_MAX_BYTES: Final = 4096

# Modules of real keychains. Nothing else is ever used: not plaintext, null or fail, nor what a plugin or a setting offers.
REAL_BACKENDS: Final = frozenset(
    {
        "keyring.backends.SecretService",
        "keyring.backends.libsecret",
        "keyring.backends.kwallet",
        "keyring.backends.macOS",
        "keyring.backends.Windows",
    }
)
OUR_BACKEND: Final = "keybaton_cli.helpers.keyring_backend"
_SECRET_SERVICE: Final = frozenset({"keyring.backends.SecretService", "keyring.backends.libsecret"})
_NEVER_ASKS: Final = frozenset({"keyring.backends.Windows"})

_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4)  # between tries to reach a keychain that answered a moment ago
_DETAIL_MAX: Final = 120

# Names of exceptions of keyring, secretstorage and Python, wherever they stand in the chain of causes.
_LOCKED: Final = frozenset({"KeyringLocked", "LockedException", "PromptDismissedException"})
_UNAVAILABLE: Final = frozenset(
    {
        "NoKeyringError",
        "InitError",
        "SecretServiceNotAvailableException",
        "OSError",
        "EOFError",
        "ImportError",
        "RuntimeError",
    }
)


class CallFailed(Exception):
    """Ends the call with a reason of `keybatond.errors.Reason`; `detail` is a short word without any stored text."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def backend_name(backend: Any) -> str:
    """`module.Class`, as kept in a vault's header."""
    return f"{type(backend).__module__}.{type(backend).__name__}"


def choose(current: Any) -> Any:
    """The real backend that `current` (the library's choice) is or chains to. Raises CallFailed when there is none.

    Where the choice is Keybaton's own backend, by which other programs reach this vault, the best real one beside it: the
    vault's key cannot lie in the vault.
    """
    candidates = [current]
    if type(current).__module__ == "keyring.backends.chainer":
        candidates = list(current.backends)
    elif type(current).__module__ == OUR_BACKEND:
        from keyring.backend import get_all_keyring

        candidates = sorted(get_all_keyring(), key=lambda backend: -float(backend.priority))
    for candidate in candidates:
        if type(candidate).__module__ in REAL_BACKENDS:
            return candidate
    raise CallFailed("KEYCHAIN_UNAVAILABLE", backend_name(current))


def named(name: str) -> Any:
    """The backend of that name, when it is a real one and works here. Raises CallFailed.

    A key is looked for only where its header says that it was put: another backend's "not there" means nothing.
    """
    module, _, class_name = name.rpartition(".")
    if module not in REAL_BACKENDS:
        raise CallFailed("KEYCHAIN_UNAVAILABLE", "not a known keychain")
    found = getattr(importlib.import_module(module), class_name, None)
    if not isinstance(found, type) or found.__module__ != module or not getattr(found, "viable", False):
        raise CallFailed("KEYCHAIN_UNAVAILABLE", module.rpartition(".")[2])
    return found()


def may_ask(backend: Any) -> bool:
    """Whether the next call may wait for a person: the collection is locked, or absent, or the keychain cannot tell."""
    module = type(backend).__module__
    if module not in _SECRET_SERVICE:
        return module not in _NEVER_ASKS
    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    with closing(secretstorage.dbus_init()) as connection:
        path = getattr(backend, "preferred_collection", None)
        try:
            collection = secretstorage.Collection(connection, *([path] if path else []))
            return bool(collection.is_locked())
        except ItemNotFoundException:
            return True  # making the default collection asks for its password


class Steady:
    """A keyring backend whose collection is asked for again when it is away for a moment, as while its file is read anew.

    keyring raises InitError only where it did not reach the collection, so nothing was done and the call may be made again.
    """

    def __init__(self, backend: Any, sleep: Callable[[float], None] = time.sleep) -> None:
        self._backend = backend
        self._sleep = sleep

    def get_password(self, service: str, account: str) -> str | None:
        """As keyring's."""
        found: str | None = self._reached(self._backend.get_password, service, account)
        return found

    def set_password(self, service: str, account: str, value: str) -> None:
        """As keyring's."""
        self._reached(self._backend.set_password, service, account, value)

    def delete_password(self, service: str, account: str) -> None:
        """As keyring's."""
        self._reached(self._backend.delete_password, service, account)

    def _reached(self, call: Callable[..., Any], *arguments: str) -> Any:
        from keyring.errors import InitError

        for pause in _PAUSES_SECONDS:
            try:
                return call(*arguments)
            except InitError as failure:
                if reason_of(failure, False) != "KEYCHAIN_UNAVAILABLE":  # somebody was asked after all
                    raise
                self._sleep(pause)
        return call(*arguments)


def perform(backend: Any, operation: str, account: str, value: str) -> str:
    """Does one operation; returns the stored text for `load`, else "". Raises CallFailed and whatever keyring raises."""
    if operation == "load":
        found = backend.get_password(SERVICE, account)
        if found is None:
            raise CallFailed("KEY_ABSENT")
        return str(found)
    if operation == "remove":
        if backend.get_password(SERVICE, account) is not None:
            backend.delete_password(SERVICE, account)
        return ""
    if backend.get_password(SERVICE, account) is not None:
        raise CallFailed("KEYCHAIN_REFUSED", "entry exists")
    backend.set_password(SERVICE, account, value)
    if backend.get_password(SERVICE, account) != value:
        raise CallFailed("KEYCHAIN_REFUSED", "entry reads back differently")
    if operation == "probe":
        backend.delete_password(SERVICE, account)
        if backend.get_password(SERVICE, account) is not None:
            raise CallFailed("KEYCHAIN_REFUSED", "entry cannot be deleted")
    return ""


def reason_of(failure: BaseException, asked: bool) -> str:
    """The reason that fits what keyring raised. Only `perform` says KEY_ABSENT: no exception is a definite "not there"."""
    kinds = {kind.__name__ for link in _chain(failure) for kind in type(link).__mro__}
    if kinds & _LOCKED or (asked and "InitError" in kinds):
        return "KEYCHAIN_LOCKED"
    return "KEYCHAIN_UNAVAILABLE" if kinds & _UNAVAILABLE else "KEYCHAIN_REFUSED"


def detail_of(failure: BaseException) -> str:
    """The exception's type, and the name of the D-Bus error behind it where there is one; never its text.

    A library's message may quote what it was given.
    """
    detail = type(failure).__name__
    for link in _chain(failure):
        name = getattr(link, "name", None) if type(link).__name__ == "DBusErrorResponse" else None
        if isinstance(name, str) and name.isascii() and name.replace(".", "").replace("_", "").isalnum():
            detail = f"{detail}, {name}"
    return detail[:_DETAIL_MAX]


def _chain(failure: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = failure
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _say(event: str, **fields: str) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def converse() -> None:
    """Serves the one request on stdin."""
    request = json.loads(sys.stdin.readline(REQUEST_MAX_BYTES))
    import keyring

    _say("ready")
    asked = False
    try:
        backend = named(request["backend"]) if request["backend"] else choose(keyring.get_keyring())
        asked = may_ask(backend)
        if asked:
            _say("asking")
        value = perform(
            backend if asked else Steady(backend), request["operation"], request["account"], request["value"]
        )
    except CallFailed as failure:
        _say("failed", reason=failure.reason, detail=failure.detail)
    except Exception as failure:
        _say("failed", reason=reason_of(failure, asked), detail=detail_of(failure))
    else:
        _say("done", backend=backend_name(backend), value=value)
