"""The commands on shares without a terminal: events, outcomes, exit codes, what needs an option."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli.exits import SHARE_REASONS
from keybaton_cli.secret_types import PHOTOSPHERE_TYPES
from keybaton_cli.share_report import JsonReporter, TextReporter, fitted
from keybaton_cli.share_words import _ENDINGS, ENDED, STATES, changes_line, only_photosphere, several
from keybaton_core import photosphere_payload
from keybaton_testing.command_line import CommandLine, descriptor
from keybaton_testing.fake_agent import FakeAgent, refuse


@pytest.fixture
def agent(agent: FakeAgent) -> FakeAgent:
    """With something to send."""
    agent.put_secret("token", value="abc")
    agent.put_database("photos", path="s3:b")
    return agent


def sends(agent: FakeAgent, state: str = "SAVED", **ending: Any) -> None:
    """Scripts a send that goes through every state to `state`."""

    def go(started: FakeAgent) -> None:
        for step in ("CONNECTED", "AUTHENTICATED", "DELIVERED"):
            started.become(step, peer_name="desk", peer_address="192.0.2.9:1")
        started.become(state, **ending)

    agent.on_start = go


def receives(agent: FakeAgent, *, database: bool = True, **offered: Any) -> None:
    """Scripts a receive whose payload waits for review."""
    secret = share_pb2.OfferedSecret(
        key="s3", name="photos-s3", type="s3-credentials", field_names=["region"], **offered
    )
    offer = share_pb2.Offer(secrets=[secret])
    if database:
        offer.database.CopyFrom(share_pb2.OfferedDatabase(name="photos", path="s3:b"))
    agent.on_start = lambda started: started.become("REVIEW", offer=offer)


def test_every_reason_and_state_has_words() -> None:
    """The tables of words are complete: each reason of the closed list has a sentence, each state a name."""
    assert set(_ENDINGS) == set(SHARE_REASONS)
    assert set(STATES) == set(share_pb2.ShareState.values()) - {share_pb2.SHARE_STATE_UNSPECIFIED}
    assert set(STATES) > ENDED


def test_a_send_prints_one_object_per_line(agent: FakeAgent, run: CommandLine) -> None:
    """The code first, then states, and `done` as the last line."""
    sends(agent, name="photos")
    result = run("dbs", "send", "photos", "--yes", "--json")
    assert result.code == 0
    assert result.events[0] == {"event": "code", "code": "4821"}
    assert result.events[-1] == {"event": "done", "outcome": "saved", "name": "photos"}
    assert {"state"} <= {event["event"] for event in result.events}


@pytest.mark.parametrize("reporter", [TextReporter("secrets"), JsonReporter()], ids=["people", "programs"])
def test_a_send_that_hears_only_photosphere_says_so_once(
    capsys: pytest.CaptureFixture[str], reporter: TextReporter | JsonReporter
) -> None:
    """While it waits, with what to do; an environment cannot be sent there, and nobody is told to."""
    for candidates in range(3):
        seeking = share_pb2.Session(state=share_pb2.SHARE_STATE_SEEKING, only_photosphere=True, candidates=candidates)
        reporter.changed(seeking)
    told = capsys.readouterr()
    if isinstance(reporter, JsonReporter):
        events = [event for line in told.out.splitlines() if (event := json.loads(line))["event"] == "waiting"]
        sentence, hint = only_photosphere(seeking)
        assert events == [{"event": "waiting", "reason": "photosphere-only", "message": sentence, "hint": hint}]
    else:
        assert told.err.count("So far only a Photosphere receiver was heard") == 1
        assert told.err.count("use `--photosphere`") == 1
    project = share_pb2.Session(offer=share_pb2.Offer(environment=share_pb2.OfferedEnvironment(environment="staging")))
    assert only_photosphere(project)[1] == ""


def test_the_outcome_line_begins_with_the_word_saved(agent: FakeAgent, run: CommandLine) -> None:
    """Without --json too a script can tell; the code is on stdout, progress on stderr."""
    sends(agent, name="token")
    result = run("secrets", "send", "token", "--yes")
    assert result.code == 0
    assert result.out.splitlines() == ["Code: 4821", "saved token on desk"]
    assert "warning:" in result.err


def test_several_secrets_are_one_share(agent: FakeAgent, run: CommandLine) -> None:
    """Each name once, in one request; `name` is the first and `names` are all of them, in both forms."""
    agent.put_secret("other", value="def")
    sends(agent, name="token", names=["token", "other"])
    result = run("secrets", "send", "token", "other", "token", "--yes", "--json")
    assert [ref.name for ref in agent.sends[-1].items] == ["token", "other"]
    done = {"event": "done", "outcome": "saved", "name": "token", "names": ["token", "other"]}
    assert (result.code, result.events[-1]) == (0, done)
    told = run("secrets", "send", "token", "other", "--yes").out.splitlines()[-1]
    assert told == "saved token, other on desk (or only those chosen there)"


def test_what_photosphere_has_is_not_called_saved(agent: FakeAgent, run: CommandLine) -> None:
    """Its receiver never says what became of it, so the outcome line says no more than is known."""
    agent.put_secret("geo", "api-key", apiKey="k")
    sends(agent, name="geo", protocol=share_pb2.SHARE_PROTOCOL_PHOTOSPHERE, hint="It does not say.")
    result = run("secrets", "send", "geo", "--photosphere", "--yes")
    assert (result.code, result.out.splitlines()[-1]) == (0, "delivered geo to the other device")
    assert "hint: It does not say." in result.err


@pytest.mark.parametrize(
    ("names", "told"),
    [(("token", "other"), "one secret at a time"), (("phrase",), "does not know secrets of type token")],
)
def test_what_photosphere_cannot_carry_is_said_before_anything_else(
    agent: FakeAgent, run: CommandLine, names: tuple[str, ...], told: str
) -> None:
    """Several secrets, or one of a type that it does not have: exit code 2, and nothing is started or warned of."""
    agent.put_secret("other", value="def")
    agent.put_secret("phrase", "token", value="def")
    result = run("secrets", "send", *names, "--photosphere", "--yes")
    assert (result.code, agent.sends) == (2, [])
    assert told in result.err
    assert "warning" not in result.err


def test_the_types_that_photosphere_knows_are_those_of_the_agent() -> None:
    """The command line asks nobody about them."""
    assert tuple(photosphere_payload._FIELDS) == PHOTOSPHERE_TYPES


def test_reuse_counts_as_saved(agent: FakeAgent, run: CommandLine) -> None:
    """Exit code 0, and the events say what became of it."""
    sends(agent, name="token", conflict="reused")
    result = run("secrets", "send", "token", "--yes", "--json")
    assert (result.code, result.events[-1]["conflict"]) == (0, "reused")


@pytest.mark.parametrize(("reason", "code"), SHARE_REASONS.items())
def test_each_reason_has_its_exit_code(agent: FakeAgent, run: CommandLine, reason: str, code: int) -> None:
    """The last line is `failed` with the reason, in both roles; text mode names the reason too."""
    sends(agent, "FAILED", reason=reason)
    result = run("dbs", "send", "photos", "--yes", "--json")
    assert (result.code, result.events[-1]["event"], result.events[-1]["reason"]) == (code, "failed", reason)
    assert reason in run("dbs", "send", "photos", "--yes").err


def test_options_of_a_send_reach_the_agent(agent: FakeAgent, run: CommandLine) -> None:
    """--to, --digits, --code-fd and --photosphere."""
    sends(agent)
    run("secrets", "send", "token", "--yes", "--to", "192.0.2.9:7", "--digits", "6")
    assert (agent.sends[-1].to, agent.sends[-1].digits) == ("192.0.2.9:7", 6)
    result = run("secrets", "send", "token", "--yes", "--code-fd", str(descriptor(b"987654\n")), "--json")
    assert result.events[0]["code"] == agent.sends[-1].code == "987654"
    result = run("secrets", "send", "token", "--yes", "--photosphere", "--code-fd", str(descriptor(b"any text")))
    assert agent.sends[-1].protocol == share_pb2.SHARE_PROTOCOL_PHOTOSPHERE
    assert agent.sends[-1].code == "any text"
    assert not agent.sends[-1].confirm_peer
    assert "Photosphere protocol cannot protect" in result.err


@pytest.mark.parametrize("code", [b"123\n", b"123456789\n", b"12a4\n", b"\n", "١٢٣٤\n".encode()])
def test_a_code_that_is_not_4_to_8_digits_is_a_usage_error(agent: FakeAgent, run: CommandLine, code: bytes) -> None:
    """In both roles, before anything starts; the last line is `failed`."""
    for arguments in (("secrets", "send", "token"), ("secrets", "receive")):
        result = run(*arguments, "--yes", "--json", "--code-fd", str(descriptor(code)))
        assert result.code == 2
        assert result.events[-1]["event"] == "failed"
    assert not agent.sends
    assert not agent.receives


@pytest.mark.parametrize(
    "arguments",
    [
        ("secrets", "send"),
        ("secrets", "send", "token"),
        ("dbs", "send", "photos", "--json"),
        ("secrets", "receive"),
        ("secrets", "receive", "--yes"),
        ("dbs", "receive", "--code-fd", "0"),
        ("secrets", "send", "token", "--yes", "--digits", "9"),
    ],
)
def test_without_a_terminal_what_would_be_asked_needs_an_option(
    agent: FakeAgent, run: CommandLine, arguments: tuple[str, ...]
) -> None:
    """Exit code 2 at once, with a hint; no session is started."""
    result = run(*arguments, stdin=b"4821\n")
    assert result.code == 2
    assert not agent.sends
    assert not agent.receives


@pytest.mark.parametrize("noun", ["secrets", "dbs", "env"])
def test_the_device_to_take_from_reaches_the_agent(agent: FakeAgent, run: CommandLine, noun: str) -> None:
    """--from, in each of the receiving commands; without it any device is meant."""
    receives(agent)
    for option, wanted in ((("--from", "Anna's laptop"), "Anna's laptop"), ((), "")):
        result = run(noun, "receive", *option, "--yes", "--code-fd", str(descriptor(b"4821\n")))
        assert (result.code, agent.receives[-1].sender) == (0, wanted), result.err


def test_yes_accepts_and_reuses_by_default(agent: FakeAgent, run: CommandLine) -> None:
    """Secrets that exist are kept; a database's name is never taken over."""
    receives(agent)
    result = run("dbs", "receive", "--yes", "--json", "--code-fd", str(descriptor(b"4821\n")))
    assert result.code == 0
    assert result.events[-1] == {"event": "done", "outcome": "saved", "name": "photos"}
    assert agent.receives[-1].code_is_final
    review = agent.reviews[-1]
    assert (review.accept, review.default_choice) == (True, share_pb2.CONFLICT_CHOICE_REUSE)
    assert review.on_conflict == share_pb2.CONFLICT_CHOICE_UNSPECIFIED
    shown = next(event for event in result.events if event["event"] == "review")
    assert shown["database"]["name"] == "photos"
    assert shown["secrets"][0]["name"] == "photos-s3"


