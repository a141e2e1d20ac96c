"""The commands ``check`` and ``repair``."""

import json

import pytest
import redis

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

FOUND = "groups: 'mallory' is found in section 'editors', but not in it. repair() mends it.\n"
NOT_REPAIRED = (
    "groups: There are items of 'ghosts', but no such section. Add the name to the set of section "
    "names and call repair(), or delete the key of its items.\n"
)


@pytest.fixture
def query():
    return "?namespace=tests"


@pytest.fixture
def tampered(staff, groups):
    groups.db_connection.sadd("{tests}:groups:item:mallory", "editors")


def test_all_is_well(done, staff):
    assert done("check") == ""
    assert done("repair") == ""
    assert done("check", "--json") == "[]\n"
    assert json.loads(done("repair", "--json")) == {"repaired": [], "left": []}


def test_check(run, tampered):
    result = run("check")
    assert (result.exit_code, result.stdout, result.stderr) == (1, FOUND, "")
    result = run("check", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "source": "groups",
            "problem": "only indexed",
            "section": "editors",
            "item": "mallory",
        }
    ]


def test_repair(run, tampered, groups, done):
    result = run("repair", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (
        1,
        "1 repaired, 0 left to you.\n",
        FOUND,
    )
    assert groups.check() == []
    assert done("repair") == ""


def test_what_cannot_be_repaired(run, staff, permissions, groups):
    groups.db_connection.sadd("{tests}:groups:section:ghosts", "boo")
    permissions.db_connection.sadd("{tests}:permissions:item:writers", "publish")
    result = run("repair", "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "repaired": [
            {
                "source": "permissions",
                "problem": "only indexed",
                "section": "publish",
                "item": "writers",
            }
        ],
        "left": [
            {"source": "groups", "problem": "no such section", "section": "ghosts", "item": ""}
        ],
    }
    result = run("repair", "--yes")
    assert (result.exit_code, result.stdout) == (1, f"0 repaired, 1 left to you.\n{NOT_REPAIRED}")


def test_names_that_cannot_be_read(run, staff, permissions):
    raw = permissions.db_connection
    raw.delete("{tests}:permissions:sections")
    raw.rpush("{tests}:permissions:sections", "publish")
    for command in (("check",), ("repair", "--yes")):
        result = run(*command)
        assert result.exit_code == 1
        assert "is of another type than belongs there" in result.stdout


def test_permission_that_cannot_be_read(run, staff, permissions):
    """What it says of the rest, it says all the same."""
    permissions.db_connection.set("{tests}:permissions:section:publish", "x")
    result = run("check")
    assert (result.exit_code, result.stderr) == (1, "")
    assert "is of another type than belongs there" in result.stdout


@pytest.mark.parametrize(
    ("error", "is_tampered"), [(SourceUnavailable, True), (SourceError, False)]
)
def test_permissions_that_cannot_be_read(run, staff, groups, *, monkeypatch, error, is_tampered):
    if is_tampered:
        groups.db_connection.sadd("{tests}:groups:item:mallory", "editors")

    def fail(*_):
        raise error("The server is gone.")

    monkeypatch.setattr(RedisPermissionAdapter, "get_many_section_items", fail)
    result = run("check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: The server is gone.\n"


def test_repair_with_nobody_to_ask(run, tampered, groups):
    result = run("repair")
    assert result.exit_code == 2
    assert result.stderr.startswith(FOUND)
    assert groups.find_sections({"repoze.what.userid": "mallory"}) == {"editors"}


def test_plain_layout(run, address):
    url = ("--url", address)
    run(*url, "groups", "create", "editors")
    run(*url, "groups", "add", "editors", "rosa")
    redis.Redis.from_url(address, db=1).sadd("editors", "")
    found = "groups: Section 'editors' has items and the mark of an empty section."
    assert run(*url, "check").stdout.startswith(found)
    assert run(*url, "repair", "--yes").stdout == "1 repaired, 0 left to you.\n"
    assert run(*url, "check").exit_code == 0
