"""Devices on a network in memory, and whole handoffs between them in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from keybaton_core.items import SecretBody
from keybaton_core.payload import Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_machine import FakeDeviceInfo, FakeEntropy, FakeLog
from keybaton_testing.fake_network import FakeHost, FakeNetwork
from keybatond.errors import ShareFailed
from keybatond.services.handoff_receive import HandoffReceive
from keybatond.services.handoff_send import HandoffSend
from keybatond.services.share_session import Ending, ReceiveJob, SendJob

CODE = "4821"
SECRET_VALUE = "the-value-that-nobody-else-may-see"


def one_secret(value: str = SECRET_VALUE) -> Payload:
    """A payload with one secret."""
    body = SecretBody("plain", {"value": SecretBytes.from_text(value)})
    return Payload(None, (SecretPart("0", "wifi", body),))


class Device:
    """One agent's drivers on one host."""

    def __init__(self, network: FakeNetwork, address: str, name: str) -> None:
        self.host: FakeHost = network.host(address)
        self.log = FakeLog()
        self._clock = network.clock
        self._entropy = FakeEntropy(name)
        self._name = FakeDeviceInfo(name)

    async def send(self, job: SendJob, control: FakeSendControl) -> Ending:
        """One send to its end."""
        driver = HandoffSend(
            clock=self._clock,
            discovery=self.host.discovery,
            transport=self.host.transport,
            entropy=self._entropy,
            device=self._name,
            log=self.log,
        )
        return await driver.run(job, control)

    async def receive(self, job: ReceiveJob, control: FakeReceiveControl) -> Ending:
        """One receive to its end."""
        driver = HandoffReceive(
            clock=self._clock,
            discovery=self.host.discovery,
            transport=self.host.transport,
            interfaces=self.host.interfaces,
            entropy=self._entropy,
            device=self._name,
            log=self.log,
        )
        return await driver.run(job, control)


Outcome = Ending | ShareFailed


async def outcome_of(work: Awaitable[Ending]) -> Outcome:
    """The ending or the failure, as a value."""
    try:
        return await work
    except ShareFailed as failed:
        return failed


def reason(outcome: Outcome) -> str:
    """Of a share that failed."""
    assert isinstance(outcome, ShareFailed), outcome
    return outcome.reason.value


class Lan:
    """A sender's device "desk" and a receiver's "laptop" on one network, and the clock that all of it runs on."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.network = FakeNetwork(self.clock)
        self.desk = Device(self.network, "10.0.0.1", "desk")
        self.laptop = Device(self.network, "10.0.0.2", "laptop")
        self.sender = FakeSendControl()
        self.receiver = FakeReceiveControl(CODE)

    def job(self, code: str = CODE, *, to: str | None = None, timeout: float = 60) -> SendJob:
        """A send of one secret."""
        return SendJob(one_secret(), code, to, timeout)

    def run(
        self,
        *,
        send: SendJob | None = None,
        receive: ReceiveJob | None = None,
        send_after: float = 0.0,
        receive_after: float = 0.0,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[Outcome, Outcome]:
        """Sender's and receiver's outcomes. `beside` runs along (an attacker's or a person's doings) and is then stopped."""

        async def after(seconds: float, work: Awaitable[Ending]) -> Outcome:
            await self.clock.sleep(seconds)
            return await outcome_of(work)

        async def main() -> tuple[Outcome, Outcome]:
            extra = asyncio.ensure_future(_nothing() if beside is None else _ignore(beside()))
            try:
                sent, received = await asyncio.gather(
                    after(send_after, self.desk.send(send or self.job(), self.sender)),
                    after(receive_after, self.laptop.receive(receive or ReceiveJob(), self.receiver)),
                )
                return sent, received
            finally:
                extra.cancel()
                await asyncio.gather(extra, return_exceptions=True)

        return simulate(self.clock, main())


async def _nothing() -> None:
    return None


async def _ignore(work: Awaitable[None]) -> None:
    await work
