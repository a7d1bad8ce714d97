"""A handoff of 1 KB between two namespaces: warm agents, whole commands, and the programs that do something like it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from keybaton_api.agent.v1 import common_pb2, share_pb2
from keybaton_client.client import Client
from keybaton_testing.bench.competitors import Missing, set_up, wormhole
from keybaton_testing.bench.measure import Row, interleaved, milliseconds
from keybaton_testing.bench.setting import Setting, unlocked
from keybaton_testing.lab import Host, Lab
from keybaton_testing.processes import wait_until
from keybaton_testing.require import present

_NAME = "one kilobyte"
_VALUE = b"x" * 1000
_CODE = "48213"
_SECONDS = 30.0
_MAILBOX_PORT = 4000
_ENDED = {
    share_pb2.SHARE_STATE_SAVED,
    share_pb2.SHARE_STATE_DECLINED,
    share_pb2.SHARE_STATE_FAILED,
    share_pb2.SHARE_STATE_CANCELLED,
    share_pb2.SHARE_STATE_EXPIRED,
}


def shares(setting: Setting) -> list[Row]:
    """Every row that needs the two namespaces."""
    if not (present("root") and present("netns")):
        return [Row("handoff of 1 KB", "", None, None, note="missing: root or network namespaces")]
    with Lab() as lab:
        left, right = lab.host("left"), lab.host("right")
        sender, receiver = unlocked(left), unlocked(right)
        sender.vault.put_item(_item())
        rows = _warm(sender, receiver, right, setting)
        rows += _commands(left, right, receiver, setting)
        memory = [_resident(host) for host in (left, right)]
        return [*rows, Row("agent: VmRSS after the first share", "", max(memory), 80, "MiB")]


def _resident(host: Host) -> float:
    from keybaton_testing.bench.measure import resident_kib

    pid = host.agent_pid()
    assert pid is not None
    return resident_kib(pid) / 1024


def _item() -> common_pb2.Item:
    fields = [common_pb2.Field(key="value", value=_VALUE)]
    return common_pb2.Item(ref=_ref(), secret=common_pb2.Secret(type="note", fields=fields))


def _ref() -> common_pb2.ItemRef:
    return common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=_NAME)


def _warm(sender: Client, receiver: Client, right: Host, setting: Setting) -> list[Row]:
    handed, found = [], []
    for number in range(setting.rounds // 2 + 3):
        whole, first_contact = _one_handoff(sender, receiver)
        receiver.vault.delete_item(_ref())
        if number >= 3:
            handed.append(whole)
            found.append(first_contact)
    return [
        Row("handoff of 1 KB, warm agents", "", statistics.median(handed) * 1000, 60, "ms", note=_spread(handed)),
        Row(
            "discovery: second side's start to first contact",
            "",
            statistics.median(found) * 1000,
            15,
            "ms",
            note=_spread(found),
        ),
    ]


def _spread(values: list[float]) -> str:
    return f"{milliseconds(min(values))} to {milliseconds(max(values))}"


def _one_handoff(sender: Client, receiver: Client) -> tuple[float, float]:
    """Seconds from StartSend until both watches say saved, and until the sender has met the receiver."""
    receiving = receiver.shares.start_receive(share_pb2.StartReceiveRequest(code=_CODE, code_is_final=True))
    ends: dict[str, float] = {}
    contact: list[float] = []
    announcing = threading.Event()

    def receive() -> None:
        for session in receiver.shares.watch(receiving.id):
            if session.state == share_pb2.SHARE_STATE_ANNOUNCING:
                announcing.set()
            if session.state == share_pb2.SHARE_STATE_REVIEW and "review" not in ends:
                ends["review"] = time.perf_counter()
                receiver.shares.review(share_pb2.ReviewRequest(session_id=session.id, accept=True))
            _note(session, "receiver", ends)

    watching = threading.Thread(target=receive)
    watching.start()
    if not announcing.wait(_SECONDS):
        raise RuntimeError("the receiver does not announce")
    start = time.perf_counter()
    sending = sender.shares.start_send(share_pb2.StartSendRequest(items=[_ref()], code=_CODE))
    for session in sender.shares.watch(sending.id):
        if session.state != share_pb2.SHARE_STATE_SEEKING and not contact:
            contact.append(time.perf_counter())
        _note(session, "sender", ends)
    watching.join(_SECONDS)
    return max(ends["sender"], ends["receiver"]) - start, contact[0] - start


def _note(session: share_pb2.Session, side: str, ends: dict[str, float]) -> None:
    if session.state in _ENDED:
        if session.state != share_pb2.SHARE_STATE_SAVED:
            raise RuntimeError(f"the {side} ended with {session.reason}")
        ends[side] = time.perf_counter()


def _commands(left: Host, right: Host, receiver: Client, setting: Setting) -> list[Row]:
    """Whole commands on both sides, from the second one's start to the end of both."""
    rounds = max(setting.rounds // 4, 3)
    py = setting.python(left, "-c", "pass").run
    actions: dict[str, Callable[[], float]] = {"py": py, "ours": lambda: _our_commands(left, right, receiver)}
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name, made in (("scp", _scp), ("magic-wormhole", _wormhole)):
            try:
                actions[name] = stack.enter_context(made(left, right, setting))
            except Missing as error:
                missing[name] = str(error)
        taken = interleaved(actions, rounds, warm=1)
    what = "handoff of 1 KB, whole commands"
    figures = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in taken.items())
    rows = [Row(what, "py", taken["ours"] / taken["py"], 25, note=figures)]
    for name, bound in (("magic-wormhole", 1.0), ("scp", None)):
        if name in missing:
            rows.append(Row(what, name, None, bound, note=missing[name]))
        else:
            rows.append(Row(what, name, taken["ours"] / taken[name], bound))
    return rows


