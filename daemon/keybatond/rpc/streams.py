"""A bound on the streams that are open at once, whatever service they are of: each lasts as long as its client likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.limits import STREAMS_MAX


class OpenStreams:
    """Counts the streams of one agent."""

    def __init__(self, most: int = STREAMS_MAX) -> None:
        self._most = most
        self._open = 0

    def counted(self, handler: Any) -> Any:
        """The handler of one method; one that streams its answer refuses with BUSY when too many are open."""
        if not handler.response_streaming:
            return handler
        kind = "stream_stream" if handler.request_streaming else "unary_stream"
        method = getattr(handler, kind)

        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            if self._open >= self._most:
                await self._refuse(context)
            self._open += 1
            try:
                async with aclosing(method(request, context)) as answers:
                    async for answer in answers:
                        yield answer
            finally:
                self._open -= 1

        return handler._replace(**{kind: call})

    async def _refuse(self, context: Any) -> None:
        from keybatond.rpc.errors import wire_error  # with the first error, not with the first answer

        busy = KeybatonError(Reason.BUSY, limit=str(self._most), busy="Too many programs watch the agent")
        failed = wire_error(busy)
        await context.abort(failed.status, failed.message, failed.trailing())
