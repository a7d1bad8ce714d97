"""`keybaton-aws-credentials NAME`: AWS's `credential_process`, from a secret of the type s3-credentials.

The answer is the JSON of version 1 ("Sourcing credentials with an external process", AWS SDKs and Tools Reference Guide).
Errors are a line on standard error and the exit code of `keybaton get`.
"""

from keybaton_cli.exits import exit_code
from keybaton_cli.helpers.plain import document, say, sentence, write
from keybaton_cli.helpers.vault import Vault
from keybaton_client.problem import ClientError


def main(arguments: list[str]) -> int:
    """Prints the credentials of the secret."""
    try:
        if len(arguments) != 1 or arguments[0].startswith("-"):
            from keybaton_cli.helpers.usage import usage_error

            raise usage_error("aws")
        write(document(_credentials(arguments[0])))
    except ClientError as error:
        say(sentence(error))
        return exit_code(error.reason)
    return 0


def _credentials(name: str) -> dict[str, object]:
    secret = Vault(b"aws").get(name)
    if secret is None:
        raise ClientError("NOT_FOUND", f"There is no secret named {name}.", "`keybaton secrets list` shows names.")
    kind, values = secret
    if kind != "s3-credentials":
        raise ClientError("FIELD_UNKNOWN", f"{name} is of the type {kind}, not s3-credentials.")
    return {
        "Version": 1,
        "AccessKeyId": values["accessKeyId"].decode(),
        "SecretAccessKey": values["secretAccessKey"].decode(),
    }
