"""Every kind of attack: its program, how it is brought to bear, and how an honest share may end under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keybaton_testing.attacker import announcing, calling, relaying, serving
from keybaton_testing.attacker.position import Program

SAVED = frozenset({"saved"})
# Where the attack spends guesses: whoever noticed says so, the other end may only know that nobody came in time.
SPENT = frozenset({"saved", "guesses-used-up", "wrong-code", "no-peer", "expired", "busy"})
# Where the attacker holds the only wire and cuts it after the payload has left: nothing is known of what became of it.
CUT = SPENT | {"peer-gone", "unconfirmed"}
# Where it alters what the ends say before they can prove anything, a hello may come to speak of another version.
ALTERED = CUT | {"wrong-version"}


@dataclass(frozen=True)
class Kind:
    """`evidence`: what the attacker must have done for the try to count. `named`: the sender is made to name the attacker
    itself in some tries, so that the attacker holds the only wire; the end is then one of `named_ends`."""

    program: Program
    evidence: str
    ends: frozenset[str] = SAVED
    named: bool = False
    named_every: int = 2
    named_ends: frozenset[str] = SPENT
    send_after: float | None = None  # seconds; by chance where neither is given
    receive_after: float | None = None
    seconds: int = 12
    slow: bool = False  # a try takes seconds: begun before the others


KINDS: Mapping[str, Kind] = {
    "announces dead receivers": Kind(announcing.announce_dead, "datagrams"),
    "announces in others' names": Kind(announcing.announce_spoofed, "datagrams", seconds=30),
    "announces copies of the fingerprint": Kind(announcing.copy_fingerprint, "datagrams", seconds=30),
    "crowds out the fingerprint": Kind(
        announcing.crowd_out_fingerprint, "datagrams", send_after=0.8, seconds=30, slow=True
    ),
    "announces copies of the nonce": Kind(announcing.copy_nonce, "datagrams"),
    "floods the discovery port": Kind(announcing.flood, "datagrams"),
    "stalls at every step": Kind(serving.stall, "connections", receive_after=0.3),
    "crowds the sender": Kind(serving.crowd_sender, "connections", receive_after=1.0, seconds=30, slow=True),
    "crowds the receiver": Kind(calling.crowd_receiver, "connections", send_after=1.0, seconds=30, slow=True),
    "offers older protocols": Kind(serving.downgrade, "datagrams"),
    "half-opens connections": Kind(calling.half_open, "connections", send_after=0.4),
    "sends nonsense": Kind(calling.nonsense, "requests", send_after=0.4),
    "relays bytes": Kind(relaying.relay_bytes(), "connections", named=True, named_ends=SAVED),
    "alters bytes": Kind(
        relaying.relay_bytes(relaying.flip_a_bit), "altered", CUT, named=True, named_every=4, slow=True, named_ends=CUT
    ),
    "cuts connections": Kind(
        relaying.relay_bytes(relaying.cut), "altered", CUT, named=True, named_every=4, slow=True, named_ends=CUT
    ),
    "relays TLS": Kind(relaying.relay_tls(), "connections", SPENT, named=True),
    "alters messages": Kind(
        relaying.relay_tls(relaying.alter_message), "altered", ALTERED, named=True, named_ends=ALTERED
    ),
    "replays": Kind(calling.replay, "replayed", SPENT, send_after=0.4),
    "guesses as sender": Kind(calling.guess_as_sender, "answered", SPENT),
    "guesses as receiver": Kind(serving.guess_as_receiver, "connections", SPENT, named=True),
    "spends guesses, then poses": Kind(calling.spend_then_pose, "answered", SPENT, send_after=0.4),
}
