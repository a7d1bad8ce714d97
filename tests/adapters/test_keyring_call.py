"""What the keychain's child decides by itself: which backends are real, and what keyring's exceptions mean."""

from __future__ import annotations

from typing import Any

import pytest
from keyring.errors import InitError, KeyringLocked, NoKeyringError, PasswordSetError

from keybatond.adapters.keyring_call import (
    OUR_BACKEND,
    REAL_BACKENDS,
    CallFailed,
    Steady,
    backend_name,
    choose,
    detail_of,
    may_ask,
    named,
    perform,
    reason_of,
)


def backend(module: str, **attributes: Any) -> Any:
    """An object of a class `Keyring` in that module, and nothing else of it."""
    return type("Keyring", (), {"__module__": module, **attributes})()


PLAIN = backend("keyrings.alt.file")
SECRET_SERVICE = backend("keyring.backends.SecretService")


@pytest.mark.parametrize("name", ["SecretService", "libsecret", "kwallet", "macOS", "Windows"])
def test_real_keychains_are_taken_by_the_name_of_their_module(name: str) -> None:
    """The five of the allow-list, alone or in a chain behind others."""
    real = backend(f"keyring.backends.{name}")
    assert choose(real) is real
    assert choose(backend("keyring.backends.chainer", backends=[PLAIN, real])) is real


@pytest.mark.parametrize(
    "module",
    ["keyrings.alt.file", "keyring.backends.null", "keyring.backends.fail", "keyring.backends.SecretServiceX",
     "evil.keyring.backends.SecretService", "keyring.backends.chainer"],
)  # fmt: skip
def test_nothing_else_is_ever_taken(module: str) -> None:
    """Plaintext, null, fail and look-alikes are refused, alone, in a chain, and by name."""
    other = backend(module, backends=[PLAIN])
    for current in (other, backend("keyring.backends.chainer", backends=[other])):
        with pytest.raises(CallFailed) as caught:
            choose(current)
        assert caught.value.reason == "KEYCHAIN_UNAVAILABLE"
    with pytest.raises(CallFailed):
        named(backend_name(other))


def test_a_chain_inside_a_chain_is_not_followed() -> None:
    """keyring makes none; nothing is gained by looking further."""
    inner = backend("keyring.backends.chainer", backends=[SECRET_SERVICE])
    with pytest.raises(CallFailed):
        choose(backend("keyring.backends.chainer", backends=[inner]))


class DictBackend:
    """A keychain in memory; `fault` names what it does wrong."""

    def __init__(self, fault: str = "") -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.fault = fault

    def get_password(self, service: str, account: str) -> str | None:
        return self.entries.get((service, account))

    def set_password(self, service: str, account: str, value: str) -> None:
        if self.fault != "forgets":
            self.entries[service, account] = value + ("x" if self.fault == "alters" else "")

    def delete_password(self, service: str, account: str) -> None:
        if self.fault != "keeps":
            del self.entries[service, account]


@pytest.mark.parametrize(
    ("fault", "detail"), [("forgets", "differently"), ("alters", "differently"), ("keeps", "deleted")]
)
def test_the_probe_is_a_real_round_trip(fault: str, detail: str) -> None:
    """A keychain that forgets, alters or keeps an entry is found out; a good one is left empty."""
    with pytest.raises(CallFailed, match="KEYCHAIN_REFUSED") as caught:
        perform(DictBackend(fault), "probe", "id", "value")
    assert detail in caught.value.detail
    good = DictBackend()
    perform(good, "probe", "id", "value")
    assert good.entries == {}


class LockedException(Exception):
    """Of secretstorage, by its name."""


class SecretServiceNotAvailableException(Exception):
    """Of secretstorage, by its name."""


