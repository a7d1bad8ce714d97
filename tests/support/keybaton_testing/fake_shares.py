"""The share service of the fake agent: one session, by script."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from keybaton_api.agent.v1 import share_pb2, share_pb2_grpc

_ENDED = frozenset({"SAVED", "DECLINED", "FAILED", "CANCELLED", "EXPIRED"})


class FakeShares(share_pb2_grpc.ShareServiceServicer):
    """Tests set what follows a call (`on_start`, `on_code`, `on_review`, `on_confirm`), and read what was asked."""

    def __init__(self, opened: Callable[[grpc.ServicerContext], None]) -> None:
        """`opened` refuses a call while the vault is not open."""
        self._opened = opened
        self.sends: list[share_pb2.StartSendRequest] = []
        self.receives: list[share_pb2.StartReceiveRequest] = []
        self.codes: list[str] = []
        self.reviews: list[share_pb2.ReviewRequest] = []
        self.confirmations: list[bool] = []
        self.cancelled = 0
        self.on_start: Callable[[Any], None] = lambda agent: None  # what they are given is the whole agent
        self.on_code: Callable[[Any, str], None] = lambda agent, code: None
        self.on_review: Callable[[Any, share_pb2.ReviewRequest, grpc.ServicerContext], None] = _save
        self.on_confirm: Callable[[Any, bool], None] = lambda agent, accept: None
        self.session = share_pb2.Session()
        self._watchers: list[queue.SimpleQueue[share_pb2.Session]] = []
        self._lock = threading.Lock()

    def become(self, state: str, **changes: object) -> None:
        """Moves the session to a state, such as `REVIEW`, and tells the watchers."""
        with self._lock:
            self.session.MergeFrom(share_pb2.Session(**changes))  # type: ignore[arg-type]
            for name in ("needs_code", "needs_confirmation"):
                if changes.get(name) is False:
                    self.session.ClearField(name)
            self.session.state = share_pb2.ShareState.Value(f"SHARE_STATE_{state}")
            if state in _ENDED:
                self.session.code = ""
                self.session.needs_code = self.session.needs_confirmation = False
            for watcher in self._watchers:
                snapshot = share_pb2.Session()
                snapshot.CopyFrom(self.session)
                watcher.put(snapshot)

    def StartSend(self, request: share_pb2.StartSendRequest, context: Any) -> share_pb2.StartSendResponse:
        self._opened(context)
        self.sends.append(request)
        self.session = share_pb2.Session(
            id="5e5510" + "0" * 26,
            role=share_pb2.SHARE_ROLE_SEND,
            protocol=request.protocol,
            code=request.code or "4821",
        )
        self.become("SEEKING")
        answer = share_pb2.StartSendResponse(session=self.session)
        self.on_start(self)
        return answer

    def StartReceive(self, request: share_pb2.StartReceiveRequest, context: Any) -> share_pb2.StartReceiveResponse:
        self._opened(context)
        self.receives.append(request)
        self.session = share_pb2.Session(
            id="4ece1f" + "0" * 26,
            role=share_pb2.SHARE_ROLE_RECEIVE,
            protocol=request.protocol,
            needs_code=not request.code,
            guesses_left=3,
            addresses=["192.0.2.7:40123"],
            fingerprint="ab" * 32,
        )
        self.become("ANNOUNCING")
        answer = share_pb2.StartReceiveResponse(session=self.session)
        self.on_start(self)
        return answer

    def ProvideCode(self, request: share_pb2.ProvideCodeRequest, context: Any) -> share_pb2.ProvideCodeResponse:
        self.codes.append(request.code)
        self.session.needs_code = False
        self.on_code(self, request.code)
        return share_pb2.ProvideCodeResponse(session=self.session)

    def ConfirmPeer(self, request: share_pb2.ConfirmPeerRequest, context: Any) -> share_pb2.ConfirmPeerResponse:
        self.confirmations.append(request.accept)
        self.session.needs_confirmation = False
        self.on_confirm(self, request.accept)
        return share_pb2.ConfirmPeerResponse(session=self.session)

    def Review(self, request: share_pb2.ReviewRequest, context: Any) -> share_pb2.ReviewResponse:
        self.reviews.append(request)
        if not request.accept:
            self.become("DECLINED", reason="declined")
        else:
            self.on_review(self, request, context)
        return share_pb2.ReviewResponse(session=self.session)

    def Cancel(self, request: share_pb2.CancelRequest, context: Any) -> share_pb2.CancelResponse:
        self.cancelled += 1
        self.become("CANCELLED", reason="cancelled")
        return share_pb2.CancelResponse(session=self.session)

    def ListSessions(self, request: share_pb2.ListSessionsRequest, context: Any) -> share_pb2.ListSessionsResponse:
        return share_pb2.ListSessionsResponse(sessions=[self.session] if self.session.id else [])

    def WatchSession(
        self, request: share_pb2.WatchSessionRequest, context: Any
    ) -> Iterator[share_pb2.WatchSessionResponse]:
        watcher: queue.SimpleQueue[share_pb2.Session] = queue.SimpleQueue()
        first = share_pb2.Session()
        with self._lock:
            first.CopyFrom(self.session)
            self._watchers.append(watcher)
        yield from self._snapshots(first, watcher, context)

    def _snapshots(
        self, first: share_pb2.Session, watcher: queue.SimpleQueue[share_pb2.Session], context: grpc.ServicerContext
    ) -> Iterator[share_pb2.WatchSessionResponse]:
        session = first
        while True:
            yield share_pb2.WatchSessionResponse(session=session)
            if share_pb2.ShareState.Name(session.state).removeprefix("SHARE_STATE_") in _ENDED:
                return
            while True:
                try:
                    session = watcher.get(timeout=0.2)
                    break
                except queue.Empty:
                    if not context.is_active():
                        return


def _save(agent: FakeShares, request: share_pb2.ReviewRequest, context: grpc.ServicerContext) -> None:
    offer = agent.session.offer
    offered = offer.database.name if offer.HasField("database") else offer.secrets[0].name
    agent.become("SAVED", name=request.name or offered)
