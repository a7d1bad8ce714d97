"""What clients ask of a share and what they see of it: plain data, one to one with share.proto, never a secret value."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from keybaton_core.items import ItemRef
from keybatond.services.share_session import Role, ShareProtocol, State


class ConflictChoice(enum.IntEnum):
    """Equal to the API's ConflictChoice: what to do when a name is taken."""

    ASK = 0  # CONFLICT
    REUSE = 1  # keep the existing one; secrets only
    REPLACE = 2
    RENAME = 3  # under the name given, which must be free; with none given, the first free "name (2)", "name (3)", …


class VariableChange(enum.IntEnum):
    """Equal to the API's VariableChange."""

    UNKNOWN = 0
    NEW = 1
    CHANGED = 2
    SAME = 3


@dataclass(frozen=True)
class EnvironmentSelection:
    """Variables of one environment; no names mean all."""

    project_id: str
    environment: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class StartSend:
    """What to hand over and how. `description` and `path` are None where they stay as stored."""

    items: tuple[ItemRef, ...]
    omit_links: frozenset[str] = frozenset()
    send_as: str = ""
    description: str | None = None
    path: str | None = None
    protocol: ShareProtocol = ShareProtocol.KEYBATON
    to: str = ""
    digits: int = 0
    code: str = field(default="", repr=False)
    timeout_seconds: int = 0
    confirm_peer: bool = False
    environment: EnvironmentSelection | None = None


@dataclass(frozen=True)
class StartReceive:
    """How to receive. Without `code` it is asked for later.

    `sender` is the name of the device to take from, empty: any. `environment`: where variables go, if not as offered.
    """

    protocol: ShareProtocol = ShareProtocol.KEYBATON
    code: str = field(default="", repr=False)
    code_is_final: bool = False
    timeout_seconds: int = 0
    offer_nonce: str = ""
    sender: str = ""
    environment: str = ""


@dataclass(frozen=True)
class SecretDecision:
    """What becomes of one offered secret. `key` as in OfferedSecret; an empty `save_as` keeps the offered name."""

    key: str
    wanted: bool = True
    on_conflict: ConflictChoice = ConflictChoice.ASK
    save_as: str = ""


@dataclass(frozen=True)
class VariableDecision:
    """What becomes of one offered variable: REUSE keeps the value that is here, REPLACE takes the offered one."""

    name: str
    wanted: bool = True
    on_conflict: ConflictChoice = ConflictChoice.ASK


@dataclass(frozen=True)
class ReviewDecision:
    """The person's decision. `name`, `description`, `path` and `on_conflict` are the database's.

    Secrets and variables that are not named are imported as offered with `default_choice`. `environment`: where variables
    are saved, if not where the offer says.
    """

    session_id: str
    accept: bool
    name: str = ""
    description: str | None = None
    path: str | None = None
    on_conflict: ConflictChoice = ConflictChoice.ASK
    secrets: tuple[SecretDecision, ...] = ()
    default_choice: ConflictChoice = ConflictChoice.ASK
    variables: tuple[VariableDecision, ...] = ()
    environment: str = ""


@dataclass(frozen=True)
class OfferedSecret:
    """A secret in a payload beside what the vault has under its name."""

    key: str
    name: str
    type: str
    field_names: tuple[str, ...]
    exists: bool = False
    same: bool = False
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfferedDatabase:
    """A database in a payload beside what the vault has under its name."""

    name: str
    description: str
    path: str
    origin: str
    exists: bool = False
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfferedVariable:
    """A variable in a payload beside what the target environment has under its name."""

    name: str
    change: VariableChange


@dataclass(frozen=True)
class OfferedEnvironment:
    """An environment in a payload, offered as `environment` and to be saved as `target`; values are never shown."""

    project_id: str
    project_name: str
    environment: str
    target: str
    variables: tuple[OfferedVariable, ...]
    project_exists: bool = False
    target_exists: bool = False


@dataclass(frozen=True)
class Offer:
    """What a share carries."""

    database: OfferedDatabase | None
    secrets: tuple[OfferedSecret, ...]
    environment: OfferedEnvironment | None = None


@dataclass(frozen=True)
class Session:
    """The whole of a session at one moment. `fingerprint` is 64 hexadecimal digits; the fields mean what share.proto says."""

    id: str
    role: Role
    protocol: ShareProtocol
    state: State
    reason: str = ""
    code: str = field(default="", repr=False)
    deadline_at_ms: int = 0
    peer_name: str = ""
    peer_address: str = ""
    needs_code: bool = False
    guesses_left: int = 0
    needs_confirmation: bool = False
    offer: Offer | None = None
    addresses: tuple[str, ...] = ()
    fingerprint: str = ""
    conflict: str = ""
    name: str = ""
    hint: str = ""
    candidates: int = 0
    names: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    only_photosphere: bool = False
