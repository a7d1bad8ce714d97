"""Builds and wires everything: the one place where adapters meet services and services meet the API."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from keybatond import __version__
from keybatond.adapters.credential_keystore import CredentialKeystore
from keybatond.adapters.device_name import HostName
from keybatond.adapters.keychain_keystore import KeychainKeystore
from keybatond.adapters.logind_watch import LogindWatch
from keybatond.adapters.net_interfaces import PsutilInterfaces
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.adapters.process_hardening import harden
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.adapters.system_clock import SystemClock
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.adapters.system_look import LinuxLook
from keybatond.adapters.systemd_notify import SystemdNotify
from keybatond.adapters.tls_transport import TlsTransport
from keybatond.adapters.udp_discovery import UdpDiscovery
from keybatond.lifecycle import Agent, serve
from keybatond.logs import AgentLog, LogFile, log_to_stderr, under_journal
from keybatond.paths import Paths
from keybatond.ports import Keystore, KeystoreKind
from keybatond.rpc.agent_service import AgentServicer
from keybatond.rpc.env_service import EnvServicer
from keybatond.rpc.server import RpcServer
from keybatond.rpc.share_service import ShareServicer
from keybatond.rpc.vault_service import VaultServicer
from keybatond.services.agent_state import AgentIdentity, AgentStatus
from keybatond.services.custody import CustodyService
from keybatond.services.doctor import Doctor
from keybatond.services.environments import EnvironmentService
from keybatond.services.photosphere_receive import PhotosphereReceive
from keybatond.services.photosphere_send import PhotosphereSend
from keybatond.services.share_session import ENDED, ShareProtocol
from keybatond.services.shares import ShareService
from keybatond.services.start_gate import StartGate
from keybatond.services.vault import VaultService
from keybatond.settings import Settings


async def run(
    paths: Paths, settings: Settings, env: Mapping[str, str], *, foreground: bool, ready: Callable[[], None]
) -> None:
    """The agent's whole life, between the lock being taken and being released. `ready` is called once calls are answered."""
    log = AgentLog(log_to_stderr if foreground or under_journal(env) else LogFile(paths.log).write)
    for missing in harden():
        log.event("hardening missing", kind=missing.replace(" ", "-"))
    notify = SystemdNotify(env)
    server = RpcServer(paths.socket)
    agent = build(server, paths, settings, env, log, notify)

    def answering() -> None:
        notify.ready()
        ready()

    await serve(agent, answering, notify.stopping)


def build(
    server: RpcServer, paths: Paths, settings: Settings, env: Mapping[str, str], log: AgentLog, notify: SystemdNotify
) -> Agent:
    """Every part, wired, with its services registered at the server."""
    clock, entropy = SystemClock(), SystemEntropy()
    interfaces, transport = PsutilInterfaces(), TlsTransport()
    discovery = UdpDiscovery(interfaces)
    device = HostName(settings.device_name)
    vault = VaultService(SqliteStore(paths.vault), clock=clock, entropy=entropy)
    sealed = PassphraseKeystore(entropy, kind=KeystoreKind.CREDENTIAL)
    keystores: dict[KeystoreKind, Keystore] = {
        KeystoreKind.KEYCHAIN: KeychainKeystore(entropy, log),
        KeystoreKind.PASSPHRASE: PassphraseKeystore(entropy),
        KeystoreKind.CREDENTIAL: CredentialKeystore(sealed, env),
    }
    idle = settings.idle_lock_minutes * 60
    custody = CustodyService(vault, keystores, clock=clock, entropy=entropy, log=log, idle_lock_seconds=idle)
    shares = ShareService(
        vault=vault,
        clock=clock,
        entropy=entropy,
        log=log,
        send_drivers={
            ShareProtocol.PHOTOSPHERE: PhotosphereSend(clock=clock, discovery=discovery, transport=transport),
        },
        receive_drivers={
            ShareProtocol.PHOTOSPHERE: PhotosphereReceive(
                clock=clock, discovery=discovery, transport=transport, interfaces=interfaces
            ),
        },
    )
    identity = AgentIdentity(__version__, os.getpid(), str(paths.data), idle, time.time_ns() // 1_000_000)
    status = AgentStatus(identity, device, custody, vault, lambda: sum(s.state not in ENDED for s in shares.sessions()))
    doctor = Doctor(
        LinuxLook(paths.socket),
        interfaces,
        discovery,
        lambda: keystores[custody.state().kind or KeystoreKind.KEYCHAIN].probe(),
    )

    async def end_shares() -> None:
        shares.lock()

    custody.on_lock(end_shares)
    custody.on_change(status.changed)
    vault.subscribe(status.changed)
    gate = StartGate(custody.unlock_unattended)
    logind = LogindWatch(custody.lock, clock, log)
    server.register(
        VaultServicer(vault),
        EnvServicer(EnvironmentService(vault, entropy)),
        ShareServicer(shares),
        AgentServicer(status, custody, vault, doctor),
        touch=custody.touch,
        gate=gate,
        log=log,
    )

    async def open_log() -> None:
        log.open()

    background = (gate.run, notify.watchdog, custody.watch_idle)
    later = (open_log, logind.run) if settings.lock_with_session else (open_log,)
    return Agent(server, vault, custody, shares, status, log, clock, background, later)
