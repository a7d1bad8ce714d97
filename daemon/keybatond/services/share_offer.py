"""Describes a payload beside what the vault already holds, so that a person sees what would change. Shows no hidden value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keybaton_core.items import LINK_SLOTS, DatabaseBody, Item, ItemKind, ItemRef, ItemSummary, SecretBody
from keybaton_core.names import plain
from keybaton_core.payload import DatabasePart, EnvironmentPart, Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_view import (
    Offer,
    OfferedDatabase,
    OfferedEnvironment,
    OfferedSecret,
    OfferedVariable,
    VariableChange,
)
from keybatond.services.vault_types import Change

# Fields that say where a secret is sent: a changed one is shown with both values, since it may lead elsewhere.
POINTED_OUT = frozenset({"endpoint", "region", "url"})
_SHOWN_CHARACTERS = 500


Listed = list[ItemSummary]  # within the class, `list` is its method


class ShareVault(Protocol):
    """What shares need of the vault service."""

    def count(self) -> int:
        """How many items there are. VAULT_LOCKED, VAULT_ABSENT."""

    def get(self, ref: ItemRef, *, client: str = "") -> Item:
        """NOT_FOUND, VAULT_LOCKED, VAULT_ABSENT. With `client`, the read is noted in the log of reads."""

    def list(
        self,
        kind: ItemKind | None = None,
        vault: str = "",
        environment: str = "",
        prefix: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> tuple[Listed, str]:
        """A page of items without values, and the token of the next page, empty at the end. VAULT_LOCKED."""

    async def apply(self, changes: Sequence[Change]) -> Listed:
        """All or nothing. NAME_TAKEN, VERSION_CONFLICT, NOT_FOUND, VAULT_LOCKED, STORAGE_*."""


def find(vault: ShareVault, kind: ItemKind, name: str, *, client: str = "") -> Item | None:
    """The item of that name, or None. VAULT_LOCKED and the like are raised."""
    try:
        return vault.get(ItemRef(kind, name), client=client)
    except KeybatonError as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise


def offer_alone(payload: Payload) -> Offer:
    """The payload by itself: what a sender shows of what it hands over."""
    database = payload.database
    return Offer(
        None if database is None else _database(database, exists=False, changes=()),
        tuple(_secret(part, exists=False, same=False, changes=()) for part in payload.secrets),
        None if payload.environment is None else _environment_alone(payload.environment),
    )


def _environment_alone(part: EnvironmentPart) -> OfferedEnvironment:
    variables = tuple(OfferedVariable(name, VariableChange.UNKNOWN) for name in sorted(part.variables))
    return OfferedEnvironment(part.project, part.title, part.environment, part.environment, variables)


def offer_beside(payload: Payload, vault: ShareVault) -> Offer:
    """Secrets, or a database with its own, with what exists already and what would change."""
    database = None
    if payload.database is not None:
        there = find(vault, ItemKind.DATABASE, payload.database.name)
        changes = () if there is None else _database_changes(there.body, payload)
        database = _database(payload.database, exists=there is not None, changes=changes)
    return Offer(database, tuple(_beside(part, vault) for part in payload.secrets))


def _database(part: DatabasePart, *, exists: bool, changes: tuple[str, ...]) -> OfferedDatabase:
    body = part.body
    return OfferedDatabase(part.name, body.description, body.path, body.origin, exists, changes)


def _secret(part: SecretPart, *, exists: bool, same: bool, changes: tuple[str, ...]) -> OfferedSecret:
    return OfferedSecret(part.key, part.name, part.body.type, tuple(part.body.fields), exists, same, changes)


def _beside(part: SecretPart, vault: ShareVault) -> OfferedSecret:
    there = find(vault, ItemKind.SECRET, part.name)
    if there is None or not isinstance(there.body, SecretBody):
        return _secret(part, exists=there is not None, same=False, changes=())
    changes = _secret_changes(there.body, part.body)
    return _secret(part, exists=True, same=not changes, changes=changes)


def _arrow(what: str, old: str, new: str) -> str:
    return f"{what}: {plain(old, _SHOWN_CHARACTERS) or 'none'} -> {plain(new, _SHOWN_CHARACTERS) or 'none'}"


def _text(value: SecretBytes | None) -> str:
    return "" if value is None else value.reveal_text()


def _secret_changes(old: SecretBody, new: SecretBody) -> tuple[str, ...]:
    changes = [] if old.type == new.type else [_arrow("type", old.type, new.type)]
    for name in dict.fromkeys([*old.fields, *new.fields]):
        before, after = old.fields.get(name), new.fields.get(name)
        if before == after:
            continue
        changes.append(_arrow(name, _text(before), _text(after)) if name in POINTED_OUT else name)
    return tuple(changes)


def _database_changes(old: object, payload: Payload) -> tuple[str, ...]:
    if payload.database is None or not isinstance(old, DatabaseBody):
        return ()
    new = payload.database.body
    changes = []
    if old.description != new.description:
        changes.append("description")
    if old.path != new.path:
        changes.append(_arrow("path", old.path, new.path))
    if old.origin != new.origin:
        changes.append(_arrow("origin", old.origin, new.origin))
    linked = {part.key: part.name for part in payload.secrets}
    for slot in LINK_SLOTS:
        before, after = old.links.get(slot, ""), linked.get(slot, "")
        if before != after:
            changes.append(_arrow(slot, before, after))
    return tuple(changes)
