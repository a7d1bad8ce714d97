"""Tries of each kind of attack between two honest devices, and what has to hold in every one of them."""

from __future__ import annotations

import random
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from keybaton_api.agent.v1 import share_pb2
from keybaton_testing.attacker import calling, serving
from keybaton_testing.attacker.kinds import KINDS, Kind
from keybaton_testing.attacker.odds import bounds
from keybaton_testing.attacker.pair import Order, Pair, Result, ended_as, paired
from keybaton_testing.attacker.position import RELAY_PORT, Mallory, Position
from keybaton_testing.lab import Lab, acquaint
from keybaton_testing.leaks import found_in

GUESSES = 3
SHORT_SECONDS = 3  # for shares that the attack may end
RESIDENT_MAX_KIB = 128 * 1024
DESCRIPTORS_MAX = 300
_FAULTS = re.compile(r'"event": ?"(share_broken|background failed|call failed)"')

BATCH = 4  # tries of one kind in a row in one world
MORE_TRIES = 8  # times as many at the most, for kinds that depend on who is met first
FEW_CODES = ["1000", "2000", "3000", "4000"]  # one more than there are guesses: a fourth would always be right


@dataclass
class Tally:
    """What happened in the tries of one kind. `problems` says, one line each, what must not happen and did."""

    kind: str
    tries: int = 0
    counted: int = 0  # tries in which the attack really took place
    ends: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    seconds: float = 0.0
    resident_kib: int = 0  # of the larger agent, afterwards
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Counts the tries of another tally of the same kind as well."""
        self.tries += other.tries
        self.counted += other.counted
        self.ends += other.ends
        self.slowest = max(self.slowest, other.slowest)
        self.seconds += other.seconds
        self.resident_kib = max(self.resident_kib, other.resident_kib)
        self.problems += other.problems

    def text(self) -> str:
        """One line for people."""
        ends = ", ".join(f"{count} x {end}" for end, count in self.ends.most_common())
        took = f"{self.seconds:.1f} s, slowest {self.slowest:.1f} s, {self.resident_kib // 1024} MiB"
        return f"{self.kind}: {self.tries} tries, {took}; {ends}"


class World:
    """A network with two honest devices and the attacker."""

    def __init__(self, pair: Pair, mallory: Mallory, seed: int) -> None:
        self.pair = pair
        self.mallory = mallory
        self._random = random.Random(seed)

    def attempt(self, name: str, kind: Kind, tally: Tally, number: int) -> None:
        """One try."""
        named = kind.named and number % kind.named_every == 1
        allowed = kind.named_ends if named else kind.ends
        order = Order(
            code=f"{secrets.randbelow(10**8):08}",
            to=f"{self.mallory.address}:{RELAY_PORT}" if named else "",
            seconds=min(kind.seconds, SHORT_SECONDS) if len(allowed) > 1 else kind.seconds,
            send_after=self._delay(kind.send_after, kind.receive_after),
            receive_after=self._delay(kind.receive_after, kind.send_after),
            types_again=number % 4 >= 2,
        )
        with self.mallory.attacking(kind.program) as position:
            result = self.pair.share(order)
        ends = (ended_as(result.send), ended_as(result.receive))
        tally.tries += 1
        tally.counted += position.did[kind.evidence] > 0
        tally.ends[("named: " if named else "") + "/".join(ends)] += 1
        tally.slowest = max(tally.slowest, result.seconds)
        tally.seconds += result.seconds
        problems = [*judge(order, result, position), *_misfits(ends, allowed)]
        tally.problems += [f"{name}, try {number} ({order}), ended {ends}: {problem}" for problem in problems]

    def resident_kib(self) -> list[int]:
        """Of either agent."""
        states = [Path(f"/proc/{host.agent_pid()}/status").read_text() for host in self.pair.hosts]
        return [int(re.findall(r"VmRSS:\s*(\d+)", state)[0]) for state in states]

    def ailments(self) -> Iterator[str]:
        """What the agents suffered: faults in their logs, memory or descriptors that do not come back."""
        if max(self.resident_kib()) > RESIDENT_MAX_KIB:
            yield f"an agent holds {max(self.resident_kib())} KiB"
        for host in self.pair.hosts:
            log = (host.root / "state" / "keybaton" / "agent.log").read_text()
            yield from (f"{host.name} logged {event}" for event in sorted(set(_FAULTS.findall(log))))
            process = Path(f"/proc/{host.agent_pid()}")
            descriptors = len(list((process / "fd").iterdir()))
            if descriptors > DESCRIPTORS_MAX:
                yield f"{host.name} holds {descriptors} descriptors"

    def _delay(self, given: float | None, other: float | None) -> float:
        if given is not None:
            return given
        return self._random.choice((0.0, 0.05, 0.3)) if other is None else 0.0


def judge(order: Order, result: Result, position: Position) -> Iterator[str]:
    """What must hold under every attack but a right guess."""
    seen = [("the attacker's transcript", b"\n".join(position.transcript))]
    yield from found_in(seen, {"the payload": result.value})
    code = order.code.encode()
    if re.search(rb"(?<![0-9A-Za-z])" + code + rb"(?![0-9A-Za-z])", seen[0][1]):
        yield "the code is in the attacker's transcript"
    if position.learned:
        yield "the attacker opened a payload"
    if position.did["delivered"]:
        yield "the attacker delivered a payload"
    yield from consistent(result)
    if position.did["downgrades"]:
        yield "somebody spoke an older protocol"
    if position.did["wrong"] > GUESSES:
        yield f"the receiver answered {position.did['wrong']} handshakes that proved nothing"
    if position.did["wrong proofs noticed"] > GUESSES:
        yield f"the sender tested {position.did['wrong proofs noticed']} wrong proofs"


def consistent(result: Result) -> Iterator[str]:
    """Both ends tell the truth about the receiver's vault."""
    kept = {result.name: result.value} if ended_as(result.receive) == "saved" else {}
    if result.vault != kept:
        yield f"the receiver's vault holds {sorted(result.vault)}"
    if ended_as(result.send) == "saved" and ended_as(result.receive) != "saved":
        yield "the sender says saved and the receiver does not"
    if ended_as(result.receive) == "saved" and ended_as(result.send) not in ("saved", "unconfirmed", "absent"):
        yield f"the receiver saved it, and the sender ended with {ended_as(result.send)}"
    for session in (result.send, result.receive):
        if session is not None and session.protocol != share_pb2.SHARE_PROTOCOL_KEYBATON:
            yield "a session changed its protocol"


