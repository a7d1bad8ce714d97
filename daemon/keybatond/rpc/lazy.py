"""Services that are imported and built when their first call comes: an agent answers sooner and stays smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from keybatond.rpc.streams import OpenStreams


class Registrar:
    """Stands where generated `add_…Servicer_to_server` functions expect a server, and keeps what they register."""

    def __init__(self) -> None:
        self._generic: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Called by generated code."""
        self._generic.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Called by generated code with the same handlers once more, for servers that look methods up by name."""

    def find(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None when it has none."""
        found = (handler.service(details) for handler in self._generic)
        return next((handler for handler in found if handler is not None), None)


Load = Callable[[Any], None]
"""Imports a service and adds it to what it is given, which stands for a server."""


class LazyServices(grpc.GenericRpcHandler):
    """Hands gRPC the handlers of services by their full name; loads each once."""

    def __init__(self, loads: Mapping[str, Load]) -> None:
        self._loads = dict(loads)
        self._loaded: dict[str, Registrar] = {}
        self._streams = OpenStreams()
        self._found: dict[str, Any] = {}  # handlers by method; only what exists, so that no caller makes it grow

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler for one call, None for a service that is not ours."""
        method = handler_call_details.method
        handler = self._found.get(method)
        if handler is None:
            handler = self._find(handler_call_details)
            if handler is not None:
                handler = self._found[method] = self._streams.counted(handler)
        return handler

    def _find(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        name = handler_call_details.method[1:].partition("/")[0]
        registrar = self._loaded.get(name)
        if registrar is None:
            if name not in self._loads:
                return None
            registrar = Registrar()
            self._loads[name](registrar)
            self._loaded[name] = registrar
        return registrar.find(handler_call_details)
