"""How helpers keep logins: which name in the vault a place and a user have.

`PREFIX:PLACE` holds the first login that was stored for a place, `PREFIX:PLACE USER` each further one. Place and user are
percent-encoded where they hold a space, `%` or what does not print, so that no two of them share a name; an empty user is a
lone `%`. `url` holds the place as it is; a login in which it says something else is not used.
"""

from keybaton_cli.helpers.vault import Vault
from keybaton_client.problem import ClientError


def escaped(text: str) -> str:
    """`text` as part of a name."""
    if text.isprintable() and " " not in text and "%" not in text:
        return text
    return "".join(
        c if c.isprintable() and c not in " %" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text
    )


class Login:
    """A login as stored: its name in the vault and its fields."""

    def __init__(self, name: str, values: dict[str, bytes]) -> None:
        self.name = name
        self.values = values
        self.username = values.get("username", b"").decode()
        self.password = values.get("password", b"").decode()


class Logins:
    """The logins below one prefix."""

    def __init__(self, vault: Vault, prefix: str) -> None:
        self._vault = vault
        self._prefix = prefix

    def find(self, place: str, username: str | None = None) -> Login | None:
        """The login for exactly this place, and for this user where one is named."""
        for name in self._names(place, username):
            login = self._get(name, place)
            if login is not None and username in (None, login.username):
                return login
        return None

    def store(self, place: str, username: str, password: str, *, only: bool = False) -> None:
        """Keeps a login; another user's stays beside it, unless a place can have `only` one. What is known is not written.

        ClientError NAME_TAKEN where something else has its name.
        """
        base, own = self._names(place, username)
        there = self._replaceable(base, place)
        if there is not None and there.username != username and not only:
            base, there = own, self._replaceable(own, place)
        if there is not None and (there.username, there.password) == (username, password):
            return
        kept = there.values if there is not None else {}
        values = {"username": username.encode(), "password": password.encode(), "url": place.encode()}
        self._vault.put(base, "login", {**kept, **values})

    def erase(self, place: str, username: str | None = None, password: str | None = None) -> bool:
        """Removes what matches everything that is given; False when nothing did."""
        if username is None:
            base = self._names(place, None)[0]
            names = [name for name in self._vault.names(base) if name == base or name.startswith(base + " ")]
        else:
            names = self._names(place, username)
        erased = False
        for name in names:
            login = self._get(name, place)
            if login is None or username not in (None, login.username) or password not in (None, login.password):
                continue
            self._vault.delete(name)
            erased = True
        return erased

    def places(self) -> list[tuple[str, str]]:
        """(place, username) of each login."""
        found = []
        for name in self._vault.names(self._prefix + ":"):
            secret = self._vault.get(name)
            if secret is not None and secret[1].get("url"):
                found.append((secret[1]["url"].decode(), Login(name, secret[1]).username))
        return found

    def _names(self, place: str, username: str | None) -> list[str]:
        base = f"{self._prefix}:{escaped(place)}"
        return [base] if username is None else [base, f"{base} {escaped(username) or '%'}"]

    def _replaceable(self, name: str, place: str) -> Login | None:
        """The login that has the name; ClientError for anything else that has it, which somebody has stored by hand."""
        login = self._get(name, place)
        if login is None and self._vault.get(name) is not None:
            raise ClientError(
                "NAME_TAKEN",
                f"The vault has {name}, which is no login for this place; it was left as it is.",
                "`keybaton secrets edit NAME --rename OTHER` makes room.",
            )
        return login

    def _get(self, name: str, place: str) -> Login | None:
        secret = self._vault.get(name)
        if secret is None or secret[0] != "login" or secret[1].get("url", place.encode()) != place.encode():
            return None
        return Login(name, secret[1])
