"""Codes of shares: made from the operating system's randomness, or given and checked."""

from __future__ import annotations

import re
from collections.abc import Set

from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy
from keybatond.services.share_session import ShareProtocol

DEFAULT_DIGITS = 4
MIN_DIGITS = 4
MAX_DIGITS = 8
FOREIGN_CODE_MAX = 256  # characters; Photosphere itself has no limit
_TRIES = 64
_CODE = re.compile(rf"[0-9]{{{MIN_DIGITS},{MAX_DIGITS}}}", re.ASCII)


def make_code(entropy: Entropy, protocol: ShareProtocol, digits: int, taken: Set[str]) -> str:
    """A uniform code of `digits` digits that is not in `taken`: a code serves one session. INVALID_ARGUMENT.

    Photosphere's begin with 1 to 9, as its own do.
    """
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        raise KeybatonError(Reason.INVALID_ARGUMENT, field="digits", problem=f"is not {MIN_DIGITS} to {MAX_DIGITS}")
    lowest = 10 ** (digits - 1) if protocol is ShareProtocol.PHOTOSPHERE else 0
    code = ""
    for _ in range(_TRIES):
        code = str(lowest + entropy.below(10**digits - lowest)).zfill(digits)
        if code not in taken:
            break
    return code


def checked_code(code: str, protocol: ShareProtocol) -> str:
    """`code` when it is 4-8 ASCII digits, or any text for Photosphere. INVALID_CODE."""
    foreign = protocol is ShareProtocol.PHOTOSPHERE
    if not (0 < len(code) <= FOREIGN_CODE_MAX if foreign else _CODE.fullmatch(code)):
        raise KeybatonError(Reason.INVALID_CODE)
    return code
