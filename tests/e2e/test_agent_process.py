"""The agent as a process: who reaches it, that there is one, how it starts and ends, and what it writes down."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from keybaton_api.agent.v1 import agent_pb2, common_pb2, share_pb2
from keybaton_client.client import Client
from keybaton_client.problem import ClientError
from keybaton_hot.unary import GET_ENVIRONMENT, GET_ITEM, LIST_ITEMS, connect
from keybaton_testing.device import Device
from keybaton_testing.processes import process_exists, wait_until
from keybaton_testing.program import keybaton
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

PASSPHRASE = b"seven quiet otters in a row"
SERVICES = ("AgentService", "VaultService", "EnvService", "ShareService")


def agent_program() -> str:
    """The `keybatond` beside the `keybaton` under test."""
    beside = Path(keybaton()[0]).parent / "keybatond"
    return str(beside if beside.exists() else Path(sys.executable).parent / "keybatond")


def started(device: Device) -> Client:
    """A client of the device's agent, which is started in the foreground, log on `log.txt`."""
    device.start([agent_program(), "--foreground"], output=device.root / "log.txt")
    wait_until(lambda: device.agent_pid() is not None, "the agent's socket")
    return Client.connect(str(device.socket), start=False)


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as one:
        yield one


def secret(name: str, value: bytes) -> common_pb2.Item:
    body = common_pb2.Secret(type="plain", fields=[common_pb2.Field(key="value", value=value)])
    return common_pb2.Item(ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name), secret=body)


def test_socket_and_files_are_for_the_user_alone(device: Device) -> None:
    """Folders 0700, socket and files 0600, whatever umask the agent was started with; and no TCP."""
    before = os.umask(0)
    try:
        with started(device) as client:
            client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
            pid = client.agent.info().pid
    finally:
        os.umask(before)
    ours = [device.root / folder / "keybaton" for folder in ("run", "data", "state")]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in ours} == {0o700}
    found = {path.name: stat.S_IMODE(path.lstat().st_mode) for folder in ours for path in folder.iterdir()}
    assert {"agent.sock", "agent.lock", "vault.db"} <= set(found)
    assert set(found.values()) == {0o600}
    tables = "".join(Path(f"/proc/{pid}/net/{table}").read_text() for table in ("tcp", "tcp6"))
    inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    assert not [line for line in tables.splitlines()[1:] if f"socket:[{line.split()[9]}]" in inodes]


def test_a_second_agent_says_so_and_leaves_the_first_alone(device: Device) -> None:
    """It exits 1 naming the first one's process; the socket of the first survives."""
    with started(device) as client:
        inode = device.socket.stat().st_ino
        second = device.run([agent_program(), "--foreground"])
        assert second.returncode == 1
        assert f"process {client.agent.info().pid}" in second.stderr
        assert "hint:" in second.stderr
        assert device.socket.stat().st_ino == inode
        assert client.agent.info().vault_state == agent_pb2.VAULT_STATE_ABSENT


def test_an_agent_of_another_runtime_folder_leaves_the_vault_alone(device: Device) -> None:
    """Two agents that do not know of each other's socket never open one vault; the next may, once the first has ended."""
    other = device.root / "other"
    other.mkdir(mode=0o700)
    elsewhere = {"XDG_RUNTIME_DIR": str(other)}
    first = device.start([agent_program(), "--foreground"])
    wait_until(lambda: device.agent_pid() is not None, "the agent's socket")
    second = device.run([agent_program(), "--foreground"], env=elsewhere, timeout=20)
    assert second.returncode == 1
    assert f"process {device.agent_pid()}" in second.stderr
    assert "XDG_RUNTIME_DIR" in second.stderr
    first.stop()
    third = device.start([agent_program(), "--foreground"], env=elsewhere)
    wait_until((other / "keybaton" / "agent.sock").exists, "the socket of the next agent")
    third.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_gracefully(device: Device, number: signal.Signals) -> None:
    """Exit code 0, watches are told, the socket is gone, the log says which signal it was."""
    running = device.start([agent_program(), "--foreground"], output=device.root / "log.txt")
    wait_until(lambda: device.agent_pid() is not None, "the agent's socket")
    with Client.connect(str(device.socket), start=False) as client:
        watch = client.agent.watch()
        next(watch)
        os.kill(client.agent.info().pid, number)
        with pytest.raises(ClientError) as told:
            next(watch)
    assert told.value.reason == "SHUTTING_DOWN"
    assert running.process.wait(10) == 0
    assert not device.socket.exists()
    assert number.name in (device.root / "log.txt").read_text()


def test_stop_ends_the_agent_and_the_next_command_starts_another(device: Device) -> None:
    """It is gone when the command returns, gracefully; where none runs there is nothing to do."""
    device.keybaton("status", check=True)
    pid = device.agent_pid()
    assert pid is not None
    assert json.loads(device.keybaton("stop", "--json", check=True).stdout) == {"stopped": True, "pid": pid}
    assert not process_exists(pid)
    assert not device.socket.exists()
    assert device.keybaton("stop", check=True).stdout == "No agent is running.\n"
    device.keybaton("status", check=True)
    assert device.agent_pid() not in (None, pid)


