"""Both roles of the Photosphere protocol on a network in memory, against each other and against scripted peers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable

import pytest

from keybaton_core.items import DatabaseBody, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.photosphere_wire import format_announcement
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_network import FakeHost, FakeNetwork
from keybatond.errors import ShareFailed, ShareReason
from keybatond.ports import Address, Interface, Reply, RequestHead, Response, TlsConnection
from keybatond.services.photosphere_receive import PhotosphereReceive
from keybatond.services.photosphere_send import PhotosphereSend
from keybatond.services.share_session import Ending, ReceiveJob, SendJob, State

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


class Lab:
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


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_database_goes_from_one_keybaton_to_another(lab: Lab) -> None:
    """Both sides end with saved; the sender's hint does not claim more than delivery; states follow the table."""

    async def main() -> tuple[Ending, Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        sent = await lab.send()
        return sent, await receiving

    sent, received = lab.run(main)  # type: ignore[misc]
    assert sent.state is State.SAVED
    assert "does not say" in sent.hint
    assert received.state is State.SAVED
    assert lab.receive_control.payload == payload()
    assert lab.send_control.states == [State.SEEKING, State.CONNECTED, State.AUTHENTICATED, State.DELIVERED]
    assert lab.receive_control.peer_address is not None and lab.receive_control.peer_address.startswith("10.0.0.1")
    assert (lab.send_control.peer_address or "").startswith("10.0.0.2:")


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
        await lab.clock.sleep(4)
        assert lab.receive_control.addresses == []
        assert lab.receive_control.state is State.CODE_NEEDED
        await lab.send()
        return await receiving

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_with_no_code_in_time_the_receiver_expires(lab: Lab) -> None:
    """60 s, and nothing was ever announced."""
    lab.receive_control = FakeReceiveControl()
    with pytest.raises(ShareFailed) as failed:
        lab.run(lab.receive)
    assert failed.value.reason is ShareReason.EXPIRED
    assert lab.receive_control.addresses == []


# --- the receiver against scripted senders ------------------------------------------------------------------------------

Step = tuple[str, str, bytes | None, int, bytes]


def share_body(code_hash: object = HASH, **payload_members: object) -> bytes:
    return json.dumps({"codeHash": code_hash, "payload": {**DATABASE, **payload_members}}).encode()


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


# --- the sender against scripted receivers ------------------------------------------------------------------------------


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


async def announce(lab: Lab, host: FakeHost, port: int, fingerprint: bytes, *, after: float = 0.1) -> None:
    """A receiver's announcements from `host`, for ever."""
    endpoint = await host.discovery.solicit()
    await lab.clock.sleep(after)
    while True:
        await endpoint.broadcast(format_announcement(port, fingerprint))
        await lab.clock.sleep(1)


async def send_to(lab: Lab, *receivers: tuple[FakeHost, ScriptedReceiver], **send: object) -> BaseException | Ending:
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


def test_the_sender_asks_for_the_hash_and_posts_exactly_the_two_members(lab: Lab) -> None:
    """Byte for byte what a real receiver reads."""
    receiver = ScriptedReceiver()
    lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert [asked for asked, _ in receiver.asked] == ["GET /pairing-code-hash", "POST /share-payload"]
    assert json.loads(receiver.asked[1][1]) == {
        "codeHash": HASH,
        "payload": {
            "type": "database", "name": "photos", "description": "mine", "path": "s3:bucket",
            "s3Credentials": {
                "name": "bucket", "region": "eu-west-1", "accessKeyId": "AKIA", "secretAccessKey": "hush",
                "endpoint": "https://s3.example",
            },
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("get", "reason"),
    [
        (Response(404, b'{"error":"Not found"}'), ShareReason.PEER_GONE),
        (Response(429, b'{"error":"Too many requests"}'), ShareReason.PEER_GONE),
        (
            Response(200, b'{"codeHash":"' + hashlib.sha256(b"9999").hexdigest().encode() + b'"}'),
            ShareReason.WRONG_CODE,
        ),
        (Response(200, b'{"codeHash":"' + HASH.upper().encode() + b'"}'), ShareReason.PEER_GONE),
        (Response(200, b'{"codeHash":7}'), ShareReason.PEER_GONE),
        (Response(200, b"[]"), ShareReason.PEER_GONE),
        (Response(200, b"nonsense"), ShareReason.PEER_GONE),
        (Response(200, b"x" * 5000), ShareReason.PEER_GONE),
    ],
)
def test_without_the_right_hash_nothing_is_sent(lab: Lab, get: Response, reason: ShareReason) -> None:
    """The payload never leaves."""
    receiver = ScriptedReceiver(get=get)
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert reason_of(ended) is reason  # type: ignore[arg-type]
    assert [asked for asked, _ in receiver.asked] == ["GET /pairing-code-hash"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, ShareReason.WRONG_CODE),
        (400, ShareReason.PAYLOAD_INVALID),
        (413, ShareReason.PAYLOAD_TOO_LARGE),
        (429, ShareReason.GUESSES_USED_UP),
        (404, ShareReason.PEER_GONE),
        (500, ShareReason.PEER_GONE),
        (204, ShareReason.PEER_GONE),
    ],
)
def test_any_other_answer_to_the_payload_is_a_failure(lab: Lab, status: int, reason: ShareReason) -> None:
    """Only 200 is delivered."""
    ended = lab.run(lambda: send_to(lab, (lab.right, ScriptedReceiver(post=Response(status, b"{}")))))
    assert reason_of(ended) is reason  # type: ignore[arg-type]


