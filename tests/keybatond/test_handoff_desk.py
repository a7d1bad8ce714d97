"""The receiver's desk by itself: what counts once another server has taken over, and when every answer has left."""

from __future__ import annotations

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core.handoff_messages import Refusal
from keybaton_core.handoff_receiver_events import Answer, Dropped, Event
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_machine import FakeEntropy
from keybatond.network_ports import Address, RequestHead
from keybatond.services.handoff_desk import Desk

CONNECTION = 7


class Session:
    """Gives every event the same answer, and keeps them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begun: list[int] = []
        self.desk = Desk(
            clock=FakeClock(),
            entropy=FakeEntropy(),
            generation=0,
            feed=self.feed,
            refuses=lambda path, connection: None,
            begun=self.begun.append,
        )

    def feed(self, event: Event) -> Answer | None:
        self.events.append(event)
        return Answer(CONNECTION, 200, b"{}")

    def quiet(self) -> bool:
        """Whether no answer is under way."""
        return self.desk._quiet.is_set()


def head(method: str, path: str) -> RequestHead:
    """A request on one connection."""
    return RequestHead(method, path, None, CONNECTION, Address("192.0.2.1", 1), None)


@pytest.fixture
async def session() -> Session:
    return Session()


async def test_a_payload_that_is_too_large_ends_its_handshake(session: Session) -> None:
    """Another body that is too large ends nothing."""
    for path, events in ((wire.HANDSHAKE_PATH, []), (wire.PAYLOAD_PATH, [Dropped(CONNECTION)])):
        response = session.desk.too_large(head("POST", path))
        assert wire.decode_refusal(response.status, response.body) is Refusal.PAYLOAD_TOO_LARGE
        assert session.events == events


async def test_nothing_counts_at_a_desk_that_is_closed(session: Session) -> None:
    """Its session is served at another: nothing reaches it from here, and whoever asks is told."""
    session.desk.close()
    session.desk.too_large(head("POST", wire.PAYLOAD_PATH))
    session.desk.disconnected(CONNECTION)
    response = await session.desk.respond(head("GET", wire.READY_PATH), b"")
    assert wire.decode_refusal(response.status, response.body) is Refusal.ENDED
    refused = session.desk.body_limit(head("POST", wire.PAYLOAD_PATH))
    assert not isinstance(refused, int)
    assert wire.decode_refusal(refused.status, refused.body) is Refusal.ENDED
    assert (session.events, session.begun) == ([], [])


async def test_an_outcome_has_left_when_its_connection_has_ended(session: Session) -> None:
    """Whoever closes the server before that would cut it off; other answers leave at once."""
    await session.desk.respond(head("GET", wire.READY_PATH), b"")
    assert session.quiet()
    await session.desk.respond(head("GET", wire.OUTCOME_PATH), b"")
    assert not session.quiet()
    session.desk.disconnected(CONNECTION)
    assert session.quiet()
    assert session.events[-1] == Dropped(CONNECTION)


async def test_a_payload_is_under_way_from_its_first_byte(session: Session) -> None:
    """Its limit is larger than that of a handshake, and only it is told of."""
    assert session.desk.body_limit(head("POST", wire.HANDSHAKE_PATH)) == wire.BODY_MAX_BYTES
    assert session.begun == []
    assert session.desk.body_limit(head("POST", wire.PAYLOAD_PATH)) == wire.PAYLOAD_BODY_MAX_BYTES
    assert session.begun == [CONNECTION]
    unknown = session.desk.body_limit(head("GET", wire.PAYLOAD_PATH))
    assert not isinstance(unknown, int)
    assert wire.decode_refusal(unknown.status, unknown.body) is Refusal.UNKNOWN
