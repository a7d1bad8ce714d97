"""What helpers ask of the agent: secrets by name, within a second. Says nothing to anybody; raises ClientError."""

from keybaton_client.problem import ClientError
from keybaton_hot import agent, call, default_socket
from keybaton_hot.answers import list_answer, put_answer
from keybaton_hot.credential_messages import (
    DELETE_ITEM,
    GET_ITEM,
    PUT_ITEM,
    delete_request,
    secret_answer,
    secret_request,
)
from keybaton_hot.unary import LIST_ITEMS, Channel, connect, list_request, put_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    Answer = TypeVar("Answer")

READ_SECONDS = 0.9  # an agent that hangs must not hold up whoever asked
WRITE_SECONDS = 5.0  # a write that is given up may still happen: rather wait for a slow disk
_CONNECT_SECONDS = 0.5
_UPSERT = 3  # PUT_MODE_UPSERT
_NAME_MAX_BYTES = 256  # as the agent's


class Vault:
    """The secrets, as a helper of the kind `client` sees them. The agent is started when none runs.

    `path`: its socket, where the environment at this program's start does not say.
    """

    def __init__(self, client: bytes, path: str = "") -> None:
        self._client = client
        self._path = path
        self._channel: Channel | None = None

    def get(self, name: str) -> "tuple[str, dict[str, bytes]] | None":
        """Type and fields of the secret `name`; None when there is none."""
        if not fits(name):
            return None
        try:
            return self._call(GET_ITEM, secret_request(name), secret_answer, READ_SECONDS)
        except ClientError as error:
            if error.reason == "NOT_FOUND":
                return None
            raise

    def put(self, name: str, kind: str, values: "Mapping[str, bytes]") -> None:
        """Stores a secret, new or not."""
        if not fits(name):
            raise ClientError(
                "INVALID_ARGUMENT", f"Its name in the vault would be longer than {_NAME_MAX_BYTES} bytes."
            )
        self._call(PUT_ITEM, put_request(name, kind, dict(values), _UPSERT), put_answer, WRITE_SECONDS)

    def delete(self, name: str) -> None:
        """Removes a secret; nothing happens when there is none."""
        try:
            self._call(DELETE_ITEM, delete_request(name), len, WRITE_SECONDS)
        except ClientError as error:
            if error.reason != "NOT_FOUND":
                raise

    def names(self, prefix: str) -> list[str]:
        """Names of the logins that begin with `prefix`."""
        found: list[str] = []
        token = ""
        while True:
            request = list_request(token, prefix)
            names, kinds, _, _, token = self._call(LIST_ITEMS, request, list_answer, READ_SECONDS)
            found += [name for name, kind in zip(names.split("\n"), kinds, strict=False) if kind == "login"]
            if not token:
                return found

    def _call(self, method: str, request: bytes, decode: "Callable[[bytes], Answer]", seconds: float) -> "Answer":
        if self._channel is None:
            self._channel = self._connected()
        try:
            return call(self._channel, method, request, decode, seconds)
        except ClientError:
            self._channel = None  # closed by its error
            raise

    def _connected(self) -> Channel:
        try:
            return connect(self._path or default_socket(), _CONNECT_SECONDS, self._client)
        except OSError:
            return agent([self._path] if self._path else None, self._client)


def fits(name: str) -> bool:
    """Whether the agent takes `name` for a secret, as far as its length goes."""
    return len(name.encode()) <= _NAME_MAX_BYTES
