"""Names of share states for programs, and sentences on how shares end for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli.output import printable
from keybaton_cli.secret_types import LINKS

STATES = {
    share_pb2.SHARE_STATE_SEEKING: "seeking",
    share_pb2.SHARE_STATE_CONNECTED: "connected",
    share_pb2.SHARE_STATE_DELIVERED: "delivered",
    share_pb2.SHARE_STATE_ANNOUNCING: "announcing",
    share_pb2.SHARE_STATE_CODE_NEEDED: "code-needed",
    share_pb2.SHARE_STATE_REVIEW: "review",
    share_pb2.SHARE_STATE_AUTHENTICATED: "authenticated",
    share_pb2.SHARE_STATE_SAVED: "saved",
    share_pb2.SHARE_STATE_DECLINED: "declined",
    share_pb2.SHARE_STATE_FAILED: "failed",
    share_pb2.SHARE_STATE_CANCELLED: "cancelled",
    share_pb2.SHARE_STATE_EXPIRED: "expired",
}
ENDED = frozenset(
    {
        share_pb2.SHARE_STATE_SAVED,
        share_pb2.SHARE_STATE_DECLINED,
        share_pb2.SHARE_STATE_FAILED,
        share_pb2.SHARE_STATE_CANCELLED,
        share_pb2.SHARE_STATE_EXPIRED,
    }
)
PROTOCOLS = {share_pb2.SHARE_PROTOCOL_KEYBATON: "keybaton", share_pb2.SHARE_PROTOCOL_PHOTOSPHERE: "photosphere"}

_NAMES_SHOWN = 10
LABELS = {slot: label for slot, _, _, label in LINKS}

PHOTOSPHERE_WARNING = (
    "the Photosphere protocol cannot protect against an attacker who is active on this network: "
    "whoever is there can work out the code, read what is sent, or deliver something else."
)

_ENDINGS = {
    "wrong-code": ("The code was wrong.", "Start again on both devices: each share has a code of its own."),
    "guesses-used-up": (
        "The code was tried wrongly too often, so this share has ended.",
        "Start again on both devices, with `--from NAME` on the receiver where several send at once. If nobody mistyped it, "
        "somebody on this network is guessing.",
    ),
    "declined": ("Nothing was saved.", ""),
    "many-announcers": (
        "More than one device announces itself as a receiver, and Photosphere cannot tell them apart.",
        "Nothing was sent. Let only one device receive, or leave out --photosphere on both.",
    ),
    "no-peer": (
        "No other device was found on this network.",
        "Both must run at the same time. Where broadcasts do not travel, `--to HOST:PORT` names the receiver.",
    ),
    "expired": ("The time is over.", "Start again on both devices."),
    "conflict": ("A name is taken already; nothing was saved.", "`--on-conflict` says what to do with taken names."),
    "busy": ("The other device is receiving something else.", ""),
    "locked": ("The vault was locked; nothing was saved.", "`keybaton unlock` opens it."),
    "cancelled": ("The share was ended.", ""),
    "peer-gone": ("The other device has gone away; nothing was handed over.", "Start again on both devices."),
    "unconfirmed": (
        "It was handed over, but the other device never said what became of it: it may have been saved there.",
        "Look there before you send it again.",
    ),
    "wrong-version": ("The other device speaks a version that this one does not know.", "Update Keybaton on both."),
    "photosphere-only": (
        "Only a Photosphere receiver was found.",
        "`--photosphere` sends to it; read the warning that it shows.",
    ),
    "payload-invalid": ("What the other device sent breaks the rules and was refused as a whole.", ""),
    "payload-too-large": ("It is too large to hand over.", ""),
    "network": ("The network cannot be used.", "`keybaton doctor` looks at it."),
    "storage": ("It could not be saved.", "`keybaton doctor` looks for the reason."),
}


def reason_of(session: share_pb2.Session) -> str:
    """Why an ended session was not saved, of the closed list."""
    named = {share_pb2.SHARE_STATE_FAILED: "network", share_pb2.SHARE_STATE_UNSPECIFIED: "network"}
    return session.reason or named.get(session.state) or STATES.get(session.state, "network")


def ending(session: share_pb2.Session) -> tuple[str, str]:
    """Sentence and hint for a session that has ended without being saved."""
    reason = reason_of(session)
    sentence, hint = _ENDINGS.get(reason, (f"It ended: {reason}.", ""))
    sending = session.role == share_pb2.SHARE_ROLE_SEND
    if reason == "declined" and sending:
        sentence = "The other device declined it; nothing was saved there."
    if reason == "locked" and sending:
        sentence = "The vault was locked."  # what was saved there is the other device's to say
    if reason == "busy" and not sending:
        sentence = "This device is receiving already."
    return sentence, printable(session.hint) or hint


def only_photosphere(session: share_pb2.Session) -> tuple[str, str]:
    """Sentence and hint while a send waits and has heard of nobody else."""
    sentence = "So far only a Photosphere receiver was heard; one of Keybaton is still waited for."
    if session.offer.HasField("environment"):
        return sentence, ""  # that protocol carries none
    return sentence, "Is it meant for that one? Then end this and use `--photosphere`; read the warning that it shows."


def several(names: Sequence[str]) -> str:
    """Names for one line; of many, the first ones and a count."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def changes_line(changes: Sequence[str]) -> str:
    """What would change, with links by their names for people."""
    return ", ".join(_labelled(change) for change in changes)


