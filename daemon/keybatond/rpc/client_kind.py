"""What kind of client calls, by its own word in the metadata: for the log of reads, never for a decision."""

from __future__ import annotations

from typing import Any, Final

import grpc.aio

KEY: Final = "keybaton-client"
OTHER: Final = "other"
KINDS: Final = frozenset({"cli", "run", "library", "git", "docker", "aws", "keyring", "kubectl", "ssh"})


def client_kind(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """One of KINDS; OTHER for callers that say nothing, or something else."""
    for key, value in context.invocation_metadata() or ():
        if key == KEY:
            return str(value) if value in KINDS else OTHER
    return OTHER
