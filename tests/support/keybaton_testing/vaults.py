"""Real vaults in temporary folders: the service over the real store, with a clock that stands still."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from keybaton_core.items import DatabaseBody, EnvBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord, KeystoreKind
from keybatond.services.vault import VaultService

RECORD = KeyRecord(KeystoreKind.PASSPHRASE, "00112233445566778899aabbccddeeff", b"parameters")
OTHER_RECORD = KeyRecord(KeystoreKind.KEYCHAIN, "ffeeddccbbaa99887766554433221100", b"other")
KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))


def key(value: bytes = KEY) -> SecretBytes:
    """A wrapping key, fresh, since its taker may wipe it."""
    return SecretBytes(value)


def vault_at(path: Path, clock: FakeClock | None = None) -> VaultService:
    """The service over the file at `path`, locked or absent."""
    return VaultService(SqliteStore(path), clock or FakeClock(), SystemEntropy())


async def made_vault(path: Path, clock: FakeClock | None = None) -> VaultService:
    """A new vault, open and empty, under KEY."""
    vault = vault_at(path, clock)
    await vault.create(RECORD, key())
    return vault


async def opened_vault(path: Path, wrapping_key: bytes = KEY) -> VaultService:
    """An existing vault, opened."""
    vault = vault_at(path)
    await vault.open(key(wrapping_key))
    return vault


def secret(name: str, value: str | bytes = "value") -> Item:
    """A secret of type plain."""
    content = value if isinstance(value, bytes) else value.encode()
    return Item(ItemRef(ItemKind.SECRET, name), SecretBody("plain", {"value": SecretBytes(content)}))


def database(name: str, **links: str) -> Item:
    """A database with links by slot."""
    return Item(ItemRef(ItemKind.DATABASE, name), DatabaseBody(description="text", path="/p", links=links))


def variable(vault: str, environment: str, name: str, value: str = "value") -> Item:
    """A variable of a project's environment."""
    return Item(ItemRef(ItemKind.ENV_VARIABLE, name, vault, environment), EnvBody(SecretBytes.from_text(value)))


def value_of(item: Item) -> str:
    """The value of an item that `secret` or `variable` made."""
    body = item.body
    if isinstance(body, SecretBody):
        return body.fields["value"].reveal_text()
    assert isinstance(body, EnvBody)
    return body.value.reveal_text()


def names(
    vault: VaultService, kind: ItemKind | None = None, project: str = "", environment: str = "", prefix: str = ""
) -> list[str]:
    """Every name that a list shows, page after page."""
    found: list[str] = []
    token = ""
    while True:
        page, token = vault.list(kind, project, environment, prefix, page_token=token)
        found += [summary.ref.name for summary in page]
        if not token:
            return found


def refusal(caught: pytest.ExceptionInfo[KeybatonError]) -> Reason:
    """The reason of an expected failure."""
    return caught.value.reason


def content_hash(path: Path) -> bytes:
    """What a test compares to see that a file was left alone."""
    return hashlib.sha256(path.read_bytes()).digest()


def no_progress(done: int, total: int) -> None:
    """For tests that do not look at progress."""


def flip_bit(path: Path, offset: int, bit: int = 0) -> None:
    """Changes one bit of a file in place."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, offset)[0]
        os.pwrite(descriptor, bytes([byte ^ (1 << bit)]), offset)
    finally:
        os.close(descriptor)
