"""Every `keybaton env` command that changes or shows variables, with a real agent: what it does, says and refuses."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest

from keybaton_testing.env_project import Project
from keybaton_testing.unlocked import PassphraseDevice

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def device() -> Iterator[PassphraseDevice]:
    with PassphraseDevice() as made:
        yield made


@pytest.fixture
def project(device: PassphraseDevice, request: pytest.FixtureRequest) -> Project:
    """A project with two variables in `default` and one in `staging`."""
    made = Project(device, device.root / f"p{abs(hash(request.node.name)) % 10**8}")
    made.folder.mkdir()
    made.write(env="A=one\nB=two\n", env_staging="A=stage\n")
    made.keybaton("env", "init", "--yes")
    return made


def values(project: Project, environment: str) -> dict[str, str]:
    printed = project.keybaton("env", "print", "--format", "json", "--env", environment).stdout
    found = json.loads(printed)
    assert isinstance(found, dict)
    return found


def test_values_are_set_shown_masked_and_removed(project: Project) -> None:
    """From standard input and a file; a removal of what is not there changes nothing, and undo brings one back."""
    (project.folder / "key").write_bytes(b"line\nline\n")
    project.keybaton("env", "set", "FROM_FILE", "--file", "key")
    assert "1 new" in project.keybaton("env", "set", "C", stdin="hush\n").stdout
    assert "1 as it was" in project.keybaton("env", "set", "C", stdin="hush\n").stdout
    assert project.keybaton("env", "set", "C", stdin="", ok=False).returncode == 2  # what came before a pipe has failed
    assert project.keybaton("env", "get", "C").stdout == "hush\n"
    seen = project.keybaton("env", "set", "D=seen")
    assert "can be read by other programs" in seen.stderr
    assert values(project, "default") == {"A": "one", "B": "two", "C": "hush", "D": "seen", "FROM_FILE": "line\nline\n"}
    listed = project.keybaton("env", "list").stdout
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [[name, "•" * 8] for name in "ABCD"] + [
        ["FROM_FILE", "•" * 8]
    ]
    assert "FROM_FILE\tline\\nline\\n\t" in project.keybaton("env", "list", "--reveal").stdout
    assert "hush" not in project.keybaton("env", "list", "--json").stdout
    assert project.keybaton("env", "get", "C").stdout == "hush\n"
    unknown = project.keybaton("env", "get", "FROM_FIL", ok=False)
    assert (unknown.returncode, unknown.stdout) == (5, "")
    assert "FROM_FILE" in unknown.stderr
    assert project.keybaton("env", "remove", "C", "NOT_THERE", ok=False).returncode == 5
    assert project.keybaton("env", "get", "C").stdout == "hush\n"
    assert project.keybaton("env", "remove", "C", "D", ok=False).returncode == 2
    removed = project.keybaton("env", "remove", "C", "D", "--yes")
    assert removed.stderr == "hint: `keybaton env undo C --env default` brings one back.\n"
    assert project.keybaton("env", "get", "C", ok=False).returncode == 5
    project.keybaton("env", "undo", "C")
    assert project.keybaton("env", "get", "C").stdout == "hush\n"
    history = json.loads(project.keybaton("env", "history", "C", "--json").stdout)["versions"]
    assert [entry["removed"] for entry in history] == [False, True, False]


def test_a_source_for_several_names_is_refused(project: Project) -> None:
    """One file or descriptor is the value of one name."""
    (project.folder / "key").write_text("x")
    for arguments in (("C", "D", "--file", "key"), ("--value-fd", "0", "--file", "key", "C"), ("C=1", "--file", "key")):
        assert project.keybaton("env", "set", *arguments, ok=False).returncode == 2
    assert set(values(project, "default")) == {"A", "B"}


def test_environments_are_copied_and_compared(project: Project) -> None:
    """Other values are never replaced without being told to; an unknown environment is made only when asked for."""
    assert project.keybaton("env", "copy", "default", "new", ok=False).returncode == 5
    project.keybaton("env", "copy", "default", "new", "A", "--create")
    assert values(project, "new") == {"A": "one"}
    refused = project.keybaton("env", "copy", "default", "staging", ok=False)
    assert refused.returncode == 6
    assert "A" in refused.stderr
    assert values(project, "staging") == {"A": "stage"}
    masked = project.keybaton("env", "diff", "default", "staging")
    assert "one" not in masked.stdout
    assert [line.split("\t")[:2] for line in masked.stdout.splitlines()] == [["~", "A"], ["<", "B"]]
    assert "~\tA\tone\tstage" in project.keybaton("env", "diff", "default", "staging", "--reveal").stdout
    assert project.keybaton("env", "diff", "default", "staging", "--exit-code", ok=False).returncode == 1
    differences = json.loads(project.keybaton("env", "diff", "staging", "default", "--json").stdout)["differences"]
    assert differences == [{"name": "A", "change": "differs"}, {"name": "B", "change": "only-second"}]
    project.keybaton("env", "copy", "default", "staging", "--replace")
    assert values(project, "staging") == {"A": "one", "B": "two"}
    assert project.keybaton("env", "diff", "default", "staging", "--exit-code").stdout == ""


@pytest.mark.parametrize(
    ("choice", "after"),
    [
        ("replace", {"A": "new", "B": "two", "C": "three"}),
        ("keep", {"A": "one", "B": "two", "C": "three"}),
        ("fail", {"A": "one", "B": "two"}),
    ],
)
def test_a_file_is_imported_as_told(project: Project, choice: str, after: dict[str, str]) -> None:
    """A dry run says the same and changes nothing; standard input is read as a file is."""
    text = "A=new\nB=two\nC=three\n"
    arguments = ("env", "import", "-", "--on-conflict", choice, "--json")
    code = 6 if choice == "fail" else 0
    dry = project.keybaton(*arguments, "--dry-run", stdin=text, ok=False)
    assert dry.returncode == code
    assert values(project, "default") == {"A": "one", "B": "two"}
    done = project.keybaton(*arguments, stdin=text, ok=False)
    assert done.returncode == code
    assert values(project, "default") == after
    if not code:
        told = json.loads(done.stdout)
        assert told == {**json.loads(dry.stdout), "dryRun": False}
        assert (told["created"], told["changed"]) == (["C"], ["A"] if choice == "replace" else [])


@pytest.mark.parametrize(("choice", "counted"), [("replace", "1 new, 1 changed, 1"), ("keep", "1 new, 0 changed, 2")])
def test_an_import_counts_what_it_did(project: Project, choice: str, counted: str) -> None:
    """Each variable of the file once; what was kept is as before."""
    done = project.keybaton("env", "import", "-", "--on-conflict", choice, stdin="A=new\nB=two\nC=three\n")
    assert done.stdout == f"Imported into default: {counted} as before.\n"


def test_a_file_that_is_none_of_variables_is_refused(project: Project) -> None:
    """With its line; nothing of it is taken."""
    refused = project.keybaton("env", "import", "-", stdin="C=1\nD.E=2\n", ok=False)
    assert refused.returncode == 2
    assert "standard input:2: D.E" in refused.stderr
    assert values(project, "default") == {"A": "one", "B": "two"}


def test_an_export_is_private_and_replaces_nothing_unasked(project: Project) -> None:
    """Mode 0600, whole; a place that is taken or is none is an error in words."""
    path = project.folder / "out.env"
    project.keybaton("env", "export", "out.env")
    assert path.read_text() == "A=one\nB=two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("theirs")
    path.chmod(0o644)
    assert project.keybaton("env", "export", "out.env", ok=False).returncode == 6
    assert path.read_text() == "theirs"
    project.keybaton("env", "export", "out.env", "--force", "--format", "shell")
    assert path.read_text() == "export A=one\nexport B=two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for place, code in ((".", 6), ("no/such/folder", 1)):
        refused = project.keybaton("env", "export", place, ok=False)
        assert refused.returncode == code
        assert "Traceback" not in refused.stderr
    assert project.keybaton("env", "export", "x", "--format", "json", "--dialect", "node", ok=False).returncode == 2
    assert sorted(entry.name for entry in project.folder.iterdir()) == [
        ".env",
        ".env.staging",
        "keybaton.toml",
        "out.env",
    ]


HOSTILE = """
[schema.A]
required = true
enum = ["\\u001b[31mred"]
description = "first \\u001b]0;title\\u0007\\nsecond"
[schema.TOKEN]
required = true
pattern = "\\u001b?[0-9]+"
"""


def test_what_a_committed_file_says_cannot_steer_the_terminal(project: Project) -> None:
    """Neither in the findings of a check nor in an example; every finding is told, and no value."""
    toml = project.folder / "keybaton.toml"
    toml.write_text(toml.read_text() + HOSTILE)
    project.keybaton("env", "set", "TOKEN", "--env", "staging", stdin="hush")
    checked = project.keybaton("env", "check", ok=False)
    assert checked.returncode == 1
    assert [line.split(" ")[:2] for line in checked.stdout.splitlines()] == [
        ["default:", "A"],
        ["default:", "TOKEN"],
        ["staging:", "A"],
        ["staging:", "TOKEN"],
    ]
    one = project.keybaton("env", "check", "--env", "default", ok=False)
    assert len(one.stdout.splitlines()) == 2
    example = project.keybaton("env", "example").stdout
    assert example == "# first �]0;title�\n# second\n# required; one of: �[31mred\nA=\n# required\nTOKEN=\nB=\n"
    for shown in (checked.stdout, example):
        assert "hush" not in shown
        assert all(line.isprintable() for line in shown.splitlines())


def test_what_fits_the_schema_passes(project: Project) -> None:
    """Exit code 0; a default stands in the example."""
    toml = project.folder / "keybaton.toml"
    toml.write_text(toml.read_text() + '[schema.A]\nrequired = true\n[schema.PORT]\nformat = "port"\ndefault = "80"\n')
    assert "2 environments" in project.keybaton("env", "check").stdout
    assert project.keybaton("env", "example").stdout == "# required\nA=\n# format: port\nPORT=80\nB=\n"


def test_patterns_are_held_against_every_environment(project: Project) -> None:
    """In a process of their own, beside an open connection to the agent; one that takes too long is a finding."""
    toml = project.folder / "keybaton.toml"
    toml.write_text(toml.read_text() + '[schema.A]\npattern = "[a-z]+"\n[schema.B]\npattern = "(t+w+o+|x)+"\n')
    checked = project.keybaton("env", "check")
    assert (checked.stdout, checked.stderr) == ("2 environments: everything fits the schema.\n", "")
    toml.write_text(toml.read_text().replace("(t+w+o+|x)+", "(x+)+$"))
    project.keybaton("env", "set", "B", stdin="x" * 40 + "y")
    slow = project.keybaton("env", "check", ok=False)
    assert (slow.returncode, slow.stderr) == (1, "")
    assert slow.stdout.startswith("default: B takes too long to hold against its pattern")


def test_a_variable_or_a_version_that_is_not_there_is_told_as_such(project: Project) -> None:
    """Not as a secret; the nearest name and the command that lists stand there."""
    for command in ("undo", "history"):
        unknown = project.keybaton("env", command, "AA", ok=False)
        assert unknown.returncode == 5
        assert unknown.stderr.startswith("error: There is no variable AA in default; the nearest is A.\n")
        assert "no environment nope" in project.keybaton("env", command, "A", "--env", "nope", ok=False).stderr
    for version, words in (((), "version before this one"), (("--version", "7"), "version 7 to bring back")):
        none = project.keybaton("env", "undo", "A", *version, ok=False)
        assert (none.returncode, none.stderr.splitlines()[0]) == (5, f"error: A has no {words}.")


def test_names_that_no_variable_can_have_are_refused_before_anything(project: Project) -> None:
    """Which one it is stands there; nothing of the same command is stored. One that hijacks programs is stored and told."""
    refused = project.keybaton("env", "set", "GOOD=1", "MY-VAR=2", ok=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: MY-VAR is no name of a variable.")
    assert set(values(project, "default")) == {"A", "B"}
    assert "`keybaton run` wants `--allow PATH`" in project.keybaton("env", "set", "PATH", stdin="/x").stderr
    project.keybaton("env", "remove", "PATH", "--yes")


def test_an_empty_pipe_is_no_file_of_variables(project: Project) -> None:
    """The program before it has failed."""
    refused = project.keybaton("env", "import", "-", ok=False)
    assert refused.returncode == 2
    assert "Standard input is empty" in refused.stderr


def test_what_does_not_fit_the_schema_is_stored_and_told(project: Project) -> None:
    """By every command that stores; values of secrets in no text, and nothing of variables that are not stored now."""
    toml = project.folder / "keybaton.toml"
    toml.write_text(
        toml.read_text()
        + '[schema.A]\npattern = "[a-z]+"\n[schema.B]\nrequired = true\n[schema.NEVER]\nrequired = true\n'
    )
    done = project.keybaton("env", "set", "A", stdin="UPPER")
    assert done.stdout == "Set in default: 1 changed.\n"
    assert done.stderr.startswith("warning: A does not match the pattern [a-z]+: `keybaton run` does not start")
    assert len(done.stderr.splitlines()) == 1
    assert "UPPER" not in done.stderr
    assert project.keybaton("run", "--", "true", ok=False).returncode == 2
    finding = {"name": "A", "problem": "does not match the pattern [a-z]+"}
    assert json.loads(project.keybaton("env", "set", "A", "--json", stdin="LOUD").stdout)["findings"] == [finding]
    imported = project.keybaton("env", "import", "-", "--json", stdin="A=X\nB=\nC=free\n")
    assert json.loads(imported.stdout)["findings"] == [finding, {"name": "B", "problem": "is required and empty"}]
    assert imported.stderr.count("warning: ") == 2
    copied = project.keybaton("env", "copy", "default", "staging", "A", "--replace", "--json")
    assert json.loads(copied.stdout)["findings"] == [finding]
    assert "with staging until it fits" in copied.stderr
    fits = project.keybaton("env", "set", "A", "--json", stdin="fits")
    assert (json.loads(fits.stdout)["findings"], fits.stderr) == ([], "")
    assert values(project, "default") == {"A": "fits", "B": "", "C": "free"}


def test_environments_and_projects_are_listed_made_and_removed(project: Project) -> None:
    """Without a terminal nothing is removed unless --yes."""
    project.keybaton("env", "envs", "--create", "empty")
    assert project.keybaton("env", "envs", "--remove", "staging", ok=False).returncode == 2
    listed = json.loads(project.keybaton("env", "envs", "--remove", "staging", "--yes", "--json").stdout)
    assert listed == {"environments": [{"name": "default", "variables": 2}, {"name": "empty", "variables": 0}]}
    assert project.keybaton("env", "list", "--env", "staging", ok=False).returncode == 5
    id_ = next(
        line.split('"')[1] for line in (project.folder / "keybaton.toml").read_text().splitlines() if "vault =" in line
    )
    assert project.keybaton("env", "vaults", "--remove", id_, ok=False).returncode == 2
    assert id_ in project.keybaton("env", "vaults").stdout
    assert id_ not in project.keybaton("env", "vaults", "--remove", id_, "--yes").stdout
    assert project.keybaton("env", "list", ok=False).returncode == 5
