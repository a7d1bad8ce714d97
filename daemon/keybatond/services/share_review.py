"""Turns a person's decision on a received payload into writes to the vault. Nothing is overwritten without being told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef, ItemRefused
from keybaton_core.names import NAME_MAX_BYTES, NameRefused, check_name
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_offer import ShareVault, find
from keybatond.services.share_view import ConflictChoice, ReviewDecision, SecretDecision
from keybatond.services.vault_types import Change, PutMode

FREE_NAME_TRIES = 1000  # "name (2)" to "name (1001)"
_WEIGHTS = ("", "reused", "renamed", "replaced")  # of several outcomes, the session names the one that changed most


@dataclass(frozen=True)
class Plan:
    """What to write, in order, and how to sum it up. `name` is that of the main item as it stands afterwards.

    `names`: of secrets alone, all of theirs.
    """

    changes: tuple[Change, ...]
    conflict: str
    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Outcome:
    """What becomes of one offered item: its resulting name, and a write unless the existing one is kept."""

    name: str
    change: Change | None
    conflict: str


def plan(decision: ReviewDecision, payload: Payload, vault: ShareVault) -> Plan:
    """The writes that `decision` asks for.

    Raises KeybatonError: CONFLICT with `name`, `kind`, `key` and `problem` ("taken", "type" or "twice") where a choice is
    missing or impossible; INVALID_ARGUMENT with `field` and `problem`; VAULT_LOCKED.
    """
    if decision.variables or decision.environment:
        raise _invalid("variables", "belong to an environment, and none is offered")
    chosen = _by_key(decision, payload)
    outcomes: dict[str, _Outcome] = {}
    for part in payload.secrets:
        told = chosen.get(part.key) or SecretDecision(part.key, on_conflict=decision.default_choice)
        if told.wanted:
            outcomes[part.key] = _place_secret(part, told, vault, {o.name for o in outcomes.values()})
    changes = [outcome.change for outcome in outcomes.values() if outcome.change is not None]
    results = list(outcomes.values())
    if payload.database is not None:
        links = {key: outcome.name for key, outcome in outcomes.items()}
        main = _place_database(payload.database, decision, links, vault)
        changes += [main.change] if main.change is not None else []
        results.insert(0, main)
    elif not outcomes:
        raise _invalid("secrets", "none is chosen; choose one or decline")
    names = tuple(outcome.name for outcome in results) if payload.database is None else ()
    return Plan(tuple(changes), max((r.conflict for r in results), key=_WEIGHTS.index), results[0].name, names)


def _invalid(field: str, problem: str) -> KeybatonError:
    return KeybatonError(Reason.INVALID_ARGUMENT, field=field, problem=problem)


def _conflict(name: str, kind: str, key: str, problem: str) -> KeybatonError:
    return KeybatonError(Reason.CONFLICT, name=name, kind=kind, key=key, problem=problem)


def _by_key(decision: ReviewDecision, payload: Payload) -> dict[str, SecretDecision]:
    offered = {part.key for part in payload.secrets}
    chosen: dict[str, SecretDecision] = {}
    for told in decision.secrets:
        if told.key not in offered or told.key in chosen:
            raise _invalid("secrets", "name a key twice or one that is not offered")
        chosen[told.key] = told
    if payload.database is None and (decision.name or decision.description is not None or decision.path is not None):
        raise _invalid("name", "belongs to a database, and none is offered")
    if payload.database is not None and decision.on_conflict is ConflictChoice.REUSE:
        raise _invalid("on_conflict", "a database cannot be reused: replace it, rename, or decline")
    return chosen


def _fit(name: str, field: str) -> str:
    try:
        return check_name(name, field)
    except NameRefused as error:
        raise _invalid(error.field, error.problem) from None


def _free_name(name: str, is_taken: Callable[[str], bool]) -> str | None:
    """The first free of "name (2)", "name (3)", …, the name itself cut where they would get too long."""
    for number in range(2, FREE_NAME_TRIES + 2):
        suffix = f" ({number})"
        stem = name.encode()[: NAME_MAX_BYTES - len(suffix)].decode(errors="ignore").rstrip()
        if not is_taken(stem + suffix):
            return stem + suffix
    return None


def _place_secret(part: SecretPart, told: SecretDecision, vault: ShareVault, used: set[str]) -> _Outcome:
    name = _fit(told.save_as or part.name, "save_as")
    there = find(vault, ItemKind.SECRET, name)
    choice = told.on_conflict
    if there is not None and there.body == part.body and name not in used and not told.save_as:
        return _Outcome(there.ref.name, None, "reused")  # nothing would change, whatever was chosen
    if there is None and name not in used:
        renamed = choice is ConflictChoice.RENAME and name != part.name
        return _created(part, name, "renamed" if renamed else "")
    if choice is ConflictChoice.RENAME and not told.save_as:
        free = _free_name(name, lambda n: n in used or find(vault, ItemKind.SECRET, n) is not None)
        if free is not None:
            return _created(part, free, "renamed")
    if name in used:  # two parts would stand under one name: the second would overwrite the first
        raise _conflict(name, "secret", part.key, "twice")
    if there is not None and choice is ConflictChoice.REUSE:
        if getattr(there.body, "type", None) != part.body.type:
            raise _conflict(name, "secret", part.key, "type")
        return _Outcome(there.ref.name, None, "reused")
    if there is not None and choice is ConflictChoice.REPLACE:
        change = Change(Item(there.ref, part.body), PutMode.REPLACE, there.version)
        return _Outcome(there.ref.name, change, "replaced")
    raise _conflict(name, "secret", part.key, "taken")


def _created(part: SecretPart, name: str, conflict: str) -> _Outcome:
    return _Outcome(name, Change(part.item().renamed(name), PutMode.CREATE), conflict)


def _place_database(part: DatabasePart, decision: ReviewDecision, links: dict[str, str], vault: ShareVault) -> _Outcome:
    name = _fit(decision.name or part.name, "name")
    body = replace(
        part.body,
        description=part.body.description if decision.description is None else decision.description,
        path=part.body.path if decision.path is None else decision.path,
        links=links,
    )
    _check_body(body)
    there = find(vault, ItemKind.DATABASE, name)
    choice = decision.on_conflict
    if there is not None and there.body == body:
        return _Outcome(there.ref.name, None, "reused")  # nothing would change, whatever was chosen
    if there is None:
        conflict = "renamed" if choice is ConflictChoice.RENAME and name != part.name else ""
        return _new_database(name, body, conflict)
    if choice is ConflictChoice.REPLACE:
        return _Outcome(there.ref.name, Change(Item(there.ref, body), PutMode.REPLACE, there.version), "replaced")
    if choice is ConflictChoice.RENAME and not decision.name:
        free = _free_name(name, lambda n: find(vault, ItemKind.DATABASE, n) is not None)
        if free is not None:
            return _new_database(free, body, "renamed")
    raise _conflict(name, "database", "", "taken")


def _new_database(name: str, body: DatabaseBody, conflict: str) -> _Outcome:
    return _Outcome(name, Change(Item(ItemRef(ItemKind.DATABASE, name), body), PutMode.CREATE), conflict)


def _check_body(body: DatabaseBody) -> None:
    try:
        body.checked()
    except (NameRefused, ItemRefused) as error:
        raise _invalid(error.field, error.problem) from None
