"""Between wire messages of shares and domain values."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

from keybaton_api.agent.v1 import share_pb2
from keybatond.errors import refused
from keybatond.rpc.convert import ref_from
from keybatond.services.share_session import ShareProtocol
from keybatond.services.share_view import (
    ConflictChoice,
    EnvironmentSelection,
    Offer,
    OfferedDatabase,
    OfferedEnvironment,
    OfferedSecret,
    ReviewDecision,
    SecretDecision,
    Session,
    StartReceive,
    StartSend,
    VariableDecision,
)

_Enum = TypeVar("_Enum", bound=IntEnum)


def _enum_from(kind: type[_Enum], number: int, field: str) -> _Enum:
    try:
        return kind(number)
    except ValueError:
        raise refused(field, "is unknown") from None


def _protocol_from(number: int) -> ShareProtocol:
    return _enum_from(ShareProtocol, number or ShareProtocol.KEYBATON, "protocol")


def start_send_from(message: share_pb2.StartSendRequest) -> StartSend:
    """What to hand over. A non-empty edit counts even without its `_set` flag."""
    return StartSend(
        items=tuple(ref_from(ref) for ref in message.items),
        omit_links=frozenset(message.omit_links),
        send_as=message.send_as,
        description=message.description if message.description_set or message.description else None,
        path=message.path if message.path_set or message.path else None,
        protocol=_protocol_from(message.protocol),
        to=message.to,
        digits=message.digits,
        code=message.code,
        timeout_seconds=message.timeout_seconds,
        confirm_peer=message.confirm_peer,
        environment=_selection_from(message.environment) if message.HasField("environment") else None,
    )


def _selection_from(message: share_pb2.EnvironmentSelection) -> EnvironmentSelection:
    return EnvironmentSelection(message.project_id, message.environment, tuple(message.names))


def start_receive_from(message: share_pb2.StartReceiveRequest) -> StartReceive:
    """How to receive."""
    return StartReceive(
        protocol=_protocol_from(message.protocol),
        code=message.code,
        code_is_final=message.code_is_final,
        timeout_seconds=message.timeout_seconds,
        offer_nonce=message.offer_nonce,
        sender=message.sender,
        environment=message.environment,
    )


def review_from(message: share_pb2.ReviewRequest) -> ReviewDecision:
    """The person's decision."""
    return ReviewDecision(
        session_id=message.session_id,
        accept=message.accept,
        name=message.name,
        description=message.description if message.description_set or message.description else None,
        path=message.path if message.path_set or message.path else None,
        on_conflict=_enum_from(ConflictChoice, message.on_conflict, "on_conflict"),
        secrets=tuple(_secret_decision_from(decision) for decision in message.secrets),
        default_choice=_enum_from(ConflictChoice, message.default_choice, "default_choice"),
        variables=tuple(_variable_decision_from(decision) for decision in message.variables),
        environment=message.environment,
    )


def _variable_decision_from(message: share_pb2.VariableDecision) -> VariableDecision:
    choice = _enum_from(ConflictChoice, message.on_conflict, "on_conflict")
    return VariableDecision(message.name, getattr(message, "import"), choice)


def _secret_decision_from(message: share_pb2.SecretDecision) -> SecretDecision:
    return SecretDecision(
        key=message.key,
        wanted=getattr(message, "import"),
        on_conflict=_enum_from(ConflictChoice, message.on_conflict, "on_conflict"),
        save_as=message.save_as,
    )


def session_to(session: Session) -> share_pb2.Session:
    """The whole session."""
    return share_pb2.Session(
        id=session.id,
        role=share_pb2.ShareRole.ValueType(session.role),
        protocol=share_pb2.ShareProtocol.ValueType(session.protocol),
        state=share_pb2.ShareState.ValueType(session.state),
        reason=session.reason,
        code=session.code,
        deadline_at_ms=session.deadline_at_ms,
        peer_name=session.peer_name,
        peer_address=session.peer_address,
        needs_code=session.needs_code,
        guesses_left=session.guesses_left,
        needs_confirmation=session.needs_confirmation,
        offer=_offer_to(session.offer) if session.offer is not None else None,
        addresses=session.addresses,
        fingerprint=session.fingerprint,
        conflict=session.conflict,
        name=session.name,
        hint=session.hint,
        candidates=session.candidates,
        names=session.names,
        senders=session.senders,
        only_photosphere=session.only_photosphere,
    )


def _offer_to(offer: Offer) -> share_pb2.Offer:
    return share_pb2.Offer(
        database=_database_to(offer.database) if offer.database is not None else None,
        secrets=[_secret_to(secret) for secret in offer.secrets],
        environment=_environment_to(offer.environment) if offer.environment is not None else None,
    )


def _environment_to(environment: OfferedEnvironment) -> share_pb2.OfferedEnvironment:
    return share_pb2.OfferedEnvironment(
        project_id=environment.project_id,
        project_name=environment.project_name,
        environment=environment.environment,
        target=environment.target,
        project_exists=environment.project_exists,
        target_exists=environment.target_exists,
        variables=[
            share_pb2.OfferedVariable(name=variable.name, change=share_pb2.VariableChange.ValueType(variable.change))
            for variable in environment.variables
        ],
    )


def _database_to(database: OfferedDatabase) -> share_pb2.OfferedDatabase:
    return share_pb2.OfferedDatabase(
        name=database.name,
        description=database.description,
        path=database.path,
        origin=database.origin,
        exists=database.exists,
        changes=database.changes,
    )


def _secret_to(secret: OfferedSecret) -> share_pb2.OfferedSecret:
    return share_pb2.OfferedSecret(
        key=secret.key,
        name=secret.name,
        type=secret.type,
        field_names=secret.field_names,
        exists=secret.exists,
        same=secret.same,
        changes=secret.changes,
    )
