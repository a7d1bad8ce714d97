"""Tells of a running share: lines and a count-down for people, one JSON object per line for programs."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli import output
from keybaton_cli.big_digits import big
from keybaton_cli.share_words import STATES, ending, offer_json, only_photosphere, reason_of, saved_line


class Reporter(Protocol):
    """Is told each new state of one session."""

    def changed(self, session: share_pb2.Session, *, newest: bool = True) -> None:
        """The session as it is now; called for each change, not for the end. Not `newest`: it has changed once more."""

    def tick(self, session: share_pb2.Session) -> None:
        """About a second has passed."""

    def pause(self) -> None:
        """Something else is about to write to the terminal."""

    def ended(self, session: share_pb2.Session) -> None:
        """The session as it ended."""


class JsonReporter:
    """One object per line: `code`, `listening`, `peer`, `review`, `state`, `waiting`, and as the last `done` or `failed`."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}

    def _once(self, event: str, content: dict[str, Any]) -> None:
        if self._said.get(event) != content:
            self._said[event] = content
            output.document({"event": event, **content})

    def changed(self, session: share_pb2.Session, *, newest: bool = True) -> None:
        """Prints what is new; a program may want every step."""
        if session.code:
            self._once("code", {"code": session.code})
        if session.addresses:
            content = {"addresses": list(session.addresses), "fingerprint": session.fingerprint}
            self._once("listening", content)
        self._once("state", {"state": STATES.get(session.state, "unknown"), "session": session.id})
        if session.peer_name or session.peer_address:
            self._once("peer", {"name": session.peer_name, "address": session.peer_address})
        if session.only_photosphere:
            sentence, hint = only_photosphere(session)
            self._once("waiting", {"reason": "photosphere-only", "message": sentence, "hint": hint})
        if session.role == share_pb2.SHARE_ROLE_RECEIVE and session.state == share_pb2.SHARE_STATE_REVIEW:
            self._once("review", offer_json(session.offer))

    def tick(self, session: share_pb2.Session) -> None:
        """Programs have clocks."""

    def pause(self) -> None:
        """Nothing stands half-written."""

    def ended(self, session: share_pb2.Session) -> None:
        """Prints the last line."""
        if session.state == share_pb2.SHARE_STATE_SAVED:
            done: dict[str, Any] = {"event": "done", "outcome": "saved", "name": session.name}
            if session.names:
                done["names"] = list(session.names)
            if session.conflict:
                done["conflict"] = session.conflict
            output.document(done)
            return
        sentence, hint = ending(session)
        output.document({"event": "failed", "reason": reason_of(session), "message": sentence, "hint": hint})


# Before these a peer is only somebody who answered.
_PROVED = frozenset(
    {share_pb2.SHARE_STATE_AUTHENTICATED, share_pb2.SHARE_STATE_DELIVERED, share_pb2.SHARE_STATE_REVIEW}
)
_REACHABLE = frozenset({share_pb2.SHARE_STATE_ANNOUNCING, share_pb2.SHARE_STATE_CODE_NEEDED})
_WAITING = {
    share_pb2.SHARE_STATE_SEEKING: "Waiting for the other device",
    share_pb2.SHARE_STATE_CONNECTED: "Connected; waiting for the code to be typed there",
    share_pb2.SHARE_STATE_AUTHENTICATED: "The code is right; handing over",
    share_pb2.SHARE_STATE_DELIVERED: "Handed over; waiting for it to be reviewed there",
    share_pb2.SHARE_STATE_ANNOUNCING: "Waiting for the other device",
    share_pb2.SHARE_STATE_CODE_NEEDED: "Waiting for the code",
    share_pb2.SHARE_STATE_REVIEW: "Waiting for the review",
}


