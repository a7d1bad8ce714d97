"""The credential helpers against a real grpcio server: their protocols, bad input, a locked vault, an agent that hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keybaton_cli
from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli.helpers import NAMES
from keybaton_cli.helpers.git import parsed
from keybaton_cli.helpers.logins import escaped
from keybaton_cli.helpers.plain import INPUT_MAX, document
from keybaton_client.problem import ClientError
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder

MAIN = Path(keybaton_cli.__file__).with_name("__main__.py")
BIN = MAIN.with_name("bin")
SECONDS = 30
AT_ONCE = 1.0  # what an answer may take of the helper's own, on top of the start of Python
QUERY = b"protocol=https\nhost=git.example\n\n"
HINT = "`keybaton unlock` opens it."


@dataclass
class Helpers:
    """A fake agent and the environment of programs that find it. No terminal controls what runs in it."""

    agent: FakeAgent
    env: dict[str, str]

    def run(self, *arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """One request to a helper, as the trampoline starts it."""
        command = [sys.executable, "-IS", str(MAIN), "helper", *arguments]
        return subprocess.run(
            command,
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,
        )

    def git(self, action: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        return self.run("git", action, stdin=stdin)

    def docker(self, action: str, stdin: bytes = b"") -> tuple[int, str]:
        done = self.run("docker", action, stdin=stdin)
        return done.returncode, done.stdout.decode()

    def lock(self) -> None:
        self.agent.info.vault_state = agent_pb2.VAULT_STATE_LOCKED

    def names(self) -> list[str]:
        return sorted(name for (_, name), versions in self.agent.items.items() if versions[-1] is not None)


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    """An unlocked vault without anything in it."""
    with short_folder() as folder, fake_agent(f"{folder}/s") as agent:
        yield Helpers(agent, {"KEYBATON_SOCKET": f"{folder}/s", "PATH": os.environ["PATH"], "HOME": folder})


def credential(**fields: str) -> bytes:
    """A request of git."""
    lines = {"protocol": "https", "host": "git.example", **fields}
    return "".join(f"{key}={value}\n" for key, value in lines.items()).encode() + b"\n"


# --- git ---------------------------------------------------------------------------------------------------------------


def test_git_gets_back_what_it_stored_for_exactly_that_place(helpers: Helpers) -> None:
    """Another host, port, protocol, path or user is another place: nothing is said, and git goes on."""
    assert helpers.git("store", credential(username="ann", password="p w=1")).returncode == 0
    assert helpers.git("get", credential()).stdout == b"username=ann\npassword=p w=1\n"
    assert helpers.git("get", credential(username="ann")).stdout == b"username=ann\npassword=p w=1\n"
    for other in (
        {"host": "git.example:8443"},
        {"host": "evil.git.example"},
        {"host": "GIT.example"},
        {"protocol": "http"},
        {"path": "repo.git"},
        {"username": "bob"},
    ):
        done = helpers.git("get", credential(**other))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert helpers.names() == ["git:https://git.example"]
    assert {read.client for read in helpers.agent.reads} == {"git"}


def test_git_keeps_several_users_of_one_host(helpers: Helpers) -> None:
    """The first stays the one for requests without a user."""
    for user in ("ann", "bob c%d"):
        helpers.git("store", credential(username=user, password=f"of {user}"))
    assert helpers.names() == ["git:https://git.example", "git:https://git.example bob%20c%25d"]
    assert helpers.git("get", credential()).stdout == b"username=ann\npassword=of ann\n"
    assert helpers.git("get", credential(username="bob c%d")).stdout == b"username=bob c%d\npassword=of bob c%d\n"


def test_git_writes_only_what_has_changed(helpers: Helpers) -> None:
    """git hands each working login to its helpers again: no new version, no lost second factor."""
    helpers.agent.put_secret(
        "git:https://git.example", "login", username="ann", password="p", url="https://git.example", totp="seed"
    )
    helpers.git("store", credential(username="ann", password="p"))
    stored = helpers.agent.current(1, "git:https://git.example")
    assert stored is not None
    assert stored.version == 1
    helpers.git("store", credential(username="ann", password="q", password_expiry_utc="1", oauth_refresh_token="no"))
    stored = helpers.agent.current(1, "git:https://git.example")
    assert stored is not None
    assert stored.version == 2
    fields = {field.key: field.value for field in stored.secret.fields}
    assert fields == {"username": b"ann", "password": b"q", "url": b"https://git.example", "totp": b"seed"}


def test_git_erases_what_matches_and_nothing_else(helpers: Helpers) -> None:
    """A password that was changed meanwhile stays; without a user every login of the place goes."""
    for user in ("ann", "bob"):
        helpers.git("store", credential(username=user, password="p"))
    helpers.git("store", credential(host="git.example.org", username="ann", password="p"))
    helpers.git("erase", credential(username="ann", password="older"))
    assert len(helpers.names()) == 3
    helpers.git("erase", credential(username="bob", password="p"))
    assert helpers.names() == ["git:https://git.example", "git:https://git.example.org"]
    helpers.git("store", credential(username="bob", password="p"))
    assert helpers.git("erase", credential()).returncode == 0
    assert helpers.names() == ["git:https://git.example.org"]
    assert helpers.git("erase", credential()).returncode == 0


def test_a_login_that_says_another_place_is_not_used(helpers: Helpers) -> None:
    """Its name alone, which another device may have chosen, is not enough; one without a place was made by hand."""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p", url="https://bank.example")
    assert helpers.git("get", QUERY).stdout == b""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p")
    assert helpers.git("get", QUERY).stdout == b"username=a\npassword=p\n"
    helpers.agent.put_secret("git:https://git.example", "token", value="p")
    assert helpers.git("get", QUERY).stdout == b""


@pytest.mark.parametrize(
    "request_",
    [
        b"protocol=https\nhost=git.example\r\n\n",
        b"protocol=https\nhost=git.example\0\n\n",
        b"protocol=https\nhost=git.example\nhost=evil.example\n\n",
        b"protocol=https\nhost=git.example/evil\n\n",
        b"protocol=https\nhost=user@git.example\n\n",
        b"protocol=https\nhost=git.example\x1b[0m\n\n",
        b"protocol=ht tps\nhost=git.example\n\n",
        b"protocol=https\nhost=git.example\nno equals sign\n\n",
        b"protocol=https\nhost=git.example\n=x\n\n",
        b"protocol=https\nhost=\xff\n\n",
    ],
)
def test_git_requests_that_smell_are_refused(helpers: Helpers, request_: bytes) -> None:
    """No credential, a sentence for the person, and git is told to stop; nothing is stored or erased either."""
    helpers.agent.put_secret("git:https://git.example", "login", username="ann", password="p")
    done = helpers.git("get", request_)
    assert (done.returncode, done.stdout) == (1, b"quit=1\n")
    assert done.stderr.startswith(b"keybaton: The request was refused: ")
    for action in ("store", "erase"):
        done = helpers.git(action, request_.replace(b"\n\n", b"\nusername=ann\npassword=p\n\n"))
        assert (done.returncode, done.stdout) == (1, b"")
    assert helpers.names() == ["git:https://git.example"]


def test_git_is_never_given_a_value_with_a_line_break(helpers: Helpers) -> None:
    """It would read the rest as lines of the protocol."""
    for username, password in (("a\nhost=evil", "p"), ("a", "p\r"), ("a", "p\0")):
        helpers.agent.put_secret("git:https://git.example", "login", username=username, password=password)
        done = helpers.git("get", QUERY)
        assert (done.returncode, done.stdout) == (1, b"quit=1\n")
        assert password.strip().encode() + b"\n" not in done.stderr


def test_git_requests_over_the_limit_are_refused(helpers: Helpers) -> None:
    """And names that the vault has no room for are not found, and not stored."""
    done = helpers.git("get", b"protocol=https\nhost=git.example\nx=" + b"x" * INPUT_MAX)
    assert (done.returncode, done.stdout) == (1, b"quit=1\n")
    long = credential(path="x" * 300, username="a", password="p")
    assert helpers.git("get", long).returncode == 0
    done = helpers.git("store", long)
    assert done.returncode == 1
    assert b"longer than 256 bytes" in done.stderr


def test_git_requests_about_something_else_are_passed_over(helpers: Helpers) -> None:
    """A certificate's passphrase, an action of a later git, a store without a password."""
    for action, request_ in (
        ("get", b"protocol=cert\npath=/client.pem\n\n"),
        ("get", b""),
        ("approve", QUERY),
        ("store", credential(username="a")),
        ("store", credential(username="a", authtype="Bearer", credential="t")),
    ):
        done = helpers.git(action, request_)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert helpers.git("capability", b"").stdout == b"version 0\n"
    assert helpers.run("git").returncode == 2


