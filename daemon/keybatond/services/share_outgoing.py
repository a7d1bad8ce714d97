"""Builds what a send carries: reads the named items from the vault and applies the edits for the way."""

from __future__ import annotations

from dataclasses import replace

from keybaton_core.items import LINK_SLOTS, DatabaseBody, EnvBody, ItemKind, ItemRef, ItemRefused, SecretBody
from keybaton_core.names import NameRefused
from keybaton_core.payload import (
    BUNDLE_MAX_SECRETS,
    PAYLOAD_MAX_BYTES,
    DatabasePart,
    EnvironmentPart,
    Payload,
    SecretPart,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.environments import not_there
from keybatond.services.share_environment import names_in, project_in
from keybatond.services.share_offer import ShareVault, find
from keybatond.services.share_session import ShareProtocol
from keybatond.services.share_view import EnvironmentSelection, StartSend

READER = "share"  # how the log of reads names a value that was handed over


def _invalid(field: str, problem: str) -> KeybatonError:
    return KeybatonError(Reason.INVALID_ARGUMENT, field=field, problem=problem)


def build_payload(start: StartSend, vault: ShareVault) -> Payload:
    """The payload that `start` names: one database with its linked secrets, one or more secrets, or an environment.

    A linked secret that is missing, or that no longer has the type of its link, is left out. Raises KeybatonError
    INVALID_ARGUMENT (`field`, `problem`), NOT_FOUND, PROJECT_NOT_FOUND, ENVIRONMENT_NOT_FOUND, VARIABLE_NOT_FOUND,
    TOO_LARGE, VAULT_LOCKED.
    """
    try:
        payload = _payload(start, vault).checked()
    except (NameRefused, ItemRefused) as error:
        raise _invalid(error.field, error.problem) from None
    size = sum(len(value) for part in payload.secrets for value in part.body.fields.values())
    if payload.environment is not None:
        size = sum(len(value) for value in payload.environment.variables.values())
    if size > PAYLOAD_MAX_BYTES:
        raise KeybatonError(Reason.TOO_LARGE, limit=str(PAYLOAD_MAX_BYTES))
    return payload


def _payload(start: StartSend, vault: ShareVault) -> Payload:
    if start.environment is not None:
        return _environment_payload(start, start.environment, vault)
    _check_request(start)
    build = _database_payload if start.items[0].kind is ItemKind.DATABASE else _secrets_payload
    return build(start, vault)


def _environment_payload(start: StartSend, chosen: EnvironmentSelection, vault: ShareVault) -> Payload:
    if start.items or start.omit_links or start.send_as or start.description is not None or start.path is not None:
        raise _invalid("environment", "goes alone and as it is stored")
    if start.protocol is not ShareProtocol.KEYBATON:
        raise _invalid("protocol", "carries no environments; only Keybaton's own does")
    title, environments = project_in(vault, chosen.project_id)
    if chosen.environment not in environments:
        raise not_there(Reason.ENVIRONMENT_NOT_FOUND, chosen.environment, environments)
    present = names_in(vault, chosen.project_id, chosen.environment)
    variables = {}
    for name in dict.fromkeys(chosen.names or sorted(present)):
        if name not in present:
            raise not_there(Reason.VARIABLE_NOT_FOUND, name, present)
        body = vault.get(
            ItemRef(ItemKind.ENV_VARIABLE, name, chosen.project_id, chosen.environment), client=READER
        ).body
        if not isinstance(body, EnvBody):
            raise _invalid("environment", "does not fit its kind")
        variables[name] = body.value
    return Payload(None, (), EnvironmentPart(chosen.project_id, title, chosen.environment, variables))


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
