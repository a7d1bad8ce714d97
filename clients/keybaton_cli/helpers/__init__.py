"""Programs that other programs call for credentials: each speaks its caller's protocol and asks the agent as `get` does.

The trampoline turns their names (`git-credential-keybaton`, `docker-credential-keybaton`, `keybaton-aws-credentials`,
`keybaton-kubectl-credentials`) into `keybaton helper git|docker|aws|kubectl …`, which `serve` answers. Nothing here asks a
person: where the vault is locked, each says so in its protocol's own form and at once.
"""

from keybaton_client.problem import ClientError

NAMES = ("git", "docker", "aws", "kubectl")


def serve(arguments: list[str]) -> int:
    """Runs the helper that the first argument names, with the rest as its own; returns its exit code."""
    name = arguments[0] if arguments else ""
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        raise ClientError("USAGE", "The command line is not UTF-8 text.") from None
    if name in NAMES and arguments[1:] in (["--help"], ["-h"]):
        from keybaton_cli.helpers.usage import help_text
        from keybaton_hot import write

        write(help_text(name).encode())
        return 0
    if name == "git":
        from keybaton_cli.helpers.git import main
    elif name == "docker":
        from keybaton_cli.helpers.docker import main
    elif name == "aws":
        from keybaton_cli.helpers.aws import main
    elif name == "kubectl":
        from keybaton_cli.helpers.kubectl import main
    else:
        raise ClientError("USAGE", "A helper's name is needed: " + ", ".join(NAMES) + ".", "See `keybaton setup`.")
    return main(arguments[1:])
