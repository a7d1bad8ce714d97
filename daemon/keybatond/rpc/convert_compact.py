"""Between wire messages and domain values of the history's compaction."""

from __future__ import annotations

from keybaton_api.agent.v1 import agent_pb2
from keybatond.errors import refused
from keybatond.rpc.convert import ref_to
from keybatond.services.vault_compact import Compaction, Rule


def rule_from(request: agent_pb2.CompactVaultRequest) -> Rule:
    """What stays. INVALID_ARGUMENT when nothing says so."""
    days = request.older_than_days if request.HasField("older_than_days") else None
    if days is None and not request.HasField("keep"):
        raise refused("request", "has neither keep nor older_than_days")
    return Rule(request.keep, days)


def compaction_to(done: Compaction) -> agent_pb2.CompactVaultResponse:
    """The last message of the stream."""
    response = agent_pb2.CompactVaultResponse(finished=True, versions=done.versions, items=done.items, gone=done.gone)
    for item in done.shown:
        response.shown.add(ref=ref_to(item.ref), versions=item.versions, gone=item.gone)
    return response
