"""ShareService: translate, call, translate back."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from keybaton_api.agent.v1 import share_pb2, share_pb2_grpc
from keybatond.rpc.convert_share import review_from, session_to, start_receive_from, start_send_from
from keybatond.services.shares import ShareService

_Context = grpc.aio.ServicerContext[Any, Any]


class ShareServicer(share_pb2_grpc.ShareServiceServicer):
    """Hands share calls to the registry of sessions."""

    def __init__(self, shares: ShareService) -> None:
        self._shares = shares

    async def StartSend(self, request: share_pb2.StartSendRequest, context: _Context) -> share_pb2.StartSendResponse:
        session = self._shares.start_send(start_send_from(request))
        return share_pb2.StartSendResponse(session=session_to(session))

    async def StartReceive(
        self, request: share_pb2.StartReceiveRequest, context: _Context
    ) -> share_pb2.StartReceiveResponse:
        session = self._shares.start_receive(start_receive_from(request))
        return share_pb2.StartReceiveResponse(session=session_to(session))

    async def ProvideCode(
        self, request: share_pb2.ProvideCodeRequest, context: _Context
    ) -> share_pb2.ProvideCodeResponse:
        sender = request.sender if request.HasField("sender") else None
        session = self._shares.provide_code(request.session_id, request.code, sender)
        return share_pb2.ProvideCodeResponse(session=session_to(session))

    async def ConfirmPeer(
        self, request: share_pb2.ConfirmPeerRequest, context: _Context
    ) -> share_pb2.ConfirmPeerResponse:
        session = self._shares.confirm_peer(request.session_id, request.accept)
        return share_pb2.ConfirmPeerResponse(session=session_to(session))

    async def Review(self, request: share_pb2.ReviewRequest, context: _Context) -> share_pb2.ReviewResponse:
        session = await self._shares.review(review_from(request))
        return share_pb2.ReviewResponse(session=session_to(session))

    async def Cancel(self, request: share_pb2.CancelRequest, context: _Context) -> share_pb2.CancelResponse:
        session = await self._shares.cancel(request.session_id)
        return share_pb2.CancelResponse(session=session_to(session))

    async def ListSessions(
        self, request: share_pb2.ListSessionsRequest, context: _Context
    ) -> share_pb2.ListSessionsResponse:
        return share_pb2.ListSessionsResponse(sessions=[session_to(session) for session in self._shares.sessions()])

    async def WatchSession(
        self, request: share_pb2.WatchSessionRequest, context: _Context
    ) -> AsyncIterator[share_pb2.WatchSessionResponse]:
        async for session in self._shares.watch(request.session_id):
            yield share_pb2.WatchSessionResponse(session=session_to(session))
