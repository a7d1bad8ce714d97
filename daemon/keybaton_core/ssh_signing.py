"""SSH keys as texts: the public blob of one, and signatures by one. Ed25519, RSA with SHA-2, and ECDSA on the NIST curves.

A private key is in OpenSSH's form or PEM (PKCS #8 or traditional), without a passphrase: the vault is what protects it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from keybaton_core.encoding import Malformed
from keybaton_core.ssh_agent import RSA_SHA2_256, RSA_SHA2_512, string, take_string

PUBLIC_MAX: Final = 16 * 1024  # bytes of a public key's line; RSA of 16,384 bits takes 3 KiB
RSA_MIN_BITS: Final = 2048  # below, OpenSSH and NIST SP 800-131A count a key as broken

_CURVES: Final = {"secp256r1": "nistp256", "secp384r1": "nistp384", "secp521r1": "nistp521"}
_KINDS: Final = frozenset(
    {b"ssh-ed25519", b"ssh-rsa", *(b"ecdsa-sha2-" + curve.encode() for curve in _CURVES.values())}
)


def public_blob(line: str) -> bytes:
    """The blob in an OpenSSH public key line (`ssh-ed25519 AAAA… comment`). Raises Malformed."""
    parts = line.strip().split(None, 2) if len(line) <= PUBLIC_MAX else []
    if len(parts) < 2:
        raise Malformed("public key", "is not a line of OpenSSH's form")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("public key", "is not base64") from None
    kind, rest = take_string(blob)
    if kind not in _KINDS or kind.decode() != parts[0] or not rest:
        raise Malformed("public key", "is of a kind that is not served")
    return blob


def public_blob_of(private: bytes) -> bytes:
    """The public blob that belongs to a private key. Raises Malformed."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _loaded(private).public_key()
    return public_blob(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def sign(private: bytes, data: bytes, flags: int) -> bytes:
    """The signature over `data` in SSH's form (RFC 4253, 8332, 5656, 8709). Raises Malformed, also for RSA with SHA-1."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = _loaded(private)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return string(b"ssh-ed25519") + string(key.sign(data))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curve = _CURVES[key.curve.name]
        digest = {"nistp256": hashes.SHA256(), "nistp384": hashes.SHA384(), "nistp521": hashes.SHA512()}[curve]
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return string(f"ecdsa-sha2-{curve}".encode()) + string(string(_mpint(r)) + string(_mpint(s)))
    if flags & RSA_SHA2_512:
        return string(b"rsa-sha2-512") + string(key.sign(data, padding.PKCS1v15(), hashes.SHA512()))
    if flags & RSA_SHA2_256:
        return string(b"rsa-sha2-256") + string(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    raise Malformed("request", "asks for RSA with SHA-1")


def _mpint(value: int) -> bytes:
    """A positive number's bytes, the first below 0x80 (RFC 4251, section 5)."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _loaded(private: bytes):  # type: ignore[no-untyped-def]  # cryptography is imported where it is used
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in private else load_pem_private_key
    try:
        key = load(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed("private key", "cannot be read, or has a passphrase") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_MIN_BITS:
        return key
    raise Malformed("private key", "is of a kind that is not served")
