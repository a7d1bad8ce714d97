"""What surrounds every call, over real gRPC: errors become wire errors, use counts as activity, long work reports progress."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2_grpc

from keybaton_api.agent.v1 import agent_pb2, agent_pb2_grpc
from keybaton_client.channel import HUMAN_SECONDS, translated
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Progress
from keybatond.rpc import guard
from keybatond.rpc.agent_service import AgentServicer
from keybatond.rpc.env_service import EnvServicer
from keybatond.rpc.guard import QUIET, guarded
from keybatond.rpc.lazy import LazyServices
from keybatond.rpc.limits import STREAMS_MAX, WORKS_MAX
from keybatond.rpc.progress import Counted, Finished, with_progress
from keybatond.rpc.services import HEALTH, REFLECTION
from keybatond.rpc.share_service import ShareServicer
from keybatond.rpc.standard import HealthServicer, add_reflection
from keybatond.rpc.streams import OpenStreams
from keybatond.rpc.vault_service import VaultServicer
from keybatond.services.agent_state import Changes
from keybatond.services.start_gate import StartGate

NAME = "keybaton_api.agent.v1.AgentService"


class FakeLog:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, event: str, /, **fields: str | int | float | bool | None) -> None:
        self.events.append((event, dict(fields)))


class Servicer(agent_pb2_grpc.AgentServiceServicer):
    """Fails in the ways that `failure` says."""

    failure: Exception | None = None
    hangs = False

    async def GetInfo(self, request: Any, context: Any) -> Any:
        return agent_pb2.GetInfoResponse(info=agent_pb2.AgentInfo(pid=7))

    async def Unlock(self, request: Any, context: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        return agent_pb2.UnlockResponse()

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield agent_pb2.WatchResponse()
        await asyncio.Event().wait()

    async def CheckVault(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield agent_pb2.CheckVaultResponse(finished=True)
        if self.failure is not None:
            raise self.failure


class Bench:
    """A server with the guarded servicer on a socket, and a stub."""

    def __init__(self, path: Path, attempt: Callable[[], Awaitable[None]]) -> None:
        self.path = path
        self.touched = 0
        self.loaded = 0
        self.log = FakeLog()
        self.servicer = Servicer()
        self.gate = StartGate(attempt, self.touch)

    def touch(self) -> None:
        self.touched += 1

    def load(self, server: Any) -> None:
        self.loaded += 1
        agent_pb2_grpc.add_AgentServiceServicer_to_server(guarded(self.servicer, self.gate, self.log), server)

    async def __aenter__(self) -> Bench:
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((LazyServices({NAME: self.load}),))
        self.server.add_insecure_port(f"unix:{self.path}")
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"unix:{self.path}")
        self.stub: Any = agent_pb2_grpc.AgentServiceStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop(0)


def standard_health(server: Any) -> None:
    """Adds the standard health service."""
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer([NAME], asyncio.Event()), server)


def standard_reflection(server: Any) -> None:
    """Adds server reflection."""
    add_reflection([NAME], server)


async def nothing() -> None:
    """An attempt that is over at once."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench(tmp_path / "s", nothing) as running:
        await running.gate.run()
        yield running


async def test_a_service_is_loaded_by_its_first_call_and_once(bench: Bench) -> None:
    """Starting the server loads nothing."""
    assert bench.loaded == 0
    for _ in range(3):
        await bench.stub.GetInfo(agent_pb2.GetInfoRequest())
    assert bench.loaded == 1


