"""The types of secrets and their fields, as the agent defines them (tests compare the lists)."""

from __future__ import annotations

from typing import NamedTuple


class FieldSpec(NamedTuple):
    """One field. `hidden` ones are masked until `--reveal`; `lines` ones hold text of several lines."""

    name: str
    required: bool = True
    hidden: bool = True
    lines: bool = False
    binary: bool = False


SECRET_TYPES: dict[str, tuple[FieldSpec, ...]] = {
    "s3-credentials": (
        FieldSpec("region", hidden=False),
        FieldSpec("accessKeyId", hidden=False),
        FieldSpec("secretAccessKey"),
        FieldSpec("endpoint", required=False, hidden=False),
    ),
    "encryption-key": (
        FieldSpec("privateKeyPem", lines=True),
        FieldSpec("publicKeyPem", required=False, hidden=False, lines=True),
    ),
    "api-key": (FieldSpec("apiKey"),),
    "plain": (FieldSpec("value"),),
    "login": (
        FieldSpec("username", hidden=False),
        FieldSpec("password"),
        FieldSpec("url", required=False, hidden=False),
        FieldSpec("totp", required=False),
    ),
    "token": (FieldSpec("value"),),
    "ssh-key": (
        FieldSpec("privateKey", lines=True),
        FieldSpec("publicKey", required=False, hidden=False, lines=True),
    ),
    "note": (FieldSpec("value", lines=True),),
    "file": (FieldSpec("name", hidden=False), FieldSpec("content", lines=True, binary=True)),
}

# Types that Photosphere's protocol can carry by themselves.
PHOTOSPHERE_TYPES = ("s3-credentials", "encryption-key", "api-key", "plain")

# A database's links: slot on the wire, its option, the type of secret it wants, and its name for people.
LINKS: tuple[tuple[str, str, str, str], ...] = (
    ("s3", "--s3", "s3-credentials", "S3 credentials"),
    ("encryptionKey", "--encryption-key", "encryption-key", "encryption key"),
    ("geocodingKey", "--geocoding-key", "api-key", "geocoding key"),
)


def spec_of(secret_type: str, field: str) -> FieldSpec | None:
    """The field of a type; None when either is unknown (an agent newer than this client)."""
    return next((spec for spec in SECRET_TYPES.get(secret_type, ()) if spec.name == field), None)
