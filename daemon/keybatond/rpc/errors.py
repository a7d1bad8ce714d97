"""From a domain error to what crosses the wire: status, sentence, and google.rpc.ErrorInfo with reason, hint and data.

Clients branch on the reason in google.rpc.ErrorInfo; the sentence is for people. An exception that is not in the table
leaves as INTERNAL without a word of its own: it might quote a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from keybaton_core.items import ItemRefused
from keybaton_core.names import NameRefused
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.wordings import BY_DATA, WORDINGS

ERROR_DOMAIN = "keybaton"
DETAILS_KEY = "grpc-status-details-bin"
_TEXT_MAX = 400  # trailing metadata is limited to 8 KiB and says everything twice

# Stand-ins for data that an error does not carry, so that every sentence reads.
_DEFAULTS = {"field": "request", "problem": "is not valid", "fields": "others"}


@dataclass(frozen=True)
class WireError:
    """What crosses the wire for one failure."""

    status: grpc.StatusCode
    reason: Reason
    message: str
    metadata: Mapping[str, str]

    def trailing(self) -> tuple[tuple[str, bytes], ...]:
        """The trailing metadata: google.rpc.Status with one ErrorInfo."""
        from google.protobuf import any_pb2
        from google.rpc import error_details_pb2, status_pb2

        info = error_details_pb2.ErrorInfo(domain=ERROR_DOMAIN, reason=self.reason.value, metadata=self.metadata)
        packed = any_pb2.Any()
        packed.Pack(info)
        status = status_pb2.Status(code=self.status.value[0], message=self.message, details=[packed])
        return ((DETAILS_KEY, status.SerializeToString()),)


def wire_error(error: Exception) -> WireError:
    """The wire's form of any exception; unknown ones are INTERNAL and say nothing of themselves."""
    match error:
        case KeybatonError():
            reason, data = error.reason, {key: str(value)[:_TEXT_MAX] for key, value in error.data.items()}
        case ItemRefused() | NameRefused():
            reason, data = Reason.INVALID_ARGUMENT, {"field": error.field, "problem": error.problem[:_TEXT_MAX]}
        case _:
            reason, data = Reason.INTERNAL, {}
    usual = WORDINGS[reason]
    sentence, hint = next((words for key, words in BY_DATA.items() if data.get(key)), (usual.sentence, usual.hint))
    values: defaultdict[str, str] = defaultdict(
        str, {**_DEFAULTS, **{key: value for key, value in data.items() if value}}
    )
    metadata = {"hint": hint, **data} if hint else dict(data)
    return WireError(usual.status, reason, sentence.format_map(values), metadata)


def where(error: BaseException) -> str:
    """File and line at which an exception was raised, for the log: `vault.py:120`."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
