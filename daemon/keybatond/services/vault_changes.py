"""What a caller asks of the vault in one transaction: single writes with the condition under which each may happen."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from keybaton_core.items import Item


class PutMode(enum.IntEnum):
    """Equal to the API's PutMode."""

    CREATE = 1  # NAME_TAKEN when it is there
    REPLACE = 2  # NOT_FOUND when it is not
    UPSERT = 3


@dataclass(frozen=True)
class Change:
    """One write. With `base_version`, VERSION_CONFLICT unless that is the stored version; 0: whatever it is.

    `rename_from`, with REPLACE: the name until now; links to a renamed secret follow.
    """

    item: Item
    mode: PutMode
    base_version: int = 0
    rename_from: str = ""
