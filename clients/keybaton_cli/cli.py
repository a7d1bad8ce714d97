"""The command `keybaton`: its table of commands, and the one place where failures become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys

import click

from keybaton_cli import exits, output
from keybaton_cli.failure import Failure, SessionFailure, UsageFailure, document, hint_of
from keybaton_cli.framework import App, LazyGroup, NoCommand
from keybaton_client.problem import ClientError
from keybaton_hot.failing import json_asked

_C = "keybaton_cli.commands."

secrets_group = LazyGroup(
    "secrets",
    help="Secrets: typed credentials in the vault.",
    examples=(
        "keybaton secrets add github-token --type token    # asks for the value, hidden",
        "keybaton secrets list",
        "keybaton secrets send github-token",
    ),
    commands={
        "add": (_C + "secrets:add", "Store a new secret."),
        "list": (_C + "secrets:list_secrets", "Names and types."),
        "view": (_C + "secrets:view", "Show one secret, its values masked."),
        "edit": (_C + "secrets_edit:edit", "Change fields or the name."),
        "remove": (_C + "secrets_edit:remove", "Remove a secret (undo brings it back)."),
        "import": (_C + "secrets_import:import_secrets", "Take over secrets from a file or another program."),
        "send": (_C + "send:send_secrets", "Hand secrets to another device on this network."),
        "receive": (_C + "receive:receive_secret", "Take secrets from another device on this network."),
    },
)

dbs_group = LazyGroup(
    "dbs",
    help="Databases: configurations with links to the secrets they need.",
    examples=(
        "keybaton dbs add photos --path s3:photos --s3 photos-s3 --encryption-key photos-key",
        "keybaton dbs send photos",
        "keybaton dbs receive",
    ),
    commands={
        "add": (_C + "dbs:add", "Store a new database."),
        "list": (_C + "dbs:list_databases", "Names of the databases."),
        "view": (_C + "dbs:view", "Show one database and its links."),
        "edit": (_C + "dbs:edit", "Change a database."),
        "remove": (_C + "dbs:remove", "Remove a database; its secrets stay."),
        "send": (_C + "send:send_database", "Hand a database and its secrets to another device."),
        "receive": (_C + "receive:receive_database", "Take a database and its secrets from another device."),
    },
)

vault_group = LazyGroup(
    "vault",
    help="The vault file as a whole.",
    examples=("keybaton vault check", "keybaton vault backup ~/keybaton.backup"),
    commands={
        "check": (_C + "vault:check", "Read every row and look for damage."),
        "compact": (_C + "compact:compact", "Forget older versions for good."),
        "backup": (_C + "vault:backup", "Write a copy that opens with a passphrase."),
        "restore": (_C + "vault:restore", "Take the vault from a backup."),
        "rekey": (_C + "vault:rekey", "New keys, or another place for them."),
    },
)

env_group = LazyGroup(
    "env",
    help="A project's environment variables, found from the working directory through keybaton.toml.",
    examples=(
        "keybaton env init                           # makes keybaton.toml, imports .env files",
        "keybaton env set DATABASE_URL --env staging",
        "keybaton run --env staging -- npm start",
    ),
    commands={
        "init": (_C + "env_project:init", "Make keybaton.toml here and import the .env files."),
        "set": (_C + "env_values:set_variables", "Set variables."),
        "get": (_C + "env_values:get", "Print one value."),
        "list": (_C + "env_values:list_variables", "Names, values masked."),
        "remove": (_C + "env_values:remove", "Remove variables."),
        "history": (_C + "env_history:history", "Versions of one variable."),
        "undo": (_C + "env_history:undo", "Bring an older version back."),
        "copy": (_C + "env_values:copy", "Copy variables between environments."),
        "diff": (_C + "env_values:diff", "Compare two environments."),
        "envs": (_C + "env_project:envs", "Environments of the project."),
        "vaults": (_C + "env_project:vaults", "Projects of this device's vault."),
        "import": (_C + "env_files:import_file", "Read a .env file."),
        "export": (_C + "env_files:export", "Write a file."),
        "print": (_C + "env_files:print_variables", "Print for a shell, dotenv, JSON, docker or GitHub Actions."),
        "send": (_C + "env_share:send_environment", "Hand variables to another device on this network."),
        "receive": (_C + "env_share:receive_environment", "Take variables from another device on this network."),
        "check": (_C + "env_project:check", "Hold the variables against the schema."),
        "example": (_C + "env_project:example", "Print a .env.example."),
    },
)

service_group = LazyGroup(
    "service",
    help="The agent as a systemd user service, started at login.",
    examples=("keybaton service install", "keybaton service status"),
    commands={
        "install": (_C + "service:install", "Install, enable and start the user unit."),
        "uninstall": (_C + "service:uninstall", "Stop and remove the user unit."),
        "status": (_C + "service:status", "Whether the unit is installed and running."),
    },
)

_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Everyday", ("get", "run", "secrets", "dbs", "env", "shares")),
    ("State and keys", ("init", "status", "lock", "unlock", "stop", "vault")),
    ("History", ("history", "undo")),
    ("Other programs", ("setup", "ssh-agent")),
    ("Machine", ("doctor", "service", "completion", "demo")),
)

_COMMANDS: dict[str, tuple[str, str]] = {
    "get": (_C + "get:get", "Print one value."),
    "secrets": ("keybaton_cli.cli:secrets_group", "Add, list, view, edit, remove, import, send and receive secrets."),
    "dbs": ("keybaton_cli.cli:dbs_group", "The same for databases."),
    "run": (_C + "run:run", "Run a program with an environment's variables."),
    "env": ("keybaton_cli.cli:env_group", "A project's environment variables."),
    "shares": (_C + "shares:shares", "Shares that run or have just ended; resume or cancel one."),
    "init": (_C + "init:init", "Make this device's vault and its key."),
    "status": (_C + "status:status", "State of the agent, the vault and its key."),
    "lock": (_C + "lock:lock", "Drop the keys from memory."),
    "unlock": (_C + "lock:unlock", "Open the vault."),
    "stop": (_C + "stop:stop", "End the agent."),
    "vault": ("keybaton_cli.cli:vault_group", "Check, compact, backup, restore, rekey."),
    "history": (_C + "history:history", "Versions of one secret or database; who read what."),
    "undo": (_C + "history:undo", "Bring an older version back."),
    "setup": (_C + "setup:setup", "Let git, docker, aws, kubectl, ssh or keyring use the vault, and take it back."),
    "ssh-agent": (_C + "ssh_agent:ssh_agent", "Serve the vault's ssh-keys to SSH's programs."),
    "doctor": (_C + "doctor:doctor", "Look for what keeps Keybaton from working here."),
    "service": ("keybaton_cli.cli:service_group", "Start the agent at login (systemd)."),
    "completion": (_C + "completion:completion", "Completion for bash, zsh and fish."),
    "demo": (_C + "demo:demo", "A whole handoff between two throw-away agents, in seconds."),
}


_UNWRITABLE = frozenset({errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from keybaton_cli.agent_version import own_version

        click.echo(f"keybaton {own_version()}")
        context.exit()


cli = LazyGroup(
    "keybaton",
    help="Keeps credentials in an encrypted vault and hands them to your other devices.",
    commands=_COMMANDS,
    sections=_SECTIONS,
    examples=(
        "keybaton init                                       # once on each device",
        "keybaton secrets add github-token --type token      # asks for the value",
        "keybaton get github-token                           # prints it",
        "keybaton dbs send photos                            # shows a code; on the other device:",
        "keybaton dbs receive                                # asks for the code",
    ),
    params=[
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
        )
    ],
)


def main(argv: list[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    app = App(json=json_asked(arguments))
    if "_KEYBATON_COMPLETE" in os.environ:
        from keybaton_cli.shells import register

        register()
    try:
        result = cli.main(arguments, prog_name="keybaton", standalone_mode=False, obj=app)
        sys.stdout.flush()
        return result if isinstance(result, int) else exits.DONE
    except SessionFailure as failure:
        return exits.exit_code(failure.reason)
    except ClientError as failure:
        return _report(failure, app)
    except NoCommand as error:
        if error.ctx is not None:
            click.echo(error.ctx.get_help(), err=True)
        return exits.USAGE
    except click.UsageError as error:
        help_line = f"`{error.ctx.command_path} --help` shows what it takes." if error.ctx else ""
        return _report(UsageFailure(" ".join(error.format_message().split()), help_line), app)
    except click.ClickException as error:
        return _report(Failure("USAGE", error.format_message()), app)
    except (KeyboardInterrupt, click.Abort):
        return _report(Failure("INTERRUPTED", "Interrupted."), app)
    except UnicodeEncodeError:  # an argument of bytes that are no text, which Python carries as half surrogate pairs
        return _report(UsageFailure("What was given is not all UTF-8 text."), app)
    except BrokenPipeError:
        output.mute(sys.stdout)
        return exits.FAILED
    except OSError as error:
        if error.errno == errno.ENOENT and error.filename is None:  # what getcwd(2) says
            return _report(Failure("FILE_UNREADABLE", "The working directory has been removed."), app)
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        output.mute(sys.stdout)
        output.note(f"error: Standard output cannot be written: {error.strerror}.")
        return exits.FAILED
    finally:
        app.close()


def _report(failure: ClientError, app: App) -> int:
    if app.json and app.events:
        # The words that a share itself would say.
        word = "storage" if failure.reason.startswith("STORAGE_") else failure.reason.removeprefix("VAULT_")
        reason = word.lower().replace("_", "-")
        output.document({"event": "failed", "reason": reason, "error": document(failure)})
    elif app.json:
        output.document({"error": document(failure)})
    else:
        sys.stdout.flush()
        message = output.printable(failure.message)
        if failure.reason == "INTERRUPTED":
            output.note(message)
        else:
            output.marked("error:", "red", message)
        output.hint(output.printable(hint_of(failure)))
    return exits.exit_code(failure.reason)
