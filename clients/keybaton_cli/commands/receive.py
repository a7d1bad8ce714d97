"""`keybaton secrets receive` and `keybaton dbs receive`: both take whatever the other device hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli import output, prompts, values
from keybaton_cli.follow import Need, follow, reporter_for
from keybaton_cli.framework import DESCRIPTOR, App, Command, command, pass_app
from keybaton_cli.prompts import Asker
from keybaton_cli.share_review import CHOICES, Review, accept_unasked
from keybaton_cli.share_words import PHOTOSPHERE_WARNING
from keybaton_client.problem import ClientError

CODE_FD_OPTION = click.option("--code-fd", type=DESCRIPTOR, metavar="N", help="Read the code from file descriptor N.")
QR_OPTION = click.option("--qr", is_flag=True, help="Show this device's address as a QR code as well.")
YES_OPTION = click.option("-y", "--yes", is_flag=True, help="Accept what arrives without a review.")

FROM_OPTION = click.option(
    "--from",
    "sender",
    default="",
    metavar="NAME",
    help="Take from the device of this name alone, where several send at once.",
)

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    CODE_FD_OPTION,
    click.option(
        "--on-conflict",
        type=click.Choice(list(CHOICES)),
        help="What to do with names that are taken here. [default: ask; with --yes: reuse]",
    ),
    FROM_OPTION,
    click.option("--photosphere", is_flag=True, help="Receive from the Photosphere app (less safe; it says why)."),
    QR_OPTION,
    YES_OPTION,
)


def receive_needs(app: App, *, photosphere: bool, on_conflict: str | None, yes: bool, sender: str = "") -> list[Need]:
    """What a receiving session asks its person: the code, which device it is of unless `sender` says it, and the review."""
    needs: list[Need] = []
    if prompts.possible(app):
        question = _CodeQuestion(app, any_text=photosphere, sender=sender)
        needs.append(Need(_needs_code, question, topic=lambda session: session.guesses_left))
    if yes:
        needs.append(Need(_in_review, lambda session, _asker: accept_unasked(app, session, on_conflict)))
    elif prompts.possible(app):
        needs.append(Need(_in_review, Review(app, on_conflict)))
    return needs


def _needs_code(session: share_pb2.Session) -> bool:
    return session.needs_code and bool(session.fingerprint)  # it is up; a machine without a network has no address


def _in_review(session: share_pb2.Session) -> bool:
    return session.state == share_pb2.SHARE_STATE_REVIEW


class _CodeQuestion:
    """Asks for the code, and again after a wrong one; where several devices send, also which of them shows it."""

    def __init__(self, app: App, *, any_text: bool, sender: str) -> None:
        self._app = app
        self._any_text = any_text
        self._sender = sender
        self._asked = False

    def __call__(self, session: share_pb2.Session, asker: Asker) -> None:
        if self._asked:
            output.note(f"That code was wrong. {output.count(session.guesses_left, 'try')} left.")
        self._asked = True
        while True:
            typed = asker.text("Code shown on the other device:", check=self._check).strip()
            try:
                self._app.client().shares.provide_code(session.id, typed, self._sender_of(session.id, asker))
            except ClientError as error:
                if error.reason != "INVALID_CODE":
                    raise
                output.note(output.printable(error.message))
            else:
                return

    def _sender_of(self, session_id: str, asker: Asker) -> str | None:
        """Which device the code is of; None when that is known already or there is nothing to choose.

        Asked once the code has been typed: whoever shows it is sending by then, and is in the list.
        """
        now = next((one for one in self._app.client().shares.sessions() if one.id == session_id), None)
        if self._sender or now is None or len(now.senders) < 2:
            return None
        choices = [(name, name) for name in now.senders]
        return asker.choose("Several devices are sending. Which one shows this code?", [*choices, ("Another one", "")])

    def _check(self, text: str) -> str:
        if self._any_text:
            return "" if text.strip() else "The code is needed."
        return "" if values.is_code(text.strip()) else "A code has 4 to 8 digits."


def start_receiving(
    app: App,
    noun: str,
    *,
    code_fd: int | None,
    on_conflict: str | None,
    photosphere: bool = False,
    qr: bool,
    yes: bool,
    sender: str = "",
    environment: str = "",
) -> share_pb2.Session:
    """Starts to receive and stays until the end, which it returns. `environment`: where variables go, if not as offered."""
    code = "" if code_fd is None else values.code_from(code_fd, any_text=photosphere)
    if not prompts.possible(app):
        missing = [option for option, given in (("--code-fd N", code), ("--yes", yes)) if not given]
        if missing:
            what = "The code" if not code else "The review"
            raise prompts.cannot_ask(app, what, f"Give {' and '.join(missing)}.")
    if photosphere:
        output.warn(PHOTOSPHERE_WARNING)
    request = share_pb2.StartReceiveRequest(
        protocol=share_pb2.SHARE_PROTOCOL_PHOTOSPHERE if photosphere else share_pb2.SHARE_PROTOCOL_KEYBATON,
        code=code,
        # Without a person nobody can type another code; the other end should learn of it soon.
        code_is_final=bool(code) and not prompts.possible(app),
        environment=environment,
        sender=sender,
    )
    session = app.client().shares.start_receive(request)
    needs = receive_needs(app, photosphere=photosphere, on_conflict=on_conflict, yes=yes, sender=sender)
    return follow(app, session, reporter_for(app, noun, qr=qr, unasked=yes), needs)


def _with_options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _made(noun: str, what: str) -> Command:
    @command(
        "receive",
        events=True,
        help=(
            f"Take {what} from another device on this network.\n\n"
            "Start `send` on the other device and type the code that it shows. What arrives is shown first, can be "
            "edited, and is saved only then. Nothing that exists is overwritten without being told to."
        ),
        examples=(
            f"keybaton {noun} receive",
            f"keybaton {noun} receive --from laptop                # where several devices send at once",
            f"keybaton {noun} receive --yes --code-fd 3 3<code-file",
            f"keybaton {noun} receive --yes --on-conflict rename --json --code-fd 3 3<code-file",
        ),
    )
    @_with_options
    @pass_app
    def receive(app: App, /, **options: Any) -> None:
        start_receiving(app, noun, **options)

    return receive


receive_secret = _made("secrets", "secrets")
receive_database = _made("dbs", "a database and its secrets")
