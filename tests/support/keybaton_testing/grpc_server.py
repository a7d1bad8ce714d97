"""A real grpcio server on a Unix socket in a short folder, for tests of clients: raw bytes in, raw bytes or errors out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
Handler = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def short_folder() -> Iterator[str]:
    """A folder whose path leaves room for a socket's name (108 bytes in all)."""
    folder = tempfile.mkdtemp(prefix="kb-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(handlers: dict[str, Handler], path: str) -> Iterator[grpc.Server]:
    """Serves `handlers`, by `/package.Service/Method`, on the socket at `path`."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4),
        options=[("grpc.max_receive_message_length", MESSAGE_MAX_BYTES)],
    )
    by_service: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
    for name, handler in handlers.items():
        service, method = name.strip("/").split("/")
        by_service.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(handler)
    for service, methods in by_service.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield server
    finally:
        server.stop(0).wait(5)
