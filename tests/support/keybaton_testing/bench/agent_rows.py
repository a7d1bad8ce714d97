"""The agent itself: its cold start, its memory, what it burns while idle, and how fast it answers under load."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from keybaton_hot.unary import GET_ITEM, connect, get_request
from keybaton_testing.bench.measure import Row, cpu_seconds, interleaved, milliseconds, resident_kib, timed
from keybaton_testing.bench.setting import Setting, device_with, name, unlocked
from keybaton_testing.device import Device
from keybaton_testing.processes import Running, wait_until

_NULL_SERVER = Path(__file__).with_name("null_server.py")
_COLD_CLIENT = Path(__file__).with_name("cold_client.py")
_LOAD_SECONDS = 120
_MIB = 1024


def cold_start(setting: Setting) -> list[Row]:
    """From nothing to the first answer: no agent runs, the vault exists and is locked."""
    with Device() as device:
        unlocked(device)
        python = setting.python(device, "-c", "pass")

        def start() -> float:
            device.stop_agent()
            return float(device.run([str(setting.programs / "python"), "-I", str(_COLD_CLIENT)], check=True).stdout)

        taken = interleaved({"py": python.run, "start": start}, max(setting.rounds // 2, 5), warm=1)
    ratio = taken["start"] / taken["py"]
    note = f"{milliseconds(taken['start'])}, py {milliseconds(taken['py'])}"
    return [Row("agent: cold start to the first answer", "py", ratio, 10, note=note)]


def idle(setting: Setting) -> list[Row]:
    """Memory and processor time of an agent that has been unlocked and left alone."""
    with device_with(1000) as (device, _):
        pid = device.agent_pid()
        assert pid is not None
        time.sleep(setting.idle_seconds)
        before, start = cpu_seconds(pid), time.monotonic()
        memory = resident_kib(pid) / _MIB
        time.sleep(setting.idle_seconds)
        share = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - start)
    waited = f"{setting.idle_seconds:g} s after unlock"
    return [
        Row("agent: VmRSS, unlocked", waited, memory, 64, "MiB"),
        Row("agent: idle CPU", "one core", share, 0.1, "%"),
    ]


def load(setting: Setting) -> list[Row]:
    """GetItem against a handler that does nothing, in a server of the same kind: one client's median, 64 clients' rate."""
    what = "GetItem"
    if not shutil.which("h2load"):
        return [Row(what, "null grpc.aio handler", None, None, note="missing: h2load (nghttp2-client)")]
    with device_with(1000) as (device, client), tempfile.TemporaryDirectory(prefix="kbb-") as folder:
        null = f"{folder}/null.sock"
        request = Path(folder, "request")
        body = get_request(name(500), "")
        request.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
        command = [str(setting.programs / "python"), str(_NULL_SERVER), null, GET_ITEM]
        with Running(command, env=device.env):
            wait_until(Path(null).exists, "the null server")
            medians: dict[str, list[float]] = {"ours": [], "null": []}
            rates: dict[str, list[float]] = {"ours": [], "null": []}
            for _ in range(5):
                for which, socket in (("ours", str(device.socket)), ("null", null)):
                    medians[which].append(_h2load(socket, request, Path(folder, "log"), clients=1, requests=2000)[0])
                    rates[which].append(_h2load(socket, request, Path(folder, "log"), clients=64, requests=6400)[1])
            first = _first_reads(str(device.socket), null)
        client.agent.info()  # the agent has survived it
    p50 = {which: statistics.median(values) for which, values in medians.items()}
    rate = {which: statistics.median(values) for which, values in rates.items()}
    return [
        Row(
            f"{what}: p50, one client", "null grpc.aio handler", p50["ours"] / p50["null"], 1.25,
            note=f"{milliseconds(p50['ours'])}, null {milliseconds(p50['null'])}",
        ),
        Row(
            f"{what}: requests per second, 64 clients", "null grpc.aio handler", rate["ours"] / rate["null"], 0.70,
            at_least=True, note=f"{rate['ours']:,.0f}/s, null {rate['null']:,.0f}/s",
        ),
        Row(
            f"{what}: p50, another name each time", "null grpc.aio handler", first["ours"] / first["null"], None,
            note=f"{milliseconds(first['ours'])}, null {milliseconds(first['null'])}",
        ),
    ]  # fmt: skip


def _first_reads(ours: str, null: str) -> dict[str, float]:
    """Median seconds of a read that no kept answer helps: h2load asks for one name only, so this is the client's own."""
    channels = {"ours": connect(ours, 10), "null": connect(null, 10)}
    numbers = {which: itertools.cycle(range(1000)) for which in channels}

    def read(which: str) -> float:
        body = get_request(name(next(numbers[which])), "")
        return timed(lambda: channels[which].call(GET_ITEM, body, 10))

    return interleaved({which: functools.partial(read, which) for which in channels}, 2000, warm=100)


def _h2load(socket: str, request: Path, log: Path, *, clients: int, requests: int) -> tuple[float, float]:
    """Median seconds of a request, and requests per second."""
    log.unlink(missing_ok=True)
    start = time.perf_counter()
    subprocess.run(
        [
            "h2load", f"--base-uri=unix:{socket}", f"--clients={clients}", f"--requests={requests}", "--max-concurrent-streams=1",
            f"--data={request}", f"--log-file={log}", "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://localhost{GET_ITEM}",
        ],
        check=True, capture_output=True, timeout=_LOAD_SECONDS,
    )  # fmt: skip
    elapsed = time.perf_counter() - start
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    if len(lines) != requests or any(line[1] != "200" for line in lines):
        raise RuntimeError(f"h2load: {len(lines)} of {requests} answers")
    return statistics.median(int(line[2]) for line in lines) / 1e6, requests / elapsed


def sizes(setting: Setting) -> list[Row]:
    """One read among a thousand and among a million secrets, and the memory that the larger vault takes."""
    with device_with(1000) as (small, _), device_with(0) as (large, client):
        from keybaton_testing.bench.setting import fill

        pid = large.agent_pid()
        assert pid is not None
        memory = {0: resident_kib(pid)}
        stored = 0
        for count in sorted({1000, setting.many // 10, setting.many}):
            fill(client, count - stored, stored)
            stored = count
            memory[count] = resident_kib(pid)
        channels = {"small": connect(str(small.socket), 10), "large": connect(str(large.socket), 10)}
        picks = {"small": 1000, "large": setting.many}

        def read(which: str) -> float:
            body = get_request(name(int.from_bytes(os.urandom(4), "big") % picks[which]), "")
            return timed(lambda: channels[which].call(GET_ITEM, body, 10))

        taken = interleaved({"small": lambda: read("small"), "large": lambda: read("large")}, 1500, warm=100)
    grown = ", ".join(f"{count:,}: {kib / _MIB:.0f} MiB" for count, kib in memory.items())
    return [
        Row(
            f"GetItem: p50 with {setting.many:,} secrets", "with 1,000", taken["large"] / taken["small"], 1.25,
            note=f"{milliseconds(taken['large'])}, {milliseconds(taken['small'])}",
        ),
        Row("agent: VmRSS by secrets stored", "", (memory[setting.many] - memory[0]) / _MIB, None, "MiB more", note=grown),
    ]  # fmt: skip
