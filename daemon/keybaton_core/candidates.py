"""Which announced receivers a sender tries next. Announcements may all be lies: memory, connections and turns are shared out.

A candidate is (fingerprint, address, port). Sources take turns, so that a source which announces a thousand receivers does
not delay another that announces one; what failed waits, and makes room for what is new.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

Endpoint = tuple[str, int, int]  # host, port, IPv6 scope

CONNECTIONS_MAX = 64
CONNECTIONS_PER_SOURCE = 8
CANDIDATES_MAX = 1024
CANDIDATES_PER_SOURCE = 64
ADDRESSES_PER_FINGERPRINT = 16
DIALS_PER_FINGERPRINT = 16  # all that are known of it: a copy that stays silent must not delay the real one
HEDGE_SECONDS = 0.25  # after which the next address of the same receiver is dialled too
IDLE_SECONDS = 3.0  # of a connection, after which a receiver without a code makes room for one that waits
LIARS_MAX = 4096  # remembered; the oldest are forgotten
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0)


class Place(enum.Enum):
    """Where a candidate stands."""

    WAITING = "waiting"
    RESERVE = "reserve"  # another address of the same receiver is being tried
    DIALLING = "dialling"
    CONNECTED = "connected"
    IDLE = "idle"  # connected, and the receiver has no code yet
    DEAD = "dead"  # failed; revived by an announcement after `retry_at`


ACTIVE = frozenset({Place.DIALLING, Place.CONNECTED, Place.IDLE})
HELD = frozenset({Place.CONNECTED, Place.IDLE})


@dataclass(eq=False)
class Candidate:
    """One address of one receiver. `fingerprint` is None for an address that the person named."""

    fingerprint: bytes | None
    endpoint: Endpoint
    place: Place = Place.DEAD
    failures: int = 0
    retry_at: float = 0.0
    since: float = 0.0

    @property
    def source(self) -> str:
        """The host that it stands for."""
        return self.endpoint[0]


@dataclass
class Plan:
    """What to open and what to close now."""

    open: list[Candidate] = field(default_factory=list)
    drop: list[Candidate] = field(default_factory=list)


class CandidateBook:
    """The candidates of one send. `own` are receivers of the same agent; `nonce` is that of this send's offer."""

    def __init__(self, own: Container[bytes], nonce: str) -> None:
        self._own = own
        self._nonce = nonce
        self._known: dict[tuple[bytes | None, Endpoint], Candidate] = {}
        self._by_source: dict[str, dict[Candidate, None]] = {}
        self._by_fingerprint: dict[bytes, dict[Candidate, None]] = {}
        self._queues: OrderedDict[str, deque[Candidate]] = OrderedDict()
        self._banned: set[bytes] = set()
        self._active: dict[Candidate, None] = {}
        self._liars: OrderedDict[tuple[bytes, str], None] = OrderedDict()  # who announced what could not be shown there
        self.crowded = False  # some candidate was not taken for want of room

    def __len__(self) -> int:
        """Receivers known, each counted once."""
        return len(self._by_fingerprint)

    def all_tried(self) -> bool:
        """Whether nobody waits for a turn."""
        return not self._queues

    def active(self) -> list[Candidate]:
        """Those being dialled or connected."""
        return list(self._active)

    def endpoints(self, fingerprint: bytes) -> list[Endpoint]:
        """Where a receiver is known to be, if everybody told the truth."""
        return [candidate.endpoint for candidate in self._by_fingerprint.get(fingerprint, {})]

    def heard(self, fingerprint: bytes | None, endpoint: Endpoint, nonce: str | None, now: float) -> None:
        """A receiver announced itself, or (`fingerprint` None) the person named its address."""
        if nonce not in (None, self._nonce) or (fingerprint is not None and self._refused(fingerprint)):
            return
        candidate = self._known.get((fingerprint, endpoint))
        if candidate is None:
            candidate = Candidate(fingerprint, endpoint)
            if not self._make_room(candidate):
                self.crowded = True
                return
            self._known[fingerprint, endpoint] = candidate
            self._by_source.setdefault(candidate.source, {})[candidate] = None
            if fingerprint is not None:
                self._by_fingerprint.setdefault(fingerprint, {})[candidate] = None
        if candidate.place is Place.DEAD and now >= candidate.retry_at:
            self._queue(candidate)

    def plan(self, now: float) -> Plan:
        """Gives out free connections, one to each waiting source in turn."""
        plan = Plan()
        self._recall_reserves(now)
        taken = True
        while taken and (len(self._active) < CONNECTIONS_MAX or self._may_displace(now)):
            taken = False
            for source in list(self._queues):
                candidate = self._take(source, now, plan)
                if candidate is not None:
                    candidate.place, candidate.since = Place.DIALLING, now
                    self._active[candidate] = None
                    plan.open.append(candidate)
                    taken = True
        for candidate in plan.drop:  # their next turn is not in this plan
            self._queue(candidate)
        return plan

    def wake_at(self) -> float | None:
        """When `plan` may give something more without any event, or None."""
        times = []
        if any(c.place is Place.RESERVE for c in self._known.values()):
            times += [c.since + HEDGE_SECONDS for c in self._active if c.place is Place.DIALLING]
        if self._queues:
            times += [c.since + IDLE_SECONDS for c in self._active if c.place is Place.IDLE]
        return min(times, default=None)

    def connected(self, candidate: Candidate, fingerprint: bytes, now: float) -> bool:
        """Whether a handshake may begin over this connection, to the certificate that was really shown."""
        if candidate.place is not Place.DIALLING or self._refused(fingerprint):
            return False
        if candidate.fingerprint is None:
            self._by_fingerprint.setdefault(fingerprint, {})[candidate] = None
        elif candidate.fingerprint != fingerprint:
            return False
        if any(c.place in HELD for c in self._by_fingerprint.get(fingerprint, {})):
            return False
        candidate.place, candidate.since, candidate.failures = Place.CONNECTED, now, 0
        return True

    def idle(self, candidate: Candidate) -> None:
        """The receiver has no code yet: the connection may be given up for another candidate after a while.

        That time is counted from the connection's beginning: a receiver that says "ready" now and then gains nothing by it.
        """
        if candidate.place is Place.CONNECTED:
            candidate.place = Place.IDLE

    def busy(self, candidate: Candidate) -> None:
        """The receiver has its code: the connection is not to be given up."""
        if candidate.place is Place.IDLE:
            candidate.place = Place.CONNECTED

    def closed(self, candidate: Candidate, now: float, *, failed: bool) -> None:
        """A connection ended; one that did not fail takes another turn."""
        if candidate.place not in ACTIVE:
            return
        del self._active[candidate]
        if candidate.place is Place.DIALLING and failed and candidate.fingerprint is not None:
            self._liars[candidate.fingerprint, candidate.source] = None
            if len(self._liars) > LIARS_MAX:
                self._liars.popitem(last=False)
        candidate.place = Place.DEAD
        if candidate.fingerprint is None:
            for entries in self._by_fingerprint.values():
                entries.pop(candidate, None)
            self._by_fingerprint = {key: entries for key, entries in self._by_fingerprint.items() if entries}
        if failed:
            pause = BACKOFF_SECONDS[min(candidate.failures, len(BACKOFF_SECONDS) - 1)]
            candidate.failures += 1
            candidate.retry_at = now + pause
        elif candidate.fingerprint is None or not self._refused(candidate.fingerprint):
            self._queue(candidate)

    def ban(self, fingerprint: bytes) -> None:
        """Leaves a receiver alone for good. Its connections are the caller's to close."""
        self._banned.add(fingerprint)
        for candidate in list(self._by_fingerprint.get(fingerprint, {})):
            if candidate.fingerprint is not None and candidate.place not in ACTIVE:
                self._forget(candidate)

    def _refused(self, fingerprint: bytes) -> bool:
        return fingerprint in self._banned or fingerprint in self._own

    def _queue(self, candidate: Candidate) -> None:
        candidate.place = Place.WAITING
        self._queues.setdefault(candidate.source, deque()).append(candidate)

    def _take(self, source: str, now: float, plan: Plan) -> Candidate | None:
        queue = self._queues[source]
        chosen: Candidate | None = None
        while queue and chosen is None:
            candidate = queue[0]
            if candidate.fingerprint is not None and self._refused(candidate.fingerprint):
                candidate.place = Place.DEAD
                queue.popleft()
            elif candidate.fingerprint is not None and self._in_hand(candidate.fingerprint, now):
                candidate.place = Place.RESERVE
                queue.popleft()
            elif self._has_slot(source, now, plan):
                chosen = queue.popleft()
            else:
                return None
        if queue:
            self._queues.move_to_end(source)
        else:
            del self._queues[source]
        return chosen

    def _in_hand(self, fingerprint: bytes, now: float) -> bool:
        peers = [c for c in self._by_fingerprint.get(fingerprint, {}) if c.place in ACTIVE]
        return (
            any(c.place in HELD or now - c.since < HEDGE_SECONDS for c in peers) or len(peers) >= DIALS_PER_FINGERPRINT
        )

    def _may_displace(self, now: float) -> bool:
        return any(c.place is Place.IDLE and now - c.since >= IDLE_SECONDS for c in self._active)

    def _has_slot(self, source: str, now: float, plan: Plan) -> bool:
        beside = [c for c in self._active if c.source == source]
        if len(beside) >= CONNECTIONS_PER_SOURCE:
            return self._displace(beside, now, plan)
        if len(self._active) >= CONNECTIONS_MAX:
            return self._displace(list(self._active), now, plan)
        return True

    def _displace(self, among: list[Candidate], now: float, plan: Plan) -> bool:
        idle = [c for c in among if c.place is Place.IDLE and now - c.since >= IDLE_SECONDS]
        if not idle:
            return False
        oldest = min(idle, key=lambda c: c.since)
        del self._active[oldest]
        oldest.place = Place.DEAD
        plan.drop.append(oldest)
        return True

    def _recall_reserves(self, now: float) -> None:
        for fingerprint, candidates in self._by_fingerprint.items():
            if len(candidates) > 1 and not self._in_hand(fingerprint, now):
                reserve = next((c for c in candidates if c.place is Place.RESERVE), None)
                if reserve is not None:
                    self._queue(reserve)

    def _make_room(self, new: Candidate) -> bool:
        peers = self._by_fingerprint.get(new.fingerprint, {}) if new.fingerprint is not None else {}
        if len(peers) >= ADDRESSES_PER_FINGERPRINT and not (self._deserves(new, peers) and self._evict_dead(peers)):
            return False
        beside = self._by_source.get(new.source, {})
        if len(beside) >= CANDIDATES_PER_SOURCE and not self._evict_dead(beside):
            return False
        if len(self._known) < CANDIDATES_MAX or self._evict_dead(self._known.values()):
            return True
        return self._evict_of_greediest(len(self._by_source.get(new.source, {})))

    def _deserves(self, new: Candidate, peers: Iterable[Candidate]) -> bool:
        # Where copies crowd a receiver's addresses, each source has one place and one try: so the real one's turn comes.
        lied = new.fingerprint is not None and (new.fingerprint, new.source) in self._liars
        return not lied and all(one.source != new.source for one in peers)

    def _evict_dead(self, among: Iterable[Candidate]) -> bool:
        dead = next((c for c in among if c.place is Place.DEAD), None)
        if dead is not None:
            self._forget(dead)
        return dead is not None

    def _evict_of_greediest(self, fewer: int) -> bool:
        # The newest of the sources with the most entries loses its newest waiting entry: a flood evicts itself.
        source = max(reversed(self._by_source), key=lambda s: len(self._by_source[s]))
        if len(self._by_source[source]) <= fewer:
            return False
        waiting = [c for c in self._by_source[source] if c.place in (Place.WAITING, Place.RESERVE)]
        if waiting:
            self.crowded = True
            self._forget(waiting[-1])
        return bool(waiting)

    def _forget(self, candidate: Candidate) -> None:
        if candidate.place is Place.WAITING:
            queue = self._queues[candidate.source]
            queue.remove(candidate)
            if not queue:
                del self._queues[candidate.source]
        candidate.place = Place.DEAD
        del self._known[candidate.fingerprint, candidate.endpoint]
        beside = self._by_source[candidate.source]
        del beside[candidate]
        if not beside:
            del self._by_source[candidate.source]
        if candidate.fingerprint is not None:
            peers = self._by_fingerprint[candidate.fingerprint]
            del peers[candidate]
            if not peers:
                del self._by_fingerprint[candidate.fingerprint]
