"""What a person is told when a handoff fails: one sentence for each reason. Nothing in it was made by a peer."""

from __future__ import annotations

from keybatond.errors import ShareFailed, ShareReason
from keybatond.services.share_session import UNCONFIRMED_HINT

_SEND = {
    ShareReason.WRONG_CODE: "The code that was typed on the receiver was not this one. Nothing was handed over.",
    ShareReason.GUESSES_USED_UP: (
        "Three wrong codes were tried: mistyped, meant for another share at the same moment (`--from` on the receiver or "
        "`--to` here names one device), or guessed by somebody on this network. Nothing was handed over."
    ),
    ShareReason.MANY_ANNOUNCERS: "More receivers announce themselves than can be tried; somebody may be interfering.",
    ShareReason.NO_PEER: "No receiver was heard. Start one on the other device, or name it with --to.",
    ShareReason.EXPIRED: "A receiver was there, but no code was typed on it in time.",
    ShareReason.BUSY: "The receiver is busy with another share, or waits for another device.",
    ShareReason.PEER_GONE: "The receiver went away before it had taken anything. Nothing was saved there.",
    ShareReason.UNCONFIRMED: UNCONFIRMED_HINT,
    ShareReason.WRONG_VERSION: "The receiver speaks another version of the protocol: bring both sides to the same version.",
    ShareReason.PHOTOSPHERE_ONLY: "Only a Photosphere receiver was heard: to hand over to it, use --photosphere.",
    ShareReason.PAYLOAD_INVALID: "The receiver refused a field and saved nothing; the two sides may be of different versions.",
    ShareReason.PAYLOAD_TOO_LARGE: "The receiver refused it as too large.",
    ShareReason.NETWORK: "No network could be reached.",
}
_SAID_BY_RECEIVER = {
    ShareReason.CANCELLED: "The receiver cancelled. Nothing was saved there.",
    ShareReason.CONFLICT: "The receiver has an item of that name already. Nothing was saved there.",
    ShareReason.EXPIRED: "Nobody decided on the receiver in time. Nothing was saved there.",
    ShareReason.LOCKED: "The receiver's vault was locked. Nothing was saved there.",
    ShareReason.STORAGE: "The receiver could not store it. Nothing was saved there.",
}
_UNREACHABLE = "Receivers announced themselves, but none could be reached: a firewall may be in the way."
_NOT_THERE = (
    "No receiver answered where --to points. Start one there, and give the address that it shows: its port is another "
    "one each time."
)

_RECEIVE = {
    ShareReason.WRONG_CODE: "The code was not the sender's. Nothing was received.",
    ShareReason.GUESSES_USED_UP: (
        "Three wrong codes were tried: mistyped, meant for another share at the same moment (`--from` here or `--to` on the "
        "sender names one device), or guessed by somebody on this network. Nothing was received."
    ),
    ShareReason.NO_PEER: "No sender came. Start one on the other device, or let it name this one with --to.",
    ShareReason.EXPIRED: "A sender was there, but the share did not come about in time.",
    ShareReason.WRONG_VERSION: "The sender speaks another version of the protocol: bring both sides to the same version.",
    ShareReason.CANCELLED: "The sender cancelled. Nothing was saved.",
}


_OTHERS_CAME = "Only other devices came than the one that was named. `keybaton status` on it shows what it is called."


def send_failed(reason: ShareReason, *, by_peer: bool, heard: int, named: bool) -> ShareFailed:
    """How a send fails.

    `by_peer`: the receiver proved that it said so; `heard`: receivers that announced themselves; `named`: one was to be
    looked for at an address alone.
    """
    if reason is ShareReason.NO_PEER and (named or heard):
        return ShareFailed(reason, _UNREACHABLE if heard else _NOT_THERE)
    said = _SAID_BY_RECEIVER.get(reason) if by_peer else None
    return ShareFailed(reason, said or _SEND.get(reason, ""))


def receive_failed(reason: ShareReason, field: str) -> ShareFailed:
    """How a receive fails. `field` is as in the machine's Finish, made of plain letters."""
    if reason is ShareReason.PAYLOAD_INVALID:
        return ShareFailed(reason, f"What came was refused, and nothing was saved: {field} is not as it should be.")
    return ShareFailed(reason, _OTHERS_CAME if field == "sender" else _RECEIVE.get(reason, ""))
