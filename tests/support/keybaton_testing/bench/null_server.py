"""A grpc.aio server whose one method does nothing: what the agent's answers are compared with. Arguments: socket, method."""

from __future__ import annotations

import asyncio
import sys

import grpc


async def _answer(request: bytes, context: object) -> bytes:
    return b""


async def _serve(path: str, method: str) -> None:
    server = grpc.aio.server()
    service, name = method.strip("/").split("/")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {name: grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
