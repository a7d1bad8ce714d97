"""What `keybaton setup` changes in the configuration of other programs, one module for each program.

Each module offers `state() -> State`, `add(name, label) -> Plan` and `remove(name, label) -> Plan`. A plan only describes;
its steps change something when they are applied, and refuse when what they would replace is somebody else's.
"""

from __future__ import annotations

from types import ModuleType

PROGRAMS: dict[str, str] = {
    "git": "git asks the vault for passwords of http and https remotes",
    "docker": "docker login keeps registry passwords in the vault",
    "aws": "a profile takes its keys from an s3-credentials secret",
    "kubectl": "a user of the kubeconfig takes its token from a secret",
    "ssh": "ssh signs with the vault's ssh-keys",
    "keyring": "Python's keyring, and so pip, twine and poetry, uses the vault",
}


def program(name: str) -> ModuleType:
    """The module of one program of PROGRAMS."""
    import importlib

    return importlib.import_module(f"keybaton_cli.setup.{name}_config")
