"""AgentService: translate, call, translate back."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc.aio

from keybaton_api.agent.v1 import agent_pb2, agent_pb2_grpc
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, refused
from keybatond.ports import KeystoreKind
from keybatond.rpc.progress import Counted, with_progress
from keybatond.services.agent_state import AgentState, AgentStatus

if TYPE_CHECKING:
    from keybatond.services.custody import CustodyService
    from keybatond.services.doctor import Doctor, Finding
    from keybatond.services.vault import VaultService

_Context = grpc.aio.ServicerContext[Any, Any]


def _keystore_from(number: int) -> KeystoreKind | None:
    if not number:
        return None
    try:
        return KeystoreKind(number)
    except ValueError:
        raise refused("keystore", "is unknown") from None


def _passphrase_from(value: bytes) -> SecretBytes | None:
    return SecretBytes(value) if value else None


def _progress_to(counted: Counted) -> agent_pb2.Progress:
    return agent_pb2.Progress(done=counted.done, total=counted.total)


def _words(problem: KeybatonError) -> tuple[str, str]:
    """Sentence and hint."""
    from keybatond.rpc.errors import wire_error  # only a damaged vault needs the words

    told = wire_error(problem)
    return told.message, told.metadata.get("hint", "")


def _finding_to(finding: Finding) -> agent_pb2.Finding:
    text, hint = (finding.text, finding.hint) if finding.problem is None else _words(finding.problem)
    level = agent_pb2.Finding.Level.ValueType(finding.level)
    return agent_pb2.Finding(level=level, topic=finding.topic, text=text, hint=hint)


def info_to(state: AgentState) -> agent_pb2.AgentInfo:
    """The state on the wire."""
    custody = state.custody
    return agent_pb2.AgentInfo(
        version=state.identity.version,
        pid=state.identity.pid,
        vault_state=agent_pb2.VaultState.ValueType(custody.vault_state),
        keystore=agent_pb2.Keystore.ValueType(custody.kind or 0),
        keystore_detail=custody.detail,
        device_name=state.device_name,
        items=state.items,
        idle_lock_seconds=state.identity.idle_lock_seconds,
        problem=_words(custody.problem)[0] if custody.problem is not None else "",
        data_path=state.identity.data_path,
        open_sessions=state.open_sessions,
        started_at_ms=state.identity.started_at_ms,
    )


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Hands calls about the agent itself to custody, vault and doctor."""

    def __init__(
        self,
        status: AgentStatus,
        custody: CustodyService,
        vault: Callable[[], VaultService],
        doctor: Callable[[], Doctor],
        serve_ssh: Callable[[], Awaitable[str]],
    ) -> None:
        self._status = status
        self._custody = custody
        self._vault = vault
        self._doctor = doctor
        self._serve_ssh = serve_ssh

    def _info(self) -> agent_pb2.AgentInfo:
        return info_to(self._status.state())

    async def GetInfo(self, request: agent_pb2.GetInfoRequest, context: _Context) -> agent_pb2.GetInfoResponse:
        return agent_pb2.GetInfoResponse(info=self._info())

    async def Watch(self, request: agent_pb2.WatchRequest, context: _Context) -> AsyncIterator[agent_pb2.WatchResponse]:
        async for state in self._status.watch():
            yield agent_pb2.WatchResponse(info=info_to(state))

    async def Init(self, request: agent_pb2.InitRequest, context: _Context) -> agent_pb2.InitResponse:
        kind = _keystore_from(request.keystore) or KeystoreKind.KEYCHAIN
        await self._custody.init(kind, _passphrase_from(request.passphrase))
        return agent_pb2.InitResponse(info=self._info())

    async def Unlock(self, request: agent_pb2.UnlockRequest, context: _Context) -> agent_pb2.UnlockResponse:
        await self._custody.unlock(_passphrase_from(request.passphrase))
        return agent_pb2.UnlockResponse(info=self._info())

    async def Lock(self, request: agent_pb2.LockRequest, context: _Context) -> agent_pb2.LockResponse:
        await self._custody.lock()
        return agent_pb2.LockResponse(info=self._info())

    async def Rekey(self, request: agent_pb2.RekeyRequest, context: _Context) -> AsyncIterator[agent_pb2.RekeyResponse]:
        kind, passphrase = _keystore_from(request.keystore), _passphrase_from(request.passphrase)
        async for step in with_progress(lambda progress: self._custody.rekey(kind, passphrase, progress)):
            if isinstance(step, Counted):
                yield agent_pb2.RekeyResponse(progress=_progress_to(step))
            else:
                yield agent_pb2.RekeyResponse(info=self._info())

    async def CheckVault(
        self, request: agent_pb2.CheckVaultRequest, context: _Context
    ) -> AsyncIterator[agent_pb2.CheckVaultResponse]:
        async for step in with_progress(self._vault().check):
            if isinstance(step, Counted):
                yield agent_pb2.CheckVaultResponse(progress=_progress_to(step))
            else:
                yield agent_pb2.CheckVaultResponse(findings=step.result, finished=True)

    async def CompactVault(
        self, request: agent_pb2.CompactVaultRequest, context: _Context
    ) -> AsyncIterator[agent_pb2.CompactVaultResponse]:
        from keybatond.rpc.convert_compact import compaction_to, rule_from  # few ever ask for it

        rule, vault = rule_from(request), self._vault()
        async for step in with_progress(lambda progress: vault.compact(rule, progress, dry_run=request.dry_run)):
            if isinstance(step, Counted):
                yield agent_pb2.CompactVaultResponse(progress=_progress_to(step))
            else:
                yield compaction_to(step.result)

    async def BackupVault(
        self, request: agent_pb2.BackupVaultRequest, context: _Context
    ) -> AsyncIterator[agent_pb2.BackupVaultResponse]:
        path, passphrase = _absolute(request.path), _passphrase_from(request.passphrase)
        async for step in with_progress(lambda progress: self._custody.backup(path, passphrase, progress)):
            if isinstance(step, Counted):
                yield agent_pb2.BackupVaultResponse(progress=_progress_to(step))
            else:
                yield agent_pb2.BackupVaultResponse(items=step.result, finished=True)

    async def RestoreVault(
        self, request: agent_pb2.RestoreVaultRequest, context: _Context
    ) -> AsyncIterator[agent_pb2.RestoreVaultResponse]:
        path, kind = _absolute(request.path), _keystore_from(request.keystore)
        given, new = _passphrase_from(request.passphrase), _passphrase_from(request.new_passphrase)
        async for step in with_progress(
            lambda progress: self._custody.restore(path, given, kind, new, progress, replace=request.replace)
        ):
            if isinstance(step, Counted):
                yield agent_pb2.RestoreVaultResponse(progress=_progress_to(step))
            else:
                yield agent_pb2.RestoreVaultResponse(
                    finished=True, items=step.result.items, set_aside=step.result.set_aside, info=self._info()
                )

    async def Doctor(self, request: agent_pb2.DoctorRequest, context: _Context) -> agent_pb2.DoctorResponse:
        return agent_pb2.DoctorResponse(findings=[_finding_to(finding) for finding in await self._doctor().findings()])

    async def ServeSsh(self, request: agent_pb2.ServeSshRequest, context: _Context) -> agent_pb2.ServeSshResponse:
        return agent_pb2.ServeSshResponse(socket=await self._serve_ssh())


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise refused("path", "is not absolute")
    return path