async def test_an_unknown_service_is_unimplemented(bench: Bench) -> None:
    """gRPC's own answer, without ErrorInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await bench.channel.unary_unary("/nonsense.Service/Method")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_domain_error_arrives_with_reason_hint_and_data(bench: Bench) -> None:
    """The client library gets back what the service raised."""
    bench.servicer.failure = KeybatonError(Reason.FIELD_REQUIRED, fields="region")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await bench.stub.Unlock(agent_pb2.UnlockRequest())
    error = translated(refused.value)
    assert (error.reason, error.data, bool(error.hint)) == ("FIELD_REQUIRED", {"fields": "region"}, True)


async def test_a_stream_that_fails_half_way_ends_with_the_reason(bench: Bench) -> None:
    """What came before is kept."""
    bench.servicer.failure = KeybatonError(Reason.STORAGE_FULL)
    call = bench.stub.CheckVault(agent_pb2.CheckVaultRequest())
    assert (await call.read()).finished
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert translated(refused.value).reason == "STORAGE_FULL"


async def test_an_unexpected_exception_is_logged_by_type_and_place_and_told_as_internal(bench: Bench) -> None:
    """Its text goes neither to the client nor into the log."""
    bench.servicer.failure = RuntimeError("hunter2")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await bench.stub.Unlock(agent_pb2.UnlockRequest())
    assert translated(refused.value).reason == "INTERNAL"
    assert "hunter2" not in repr(refused.value) + repr(bench.log.events)
    ((event, fields),) = bench.log.events
    assert (event, fields["method"], fields["error"]) == ("call failed", "Unlock", "RuntimeError")


async def test_streams_are_bounded_and_leave_room_for_calls(bench: Bench) -> None:
    """Whoever comes after the last is told so in our words; a place is free again when somebody leaves."""
    watches = []
    for _ in range(STREAMS_MAX):
        watch = bench.stub.Watch(agent_pb2.WatchRequest())
        await watch.read()
        watches.append(watch)
    for refusing in (bench.stub.Watch(agent_pb2.WatchRequest()), bench.stub.CheckVault(agent_pb2.CheckVaultRequest())):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await refusing.read()
        said = translated(refused.value)
        assert (said.reason, said.data["limit"]) == ("BUSY", str(STREAMS_MAX))
        assert said.message == "Too many programs watch the agent."
    assert (await bench.stub.GetInfo(agent_pb2.GetInfoRequest())).info.pid == 7
    watches.pop().cancel()
    async with asyncio.timeout(5):
        while True:
            watch = bench.stub.Watch(agent_pb2.WatchRequest())
            try:
                await watch.read()
            except grpc.aio.AioRpcError:
                continue  # it takes a moment to be noticed
            break
    for open_one in (*watches, watch):
        open_one.cancel()


@pytest.mark.parametrize("service", [standard_health, standard_reflection], ids=["health", "reflection"])
async def test_the_streams_of_standard_services_count_as_well(tmp_path: Path, service: Callable[[Any], None]) -> None:
    """Any gRPC tool may open them."""
    server = grpc.aio.server()
    services = LazyServices({HEALTH: service, REFLECTION: service})
    services._streams = OpenStreams(2)
    server.add_generic_rpc_handlers((services,))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        opened = []
        for number in range(3):
            if service is standard_health:
                call: Any = channel.unary_stream(f"/{HEALTH}/Watch")(b"")
            else:
                call = channel.stream_stream(f"/{REFLECTION}/ServerReflectionInfo")()
                await call.write(b"\x3a\x00")  # list_services
            if number < 2:
                assert await call.read()
                opened.append(call)
                continue
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert translated(refused.value).reason == "BUSY"
        for call in opened:
            call.cancel()
    await server.stop(0)


async def test_looking_on_is_no_activity(bench: Bench) -> None:
    """A status line must not keep the vault open."""
    await bench.stub.GetInfo(agent_pb2.GetInfoRequest())
    assert bench.touched == 0
    await bench.stub.Unlock(agent_pb2.UnlockRequest())
    assert bench.touched == 1
    async for _ in bench.stub.CheckVault(agent_pb2.CheckVaultRequest()):
        assert bench.touched == 2


async def test_a_call_without_a_deadline_ends_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reason of its own; a service's own TimeoutError is not taken for it."""
    bench.servicer.failure = TimeoutError()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await bench.stub.Unlock(agent_pb2.UnlockRequest())
    assert translated(refused.value).reason == "INTERNAL"
    bench.servicer.failure, bench.servicer.hangs = None, True
    monkeypatch.setattr(guard, "CALL_SECONDS", 0.05)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asyncio.wait_for(bench.stub.Unlock(agent_pb2.UnlockRequest()), 10)
    assert (refused.value.code(), translated(refused.value).reason) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "TIMED_OUT",
    )