def _our_commands(left: Host, right: Host, receiver: Client) -> float:
    receiving = right.spawn_keybaton("secrets", "receive", "--code-fd", "0", "--yes", "--json", stdin=f"{_CODE}\n")
    while receiving.read_event("state").get("state") != "announcing":
        pass
    start = time.perf_counter()
    sending = left.spawn_keybaton("secrets", "send", _NAME, "--code-fd", "0", "--yes", "--json", stdin=f"{_CODE}\n")
    outcomes = [side.finish(timeout=_SECONDS)[0] for side in (sending, receiving)]
    elapsed = time.perf_counter() - start
    if any(outcomes):
        raise RuntimeError(f"send and receive ended with {outcomes}")
    receiver.vault.delete_item(_ref())
    return elapsed


@contextlib.contextmanager
def _scp(left: Host, right: Host, setting: Setting) -> Iterator[Callable[[], float]]:
    """An sshd in the right namespace, keys without passphrases, known to each other."""
    daemon = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if daemon is None or not shutil.which("scp"):
        raise Missing("missing: openssh-server, openssh-client")
    folder = right.root / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        set_up(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], os.environ)
    (folder / "known").write_text(f"{right.addresses[0]} {(folder / 'host.pub').read_text()}")
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "config").write_text(
        f"ListenAddress {right.addresses[0]}:2222\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    right.start([daemon, "-D", "-f", str(folder / "config")])
    (folder / "file").write_bytes(_VALUE)
    command = [
        "scp", "-q", "-P", "2222", "-i", f"{folder}/user", "-o", "BatchMode=yes", "-F", "none",
        "-o", f"UserKnownHostsFile={folder}/known", "-o", "HostKeyAlias=" + right.addresses[0],
        f"{folder}/file", f"root@{right.addresses[0]}:{folder}/copy",
    ]  # fmt: skip

    def copy() -> float:
        start = time.perf_counter()
        done = left.run(command, timeout=_SECONDS)
        if done.returncode:
            raise Missing(f"missing: scp {done.stderr.strip()[-80:]}")
        return time.perf_counter() - start

    with contextlib.suppress(AssertionError):
        wait_until(lambda: left.run(command, timeout=_SECONDS).returncode == 0, "sshd", seconds=5)
    copy()
    yield copy


@contextlib.contextmanager
def _wormhole(left: Host, right: Host, setting: Setting) -> Iterator[Callable[[], float]]:
    """Python's magic-wormhole with a mailbox server in the right namespace."""
    programs = wormhole(setting)
    mailbox = right.root / "mailbox"
    mailbox.mkdir()
    listen = f"tcp:{_MAILBOX_PORT}:interface={right.addresses[0]}"
    database = f"--channel-db={mailbox}/db"
    right.start([str(programs / "twist"), "wormhole-mailbox", f"--port={listen}", database], output=mailbox / "log")
    relay = f"--relay-url=ws://{right.addresses[0]}:{_MAILBOX_PORT}/v1"
    with contextlib.suppress(AssertionError):
        wait_until(lambda: "Starting reactor" in (mailbox / "log").read_text(), "the mailbox server", seconds=_SECONDS)
    codes = (f"{number}-pluto-guitar" for number in itertools.count(1))
    program = str(programs / "wormhole")

    def hand_over() -> float:
        code = next(codes)
        receiving = subprocess.Popen(
            [*right.prefix, program, relay, "receive", "--only-text", code],
            env=right.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert receiving.stdout is not None
        waiting = receiving.stdout.readline()
        start = time.perf_counter()
        sent = left.run([program, relay, "send", f"--code={code}", f"--text={_VALUE.decode()}"], timeout=_SECONDS)
        status = receiving.wait(_SECONDS)
        elapsed = time.perf_counter() - start
        receiving.stdout.close()
        if sent.returncode or status:
            raise Missing(f"missing: wormhole {(sent.stderr.strip() or waiting.decode())[-80:]}")
        return elapsed

    try:
        hand_over()
    except subprocess.TimeoutExpired:
        raise Missing("missing: wormhole did not end in time") from None
    yield hand_over
