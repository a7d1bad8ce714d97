"""`git-credential-keybaton get|store|erase`: git's credential protocol (git-credential(1), gitcredentials(7)).

Logins lie under `git:PROTOCOL://HOST[/PATH]` (see `logins`). Protocol and host match exactly, the path where git sends one
(`credential.useHttpPath`). What else git says, such as `password_expiry_utc` or `wwwauth[]`, is not kept.
"""

from keybaton_cli.helpers.logins import Logins
from keybaton_cli.helpers.plain import attended, read, say, sentence, write
from keybaton_cli.helpers.vault import Vault
from keybaton_client.problem import ClientError


def main(arguments: list[str]) -> int:
    """Serves one request. Exit code 1 where it was refused or not done; git then says so or asks its next helper."""
    action = arguments[0] if len(arguments) == 1 else ""
    if not action:
        from keybaton_cli.helpers.usage import usage_error

        raise usage_error("git")
    if action == "capability":
        write(b"version 0\n")  # none of the optional ones
        return 0
    if action not in ("get", "store", "erase"):
        return 0  # "should silently ignore the request": later versions of git may have more
    try:
        fields = parsed(read(b"\n\n"))
        place = _place(fields)
        if place is None:
            return 0
        logins = Logins(Vault(b"git"), "git")
        if action == "get":
            _get(logins, place, fields)
        elif action == "erase":
            logins.erase(place, fields.get("username"), fields.get("password"))
        elif "username" in fields and "password" in fields:
            logins.store(place, fields["username"], fields["password"])
        return 0
    except ClientError as error:
        say(sentence(error))
        # Without a person, git would go on to a prompt that nobody answers. A vault that was never made is no obstacle.
        if action == "get" and (
            error.reason == "INVALID_ARGUMENT" or (error.reason != "VAULT_ABSENT" and not attended())
        ):
            write(b"quit=1\n")
        return 1


def parsed(data: bytes) -> dict[str, str]:
    """The attributes of a request; those that git repeats (`name[]`) are left out. ClientError for what git never sends."""
    if b"\0" in data or b"\r" in data:
        raise _refused("it holds a control character")
    try:
        lines = data.decode().partition("\n\n")[0].split("\n")
    except UnicodeDecodeError:
        raise _refused("it is not UTF-8") from None
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not line or key.endswith("[]"):
            continue
        if not equals or not key:
            raise _refused("it has a line without a name and a value")
        if key in fields:
            raise _refused("it names an attribute twice")
        fields[key] = value
    return fields


def _place(fields: dict[str, str]) -> str | None:
    """`protocol://host[/path]`; None where git asks about something that has no host, such as a certificate."""
    protocol, host = fields.get("protocol", ""), fields.get("host", "")
    if not protocol or not host:
        return None
    if not protocol.isascii() or not protocol.replace("+", "").replace("-", "").replace(".", "").isalnum():
        raise _refused("its protocol is not one")
    if not host.isprintable() or any(c in host for c in ' /?#@\\%"'):
        raise _refused("its host is not one")
    path = fields.get("path", "")
    return f"{protocol}://{host}/{path}" if path else f"{protocol}://{host}"


def _get(logins: Logins, place: str, fields: dict[str, str]) -> None:
    login = logins.find(place, fields.get("username"))
    if login is None:
        return
    if any(c in login.username + login.password for c in "\r\n\0"):
        raise _refused("the login in the vault holds a line break, which git's protocol cannot carry", "The answer")
    write(f"username={login.username}\npassword={login.password}\n".encode())


def _refused(problem: str, what: str = "The request") -> ClientError:
    return ClientError("INVALID_ARGUMENT", f"{what} was refused: {problem}.")
