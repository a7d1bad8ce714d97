"""What callers of the vault pass and get beside items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from keybaton_core.items import Body, DatabaseBody, EnvBody, Item, ItemRef, ItemRefused, ProjectBody, SecretBody
from keybaton_core.names import NameRefused
from keybaton_core.vault_keys import KeysWiped, SealBroken
from keybaton_core.vault_parts import VaultRowInvalid
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault_changes import Change, PutMode
from keybatond.services.vault_front import VaultHeader

__all__ = [
    "BatchResult",
    "Change",
    "ItemVersion",
    "PutMode",
    "ReadRecord",
    "RestoreResult",
    "VaultHeader",
    "bare_value",
    "checked",
    "checked_ref",
    "opening",
    "too_large",
    "within",
]


@dataclass(frozen=True)
class BatchResult:
    """What a batch did."""

    created: int
    replaced: int
    skipped: list[ItemRef]


@dataclass(frozen=True)
class ItemVersion:
    """One version of an item, without values."""

    version: int
    updated_at_ms: int
    removed: bool
    current: bool
    name: str


@dataclass(frozen=True)
class RestoreResult:
    """What a restore brought, and the path of the vault that it replaced; empty where there was none."""

    items: int
    set_aside: str


class ReadRecord(NamedTuple):
    """One read of an item's values: when, of which version, by which kind of client."""

    at_ms: int
    ref: ItemRef
    id: str
    version: int
    client: str


class opening:  # noqa: N801 (read as a verb: `with opening():`)
    """Raises the domain's errors for seals that do not open and rows that do not decode."""

    __slots__ = ()  # a class, since each read of an item passes here several times

    def __enter__(self) -> None: ...

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, SealBroken):
            raise KeybatonError(Reason.VAULT_DAMAGED, problem="seal") from None
        if isinstance(error, VaultRowInvalid):
            raise KeybatonError(Reason.VAULT_DAMAGED, problem="row") from None
        if isinstance(error, KeysWiped):
            raise KeybatonError(Reason.VAULT_LOCKED) from None


def bare_value(body: Body, field: str) -> bytes:
    """The value of `field`, or of the only field there is. FIELD_REQUIRED and FIELD_UNKNOWN name the fields.

    A database's fields are its texts and links, a project's is its title.
    """
    values = _values(body)
    if not field and len(values) == 1:
        return next(iter(values.values()))
    if field in values:
        return values[field]
    reason = Reason.FIELD_UNKNOWN if field else Reason.FIELD_REQUIRED
    raise KeybatonError(reason, fields=", ".join(values))


def _values(body: Body) -> dict[str, bytes]:
    match body:
        case SecretBody():
            return {name: value.reveal() for name, value in body.fields.items()}
        case EnvBody():
            return {"value": body.value.reveal()}
        case DatabaseBody():
            texts = {"description": body.description, "path": body.path, "origin": body.origin, **body.links}
            return {name: text.encode() for name, text in texts.items()}
        case ProjectBody():
            return {"title": body.title.encode()}


def within(items: Iterable[Item], most: int, whole: str) -> list[Item]:
    """The items, whose values have at most `most` bytes in all. TOO_LARGE, naming `whole`, before more of them are read."""
    taken, size = [], 0
    for item in items:
        size += _size(item.body)
        if size > most:
            raise too_large(most, whole)
        taken.append(item)
    return taken


def too_large(most: int, whole: str) -> KeybatonError:
    """TOO_LARGE for an answer about `whole`, the key of its words."""
    return KeybatonError(Reason.TOO_LARGE, **{"limit": str(most), whole: f"{most // 1024**2} MiB"})


def _size(body: Body) -> int:
    match body:
        case SecretBody():
            return sum(map(len, body.fields.values()))
        case EnvBody():
            return len(body.value)
        case DatabaseBody():
            return len(body.description) + len(body.path) + len(body.origin)
        case ProjectBody():
            return len(body.title) + sum(map(len, body.environments))


def checked(item: Item) -> Item:
    """`item` when it keeps its rules. INVALID_ARGUMENT, naming the field."""
    try:
        return item.checked()
    except (NameRefused, ItemRefused) as refused:
        raise KeybatonError(Reason.INVALID_ARGUMENT, field=refused.field, problem=refused.problem) from None


def checked_ref(ref: ItemRef) -> ItemRef:
    """`ref` when its parts are fit. INVALID_ARGUMENT, naming the field."""
    try:
        return ref.checked()
    except (NameRefused, ItemRefused) as refused:
        raise KeybatonError(Reason.INVALID_ARGUMENT, field=refused.field, problem=refused.problem) from None
