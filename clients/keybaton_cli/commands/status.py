"""`keybaton status`: what the agent, the vault and its key are doing."""

from __future__ import annotations

from typing import Any

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output
from keybaton_cli.agent_version import HINT, difference, own_version
from keybaton_cli.framework import App, command, pass_app

_STATES = {
    agent_pb2.VAULT_STATE_ABSENT: "absent",
    agent_pb2.VAULT_STATE_LOCKED: "locked",
    agent_pb2.VAULT_STATE_UNLOCKED: "unlocked",
    agent_pb2.VAULT_STATE_DAMAGED: "damaged",
}
_KEYSTORES = {
    agent_pb2.KEYSTORE_KEYCHAIN: "keychain",
    agent_pb2.KEYSTORE_PASSPHRASE: "passphrase",
    agent_pb2.KEYSTORE_CREDENTIAL: "credential",
}
_NEXT = {
    agent_pb2.VAULT_STATE_ABSENT: "`keybaton init` makes the vault.",
    agent_pb2.VAULT_STATE_LOCKED: "`keybaton unlock` opens it.",
    agent_pb2.VAULT_STATE_DAMAGED: "`keybaton doctor` says what to do.",
}


def info_json(info: agent_pb2.AgentInfo) -> dict[str, Any]:
    """The agent's state as a document; `vault` is absent, locked, unlocked or damaged."""
    return {
        "vault": _STATES.get(info.vault_state, "unknown"),
        "keystore": _KEYSTORES.get(info.keystore),
        "keystoreDetail": info.keystore_detail,
        "items": info.items,
        "problem": info.problem or None,
        "deviceName": info.device_name,
        "idleLockSeconds": info.idle_lock_seconds,
        "openSessions": info.open_sessions,
        "dataPath": info.data_path,
        "version": info.version,
        "pid": info.pid,
        "startedAt": output.when_json(info.started_at_ms),
    }


@command("status", examples=("keybaton status", "keybaton status --json"))
@pass_app
def status(app: App) -> None:
    """Show the state of the agent, the vault and its key."""
    info = app.client().agent.info()
    if app.json:
        own = own_version()
        output.document(info_json(info) | {"commandVersion": own, "sameVersion": info.version == own})
        return
    state = _STATES.get(info.vault_state, "unknown")
    if info.vault_state == agent_pb2.VAULT_STATE_DAMAGED:
        state = "cannot be opened"  # a newer format is no damage
    rows = [("vault", state + (f": {output.printable(info.problem)}" if info.problem else ""))]
    if info.vault_state == agent_pb2.VAULT_STATE_UNLOCKED:
        rows.append(("items", f"{info.items:,}"))
    if info.keystore in _KEYSTORES:
        detail = f" ({output.printable(info.keystore_detail)})" if info.keystore_detail else ""
        rows.append(("key kept in", _KEYSTORES[info.keystore] + detail))
    minutes = info.idle_lock_seconds / 60
    rows += [
        ("locks itself", f"after {minutes:g} idle minutes" if info.idle_lock_seconds else "never"),
        ("device", output.printable(info.device_name)),
        ("shares", output.count(info.open_sessions, "open share") if info.open_sessions else "none open"),
        ("data", output.printable(info.data_path)),
        ("agent", f"version {info.version}, process {info.pid}, since {output.when(info.started_at_ms)}"),
    ]
    output.pairs(rows)
    differs = difference(info)
    if differs:
        output.warn(output.printable(differs))
        output.hint(HINT)
    output.hint(_NEXT.get(info.vault_state, ""))