def _misfits(ends: tuple[str, str], allowed: frozenset[str]) -> Iterator[str]:
    for side, end in zip(("sender", "receiver"), ends, strict=True):
        if end not in allowed:
            yield f"the {side} ended with {end}"
    if "saved" in ends and ends != ("saved", "saved") and "unconfirmed" not in allowed:
        yield "one end says saved and the other does not"
    if "saved" not in ends and not {"guesses-used-up", "wrong-code"} & set(ends) and "unconfirmed" not in allowed:
        yield "neither end says why it failed"


@contextmanager
def world(seed: int) -> Iterator[World]:
    """A network of its own, with both agents unlocked."""
    with Lab() as lab:
        alice, bob, host = (lab.host(name, ipv6=False) for name in ("alice", "bob", "mallory"))
        with paired(alice, bob) as pair, Mallory(host, seed) as mallory:
            acquaint(alice, bob, host)
            yield World(pair, mallory, seed)


class _Board:
    """The tries that are left, handed out to the worlds in batches, and the tallies of those that are done."""

    def __init__(self, names: Sequence[str], tries: int) -> None:
        self.tallies = {name: Tally(name) for name in names}
        self._longest_first = sorted(names, key=lambda name: (-KINDS[name].slow, -len(KINDS[name].ends)))
        self._tries = tries
        self._given: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next(self, *, quick: bool) -> tuple[str, range] | None:
        """A kind, a `quick` one if there are any left, and the numbers of tries to make of it; None when nothing is left."""
        with self._lock:
            for name in reversed(self._longest_first) if quick else self._longest_first:
                begin = self._given[name]
                end = min(begin + BATCH, self._wanted(name))
                if begin < end:
                    self._given[name] = end
                    return name, range(begin, end)
        return None

    def _wanted(self, name: str) -> int:
        """How many tries of a kind, as far as can be told now: more where it seldom takes place.

        A relay or a cut needs the sender to meet the attacker before the real receiver: that is chance, so that a few tries
        may pass without it. Every try counts towards what must never happen.
        """
        tally = self.tallies[name]
        if tally.tries < self._tries or self._took_place(tally):
            return self._tries
        return min(tally.tries + BATCH, self._tries * MORE_TRIES)

    def _took_place(self, tally: Tally) -> bool:
        return tally.counted * 10 >= self._tries

    def add(self, batch: Tally) -> None:
        """Takes the tally of a batch."""
        with self._lock:
            self.tallies[batch.kind].add(batch)

    def finish(self) -> dict[str, Tally]:
        """The tallies, with a problem for each kind that was cut short or took place too seldom."""
        for name, tally in self.tallies.items():
            if tally.tries < self._tries:
                tally.problems.append(f"{name}: out of time after {tally.tries} tries")
            if not self._took_place(tally):
                tally.problems.append(f"{name}: took place in {tally.counted} of {tally.tries} tries alone")
        return self.tallies


