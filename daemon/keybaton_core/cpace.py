"""CPace-X25519-SHA512 of draft-irtf-cfrg-cpace, initiator-responder setting. Scalars and session ids are arguments.

Only the map to the curve is our arithmetic; scalar multiplication and the refusal of low-order points are the library's.
The map's integer arithmetic does not run in constant time; each run maps another point, since the session id is in it.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keybaton_core.encoding import lv
from keybaton_core.labels import CPACE_GENERATOR, CPACE_ISK

SCALAR_BYTES = 32
POINT_BYTES = 32
ISK_BYTES = 64

_HASH_BLOCK_BYTES = 128  # s_in_bytes of SHA-512
_P = 2**255 - 19
_A = 486662  # curve25519: v^2 = u^3 + A u^2 + u
_Z = 2  # the non-square of RFC 9380 section 6.7.1 for this curve


class LowOrderPoint(ValueError):
    """A public value whose multiple is the neutral element: the run must be given up."""


def generator_string(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """The draft's `generator_string`: the password alone fills the first block of the hash."""
    padding = max(0, _HASH_BLOCK_BYTES - len(lv(CPACE_GENERATOR)) - len(lv(prs)) - 1)
    return lv(CPACE_GENERATOR, prs, bytes(padding), ci, sid)


def elligator2(field_element: bytes) -> bytes:
    """Maps 32 bytes (top bit ignored) to a u-coordinate: RFC 9380 section 6.7.1, the u-coordinate alone."""
    r = (int.from_bytes(field_element, "little") & ((1 << 255) - 1)) % _P
    v = -_A * pow(1 + _Z * r * r, -1, _P) % _P  # 1 + 2 r² is never 0: -1/2 is no square
    is_square = pow(v * (v * (v + _A) + 1), (_P - 1) // 2, _P) in (0, 1)
    return (v if is_square else (-v - _A) % _P).to_bytes(32, "little")


def calculate_generator(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """The draft's `calculate_generator`: a point (32 bytes) that only who knows `prs` can name."""
    return elligator2(hashlib.sha512(generator_string(prs, ci, sid)).digest()[:POINT_BYTES])


def multiply(scalar: bytes, point: bytes) -> bytes:
    """X25519 (RFC 7748) of 32-byte values. Raises LowOrderPoint where the result is all zero."""
    try:
        return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise LowOrderPoint("the point has low order") from None


def isk_ir(sid: bytes, shared: bytes, ya: bytes, ada: bytes, yb: bytes, adb: bytes) -> bytes:
    """The draft's ISK (64 bytes) for ordered messages: initiator's first."""
    return hashlib.sha512(lv(CPACE_ISK, sid, shared) + lv(ya, ada) + lv(yb, adb)).digest()
