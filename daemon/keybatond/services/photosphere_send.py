"""Sending over Photosphere's protocol: finds the receiver, checks its certificate and its hash, and posts the payload.

The protocol has no word for what became of the payload: "success" says that the receiver has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

from keybaton_core.announcements import DISCOVERY_PORT
from keybaton_core.encoding import Malformed
from keybaton_core.host_port import split_host_port
from keybaton_core.photosphere_wire import (
    BODY_MAX_BYTES,
    DECLINED,
    HASH_PATH,
    PAYLOAD_PATH,
    SUCCESS,
    code_hash,
    format_share,
    parse_hash_reply,
)
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Discovery, TlsConnection, Transport
from keybatond.ports import Clock
from keybatond.services.deadlines import within
from keybatond.services.photosphere_find import Ears, Found
from keybatond.services.share_session import UNCONFIRMED_HINT, Ending, SendControl, SendJob, State

CONNECT_SECONDS = 5.0
RESOLVE_SECONDS = 5.0
GET_SECONDS = 10.0
POST_SECONDS = 60.0
REPLY_MAX_BYTES = 4096
T = TypeVar("T")

_REFUSED = (ShareReason.PEER_GONE, "The receiver could not take it.")
_REFUSALS = {
    403: (ShareReason.WRONG_CODE, "The receiver refused the code."),
    400: (ShareReason.PAYLOAD_INVALID, "The receiver found a fault in it."),
    413: (ShareReason.PAYLOAD_TOO_LARGE, "It is more than the receiver takes."),
    429: (ShareReason.GUESSES_USED_UP, "Too many requests reached the receiver; somebody may be interfering."),
}
DELIVERED_HINT = "The receiver has it; Photosphere's protocol does not say whether it was saved."


class PhotosphereSend:
    """Implements SendDriver."""

    def __init__(self, *, clock: Clock, discovery: Discovery, transport: Transport) -> None:
        self._clock = clock
        self._discovery = discovery
        self._transport = transport

    async def run(self, job: SendJob, control: SendControl) -> Ending:
        """One share to its end."""
        try:
            body = format_share(job.code, job.payload)
        except Malformed as error:
            raise ShareFailed(
                ShareReason.PAYLOAD_INVALID, f"It cannot be sent: {error.field} {error.problem}."
            ) from None
        if len(body) > BODY_MAX_BYTES:
            raise ShareFailed(ShareReason.PAYLOAD_TOO_LARGE, f"It is longer than {BODY_MAX_BYTES} bytes.")
        deadline = self._clock.monotonic() + job.timeout
        address, fingerprint = await self._find(job, control, deadline)
        control.enter(State.AUTHENTICATED)
        return await self._deliver(address, fingerprint, body, control)

    async def _find(self, job: SendJob, control: SendControl, deadline: float) -> tuple[Address, bytes]:
        """The receiver that has shown the right hash: its address and certificate."""
        host, port = ("", None) if job.to is None else _named(job.to)
        if port is not None:
            addresses = await self._transport.resolve(host, port, timeout=RESOLVE_SECONDS)
            return await self._approach(Found(tuple(addresses), None), job, control, deadline)
        only_from: frozenset[str] = frozenset()
        if host:
            named = await self._transport.resolve(host, DISCOVERY_PORT, timeout=RESOLVE_SECONDS)
            only_from = frozenset(address.host for address in named)
        endpoint = await self._discovery.listen()
        try:
            ears = Ears(endpoint, control, job.own_receivers, only_from)
            found = await ears.find(self._clock, deadline)
            return await _unless(ears.hear_another(), self._approach(found, job, control, deadline))
        finally:
            await endpoint.close()

    async def _approach(
        self, found: Found, job: SendJob, control: SendControl, deadline: float
    ) -> tuple[Address, bytes]:
        connection, address = await self._connect_any(found)
        control.show_peer(address=str(address))
        control.enter(State.CONNECTED)
        fingerprint = connection.fingerprint
        try:
            if job.confirm_peer:  # a person takes longer than a receiver keeps an idle connection
                await connection.close()
                await self._confirm(control, deadline)
                connection = await self._connect(address, fingerprint)
            await _check_hash(connection, job.code)
        finally:
            await connection.close()
        return address, fingerprint

    async def _connect_any(self, found: Found) -> tuple[TlsConnection, Address]:
        for address in found.addresses:
            with contextlib.suppress(ShareFailed):  # a copy of the announcement from where nobody serves
                return await self._connect(address, found.fingerprint), address
        raise ShareFailed(ShareReason.PEER_GONE, "Nobody answers at the receiver's address with its certificate.")

    async def _connect(self, address: Address, fingerprint: bytes | None) -> TlsConnection:
        return await self._transport.connect(address, fingerprint=fingerprint, timeout=CONNECT_SECONDS, legacy=True)

    async def _confirm(self, control: SendControl, deadline: float) -> None:
        try:
            accepted = await within(self._clock, deadline - self._clock.monotonic(), control.confirm_peer())
        except TimeoutError:
            raise ShareFailed(
                ShareReason.EXPIRED, "Nobody confirmed the receiver's address. Nothing was sent."
            ) from None
        if not accepted:
            raise ShareFailed(ShareReason.CANCELLED, "The receiver's address was not confirmed. Nothing was sent.")

    async def _deliver(self, address: Address, fingerprint: bytes, body: bytes, control: SendControl) -> Ending:
        connection = await self._connect(address, fingerprint)  # a receiver may serve one request per connection
        try:
            reply = await connection.request("POST", PAYLOAD_PATH, body, timeout=POST_SECONDS, limit=REPLY_MAX_BYTES)
        except ShareFailed:
            raise ShareFailed(ShareReason.UNCONFIRMED, UNCONFIRMED_HINT) from None
        finally:
            await connection.close()
        if reply.status == SUCCESS.status:
            control.enter(State.DELIVERED)
            return Ending(State.SAVED, hint=DELIVERED_HINT)
        if reply.status == DECLINED.status:
            return Ending(State.DECLINED)
        raise ShareFailed(*_REFUSALS.get(reply.status, _REFUSED))


def _named(to: str) -> tuple[str, int | None]:
    try:
        return split_host_port(to)
    except ValueError:
        raise ShareFailed(ShareReason.NETWORK, "The peer must be named as HOST or HOST:PORT.") from None


async def _check_hash(connection: TlsConnection, code: str) -> None:
    reply = await connection.request("GET", HASH_PATH, None, timeout=GET_SECONDS, limit=REPLY_MAX_BYTES)
    given = parse_hash_reply(reply.body) if reply.status == 200 else None
    if given is None:
        raise ShareFailed(ShareReason.PEER_GONE, "That is not the right receiver. Nothing was sent.")
    if not hmac.compare_digest(given, code_hash(code)):
        raise ShareFailed(
            ShareReason.WRONG_CODE, "The receiver has another code, or is not the right one. Nothing was sent."
        )


async def _unless(alarm: Coroutine[Any, Any, NoReturn], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, unless `alarm` raises first."""
    watching, working = asyncio.ensure_future(alarm), asyncio.ensure_future(work)
    try:
        await asyncio.wait([watching, working], return_when=asyncio.FIRST_COMPLETED)
        return watching.result() if watching.done() else working.result()
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)