def test_only_calls_that_wait_for_nothing_have_no_cap() -> None:
    """Each of them is somewhere, and awaits nothing. The cap comes after the deadlines of our own clients."""
    found: set[str] = set()
    for servicer in (AgentServicer, VaultServicer, EnvServicer, ShareServicer):
        tree = ast.parse(textwrap.dedent(inspect.getsource(servicer)))
        for method in ast.walk(tree):
            if isinstance(method, ast.AsyncFunctionDef) and method.name in guard.AT_ONCE:
                found.add(method.name)
                waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
                assert not [node for node in ast.walk(method) if isinstance(node, waits)], method.name
    assert found == guard.AT_ONCE
    assert guard.CALL_SECONDS > HUMAN_SECONDS


def test_the_quiet_methods_exist() -> None:
    """A renamed method must not silently count as use."""
    from keybaton_api.agent.v1 import share_pb2

    files = (agent_pb2.DESCRIPTOR, share_pb2.DESCRIPTOR)
    methods = {
        method.name for file in files for service in file.services_by_name.values() for method in service.methods
    }
    assert methods >= QUIET


async def test_calls_wait_for_the_attempt_at_the_start(tmp_path: Path) -> None:
    """A call that uses the vault waits until the key was fetched or not; looking on does not wait."""
    fetched = asyncio.Event()

    async def attempt() -> None:
        await fetched.wait()

    async with Bench(tmp_path / "s", attempt) as bench:
        running = asyncio.create_task(bench.gate.run())
        waiting = asyncio.ensure_future(bench.stub.Unlock(agent_pb2.UnlockRequest()))
        assert (await bench.stub.GetInfo(agent_pb2.GetInfoRequest())).info.pid == 7
        assert not waiting.done()
        fetched.set()
        await waiting
        await running


async def test_the_gate_opens_when_the_attempt_fails() -> None:
    """Otherwise every call would hang."""

    async def attempt() -> None:
        raise OSError

    gate = StartGate(attempt, lambda: None)
    with pytest.raises(OSError):
        await gate.run()
    await asyncio.wait_for(gate.admitted(), 5)


async def test_progress_comes_before_the_result() -> None:
    """The latest count is given whenever the reader is ready; the result is last."""

    async def work(progress: Progress) -> str:
        for done in range(3):
            await asyncio.to_thread(progress, done, 3)
        return "all"

    steps = [step async for step in with_progress(work)]
    assert steps[-1] == Finished("all")
    assert all(isinstance(step, Counted) and step.total == 3 for step in steps[:-1])


async def test_work_goes_on_when_its_reader_leaves() -> None:
    """A rekey that was half done would be worse than one that nobody watches."""
    proceed, ended = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> None:
        progress(1, 2)
        await proceed.wait()
        ended.set()

    stream = with_progress(work)
    assert await anext(stream) == Counted(1, 2)
    await stream.aclose()  # type: ignore[attr-defined]
    proceed.set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_work_that_nobody_watches_any_more_is_bounded_too() -> None:
    """A client that asks for a check and leaves, again and again, does not fill the agent with checks."""
    proceed = asyncio.Event()

    async def work(progress: Progress) -> None:
        progress(1, 2)
        await proceed.wait()

    for _ in range(WORKS_MAX):
        reader = with_progress(work)
        await anext(reader)
        await reader.aclose()  # type: ignore[attr-defined]
    with pytest.raises(KeybatonError) as refused:
        await anext(with_progress(work))
    assert (refused.value.reason, refused.value.data["limit"]) == (Reason.BUSY, str(WORKS_MAX))
    proceed.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [step async for step in with_progress(work)][-1] == Finished(None)


async def test_progress_raises_what_the_work_raises() -> None:
    """A failure is no result."""

    async def work(progress: Progress) -> None:
        raise KeybatonError(Reason.FILE_EXISTS)

    with pytest.raises(KeybatonError, match="FILE_EXISTS"):
        _ = [step async for step in with_progress(work)]


async def test_no_change_is_missed_between_two_looks() -> None:
    """A change after the version was read wakes at once; closing ends every wait."""
    changes = Changes()
    seen = changes.version
    changes.notify()
    await asyncio.wait_for(changes.after(seen), 5)
    waiting = asyncio.create_task(changes.after(changes.version))
    await asyncio.sleep(0)
    changes.close()
    with pytest.raises(KeybatonError, match="SHUTTING_DOWN"):
        await waiting
