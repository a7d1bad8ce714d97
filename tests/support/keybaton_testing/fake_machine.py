"""Fakes for what the machine gives: seeded randomness, a device name, and a log that keeps its events."""

from __future__ import annotations

import random


class FakeEntropy:
    """The Entropy port from a seed: the same bytes on each run."""

    def __init__(self, seed: int | str = 0) -> None:
        self._random = random.Random(seed)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)


class FakeDeviceInfo:
    """The DeviceInfo port with a name given."""

    def __init__(self, name: str = "laptop") -> None:
        self._name = name

    def name(self) -> str:
        return self._name


class FakeLog:
    """The Log port; `events` holds (event, fields) in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str | int | float | bool | None]]] = []

    def event(self, event: str, /, **fields: str | int | float | bool | None) -> None:
        self.events.append((event, fields))
