"""Folders, modes and the instance lock: nobody but this user can reach in."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keybaton_client.locate import default_socket, socket_path
from keybaton_client.problem import ClientError
from keybaton_testing.require import require
from keybatond.instance import AlreadyRunning, InstanceLock, VaultInUse, lock_vault
from keybatond.paths import Paths, prepare_folder
from keybatond.ports import Exposed
from keybatond.refusal import StartRefused

ENVIRONMENTS = [
    {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"},
    {"HOME": "/h"},
    {"HOME": "/h", "XDG_STATE_HOME": "/s"},
    {"HOME": "/h", "XDG_RUNTIME_DIR": "relative", "XDG_STATE_HOME": "also/relative"},
    {"HOME": "/h/", "XDG_RUNTIME_DIR": "/r/"},
]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_client_and_agent_agree_on_the_socket(env: dict[str, str]) -> None:
    """Neither may import the other, so the rule is written twice and compared here."""
    assert str(Paths.from_environment(env).socket) == os.path.normpath(default_socket(env))


def test_without_a_runtime_folder_the_socket_lies_in_the_state_folder() -> None:
    """$XDG_STATE_HOME/keybaton/run takes the place of $XDG_RUNTIME_DIR/keybaton."""
    assert str(Paths.from_environment({"HOME": "/h"}).socket) == "/h/.local/state/keybaton/run/agent.sock"


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_usable_home_variable_the_system_is_asked(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a folder below wherever the agent stands; both sides agree, and both refuse where nobody knows one."""
    monkeypatch.setenv("HOME", home.get("HOME", ""))
    real = pwd.getpwuid(os.geteuid()).pw_dir
    paths = Paths.from_environment(home)
    assert str(paths.data) == f"{real}/.local/share/keybaton"
    assert str(paths.socket) == default_socket(home)

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(StartRefused, match="HOME is not set"):
        Paths.from_environment(home)
    with pytest.raises(ClientError, match="HOME is not set"):
        default_socket(home)


def test_a_socket_path_that_is_too_long_is_refused_by_both_sides() -> None:
    """The system would cut or refuse it later, in words nobody understands."""
    env = {"HOME": "/h", "XDG_RUNTIME_DIR": "/" + "r" * 100}
    with pytest.raises(StartRefused, match="longer than 107 bytes"):
        Paths.from_environment(env)
    with pytest.raises(ClientError, match="longer than 107 bytes"):
        socket_path(env)


def test_folders_are_made_private_and_made_private_again(tmp_path: Path) -> None:
    """0700 whatever the umask is, also for a folder that was there with more."""
    before = os.umask(0)
    try:
        assert prepare_folder(tmp_path / "new") is None
        (tmp_path / "old").mkdir(mode=0o755)
        assert prepare_folder(tmp_path / "old") == Exposed(str(tmp_path / "old"), 0o755, closed=True)
        assert prepare_folder(tmp_path / "old") is None
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")] == [0o700, 0o700]


def test_a_symbolic_link_is_no_folder(tmp_path: Path) -> None:
    """Whoever made the link would choose where the vault lies."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartRefused, match="symbolic link"):
        prepare_folder(tmp_path / "link")


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """Nothing is removed to make room."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StartRefused):
        prepare_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    """Its owner could read and exchange what lies there."""
    require("root")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(StartRefused, match="another user"):
        prepare_folder(tmp_path / "theirs")
    with pytest.raises(StartRefused, match="another user"):
        prepare_folder(tmp_path / "theirs" / "ours")


def test_a_parent_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """Anybody could put a folder of their own in place of ours; a sticky parent such as /tmp is fine."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StartRefused, match="Everybody may write"):
        prepare_folder(tmp_path / "open" / "ours")
    (tmp_path / "open").chmod(0o1777)
    prepare_folder(tmp_path / "open" / "ours")


def test_the_second_agent_is_told_who_runs(tmp_path: Path) -> None:
    """The lock names its holder, and is free again once released."""
    first = InstanceLock(tmp_path / "agent.lock")
    with pytest.raises(AlreadyRunning) as refused:
        InstanceLock(tmp_path / "agent.lock")
    assert refused.value.pid == str(os.getpid())
    assert refused.value.running
    first.release()
    InstanceLock(tmp_path / "agent.lock").release()


def test_a_dead_agents_lock_is_free(tmp_path: Path) -> None:
    """The kernel gives the lock back however the process ends; the file that stays means nothing."""
    code = "import os, sys; from pathlib import Path; from keybatond.instance import InstanceLock; "
    code += "InstanceLock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "agent.lock")], check=False, timeout=30)
    InstanceLock(tmp_path / "agent.lock").release()


def test_a_lock_holds_where_the_disk_has_no_room_for_its_pid(tmp_path: Path) -> None:
    """The kernel keeps the lock, the pid is only for people: a vault on a full disk is guarded too."""
    code = "import resource, sys; from pathlib import Path; from keybatond.instance import lock_vault; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    code += "lock = lock_vault(Path(sys.argv[1])); print(lock is not None, flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "vault.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(VaultInUse, match="another process"):
            lock_vault(tmp_path / "vault.lock")
        holder.communicate("\n", timeout=30)
    held = lock_vault(tmp_path / "vault.lock")
    assert held is not None
    held.release()


def test_a_vault_that_an_agent_of_another_runtime_folder_has_is_in_use(tmp_path: Path) -> None:
    """It is told which process; a folder that is not there is refused, not taken for a disk that cannot be written to."""
    held = lock_vault(tmp_path / "vault.lock")
    assert held is not None
    with pytest.raises(VaultInUse, match=str(os.getpid())) as refused:
        lock_vault(tmp_path / "vault.lock")
    assert not refused.value.running
    held.release()
    with pytest.raises(StartRefused):
        lock_vault(tmp_path / "nowhere" / "vault.lock")


def test_the_lock_file_is_private_and_no_link(tmp_path: Path) -> None:
    """0600, and a link in its place is refused."""
    (tmp_path / "agent.lock").touch(mode=0o644)
    InstanceLock(tmp_path / "agent.lock").release()
    assert stat.S_IMODE((tmp_path / "agent.lock").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "agent.lock")
    with pytest.raises(StartRefused):
        InstanceLock(tmp_path / "link")
