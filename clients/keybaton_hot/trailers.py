"""What a call's headers and trailers say about its outcome. Loaded for errors, not for the plain success."""

import binascii

from keybaton_client.problem import ClientError
from keybaton_hot.answers import WireError, blob, fields, text
from keybaton_hot.hpack import Decoder, HpackError

_DOMAIN = "keybaton"
_ERROR_INFO = "google.rpc.ErrorInfo"
# For statuses without ErrorInfo, which come from the gRPC layer: the same words as in `channel` (a test compares them).
BARE_STATUS = {
    1: ("INTERRUPTED", "The call was cancelled."),
    4: ("DEADLINE_EXCEEDED", "The agent did not answer in time."),
    8: ("TOO_LARGE", "The message is larger than 4 MiB."),
    12: ("PROTOCOL", "The agent does not know this call; it is older than this command."),
    14: ("NO_AGENT", "The agent cannot be reached."),
}
NO_KEYBATON = ("PROTOCOL", "What answers on the socket is no Keybaton agent.")


def check_status(decoder: object, blocks: list[bytes], count: int) -> Decoder:
    """Decodes `blocks`, of which the last `count` (1 or 2) belong to this call, and returns the decoder for later ones.

    Raises ClientError unless the call's status is OK: with the agent's reason where it gave one, else by status code.
    """
    state = decoder if isinstance(decoder, Decoder) else Decoder()
    try:
        lists = [state.decode(block) for block in blocks][-count:]
    except HpackError as error:
        raise _broken(f"headers that cannot be read ({error})") from None
    first, last = dict(lists[0]), dict(lists[-1])
    if first.get(b":status") != b"200":
        raise _broken("HTTP status " + first.get(b":status", b"missing")[:16].decode("ascii", "replace"))
    status = last.get(b"grpc-status", b"")
    if not status.isdigit() or len(status) > 4:
        raise _broken("an answer without a status")
    if int(status):
        raise _error(int(status), last)
    return state


def _error(status: int, trailers: dict[bytes, bytes]) -> ClientError:
    message = _percent_decoded(trailers.get(b"grpc-message", b""))
    reason, data = _error_info(trailers.get(b"grpc-status-details-bin", b""))
    if not reason:
        reason, message = BARE_STATUS.get(status, NO_KEYBATON)
    hint = data.pop("hint", "")
    return ClientError(reason, message, hint, data)


def _percent_decoded(value: bytes) -> str:
    """grpc-message as text; what is not valid stays as it is (gRPC over HTTP/2, "Responses")."""
    head, *parts = value.split(b"%")
    out = bytearray(head)
    for part in parts:
        try:
            out += binascii.unhexlify(part[:2]) + part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")


def _error_info(encoded: bytes) -> tuple[str, dict[str, str]]:
    """Reason and metadata of the google.rpc.ErrorInfo of our domain; ("", {}) when there is none that can be read."""
    try:
        status = binascii.a2b_base64(encoded.split(b",")[0].rstrip(b"=") + b"==")
        for number, detail in fields(status):
            if number == 3:
                found = dict(fields(blob(detail)))
                if text(found.get(1, b"")).endswith("/" + _ERROR_INFO):
                    reason, domain, data = _info(blob(found.get(2, b"")))
                    if domain == _DOMAIN:
                        return reason, data
    except (ValueError, WireError):
        pass  # the status code still says that it failed
    return "", {}


def _info(message: bytes) -> tuple[str, str, dict[str, str]]:
    reason = domain = ""
    data = {}
    for number, value in fields(message):
        if number == 1:
            reason = text(value)
        elif number == 2:
            domain = text(value)
        elif number == 3:
            entry = dict(fields(blob(value)))
            data[text(entry.get(1, b""))] = text(entry.get(2, b""))
    return reason, domain, data


def _broken(what: str) -> ClientError:
    return ClientError("PROTOCOL", f"What answers on the agent's socket does not speak as an agent does: {what}.")
