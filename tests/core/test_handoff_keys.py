"""The key schedule of a handoff: golden numbers, a second derivation from the standard library alone, and what must differ."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from keybaton_core.cpace import calculate_generator, isk_ir, multiply
from keybaton_core.encoding import lv
from keybaton_core.handoff_keys import HandoffKeys, SealBroken, Transcript, channel_identifier, plaintext_digest
from keybaton_core.secret import SecretBytes

V = json.loads((Path(__file__).parent.parent / "vectors" / "handoff-keys.json").read_text())


def h(name: str) -> bytes:
    return bytes.fromhex(V[name])


def transcript() -> Transcript:
    return Transcript(h("CI"), h("sid"), h("Ya"), V["ADa"].encode(), h("Yb"), V["ADb"].encode())


@pytest.fixture
def sender() -> HandoffKeys:
    return HandoffKeys(transcript(), h("scalar_a"), h("Yb"))


@pytest.fixture
def receiver() -> HandoffKeys:
    return HandoffKeys(transcript(), h("scalar_b"), h("Ya"))


def test_the_numbers_are_the_golden_ones(sender: HandoffKeys) -> None:
    """Two versions of the program understand each other only while every one of these stands."""
    generator = calculate_generator(V["code"].encode(), h("CI"), h("sid"))
    plaintext = SecretBytes.from_text(V["plaintext"])
    assert channel_identifier(h("fingerprint")) == h("CI")
    assert multiply(h("scalar_a"), generator) == h("Ya")
    assert multiply(h("scalar_b"), generator) == h("Yb")
    assert (sender.t, sender.mac_b(), sender.mac_a()) == (h("T"), h("mac_b"), h("mac_a"))
    assert sender.seal(plaintext) == h("sealed")
    for outcome, receipt in V["receipts"].items():
        assert sender.receipt(plaintext_digest(plaintext), outcome).hex() == receipt


def test_a_second_derivation_gives_the_same_numbers() -> None:
    """HKDF and HMAC written out from RFC 5869 and RFC 2104 agree with the golden numbers."""
    t = hashlib.sha256(lv(h("CI"), h("sid"), h("Ya"), V["ADa"].encode(), h("Yb"), V["ADb"].encode())).digest()
    shared = multiply(h("scalar_b"), h("Ya"))
    isk = isk_ir(h("sid"), shared, h("Ya"), V["ADa"].encode(), h("Yb"), V["ADb"].encode())
    extracted = hmac.digest(t, isk, "sha256")

    def key(label: str) -> bytes:
        return hmac.digest(extracted, b"keybaton/handoff/1 " + label.encode() + b"\x01", "sha256")

    digest = hashlib.sha256(V["plaintext"].encode()).digest()
    assert hmac.digest(key("receiver-confirm"), t, "sha256") == h("mac_b")
    assert hmac.digest(key("sender-confirm"), t, "sha256") == h("mac_a")
    assert hmac.digest(key("receipt"), lv(t, digest, b"saved"), "sha256").hex() == V["receipts"]["saved"]


def test_both_sides_hold_the_same_keys(sender: HandoffKeys, receiver: HandoffKeys) -> None:
    """Each proves itself to the other, and the payload opens."""
    assert sender.proves_receiver(receiver.mac_b())
    assert receiver.proves_sender(sender.mac_a())
    assert receiver.open(h("sealed")).reveal_text() == V["plaintext"]


def test_a_proof_cannot_be_handed_back(sender: HandoffKeys) -> None:
    """The sender's proof is not the receiver's: reflecting it proves nothing."""
    assert not sender.proves_receiver(sender.mac_a())
    assert not sender.proves_sender(sender.mac_b())


@pytest.mark.parametrize("part", ["ci", "sid", "ya", "ada", "yb", "adb"])
def test_every_part_of_the_transcript_counts(part: str, receiver: HandoffKeys) -> None:
    """One bit changed in certificate, session, message or hello: neither proof nor payload goes through."""
    values = dict(vars(transcript()))
    values[part] = bytes([values[part][0] ^ 1]) + values[part][1:]
    altered = HandoffKeys(Transcript(**values), h("scalar_a"), h("Yb"))
    assert not receiver.proves_sender(altered.mac_a())
    with pytest.raises(SealBroken):
        receiver.open(altered.seal(SecretBytes(b"{}")))


def test_a_seal_that_is_altered_or_cut_does_not_open(receiver: HandoffKeys) -> None:
    """Each byte and each length of the sealed payload counts."""
    sealed = h("sealed")
    for index in range(len(sealed)):
        with pytest.raises(SealBroken):
            receiver.open(sealed[:index])
        with pytest.raises(SealBroken):
            receiver.open(sealed[:index] + bytes([sealed[index] ^ 0x80]) + sealed[index + 1 :])


def test_a_receipt_is_for_one_outcome_of_one_payload(sender: HandoffKeys, receiver: HandoffKeys) -> None:
    """A receipt for declined, or for another payload, does not pass for saved."""
    digest = plaintext_digest(SecretBytes(b"{}"))
    receipt = receiver.receipt(digest, "saved")
    assert sender.proves_outcome(receipt, digest, "saved")
    assert not sender.proves_outcome(receipt, digest, "declined")
    assert not sender.proves_outcome(receipt, bytes(32), "saved")