def _labelled(change: str) -> str:
    part, colon, rest = change.partition(":")
    return LABELS.get(part, part) + colon + rest


def saved_line(session: share_pb2.Session) -> str:
    """The outcome line of a share that was saved; begins with the word `saved`, unless nobody can know that it was."""
    name = printable(several(session.names or [session.name]))
    if session.role == share_pb2.SHARE_ROLE_SEND:
        if session.protocol == share_pb2.SHARE_PROTOCOL_PHOTOSPHERE:
            return f"delivered {name} to the other device"
        peer = f" on {printable(session.peer_name)}" if session.peer_name else " on the other device"
        told = {"reused": "; it kept what it had already"}.get(session.conflict, "")
        if len(session.names) > 1:
            told += " (or only those chosen there)"
        return f"saved {name}{peer}{told}"
    undo = "keybaton env undo" if session.offer.HasField("environment") else "keybaton undo"
    told = {
        "reused": " (what existed here was kept)",
        "replaced": f" (what existed here was replaced; `{undo} NAME` brings it back)",
    }.get(session.conflict, "")
    return f"saved {name}{told}"


CHANGES = {
    share_pb2.VARIABLE_CHANGE_NEW: "new",
    share_pb2.VARIABLE_CHANGE_CHANGED: "changed",
    share_pb2.VARIABLE_CHANGE_SAME: "same",
}


def _environment_json(environment: share_pb2.OfferedEnvironment) -> dict[str, Any]:
    return {
        "project": environment.project_id,
        "name": environment.project_name,
        "environment": environment.environment,
        "target": environment.target,
        "projectExists": environment.project_exists,
        "targetExists": environment.target_exists,
        "variables": [
            {"name": variable.name, "change": CHANGES.get(variable.change)} for variable in environment.variables
        ],
    }


def offer_json(offer: share_pb2.Offer) -> dict[str, Any]:
    """What is handed over, without values."""
    shown: dict[str, Any] = {}
    if offer.HasField("database"):
        database = offer.database
        shown["database"] = {
            "name": database.name,
            "description": database.description,
            "path": database.path,
            "origin": database.origin,
            "exists": database.exists,
            "changes": list(database.changes),
        }
    if offer.HasField("environment"):
        shown["environment"] = _environment_json(offer.environment)
    shown["secrets"] = [
        {
            "key": secret.key,
            "name": secret.name,
            "type": secret.type,
            "fields": list(secret.field_names),
            "exists": secret.exists,
            "same": secret.same,
            "changes": list(secret.changes),
        }
        for secret in offer.secrets
    ]
    return shown
