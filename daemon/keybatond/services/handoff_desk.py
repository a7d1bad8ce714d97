"""The receiver's HTTP requests: routes, limits and held answers. What the answers are is the machine's business."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keybaton_core import handoff_messages as wire
from keybaton_core.cpace import SCALAR_BYTES
from keybaton_core.handoff_messages import Refusal
from keybaton_core.handoff_receiver_events import (
    Answer,
    Dropped,
    EndSaid,
    Event,
    HandshakeAsked,
    OutcomeAsked,
    PayloadAsked,
    ReadyAsked,
)
from keybatond.network_ports import Address, RequestHead, Response
from keybatond.ports import Clock, Entropy
from keybatond.services.deadlines import within

READY_HOLD_SECONDS = 20.0
OUTCOME_HOLD_SECONDS = 60.0

_LIMITS = {
    ("GET", wire.READY_PATH): 0,
    ("POST", wire.HANDSHAKE_PATH): wire.BODY_MAX_BYTES,
    ("POST", wire.PAYLOAD_PATH): wire.PAYLOAD_BODY_MAX_BYTES,
    ("GET", wire.OUTCOME_PATH): 0,
    ("POST", wire.END_PATH): wire.BODY_MAX_BYTES,
}
_HOLDS = {wire.READY_PATH: READY_HOLD_SECONDS, wire.OUTCOME_PATH: OUTCOME_HOLD_SECONDS}


class Desk:
    """Implements RequestHandler for one server. `feed` gives an event to the session and returns the answer, None: held."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        generation: int,
        feed: Callable[[Event], Answer | None],
        refuses: Callable[[str, int], Refusal | None],
        begun: Callable[[int], None],
    ) -> None:
        """`generation` tells servers of one session apart; `begun` is called when a payload begins to arrive."""
        self._clock = clock
        self._entropy = entropy
        self._base = generation << 32
        self._feed = feed
        self._refuses = refuses
        self._begun = begun
        self._changed = asyncio.Event()
        self._under_way: set[int] = set()  # connections with an answer that may not have left yet
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False
        self.peers: dict[int, Address] = {}

    def changed(self) -> None:
        """Lets held requests ask again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Another server has taken over: nothing that comes in here counts any more."""
        self._closed = True
        self.changed()

    async def quiet(self) -> None:
        """Waits until no answer is under way."""
        await self._quiet.wait()

    # --- RequestHandler ---

    def body_limit(self, head: RequestHead) -> int | Response:
        """Refuses what is not a request of this protocol, or has no place now, before its body is read."""
        connection = self._base + head.connection
        limit = _LIMITS.get((head.method, head.path))
        refusal = Refusal.UNKNOWN if limit is None else self._refuses(head.path, connection)
        if self._closed:
            refusal = Refusal.ENDED
        if refusal is not None or limit is None:
            return self._sent(connection, _refusal(refusal or Refusal.UNKNOWN))
        self.peers[connection] = head.peer
        if head.path == wire.PAYLOAD_PATH:
            self._begun(connection)
        return limit

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        """The answer, held for as long as the request allows."""
        connection = self._base + head.connection
        self._under_way.add(connection)
        self._quiet.clear()
        last = self._clock.monotonic() + _HOLDS.get(head.path, 0.0)
        try:
            while True:  # until `last` at the latest
                if self._closed:
                    return self._sent(connection, _refusal(Refusal.ENDED))
                left = last - self._clock.monotonic()
                changed = self._changed
                answer = self._feed(self._event(head, connection, body, last=left <= 0))
                if answer is not None:
                    # An answered handshake has cost a guess, and its payload has to come on this very connection.
                    keep = head.path == wire.HANDSHAKE_PATH and answer.status == 200
                    response = Response(answer.status, answer.body, answer.close, keep)
                    return self._sent(connection, response, asked=head.path)
                try:
                    await within(self._clock, left, changed.wait())
                except TimeoutError:
                    continue
        except BaseException:
            self._left(connection)
            raise

    def too_large(self, head: RequestHead) -> Response:
        """Refuses the body; where it was the payload, the handshake has led nowhere."""
        connection = self._base + head.connection
        if not self._closed and head.path == wire.PAYLOAD_PATH:
            self._feed(Dropped(connection))
        return self._sent(connection, _refusal(Refusal.PAYLOAD_TOO_LARGE))

    def disconnected(self, connection: int) -> None:
        """The connection has ended, and its answers have left or never will."""
        connection += self._base
        self.peers.pop(connection, None)
        self._left(connection)
        if not self._closed:
            self._feed(Dropped(connection))

    def _event(self, head: RequestHead, connection: int, body: bytes, *, last: bool) -> Event:
        match head.path:
            case wire.READY_PATH:
                return ReadyAsked(connection, last)
            case wire.HANDSHAKE_PATH:
                return HandshakeAsked(connection, body, self._entropy.token(SCALAR_BYTES))
            case wire.PAYLOAD_PATH:
                return PayloadAsked(connection, body)
            case wire.OUTCOME_PATH:
                return OutcomeAsked(connection, head.query or "", last)
            case _:
                return EndSaid(connection, head.query or "", body)

    def _sent(self, connection: int, response: Response, *, asked: str = "") -> Response:
        if response.close or asked == wire.OUTCOME_PATH:  # it has left when the connection has ended
            self._under_way.add(connection)
            self._quiet.clear()
        else:
            self._left(connection)
        return response

    def _left(self, connection: int) -> None:
        self._under_way.discard(connection)
        if not self._under_way:
            self._quiet.set()


def _refusal(refusal: Refusal) -> Response:
    return Response(wire.STATUS[refusal], wire.encode_refusal(refusal), close=True)
