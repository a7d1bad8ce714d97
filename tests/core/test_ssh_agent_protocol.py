"""SSH agent messages and signatures: whatever comes in ends as a request or as Malformed; what goes out verifies."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.encoding import Malformed
from keybaton_core.ssh_agent import (
    FAILURE,
    KEYS_MAX,
    MESSAGE_MAX,
    Identity,
    ListRequest,
    SignRequest,
    decode,
    frame_size,
    framed,
    identities,
    signed,
    string,
    take_string,
)
from keybaton_core.ssh_signing import public_blob, public_blob_of, sign

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "rsa": rsa.generate_private_key(65537, 2048),
    "nistp256": ec.generate_private_key(ec.SECP256R1()),
    "nistp384": ec.generate_private_key(ec.SECP384R1()),
    "nistp521": ec.generate_private_key(ec.SECP521R1()),
}
DATA = b"what a server wants signed"
DIGESTS = {"nistp256": hashes.SHA256(), "nistp384": hashes.SHA384(), "nistp521": hashes.SHA512()}


def private(key, form: PrivateFormat = PrivateFormat.OpenSSH, encryption=None) -> bytes:  # type: ignore[no-untyped-def]
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def public(key) -> str:  # type: ignore[no-untyped-def]
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@settings(max_examples=1000)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    """No other outcome, and what decodes encodes to the same bytes."""
    try:
        request = decode(data)
    except Malformed:
        return
    if isinstance(request, SignRequest):
        assert data == b"\x0d" + string(request.key) + string(request.data) + request.flags.to_bytes(4, "big")
    else:
        assert data == b"\x0b"


@settings(max_examples=1000)
@given(st.binary(min_size=1, max_size=100), st.binary(max_size=300), st.integers(0, 2**32 - 1), st.data())
def test_a_sign_request_is_read_back_and_every_cut_of_it_is_malformed(
    key: bytes, data: bytes, flags: int, drawn: st.DataObject
) -> None:
    """The three parts come out as they went in; one byte less, or one more, is refused."""
    message = b"\x0d" + string(key) + string(data) + flags.to_bytes(4, "big")
    assert decode(message) == SignRequest(key, data, flags)
    at = drawn.draw(st.integers(0, len(message) - 1))
    for broken in (message[:at], message + b"x"):
        with pytest.raises(Malformed):
            decode(broken)


@pytest.mark.parametrize("kind", [number for number in range(256) if number not in (11, 13)])
def test_no_other_kind_of_request_is_served(kind: int) -> None:
    """Adding, removing, locking, smartcards and extensions among them."""
    with pytest.raises(Malformed):
        decode(bytes([kind]) + string(b"key") + string(b"data") + bytes(4))


def test_the_list_request_and_the_sizes() -> None:
    """Lengths of 0 and over the limit are refused before anything is read."""
    assert decode(b"\x0b") == ListRequest()
    assert frame_size(b"\0\0\0\x05") == 5
    for head in (bytes(4), (MESSAGE_MAX + 1).to_bytes(4, "big"), b"\xff\xff\xff\xff", b"\0"):
        with pytest.raises(Malformed):
            frame_size(head)
    with pytest.raises(Malformed):
        decode(b"\x0b" + bytes(MESSAGE_MAX))
    assert framed(FAILURE) == b"\0\0\0\x01\x05"


def test_a_list_names_only_so_many_keys() -> None:
    """However small they are: a server gives up after a few tries."""
    answer = identities([Identity(b"key", "")] * (KEYS_MAX + 1))
    assert int.from_bytes(answer[1:5], "big") == KEYS_MAX
    assert len(answer) == 5 + KEYS_MAX * (4 + 3 + 4)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=5000), st.text(max_size=20)), max_size=200))
def test_a_list_of_keys_never_outgrows_a_message(found: list[tuple[bytes, str]]) -> None:
    """As many as fit, in their order, and their number in front."""
    answer = identities(Identity(key, comment) for key, comment in found)
    assert len(answer) <= MESSAGE_MAX
    count, rest = int.from_bytes(answer[1:5], "big"), answer[5:]
    assert count <= KEYS_MAX
    for key, comment in found[:count]:
        blob, rest = take_string(rest)
        text, rest = take_string(rest)
        assert (blob, text) == (key, comment.encode())
    assert rest == b""


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in KEYS
        for form in (PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
        if (name, form) != ("ed25519", PrivateFormat.TraditionalOpenSSL)  # there is no such form
    ],
)
def test_a_signature_verifies_under_its_public_key(name: str, form: PrivateFormat) -> None:
    """Every served algorithm, from every form a private key is kept in."""
    key = KEYS[name]
    text = private(key, form)
    assert public_blob_of(text) == public_blob(public(key) + " a comment")
    for flags in (2, 4, 6) if name == "rsa" else (0,):
        algorithm, rest = take_string(sign(text, DATA, flags))
        raw, rest = take_string(rest)
        assert rest == b""
        if isinstance(key, ed25519.Ed25519PrivateKey):
            assert algorithm == b"ssh-ed25519"
            key.public_key().verify(raw, DATA)
        elif isinstance(key, rsa.RSAPrivateKey):
            digest = hashes.SHA512() if flags & 4 else hashes.SHA256()
            assert algorithm == (b"rsa-sha2-512" if flags & 4 else b"rsa-sha2-256")
            key.public_key().verify(raw, DATA, padding.PKCS1v15(), digest)
        else:
            assert algorithm == f"ecdsa-sha2-{name}".encode()
            r, s = take_string(raw)[0], take_string(take_string(raw)[1])[0]
            assert r[0] < 0x80 > s[0]
            both = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            key.public_key().verify(both, DATA, ec.ECDSA(DIGESTS[name]))
    assert signed(b"x") == b"\x0e\0\0\0\x01x"


def test_weak_and_foreign_keys_are_refused() -> None:
    """RSA with SHA-1, RSA below 2,048 bits, DSA, other curves, and keys behind a passphrase."""
    with pytest.raises(Malformed):
        sign(private(KEYS["rsa"]), DATA, 0)
    locked = private(KEYS["ed25519"], PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    small = private(rsa.generate_private_key(65537, 1024), PrivateFormat.PKCS8)
    other = private(ec.generate_private_key(ec.SECP256K1()), PrivateFormat.PKCS8)
    old = private(dsa.generate_private_key(1024), PrivateFormat.PKCS8)
    for text in (locked, small, other, old, b"", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", b"\xff"):
        with pytest.raises(Malformed):
            public_blob_of(text)
        with pytest.raises(Malformed):
            sign(text, DATA, 0)


@settings(max_examples=1000)
@given(st.text(max_size=200) | st.builds("{} {}".format, st.sampled_from(["ssh-ed25519", "ssh-rsa"]), st.text()))
def test_any_text_is_a_public_key_or_malformed(text: str) -> None:
    """A line of another tool, half a line, or garbage."""
    try:
        assert public_blob(text)
    except Malformed:
        return


def test_a_public_line_whose_words_disagree_is_refused() -> None:
    """The word in front and the word in the blob are the same."""
    line = public(KEYS["ed25519"])
    for text in (
        line.replace("ssh-ed25519", "ssh-rsa"),
        line.split()[1],
        "ssh-ed25519 AAAA",
        "ssh-ed25519 " + "A" * 20000,
    ):
        with pytest.raises(Malformed):
            public_blob(text)
