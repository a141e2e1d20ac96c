"""The commands ``who`` and ``can``."""

import json

import pytest

NEITHER = "neither groups nor permissions"

pytestmark = pytest.mark.usefixtures("staff")


def test_who(done):
    assert done("who", "rosa") == (
        "groups:\n  editors\n  writers\npermissions:\n  publish (editors)\n"
        "  write (editors, writers)\n"
    )
    assert json.loads(done("who", "rosa", "--json")) == {
        "user": "rosa",
        "groups": ["editors", "writers"],
        "permissions": {"publish": ["editors"], "write": ["editors", "writers"]},
        "until": {"groups": {}, "permissions": {}},
    }


def test_who_is_nobody(done):
    assert done("who", "kim") == "groups:\n  (none)\npermissions:\n  (none)\n"
    assert json.loads(done("who", "", "--json")) == {
        "user": "",
        "groups": [],
        "permissions": {},
        "until": {"groups": {}, "permissions": {}},
    }


def test_yes(done):
    assert done("can", "rosa", "write") == "yes, by editors, writers\n"
    assert json.loads(done("can", "rosa", "publish", "--json")) == {
        "user": "rosa",
        "permission": "publish",
        "allowed": True,
        "groups": ["editors"],
    }


@pytest.mark.parametrize(
    ("user", "permission"),
    [("rosa", "sell"), ("kim", "write"), ("", "write")],
)
def test_no(run, user, permission):
    result = run("can", user, permission)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "no\n", "")
    result = run("can", user, permission, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["allowed"] is False


def test_who_can(done, run):
    assert done("who-can", "write") == "ben\nrosa\n"
    assert done("who-can", "sell") == ""
    assert json.loads(done("who-can", "publish", "--json")) == {
        "permission": "publish",
        "users": ["ben", "rosa"],
    }
    for permission in ("fly", ""):
        result = run("who-can", permission)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == f"Error: There is no permission {permission!r}.\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_such_permission(run, options):
    """It is no refusal: somebody asks for the wrong name."""
    for permission, described in (("fly", "'fly'"), ("", "''")):
        result = run("can", "rosa", permission, *options)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == f"Error: There is no permission {described}.\n"
    assert run("can", "kim", "fly").exit_code == 3


@pytest.mark.parametrize(
    ("nothing", "command"),
    [
        ("no groups", ("who", "rosa")),
        ("no permissions", ("can", "rosa", "write")),
        ("no permissions", ("who-can", "write")),
        ("no groups", ("users", "list")),
        ("no groups", ("groups", "list")),
        ("no permissions", ("permissions", "list")),
        (NEITHER, ("check",)),
        (NEITHER, ("repair", "--yes")),
        (NEITHER, ("export", "json", "{path}")),
        ("no groups", ("export", "ini", "--groups", "{path}")),
        ("no permissions", ("export", "xml", "--permissions", "{path}")),
        (NEITHER, ("export", "ini", "--groups", "{path}", "--permissions", "{path}2")),
        (NEITHER, ("copy", "redis://127.0.0.1:1")),
    ],
)
def test_nothing_is_there(run, tmp_path, nothing, command, address):
    """A namespace or a database that is mistyped is neither an answer nor an empty backup."""
    path = tmp_path / "backup"
    words = [word.format(path=path) for word in command]
    result = run(*words, "--url", f"{address}?namespace=test")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"Error: There are {nothing} in Redis ")
    assert "namespace 'test'. Is that where the application has them?\n" in result.stderr
    # After copy, they say where the target lies.
    databases = ("--groups-db", "7", "--permissions-db", "8")
    result = run("--url", address, *databases, *words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert ("database 7" in result.stderr) == ("groups" in nothing)
    assert ("database 8" in result.stderr) == ("permissions" in nothing)
    assert not path.exists()


@pytest.mark.parametrize(
    "command",
    [
        ("who", "rosa"),
        ("can", "rosa", "write"),
        ("groups", "list"),
        ("export", "ini", "--groups", "{path}"),
        ("export", "xml", "--yes", "--groups", "{path}"),
    ],
)
def test_no_groups(run, tmp_path, command):
    """The number of one of both databases is mistyped: no answer, and no empty backup."""
    path = tmp_path / "backup"
    path.write_text("of yesterday")
    result = run("--groups-db", "7", *(word.format(path=path) for word in command))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: There are no groups in Redis at 127.0.0.1:")
    assert "database 7" in result.stderr
    assert result.stderr.endswith(". Is that where the application has them?\n")
    assert path.read_text() == "of yesterday"


@pytest.mark.parametrize(
    "command",
    [
        ("who", "rosa"),
        ("check",),
        ("export", "json", "{path}"),
        ("export", "ini", "--groups", "{path}", "--permissions", "{path}2"),
        ("copy", "{url}", "--groups-db", "9", "--permissions-db", "10"),
    ],
)
def test_no_permissions(run, tmp_path, command, url):
    """There may be groups alone. But it is said, for it may be a number that is mistyped."""
    words = [word.format(path=tmp_path / "backup", url=url) for word in command]
    result = run("--permissions-db", "8", *words)
    assert result.exit_code == 0
    assert result.stderr.startswith("There are no permissions in Redis at 127.0.0.1:")
    assert "database 8" in result.stderr
