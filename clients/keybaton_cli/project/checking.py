"""What a program would get, held against its project's schema. Loads neither click nor grpcio: `keybaton run` starts with it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from keybaton_cli.failure import Failure
from keybaton_cli.project.schema import Checked, Rule, check, defaults

_NAMED = 5  # variables in a hint; of more the message alone has the names


def checked_defaults(
    rules: Mapping[str, Rule],
    environment: str,
    variables: Mapping[bytes, bytes],
    *,
    override: bool,
    no_check: bool = False,
) -> dict[bytes, bytes]:
    """The schema's defaults that step in. Failure with every violation by what the program would get, unless `no_check`.

    `variables` are the vault's of `environment`; what is set already wins over them, not with `override`.
    """
    effective = {name.decode(): value.decode() for name, value in variables.items()}
    for name in rules:
        if name in os.environ and (not override or name not in effective):
            effective[name] = os.environ[name]
    checked = Checked((), defaults(rules, effective)) if no_check else check(rules, effective)
    if checked.findings:
        names = " ".join(finding.name for finding in checked.findings) if len(checked.findings) <= _NAMED else "NAME…"
        raise Failure(
            "INVALID_ARGUMENT",
            f"{environment} does not fit the schema: " + "; ".join(str(finding) for finding in checked.findings) + ".",
            f"`keybaton env set {names} --env {environment}` mends it; `--no-check` starts all the same.",
        )
    return {name.encode(): value.encode() for name, value in checked.defaults.items()}
