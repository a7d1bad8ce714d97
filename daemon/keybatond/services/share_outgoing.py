"""Builds what a send carries: reads the named items from the vault and applies the edits for the way."""

from __future__ import annotations

from dataclasses import replace

from keybaton_core.items import LINK_SLOTS, DatabaseBody, ItemKind, ItemRef, ItemRefused, SecretBody
from keybaton_core.names import NameRefused
from keybaton_core.payload import BUNDLE_MAX_SECRETS, PAYLOAD_MAX_BYTES, DatabasePart, Payload, SecretPart
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_offer import ShareVault, find
from keybatond.services.share_view import StartSend

READER = "share"  # how the log of reads names a value that was handed over


def _invalid(field: str, problem: str) -> KeybatonError:
    return KeybatonError(Reason.INVALID_ARGUMENT, field=field, problem=problem)


def build_payload(start: StartSend, vault: ShareVault) -> Payload:
    """The payload that `start` names: one database with its linked secrets, or one or more secrets.

    A linked secret that is missing, or that no longer has the type of its link, is left out. Raises KeybatonError
    INVALID_ARGUMENT (`field`, `problem`), NOT_FOUND, TOO_LARGE, VAULT_LOCKED.
    """
    _check_request(start)
    try:
        build = _database_payload if start.items[0].kind is ItemKind.DATABASE else _secrets_payload
        payload = build(start, vault).checked()
    except (NameRefused, ItemRefused) as error:
        raise _invalid(error.field, error.problem) from None
    size = sum(len(value) for part in payload.secrets for value in part.body.fields.values())
    if size > PAYLOAD_MAX_BYTES:
        raise KeybatonError(Reason.TOO_LARGE, limit=str(PAYLOAD_MAX_BYTES))
    return payload


def _check_request(start: StartSend) -> None:
    kinds = {ref.kind for ref in start.items}
    if not start.items or not (kinds == {ItemKind.SECRET} or (kinds == {ItemKind.DATABASE} and len(start.items) == 1)):
        raise _invalid("items", "are neither one database nor secrets")
    if len(start.items) > BUNDLE_MAX_SECRETS:
        raise _invalid("items", f"are more than {BUNDLE_MAX_SECRETS}")
    if kinds == {ItemKind.SECRET} and (start.omit_links or start.description is not None or start.path is not None):
        raise _invalid("items", "are secrets, which have no links, description or path")
    if start.omit_links - set(LINK_SLOTS):
        raise _invalid("omit_links", "holds what is no link; links are " + ", ".join(LINK_SLOTS))
    if start.send_as and len(start.items) > 1:
        raise _invalid("send_as", "needs a single item")


def _database_payload(start: StartSend, vault: ShareVault) -> Payload:
    item = vault.get(start.items[0].checked(), client=READER)
    if not isinstance(item.body, DatabaseBody):
        raise _invalid("items", "do not fit their kind")
    body = replace(
        item.body,
        description=item.body.description if start.description is None else start.description,
        path=item.body.path if start.path is None else start.path,
        links={},
    )
    parts = []
    for slot, wanted in LINK_SLOTS.items():
        name = item.body.links.get(slot)
        linked = None if name is None or slot in start.omit_links else find(vault, ItemKind.SECRET, name, client=READER)
        if linked is not None and isinstance(linked.body, SecretBody) and linked.body.type == wanted:
            parts.append(SecretPart(slot, linked.ref.name, linked.body))
    return Payload(DatabasePart(start.send_as or item.ref.name, body), tuple(parts))


def _secrets_payload(start: StartSend, vault: ShareVault) -> Payload:
    parts = [_secret_part(index, ref, start.send_as, vault) for index, ref in enumerate(start.items)]
    return Payload(None, tuple(parts))


def _secret_part(index: int, ref: ItemRef, send_as: str, vault: ShareVault) -> SecretPart:
    item = vault.get(ref.checked(), client=READER)
    if not isinstance(item.body, SecretBody):
        raise _invalid("items", "do not fit their kind")
    return SecretPart(str(index), send_as or item.ref.name, item.body)