@settings(max_examples=1000)
@given(st.binary(max_size=300))
def test_any_request_of_git_is_read_or_refused(data: bytes) -> None:
    """No other outcome; what is read holds no line break."""
    try:
        fields = parsed(data)
    except ClientError as error:
        assert error.reason == "INVALID_ARGUMENT"
        return
    assert not any(c in key + value for key, value in fields.items() for c in "\r\n\0")


@given(st.text(max_size=50), st.text(max_size=50))
def test_two_places_never_share_a_name(one: str, other: str) -> None:
    """Escaping loses nothing, and leaves neither a space nor what does not print."""
    try:
        names = [escaped(one), escaped(other)]
    except UnicodeEncodeError:
        return
    assert (names[0] == names[1]) == (one == other)
    assert all(name.isprintable() and " " not in name for name in names)


# --- docker ------------------------------------------------------------------------------------------------------------


def login(server: object = "registry.example:5000", username: object = "ann", secret: object = "p") -> bytes:
    return json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()


def test_docker_stores_gets_lists_and_erases(helpers: Helpers) -> None:
    """One login for each server, the last; erasing what is not there is no error."""
    assert helpers.docker("store", login()) == (0, "")
    assert helpers.docker("store", login(username="bob", secret='"q\\\u00e9')) == (0, "")
    assert helpers.docker("store", login("https://index.docker.io/v1/", "<token>", "t")) == (0, "")
    code, said = helpers.docker("get", b"registry.example:5000\n")
    assert (code, json.loads(said)) == (
        0,
        {"ServerURL": "registry.example:5000", "Username": "bob", "Secret": '"q\\\u00e9'},
    )
    code, said = helpers.docker("list")
    assert json.loads(said) == {"registry.example:5000": "bob", "https://index.docker.io/v1/": "<token>"}
    assert helpers.docker("erase", b"registry.example:5000") == (0, "")
    assert helpers.docker("erase", b"registry.example:5000") == (0, "")
    assert helpers.docker("get", b"registry.example:5000") == (1, "credentials not found in native keychain\n")
    assert helpers.docker("get", b"registry.example") == (1, "credentials not found in native keychain\n")
    assert {read.client for read in helpers.agent.reads} == {"docker"}


