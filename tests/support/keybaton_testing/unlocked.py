"""A device whose vault is made under a passphrase, with secrets in it, to be locked and unlocked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from keybaton_testing.device import Device

PASSPHRASE = "a passphrase of the tests"
LOCKED_HINT = "`keybaton unlock` opens it."


class PassphraseDevice(Device):
    """Begins unlocked and empty."""

    def __init__(self, name: str = "device") -> None:
        super().__init__(name)
        self.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE + "\n", check=True)

    def lock(self) -> None:
        """Drops the keys."""
        self.keybaton("lock", check=True)

    def unlock(self) -> None:
        """Opens the vault again."""
        self.keybaton("unlock", "--passphrase-fd", "0", stdin=PASSPHRASE + "\n", check=True)

    def put(self, name: str, kind: str, **fields: str) -> None:
        """Stores a secret; each value goes through a descriptor."""
        arguments, descriptors = [], []
        for key, value in fields.items():
            reading, writing = os.pipe()
            os.write(writing, value.encode())
            os.close(writing)
            descriptors.append(reading)
            arguments += ["--field-fd", f"{key}={reading}"]
        try:
            self.keybaton("secrets", "add", name, "--type", kind, *arguments, pass_fds=descriptors, check=True)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def names(self) -> list[str]:
        """Names of the secrets."""
        done = self.keybaton("secrets", "list", "--json", check=True)
        return sorted(item["name"] for item in json.loads(done.stdout)["secrets"])

    def reads(self) -> list[tuple[str, str]]:
        """(name, kind of client) of each read, newest first."""
        done = self.keybaton("history", "--reads", "--json", check=True)
        listed: list[Mapping[str, Any]] = json.loads(done.stdout)["reads"]
        return [(read["name"], read["client"]) for read in listed]
