"""Between wire messages of the vault and domain values. From the wire: KeybatonError INVALID_ARGUMENT for what has no meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import Message

from keybaton_api.agent.v1 import common_pb2
from keybaton_core.items import (
    SECRET_TYPES,
    Body,
    DatabaseBody,
    EnvBody,
    Item,
    ItemKind,
    ItemRef,
    ItemSummary,
    ProjectBody,
    SecretBody,
)
from keybaton_core.secret import SecretBytes
from keybatond.errors import refused
from keybatond.rpc.limits import MESSAGE_MAX_BYTES
from keybatond.services.vault_types import too_large

_Response = TypeVar("_Response", bound=Message)

# The message's field for each link slot.
LINK_FIELDS: Mapping[str, str] = {"s3": "s3", "encryptionKey": "encryption_key", "geocodingKey": "geocoding_key"}

_KINDS: Mapping[int, ItemKind] = {kind.value: kind for kind in ItemKind}


def kind_from(number: int) -> ItemKind:
    """The kind; unspecified and unknown ones are refused."""
    kind = _KINDS.get(number)
    if kind is None:
        raise refused("kind", "is missing or unknown")
    return kind


def asked_ref_from(message: common_pb2.ItemRef) -> ItemRef:
    """The reference as it was asked for; the vault checks it."""
    return ItemRef(kind_from(message.kind), message.name, message.vault, message.environment)


def ref_from(message: common_pb2.ItemRef) -> ItemRef:
    """The reference, checked."""
    return asked_ref_from(message).checked()


def item_from(message: common_pb2.Item) -> Item:
    """The item without id, version and time, which are the vault's to give; checked."""
    return Item(ref_from(message.ref), _body_from(message)).checked()


def _body_from(message: common_pb2.Item) -> Body:
    match message.WhichOneof("body"):
        case "secret":
            fields = {field.key: SecretBytes(field.value) for field in message.secret.fields}
            if len(fields) != len(message.secret.fields):
                raise refused("fields", "hold the same key twice")
            return SecretBody(message.secret.type, _without_empty(message.secret.type, fields))
        case "database":
            database = message.database
            links = {slot: getattr(database, name) for slot, name in LINK_FIELDS.items() if getattr(database, name)}
            return DatabaseBody(database.description, database.path, database.origin, links)
        case "env_variable":
            return EnvBody(SecretBytes(message.env_variable.value))
        case "project":
            return ProjectBody(message.project.title, tuple(message.project.environments))
        case _:
            raise refused("body", "is missing")


def _without_empty(type_name: str, fields: dict[str, SecretBytes]) -> dict[str, SecretBytes]:
    """An empty optional field is an absent one."""
    optional = {spec.name for spec in SECRET_TYPES.get(type_name, ()) if not spec.required}
    return {key: value for key, value in fields.items() if len(value) or key not in optional}


def ref_to(ref: ItemRef) -> common_pb2.ItemRef:
    """The reference on the wire."""
    return common_pb2.ItemRef(kind=_kind_to(ref.kind), name=ref.name, vault=ref.vault, environment=ref.environment)


def _kind_to(kind: ItemKind) -> common_pb2.ItemKind.ValueType:
    return common_pb2.ItemKind.ValueType(kind)


def item_to(item: Item) -> common_pb2.Item:
    """The item with its values."""
    message = common_pb2.Item(ref=ref_to(item.ref), id=item.id, version=item.version, updated_at_ms=item.updated_at_ms)
    match item.body:
        case SecretBody(type=type_name, fields=fields):
            message.secret.type = type_name
            for key, value in fields.items():
                message.secret.fields.add(key=key, value=value.reveal())
        case DatabaseBody() as body:
            message.database.CopyFrom(
                common_pb2.Database(description=body.description, path=body.path, origin=body.origin)
            )
            for slot, name in body.links.items():
                setattr(message.database, LINK_FIELDS[slot], name)
        case EnvBody(value=value):
            message.env_variable.value = value.reveal()
        case ProjectBody(title=title, environments=environments):
            message.project.title = title
            message.project.environments.extend(environments)
    return message


def sendable(response: _Response, whole: str) -> _Response:
    """Itself when one message holds it; TOO_LARGE about `whole`, where gRPC would fail without a reason of ours."""
    if response.ByteSize() > MESSAGE_MAX_BYTES:
        raise too_large(MESSAGE_MAX_BYTES, whole)
    return response


def summary_to(summary: ItemSummary) -> common_pb2.ItemSummary:
    """The summary on the wire."""
    return fill_summary(common_pb2.ItemSummary(), summary)


def fill_summary(message: common_pb2.ItemSummary, summary: ItemSummary) -> common_pb2.ItemSummary:
    """The summary in a message where it lies, in half the time of making one and copying it into a list."""
    ref, message.id, message.version, message.updated_at_ms, message.secret_type = summary
    place = message.ref
    place.kind = _kind_to(ref.kind)
    place.name = ref.name
    if ref.vault:
        place.vault, place.environment = ref.vault, ref.environment
    return message