def run_batch(made: World, name: str, numbers: Iterable[int], until: float) -> Tally:
    """Tries of one kind in one world. No try begins after `until` (monotonic seconds)."""
    tally = Tally(name)
    if name == "replays" and not made.mallory.position.recorded:  # something to replay
        made.attempt("relays TLS", KINDS["relays TLS"], Tally(""), 1)
    for number in numbers:
        if time.monotonic() > until:
            break
        made.attempt(name, KINDS[name], tally, number)
    tally.problems += [f"{name}: {problem}" for problem in made.ailments()]
    tally.resident_kib = max(made.resident_kib())
    return tally


def campaign(names: Sequence[str], tries: int, seed: int, *, worlds: int, until: float) -> dict[str, Tally]:
    """`tries` of each kind named, in several worlds at once: most of a try is waiting."""
    board = _Board(names, tries)
    broken: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with world(seed + number) as made:
                # Long tries wait, quick ones are floods that take the processor: never all worlds at the same.
                while not broken and time.monotonic() < until and (given := board.next(quick=number % 2 == 1)):
                    board.add(run_batch(made, *given, until))
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(worlds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return board.finish()


def guess_rate(made: World, tries: int, *, as_sender: bool) -> tuple[int, tuple[int, int], list[str]]:
    """Successes of an attacker that knows that the code is one of FEW_CODES, the bounds that chance keeps, and problems."""
    successes = 0
    problems: list[str] = []
    shuffler = random.Random(tries)
    for _ in range(tries):
        codes = shuffler.sample(FEW_CODES, len(FEW_CODES))
        order = Order(
            code=shuffler.choice(FEW_CODES),
            seconds=5,
            send_after=None if as_sender else 0.0,
            receive_after=0.0 if as_sender else None,
            types_again=as_sender and shuffler.randrange(2) == 1,
        )
        program = calling.guess_as_sender if as_sender else serving.guess_as_receiver
        with made.mallory.attacking(program, codes) as position:
            result = made.pair.share(order)
        won = calling.PLANTED in result.vault if as_sender else bool(position.learned)
        successes += won
        wrong = position.did["wrong" if as_sender else "wrong proofs noticed"]
        if wrong > GUESSES:
            problems.append(f"{wrong} wrong guesses were tested in one share")
        if not won and wrong < GUESSES:
            problems.append(f"only {wrong} guesses before the share failed with {_reasons(result)}")
    return successes, bounds(tries, Fraction(GUESSES, len(FEW_CODES))), problems


def _reasons(result: Result) -> str:
    return f"{ended_as(result.send)}/{ended_as(result.receive)}"


def problems_of(tallies: Mapping[str, Tally]) -> list[str]:
    """All of them."""
    return [problem for tally in tallies.values() for problem in tally.problems]
