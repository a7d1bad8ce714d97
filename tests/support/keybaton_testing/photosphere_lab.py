"""Two hosts in memory with Photosphere drivers, a third for whoever else is there, and a scripted receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from keybaton_core.items import DatabaseBody, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.photosphere_wire import format_announcement
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_network import FakeHost, FakeNetwork
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Interface, RequestHead, Response, TlsConnection
from keybatond.services.photosphere_receive import PhotosphereReceive
from keybatond.services.photosphere_send import PhotosphereSend
from keybatond.services.share_session import Ending, ReceiveJob, SendJob

CODE = "4321"
HASH = "fe2592b42a727e977f055947385b709cc82b16b9a87f88c6abf3900d65d0cdc3"
DATABASE = {"type": "database", "name": "photos", "description": "", "path": "/p"}


class OneInterface:
    """The Interfaces port of a host with one address."""

    restricted = False

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def up(self) -> list[Interface]:
        return [Interface("eth0", 2, self._host.address, "255.255.255.0", "10.0.0.255", False)]


def payload() -> Payload:
    fields = {
        "region": "eu-west-1", "accessKeyId": "AKIA", "secretAccessKey": "hush", "endpoint": "https://s3.example",
    }  # fmt: skip
    body = SecretBody("s3-credentials", {k: SecretBytes.from_text(v) for k, v in fields.items()})
    return Payload(DatabasePart("photos", DatabaseBody("mine", "s3:bucket")), (SecretPart("s3", "bucket", body),))


class PhotosphereLab:
    """Two hosts with drivers, and what is needed to be a third."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.network = FakeNetwork(self.clock)
        self.left, self.right, self.third = (self.network.host(f"10.0.0.{n}") for n in (1, 2, 3))
        self.send_control = FakeSendControl()
        self.receive_control = FakeReceiveControl(CODE)

    def sender(self) -> PhotosphereSend:
        return PhotosphereSend(clock=self.clock, discovery=self.left.discovery, transport=self.left.transport)

    def receiver(self) -> PhotosphereReceive:
        host = self.right
        return PhotosphereReceive(
            clock=self.clock, discovery=host.discovery, transport=host.transport, interfaces=OneInterface(host)
        )

    async def send(self, *, to: str | None = None, code: str = CODE, confirm: bool = False, **job: object) -> Ending:
        wanted = SendJob(payload(), code, to, confirm_peer=confirm, **job)  # type: ignore[arg-type]
        return await self.sender().run(wanted, self.send_control)

    async def receive(self) -> Ending:
        return await self.receiver().run(ReceiveJob(), self.receive_control)

    async def connect(self) -> TlsConnection:
        """A third host's connection to the receiver, once it listens."""
        while not self.receive_control.addresses:
            await self.clock.sleep(0.01)
        port = int(self.receive_control.addresses[0].rpartition(":")[2])
        return await self.third.transport.connect(Address("10.0.0.2", port), fingerprint=None, timeout=5, legacy=True)

    def run(self, main: Callable[[], Awaitable[object]]) -> object:
        async def go() -> object:
            return await main()

        return simulate(self.clock, go())


def reason_of(error: BaseException) -> ShareReason:
    assert isinstance(error, ShareFailed)
    return error.reason


def share_body(code_hash: object = HASH, **payload_members: object) -> bytes:
    return json.dumps({"codeHash": code_hash, "payload": {**DATABASE, **payload_members}}).encode()


class ScriptedReceiver:
    """A RequestHandler that answers each path with what it is told to, and keeps what it was asked."""

    def __init__(self, get: Response | None = None, post: Response | None = None, *, delay: float = 0) -> None:
        self.answers = {
            "GET": get or Response(200, b'{"codeHash":"' + HASH.encode() + b'"}'),
            "POST": post or Response(200, b'{"success":true}'),
        }
        self.asked: list[tuple[str, bytes]] = []
        self.delay = delay
        self.clock: FakeClock | None = None

    def body_limit(self, head: RequestHead) -> int | Response:
        return 1 << 20

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        self.asked.append((f"{head.method} {head.path}", body))
        if self.clock is not None:
            await self.clock.sleep(self.delay)
        return self.answers[head.method]

    def too_large(self, head: RequestHead) -> Response:
        return Response(413, b"")

    def disconnected(self, connection: int) -> None:
        return None


async def announce(lab: PhotosphereLab, host: FakeHost, port: int, fingerprint: bytes, *, after: float = 0.1) -> None:
    """A receiver's announcements from `host`, for ever."""
    endpoint = await host.discovery.solicit()
    await lab.clock.sleep(after)
    while True:
        await endpoint.broadcast(format_announcement(port, fingerprint))
        await lab.clock.sleep(1)


async def send_to(
    lab: PhotosphereLab, *receivers: tuple[FakeHost, ScriptedReceiver], **send: object
) -> BaseException | Ending:
    """A send while these receivers announce themselves."""
    tasks = []
    for host, handler in receivers:
        handler.clock = lab.clock
        server = await host.transport.serve(handler, common_name="x", legacy=True)
        tasks.append(asyncio.ensure_future(announce(lab, host, server.port, server.fingerprint)))
    (ended,) = await asyncio.gather(lab.send(**send), return_exceptions=True)  # type: ignore[arg-type]
    for task in tasks:
        task.cancel()
    return ended
