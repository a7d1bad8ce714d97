"""What a share carries, whichever protocol it came by: a database with secrets, one secret, several, or an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keybaton_core.items import (
    LINK_SLOTS,
    DatabaseBody,
    EnvBody,
    Item,
    ItemKind,
    ItemRef,
    ItemRefused,
    ProjectBody,
    SecretBody,
)
from keybaton_core.secret import SecretBytes

PAYLOAD_MAX_BYTES = 1024 * 1024  # handoff protocol: "total 1 MiB"
BUNDLE_MAX_SECRETS = 1000
ENVIRONMENT_MAX_VARIABLES = 999  # with their project they are one batch of the vault


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
class EnvironmentPart:
    """Variables of one environment, all or some. `project` is the project's id, `title` its name for people."""

    project: str
    title: str
    environment: str
    variables: Mapping[str, SecretBytes]

    def checked(self) -> EnvironmentPart:
        """Itself when every part is fit. Raises NameRefused or ItemRefused, naming the field."""
        Item(ItemRef(ItemKind.PROJECT, self.project), ProjectBody(self.title, (self.environment,))).checked()
        if not self.variables:
            raise ItemRefused("variables", "are missing")
        if len(self.variables) > ENVIRONMENT_MAX_VARIABLES:
            raise ItemRefused("variables", f"are more than {ENVIRONMENT_MAX_VARIABLES}")
        for name in self.variables:
            self.item(name).checked()
        return self

    def item(self, name: str, environment: str = "") -> Item:
        """One variable as a vault item, in the offered environment or another one."""
        ref = ItemRef(ItemKind.ENV_VARIABLE, name, self.project, environment or self.environment)
        return Item(ref, EnvBody(self.variables[name]))


@dataclass(frozen=True)
class Payload:
    """A database with up to three secrets keyed by link slot, or 1–1,000 secrets keyed "0", "1", …, or an environment."""

    database: DatabasePart | None
    secrets: tuple[SecretPart, ...]
    environment: EnvironmentPart | None = None

    @property
    def name(self) -> str:
        """That of the main item: the database, the first secret, or "project/environment"."""
        if self.environment is not None:
            return f"{self.environment.title}/{self.environment.environment}"
        return self.database.name if self.database is not None else self.secrets[0].name

    def checked(self) -> Payload:
        """Itself when every part is fit. Raises NameRefused or ItemRefused, naming the field."""
        if self.environment is not None:
            if self.database is not None or self.secrets:
                raise ItemRefused("environment", "does not come with anything else")
            self.environment.checked()
            return self
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
