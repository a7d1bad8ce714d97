"""How each helper is called: one form for its usage errors and its `--help`."""

from keybaton_client.problem import ClientError

# Program and arguments, what calls it for what, and what sets it up.
_USAGES = {
    "git": (
        "git-credential-keybaton get|store|erase",
        "git calls it for logins (see gitcredentials(7)); they lie in the vault under git:PROTOCOL://HOST[/PATH].",
        "`keybaton setup git`",
    ),
    "docker": (
        "docker-credential-keybaton get|store|erase|list|version",
        "docker and podman call it for the logins of registries; they lie in the vault under docker:SERVER.",
        "`keybaton setup docker`",
    ),
    "aws": (
        "keybaton-aws-credentials NAME",
        "The AWS tools call it as `credential_process`; NAME is a secret of the type s3-credentials.",
        "`keybaton setup aws NAME`",
    ),
    "kubectl": (
        "keybaton-kubectl-credentials NAME",
        "kubectl calls it as an exec plugin; NAME is a secret that holds a token or a client certificate.",
        "`keybaton setup kubectl`",
    ),
}


def usage_error(helper: str) -> ClientError:
    """For arguments that the helper does not take."""
    line, _, setup = _USAGES[helper]
    return ClientError("USAGE", f"usage: {line}", f"{setup} sets it up.")


def help_text(helper: str) -> str:
    """The answer to `--help`."""
    line, about, setup = _USAGES[helper]
    return f"usage: {line}\n\n{about}\n{setup} sets it up.\n"
