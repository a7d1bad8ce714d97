"""The receiving role of the Photosphere protocol on a network in memory, against scripted senders."""

from __future__ import annotations

import asyncio
import json

import pytest

from keybaton_core.items import DatabaseBody
from keybaton_core.payload import DatabasePart, Payload
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_controls import FakeReceiveControl
from keybaton_testing.photosphere_lab import (
    CODE,
    DATABASE,
    HASH,
    reason_of,
    share_body,
)
from keybaton_testing.photosphere_lab import PhotosphereLab as Lab
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Reply, RequestHead
from keybatond.services.photosphere_receive import BODY_MAX_BYTES, SUCCESS, _Desk
from keybatond.services.share_session import Ending, State


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_the_receiver_announces_at_once_and_each_second_and_ends_after_a_minute(lab: Lab) -> None:
    """60 announcements or so, one second apart, in the exact form; then `expired`."""
    heard: list[tuple[float, bytes]] = []

    async def main() -> None:
        endpoint = await lab.third.discovery.listen()
        receiving = asyncio.ensure_future(lab.receive())
        while not receiving.done():
            listening = asyncio.ensure_future(endpoint.receive())
            await asyncio.wait({receiving, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                heard.append((lab.clock.monotonic() - 1000, listening.result()[0]))
            listening.cancel()
        assert reason_of(receiving.exception() or AssertionError()) is ShareReason.EXPIRED

    lab.run(main)
    assert lab.clock.monotonic() - 1000 == pytest.approx(60, abs=0.1)
    assert [round(at) for at, _ in heard][:60] == list(range(60))
    port = lab.receive_control.addresses[0].rpartition(":")[2]
    expected = f"PSIE_RECV:{port}:{lab.receive_control.fingerprints[0].hex()}".encode()
    assert {data for _, data in heard} == {expected}


def test_a_code_typed_later_is_waited_for_before_anything_is_announced(lab: Lab) -> None:
    """Like the real receiver: no hash can be served without a code."""

    async def pause() -> None:
        await lab.clock.sleep(5)

    lab.receive_control = FakeReceiveControl(CODE, pause=pause, known=False)

    async def main() -> Ending:
        receiving = asyncio.ensure_future(lab.receive())
        ears = await lab.third.discovery.listen()
        hearing = asyncio.ensure_future(ears.receive())
        early = await (await lab.connect()).request("GET", "/pairing-code-hash", None, timeout=5)
        assert (early.status, early.body) == (404, b'{"error":"Not found"}')
        await lab.clock.sleep(4)
        assert not hearing.done()
        hearing.cancel()
        assert lab.receive_control.state is State.CODE_NEEDED
        assert lab.receive_control.guesses_left is None
        await lab.send()
        return await receiving

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_with_no_code_in_time_the_receiver_expires(lab: Lab) -> None:
    """60 s, and nothing was ever announced."""
    lab.receive_control = FakeReceiveControl()
    with pytest.raises(ShareFailed) as failed:
        lab.run(lab.receive)
    assert failed.value.reason is ShareReason.EXPIRED


# --- the receiver against scripted senders ------------------------------------------------------------------------------

Step = tuple[str, str, bytes | None, int, bytes]


async def play(lab: Lab, *steps: Step, one_connection: bool = False) -> tuple[list[Reply], BaseException | Ending]:
    """Sends each step's request to a receiver and returns the replies and how the receiver ended."""
    receiving = asyncio.ensure_future(lab.receive())
    connection = await lab.connect()
    replies = []
    for method, path, body, _, _ in steps:
        replies.append(await connection.request(method, path, body, timeout=60))
        if not one_connection:
            await connection.close()
            if not receiving.done():
                connection = await lab.third.transport.connect(
                    Address("10.0.0.2", int(lab.receive_control.addresses[0].rpartition(":")[2])),
                    fingerprint=None,
                    timeout=5,
                )
    (ended,) = await asyncio.gather(receiving, return_exceptions=True)
    return replies, ended


GET: Step = ("GET", "/pairing-code-hash", None, 200, b'{"codeHash":"' + HASH.encode() + b'"}')
POST: Step = ("POST", "/share-payload", share_body(), 200, b'{"success":true}')
MISSING: Step = ("GET", "/", None, 404, b'{"error":"Not found"}')
TOO_MANY = (429, b'{"error":"Too many requests"}')


@pytest.mark.parametrize("one_connection", [True, False])
def test_the_two_requests_of_a_legitimate_share_are_answered_byte_for_byte(lab: Lab, one_connection: bool) -> None:
    """On one connection and on two."""

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, GET, POST, one_connection=one_connection)

    replies, ended = lab.run(main)  # type: ignore[misc]
    assert [(r.status, r.body) for r in replies] == [(s[3], s[4]) for s in (GET, POST)]
    assert isinstance(ended, Ending)


@pytest.mark.parametrize("one_connection", [True, False])
@pytest.mark.parametrize("junk", range(6))
def test_five_requests_are_served_and_the_sixth_ends_the_receiver(lab: Lab, junk: int, one_connection: bool) -> None:
    """Whatever they are and over however many connections: `junk` missing pages first, then hashes."""
    steps = [MISSING] * junk + [GET] * (5 - junk)

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, *steps, GET, one_connection=one_connection)

    replies, ended = lab.run(main)  # type: ignore[misc]
    assert [(r.status, r.body) for r in replies[:5]] == [(s[3], s[4]) for s in steps]
    assert (replies[5].status, replies[5].body) == TOO_MANY
    assert reason_of(ended) is ShareReason.GUESSES_USED_UP  # type: ignore[arg-type]


