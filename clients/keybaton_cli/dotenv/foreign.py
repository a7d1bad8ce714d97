"""Values in a `.env` file that only another program understands: ciphertext of dotenvx, references to 1Password.

Both programs tell them by how they begin, and so does this.
"""

from __future__ import annotations

from collections.abc import Iterable

from keybaton_cli.dotenv.reading import Binding


def encrypted(bindings: Iterable[Binding]) -> list[Binding]:
    """Those that `dotenvx decrypt` would decrypt."""
    return [binding for binding in bindings if (binding.value or "").startswith("encrypted:")]


def references(bindings: Iterable[Binding]) -> list[Binding]:
    """Those that `op run` would look up."""
    return [binding for binding in bindings if (binding.value or "").startswith("op://")]
