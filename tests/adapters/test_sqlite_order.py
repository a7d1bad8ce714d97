"""The order in which the vault's file reaches the disk, as the system calls tell it."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from keybaton_testing.require import require

SCRIPT_SECONDS = 60


class TestOrder:
    """SIGKILL says nothing of power cuts: here the system calls themselves must come in the right order."""

    def trace(self, tmp_path: Path, script: str) -> list[str]:
        """The system calls of a script that have to do with files, in the order of their end."""
        require("strace")
        output = tmp_path / "trace"
        body = "from keybaton_testing.vaults import *\nimport asyncio, os\nfrom pathlib import Path\n"
        body += "from keybatond.services.vault import PutMode\n"
        calls = "pwrite64,write,fdatasync,fsync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
        done = subprocess.run(
            [
                *("strace", "-f", "-y", "-s", "40", "-o", str(output), "-e", f"trace={calls}"),
                *(sys.executable, "-c", body + textwrap.dedent(script)),
            ],
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return _joined(output.read_text().splitlines())

    def test_a_write_is_on_the_disk_before_it_is_acknowledged(self, tmp_path: Path) -> None:
        """Between the last write to the log and the answer there is a synchronisation of the log, for each put."""
        path = tmp_path / "k" / "vault.db"
        lines = self.trace(
            tmp_path,
            f"""
            async def main():
                vault = await made_vault(Path({str(path)!r}))
                os.write(1, b"MADE")
                for number in range(5):
                    await vault.put(secret(f"n{{number}}"), PutMode.CREATE)
                    os.write(1, b"ACKNOWLEDGED")
                await vault.shutdown()
            asyncio.run(main())
            """,
        )
        steps = [step for line in lines if (step := self.step(line))]
        text = " ".join(steps)
        assert re.fullmatch(r"(.*? log( log)* sync-log answer){5}.*", text), text
        for part in text.split(" answer")[:5]:
            assert part.endswith("sync-log"), text
        made = text.split("made")[0].split()
        assert made[-4:] == ["sync-new", "link", "unlink", "sync-folder"], made

    def test_a_restored_file_takes_its_place_whole_and_after_the_old_one_is_safe(self, tmp_path: Path) -> None:
        """New file, old one linked aside, its log gone, the rename: each synchronised before the next."""
        path, backup = tmp_path / "k" / "vault.db", tmp_path / "b" / "backup"
        backup.parent.mkdir()
        lines = self.trace(
            tmp_path,
            f"""
            async def main():
                vault = await made_vault(Path({str(path)!r}))
                await vault.put(secret("a"), PutMode.CREATE)
                os.write(1, b"MADE")
                await vault.backup({str(backup)!r}, RECORD, key(), no_progress)
                os.write(1, b"BACKUP")
                async def opener(record):
                    return key()
                await vault.restore({str(backup)!r}, opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=True)
                os.write(1, b"RESTORED")
            asyncio.run(main())
            """,
        )
        text = " ".join(step for line in lines if (step := self.step(line)))
        backing = text.split("made")[1].split("backup")[0].split()
        assert backing[-4:] == ["sync-new", "link", "unlink", "sync-folder"], text
        restoring = text.split("backup")[1].split("restored")[0].split()
        placed = restoring[restoring.index("sync-new") :]
        kept = ["sync-new", "link", "sync-folder", "unlink-log", "sync-folder", "rename", "sync-folder"]
        assert placed == kept, text

    @staticmethod
    def step(line: str) -> str:
        """A system call in one word, or nothing when it does not matter here."""
        for pattern, word in (
            (r"write\(1<.*\"MADE\"", "made"),
            (r"write\(1<.*\"ACKNOWLEDGED\"", "answer"),
            (r"write\(1<.*\"BACKUP\"", "backup"),
            (r"write\(1<.*\"RESTORED\"", "restored"),
            (r"(f|fdata)sync\(\d+<[^>]*\.new-[0-9a-f]+>", "sync-new"),
            (r"pwrite64\(\d+<[^>]*\.new-[0-9a-f]+>", "write-new"),
            (r"(f|fdata)sync\(\d+<[^>]*-wal>", "sync-log"),
            (r"pwrite64\(\d+<[^>]*vault\.db-wal>", "log"),
            (r"link(at)?\(.*\.new-|link(at)?\(.*replaced-", "link"),
            (r"rename(at2?)?\(.*\.new-", "rename"),
            (r"unlink(at)?\(.*\.new-[0-9a-f]+\"", "unlink"),
            (r"unlink(at)?\(.*vault\.db-wal\"", "unlink-log"),
            (r"fsync\(\d+<[^>]*/[kb]>", "sync-folder"),
        ):
            if re.search(r"\b" + pattern, line):
                return word
        return ""


def _joined(lines: list[str]) -> list[str]:
    """Calls of several threads that strace has torn apart, each at the place of its end, which is when it has happened."""
    begun: dict[str, str] = {}
    joined = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif "resumed>" in call:
            joined.append(begun.pop(thread, "") + call.partition("resumed>")[2])
        else:
            joined.append(call)
    return joined
