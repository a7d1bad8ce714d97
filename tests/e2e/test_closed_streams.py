"""Commands whose standard streams are closed or full: a sentence and an exit code, and nothing sent where it does not belong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keybaton_testing.device import Device

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    """With a vault that holds one secret."""
    with Device("streams") as made:
        made.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin="a long word\n", check=True)
        made.keybaton("secrets", "add", "kept", "--type", "plain", stdin="hush", check=True)
        yield made


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", ">/dev/full"])
@pytest.mark.parametrize(
    "command",
    ["get kept", "secrets view kept", "secrets view kept --reveal", "secrets list --json", "status", "--help"],
)
def test_an_answer_that_cannot_be_written_is_a_failure_in_one_sentence(
    device: Device, command: str, redirection: str
) -> None:
    """Exit code 1, as the caller would else take an empty answer for the value."""
    result = device.run(["sh", "-c", f"keybaton {command} {redirection}"])
    assert result.returncode == 1
    assert result.stderr.startswith("error: Standard output cannot be written: ") and result.stderr.count("\n") == 1


def test_closed_input_is_empty_input(device: Device) -> None:
    """So a command that needs a value says so."""
    result = device.run(["sh", "-c", "keybaton secrets add other --type plain <&-"])
    assert (result.returncode, result.stderr.splitlines()[0]) == (2, "error: plain needs: value.")


def test_with_every_stream_closed_the_work_is_done_all_the_same(device: Device) -> None:
    """Only its report is lost; a message that nobody can see is no failure, and it never ends in another file."""
    done = device.run(["sh", "-c", "printf v | keybaton secrets add unseen --type plain 2>&-"])
    assert done.returncode == 0
    assert device.run(["sh", "-c", "keybaton get nothing <&- >&- 2>&-"]).returncode == 5
    assert device.run(["sh", "-c", "keybaton secrets view nothing 2>/dev/full"]).returncode == 5
    assert device.keybaton("get", "unseen").stdout == "v\n"


@pytest.mark.parametrize("command", ["get", "secrets view", "secrets remove --yes", "dbs view"])
def test_a_name_that_is_no_text_is_a_usage_error(device: Device, command: str) -> None:
    """Bytes that are not UTF-8, with and without `--json`."""
    plain = device.run(["sh", "-c", f"keybaton {command} \"$(printf 'a\\377')\""])
    assert plain.returncode == 2 and plain.stderr.startswith("error: ") and "Traceback" not in plain.stderr
    told = device.run(["sh", "-c", f"keybaton {command} \"$(printf 'a\\377')\" --json"])
    assert told.returncode == 2 and json.loads(told.stdout)["error"]["reason"] == "USAGE"
