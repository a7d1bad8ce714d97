"""A thousand tries of each attack on the handoff in simulated time: nothing is learnt, nothing is delivered.

What an attacker on the network can do is guess the code, at most three times at each end, and by that end a share. Where it has
not spent the guesses, the honest share must go through.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender_events as s
from keybaton_core.announcements import format_offer, format_seek
from keybaton_core.handoff_messages import Outcome
from keybaton_core.handoff_payload import encode_payload
from keybaton_core.handoff_receiver import ReceiverMachine
from keybaton_core.handoff_sender import SenderMachine
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_controls import FakeReceiveControl
from keybaton_testing.handoff_attacker import Attacker
from keybaton_testing.handoff_pair import CODE, Lan, one_secret
from keybatond.errors import ShareFailed
from keybatond.services.share_session import Ending, State

TRIES = 1000
SAVED = Ending(State.SAVED)
SPENT = {"wrong-code", "guesses-used-up"}  # how a share may end on which guesses were spent

Attack = Callable[[Attacker], Awaitable[None]]


def under(attack: Attack, chance: random.Random) -> tuple[Lan, Attacker, list[object]]:
    """One honest share of two seconds or more with an attacker beside it, and what became of it."""
    lan = Lan()
    lan.receiver = FakeReceiveControl(CODE, CODE, CODE)
    attackers: list[Attacker] = []

    async def beside() -> None:
        attacker = Attacker(lan.network, chance)
        attackers.append(attacker)
        listening = asyncio.ensure_future(attacker.listen())
        try:
            await attack(attacker)
            await asyncio.sleep(1000)
        finally:
            listening.cancel()

    first, second = chance.choice([(0.05, 0.0), (0.0, 0.05), (0.3, 0.02), (0.02, 0.3)])
    outcomes = lan.run(send_after=first, receive_after=second, beside=beside)
    return lan, attackers[0], list(outcomes)


def nothing_gained(lan: Lan, attacker: Attacker) -> None:
    """No payload was given to the attacker, and the receiver has the honest one or none."""
    assert attacker.loot == []
    assert lan.receiver.payload in (None, one_secret())


# --- attacks that leave the share alone -----------------------------------------------------------------------------------


async def announce(attacker: Attacker) -> None:
    """False receivers: dead ports, garbage, copies of the real certificate at wrong addresses, the real address copied."""
    chance = attacker.chance
    server = await attacker.serve("garbage")
    for _ in range(chance.randrange(3, 12)):
        port = chance.choice([server.port, chance.randrange(1, 65536)])
        fingerprint = chance.choice([server.fingerprint, chance.randbytes(32)])
        await attacker.announce(port, fingerprint, chance.choice([None, "10.0.0.2", "10.0.0.77"]))
        await attacker.aside()
    fingerprint, address = await attacker.victim()
    for _ in range(5):
        await attacker.announce(chance.choice([server.port, 9]), fingerprint)
        await attacker.announce(address.port, chance.randbytes(32), "10.0.0.2")
        await attacker.aside()


async def flood(attacker: Attacker) -> None:
    """Bursts of announcements, questions, offers and garbage from many addresses."""
    chance = attacker.chance
    for _ in range(6):
        for _ in range(15):
            source = f"10.0.0.{chance.randrange(100, 250)}"
            kind = chance.randrange(4)
            if kind == 0:
                await attacker.announce(chance.randrange(1, 65536), chance.randbytes(32), source)
                continue
            nonce = chance.randbytes(16).hex()
            data = (format_seek(nonce), format_offer(nonce, "Free money"), chance.randbytes(400))[kind - 1]
            await attacker.endpoint.broadcast(data)
        await attacker.aside()


async def stall(attacker: Attacker) -> None:
    """Receivers that accept and never answer, ports that swallow everything, receivers that never have a code."""
    chance = attacker.chance
    for _ in range(chance.randrange(1, 12)):
        server = await attacker.serve(chance.choice(["stall", "stall", "code-needed"]))
        if chance.random() < 0.5:
            attacker.network.silent.add((attacker.host.address, server.port))
        await attacker.announce(server.port, server.fingerprint)
        await attacker.aside()


async def half_open(attacker: Attacker) -> None:
    """Connections that ask nothing, and up to two handshakes that are never finished."""
    chance = attacker.chance
    for _ in range(chance.randrange(1, 20)):
        try:
            await attacker.connect()
        except ShareFailed:
            return
    for _ in range(chance.randrange(0, 3)):
        await attacker.half_handshake()
        await attacker.aside()


@pytest.mark.parametrize("attack", [announce, flood, stall, half_open])
def test_the_share_goes_through_beside(attack: Attack) -> None:
    """A thousand tries: saved at both ends each time, within seconds, and nothing for the attacker."""
    for number in range(TRIES):
        lan, attacker, outcomes = under(attack, random.Random(f"{attack.__name__} {number}"))
        assert outcomes == [SAVED, SAVED], number
        assert lan.receiver.payload == one_secret()
        assert lan.clock.monotonic() < 1010, number
        nothing_gained(lan, attacker)


# --- attacks that spend guesses ---------------------------------------------------------------------------------------------


async def relay(attacker: Attacker) -> None:
    """The sender's requests are passed to the real receiver under the attacker's certificate, and the answers back."""
    for _ in range(attacker.chance.randrange(1, 5)):
        server = await attacker.serve("relay")
        await attacker.announce(server.port, server.fingerprint)
        await attacker.aside()


async def guess(attacker: Attacker) -> None:
    """False receivers and senders with wrong codes."""
    for _ in range(attacker.chance.randrange(1, 5)):
        if attacker.chance.random() < 0.5:
            server = await attacker.serve("guess")
            await attacker.announce(server.port, server.fingerprint)
        else:
            connection = await attacker.half_handshake()
            if connection is not None:
                try:
                    body = wire.encode_payload_request(wire.PayloadRequest(attacker.chance.randbytes(32), bytes(99)))
                    reply = await connection.request("POST", wire.PAYLOAD_PATH, body, timeout=3)
                    assert reply.status in (403, 409, 410)
                except ShareFailed:
                    pass
        await attacker.aside()


async def burn(attacker: Attacker) -> None:
    """Handshakes begun and broken off, or declared wrong, until the receiver has no guess left."""
    for _ in range(5):
        connection = await attacker.half_handshake()
        if connection is None:
            return
        if attacker.chance.random() < 0.5:
            try:
                await connection.request("POST", wire.END_PATH, wire.encode_end("wrong-code"), timeout=1)
            except ShareFailed:
                return
        await connection.close()
        await attacker.aside()


@pytest.mark.parametrize("attack", [relay, guess, burn])
def test_spending_guesses_gains_nothing(attack: Attack) -> None:
    """A thousand tries: saved, or ended with the guesses spent and said so; the payload is never given to anybody else."""
    saved = 0
    for number in range(TRIES):
        lan, attacker, outcomes = under(attack, random.Random(f"{attack.__name__} {number}"))
        nothing_gained(lan, attacker)
        if outcomes == [SAVED, SAVED]:
            saved += 1
        else:
            reasons = {one.reason.value for one in outcomes if isinstance(one, ShareFailed)}
            assert reasons & SPENT and len(reasons) == len(set(reasons)), (number, reasons)
            assert SAVED not in outcomes, number
            assert lan.receiver.payload is None, number
    assert saved > 0  # the attack is not merely a broken set-up


# --- attacks on the messages themselves ---------------------------------------------------------------------------------------


class Wire:
    """A sender's and a receiver's machine with every message in the attacker's hands."""

    def __init__(self, chance: random.Random, sender_code: str = CODE, receiver_code: str = CODE) -> None:
        self.chance = chance
        self.certificate = chance.randbytes(32)
        self.sender = SenderMachine(
            SecretBytes.from_text(sender_code), encode_payload(one_secret()), wire.encode_hello("desk")
        )
        self.receiver = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=True)
        self.receiver.feed(r.Renewed(self.certificate))
        self.receiver.feed(r.CodeTyped(SecretBytes.from_text(receiver_code)))
        self.reviewed: list[object] = []
        self.concluded: list[Outcome] = []
        self.messages: list[bytes] = []  # requests and answers in turn

    def fresh(self) -> s.Fresh:
        return s.Fresh(self.chance.randbytes(16), self.chance.randbytes(32))

    def run(self, tamper: Callable[[int, bytes], bytes]) -> None:
        """One share over connection 1; `tamper` gets the number and the bytes of each message."""
        effects: list[object] = list(self.sender.feed(s.Connected(1, self.certificate, self.fresh())))
        for _ in range(4):
            self.concluded += [effect.outcome for effect in effects if isinstance(effect, s.Concluded)]
            ask = next((effect for effect in effects if isinstance(effect, s.Ask)), None)
            if ask is None:
                return
            body = tamper(len(self.messages), ask.body or b"")
            self.messages.append(body)
            path, _, query = ask.path.partition("?")
            event: r.Event = r.OutcomeAsked(1, query, True)
            if path == wire.HANDSHAKE_PATH:
                event = r.HandshakeAsked(1, body, self.chance.randbytes(32))
            elif path == wire.PAYLOAD_PATH:
                event = r.PayloadAsked(1, body)
            elif path == wire.END_PATH:
                event = r.EndSaid(1, query, body)
            given = self.receiver.feed(event)
            for effect in given:
                if isinstance(effect, r.Review):
                    self.reviewed.append(effect.payload)
                    self.receiver.feed(r.Decided(Outcome("declined")))
            answer = next(effect for effect in given if isinstance(effect, r.Answer))
            body = tamper(len(self.messages), answer.body)
            self.messages.append(body)
            effects = list(self.sender.feed(s.Answered(1, answer.status, body, self.fresh())))
        self.concluded += [effect.outcome for effect in effects if isinstance(effect, s.Concluded)]


