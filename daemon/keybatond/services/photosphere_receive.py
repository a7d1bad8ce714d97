"""Receiving over Photosphere's protocol: announces, serves its two requests, and has the payload reviewed.

The real receiver answers "success" before it has saved anything. This one holds the answer back while the person decides, as
long as a real sender waits, so that the sender hears the truth where the wire has room for it. After HOLD_SECONDS it says
"success" as the real one does; then that means delivered, and no more.
"""

from __future__ import annotations

import asyncio
import contextlib

from keybaton_core.encoding import Malformed
from keybaton_core.payload import Payload
from keybaton_core.photosphere_wire import (
    BODY_MAX_BYTES,
    COMMON_NAME,
    DECLINED,
    INVALID_PAYLOAD,
    NOT_FOUND,
    NOT_SAVED,
    SUCCESS,
    TOO_LARGE,
    TOO_MANY,
    Answer,
    ReceiverTable,
    format_announcement,
)
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import DatagramEndpoint, Discovery, Interfaces, RequestHead, Response, TlsServer, Transport
from keybatond.ports import Clock
from keybatond.services.deadlines import within
from keybatond.services.share_session import Ending, ReceiveControl, ReceiveJob, State

ANNOUNCE_SECONDS = 1.0
HOLD_SECONDS = 45.0  # a real sender gives its POST 60 s
FAREWELL_SECONDS = 1.0  # for the last answer to leave before the server closes


class PhotosphereReceive:
    """Implements ReceiveDriver."""

    def __init__(self, *, clock: Clock, discovery: Discovery, transport: Transport, interfaces: Interfaces) -> None:
        self._clock = clock
        self._discovery = discovery
        self._transport = transport
        self._interfaces = interfaces

    async def run(self, job: ReceiveJob, control: ReceiveControl) -> Ending:
        """One share to its end. The real receiver has its code before it announces, and so has this one."""
        deadline = self._clock.monotonic() + job.timeout
        desk = _Desk(control, self._clock)
        server = await self._transport.serve(desk, common_name=COMMON_NAME, legacy=True)
        try:
            interfaces = self._interfaces.up()
            alone = all(one.loopback for one in interfaces)
            up = [one.address for one in interfaces if ":" not in one.address and one.loopback is alone]
            control.show_listening([f"{host}:{server.port}" for host in dict.fromkeys(up)], server.fingerprint)
            desk.open(await self._code(job, control))
            return await self._serve(server, desk, control, deadline)
        finally:
            desk.close()
            with contextlib.suppress(TimeoutError):
                await within(self._clock, FAREWELL_SECONDS, desk.quiet())
            await server.close()

    async def _code(self, job: ReceiveJob, control: ReceiveControl) -> str:
        code = control.code()
        if code is not None:
            return code
        control.enter(State.CODE_NEEDED)
        try:
            code = await within(self._clock, job.timeout, control.wait_code())
        except TimeoutError:
            raise ShareFailed(ShareReason.EXPIRED, "No code was typed in time.") from None
        control.enter(State.ANNOUNCING)
        return code

    async def _serve(self, server: TlsServer, desk: _Desk, control: ReceiveControl, deadline: float) -> Ending:
        endpoint = await self._discovery.solicit()
        announcing = asyncio.ensure_future(self._announce(endpoint, server))
        try:
            left = deadline - self._clock.monotonic()
            payload, peer = await within(self._clock, left, desk.wait_payload())
        except TimeoutError:
            raise _nobody_came(desk) from None
        finally:
            announcing.cancel()
            await asyncio.gather(announcing, return_exceptions=True)
            await endpoint.close()
        control.show_peer(address=peer)
        control.enter(State.AUTHENTICATED)
        ending = await control.review(payload)
        desk.settle(SUCCESS if ending.state is State.SAVED else DECLINED)
        return ending

    async def _announce(self, endpoint: DatagramEndpoint, server: TlsServer) -> None:
        datagram = format_announcement(server.port, server.fingerprint)
        while True:  # until the session has its payload or its deadline
            await endpoint.broadcast(datagram)
            await self._clock.sleep(ANNOUNCE_SECONDS)


def _nobody_came(desk: _Desk) -> ShareFailed:
    if desk.table is not None and desk.table.hash_given:
        return ShareFailed(
            ShareReason.EXPIRED, "A sender looked at this receiver and left: the code may have been mistyped."
        )
    return ShareFailed(ShareReason.EXPIRED, "No sender came in time.")


