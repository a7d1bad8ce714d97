"""Makes each part of the agent when it is first needed: most calls need few of them, and the first answer should not wait.

The wiring between parts is `app`'s job; here every part is only told what it is made of. That is why imports stand inside.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from keybatond import __version__
from keybatond.adapters.device_name import HostName
from keybatond.adapters.system_clock import SystemClock
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.logs import AgentLog
from keybatond.paths import Paths
from keybatond.ports import Exposed, Keystore, KeystoreKind
from keybatond.settings import Settings

if TYPE_CHECKING:
    from keybatond.adapters.net_interfaces import PsutilInterfaces
    from keybatond.adapters.sqlite_store import SqliteStore
    from keybatond.adapters.ssh_agent_socket import SshAgentSocket
    from keybatond.adapters.tls_transport import TlsTransport
    from keybatond.adapters.udp_discovery import UdpDiscovery
    from keybatond.services.agent_state import AgentStatus
    from keybatond.services.custody import CustodyService
    from keybatond.services.doctor import Doctor
    from keybatond.services.environments import EnvironmentService
    from keybatond.services.share_session import ReceiveDriver, SendDriver, ShareProtocol
    from keybatond.services.shares import ShareService
    from keybatond.services.vault import VaultService
    from keybatond.services.vault_front import VaultFront

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class MadeOnDemand(Mapping[_Key, _Value], Generic[_Key, _Value]):
    """A mapping whose values are made when they are first asked for."""

    def __init__(self, makers: Mapping[_Key, Callable[[], _Value]]) -> None:
        self._makers = makers
        self._made: dict[_Key, _Value] = {}

    def __getitem__(self, key: _Key) -> _Value:
        if key not in self._made:
            self._made[key] = self._makers[key]()
        return self._made[key]

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Parts:
    """One agent's parts."""

    def __init__(self, paths: Paths, settings: Settings, env: Mapping[str, str], log: AgentLog) -> None:
        self.paths = paths
        self.settings = settings
        self.env = env
        self.log = log
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.device = HostName(settings.device_name)
        self.exposed: list[Exposed] = []  # what was open to other users when it was found
        self._ssh_agent: SshAgentSocket | None = None
        self.keystores: Mapping[KeystoreKind, Keystore] = MadeOnDemand(
            {
                KeystoreKind.KEYCHAIN: self._keychain,
                KeystoreKind.PASSPHRASE: lambda: self._passphrase(KeystoreKind.PASSPHRASE),
                KeystoreKind.CREDENTIAL: self._credential,
            }
        )

    def note_exposed(self, found: Exposed) -> None:
        """Something of ours was open to other users: for the log and the doctor."""
        if found in self.exposed:
            return
        self.exposed.append(found)
        self.log.event("was open to others", kind=os.path.basename(found.path), state=f"{found.mode:04o}")  # noqa: PTH119

    # --- keys and vault ---

    def _keychain(self) -> Keystore:
        from keybatond.adapters.keychain_keystore import KeychainKeystore

        return KeychainKeystore(self.entropy, self.log)

    def _passphrase(self, kind: KeystoreKind) -> Keystore:
        from keybatond.adapters.passphrase_keystore import PassphraseKeystore

        return PassphraseKeystore(self.entropy, kind=kind)

    def _credential(self) -> Keystore:
        from keybatond.adapters.credential_keystore import CredentialKeystore

        return CredentialKeystore(self._passphrase(KeystoreKind.CREDENTIAL), self.env)

    @cached_property
    def _store(self) -> SqliteStore:
        from keybatond.adapters.sqlite_store import SqliteStore

        return SqliteStore(self.paths.vault, self.note_exposed)

    def _vault(self) -> VaultService:
        from keybatond.adapters.locked_memory import LockedMemory
        from keybatond.services.vault import VaultService

        holder = LockedMemory(self.log)
        return VaultService(self._store, clock=self.clock, entropy=self.entropy, holder=holder)

    @cached_property
    def front(self) -> VaultFront:
        """The vault as the start needs it."""
        from keybatond.services.vault_front import VaultFront

        return VaultFront(self._store, self._vault)

    @property
    def vault(self) -> VaultService:
        """The vault itself."""
        return self.front.vault

    @cached_property
    def custody(self) -> CustodyService:
        from keybatond.adapters.key_journal import KeyJournalFile
        from keybatond.services.custody import CustodyService

        return CustodyService(
            self.front,
            self.keystores,
            KeyJournalFile(self.paths.vault.with_name("vault.keys")),
            clock=self.clock,
            entropy=self.entropy,
            log=self.log,
            idle_lock_seconds=self.settings.idle_lock_minutes * 60,
        )

    @cached_property
    def environments(self) -> EnvironmentService:
        from keybatond.services.environments import EnvironmentService

        return EnvironmentService(self.vault, self.entropy)

    # --- the network ---

    @cached_property
    def interfaces(self) -> PsutilInterfaces:
        from keybatond.adapters.net_interfaces import PsutilInterfaces

        return PsutilInterfaces(self.settings.interfaces)

    @cached_property
    def discovery(self) -> UdpDiscovery:
        from keybatond.adapters.udp_discovery import UdpDiscovery

        return UdpDiscovery(self.interfaces)

    @cached_property
    def transport(self) -> TlsTransport:
        from keybatond.adapters.tls_transport import TlsTransport

        return TlsTransport()

    # --- shares ---

    @cached_property
    def shares(self) -> ShareService:
        from keybatond.services.share_session import ShareProtocol
        from keybatond.services.shares import ShareService

        send: dict[ShareProtocol, Callable[[], SendDriver]] = {
            ShareProtocol.KEYBATON: self._handoff_send,
            ShareProtocol.PHOTOSPHERE: self._photosphere_send,
        }
        receive: dict[ShareProtocol, Callable[[], ReceiveDriver]] = {
            ShareProtocol.KEYBATON: self._handoff_receive,
            ShareProtocol.PHOTOSPHERE: self._photosphere_receive,
        }
        return ShareService(
            vault=self.vault,
            clock=self.clock,
            entropy=self.entropy,
            log=self.log,
            send_drivers=MadeOnDemand(send),
            receive_drivers=MadeOnDemand(receive),
            on_change=self.status.changed,
        )

    def _handoff_send(self) -> SendDriver:
        from keybatond.services.handoff_send import HandoffSend

        return HandoffSend(
            clock=self.clock,
            discovery=self.discovery,
            transport=self.transport,
            entropy=self.entropy,
            device=self.device,
            log=self.log,
        )

    def _handoff_receive(self) -> ReceiveDriver:
        from keybatond.services.handoff_receive import HandoffReceive

        return HandoffReceive(
            clock=self.clock,
            discovery=self.discovery,
            transport=self.transport,
            interfaces=self.interfaces,
            entropy=self.entropy,
            device=self.device,
            log=self.log,
        )

    def _photosphere_send(self) -> SendDriver:
        from keybatond.services.photosphere_send import PhotosphereSend

        return PhotosphereSend(clock=self.clock, discovery=self.discovery, transport=self.transport)

    def _photosphere_receive(self) -> ReceiveDriver:
        from keybatond.services.photosphere_receive import PhotosphereReceive

        return PhotosphereReceive(
            clock=self.clock, discovery=self.discovery, transport=self.transport, interfaces=self.interfaces
        )

    def shares_if_made(self) -> ShareService | None:
        """The shares, None while nobody has asked for any."""
        made: ShareService | None = self.__dict__.get("shares")
        return made

    def open_sessions(self) -> int:
        """Share sessions that have not ended."""
        shares = self.shares_if_made()
        if shares is None:
            return 0
        from keybatond.services.share_session import ENDED

        return sum(session.state not in ENDED for session in shares.sessions())

    # --- SSH ---

    def ssh_agent(self, admitted: Callable[[], Awaitable[None]]) -> SshAgentSocket:
        """The socket for SSH's programs, made by the first call; `admitted` precedes each request."""
        if self._ssh_agent is None:
            from keybatond.adapters.ssh_agent_socket import SshAgentSocket
            from keybatond.services.ssh_keys import SshKeys

            self._ssh_agent = SshAgentSocket(self.paths.ssh_agent, SshKeys(self.vault, admitted, self.log).answer)
        return self._ssh_agent

    def ssh_agent_if_made(self) -> SshAgentSocket | None:
        """That socket, None while nobody has asked for it."""
        return self._ssh_agent

    # --- the agent itself ---

    @cached_property
    def status(self) -> AgentStatus:
        from keybatond.services.agent_state import AgentIdentity, AgentStatus

        idle, now = self.custody.idle_lock_seconds, self.clock.now_ms()
        identity = AgentIdentity(__version__, os.getpid(), str(self.paths.data), idle, now)
        return AgentStatus(identity, self.device, self.custody, self.front, self.open_sessions)

    @cached_property
    def doctor(self) -> Doctor:
        from keybatond.adapters.system_look import LinuxLook
        from keybatond.services.doctor import Doctor

        async def probe() -> str:
            return await self.keystores[self.custody.state().kind or KeystoreKind.KEYCHAIN].probe()

        look = LinuxLook(self.paths.socket)
        return Doctor(look, self.interfaces, self.discovery, probe, self.custody.state, self.exposed)
