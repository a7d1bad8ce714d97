"""What there is of a vault in memory while it is open."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from keybaton_core.vault_rows import RowSealer
from keybatond.services.vault_answers import ListAnswers, ReadAnswers
from keybatond.services.vault_reads import PENDING_MAX
from keybatond.services.vault_types import ReadRecord


@dataclass
class OpenVault:
    """An open vault: its keys, the reads that are not yet written, and what was answered about its names."""

    sealer: RowSealer
    read_answers: ReadAnswers
    reads: deque[ReadRecord] = field(default_factory=lambda: deque(maxlen=PENDING_MAX))
    answers: ListAnswers = field(default_factory=ListAnswers)