def _chained(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


class AwayBackend(DictBackend):
    """Its collection is away for the first `calls` of each kind: InitError with `cause` behind it."""

    def __init__(self, calls: int, cause: Exception) -> None:
        super().__init__()
        self.left = dict.fromkeys(("get", "set", "delete"), calls)
        self.cause = cause

    def _reach(self, kind: str) -> None:
        self.left[kind] -= 1
        if self.left[kind] >= 0:
            raise InitError("Failed to create the collection") from self.cause

    def get_password(self, service: str, account: str) -> str | None:
        self._reach("get")
        return super().get_password(service, account)

    def set_password(self, service: str, account: str, value: str) -> None:
        self._reach("set")
        super().set_password(service, account, value)

    def delete_password(self, service: str, account: str) -> None:
        self._reach("delete")
        super().delete_password(service, account)


def test_a_collection_that_is_away_for_a_moment_is_asked_again() -> None:
    """Three times within a second, for each call on its own; what was there is neither doubled nor refused as taken."""
    pauses: list[float] = []
    kept = AwayBackend(3, SecretServiceNotAvailableException())
    assert perform(Steady(kept, pauses.append), "probe", "id", "value") == ""
    assert kept.left == {"get": -3, "set": -1, "delete": -1} and kept.entries == {}
    assert len(pauses) == 9 and sum(pauses[:3]) < 1


def test_a_collection_that_stays_away_is_unavailable() -> None:
    """After the fourth time the keychain's own error comes out, with nothing written."""
    pauses: list[float] = []
    gone = AwayBackend(4, SecretServiceNotAvailableException())
    with pytest.raises(InitError):
        perform(Steady(gone, pauses.append), "store", "id", "value")
    assert len(pauses) == 3 and gone.entries == {} and gone.left["set"] == 4


def test_a_person_who_said_no_is_not_asked_again() -> None:
    """A dismissed prompt comes as InitError too; any other failure comes out at once as well."""
    for backend_, expected in (
        (AwayBackend(1, LockedException()), InitError),
        (DictBackend("keeps not"), KeyError),
    ):
        pauses: list[float] = []
        with pytest.raises(expected):
            Steady(backend_, pauses.append).delete_password("keybaton", "id")
        assert pauses == []


class DBusErrorResponse(Exception):
    """Of jeepney, by its name."""

    def __init__(self, name: object) -> None:
        super().__init__("what was sent, quoted")
        self.name = name


def test_a_failure_is_told_by_its_type_and_the_name_of_the_d_bus_error() -> None:
    """Never by a text, which may quote a secret; a name that is none is left out."""
    no_reply = DBusErrorResponse("org.freedesktop.DBus.Error.NoReply")
    assert detail_of(_chained(InitError("s3cret"), no_reply)) == "InitError, org.freedesktop.DBus.Error.NoReply"
    for odd in ("a b", "\x1b[31m", "é.b", 7, None, ""):
        assert detail_of(_chained(InitError("s3cret"), DBusErrorResponse(odd))) == "InitError"
    assert len(detail_of(_chained(InitError(), DBusErrorResponse("a." * 500 + "b")))) == 120
    assert detail_of(_chained(InitError(), KeyError("s3cret"))) == "InitError"


@pytest.mark.parametrize(
    ("failure", "asked", "expected"),
    [
        (KeyringLocked("x"), False, "KEYCHAIN_LOCKED"),
        (LockedException(), False, "KEYCHAIN_LOCKED"),
        (_chained(InitError(), LockedException()), False, "KEYCHAIN_LOCKED"),
        (InitError(), True, "KEYCHAIN_LOCKED"),
        (InitError(), False, "KEYCHAIN_UNAVAILABLE"),
        (NoKeyringError(), False, "KEYCHAIN_UNAVAILABLE"),
        (SecretServiceNotAvailableException(), True, "KEYCHAIN_UNAVAILABLE"),
        (ConnectionResetError(), True, "KEYCHAIN_UNAVAILABLE"),
        (PasswordSetError(), False, "KEYCHAIN_REFUSED"),
        (KeyError(), False, "KEYCHAIN_REFUSED"),
    ],
)
def test_no_exception_means_that_a_key_is_not_there(failure: Exception, asked: bool, expected: str) -> None:
    """Locked, unavailable or refused; KEY_ABSENT comes from an answer alone."""
    assert reason_of(failure, asked) == expected


def test_keychains_that_cannot_tell_are_taken_to_ask() -> None:
    """KWallet and macOS may show a dialog at any call, Windows never does."""
    assert may_ask(backend("keyring.backends.kwallet"))
    assert may_ask(backend("keyring.backends.macOS"))
    assert not may_ask(backend("keyring.backends.Windows"))


def test_the_vaults_own_backend_never_holds_the_vaults_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, chosen in keyring's settings, in a chain, or named in a header: the real one beside it is used, or none."""
    from keybaton_cli.helpers.keyring_backend import KeybatonKeyring

    assert KeybatonKeyring.__module__ not in REAL_BACKENDS
    assert KeybatonKeyring.__module__ == OUR_BACKEND
    ours: Any = KeybatonKeyring()
    weak = backend("keyring.backends.kwallet", priority=4.9)
    best = backend("keyring.backends.SecretService", priority=5)
    alt = backend("keyrings.alt.file", priority=9)
    monkeypatch.setattr("keyring.backend.get_all_keyring", lambda: [ours, weak, alt, best])
    assert choose(ours) is best
    assert choose(backend("keyring.backends.chainer", backends=[ours, weak])) is weak
    monkeypatch.setattr("keyring.backend.get_all_keyring", lambda: [ours, alt])
    for current in (ours, backend("keyring.backends.chainer", backends=[ours])):
        with pytest.raises(CallFailed) as caught:
            choose(current)
        assert caught.value.reason == "KEYCHAIN_UNAVAILABLE"
    with pytest.raises(CallFailed):
        named(backend_name(ours))
