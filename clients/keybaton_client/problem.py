"""The one exception of the client library. Imports nothing, so that hot commands may use it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientError(Exception):
    """A call failed. Branch on `reason`: one of the agent's closed list (proto/README.md), or one made here.

    Made here: NO_AGENT (nothing listens and none could be started), DEADLINE_EXCEEDED, PROTOCOL (what answers does not
    speak as an agent does), INTERRUPTED (the call was cancelled), USAGE (a socket path that cannot be used).
    `message` and `hint` are sentences for a person; `data` holds what the agent said about the failure, such as `field`.
    """

    def __init__(self, reason: str, message: str, hint: str = "", data: "Mapping[str, str] | None" = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.data: Mapping[str, str] = data or {}


class NoAgentRuns(ClientError):
    """NO_AGENT of the one kind that is known for certain: nothing listens. An agent that does not answer may hold keys."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("NO_AGENT", message, hint)