class _Desk:
    """The RequestHandler: answers by the table, and hands the one payload to the driver."""

    def __init__(self, control: ReceiveControl, clock: Clock) -> None:
        self.table: ReceiverTable | None = None  # until there is a code
        self._control = control
        self._clock = clock
        loop = asyncio.get_running_loop()
        self._payload: asyncio.Future[tuple[Payload, str]] = loop.create_future()
        self._verdict: asyncio.Future[Answer] = loop.create_future()
        self._under_way: set[int] = set()  # connections with a request whose answer may not have left yet
        self._all_quiet = asyncio.Event()
        self._all_quiet.set()

    def open(self, code: str) -> None:
        """From here on requests are served, and counted."""
        self.table = ReceiverTable(code)
        self._control.show_guesses(self.table.left)

    async def wait_payload(self) -> tuple[Payload, str]:
        """The payload and the sender's address. ShareFailed when the requests are used up or what came is refused."""
        return await asyncio.shield(self._payload)

    def settle(self, answer: Answer) -> None:
        """What the sender is told; the first call counts."""
        if not self._verdict.done():
            self._verdict.set_result(answer)

    def close(self) -> None:
        """Ends every answer that is held back: nothing more will be saved."""
        self.settle(NOT_SAVED)
        if not self._payload.done():
            self._payload.cancel()
        elif not self._payload.cancelled():
            self._payload.exception()  # seen, also when nobody waited for it any more

    async def quiet(self) -> None:
        """Waits until every connection with a last answer has ended."""
        await self._all_quiet.wait()

    # --- RequestHandler ---

    def body_limit(self, head: RequestHead) -> int | Response:
        """Counts the request; what needs no body is answered right away."""
        if self._payload.done():  # the payload is here, and nothing of a stranger's may end its review
            return self._last(head, TOO_MANY)
        if self.table is None:  # nothing has been announced yet, and there is no hash to give away
            return Response(NOT_FOUND.status, NOT_FOUND.body, close=True)
        answer = self.table.begin(head.method, head.path, head.query)
        self._control.show_guesses(self.table.left)
        if self.table.used_up:
            self._fail(
                ShareReason.GUESSES_USED_UP, "More requests came than one share takes; somebody may be interfering."
            )
            return self._last(head, TOO_MANY)
        return BODY_MAX_BYTES if answer is None else Response(answer.status, answer.body)

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        """The answer by the table."""
        assert self.table is not None  # else `body_limit` has answered
        try:
            outcome = self.table.finish(head.method, body)
        except Malformed as error:
            self._fail(ShareReason.PAYLOAD_INVALID, f"Refused: {error.field} {error.problem}.")
            return self._last(head, INVALID_PAYLOAD)
        if isinstance(outcome, Answer):
            return Response(outcome.status, outcome.body)
        if self._payload.done():  # a second one came while this body was read
            return self._last(head, TOO_MANY)
        self._under_way.add(head.connection)
        self._all_quiet.clear()
        self._payload.set_result((outcome, str(head.peer)))
        try:
            verdict = await within(self._clock, HOLD_SECONDS, self._wait_verdict())
        except TimeoutError:
            verdict = SUCCESS
        return self._last(head, verdict)

    def too_large(self, head: RequestHead) -> Response:
        """Ends the session: the sender would only send it again."""
        self._fail(ShareReason.PAYLOAD_TOO_LARGE, f"The sender's payload is longer than {BODY_MAX_BYTES} bytes.")
        return self._last(head, TOO_LARGE)

    def disconnected(self, connection: int) -> None:
        """The answer has left, or nobody waits for it."""
        self._under_way.discard(connection)
        if not self._under_way:
            self._all_quiet.set()

    async def _wait_verdict(self) -> Answer:
        return await asyncio.shield(self._verdict)

    def _fail(self, reason: ShareReason, hint: str) -> None:
        if not self._payload.done():
            self._payload.set_exception(ShareFailed(reason, hint))

    def _last(self, head: RequestHead, answer: Answer) -> Response:
        self._under_way.add(head.connection)
        self._all_quiet.clear()
        return Response(answer.status, answer.body, close=True)
