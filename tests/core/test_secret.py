"""A secret as a type: no text, no copies, overwritten at its end."""

from __future__ import annotations

import pickle

import pytest

from keybaton_core.secret import SecretBytes


def test_a_secret_has_no_text_and_is_not_pickled() -> None:
    """Whatever prints or stores it by accident shows nothing of it."""
    secret = SecretBytes(b"hush")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "hush" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_are_equal_by_their_bytes_and_to_nothing_else() -> None:
    """Bytes are no secret."""
    assert SecretBytes(b"hush") == SecretBytes(b"hush")
    assert SecretBytes(b"hush") != SecretBytes(b"hush!")
    assert SecretBytes(b"hush") != b"hush"


def test_wiping_overwrites_what_is_looked_at() -> None:
    """A view sees zeros afterwards, and nobody writes through it before."""
    secret = SecretBytes(b"hush")
    view = secret.reveal_view()
    assert (bytes(view), view.readonly) == (b"hush", True)
    secret.wipe()
    assert bytes(view) == bytes(4)


def test_a_secret_over_a_buffer_is_that_buffer() -> None:
    """Nothing is copied, so that wiping one wipes the other."""
    buffer = bytearray(b"hush")
    secret = SecretBytes.over(memoryview(buffer))
    assert secret.reveal() == b"hush"
    secret.wipe()
    assert buffer == bytes(4)


@pytest.mark.parametrize(
    "buffer",
    [memoryview(b"hush"), memoryview(bytearray(8)).cast("I"), memoryview(bytearray(8))[::2]],
    ids=["read-only", "of integers", "with gaps"],
)
def test_a_buffer_that_could_not_be_wiped_holds_no_secret(buffer: memoryview) -> None:
    """It must be writable, of bytes, and in one piece."""
    with pytest.raises(ValueError, match="writable"):
        SecretBytes.over(buffer)
