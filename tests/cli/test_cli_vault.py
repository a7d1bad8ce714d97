"""The vault's states, the check, the doctor, and what holds for every command; against a fake agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keybaton_api.agent.v1 import agent_pb2, common_pb2
from keybaton_testing.command_line import CommandLine, descriptor
from keybaton_testing.fake_agent import FakeAgent


def test_the_states_of_the_vault_have_exit_codes_of_their_own(agent: FakeAgent, run: CommandLine) -> None:
    """Locked is 4, a wrong passphrase as well; the right one opens."""
    agent.put_secret("token", value="abc")
    assert run("lock").code == 0
    assert run("get", "token").code == 4
    wrong = run("unlock", "--passphrase-fd", str(descriptor(b"wrong\n")), "--json")
    assert wrong.code == 4
    assert wrong.document["error"]["reason"] == "WRONG_PASSPHRASE"
    assert run("unlock").code == 2
    assert run("unlock", "--passphrase-fd", str(descriptor(b"open sesame\nmore"))).out == "Unlocked.\n"
    assert run("status", "--json").document["vault"] == "unlocked"


def test_init_never_steps_down_by_itself(agent: FakeAgent, run: CommandLine) -> None:
    """Without a keychain it fails and names the other ways; a passphrase is used only when it is asked for."""
    agent.info.vault_state = agent_pb2.VAULT_STATE_ABSENT
    failed = run("init")
    assert failed.code == 1
    assert "--keystore passphrase" in failed.err
    made = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"long enough\n")), "--json")
    assert made.document["keystore"] == "passphrase"
    assert agent.passphrase == b"long enough"
    again = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"x\n")))
    assert again.code == 6
    agent.info.problem = "The vault was written by a newer Keybaton."
    newer = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"x\n")))
    assert newer.code == 6
    assert "newer Keybaton" in newer.err and "keybaton doctor" in newer.err


def test_older_versions_go_when_it_is_said_what_stays(agent: FakeAgent, run: CommandLine) -> None:
    """Without a terminal only after `--yes`; `--dry-run` and `--json` tell which."""
    ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_ENV_VARIABLE, name="A", vault="p", environment="default")
    agent.compaction = agent_pb2.CompactVaultResponse(finished=True, versions=3, items=21, gone=1)
    for number in range(21):
        agent.compaction.shown.add(ref=ref, versions=number, gone=number == 20)
    assert run("vault", "compact").code == 2
    assert run("vault", "compact", "--keep", "1").code == 2
    assert not agent.compacted
    result = run("vault", "compact", "--keep", "0", "--dry-run")
    assert result.code == 0
    assert "… and 1 item more." in result.out
    assert result.out.endswith("It would forget 3 versions of 21 items, with 1 removed item.\n")
    assert run("vault", "compact", "--older-than", "90", "--yes").out.startswith("Forgot 3 versions")
    told = run("vault", "compact", "--keep", "1", "--older-than", "90", "--yes", "--json").document
    assert (told["dryRun"], told["versions"], told["items"], told["removedItems"]) == (False, 3, 21, 1)
    gone = {"name": "A", "kind": "variable", "project": "p", "environment": "default", "versions": 20, "gone": True}
    assert told["shown"][-1] == gone
    asked = [(request.keep, request.older_than_days, request.dry_run) for request in agent.compacted]
    assert asked == [(0, 0, True), (0, 90, False), (1, 90, False)]
    assert agent.compacted[0].HasField("keep") and not agent.compacted[1].HasField("keep")
    project = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_PROJECT, name="p")
    agent.compaction = agent_pb2.CompactVaultResponse(finished=True, versions=1, items=1)
    agent.compaction.shown.add(ref=project, versions=1)
    assert run("vault", "compact", "--keep", "1", "--dry-run", "--json").document["shown"][0]["kind"] == "project"
    agent.compaction = agent_pb2.CompactVaultResponse(finished=True)
    assert run("vault", "compact", "--keep", "9", "--yes").out == "No version is old enough to go.\n"


def test_check_lists_findings_and_fails(agent: FakeAgent, run: CommandLine) -> None:
    """A sound vault is exit code 0, damage 1."""
    assert run("vault", "check").out == "The vault is sound.\n"
    agent.vault_findings = ["row 3 does not open"]
    result = run("vault", "check", "--json")
    assert (result.code, result.document["sound"]) == (1, False)


def test_doctor_fails_on_errors_and_gives_hints(agent: FakeAgent, run: CommandLine) -> None:
    """The agent's findings follow the client's; one error is exit code 1."""
    assert run("doctor").code == 0
    agent.findings = [
        agent_pb2.Finding(level=agent_pb2.Finding.LEVEL_ERROR, topic="port", text="54321 is taken", hint="End it.")
    ]
    result = run("doctor")
    assert result.code == 1
    assert "hint: End it." in result.out


def test_an_agent_from_before_an_update_is_told(agent: FakeAgent, run: CommandLine) -> None:
    """It goes on until it is stopped, with whatever the update has repaired; of the same version nothing is said."""
    assert run("status").err == ""
    same = run("status", "--json").document
    assert same["sameVersion"] and same["commandVersion"] == same["version"]
    assert len(run("doctor", "--json").document["findings"]) == 1
    agent.info.version = "0.0.9"
    told = run("status")
    assert told.code == 0
    assert "warning: The agent that runs is version 0.0.9, this command is " in told.err
    assert "hint: `keybaton stop`" in told.err
    other = run("status", "--json").document
    assert (other["sameVersion"], other["version"], other["commandVersion"]) == (False, "0.0.9", same["version"])
    checked = run("doctor", "--json")
    assert (checked.code, checked.document["ok"]) == (0, True)
    finding = checked.document["findings"][1]
    assert (finding["level"], finding["topic"]) == ("warning", "agent")
    assert "0.0.9" in finding["text"] and "keybaton stop" in finding["hint"]


def test_usage_errors_are_documents_with_json(agent: FakeAgent, run: CommandLine) -> None:
    """Wherever --json stands, and for unknown commands and options too."""
    for arguments in (("secrets", "view", "--json"), ("--json", "nonsense"), ("get", "a", "--nonsense", "--json")):
        result = run(*arguments)
        assert result.code == 2
        assert result.document["error"]["reason"] == "USAGE"


def test_a_socket_where_nobody_listens_is_exit_code_3(run: CommandLine, tmp_path: Any) -> None:
    """An agent is never started at a path that an option names."""
    result = run("status", "--json", "--socket", str(tmp_path / "none.sock"))
    assert result.code == 3
    assert result.document["error"]["reason"] == "NO_AGENT"


def test_every_command_has_help_with_examples(run: CommandLine) -> None:
    """Walks the whole tree of commands."""
    import click

    from keybaton_cli.cli import cli

    def walk(group: click.Group, words: list[str]) -> Iterator[list[str]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            yield [*words, name]
            if isinstance(found, click.Group):
                yield from walk(found, [*words, name])

    for words in walk(cli, []):
        result = run(*words, "--help")
        assert result.code == 0, words
        assert "Examples:" in result.out, words
        assert "--json" in result.out, words
        assert "--socket" in result.out, words
