"""aws and kubectl with credentials from the vault: the real programs against servers on loopback."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.loopback import Asked, Loopback, Reply, self_signed
from keybaton_testing.require import OTHER_KUBECTL, require
from keybaton_testing.unlocked import LOCKED_HINT, PassphraseDevice

pytestmark = pytest.mark.e2e

WHO = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::1:user/tester</Arn><UserId>U</UserId><Account>1</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""


@pytest.fixture
def device() -> Iterator[PassphraseDevice]:
    with PassphraseDevice() as made:
        yield made


@pytest.fixture
def sts() -> Iterator[Loopback]:
    """AWS's service that says who one is."""
    with Loopback(lambda asked: Reply(200, WHO, {"Content-Type": "text/xml"})) as server:
        yield server


def aws(device: PassphraseDevice, sts: Loopback, *more: str):  # type: ignore[no-untyped-def]
    require("aws")
    command = [str(shutil.which("aws")), "--profile", "photos", "--region", "eu-west-1", "--endpoint-url", sts.url]
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
    return device.run([*more, *command, "--output", "json", "sts", "get-caller-identity"], env=quiet)


def test_aws_signs_with_the_keys_of_an_s3_secret(device: PassphraseDevice, sts: Loopback) -> None:
    """Through the profile that `keybaton setup aws` writes."""
    device.put(
        "photos s3", "s3-credentials", region="eu-west-1", accessKeyId="AKIATESTTESTTEST", secretAccessKey="s/e+c"
    )
    device.keybaton("setup", "aws", "photos s3", "--as", "photos", "--yes", check=True)
    done = aws(device, sts)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["UserId"] == "U"
    assert "Credential=AKIATESTTESTTEST/" in sts.asked[0].headers["Authorization"]
    assert set(device.reads()) == {("photos s3", "aws")}


def test_aws_says_that_the_vault_is_locked(device: PassphraseDevice, sts: Loopback) -> None:
    """In its own error, with our hint, and without a request."""
    device.put("photos s3", "s3-credentials", region="r", accessKeyId="AK", secretAccessKey="s")
    device.keybaton("setup", "aws", "photos s3", "--as", "photos", "--yes", check=True)
    device.lock()
    done = aws(device, sts, "setsid", "-w")
    assert done.returncode not in (0, None)
    assert LOCKED_HINT in done.stderr
    assert sts.asked == []


def api(asked: Asked) -> Reply:
    """A cluster that knows one token."""
    if asked.headers.get("Authorization") != "Bearer t0ken-of-the-tests":
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401}
        return Reply(401, json.dumps(status).encode(), {"Content-Type": "application/json"})
    return Reply(200, b'{"gitVersion": "v9"}', {"Content-Type": "application/json"})


@pytest.fixture(params=["kubectl", "other-kubectl"])
def cluster(request: pytest.FixtureRequest, device: PassphraseDevice, tmp_path: Path) -> Iterator[Loopback]:
    """A server with TLS, in the device's kubeconfig as the present context with the user `tester`; two versions of kubectl."""
    require(request.param)
    if request.param == "other-kubectl":
        program = tmp_path / "bin" / "kubectl"
        program.parent.mkdir()
        program.symlink_to(os.environ[OTHER_KUBECTL])
        device.env["PATH"] = f"{program.parent}:{device.env['PATH']}"
    certificate = self_signed(tmp_path / "cluster.pem")
    with Loopback(api, certificate) as server:
        for arguments in (
            ["set-cluster", "test", f"--server={server.url}", f"--certificate-authority={certificate}"],
            ["set-context", "test", "--cluster=test", "--user=tester"],
            ["use-context", "test"],
        ):
            device.run(["kubectl", "config", *arguments], check=True)
        yield server


def test_kubectl_uses_a_token_of_the_vault(device: PassphraseDevice, cluster: Loopback) -> None:
    """Through the user that `keybaton setup kubectl` makes, which is listed, and taken out again."""
    device.put("cluster token", "token", value="t0ken-of-the-tests\n")
    device.keybaton("setup", "kubectl", "cluster token", "--as", "tester", "--yes", check=True)
    done = device.run(["kubectl", "get", "--raw", "/version"])
    assert (done.returncode, done.stdout) == (0, '{"gitVersion": "v9"}'), done.stderr
    assert set(device.reads()) == {("cluster token", "kubectl")}
    shown = device.run(["kubectl", "config", "view", "-o", "jsonpath={.users[?(@.name=='tester')].user}"], check=True)
    user = json.loads(shown.stdout)
    assert "username" not in user
    assert (user["exec"]["command"], user["exec"]["args"]) == ("keybaton-kubectl-credentials", ["cluster token"])
    assert "tester" in device.keybaton("setup", check=True).stdout
    again = device.keybaton("setup", "kubectl", "cluster token", "--as", "tester", "--yes", check=True)
    assert again.stdout == "It is set up already.\n"
    assert device.keybaton("setup", "kubectl", "other", "--as", "tester", "--yes").returncode == 6
    device.keybaton("setup", "kubectl", "--remove", "--yes", check=True)
    assert "tester" not in device.run(["kubectl", "config", "view", "-o", "jsonpath={.users}"], check=True).stdout


def test_kubectl_says_that_the_vault_is_locked(device: PassphraseDevice, cluster: Loopback) -> None:
    """At once, with our hint; and a user with other credentials is somebody else's."""
    device.put("cluster token", "token", value="t0ken-of-the-tests")
    device.keybaton("setup", "kubectl", "cluster token", "--as", "tester", "--yes", check=True)
    device.run(["kubectl", "config", "set", "users.stranger.token", "x"], check=True)
    assert device.keybaton("setup", "kubectl", "cluster token", "--as", "stranger", "--yes").returncode == 6
    device.lock()
    started = time.monotonic()
    done = device.run(["setsid", "-w", "kubectl", "get", "--raw", "/version"])
    assert time.monotonic() - started < 10
    assert done.returncode == 1
    assert LOCKED_HINT in done.stderr