def test_a_receiver_that_stalls_ends_the_send_in_its_time(lab: Lab) -> None:
    """10 s for the hash."""
    receiver = ScriptedReceiver(delay=11)
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert reason_of(ended) is ShareReason.PEER_GONE  # type: ignore[arg-type]
    assert lab.clock.monotonic() - 1000 == pytest.approx(12.1, abs=0.2)


def test_two_announced_certificates_stop_the_send(lab: Lab) -> None:
    """Within two seconds, with nothing asked of either."""
    receivers = [(lab.right, ScriptedReceiver()), (lab.third, ScriptedReceiver())]
    ended = lab.run(lambda: send_to(lab, *receivers))
    assert reason_of(ended) is ShareReason.MANY_ANNOUNCERS  # type: ignore[arg-type]
    assert [receiver.asked for _, receiver in receivers] == [[], []]
    assert lab.send_control.candidates == 2


def test_copies_of_one_announcement_are_normal(lab: Lab) -> None:
    """The same certificate from a second address, where nobody serves: the next address is tried."""
    receiver = ScriptedReceiver()

    async def main() -> BaseException | Ending:
        server = await lab.right.transport.serve(receiver, common_name="x", legacy=True)
        tasks = [
            asyncio.ensure_future(announce(lab, lab.third, server.port, server.fingerprint, after=0.05)),
            asyncio.ensure_future(announce(lab, lab.right, server.port, server.fingerprint)),
        ]
        ended = await lab.send()
        for task in tasks:
            task.cancel()
        return ended

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]
    assert lab.send_control.candidates == 1


def test_refused_datagrams_are_ignored_and_listening_goes_on(lab: Lab) -> None:
    """Junk before the real announcement changes nothing."""
    junk = [b"", b"PSIE_RECV:0:" + b"a" * 64, b"PSIE_RECV:65536:" + b"a" * 64, b"PSIE_RECV:1:" + b"A" * 64, b"x" * 500]

    async def main() -> BaseException | Ending:
        endpoint = await lab.third.discovery.solicit()
        sending = asyncio.ensure_future(send_to(lab, (lab.right, ScriptedReceiver())))
        for data in junk:
            await endpoint.broadcast(data)
        return await sending

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_without_a_receiver_the_send_ends_after_a_minute(lab: Lab) -> None:
    """`no-peer` after 60 s."""
    with pytest.raises(ShareFailed) as failed:
        lab.run(lab.send)
    assert failed.value.reason is ShareReason.NO_PEER
    assert lab.clock.monotonic() - 1000 == pytest.approx(60, abs=0.1)


def test_a_sender_that_hears_only_a_keybaton_receiver_says_so(lab: Lab) -> None:
    """The way out is in the hint."""

    async def main() -> Ending:
        endpoint = await lab.third.discovery.solicit()
        sending = asyncio.ensure_future(lab.send())
        await lab.clock.sleep(1)
        await endpoint.broadcast(b"KEYBATON/1 RECV 4000 " + b"a" * 64)
        return await sending

    with pytest.raises(ShareFailed) as failed:
        lab.run(main)
    assert "Keybaton receiver" in failed.value.hint


def test_our_own_receivers_are_no_candidates(lab: Lab) -> None:
    """An agent may receive and send at once."""

    async def main() -> Ending:
        server = await lab.left.transport.serve(ScriptedReceiver(), common_name="x", legacy=True)
        announcing = asyncio.ensure_future(announce(lab, lab.left, server.port, server.fingerprint))
        try:
            return await lab.send(own_receivers=frozenset({server.fingerprint}))
        finally:
            announcing.cancel()

    with pytest.raises(ShareFailed) as failed:
        lab.run(main)
    assert failed.value.reason is ShareReason.NO_PEER


def test_a_named_peer_is_connected_to_without_any_announcement(lab: Lab) -> None:
    """`--to HOST:PORT`, also where port 54321 cannot be had."""
    lab.left.discovery.refuse_listen = True

    async def main() -> Ending:
        server = await lab.right.transport.serve(ScriptedReceiver(), common_name="x", legacy=True)
        return await lab.send(to=f"10.0.0.2:{server.port}")

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_with_a_named_host_the_announcements_of_others_do_not_count(lab: Lab) -> None:
    """`--to HOST`: a stranger's certificate does not stop the send."""
    receivers = [(lab.right, ScriptedReceiver()), (lab.third, ScriptedReceiver())]
    ended = lab.run(lambda: send_to(lab, *receivers, to="10.0.0.2"))
    assert isinstance(ended, Ending)
    assert receivers[1][1].asked == []


def test_an_address_that_is_not_confirmed_gets_nothing(lab: Lab) -> None:
    """Not even the question for the hash."""
    lab.send_control = FakeSendControl(confirm=False)
    receiver = ScriptedReceiver()
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver), confirm=True))
    assert reason_of(ended) is ShareReason.CANCELLED  # type: ignore[arg-type]
    assert receiver.asked == []


def test_a_confirmed_address_gets_the_payload_on_the_same_certificate(lab: Lab) -> None:
    """Each connection after the first is pinned to what the first one showed."""
    ended = lab.run(lambda: send_to(lab, (lab.right, ScriptedReceiver()), confirm=True))
    assert isinstance(ended, Ending)
    assert len(lab.left.transport.connects) == 3
