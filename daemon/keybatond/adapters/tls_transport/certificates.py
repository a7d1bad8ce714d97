"""Self-signed P-256 certificates for one session, made and kept in memory."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALIDITY = datetime.timedelta(hours=24)
CLOCK_SKEW = datetime.timedelta(hours=24)  # between the two devices; only some peers look at the dates at all


@dataclass(frozen=True)
class Certificate:
    """A certificate with its private key. The key never leaves this process: no text of it, and no file."""

    fingerprint: bytes  # SHA-256 of the DER certificate
    chain_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return f"Certificate({self.fingerprint.hex()})"


def self_signed(common_name: str) -> Certificate:
    """A fresh P-256 key and its certificate, without extensions; about 0.2 ms."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        fingerprint=hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest(),
        chain_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def server_context(certificate: Certificate, *, legacy: bool) -> ssl.SSLContext:
    """TLS 1.3 only and without tickets; `legacy` adds TLS 1.2, which the Photosphere protocol needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if legacy else ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    # load_cert_chain takes only names of files. A pipe has one that leads to this process alone, and holds its bytes in
    # the kernel until they are read: nothing of the key ever reaches a file system.
    with ExitStack() as stack:
        chain = stack.enter_context(_readable_path(certificate.chain_pem))
        key = stack.enter_context(_readable_path(certificate.key_pem))
        context.load_cert_chain(chain, key)
    return context


@contextmanager
def _readable_path(content: bytes) -> Iterator[str]:
    """A path from which `content` (below the 4 KiB that every pipe takes at once) can be read one time."""
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, content)
        finally:
            os.close(writer)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
