"""A share service with everything around it in memory, and drivers that do what a test scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from keybaton_core.items import DatabaseBody, ItemKind, ItemRef, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybaton_testing.fake_vault import FakeVault
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_session import (
    Ending,
    ReceiveControl,
    ReceiveJob,
    SendControl,
    SendJob,
    ShareProtocol,
    State,
)
from keybatond.services.share_view import Session, StartReceive
from keybatond.services.shares import ShareService
from keybatond.services.vault_types import Change

SECRET = ItemRef(ItemKind.SECRET, "key")


def plain(value: str) -> SecretBody:
    return SecretBody("plain", {"value": SecretBytes.from_text(value)})


INCOMING = Payload(None, (SecretPart("0", "key", plain("new")),))
FRESH = Payload(DatabasePart("photos", DatabaseBody()), ())

Send = Callable[[SendJob, SendControl], Awaitable[Ending]]
Receive = Callable[[ReceiveJob, ReceiveControl], Awaitable[Ending]]


class Scripted:
    """Driver of either role: runs `script`, and keeps the jobs it was given."""

    def __init__(self, script: Callable[..., Awaitable[Ending]]) -> None:
        self.script = script
        self.jobs: list[object] = []
        self.cancelled = 0

    async def run(self, job: object, control: object) -> Ending:
        self.jobs.append(job)
        try:
            return await self.script(job, control)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def forever(job: object, control: object) -> Ending:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def offering(payload: Payload) -> Receive:
    """A receiving driver whose sender hands over `payload` once the code is there."""

    async def run(job: ReceiveJob, control: ReceiveControl) -> Ending:
        await control.wait_code()
        control.enter(State.AUTHENTICATED)
        return await control.review(payload)

    return run


class World:
    """A service with everything around it in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.vault = FakeVault()
        self.log = FakeLog()
        self.sending = Scripted(forever)
        self.receiving = Scripted(forever)
        self.shares = ShareService(
            vault=self.vault,
            clock=self.clock,
            entropy=FakeEntropy(),
            log=self.log,
            send_drivers=dict.fromkeys(ShareProtocol, self.sending),
            receive_drivers=dict.fromkeys(ShareProtocol, self.receiving),
        )

    async def settle(self) -> None:
        await self.clock.settle()

    async def in_review(self, payload: Payload = INCOMING) -> Session:
        """A receiving session that waits for the decision."""
        self.receiving.script = offering(payload)
        session = self.shares.start_receive(StartReceive(code="1234"))
        await self.settle()
        assert self.now(session).state is State.REVIEW
        return session

    def now(self, session: Session) -> Session:
        return self.shares.session(session.id)


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(KeybatonError) as refused:
        call()
    return refused.value.reason


async def refusal_of(call: Awaitable[object]) -> Reason:
    with pytest.raises(KeybatonError) as refused:
        await call
    return refused.value.reason


class SlowVault(FakeVault):
    """A vault whose transactions wait for `go`."""

    def __init__(self, base: FakeVault) -> None:
        super().__init__()
        self.items = base.items
        self.go = asyncio.Event()

    async def apply(self, changes: Sequence[Change]):  # type: ignore[no-untyped-def]
        await self.go.wait()
        return await super().apply(changes)