def test_an_agent_that_was_killed_leaves_nothing_in_the_way(device: Device) -> None:
    """The socket that it leaves behind is replaced by the next one's."""
    with started(device) as client:
        pid = client.agent.info().pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not process_exists(pid) and device.agent_pid() is None, "the agent's end")
    assert device.socket.exists()
    with Client.connect(env=device.env) as client:
        assert client.agent.info().pid != pid


def test_a_started_agent_keeps_nothing_of_its_starter(device: Device) -> None:
    """No descriptor, session, process group or folder of the caller; the caller's pipe ends with the caller."""
    code = (
        "import os, sys; from keybaton_client.start import ensure_agent; os.set_inheritable(int(sys.argv[1]), True); "
    )
    code += "ensure_agent(os.environ)"
    reading, writing = os.pipe()
    subprocess.run(
        [sys.executable, "-c", code, str(writing)],
        env=device.env,
        pass_fds=[writing],
        check=True,
        timeout=60,
        cwd="/tmp",
    )
    os.close(writing)
    pid = device.agent_pid()
    assert pid is not None
    assert os.read(reading, 1) == b""  # nobody holds the other end
    os.close(reading)
    assert os.getsid(pid) not in {0, os.getsid(0)}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3


def test_a_detached_agent_holds_no_pipe_and_outlives_its_starter(device: Device) -> None:
    """Whoever runs it in a pipeline gets the pipe's end; one that has gone before it was ready takes nobody's agent along."""
    reading, writing = os.pipe()
    os.close(reading)  # nobody listens to what it says of its start
    try:
        run = subprocess.run(
            [agent_program(), "--detached"],
            env=device.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writing,
            check=True,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert run.stdout == b""  # it came to its end
    wait_until(lambda: device.agent_pid() is not None, "the agent's socket")
    with Client.connect(str(device.socket), start=False) as client:
        pid = client.agent.info().pid
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3


def test_two_clients_at_once_end_with_one_agent(device: Device) -> None:
    """Both get an answer, and both from the same process."""
    pids: list[int] = []

    def ask() -> None:
        with Client.connect(env=device.env) as client:
            pids.append(client.agent.info().pid)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_a_start_that_fails_tells_the_client_why(device: Device) -> None:
    """The words are the agent's own: here, of its settings."""
    folder = device.root / "config" / "keybaton"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config.toml").write_text("idle_lock_minutes = maybe\n")
    with pytest.raises(ClientError) as refused:
        Client.connect(env=device.env)
    assert refused.value.reason == "NO_AGENT"
    assert "config.toml, line 1" in refused.value.message


def test_no_agent_is_started_at_a_place_that_was_named(device: Device) -> None:
    """`--socket` and KEYBATON_SOCKET point to an agent; they do not make one."""
    with pytest.raises(ClientError) as refused:
        Client.connect(str(device.root / "other.sock"), env=device.env)
    assert refused.value.reason == "NO_AGENT"
    assert device.agent_pid() is None


def test_another_user_cannot_reach_the_agent(device: Device) -> None:
    """Neither the socket nor anything else below the folders, for any user but this one and root."""
    require("root")
    with started(device):
        device.root.chmod(0o755)
        (device.root / "run").chmod(0o755)
        stranger = subprocess.run(
            [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "/usr/bin/python3",
                "-c",
                STRANGER,
                str(device.socket),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert stranger.stdout.strip() == "PermissionError", stranger.stderr


STRANGER = """
import socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
"""


def test_another_users_socket_is_not_trusted(device: Device) -> None:
    """A client tells its passphrase to nobody else: the owner is looked at before anything is sent."""
    require("root")
    with started(device):
        os.chown(device.socket, 65534, 65534)
        with pytest.raises(ClientError, match="another user"):
            Client.connect(str(device.socket), start=False)


def test_no_log_has_a_secret_a_name_or_a_code(device: Device) -> None:
    """A whole life with failures and a share between two agents: everything used is searched for in both logs."""
    values = [b"correct-horse-battery-staple", b"AKIAEXAMPLE0001", PASSPHRASE, b"wrong passphrase indeed"]
    with Device("peer") as other, started(device) as ours, started(other) as theirs:
        for client in (ours, theirs):
            client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
        ours.vault.put_item(secret("my-private-name", values[0]))
        ours.vault.put_item(secret("another-private-name", values[1]))
        for attempt in (
            lambda: ours.vault.put_item(secret("my-private-name", values[0])),
            lambda: ours.vault.get_value(
                common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="absent-private-name")
            ),
        ):
            with pytest.raises(ClientError):
                attempt()
        ours.agent.lock()
        with pytest.raises(ClientError):
            ours.agent.unlock(values[3])
        ours.agent.unlock(PASSPHRASE)
        code = handed_over(ours, theirs, "my-private-name")
        assert theirs.vault.get_value(secret("my-private-name", b"").ref) == values[0]
        wait_until(lambda: "share_ended" in (other.root / "log.txt").read_text(), "the log")
        for one in (device, other):
            lines = (one.root / "log.txt").read_text().splitlines()
            events = [json.loads(line) for line in lines]
            texts = {str(value) for event in events for value in event.values()}
            assert any(event["event"] == "share_ended" for event in events)
            assert code not in texts
            for unwanted in [*(value.decode() for value in values), "private-name"]:
                assert unwanted not in "\n".join(lines)


def handed_over(ours: Client, theirs: Client, name: str) -> str:
    """Hands one secret over within this machine; returns the code that was used."""
    ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name)
    sending = ours.shares.start_send(share_pb2.StartSendRequest(items=[ref]))
    receiving = theirs.shares.start_receive(share_pb2.StartReceiveRequest(code=sending.code))
    for session in theirs.shares.watch(receiving.id):
        if session.state == share_pb2.SHARE_STATE_REVIEW:
            theirs.shares.review(share_pb2.ReviewRequest(session_id=receiving.id, accept=True))
    ended = list(ours.shares.watch(sending.id))[-1]
    assert ended.state == share_pb2.SHARE_STATE_SAVED, ended
    return sending.code


def test_health_says_serving(device: Device) -> None:
    """The standard health service, asked by standard stubs."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with started(device), grpc.insecure_channel(f"unix:{device.socket}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "keybaton_api.agent.v1.VaultService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError):
            stub.Check(health_pb2.HealthCheckRequest(service="nonsense"), timeout=10)


def test_a_foreign_client_lists_the_services_and_fetches_a_secret(device: Device) -> None:
    """`buf curl` knows nothing of Keybaton but the socket: reflection tells it the rest."""
    require("buf")
    with started(device) as client:
        client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
        client.vault.put_item(secret("example", b"a value"))
        buf = ["buf", "curl", "--protocol", "grpc", "--unix-socket", str(device.socket), "--http2-prior-knowledge"]
        listed = device.run([*buf, "http://localhost", "--list-services"])
        assert {f"keybaton_api.agent.v1.{name}" for name in SERVICES} <= set(listed.stdout.split()), listed.stderr
        request = '{"ref":{"kind":"ITEM_KIND_SECRET","name":"example"},"bare":true}'
        method = "http://localhost/keybaton_api.agent.v1.VaultService/GetItem"
        assert json.loads(device.run([*buf, "-d", request, method]).stdout) == {"value": "YSB2YWx1ZQ=="}
        missing = device.run([*buf, "-d", request.replace("example", "absent"), method])
        assert "There is no secret or database named " in missing.stderr


def test_a_garbled_request_is_refused_as_such(device: Device) -> None:
    """Those methods that take bytes and decode them themselves say what is wrong, as gRPC would; the agent goes on."""
    with started(device) as client:
        client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
        for method in (GET_ITEM, LIST_ITEMS, GET_ENVIRONMENT):
            with pytest.raises(ClientError) as caught:
                connect(str(device.socket), 10).call(method, b"\x0a\xff", 10)
            assert caught.value.reason == "INVALID_ARGUMENT"
        assert client.agent.info().pid > 0


def test_the_doctor_finds_a_fresh_agent_well(device: Device) -> None:
    """Each topic is there, none an error, with a key store that works."""
    with started(device) as client:
        client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
        findings = client.agent.doctor()
    assert {"socket", "vault", "keystore", "interface", "port"} <= {finding.topic for finding in findings}
    assert not [finding.text for finding in findings if finding.level == agent_pb2.Finding.LEVEL_ERROR]


def test_the_watch_tells_of_every_change(device: Device) -> None:
    """Absent, unlocked, one item, a share begun and ended, locked: each as a whole state."""
    with started(device) as client:
        watch = client.agent.watch()
        assert next(watch).info.vault_state == agent_pb2.VAULT_STATE_ABSENT
        client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, PASSPHRASE)
        assert next(watch).info.vault_state == agent_pb2.VAULT_STATE_UNLOCKED
        item = secret("one", b"1")
        client.vault.put_item(item)
        assert next(watch).info.items == 1
        sending = client.shares.start_send(share_pb2.StartSendRequest(items=[item.ref]))
        assert next(watch).info.open_sessions == 1
        client.shares.cancel(sending.id)
        assert next(watch).info.open_sessions == 0
        client.agent.lock()
        assert next(watch).info.vault_state == agent_pb2.VAULT_STATE_LOCKED


def test_options_that_are_none_are_refused(device: Device) -> None:
    """Exit 2 with the usage; `--version` and `--help` answer."""
    assert device.run([agent_program(), "--nonsense"]).returncode == 2
    assert device.run([agent_program(), "--version"]).stdout.startswith("keybatond 0.")
    assert "--foreground" in device.run([agent_program(), "--help"]).stdout
