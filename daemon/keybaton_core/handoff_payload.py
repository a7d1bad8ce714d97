"""The plaintext of a handoff: a payload as versioned, typed JSON. A misfit is refused as a whole, with the field named."""

from __future__ import annotations

from keybaton_core.encoding import Fields, Malformed, decode_object, encode_object, from_base64url, to_base64url
from keybaton_core.items import SECRET_TYPES, VALUE_MAX_BYTES, DatabaseBody, ItemRefused, SecretBody
from keybaton_core.names import NAME_MAX_BYTES, TEXT_MAX_BYTES, NameRefused
from keybaton_core.payload import (
    BUNDLE_MAX_SECRETS,
    ENVIRONMENT_MAX_VARIABLES,
    PAYLOAD_MAX_BYTES,
    DatabasePart,
    EnvironmentPart,
    Payload,
    SecretPart,
)
from keybaton_core.secret import SecretBytes

VERSION = 1
_KEY_MAX_BYTES = 32
_BASE64_MAX_BYTES = (VALUE_MAX_BYTES + 2) // 3 * 4


class PayloadTooLarge(ValueError):
    """The plaintext would be longer than a handoff may carry."""


def encode_payload(payload: Payload) -> SecretBytes:
    """The plaintext, at most 1 MiB. Raises PayloadTooLarge, NameRefused, ItemRefused."""
    payload.checked()
    value: dict[str, object] = {"version": VERSION}
    if payload.environment is not None:
        value["environment"] = _encode_environment(payload.environment)
    if payload.database is not None:
        body = payload.database.body
        value["database"] = {
            "name": payload.database.name,
            "description": body.description,
            "path": body.path,
            "origin": body.origin,
        }
    if payload.environment is None:
        value["secrets"] = [_encode_secret(part) for part in payload.secrets]
    plaintext = encode_object(value)
    if len(plaintext) > PAYLOAD_MAX_BYTES:
        raise PayloadTooLarge(f"longer than {PAYLOAD_MAX_BYTES} bytes")
    return SecretBytes(plaintext)


def decode_payload(plaintext: SecretBytes) -> Payload:
    """The payload, every rule of its items kept. Raises Malformed, naming the field and quoting nothing."""
    fields = Fields(decode_object(plaintext.reveal(), PAYLOAD_MAX_BYTES))
    if "environment" in fields:
        fields.only("version", "environment").integer("version", VERSION, VERSION)
        return Payload(None, (), _decode_environment(fields.object("environment")))
    fields.only("version", "database", "secrets").integer("version", VERSION, VERSION)
    database = _decode_database(fields.object("database")) if "database" in fields else None
    entries = fields.objects("secrets", BUNDLE_MAX_SECRETS)
    payload = Payload(database, tuple(_decode_secret(entry) for entry in entries))
    try:
        return payload.checked()
    except (NameRefused, ItemRefused) as refused:
        raise Malformed(refused.field, refused.problem) from None


def _encode_secret(part: SecretPart) -> dict[str, object]:
    values = {
        spec.name: to_base64url(value.reveal()) if spec.binary else value.reveal_text()
        for spec in SECRET_TYPES[part.body.type]
        if (value := part.body.fields.get(spec.name)) is not None
        if len(value) or spec.required
    }
    return {"key": part.key, "name": part.name, "type": part.body.type, "fields": values}


def _encode_environment(part: EnvironmentPart) -> dict[str, object]:
    return {
        "project": part.project,
        "title": part.title,
        "name": part.environment,
        "variables": [{"name": name, "value": part.variables[name].reveal_text()} for name in sorted(part.variables)],
    }


def _decode_environment(fields: Fields) -> EnvironmentPart:
    """Variables come in ascending order of their names, so that there is one spelling and no name twice."""
    fields.only("project", "title", "name", "variables")
    variables: dict[str, SecretBytes] = {}
    last = ""
    for entry in fields.objects("variables", ENVIRONMENT_MAX_VARIABLES):
        entry.only("name", "value")
        name = entry.text("name", NAME_MAX_BYTES)
        if name <= last:
            raise Malformed(entry.path("name"), "is empty or out of order")
        variables[name] = SecretBytes.from_text(entry.text("value", VALUE_MAX_BYTES))
        last = name
    project, title = fields.text("project", _KEY_MAX_BYTES), fields.text("title", NAME_MAX_BYTES)
    part = EnvironmentPart(project, title, fields.text("name", NAME_MAX_BYTES), variables)
    try:
        return part.checked()
    except (NameRefused, ItemRefused) as refused:
        raise Malformed(fields.path(refused.field), refused.problem) from None


def _decode_database(fields: Fields) -> DatabasePart:
    fields.only("name", "description", "path", "origin")
    body = DatabaseBody(
        description=fields.text("description", TEXT_MAX_BYTES),
        path=fields.text("path", TEXT_MAX_BYTES),
        origin=fields.text("origin", TEXT_MAX_BYTES),
    )
    part = DatabasePart(fields.text("name", NAME_MAX_BYTES), body)
    try:
        Payload(part, ()).checked()
    except (NameRefused, ItemRefused) as refused:
        raise Malformed(fields.path(refused.field), refused.problem) from None
    return part


def _decode_secret(fields: Fields) -> SecretPart:
    fields.only("key", "name", "type", "fields")
    kind = fields.text("type", _KEY_MAX_BYTES)
    specs = SECRET_TYPES.get(kind)
    if specs is None:
        raise Malformed(fields.path("type"), "is not one of " + ", ".join(SECRET_TYPES))
    inner = fields.object("fields").only(*(spec.name for spec in specs))
    values: dict[str, SecretBytes] = {}
    for spec in specs:
        if spec.name not in inner:
            continue
        if spec.binary:
            text = inner.text(spec.name, _BASE64_MAX_BYTES)
            value = SecretBytes(from_base64url(text, inner.path(spec.name)))
        else:
            value = SecretBytes.from_text(inner.text(spec.name, VALUE_MAX_BYTES))
        if not len(value) and not spec.required:
            raise Malformed(inner.path(spec.name), "is empty; an absent field is left out")
        values[spec.name] = value
    part = SecretPart(fields.text("key", _KEY_MAX_BYTES), fields.text("name", NAME_MAX_BYTES), SecretBody(kind, values))
    try:
        part.item().checked()
    except (NameRefused, ItemRefused) as refused:
        inside = any(spec.name == refused.field for spec in specs) and refused.field != "name"
        raise Malformed((inner if inside else fields).path(refused.field), refused.problem) from None
    return part