def test_an_altered_message_delivers_nothing_false() -> None:
    """A thousand tries of changed, cut, swapped or made-up bytes in one message: the truth is told, or nothing."""
    for number in range(TRIES):
        chance = random.Random(f"alter {number}")
        pipe = Wire(chance)
        pipe.run(_tampering(pipe, chance.randrange(6), chance.randrange(5)))
        assert all(payload == one_secret() for payload in pipe.reviewed)
        assert all(outcome == Outcome("declined") for outcome in pipe.concluded)
        assert not pipe.concluded or pipe.reviewed


def _tampering(pipe: Wire, target: int, manner: int) -> Callable[[int, bytes], bytes]:
    chance = pipe.chance

    def tamper(at: int, body: bytes) -> bytes:
        if at != target or not body:
            return body
        where = chance.randrange(len(body))
        return [
            body[:where] + bytes([body[where] ^ 1 << chance.randrange(8)]) + body[where + 1 :],
            body[:where],
            chance.choice(pipe.messages or [b"{}"]),
            body.replace(b"declined", b"saved"),
            chance.randbytes(len(body)),
        ][manner]

    return tamper


def test_the_unaltered_messages_do_deliver() -> None:
    """The set-up of the test above is a working share."""
    pipe = Wire(random.Random(1))
    pipe.run(lambda at, body: body)
    assert pipe.reviewed == [one_secret()]
    assert pipe.concluded == [Outcome("declined")]


