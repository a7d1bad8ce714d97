"""`docker-credential-keybaton get|store|erase|list|version`: the protocol of docker-credential-helpers.

Logins lie under `docker:SERVER` (see `logins`), one for each server. Errors are texts on standard output and exit code 1; docker
knows three of them word for word.
"""

from keybaton_cli.helpers.logins import Login, Logins
from keybaton_cli.helpers.plain import document, read, sentence, write
from keybaton_cli.helpers.vault import Vault
from keybaton_client.problem import ClientError

_NOT_FOUND = "credentials not found in native keychain"
_NO_SERVER = "no credentials server URL"
_NO_USERNAME = "no credentials username"
_KEYS = ("ServerURL", "Username", "Secret")
_ACTIONS = ("get", "store", "erase", "list", "version")


class _Said(Exception):
    """Ends the request with a text that docker knows or shows."""


def main(arguments: list[str]) -> int:
    """Serves one request."""
    action = arguments[0] if len(arguments) == 1 else ""
    if action not in _ACTIONS:
        from keybaton_cli.helpers.usage import usage_error

        raise usage_error("docker")
    try:
        write(_answer(action))
    except _Said as said:
        write(f"{said}\n".encode())
        return 1
    except ClientError as error:
        write(f"keybaton: {sentence(error)}\n".encode())
        return 1
    return 0


def _answer(action: str) -> bytes:
    if action == "version":
        from importlib.metadata import version

        return f"docker-credential-keybaton {version('keybaton')}\n".encode()
    logins = Logins(Vault(b"docker"), "docker")
    if action == "list":
        return document(dict(logins.places()))
    data = _input()
    if action == "store":
        server, username, secret = _credentials(data)
        logins.store(server, username, secret, only=True)
        return b""
    server = _server(data)
    if action == "erase":
        logins.erase(server)
        return b""
    login = logins.find(server)
    if login is None:
        raise _Said(_NOT_FOUND)
    return _shown(server, login)


def _shown(server: str, login: Login) -> bytes:
    return document({"ServerURL": server, "Username": login.username, "Secret": login.password})


def _input() -> str:
    try:
        return read().decode()
    except UnicodeDecodeError:
        raise _Said("the request is not UTF-8") from None


def _server(text: str) -> str:
    """The server of a request, exactly as it was given."""
    server = text.strip(" \t\r\n")
    if not server:
        raise _Said(_NO_SERVER)
    if not server.isprintable() or " " in server:
        raise _Said("the server URL holds a space or a control character")
    return server


def _credentials(text: str) -> tuple[str, str, str]:
    import json  # only when a person logs in

    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise _Said("the request is not JSON") from None
    server, username, secret = (given.get(k) if isinstance(given, dict) else None for k in _KEYS)
    if not isinstance(server, str) or not server:
        raise _Said(_NO_SERVER)
    if not isinstance(username, str) or not username:
        raise _Said(_NO_USERNAME)
    if not isinstance(secret, str):
        raise _Said("no credentials secret")
    if any(c in username + secret for c in "\r\n\0"):
        raise _Said("the credentials hold a control character")
    try:
        (server + username + secret).encode()
    except UnicodeEncodeError:
        raise _Said("the credentials are not Unicode text") from None
    return _server(server), username, secret
