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
    [("rosa", "sell"), ("rosa", "fly"), ("kim", "write"), ("", "write"), ("rosa", "")],
)
def test_no(run, user, permission):
    result = run("can", user, permission)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "no\n", "")
    result = run("can", user, permission, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["allowed"] is False
