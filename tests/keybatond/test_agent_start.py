"""What an agent loads before its first answer, by name: steadier than any timing. And which version it says it is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import keybatond
from keybaton_core import key_file
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_keystore import FakeKeyJournal
from keybaton_testing.fake_machine import FakeLog
from keybatond.adapters.passphrase_keystore import PassphraseKeystore
from keybatond.adapters.system_entropy import SystemEntropy
from keybatond.parts import Parts
from keybatond.paths import Paths
from keybatond.ports import KeystoreKind
from keybatond.services.custody import CustodyService
from keybatond.settings import Settings

# Each costs milliseconds or megabytes, and only calls that come later need it.
LATER = {
    "aiohttp", "cryptography", "dbus_fast", "json", "keybaton_core.items", "keybatond.network_ports", "keybatond.services.shares",
    "keybatond.services.vault", "keyring", "psutil", "random", "segno", "structlog", "tomllib",
}  # fmt: skip

START = """
import sys
from keybatond import app, instance
from keybatond.parts import Parts
from keybatond.paths import Paths
from keybatond.rpc import agent_service, guard
from keybatond.settings import Settings

env = {"HOME": sys.argv[1]}
paths = Paths.from_environment(env)
info = agent_service.info_to(Parts(paths, Settings.read(paths.settings), env, None).status.state())
print(info.vault_state, info.keystore_detail, *sys.modules, sep="\\n")
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A short one: the path of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="kb-") as folder:
        yield Path(folder)


async def test_a_locked_agent_answers_without_ciphers_and_rows(home: Path) -> None:
    """The whole state of a locked vault is told with the modules that the start needs anyway."""
    env = {"HOME": str(home)}
    parts = Parts(Paths.from_environment(env), Settings(), env, FakeLog())  # type: ignore[arg-type]
    keystores = {KeystoreKind.PASSPHRASE: PassphraseKeystore(SystemEntropy(), profile=key_file.FLOOR)}
    custody = CustodyService(
        parts.front,
        keystores,
        FakeKeyJournal(),
        clock=FakeClock(),
        entropy=SystemEntropy(),
        log=FakeLog(),
        idle_lock_seconds=0,
    )
    await custody.init(KeystoreKind.PASSPHRASE, SecretBytes(b"seven quiet otters"))
    await custody.close()
    await parts.front.shutdown()

    command = [sys.executable, "-c", START, str(home)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=home)
    state, detail, *loaded = run.stdout.splitlines()
    assert (state, detail) == ("2", "Argon2id, 19 MiB, 2 passes")  # VAULT_STATE_LOCKED
    assert sorted(LATER & set(loaded)) == []


def test_the_agent_names_the_version_of_its_distribution() -> None:
    """Two places hold it: reading the distribution's metadata would cost more than the rest of `--version`."""
    assert keybatond.__version__ == version("keybaton")
