"""References and items of the API, as the commands make and show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli import output
from keybaton_cli.secret_types import LINKS, SECRET_TYPES, spec_of
from keybaton_hot.listing import name_order

if TYPE_CHECKING:
    from keybaton_cli.framework import App

SECRET = common_pb2.ITEM_KIND_SECRET
DATABASE = common_pb2.ITEM_KIND_DATABASE
NOUNS = {
    SECRET: "secret",
    DATABASE: "database",
    common_pb2.ITEM_KIND_ENV_VARIABLE: "variable",
    common_pb2.ITEM_KIND_PROJECT: "project",
}


def secret_ref(name: str) -> common_pb2.ItemRef:
    """A secret by its name."""
    return common_pb2.ItemRef(kind=SECRET, name=name)


def database_ref(name: str) -> common_pb2.ItemRef:
    """A database by its name."""
    return common_pb2.ItemRef(kind=DATABASE, name=name)


def listed(app: App, kind: common_pb2.ItemKind.ValueType, prefix: str = "") -> list[common_pb2.ItemSummary]:
    """Everything of a kind whose name begins with `prefix`, in the order of names."""
    found = app.client().vault.list_items(kind, name_prefix=prefix)
    return sorted(found, key=lambda summary: name_order(summary.ref.name))


def secret_item(name: str, secret_type: str, fields: dict[str, bytes]) -> common_pb2.Item:
    """A secret as it is to be stored."""
    listed = [common_pb2.Field(key=key, value=value) for key, value in fields.items()]
    return common_pb2.Item(ref=secret_ref(name), secret=common_pb2.Secret(type=secret_type, fields=listed))


def fields_of(item: common_pb2.Item) -> dict[str, bytes]:
    """A secret's fields, those of its type first and in their order."""
    stored = {field.key: field.value for field in item.secret.fields}
    return dict(sorted(stored.items(), key=lambda pair: _place(item.secret.type, pair[0])))


def _place(secret_type: str, key: str) -> int:
    names = [spec.name for spec in SECRET_TYPES.get(secret_type, ())]
    return names.index(key) if key in names else len(names)


def hidden(secret_type: str, key: str) -> bool:
    """Whether a field is masked; unknown ones are."""
    spec = spec_of(secret_type, key)
    return spec is None or spec.hidden


def links_of(database: common_pb2.Database) -> dict[str, str]:
    """A database's links by slot; empty text where there is none."""
    stored = {"s3": database.s3, "encryptionKey": database.encryption_key, "geocodingKey": database.geocoding_key}
    return {slot: stored[slot] for slot, _, _, _ in LINKS}


def summary_json(summary: common_pb2.ItemSummary) -> dict[str, Any]:
    """A summary as commands print it after a change."""
    shown: dict[str, Any] = {"name": summary.ref.name, "kind": NOUNS.get(summary.ref.kind, "item")}
    if summary.secret_type:
        shown["type"] = summary.secret_type
    shown |= {"version": summary.version, "updatedAt": output.when_json(summary.updated_at_ms)}
    return shown
