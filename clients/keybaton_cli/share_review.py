"""The review of what another device wants to hand over: shows it, lets the person edit and choose, and resolves taken names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keybaton_api.agent.v1 import common_pb2, share_pb2
from keybaton_cli import output
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_cli.items import database_ref, links_of, secret_ref
from keybaton_cli.prompts import Asker
from keybaton_cli.share_review_environment import EnvironmentReview
from keybaton_cli.share_words import LABELS, changes_line
from keybaton_client.problem import ClientError

CHOICES = {
    "reuse": share_pb2.CONFLICT_CHOICE_REUSE,
    "replace": share_pb2.CONFLICT_CHOICE_REPLACE,
    "rename": share_pb2.CONFLICT_CHOICE_RENAME,
}
_SUGGESTIONS = 20  # names that are looked up to suggest a free one


@dataclass
class _Choice:
    """What the person wants of one secret."""

    offered: share_pb2.OfferedSecret
    wanted: bool = True
    on_conflict: share_pb2.ConflictChoice.ValueType = share_pb2.CONFLICT_CHOICE_UNSPECIFIED
    save_as: str = ""

    @property
    def name(self) -> str:
        """The name that it would get."""
        return self.save_as or self.offered.name


@dataclass
class _Draft:
    """What the person wants of the whole payload."""

    database: share_pb2.OfferedDatabase | None
    secrets: list[_Choice] = field(default_factory=list)
    on_conflict: share_pb2.ConflictChoice.ValueType = share_pb2.CONFLICT_CHOICE_UNSPECIFIED

    def wanted(self) -> list[_Choice]:
        """The secrets to be imported."""
        return [choice for choice in self.secrets if choice.wanted]


def accept_unasked(app: App, session: share_pb2.Session, on_conflict: str | None) -> None:
    """Accepts as offered (`--yes`). Taken names: as `on_conflict` says, else secrets are reused and a database refused.

    Failure CONFLICT after the payload was declined, as nobody can be asked.
    """
    choice = CHOICES[on_conflict or "reuse"]
    if session.offer.HasField("environment") and on_conflict == "rename":
        _decline(app, session)
        raise Failure(
            "INVALID_ARGUMENT", "Variables arrived, which cannot be renamed.", "`--on-conflict reuse|replace`."
        )
    request = share_pb2.ReviewRequest(session_id=session.id, accept=True, default_choice=choice)
    if choice != share_pb2.CONFLICT_CHOICE_REUSE and session.offer.HasField("database"):
        request.on_conflict = choice
    try:
        app.client().shares.review(request)
    except ClientError as error:
        if error.reason != "CONFLICT":
            raise
        _decline(app, session)
        hint = "`--on-conflict replace` or `--on-conflict rename` says what to do with a taken name."
        raise Failure("CONFLICT", error.message, hint, dict(error.data)) from None


def _decline(app: App, session: share_pb2.Session) -> None:
    app.client().shares.review(share_pb2.ReviewRequest(session_id=session.id, accept=False))


class Review:
    """The conversation about one payload."""

    def __init__(self, app: App, on_conflict: str | None) -> None:
        self._app = app
        self._on_conflict = on_conflict

    def __call__(self, session: share_pb2.Session, asker: Asker) -> None:
        """Asks until the agent takes the decision. Withdrawn when the session ends meanwhile."""
        offer = session.offer
        if offer.HasField("environment"):
            EnvironmentReview(self._app, self._on_conflict)(session, asker)
            return
        database = share_pb2.OfferedDatabase() if offer.HasField("database") else None
        if database is not None:
            database.CopyFrom(offer.database)
        draft = _Draft(database, [_Choice(secret) for secret in offer.secrets])
        _show(session)
        decision = asker.choose(
            "Save it?", [("Save", "save"), ("Edit or choose first", "edit"), ("Decline: save nothing", "decline")]
        )
        if decision == "decline":
            _decline(self._app, session)
            return
        if decision == "edit":
            self._edit(draft, asker)
        self._resolve(draft, asker)
        self._send(session, draft, asker)

    def _edit(self, draft: _Draft, asker: Asker) -> None:
        database = draft.database
        if database is not None:
            database.name = asker.text("Name:", default=database.name, check=_not_blank)
            database.description = asker.text("Description:", default=database.description)
            database.path = asker.text("Path:", default=database.path)
        if database is not None or len(draft.secrets) > 1:
            titles = [(f"{choice.offered.name}  ({choice.offered.type})", choice) for choice in draft.secrets]
            kept = asker.tick("Secrets to save:", titles) if titles else []
            for choice in draft.secrets:
                choice.wanted = any(choice is one for one in kept)
        else:
            draft.secrets[0].save_as = asker.text("Save as:", default=draft.secrets[0].name, check=_not_blank)

    def _resolve(self, draft: _Draft, asker: Asker) -> None:
        """Asks about every name that is taken and has not been asked about."""
        for choice in draft.wanted():
            if not choice.on_conflict:
                self._resolve_secret(draft, choice, asker)
        if draft.database is not None and not draft.on_conflict:
            self._resolve_database(draft.database, draft, asker)

    def _resolve_secret(self, draft: _Draft, choice: _Choice, asker: Asker) -> None:
        there = self._existing(secret_ref(choice.name))
        if there is None:
            return
        if self._on_conflict is not None:
            choice.on_conflict = CHOICES[self._on_conflict]
            return
        same_type = there.secret.type == choice.offered.type
        if same_type and choice.offered.same and not choice.save_as:
            choice.on_conflict = CHOICES["reuse"]  # the review has said that nothing would change
            return
        name = output.printable(choice.name)
        options = [("Keep the one that is here, and use it", "reuse")] if same_type else []
        options += [("Replace it", "replace"), ("Save under another name", "rename")]
        state = "with other content" if same_type else f"of another type ({output.printable(there.secret.type)})"
        decision = asker.choose(f"The secret {name} exists here, {state}.", options)
        choice.on_conflict = CHOICES[decision]
        if decision == "rename":
            taken = {other.name for other in draft.wanted() if other is not choice}
            choice.save_as = self._free_name(choice.name, asker, "secret", taken)

    def _resolve_database(self, database: share_pb2.OfferedDatabase, draft: _Draft, asker: Asker) -> None:
        there = self._existing(database_ref(database.name))
        if there is None or _same(there, database, draft):
            return
        if self._on_conflict in {"replace", "rename"}:
            draft.on_conflict = CHOICES[self._on_conflict or ""]
            return
        options = [("Save under another name", "rename"), ("Replace it", "replace"), ("Cancel", "cancel")]
        decision = asker.choose(f"The database {output.printable(database.name)} exists here.", options)
        if decision == "cancel":
            raise KeyboardInterrupt
        draft.on_conflict = CHOICES[decision]
        if decision == "rename":
            database.name = self._free_name(database.name, asker, "database", set())

    def _existing(self, ref: common_pb2.ItemRef) -> common_pb2.Item | None:
        try:
            return self._app.client().vault.get_item(ref)
        except ClientError as error:
            if error.reason == "NOT_FOUND":
                return None
            raise

    def _free_name(self, name: str, asker: Asker, noun: str, taken: set[str]) -> str:
        """A name that nothing has; asks again while it is taken. The agent looks once more when it saves."""
        make_ref = secret_ref if noun == "secret" else database_ref

        def free(wanted: str) -> bool:
            return wanted not in taken and self._existing(make_ref(wanted)) is None

        suggestions = (f"{name} ({number})" for number in range(2, _SUGGESTIONS))
        suggested = next((text for text in suggestions if free(text)), name)
        while True:
            typed = asker.text("New name:", default=suggested, check=_not_blank).strip()
            try:
                if free(typed):
                    return typed
                output.note(f"The name {output.printable(typed)} is taken too; choose another.")
            except ClientError as error:
                if error.reason != "INVALID_ARGUMENT":
                    raise
                output.note(output.printable(error.message))

    def _send(self, session: share_pb2.Session, draft: _Draft, asker: Asker) -> None:
        """Hands in the decision; what changed in the vault meanwhile, or is refused, is asked again."""
        while True:
            try:
                self._app.client().shares.review(_request(session, draft))
            except ClientError as error:
                if error.reason == "CONFLICT" and self._on_conflict is None:
                    output.note(output.printable(error.message))
                    _reopen(draft, error.data)
                    self._resolve(draft, asker)
                elif error.reason == "INVALID_ARGUMENT":
                    output.note(output.printable(error.message))
                    _reopen(draft, {})
                    self._edit(draft, asker)
                    self._resolve(draft, asker)
                else:
                    raise
            else:
                return


def _reopen(draft: _Draft, conflict: Mapping[str, str]) -> None:
    """Forgets what was decided about the name that the agent complains of; about all where it names none."""
    named = [choice for choice in draft.secrets if choice.offered.key == conflict.get("key", "")]
    for choice in named or draft.secrets:
        choice.on_conflict = share_pb2.CONFLICT_CHOICE_UNSPECIFIED
    if not named:
        draft.on_conflict = share_pb2.CONFLICT_CHOICE_UNSPECIFIED


def _same(there: common_pb2.Item, database: share_pb2.OfferedDatabase, draft: _Draft) -> bool:
    """Whether saving would leave the database as it is: the agent then keeps it without being told to."""
    links = {choice.offered.key: choice.name for choice in draft.wanted()}
    texts = (there.database.description, there.database.path, there.database.origin)
    here = {slot: name for slot, name in links_of(there.database).items() if name}
    return (*texts, here) == (database.description, database.path, database.origin, links)


def _not_blank(text: str) -> str:
    return "" if text.strip() else "A name is needed."


def _request(session: share_pb2.Session, draft: _Draft) -> share_pb2.ReviewRequest:
    request = share_pb2.ReviewRequest(session_id=session.id, accept=True, on_conflict=draft.on_conflict)
    if draft.database is not None:
        request.name = draft.database.name
        request.description, request.description_set = draft.database.description, True
        request.path, request.path_set = draft.database.path, True
    for choice in draft.secrets:
        decision = request.secrets.add(key=choice.offered.key, on_conflict=choice.on_conflict, save_as=choice.save_as)
        setattr(decision, "import", choice.wanted)
    return request


def _show(session: share_pb2.Session) -> None:
    """What is offered, with what it would change here."""
    peer = output.printable(session.peer_name) or output.printable(session.peer_address) or "The other device"
    offer = session.offer
    rows: list[tuple[str, str]] = []
    if offer.HasField("database"):
        database = offer.database
        output.say(f"{peer} hands you a database:")
        rows += [("name", database.name), ("description", database.description or "-"), ("path", database.path or "-")]
        if database.origin:
            rows.append(("origin", database.origin))
        if database.exists:
            told = "exists; replacing it changes " + changes_line(database.changes)
            rows.append(("here", told if database.changes else "exists and is the same"))
    else:
        output.say(f"{peer} hands you {output.count(len(offer.secrets), 'secret')}:")
    rows += [(LABELS.get(secret.key, "secret"), _secret_line(secret)) for secret in offer.secrets]
    output.pairs([("  " + label, output.printable(text)) for label, text in rows])


def _secret_line(secret: share_pb2.OfferedSecret) -> str:
    line = f"{secret.name}  ({secret.type})"
    if secret.same:
        return line + "  exists here with the same content"
    if secret.exists:
        return line + "  exists here; replacing it changes " + changes_line(secret.changes)
    return line