def test_a_replayed_share_delivers_nothing() -> None:
    """A thousand tries of a whole recorded share, played to the same pair with the same code and certificate."""
    for number in range(TRIES):
        chance = random.Random(f"replay {number}")
        pipe = Wire(chance)
        pipe.run(lambda at, body: body)
        recorded = pipe.messages
        again = Wire(chance)
        again.certificate = pipe.certificate
        again.receiver = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=True)
        again.receiver.feed(r.Renewed(pipe.certificate))
        again.receiver.feed(r.CodeTyped(SecretBytes.from_text(CODE)))
        replayed = chance.choice([{0, 2}, {1, 3, 5}, {1}, {2}, {3, 5}, {5}, {0}])
        old = {at: recorded[at] for at in replayed}
        again.run(lambda at, body, old=old: old.get(at, body))  # type: ignore[misc]
        if replayed & {0, 1, 2}:
            assert again.reviewed == []
        if replayed & {0, 1, 2, 5}:
            assert again.concluded == []


# --- the odds -------------------------------------------------------------------------------------------------------------------

SPACE = 20  # codes, instead of 10,000
GUESSES = 3
EXPECTED = TRIES * GUESSES / SPACE
BOUND = 4 * (TRIES * GUESSES / SPACE * (1 - GUESSES / SPACE)) ** 0.5  # four standard deviations


