"""Passphrases typed in a real terminal, with a real agent: they are never shown, and a slip is not the end."""

from __future__ import annotations

import pytest

from keybaton_testing.prompt_desk import PASSPHRASE, RealDesk, real_desk

pytestmark = pytest.mark.e2e

OTHER = "another passphrase, just as long"


def unlock(real: RealDesk, *typed: str) -> int:
    """Locks the vault and types these passphrases; the exit code."""
    real.done("lock")
    real.keybaton("unlock")
    for number, passphrase in enumerate(typed):
        real.answer("Passphrase:" if number == 0 else f"{3 - number} tr", typed=passphrase)
    return real.terminal.exit_code()


def test_init_asks_twice_and_again_after_a_slip() -> None:
    """Too short is said at once; two that differ are asked for again; the one that was typed twice opens the vault."""
    with real_desk(vault=False) as real:
        real.keybaton("init --keystore passphrase")
        real.answer("New passphrase:", typed="short")
        real.answer("At least 8 characters.", typed=PASSPHRASE)
        real.answer("Once more:", typed=OTHER)
        real.answer("The two differ.", typed=PASSPHRASE)
        real.terminal.wait_for("Once more:", times=2)
        real.terminal.line(PASSPHRASE)
        screen = real.terminal.wait_for("The vault is made and unlocked.")
        assert real.terminal.exit_code() == 0
        assert PASSPHRASE not in screen
        assert real.terminal.restored()
        assert unlock(real, PASSPHRASE) == 0


def test_three_that_differ_make_no_vault() -> None:
    """Exit code 2 and nothing made."""
    with real_desk(vault=False) as real:
        real.keybaton("init --keystore passphrase")
        for number in range(3):
            real.terminal.wait_for("New passphrase:", times=number + 1)
            real.terminal.line(PASSPHRASE)
            real.terminal.wait_for("Once more:", times=number + 1)
            real.terminal.line(OTHER)
        real.terminal.wait_for("The two passphrases differ; nothing was changed.")
        assert real.terminal.exit_code() == 2
        assert "absent" in real.done("status", "--json")


def test_a_wrong_passphrase_is_asked_again(real: RealDesk) -> None:
    """Three tries, then exit code 4; the right one opens; nothing of it is on the screen."""
    assert unlock(real, "a wrong one", PASSPHRASE) == 0
    assert PASSPHRASE not in real.terminal.screen()
    assert unlock(real, "a wrong one", "a wrong one", "a wrong one") == 4
    assert "wrong one" not in real.terminal.screen()
    assert real.terminal.restored()


def test_rekey_asks_for_the_new_passphrase_and_only_that_opens(real: RealDesk) -> None:
    """The old one is wrong afterwards."""
    real.keybaton("vault rekey")
    real.answer("New passphrase:", typed=OTHER)
    real.answer("Once more:", typed=OTHER)
    real.terminal.wait_for("The vault has new keys.")
    assert real.terminal.exit_code() == 0
    assert unlock(real, PASSPHRASE, OTHER) == 0
    assert OTHER not in real.terminal.screen()


def test_a_backup_is_made_and_restored_with_passphrases_of_their_own(real: RealDesk) -> None:
    """Each question says which one it means; a wrong one changes nothing."""
    real.done("secrets", "add", "token", "--type", "token", stdin="abc")
    real.keybaton("vault backup copy")
    real.answer("Passphrase for the backup:", typed=OTHER)
    real.answer("Once more:", typed=OTHER)
    assert real.terminal.exit_code() == 0
    real.done("secrets", "remove", "token", "--yes")
    for passphrase, code in ((PASSPHRASE, 4), (OTHER, 0)):
        real.keybaton("vault restore copy --replace")
        real.answer("Passphrase of the backup:", typed=passphrase)
        real.answer("New passphrase of the vault:", typed="a third passphrase")
        real.answer("Once more:", typed="a third passphrase")
        assert real.terminal.exit_code() == code
    assert "1 item restored." in real.terminal.screen()
    assert real.done("get", "token") == "abc\n"
    assert unlock(real, OTHER, "a third passphrase") == 0
