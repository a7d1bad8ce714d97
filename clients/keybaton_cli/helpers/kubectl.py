"""`keybaton-kubectl-credentials NAME`: kubectl's exec credential plugin (client.authentication.k8s.io).

A token comes from a secret of the types token, plain, api-key or login (its password); a client certificate from an
encryption-key whose publicKeyPem is the certificate. Errors are a line on standard error and the exit code of `keybaton get`.
"""

import posix

from keybaton_cli.exits import exit_code
from keybaton_cli.helpers.plain import document, say, sentence, write
from keybaton_cli.helpers.vault import Vault
from keybaton_client.problem import ClientError

_GROUP = "client.authentication.k8s.io"
_INFO = b"KUBERNETES_EXEC_INFO"
_TOKEN_FIELDS = {"token": "value", "plain": "value", "api-key": "apiKey", "login": "password"}
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def main(arguments: list[str]) -> int:
    """Prints an ExecCredential."""
    try:
        if len(arguments) != 1 or arguments[0].startswith("-"):
            from keybaton_cli.helpers.usage import usage_error

            raise usage_error("kubectl")
        version = _version(posix.environ.get(_INFO, b""))
        status = _status(arguments[0])
        write(document({"apiVersion": f"{_GROUP}/{version}", "kind": "ExecCredential", "status": status}))
    except ClientError as error:
        say(sentence(error))
        return exit_code(error.reason)
    return 0


def _version(info: bytes) -> str:
    """The version that the caller speaks; v1 where it does not say. ClientError for one that this helper does not know."""
    if not info:
        return "v1"
    import json

    try:
        asked = json.loads(info)["apiVersion"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ClientError("INVALID_ARGUMENT", "KUBERNETES_EXEC_INFO is not an ExecCredential.") from None
    for version in ("v1", "v1beta1"):
        if asked == f"{_GROUP}/{version}":
            return version
    raise ClientError("INVALID_ARGUMENT", f"The cluster's entry asks for a version other than {_GROUP}/v1 and v1beta1.")


def _status(name: str) -> dict[str, object]:
    secret = Vault(b"kubectl").get(name)
    if secret is None:
        raise ClientError("NOT_FOUND", f"There is no secret named {name}.", "`keybaton secrets list` shows names.")
    kind, values = secret
    if kind in _TOKEN_FIELDS:
        token = values[_TOKEN_FIELDS[kind]].decode().strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ClientError(
                "INVALID_ARGUMENT", f"What {name} holds cannot be a token: it is not one line of ASCII text."
            )
        return {"token": token}
    certificate = values.get("publicKeyPem", b"").decode()
    if kind == "encryption-key" and certificate.lstrip().startswith(_CERTIFICATE):
        return {"clientCertificateData": certificate, "clientKeyData": values["privateKeyPem"].decode()}
    raise ClientError(
        "FIELD_UNKNOWN",
        f"{name} is of the type {kind} and holds neither a token nor a client certificate.",
        "A certificate belongs into the field publicKeyPem of an encryption-key.",
    )