def test_connections_without_a_request_cost_nothing(lab: Lab) -> None:
    """Twenty bare TLS connections, and then a share."""

    async def main() -> Ending:
        receiving = asyncio.ensure_future(lab.receive())
        for _ in range(20):
            await (await lab.connect()).close()
        await lab.send()
        return await receiving

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (share_body(name="a\nb"), "name"),
        (share_body(name="a\u202eb"), "name"),
        (share_body(name=""), "name"),
        (share_body(name=7), "name"),
        (share_body(name="\ud800"), "name"),
        (share_body(description=None), "description"),
        (share_body(path="/a\0"), "path"),
        (share_body(extra=1), "payload"),
        (share_body(type="bundle"), "type"),
        (share_body(s3Credentials=None), "s3Credentials"),
        (share_body(s3Credentials={"name": "b", "region": "r", "accessKeyId": "a"}), "secretAccessKey"),
        (share_body(geocodingKey={"name": "b", "apiKey": "k", "more": 1}), "geocodingKey"),
        (json.dumps({"codeHash": HASH}).encode(), "document"),
        (json.dumps({"codeHash": HASH, "payload": []}).encode(), "payload"),
        (json.dumps({"codeHash": HASH, "payload": DATABASE, "x": 1}).encode(), "document"),
    ],
)
def test_a_payload_that_breaks_the_format_ends_the_share_and_names_the_field(lab: Lab, body: bytes, named: str) -> None:
    """400 to the sender, `payload-invalid` here, and no review was ever shown."""

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, ("POST", "/share-payload", body, 0, b""))

    replies, ended = lab.run(main)  # type: ignore[misc]
    assert (replies[0].status, replies[0].body) == (400, b'{"error":"Invalid payload"}')
    assert isinstance(ended, ShareFailed)
    assert ended.reason is ShareReason.PAYLOAD_INVALID
    assert f" {named} " in ended.hint
    assert lab.receive_control.payload is None


def test_a_body_above_the_cap_is_refused_before_it_is_read(lab: Lab) -> None:
    """413, and the session ends with `payload-too-large`."""

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, ("POST", "/share-payload", b"x" * (1024 * 1024 + 1), 0, b""))

    replies, ended = lab.run(main)  # type: ignore[misc]
    assert (replies[0].status, replies[0].body) == (413, b'{"error":"Payload too large"}')
    assert reason_of(ended) is ShareReason.PAYLOAD_TOO_LARGE  # type: ignore[arg-type]


