"""Random bytes from the operating system."""

from __future__ import annotations

import secrets


class SystemEntropy:
    """Implements Entropy with getrandom(2), by way of `secrets`."""

    def token(self, size: int) -> bytes:
        """`size` fresh random bytes."""
        return secrets.token_bytes(size)

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1."""
        return secrets.randbelow(limit)
