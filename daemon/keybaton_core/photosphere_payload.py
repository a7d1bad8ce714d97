"""Photosphere's database and secret payloads as JSON values: a strict decoder, and an encoder for what that format can carry."""

from __future__ import annotations

from collections.abc import Mapping

from keybaton_core.encoding import Malformed, decode_object, encode_object
from keybaton_core.items import LINK_SLOTS, VALUE_MAX_BYTES, DatabaseBody, ItemRefused, SecretBody
from keybaton_core.names import NameRefused, check_text
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes

# The JSON member of a database for each link slot of ours.
_MEMBERS: Mapping[str, str] = {"s3": "s3Credentials", "encryptionKey": "encryptionKey", "geocodingKey": "geocodingKey"}
# Fields of each secret type as they stand in JSON: (name, required).
_FIELDS: Mapping[str, tuple[tuple[str, bool], ...]] = {
    "s3-credentials": (("region", True), ("accessKeyId", True), ("secretAccessKey", True), ("endpoint", False)),
    "encryption-key": (("privateKeyPem", True), ("publicKeyPem", False)),
    "api-key": (("apiKey", True),),
    "plain": (("value", True),),
}
# The one field that a secret's `value` is, for types whose value is no JSON text.
_VALUE_FIELDS: Mapping[str, str] = {"encryption-key": "privateKeyPem", "api-key": "apiKey", "plain": "value"}
# Fields that people see: they are held to the rules for texts.
_SHOWN = frozenset({"region", "accessKeyId", "endpoint"})

JsonObject = dict[str, object]


# --- decoding ----------------------------------------------------------------------------------------------------------


def decode_payload(value: object) -> Payload:
    """The payload that the JSON value `value` states, checked field by field. Raises Malformed."""
    try:
        members = _object(value, "payload")
        kind = _take_text(members, "type")
        if kind == "database":
            payload = _decode_database(members)
        elif kind == "secret":
            payload = _decode_secret(members)
        else:
            raise Malformed("type", "is neither database nor secret")
        return payload.checked()
    except (NameRefused, ItemRefused) as error:
        raise Malformed(error.field, error.problem) from None


def _object(value: object, field: str) -> JsonObject:
    if not isinstance(value, dict):
        raise Malformed(field, "is not a JSON object")
    return dict(value)


def _take_text(members: JsonObject, field: str) -> str:
    if field not in members:
        raise Malformed(field, "is missing")
    value = members.pop(field)
    if not isinstance(value, str):
        raise Malformed(field, "is not text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Malformed(field, "is not Unicode text") from None
    return value


def _finish(members: JsonObject, where: str) -> None:
    if members:
        raise Malformed(where, "holds a member that the format does not know")


def _decode_database(members: JsonObject) -> Payload:
    name = _take_text(members, "name")
    body = DatabaseBody(
        description=_take_text(members, "description"),
        path=_take_text(members, "path"),
        origin=_take_text(members, "origin") if "origin" in members else "",
    )
    parts = []
    for slot, member in _MEMBERS.items():
        if member in members:
            inner = _object(members.pop(member), member)
            part_name = _take_text(inner, "name")
            parts.append(SecretPart(slot, part_name, _decode_fields(inner, LINK_SLOTS[slot], member)))
    _finish(members, "payload")
    return Payload(DatabasePart(name, body), tuple(parts))


def _decode_fields(members: JsonObject, secret_type: str, where: str) -> SecretBody:
    fields = {}
    for name, required in _FIELDS[secret_type]:
        if not required and name not in members:
            continue
        value = _take_text(members, name)
        if name in _SHOWN:
            check_text(value, name)
        if value or required:  # an empty optional is the same as none
            fields[name] = SecretBytes.from_text(value)
    _finish(members, where)
    return SecretBody(secret_type, fields)


def _decode_secret(members: JsonObject) -> Payload:
    name = _take_text(members, "name")
    secret_type = _take_text(members, "secretType")
    value = _take_text(members, "value")
    _finish(members, "payload")
    if secret_type not in _FIELDS:
        raise Malformed("secretType", "is not one of " + ", ".join(_FIELDS))
    if secret_type in _VALUE_FIELDS:
        body = SecretBody(secret_type, {_VALUE_FIELDS[secret_type]: SecretBytes.from_text(value)})
    else:
        try:
            inner = decode_object(value.encode(), VALUE_MAX_BYTES)
        except Malformed:
            raise Malformed("value", "is not JSON text of an object") from None
        body = _decode_fields(inner, secret_type, "value")
    return Payload(None, (SecretPart("0", name, body),))


# --- encoding ----------------------------------------------------------------------------------------------------------


def check_sendable(payload: Payload) -> str | None:
    """Why the Photosphere format cannot carry `payload`, or None when it can."""
    if payload.database is None:
        if len(payload.secrets) != 1:
            return "are several secrets; the Photosphere protocol carries one"
        if payload.secrets[0].body.type not in _FIELDS:
            return "are of a type that the Photosphere protocol does not know; it knows " + ", ".join(_FIELDS)
    return None


def encode_payload(payload: Payload) -> JsonObject:
    """The JSON value for `payload`. Raises Malformed for what the format cannot carry.

    A secret by itself of type encryption-key travels without its public key, for which the format has no place.
    """
    problem = check_sendable(payload)
    if problem is not None:
        raise Malformed("payload", problem)
    if payload.database is None:
        return _encode_secret(payload.secrets[0])
    body = payload.database.body
    members: JsonObject = {
        "type": "database", "name": payload.database.name, "description": body.description, "path": body.path,
    }  # fmt: skip
    if body.origin:
        members["origin"] = body.origin
    for part in payload.secrets:
        members[_MEMBERS[part.key]] = {"name": part.name, **_texts(part.body)}
    return members


def _texts(body: SecretBody) -> dict[str, str]:
    return {name: body.fields[name].reveal_text() for name, _ in _FIELDS[body.type] if name in body.fields}


def _encode_secret(part: SecretPart) -> JsonObject:
    field = _VALUE_FIELDS.get(part.body.type)
    value = encode_object(_texts(part.body)).decode() if field is None else part.body.fields[field].reveal_text()
    return {"type": "secret", "name": part.name, "secretType": part.body.type, "value": value}