@pytest.mark.parametrize(
    ("action", "request_", "said"),
    [
        ("get", b"", "no credentials server URL"),
        ("erase", b" \n", "no credentials server URL"),
        ("get", b"registry.example\r\nevil.example", "control character"),
        ("get", b"registry.example\0", "control character"),
        ("get", b"\xff", "not UTF-8"),
        ("get", b"x" * (INPUT_MAX + 1), "larger than"),
        ("store", b"nonsense", "not JSON"),
        ("store", b"[" * 5000, "not JSON"),
        ("store", b"[]", "no credentials server URL"),
        ("store", login(""), "no credentials server URL"),
        ("store", login(7), "no credentials server URL"),
        ("store", login(username=""), "no credentials username"),
        ("store", login(secret=None), "no credentials secret"),
        ("store", login(secret="p\nq"), "control character"),
        ("store", login(username="a\r"), "control character"),
        ("store", login("a b"), "control character"),
        ("store", login(secret="\ud800"), "not Unicode"),
        ("store", login("x" * 300), "longer than 256 bytes"),
    ],
)
def test_docker_requests_that_are_none_are_refused(helpers: Helpers, action: str, request_: bytes, said: str) -> None:
    """In its own form: a sentence on standard output and exit code 1."""
    code, text = helpers.docker(action, request_)
    assert code == 1
    assert said in text
    assert helpers.names() == []


def test_docker_usage_and_version(helpers: Helpers) -> None:
    """The version as docker-credential-helpers print theirs."""
    assert helpers.run("docker").returncode == 2
    assert helpers.run("docker", "get", "extra").returncode == 2
    done = subprocess.run(
        [sys.executable, str(MAIN), "helper", "docker", "version"],
        env=helpers.env,
        capture_output=True,
        timeout=SECONDS,
    )
    assert done.stdout.startswith(b"docker-credential-keybaton ")


# --- AWS and kubectl ---------------------------------------------------------------------------------------------------


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


# --- all of them -------------------------------------------------------------------------------------------------------


def requests() -> list[tuple[tuple[str, ...], bytes]]:
    """One read by each helper."""
    return [
        (("git", "get"), QUERY),
        (("docker", "get"), b"registry.example"),
        (("docker", "list"), b""),
        (("aws", "name"), b""),
        (("kubectl", "name"), b""),
    ]


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_a_locked_vault_is_said_at_once_with_what_to_do(
    helpers: Helpers, arguments: tuple[str, ...], stdin: bytes
) -> None:
    """On the channel that the caller shows to the person; git, which nobody could answer, is told to stop."""
    helpers.lock()
    started = time.monotonic()
    done = helpers.run(*arguments, stdin=stdin)
    assert time.monotonic() - started < AT_ONCE
    assert done.returncode in (1, 4)
    assert HINT in (done.stdout if arguments[0] == "docker" else done.stderr).decode()
    assert done.stdout == b"quit=1\n" or arguments[0] != "git"


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_an_agent_that_hangs_is_left_within_a_second(
    helpers: Helpers, arguments: tuple[str, ...], stdin: bytes
) -> None:
    """A socket that takes the call and says nothing."""
    import socket

    with short_folder() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/s")
        silent.listen()
        started = time.monotonic()
        done = helpers.run(*arguments, stdin=stdin, KEYBATON_SOCKET=f"{folder}/s")
        assert time.monotonic() - started < 0.9 + AT_ONCE
    assert done.returncode in (1, 8)
    assert b"did not answer in time" in done.stdout + done.stderr


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_without_an_agent_the_caller_is_told(helpers: Helpers, arguments: tuple[str, ...], stdin: bytes) -> None:
    """A named socket on which nobody listens: none is started there."""
    done = helpers.run(*arguments, stdin=stdin, KEYBATON_SOCKET="/nowhere/s")
    assert done.returncode in (1, 3)
    assert b"No agent listens on /nowhere/s." in done.stdout + done.stderr


