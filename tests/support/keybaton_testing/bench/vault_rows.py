"""Writing: what a durable put costs with a few and with many secrets, against the disk alone, and a batch import."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

from keybaton_hot.unary import PUT_ITEM, connect, put_request
from keybaton_testing.bench.competitors import Pass, keyring_set
from keybaton_testing.bench.measure import Row, interleaved, milliseconds, timed
from keybaton_testing.bench.setting import BATCH, VALUE, Setting, device_with, name
from keybaton_testing.device import Device
from keybaton_testing.vaults import made_vault
from keybaton_testing.vaults import secret as vault_item
from keybatond.services.vault import PutMode, VaultService

_UPSERT = 3
_ROW_BYTES = 350  # about what one sealed row with its index entry takes
_IMPORTED = 1000


def durable_put(setting: Setting) -> list[Row]:
    """One put after the other: by the vault itself, and by PutItem on a warm channel; in turns with appends and fsync."""
    many = min(100_000, setting.many)
    return [*asyncio.run(_vault_put(many)), *_socket_put(many)]


async def _vault_put(many: int) -> list[Row]:
    """The vault's own puts, without socket and gRPC: what the disk and the sealing cost, however many secrets there are."""
    taken: dict[str, list[float]] = {"small": [], "large": [], "raw": []}
    with tempfile.TemporaryDirectory(prefix="kbb-") as folder:
        vaults = {
            "small": await _filled(Path(folder, "small.db"), 1000),
            "large": await _filled(Path(folder, "large.db"), many),
        }
        with Path(folder, "raw").open("ab", buffering=0) as raw:
            for number in range(320):
                for which, vault in vaults.items():
                    start = time.perf_counter()
                    await vault.put(vault_item(f"put-{number}", VALUE), PutMode.CREATE)
                    taken[which].append(time.perf_counter() - start)
                taken["raw"].append(timed(lambda: _append(raw)))
        for vault in vaults.values():
            await vault.shutdown()
    medians = {which: statistics.median(seconds[20:]) for which, seconds in taken.items()}
    what = f"durable put with {many:,} secrets"
    return [
        Row(what, "with 1,000", medians["large"] / medians["small"], 1.8, note=_figures(medians)),
        Row(what, "append and fsync", medians["large"] / medians["raw"], 3),
    ]


async def _filled(path: Path, count: int) -> VaultService:
    vault = await made_vault(path)
    for first in range(0, count, BATCH):
        items = [vault_item(name(number), VALUE) for number in range(first, min(first + BATCH, count))]
        await vault.batch_put(items, PutMode.CREATE)
    return vault


def _socket_put(many: int) -> list[Row]:
    """PutItem as clients see it. It has no bound of its own: on a quick disk the call costs more than the put."""
    with device_with(1000) as (small, _), device_with(many) as (large, _client):
        channels = {"small": connect(str(small.socket), 10), "large": connect(str(large.socket), 10)}
        numbers = iter(range(1_000_000))

        def put(which: str) -> float:
            request = put_request(f"put-{next(numbers)}", "plain", {"value": VALUE}, _UPSERT)
            return timed(lambda: channels[which].call(PUT_ITEM, request, 10))

        with (small.root / "raw").open("ab", buffering=0) as raw:
            actions = {
                "small": lambda: put("small"),
                "large": lambda: put("large"),
                "raw": lambda: timed(lambda: _append(raw)),
            }
            taken = interleaved(actions, 300, warm=20)
    what = f"PutItem over the socket, {many:,} secrets"
    return [
        Row(what, "with 1,000", taken["large"] / taken["small"], 1.8, note=_figures(taken)),
        Row(what, "append and fsync", taken["large"] / taken["raw"], None),
    ]


def _append(raw: FileIO) -> None:
    raw.write(bytes(_ROW_BYTES))
    os.fsync(raw.fileno())


def _figures(taken: Mapping[str, float]) -> str:
    return ", ".join(f"{which} {milliseconds(seconds)}" for which, seconds in taken.items())


def batch_import(setting: Setting) -> list[Row]:
    """`keybaton secrets import` of 1,000 secrets against as many `pass insert` or `keyring set`."""
    rows: list[Row] = []
    with device_with(0) as (device, _), tempfile.TemporaryDirectory(prefix="kbb-") as folder:
        source = Path(folder, "secrets.env")
        counter = iter(range(1000))

        def imported() -> float:
            round_number = next(counter)
            lines = (f"R{round_number}_{number}={VALUE.hex()}\n" for number in range(_IMPORTED))
            source.write_text("".join(lines))
            return setting.keybaton(device, "secrets", "import", str(source), "--format", "dotenv").run()

        ours = interleaved({"import": imported}, max(setting.rounds // 6, 3), warm=1)["import"]
        for against, single, bound in _single_inserts(setting, device):
            if isinstance(single, str):
                rows.append(Row(f"import {_IMPORTED:,} secrets", against, None, bound, note=single))
                continue
            ratio = ours / (single * _IMPORTED)
            note = f"{ours:.2f} s; one takes {milliseconds(single)}"
            rows.append(Row(f"import {_IMPORTED:,} secrets", against, ratio, bound, note=note))
    return rows


def _single_inserts(setting: Setting, device: Device) -> list[tuple[str, float | str, float | None]]:
    found: list[tuple[str, float | str, float | None]] = []
    rounds = max(setting.rounds // 2, 5)
    if shutil.which("pass") and shutil.which("gpg"):
        with Pass() as store:
            found.append(("1,000 × pass insert", interleaved({"pass": store.insert}, rounds)["pass"], 0.005))
    else:
        found.append(("1,000 × pass insert", "missing: pass, gnupg", 0.005))
    single = keyring_set(setting, rounds)
    found.append(("1,000 × keyring set", single, None))
    return found
