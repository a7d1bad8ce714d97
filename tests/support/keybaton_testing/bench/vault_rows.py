"""Writing: what a durable put costs with a few and with many secrets, against the disk alone, and a batch import."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from keybaton_client.messages import PUT_ITEM, put_request
from keybaton_client.unary import Channel, connect
from keybaton_testing.bench.competitors import Pass, keyring_set
from keybaton_testing.bench.measure import Row, interleaved, milliseconds, timed
from keybaton_testing.bench.setting import VALUE, Setting, device_with
from keybaton_testing.device import Device
from keybaton_testing.vaults import made_vault
from keybaton_testing.vaults import secret as vault_item
from keybatond.services.vault import PutMode

_UPSERT = 3
_ROW_BYTES = 350  # about what one sealed row with its index entry takes
_IMPORTED = 1000


def durable_put(setting: Setting) -> list[Row]:
    """PutItem, one after the other on a warm channel, and the same number of appends with fsync on the same disk."""
    many = min(100_000, setting.many)
    with device_with(1000) as (small, _), device_with(many) as (large, _client):
        channels = {"small": connect(str(small.socket), 10), "large": connect(str(large.socket), 10)}
        numbers = iter(range(1_000_000))

        def put(channel: Channel) -> float:
            request = put_request(f"put-{next(numbers)}", "plain", {"value": VALUE}, _UPSERT)
            return timed(lambda: channel.call(PUT_ITEM, request, 10))

        with (small.root / "raw").open("ab", buffering=0) as raw:

            def append() -> None:
                raw.write(bytes(_ROW_BYTES))
                os.fsync(raw.fileno())

            actions = {
                "small": lambda: put(channels["small"]),
                "large": lambda: put(channels["large"]),
                "raw": lambda: timed(append),
            }
            taken = interleaved(actions, 300, warm=20)
    figures = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in taken.items())
    return [
        Row(f"durable put with {many:,} secrets", "with 1,000", taken["large"] / taken["small"], 1.8, note=figures),
        Row(f"durable put with {many:,} secrets", "append and fsync", taken["large"] / taken["raw"], 3),
        asyncio.run(_put_alone()),
    ]


async def _put_alone() -> Row:
    """The vault's own part of it: a put without socket and gRPC, in turns with an append and fsync beside the file."""
    taken: dict[str, list[float]] = {"put": [], "raw": []}
    with tempfile.TemporaryDirectory(prefix="kbb-") as folder:
        vault = await made_vault(Path(folder, "vault.db"))
        with Path(folder, "raw").open("ab", buffering=0) as raw:
            for number in range(320):
                start = time.perf_counter()
                await vault.put(vault_item(f"put-{number}", VALUE), PutMode.CREATE)
                middle = time.perf_counter()
                raw.write(bytes(_ROW_BYTES))
                os.fsync(raw.fileno())
                taken["put"].append(middle - start)
                taken["raw"].append(time.perf_counter() - middle)
        await vault.shutdown()
    put, alone = (statistics.median(taken[which][20:]) for which in ("put", "raw"))
    note = f"{milliseconds(put)}, raw {milliseconds(alone)}"
    return Row("durable put, the vault alone", "append and fsync", put / alone, 3, note=note)


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
