"""The commands ``who`` and ``can``."""

import json

import pytest

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
    }


def test_who_is_nobody(done):
    assert done("who", "kim") == "groups:\n  (none)\npermissions:\n  (none)\n"
    assert json.loads(done("who", "", "--json")) == {"user": "", "groups": [], "permissions": {}}


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


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_such_permission(run, options):
    """It is no refusal: somebody asks for the wrong name."""
    for permission, described in (("fly", "'fly'"), ("", "''")):
        result = run("can", "rosa", permission, *options)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == f"Error: There is no permission {described}.\n"
    assert run("can", "kim", "fly").exit_code == 3


@pytest.mark.parametrize(
    "command",
    [
        ("who", "rosa"),
        ("can", "rosa", "write"),
        ("groups", "list"),
        ("permissions", "list"),
        ("check",),
        ("repair", "--yes"),
        ("export", "json", "{path}"),
        ("export", "ini", "--groups", "{path}"),
        ("export", "xml", "--permissions", "{path}"),
        ("copy", "redis://127.0.0.1:1"),
    ],
)
def test_nothing_is_there(run, tmp_path, command, address):
    """A namespace or a database that is mistyped is neither an answer nor an empty backup."""
    path = tmp_path / "backup"
    words = [word.format(path=path) for word in command]
    result = run(*words, "--url", f"{address}?namespace=test")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: There are neither groups nor permissions in Redis ")
    assert "namespace 'test'. Is that where the application has them?\n" in result.stderr
    # After copy, they say where the target lies.
    databases = ("--groups-db", "7", "--permissions-db", "8")
    result = run("--url", address, *databases, *words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "database 7 and Redis " in result.stderr
    assert not path.exists()


def test_only_one_kind_is_there(done, run, groups, permissions):
    for group in groups.get_section_names():
        groups.delete_section(group)
    assert done("groups", "list", "--json") == "[]\n"
    assert done("who", "rosa", "--json").startswith('{"user": "rosa", "groups": []')
    assert run("can", "rosa", "write").exit_code == 1
    assert done("permissions", "list") == "publish\nsell\nwrite\n"