class TextReporter:
    """The code and the outcome on stdout; what is being waited for, with a count-down, on stderr."""

    def __init__(self, noun: str, *, qr: bool = False, unasked: bool = False) -> None:
        """`unasked`: what arrives is accepted without a review."""
        self._noun = noun
        self._qr = qr
        self._unasked = unasked
        self._code = ""
        self._addresses: list[str] = []
        self._peer = ""
        self._foreign_told = False
        self._waiting = ""
        self._live = output.is_terminal(sys.stderr)
        self._standing = False

    def changed(self, session: share_pb2.Session, *, newest: bool = True) -> None:
        """Prints what is new and brings the waiting line up to date. What happened during a question is history."""
        if not newest:
            return
        if session.code and session.code != self._code:
            self._code = session.code
            self._show_code(session)
        if list(session.addresses) != self._addresses and session.state in _REACHABLE:
            self._addresses = list(session.addresses)
            self._show_addresses()
        peer = " at ".join(filter(None, (session.peer_name, session.peer_address)))
        if peer != self._peer and session.state in _PROVED:
            self._peer = peer
            self.pause()
            output.note(f"Connected with {output.printable(peer)}")
        if session.only_photosphere and not self._foreign_told:
            self._foreign_told = True
            self.pause()
            sentence, hint = only_photosphere(session)
            output.note(sentence)
            output.hint(hint)
        self._show_waiting(session)

    def _show_code(self, session: share_pb2.Session) -> None:
        self.pause()
        large = big(session.code, sys.stdout.encoding or "ascii") if output.is_terminal(sys.stdout) else []
        if large:
            output.say()
            for line in large:
                output.say("    " + output.styled(line, "bold"))
            output.say()
        output.say(f"Code: {output.printable(session.code)}")
        if session.protocol == share_pb2.SHARE_PROTOCOL_PHOTOSPHERE:
            output.note("Start receiving in Photosphere on the other device, and type the code there.")
        else:
            output.note(f"On the other device: keybaton {self._noun} receive")
        sys.stdout.flush()

    def _show_addresses(self) -> None:
        if not self._addresses:
            return
        self.pause()
        alone = all(address.startswith(("127.", "[::1]")) for address in self._addresses)
        where = "only from this machine, at " if alone else "at "
        output.note(f"This device can be reached {where}" + ", ".join(map(output.printable, self._addresses)))
        if self._qr:
            _show_qr(self._addresses[0])

    def _show_waiting(self, session: share_pb2.Session) -> None:
        waiting = self._waiting_for(session)
        if waiting != self._waiting:
            self._waiting = waiting
            if not self._live and waiting:
                output.note(waiting + " …")
        self.tick(session)

    def _waiting_for(self, session: share_pb2.Session) -> str:
        if session.role == share_pb2.SHARE_ROLE_RECEIVE:
            if session.state == share_pb2.SHARE_STATE_AUTHENTICATED:
                return "The code is right; waiting for what is handed over"
            if session.state == share_pb2.SHARE_STATE_REVIEW and self._unasked:
                return "Saving"
        return _WAITING.get(session.state, "")

    def tick(self, session: share_pb2.Session) -> None:
        """Brings the count-down up to date."""
        if not self._live or not self._waiting:
            return
        left = max(0, round(session.deadline_at_ms / 1000 - time.time()))
        clock = f" {left // 60}:{left % 60:02}" if session.deadline_at_ms else ""
        line, note = fitted(self._waiting, clock, output.columns(sys.stderr))
        sys.stderr.write("\r\x1b[K" + line + output.styled(note, "dim", sys.stderr))
        sys.stderr.flush()
        self._standing = True

    def pause(self) -> None:
        """Takes the waiting line away."""
        if self._standing:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._standing = False

    def ended(self, session: share_pb2.Session) -> None:
        """Prints the outcome."""
        self.pause()
        if session.state == share_pb2.SHARE_STATE_SAVED:
            output.say(output.styled(saved_line(session), "green"))
            output.hint(output.printable(session.hint))
            return
        sentence, hint = ending(session)
        output.marked(reason_of(session) + ":", "red", sentence)
        output.hint(hint)


def fitted(waiting: str, clock: str, columns: int) -> tuple[str, str]:
    """The waiting line and the note behind it, so that they stay one line: a wrapped one could not be taken away again."""
    rest, note = f" …{clock}", "   Ctrl-C ends it"
    line = waiting[: max(0, columns - 1 - len(rest))] + rest
    return line, note if len(line) + len(note) < columns else ""


def _show_qr(address: str) -> None:
    import segno

    if output.is_terminal(sys.stderr):
        segno.make(address, error="l").terminal(out=sys.stderr, border=2, compact=True)
