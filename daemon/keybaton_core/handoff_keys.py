"""The keys of one handshake: what both sides derive from CPace and the certificate, and what they prove and seal with it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keybaton_core import labels
from keybaton_core.cpace import isk_ir, multiply
from keybaton_core.encoding import lv
from keybaton_core.secret import SecretBytes

SID_BYTES = 16
MAC_BYTES = 32
TAG_BYTES = 16
_NONCE = bytes(12)  # the payload key seals exactly once


class SealBroken(ValueError):
    """A sealed payload does not open under the key of its handshake."""


def channel_identifier(fingerprint: bytes) -> bytes:
    """CI: roles and the receiver's certificate (SHA-256 of its DER form) as this side saw it."""
    return lv(labels.HANDOFF_CONTEXT, b"sender", b"receiver", fingerprint)


@dataclass(frozen=True)
class Transcript:
    """Everything public that both sides must have seen alike."""

    ci: bytes
    sid: bytes
    ya: bytes
    ada: bytes
    yb: bytes
    adb: bytes

    def digest(self) -> bytes:
        """T, 32 bytes."""
        return hashlib.sha256(lv(self.ci, self.sid, self.ya, self.ada, self.yb, self.adb)).digest()


class HandoffKeys:
    """The key schedule of one handshake. `scalar` is this side's, `peer` the other side's public value.

    Raises cpace.LowOrderPoint.
    """

    def __init__(self, transcript: Transcript, scalar: bytes, peer: bytes) -> None:
        t = transcript
        isk = isk_ir(t.sid, multiply(scalar, peer), t.ya, t.ada, t.yb, t.adb)
        self.t = transcript.digest()
        self._receiver_confirm = self._derive(isk, labels.HANDOFF_RECEIVER_CONFIRM)
        self._sender_confirm = self._derive(isk, labels.HANDOFF_SENDER_CONFIRM)
        self._payload = self._derive(isk, labels.HANDOFF_PAYLOAD)
        self._receipt = self._derive(isk, labels.HANDOFF_RECEIPT)

    def _derive(self, isk: bytes, label: bytes) -> SecretBytes:
        return SecretBytes(HKDF(algorithm=SHA256(), length=32, salt=self.t, info=label).derive(isk))

    def mac_b(self) -> bytes:
        """The receiver's proof that it knows the code."""
        return hmac.digest(self._receiver_confirm.reveal(), self.t, "sha256")

    def mac_a(self) -> bytes:
        """The sender's proof that it knows the code."""
        return hmac.digest(self._sender_confirm.reveal(), self.t, "sha256")

    def proves_receiver(self, mac_b: bytes) -> bool:
        """Whether the other side, as receiver, knew the code."""
        return hmac.compare_digest(mac_b, self.mac_b())

    def proves_sender(self, mac_a: bytes) -> bool:
        """Whether the other side, as sender, knew the code."""
        return hmac.compare_digest(mac_a, self.mac_a())

    def seal(self, plaintext: SecretBytes) -> bytes:
        """Ciphertext and tag. For one plaintext only."""
        return AESGCM(self._payload.reveal()).encrypt(_NONCE, plaintext.reveal(), self.t)

    def open(self, sealed: bytes) -> SecretBytes:
        """The plaintext. Raises SealBroken."""
        if len(sealed) < TAG_BYTES:
            raise SealBroken("shorter than a tag")
        try:
            return SecretBytes(AESGCM(self._payload.reveal()).decrypt(_NONCE, sealed, self.t))
        except InvalidTag:
            raise SealBroken("altered, or sealed under another key") from None

    def receipt(self, plaintext_digest: bytes, outcome: str) -> bytes:
        """What the receiver says became of the plaintext with this SHA-256, for the sender alone."""
        message = lv(self.t, plaintext_digest, outcome.encode("ascii"))
        return hmac.digest(self._receipt.reveal(), message, "sha256")

    def proves_outcome(self, receipt: bytes, plaintext_digest: bytes, outcome: str) -> bool:
        """Whether the holder of the code said this outcome of this plaintext."""
        return hmac.compare_digest(receipt, self.receipt(plaintext_digest, outcome))


def plaintext_digest(plaintext: SecretBytes) -> bytes:
    """SHA-256 of the plaintext, for receipts."""
    return hashlib.sha256(plaintext.reveal()).digest()
