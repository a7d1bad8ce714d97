"""Wires the agent: binds the socket, lets the parts know of each other, and puts the services behind the socket."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Mapping

from keybatond.adapters.process_hardening import harden
from keybatond.adapters.systemd_notify import SystemdNotify
from keybatond.errors import KeybatonError
from keybatond.lifecycle import Agent, serve
from keybatond.logs import AgentLog, LogFile, log_to_stderr, under_journal
from keybatond.parts import Parts
from keybatond.paths import Paths
from keybatond.ports import Exposed
from keybatond.rpc.server import RpcServer
from keybatond.rpc.services import Behind, services
from keybatond.services.start_gate import StartGate
from keybatond.settings import Settings


async def run(
    paths: Paths,
    settings: Settings,
    env: Mapping[str, str],
    exposed: Iterable[Exposed],
    *,
    foreground: bool,
    ready: Callable[[], None],
) -> None:
    """The agent's whole life, between the lock being taken and being released. `ready` is called once calls are answered.

    `exposed`: what was open to others when the folders were prepared.
    """
    log = AgentLog(log_to_stderr if foreground or under_journal(env) else LogFile(paths.log).write)
    for missing in harden():
        log.event("hardening missing", kind=missing.replace(" ", "-"))
    server = RpcServer(paths.socket)
    notify = SystemdNotify(env)
    parts = Parts(paths, settings, env, log)
    for found in exposed:
        parts.note_exposed(found)
    agent = wire(server, parts, notify)

    def answering() -> None:
        notify.ready()
        ready()

    await serve(agent, answering, notify.stopping)


def wire(server: RpcServer, parts: Parts, notify: SystemdNotify) -> Agent:
    """The agent: who is told of what, what runs beside the calls, and what stands behind the API."""
    custody, front, status = parts.custody, parts.front, parts.status

    async def end_shares() -> None:
        if (shares := parts.shares_if_made()) is not None:
            shares.lock()

    async def close_shares() -> None:
        if (shares := parts.shares_if_made()) is not None:
            await shares.close()

    async def settle() -> None:
        gc.freeze()  # what was imported stays: collections need not look at it
        gc.enable()
        parts.log.open()

    async def watch_logind() -> None:
        from keybatond.adapters.logind_watch import LogindWatch

        if parts.settings.lock_with_session:
            await LogindWatch(custody.lock, parts.clock, parts.log).run()

    async def serve_ssh() -> str:
        return str(await parts.ssh_agent(gate.admitted).start())

    async def serve_ssh_if_set() -> None:
        if parts.settings.ssh_agent:
            try:
                await serve_ssh()
            except KeybatonError as error:
                parts.log.event("ssh refused", reason=error.reason.value)

    async def close_ssh() -> None:
        if (ssh := parts.ssh_agent_if_made()) is not None:
            await ssh.close()

    custody.on_lock(end_shares)
    custody.on_change(status.changed)
    front.subscribe(status.changed)
    gate = StartGate(custody.unlock_unattended, custody.touch)
    stopped = asyncio.Event()
    behind = Behind(
        status,
        custody,
        lambda: parts.vault,
        lambda: parts.environments,
        lambda: parts.shares,
        lambda: parts.doctor,
        serve_ssh,
        gate,
        parts.log,
        stopped,
    )
    return Agent(
        server=server,
        services=services(behind),
        log=parts.log,
        clock=parts.clock,
        background=(gate.run, notify.watchdog, custody.watch_idle, serve_ssh_if_set),
        later=(settle, watch_logind),
        end_streams=(stopped.set, status.close),
        close=(close_shares, close_ssh, custody.close, front.shutdown),
    )