def test_git_may_still_ask_a_person_at_a_terminal(helpers: Helpers) -> None:
    """Where a terminal controls the process, a locked vault is only a hint."""
    helpers.lock()
    command = [sys.executable, "-IS", str(MAIN), "helper", "git", "get"]
    pid, terminal = os.forkpty()
    if not pid:
        reading, writing = os.pipe()
        os.write(writing, QUERY)
        os.close(writing)
        os.dup2(reading, 0)
        os.execve(command[0], command, helpers.env)
    said = b""
    try:
        while piece := os.read(terminal, 1000):
            said += piece
    except OSError:
        pass  # how a terminal ends
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert HINT.encode() in said
    assert b"quit" not in said


def test_a_caller_that_leaves_is_no_traceback(helpers: Helpers) -> None:
    """docker and kubectl close their pipes when they are interrupted."""
    helpers.agent.put_secret("cluster", "token", value="t")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-IS", str(MAIN), "helper", "kubectl", "cluster"]
    done = subprocess.run(command, env=helpers.env, stdout=writing, stderr=subprocess.PIPE, timeout=SECONDS)
    os.close(writing)
    assert done.returncode in (1, -signal.SIGPIPE)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_helper_tells_how_it_is_called(helpers: Helpers, name: str) -> None:
    """In one form: on standard output when it was asked, else as a usage error."""
    asked = helpers.run(name, "--help")
    assert asked.returncode == 0
    assert asked.stdout.startswith(b"usage: ")
    assert f"`keybaton setup {name}".encode() in asked.stdout
    wrong = helpers.run(name)
    assert wrong.returncode == 2
    assert asked.stdout.splitlines()[0] in wrong.stderr


def test_an_unknown_helper_is_a_usage_error(helpers: Helpers) -> None:
    """So are arguments that are no text."""
    for arguments in ((), ("svn",)):
        assert helpers.run(*arguments).returncode == 2
    command = [sys.executable, "-IS", str(MAIN), "helper", "aws", b"\xff"]
    assert subprocess.run(command, env=helpers.env, capture_output=True, timeout=SECONDS).returncode == 2


def test_each_helper_has_a_name_in_the_trampoline() -> None:
    """The links beside `keybaton`, and what the script makes of their names."""
    script = (BIN / "keybaton").read_text()
    links = sorted(path.name for path in BIN.iterdir() if path.is_symlink())
    assert len(links) == len(NAMES)
    for name in NAMES:
        assert f"set -- helper {name} " in script
    assert all(f"    {link}) " in script and os.readlink(BIN / link) == "keybaton" for link in links)


_LISTING = """
import posix, sys
leave = posix._exit
def listed(code):
    posix.write(2, "\\n".join(sorted(sys.modules)).encode())
    leave(code)
posix._exit = listed
main = sys.argv.pop(1)
__file__ = main
exec(compile(open(main).read(), main, "exec"))
"""
_SLOW = ("re", "json", "os", "click", "argparse", "asyncio", "grpc", "google", "typing", "subprocess", "site")


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(("git", "get"), QUERY), (("docker", "get"), b"r"), (("aws", "s3"), b""), (("kubectl", "t"), b"")],
)
def test_a_read_loads_nothing_that_starts_slowly(helpers: Helpers, arguments: tuple[str, ...], stdin: bytes) -> None:
    """Only what is built in, and ours."""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p")
    helpers.agent.put_secret("docker:r", "login", username="a", password="p")
    helpers.agent.put_secret("s3", "s3-credentials", region="r", accessKeyId="a", secretAccessKey="s")
    helpers.agent.put_secret("t", "token", value="t")
    command = [sys.executable, "-IS", "-c", _LISTING, str(MAIN), "helper", *arguments]
    done = subprocess.run(command, env=helpers.env, input=stdin, capture_output=True, timeout=SECONDS)
    assert done.stdout
    assert not set(done.stderr.decode().split("\n")) & set(_SLOW)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20) | st.integers()))
def test_json_without_the_module_is_json(values: dict[str, object]) -> None:
    """Read back by the module."""
    assert json.loads(document({**values, "inner": values})) == {**values, "inner": values}
