"""Follows one share session to its end: shows it, asks when it needs a person, cancels it on Ctrl-C."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli.failure import Failure, SessionFailure
from keybaton_cli.framework import App
from keybaton_cli.prompts import Asker, Withdrawn
from keybaton_cli.share_report import JsonReporter, Reporter, TextReporter
from keybaton_cli.share_words import ENDED, reason_of
from keybaton_client.problem import ClientError

_TICK_SECONDS = 1.0
_NEVER = object()

Answer = Callable[[share_pb2.Session, Asker], None]
"""Asks the person and tells the agent."""


@dataclass
class Need:
    """When a session needs a person, and how to answer. The question is withdrawn once the session no longer needs it.

    Snapshots from before an answer may still arrive after it: the same question comes again only after a snapshot that did
    not need it, or when `topic` has changed.
    """

    needed: Callable[[share_pb2.Session], bool]
    answer: Answer
    topic: Callable[[share_pb2.Session], object] = lambda session: None
    _answered: object = _NEVER

    def arises(self, session: share_pb2.Session) -> bool:
        """Whether to ask now."""
        if not self.needed(session):
            self._answered = _NEVER
            return False
        return not self.answered(session)

    def answered(self, session: share_pb2.Session) -> bool:
        """Whether this very question was answered already: the snapshot is from before the answer."""
        return self._answered is not _NEVER and self.needed(session) and self._answered == self.topic(session)

    def ask(self, session: share_pb2.Session, asker: Asker) -> None:
        """Asks and tells the agent."""
        self._answered = self.topic(session)
        self.answer(session, asker)


def reporter_for(app: App, noun: str, *, qr: bool = False, unasked: bool = False) -> Reporter:
    """The reporter that the options ask for; `noun` is `secrets`, `dbs` or `env`."""
    return JsonReporter() if app.json else TextReporter(noun, qr=qr, unasked=unasked)


class _Watch:
    """Reads the session's changes on a thread of its own, so that Ctrl-C and questions are never kept waiting."""

    def __init__(self, app: App, session_id: str) -> None:
        self._changes: queue.SimpleQueue[share_pb2.Session | ClientError] = queue.SimpleQueue()
        self._source = app.client().shares.watch(session_id)
        self._lock = threading.Lock()
        self._asking: tuple[Callable[[share_pb2.Session], bool], Asker] | None = None
        self._latest: share_pb2.Session | None = None
        threading.Thread(target=self._read, name="watch-session", daemon=True).start()

    def _read(self) -> None:
        try:
            for session in self._source:
                self._changes.put(session)
                with self._lock:
                    self._latest = session
                    self._withdraw_stale()
            self._changes.put(Failure("PROTOCOL", "The agent stopped telling about the share."))
        except ClientError as error:
            self._changes.put(error)
            with self._lock:
                if self._asking is not None:
                    self._asking[1].withdraw()

    def _withdraw_stale(self) -> None:
        if self._asking is not None and self._latest is not None and not self._asking[0](self._latest):
            self._asking[1].withdraw()

    def next(self, timeout: float) -> share_pb2.Session | None:
        """The next change; None when `timeout` seconds bring none. Raises ClientError when the agent is lost."""
        try:
            change = self._changes.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(change, ClientError):
            raise change
        return change

    def is_behind(self) -> bool:
        """Whether there are newer changes than the one that `next` gave last."""
        return not self._changes.empty()

    @contextmanager
    def asking(self, needed: Callable[[share_pb2.Session], bool]) -> Iterator[Asker]:
        """An Asker whose questions are withdrawn when a change says that they are needed no more."""
        asker = Asker()
        with self._lock:
            self._asking = (needed, asker)
            self._withdraw_stale()
        try:
            yield asker
        finally:
            with self._lock:
                self._asking = None


def follow(app: App, session: share_pb2.Session, reporter: Reporter, needs: list[Need]) -> share_pb2.Session:
    """The session as it was saved. SessionFailure when it ended otherwise; its last line is printed then."""
    with _ended_by_signals():
        try:
            last = _until_end(app, session, reporter, needs)
        except KeyboardInterrupt:
            last = _cancelled(app, session.id)
            reporter.ended(last)
            if last.state != share_pb2.SHARE_STATE_SAVED:
                raise SessionFailure("cancelled", "Cancelled.") from None
            return last
    reporter.ended(last)
    if last.state != share_pb2.SHARE_STATE_SAVED:
        raise SessionFailure(reason_of(last), "The share was not saved.")
    return last


def _until_end(app: App, session: share_pb2.Session, reporter: Reporter, needs: list[Need]) -> share_pb2.Session:
    if session.state not in ENDED:
        reporter.changed(session)  # the code is in the answer to the start; the watch may begin after the end
    watch = _Watch(app, session.id)
    while True:
        change = watch.next(_TICK_SECONDS)
        if change is None:
            reporter.tick(session)
            continue
        session = change
        if session.state in ENDED:
            return session
        passed = watch.is_behind() or any(need.answered(session) for need in needs)
        reporter.changed(session, newest=not passed)
        for need in needs:
            if need.arises(session):
                reporter.pause()
                with watch.asking(need.needed) as asker:
                    _ask(need, session, asker)


def _ask(need: Need, session: share_pb2.Session, asker: Asker) -> None:
    try:
        need.ask(session, asker)
    except Withdrawn:
        return  # the next change says why
    except ClientError as error:
        if error.reason not in {"WRONG_STATE", "SESSION_NOT_FOUND"}:
            raise
        # The session moved on while the person was typing: the next change says where to.


def _cancelled(app: App, session_id: str) -> share_pb2.Session:
    """Cancels; a second Ctrl-C meanwhile changes nothing. The session as it ended."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    cancelled = share_pb2.Session(id=session_id, state=share_pb2.SHARE_STATE_CANCELLED, reason="cancelled")
    try:
        last = app.client().shares.cancel(session_id)
    except ClientError:
        return cancelled  # the agent has gone, and the session with it
    return last if last.state in ENDED else cancelled


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the share as Ctrl-C does. A closed terminal does not: the session goes on in the agent."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