def codes(chance: random.Random) -> tuple[str, list[str]]:
    space = [f"{number:04}" for number in range(SPACE)]
    return chance.choice(space), chance.sample(space, GUESSES + 1)


def test_a_false_sender_guesses_at_the_odds_of_three_in_all_codes() -> None:
    """It delivers its own payload exactly as often as one of its first three guesses is right; a fourth is never answered."""
    delivered = 0
    for number in range(TRIES):
        chance = random.Random(f"false sender {number}")
        code, guesses = codes(chance)
        receiver = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=False)
        receiver.feed(r.Renewed(bytes(32)))
        receiver.feed(r.CodeTyped(SecretBytes.from_text(code)))
        won = False
        for turn, guessed in enumerate(guesses):
            pipe = Wire(chance, sender_code=guessed)
            pipe.receiver, pipe.certificate = receiver, bytes(32)
            receiver.feed(r.Dropped(1))
            pipe.run(lambda at, body: b"{}" if body.startswith(b'{"reason"') else body)
            if pipe.reviewed:
                won = True
                break
            assert turn < GUESSES or receiver.phase.value == "ended"
        assert won == (code in guesses[:GUESSES])
        delivered += won
    assert abs(delivered - EXPECTED) <= BOUND


def test_a_false_receiver_guesses_at_the_odds_of_three_in_all_codes() -> None:
    """It is handed the payload exactly as often as one of its first three guesses is right."""
    robbed = 0
    for number in range(TRIES):
        chance = random.Random(f"false receiver {number}")
        code, guesses = codes(chance)
        sender = Wire(chance, sender_code=code).sender
        won = False
        for turn, guessed in enumerate(guesses):
            if sender.phase.value == "ended":
                assert turn == GUESSES
                break
            certificate = chance.randbytes(32)
            ask = next(e for e in sender.feed(s.Connected(turn, certificate, _fresh(chance))) if isinstance(e, s.Ask))
            false = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=False)
            false.feed(r.Renewed(certificate))
            false.feed(r.CodeTyped(SecretBytes.from_text(guessed)))
            answers = false.feed(r.HandshakeAsked(1, ask.body or b"", chance.randbytes(32)))
            answer = next(e for e in answers if isinstance(e, r.Answer))
            effects = sender.feed(s.Answered(turn, answer.status, answer.body, _fresh(chance)))
            if any(isinstance(e, s.Ask) and e.path == wire.PAYLOAD_PATH for e in effects):
                won = True
                break
        assert won == (code in guesses[:GUESSES])
        robbed += won
    assert abs(robbed - EXPECTED) <= BOUND


def _fresh(chance: random.Random) -> s.Fresh:
    return s.Fresh(chance.randbytes(16), chance.randbytes(32))
