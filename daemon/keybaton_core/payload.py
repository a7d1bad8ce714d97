"""What a share carries, whichever protocol it came by: a database with secrets, one secret, or several."""

from __future__ import annotations

from dataclasses import dataclass

from keybaton_core.items import LINK_SLOTS, DatabaseBody, Item, ItemKind, ItemRef, ItemRefused, SecretBody

PAYLOAD_MAX_BYTES = 1024 * 1024  # handoff protocol: "total 1 MiB"
BUNDLE_MAX_SECRETS = 1000


@dataclass(frozen=True)
class SecretPart:
    """A secret in a payload. `key` is the link slot within a database, else the decimal index."""

    key: str
    name: str
    body: SecretBody

    def item(self) -> Item:
        """As a vault item under the offered name."""
        return Item(ItemRef(ItemKind.SECRET, self.name), self.body)


@dataclass(frozen=True)
class DatabasePart:
    """A database in a payload; its `body.links` are empty, the linked secrets travel as SecretParts."""

    name: str
    body: DatabaseBody


@dataclass(frozen=True)
class Payload:
    """A database with up to three secrets keyed by link slot, or 1–1,000 secrets keyed "0", "1", …"""

    database: DatabasePart | None
    secrets: tuple[SecretPart, ...]

    def checked(self) -> Payload:
        """Itself when every part is fit. Raises NameRefused or ItemRefused, naming the field."""
        if self.database is None and not self.secrets:
            raise ItemRefused("secrets", "are missing")
        if len(self.secrets) > BUNDLE_MAX_SECRETS:
            raise ItemRefused("secrets", f"are more than {BUNDLE_MAX_SECRETS}")
        if self.database is not None:
            Item(ItemRef(ItemKind.DATABASE, self.database.name), self.database.body).checked()
            if self.database.body.links:
                raise ItemRefused("links", "are not part of a payload")
        keys = [part.key for part in self.secrets]
        if len(set(keys)) != len(keys):
            raise ItemRefused("secrets", "name the same key twice")
        names = [part.name for part in self.secrets]
        if self.database is None and len(set(names)) != len(names):
            raise ItemRefused("secrets", "hold the same name twice")
        for index, part in enumerate(self.secrets):
            part.item().checked()
            if self.database is None:
                if part.key != str(index):
                    raise ItemRefused("secrets", "are not numbered in order")
            elif LINK_SLOTS.get(part.key) != part.body.type:
                raise ItemRefused("secrets", "do not fit their link")
        return self