def test_the_sender_hears_that_it_was_declined(lab: Lab) -> None:
    """The answer is held back for the decision; a Keybaton sender reads `declined` in it, a real one a failure."""

    async def decline(_: Payload) -> Ending:
        await lab.clock.sleep(30)
        return Ending(State.DECLINED)

    lab.receive_control = FakeReceiveControl(CODE, decide=decline)

    async def main() -> tuple[Ending, Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        return await lab.send(), await receiving

    sent, received = lab.run(main)  # type: ignore[misc]
    assert (sent.state, received.state) == (State.DECLINED, State.DECLINED)


def test_a_failure_to_store_is_no_success_to_the_sender(lab: Lab) -> None:
    """500, which a real sender takes as a failure too."""

    async def full(_: Payload) -> Ending:
        raise ShareFailed(ShareReason.STORAGE)

    lab.receive_control = FakeReceiveControl(CODE, decide=full)

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, POST)

    replies, ended = lab.run(main)  # type: ignore[misc]
    assert (replies[0].status, replies[0].body) == (500, b'{"error":"Not saved"}')
    assert reason_of(ended) is ShareReason.STORAGE  # type: ignore[arg-type]


def test_a_long_review_answers_success_before_a_real_sender_gives_up(lab: Lab) -> None:
    """After 45 s of the real sender's 60; the review goes on."""

    async def slow(_: Payload) -> Ending:
        await lab.clock.sleep(300)
        return Ending(State.SAVED)

    lab.receive_control = FakeReceiveControl(CODE, decide=slow)

    async def main() -> tuple[float, Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        connection = await lab.connect()
        began = lab.clock.monotonic()
        reply = await connection.request("POST", "/share-payload", share_body(), timeout=60)
        assert reply.status == 200
        return lab.clock.monotonic() - began, await receiving

    took, ended = lab.run(main)  # type: ignore[misc]
    assert took == pytest.approx(45, abs=0.1)
    assert ended.state is State.SAVED


def test_nobody_can_end_or_replace_a_payload_under_review(lab: Lab) -> None:
    """Ten further requests, with the right hash too: 429 each, and the first payload is saved."""

    async def slow(_: Payload) -> Ending:
        await lab.clock.sleep(20)
        return Ending(State.SAVED)

    lab.receive_control = FakeReceiveControl(CODE, decide=slow)

    async def main() -> Ending:
        receiving = asyncio.ensure_future(lab.receive())
        posting = asyncio.ensure_future(
            (await lab.connect()).request("POST", "/share-payload", share_body(name="first"), timeout=60)
        )
        await lab.clock.sleep(1)
        for _ in range(10):
            late = await (await lab.connect()).request("POST", "/share-payload", share_body(name="late"), timeout=60)
            assert (late.status, late.body) == TOO_MANY
        assert (await posting).status == 200
        return await receiving

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]
    assert lab.receive_control.payload is not None
    assert lab.receive_control.payload.database == DatabasePart("first", DatabaseBody("", "/p"))


def test_a_sender_that_looks_and_leaves_is_told_of_at_the_end(lab: Lab) -> None:
    """A mistyped code is invisible to the receiver but for this."""

    async def main() -> tuple[list[Reply], BaseException | Ending]:
        return await play(lab, GET)

    _, ended = lab.run(main)  # type: ignore[misc]
    assert isinstance(ended, ShareFailed)
    assert "mistyped" in ended.hint


def test_cancelling_a_receiver_under_review_tells_the_sender(lab: Lab) -> None:
    """500 at once instead of a broken connection."""

    async def never(_: Payload) -> Ending:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    lab.receive_control = FakeReceiveControl(CODE, decide=never)

    async def main() -> int:
        receiving = asyncio.ensure_future(lab.receive())
        posting = asyncio.ensure_future(
            (await lab.connect()).request("POST", "/share-payload", share_body(), timeout=60)
        )
        await lab.clock.sleep(1)
        receiving.cancel()
        return (await posting).status

    assert lab.run(main) == 500


async def test_of_two_payloads_that_arrive_at_once_the_second_is_turned_away() -> None:
    """Both had begun before either was there; the first is what the person looks at."""
    desk = _Desk(FakeReceiveControl(CODE), FakeClock())
    desk.open(CODE)
    heads = [
        RequestHead("POST", "/share-payload", None, number, Address(f"10.0.0.{number}", 1), None) for number in (1, 2)
    ]
    assert [desk.body_limit(head) for head in heads] == [BODY_MAX_BYTES] * 2
    first = asyncio.ensure_future(desk.respond(heads[0], share_body()))
    _, sender = await desk.wait_payload()
    second = await desk.respond(heads[1], share_body())
    assert (second.status, second.body) == TOO_MANY
    assert sender.startswith("10.0.0.1")
    desk.settle(SUCCESS)
    assert (await first).status == 200
