"""The helpers of AWS and kubectl: what they print, and what they say when they cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keybaton_testing.helper_programs import Helpers, unlocked_helpers


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    with unlocked_helpers() as made:
        yield made


def test_aws_prints_the_credentials_of_an_s3_secret(helpers: Helpers) -> None:
    """Version 1, nothing more than it asks for."""
    helpers.agent.put_secret(
        "photos s3",
        "s3-credentials",
        region="eu-west-1",
        accessKeyId="AK",
        secretAccessKey='s"/+',
        endpoint="https://e",
    )
    done = helpers.run("aws", "photos s3")
    assert json.loads(done.stdout) == {"Version": 1, "AccessKeyId": "AK", "SecretAccessKey": 's"/+'}
    assert [read.client for read in helpers.agent.reads] == ["aws"]


def test_aws_and_kubectl_say_what_is_wrong(helpers: Helpers) -> None:
    """A line on standard error, nothing on standard output, the exit codes of the command line."""
    helpers.agent.put_secret("plain", "plain", value="p")
    helpers.agent.put_secret("two lines", "token", value="a\nb")
    helpers.agent.put_secret("pair", "encryption-key", privateKeyPem="key", publicKeyPem="-----BEGIN PUBLIC KEY-----")
    for arguments, code in (
        (("aws",), 2),
        (("aws", "--other"), 2),
        (("aws", "a", "b"), 2),
        (("aws", "missing"), 5),
        (("aws", "x" * 300), 5),
        (("aws", "plain"), 5),
        (("kubectl",), 2),
        (("kubectl", "missing"), 5),
        (("kubectl", "pair"), 5),
        (("kubectl", "two lines"), 2),
    ):
        done = helpers.run(*arguments)
        assert (done.returncode, done.stdout) == (code, b""), arguments
        assert done.stderr.startswith(b"keybaton: ")
        assert done.stderr.count(b"\n") == 1
    hostile = helpers.run("aws", "\x1b[2J\u202e\nmissing")
    assert hostile.stderr.decode().removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("kind", "field"), [("token", "value"), ("plain", "value"), ("api-key", "apiKey"), ("login", "password")]
)
@pytest.mark.parametrize("version", ["", "v1", "v1beta1"])
def test_kubectl_gets_a_token_in_the_version_it_speaks(helpers: Helpers, kind: str, field: str, version: str) -> None:
    """From each type that can hold one; a final newline is no part of it."""
    helpers.agent.put_secret("cluster", kind, **{"username": "u"} if kind == "login" else {}, **{field: "t0ken\n"})
    info = json.dumps({"apiVersion": f"client.authentication.k8s.io/{version}", "spec": {"interactive": False}})
    done = helpers.run("kubectl", "cluster", **({"KUBERNETES_EXEC_INFO": info} if version else {}))
    assert json.loads(done.stdout) == {
        "apiVersion": f"client.authentication.k8s.io/{version or 'v1'}",
        "kind": "ExecCredential",
        "status": {"token": "t0ken"},
    }


def test_kubectl_gets_a_client_certificate(helpers: Helpers) -> None:
    """From an encryption-key whose public half is a certificate."""
    pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
    helpers.agent.put_secret("cluster", "encryption-key", privateKeyPem="key\n", publicKeyPem=pem)
    status = json.loads(helpers.run("kubectl", "cluster").stdout)["status"]
    assert status == {"clientCertificateData": pem, "clientKeyData": "key\n"}


@pytest.mark.parametrize(
    "info", ["nonsense", "[]", "{}", '{"apiVersion": "client.authentication.k8s.io/v9"}', "[" * 5000]
)
def test_kubectl_in_another_version_is_refused(helpers: Helpers, info: str) -> None:
    """Before the vault is asked."""
    done = helpers.run("kubectl", "cluster", KUBERNETES_EXEC_INFO=info)
    assert (done.returncode, done.stdout) == (2, b"")
    assert helpers.agent.reads == []
