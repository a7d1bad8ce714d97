"""The review of variables that another device wants to hand over: key by key, with what would change and without values."""

from __future__ import annotations

from dataclasses import dataclass, field

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli import output
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_cli.project.context import project_of
from keybaton_cli.project.file import environment_name
from keybaton_cli.prompts import Asker
from keybaton_cli.share_words import CHANGES
from keybaton_client.problem import ClientError
from keybaton_hot.executing import hijacks

_KEEP, _REPLACE = share_pb2.CONFLICT_CHOICE_REUSE, share_pb2.CONFLICT_CHOICE_REPLACE
_ROUNDS_MAX = 100  # each is a person's answer


@dataclass
class _Draft:
    """What the person wants: the environment, the names, and a choice for each that has another value here."""

    target: str
    wanted: set[str]
    choices: dict[str, share_pb2.ConflictChoice.ValueType] = field(default_factory=dict)


class EnvironmentReview:
    """The conversation about one payload. `on_conflict`: "reuse" or "replace" where it was decided beforehand."""

    def __init__(self, app: App, on_conflict: str | None) -> None:
        self._app = app
        self._on_conflict = on_conflict

    def __call__(self, session: share_pb2.Session, asker: Asker) -> None:
        """Asks until the agent takes the decision."""
        offer = session.offer.environment
        draft = _Draft(offer.target, {variable.name for variable in offer.variables})
        for _ in range(_ROUNDS_MAX):
            _show(session.peer_name or session.peer_address, offer)
            decision = asker.choose(
                f"Save in {draft.target}?",
                [
                    ("Save", "save"),
                    ("Choose variables or another environment", "edit"),
                    ("Decline: save nothing", "no"),
                ],
            )
            if decision == "no":
                self._app.client().shares.review(share_pb2.ReviewRequest(session_id=session.id, accept=False))
                return
            if decision == "edit":
                draft.target = asker.text("Environment:", default=draft.target, check=_fit)
                titles = [(f"{v.name}  ({CHANGES.get(v.change, '?')})", v.name) for v in offer.variables]
                draft.wanted = set(asker.tick("Variables to save:", titles))
            if draft.target == offer.target:
                self._resolve(offer, draft, asker)
            try:
                self._app.client().shares.review(_request(session.id, offer, draft))
            except ClientError as error:
                if error.reason not in {"CONFLICT", "INVALID_ARGUMENT"}:
                    raise
                output.note(output.printable(error.message))
                offer = self._now(session.id)
                draft.choices.clear()
            else:
                return
        raise Failure("CONFLICT", "The vault changes faster than it can be reviewed.")

    def _now(self, session_id: str) -> share_pb2.OfferedEnvironment:
        """The offer beside what is here by now, in the environment that was asked for last."""
        for session in self._app.client().shares.sessions():
            if session.id == session_id:
                return session.offer.environment
        raise Failure("SESSION_NOT_FOUND", "The share has ended.")

    def _resolve(self, offer: share_pb2.OfferedEnvironment, draft: _Draft, asker: Asker) -> None:
        """A choice for each wanted variable that has another value here."""
        changed = [
            variable.name
            for variable in offer.variables
            if variable.change == share_pb2.VARIABLE_CHANGE_CHANGED and variable.name in draft.wanted
        ]
        if self._on_conflict in {"reuse", "replace"}:
            draft.choices = dict.fromkeys(changed, _KEEP if self._on_conflict == "reuse" else _REPLACE)
            return
        if len(changed) > 1:
            options = [("Decide one by one", None), ("Keep all that are here", _KEEP), ("Replace all", _REPLACE)]
            for_all = asker.choose(f"{len(changed)} variables have other values here.", options)
            if for_all is not None:
                draft.choices = dict.fromkeys(changed, for_all)
                return
        for name in changed:
            options = [("Keep the one that is here", _KEEP), ("Replace it", _REPLACE)]
            draft.choices[name] = asker.choose(f"{output.printable(name)} has another value here.", options) or _KEEP


def _fit(text: str) -> str:
    return "" if environment_name(text) else "1-64 of the characters A-Z a-z 0-9 . _ -"


def _request(session_id: str, offer: share_pb2.OfferedEnvironment, draft: _Draft) -> share_pb2.ReviewRequest:
    request = share_pb2.ReviewRequest(session_id=session_id, accept=True, environment=draft.target)
    for variable in offer.variables:
        choice = draft.choices.get(variable.name, share_pb2.CONFLICT_CHOICE_UNSPECIFIED)
        decision = request.variables.add(name=variable.name, on_conflict=choice)
        setattr(decision, "import", variable.name in draft.wanted)
    return request


def _show(peer: str, offer: share_pb2.OfferedEnvironment) -> None:
    """What is offered, with what it would change here."""
    what = output.count(len(offer.variables), "variable")
    output.say(f"{output.printable(peer) or 'The other device'} hands you {what}:")
    rows = [
        ("project", offer.project_name + ("" if offer.project_exists else "  (new here: it is made with the same id)")),
        ("environment", offer.target + ("" if offer.target_exists else "  (new here)")),
    ]
    if offer.target != offer.environment:
        rows.append(("offered as", offer.environment))
    strange = _strange_folder(offer.project_id)
    if strange:
        rows.append(("note", strange))
    rows += [(CHANGES.get(v.change, "?"), v.name + _warning(v.name)) for v in offer.variables]
    output.pairs([("  " + label, output.printable(text)) for label, text in rows])


def _warning(name: str) -> str:
    return "  (can make programs run other code; `keybaton run` refuses it)" if hijacks(name.encode()) else ""


def _strange_folder(project_id: str) -> str:
    """What to say when the working directory is not the offered project's."""
    try:
        here = project_of()
    except Failure as failure:
        if failure.reason != "PROJECT_NOT_FOUND":
            return ""
        return f'no keybaton.toml here; the project\'s holds vault = "{project_id}"'
    return "" if here.vault == project_id else f"the project of this folder is another one ({here.path})"