def test_a_receiver_is_told_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody reviews with --yes; where there is loopback alone, the address is for this machine."""
    reporter = TextReporter("secrets", unasked=True)
    for state in ("ANNOUNCING", "AUTHENTICATED", "REVIEW"):
        named = share_pb2.ShareState.Value(f"SHARE_STATE_{state}")
        addresses = ["127.0.0.1:4"]
        reporter.changed(share_pb2.Session(role=share_pb2.SHARE_ROLE_RECEIVE, state=named, addresses=addresses))
    told = capsys.readouterr().err
    assert "This device can be reached only from this machine, at 127.0.0.1:4" in told
    assert "The code is right; waiting for what is handed over" in told
    assert "Saving" in told
    assert "review" not in told


def test_what_would_change_is_told_with_names_for_people() -> None:
    """Links by what they are; everything else as the agent says it."""
    assert (
        changes_line(["encryptionKey: a -> b", "s3: none -> c"]) == "encryption key: a -> b, S3 credentials: none -> c"
    )
    assert changes_line(["description", "path: s3:a -> s3:b"]) == "description, path: s3:a -> s3:b"
    assert several([str(number) for number in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


@pytest.mark.parametrize("choice", ["replace", "rename"])
def test_on_conflict_covers_the_database_too(agent: FakeAgent, run: CommandLine, choice: str) -> None:
    """Replace and rename are said of everything that arrives."""
    receives(agent)
    run("dbs", "receive", "--yes", "--on-conflict", choice, "--code-fd", str(descriptor(b"4821\n")))
    wanted = share_pb2.ConflictChoice.Value(f"CONFLICT_CHOICE_{choice.upper()}")
    assert (agent.reviews[-1].default_choice, agent.reviews[-1].on_conflict) == (wanted, wanted)


def test_a_conflict_that_nobody_can_resolve_declines_and_fails(agent: FakeAgent, run: CommandLine) -> None:
    """Exit code 6; the sender is told that it was declined."""
    receives(agent)
    agent.on_review = lambda _agent, _request, context: refuse(context, "CONFLICT", "photos exists.", name="photos")
    result = run("dbs", "receive", "--yes", "--json", "--code-fd", str(descriptor(b"4821\n")))
    assert result.code == 6
    assert (result.events[-1]["event"], result.events[-1]["reason"]) == ("failed", "conflict")
    assert [review.accept for review in agent.reviews] == [True, False]


def test_a_locked_vault_is_exit_code_4_with_the_reason_of_the_list(agent: FakeAgent, run: CommandLine) -> None:
    """What fails before a session starts ends with `failed` as well."""
    run("lock")
    result = run("dbs", "send", "photos", "--yes", "--json")
    assert (result.code, result.events[-1]["reason"]) == (4, "locked")
    assert result.events[-1]["error"]["reason"] == "VAULT_LOCKED"
    missing = run("secrets", "receive", "--yes", "--json", "--code-fd", str(descriptor(b"4821")))
    assert missing.code == 4


@pytest.mark.parametrize("reason", ["STORAGE_FULL", "STORAGE_READ_ONLY", "STORAGE_FAILED"])
def test_what_cannot_be_stored_ends_with_the_reason_of_the_list(
    agent: FakeAgent, run: CommandLine, reason: str
) -> None:
    """`storage`, as the session itself says; the error names which it was."""
    receives(agent)
    agent.on_review = lambda _agent, _request, context: refuse(context, reason, "It cannot be stored.")
    result = run("dbs", "receive", "--yes", "--json", "--code-fd", str(descriptor(b"4821\n")))
    assert (result.code, result.events[-1]["reason"], result.events[-1]["error"]["reason"]) == (1, "storage", reason)


def test_a_linked_secret_that_is_missing_is_told_without_a_review_too(agent: FakeAgent, run: CommandLine) -> None:
    """--yes asks nothing; it does not keep quiet."""
    agent.put_database("half", path="s3:b", s3="gone")
    sends(agent, name="half")
    assert "the linked secret gone is missing" in run("dbs", "send", "half", "--yes").err


def test_an_agent_that_dies_ends_the_command(agent: FakeAgent, run: CommandLine) -> None:
    """The stream breaks: exit code 3 or 1 with a reason, never a hang."""
    agent.on_start = lambda started: started.become("FAILED", reason="storage", hint="The disk is full.")
    result = run("dbs", "send", "photos", "--yes")
    assert result.code == 1
    assert "The disk is full." in result.err


def test_shares_lists_resumes_and_cancels(agent: FakeAgent, run: CommandLine) -> None:
    """A session without a client goes on; another command looks on at it or ends it."""
    assert run("shares").err == "No shares.\n"
    assert run("shares", "resume").code == 5
    agent.session = share_pb2.Session(id="5e5510" + "0" * 26, role=share_pb2.SHARE_ROLE_SEND, code="4821")
    agent.become("SEEKING")
    assert run("shares", "--json").document["shares"][0]["state"] == "seeking"
    assert run("shares", "cancel", "5e").code == 0
    assert agent.cancelled == 1
    agent.session.state = share_pb2.SHARE_STATE_SEEKING
    agent.session.code = "4821"
    agent.session.ClearField("reason")
    assert run("shares", "cancel", "77").code == 5


def test_global_options_may_stand_before_the_command(agent: FakeAgent, run: CommandLine) -> None:
    """Failures of a command that prints events are events there as well, usage errors included."""
    import os

    socket = os.environ["KEYBATON_SOCKET"]
    result = run("--json", "--socket", socket, "secrets", "send", "nothing", "--yes")
    assert (result.code, result.events[-1]["reason"]) == (5, "not-found")
    result = run("--json", "dbs", "receive", "--nonsense")
    assert (result.code, result.events[-1]["reason"]) == (2, "usage")


@pytest.mark.parametrize(
    ("columns", "line", "note"),
    [
        (80, "Waiting for it … 0:59", True),
        (39, "Waiting for it … 0:59", True),
        (38, "Waiting for it … 0:59", False),
        (12, "Wait … 0:59", False),
        (3, " … 0:59", False),
    ],
)
def test_the_waiting_line_stays_one_line_on_a_narrow_terminal(columns: int, line: str, note: bool) -> None:
    """The note goes first, then the end of the words; the clock stays."""
    shown, behind = fitted("Waiting for it", " 0:59", columns)
    assert (shown, bool(behind)) == (line, note)
