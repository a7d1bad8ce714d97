"""A secret of every type with all its fields, and values that are easily damaged on the way: long, multi-line, not ASCII."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping

from keybaton_testing.lab import Host
from keybaton_testing.lan_devices import document, done

LINKS = {"s3": "s3-credentials", "encryption-key": "encryption-key", "geocoding-key": "api-key"}  # option: type


@functools.cache
def samples() -> Mapping[str, Mapping[str, str]]:
    """By type, the fields of one secret."""
    private, public = _key_pair()
    return {
        "s3-credentials": {
            "region": "eu-west-1",
            "accessKeyId": "AKIATEST",
            "secretAccessKey": "hush/+=ßecret",
            "endpoint": "https://s3.example.com:9000",
        },
        "encryption-key": {"privateKeyPem": private, "publicKeyPem": public},
        "api-key": {"apiKey": "hush-api-key"},
        "plain": {"value": "hush\twith a tab, \"quotes\", $SHELL and a back\\slash"},
        "login": {"username": "ann", "password": "hush 密码", "url": "https://example.com/?a=b", "totp": "JBSWY3DPEHPK3PXP"},
        "token": {"value": "hush-" + "t" * 4096},
        "ssh-key": {"privateKey": private, "publicKey": "ssh-ed25519 AAAA comment"},
        "note": {"value": "hush: first line\n\n  third line\n"},
        "file": {"name": "kube.config", "content": "hush\x00\x01\x7fbytes"},
    }  # fmt: skip


def as_json_lines(names: Mapping[str, str], kinds: Iterable[str]) -> str:
    """Secrets of these types in the form that `secrets import` takes; `names` gives each type's secret its name."""
    return "".join(
        json.dumps({"name": names[kind], "type": kind, "fields": dict(samples()[kind])}) + "\n" for kind in kinds
    )


def linked(name: str) -> dict[str, str]:
    """By type, the names of the secrets that the database of this name links to."""
    return {kind: f"{name} {option}" for option, kind in LINKS.items()}


def add_database(host: Host, name: str) -> None:
    """Stores a database with the three secrets that it links to."""
    document(host, "secrets", "import", "-", stdin=as_json_lines(linked(name), LINKS.values()))
    links = [word for option, kind in LINKS.items() for word in (f"--{option}", linked(name)[kind])]
    about = ["--path", f"s3:bucket:/{name}", "--description", f"Of {name}", "--origin", "https://example.com"]
    done(host, "dbs", "add", name, *about, *links)


def stored(host: Host, name: str, kind: str) -> dict[str, str]:
    """The fields of a secret of this type, each as `get` prints it without the newline that it adds."""
    return {field: done(host, "get", name, "--field", field).stdout.removesuffix("\n") for field in samples()[kind]}


def _key_pair() -> tuple[str, str]:
    """PKCS #8 and SPKI, without the final newline, which the command line drops from what it reads."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode().rstrip("\n"), public.decode().rstrip("\n")
