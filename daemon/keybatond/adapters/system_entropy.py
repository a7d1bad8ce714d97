"""Random bytes from the operating system."""

from __future__ import annotations

import os


class SystemEntropy:
    """Implements Entropy with getrandom(2)."""

    def token(self, size: int) -> bytes:
        """`size` fresh random bytes."""
        return os.urandom(size)

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1."""
        import secrets  # with the first code of a share: it loads `random`

        return secrets.randbelow(limit)
