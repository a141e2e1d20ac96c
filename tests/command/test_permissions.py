"""The commands ``permissions ...``."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("staff")


def test_list(done):
    assert done("permissions", "list") == "publish\nsell\nwrite\n"
    assert json.loads(done("permissions", "list", "--json")) == ["publish", "sell", "write"]


def test_show(done):
    assert done("permissions", "show", "write") == "groups:\n  editors\n  writers\n"
    assert done("permissions", "show", "sell") == "groups:\n  (none)\n"
    assert json.loads(done("permissions", "show", "write", "--json")) == {
        "permission": "write",
        "groups": ["editors", "writers"],
        "until": {"groups": {}},
    }


def test_create(done, refused, permissions):
    assert done("permissions", "create", "print") == ""
    assert permissions.get_section_items("print") == set()
    assert "already" in refused("permissions", "create", "print")


def test_rename(done, refused, permissions):
    assert done("permissions", "rename", "write", "compose") == ""
    assert permissions.get_section_items("compose") == {"editors", "writers"}
    assert "already" in refused("permissions", "rename", "compose", "sell")


def test_delete(run, permissions):
    result = run("permissions", "delete", "write", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "",
        "The permission 'write' goes, from 2 groups: 'editors', 'writers'\n",
    )
    result = run("permissions", "delete", "sell", "--yes")
    assert result.stderr == "The permission 'sell' goes, from 0 groups.\n"
    assert permissions.get_all_sections() == {"publish": {"editors"}}


def test_delete_with_nobody_to_ask(run, permissions):
    result = run("permissions", "delete", "write")
    assert result.exit_code == 2
    assert "there is nobody to ask" in result.stderr
    assert "write" in permissions.get_all_sections()


def test_grant_and_revoke(done, permissions):
    assert done("permissions", "grant", "sell", "writers", "interns") == ""
    assert permissions.get_section_items("sell") == {"writers", "interns"}
    assert done("permissions", "revoke", "sell", "writers", "interns") == ""
    assert permissions.get_section_items("sell") == set()


def test_grant_and_revoke_all_or_none(refused, permissions):
    assert "already" in refused("permissions", "grant", "publish", "writers", "editors")
    assert "does not have" in refused("permissions", "revoke", "publish", "writers", "editors")
    assert permissions.get_section_items("publish") == {"editors"}


def test_grant_of_no_permission(refused):
    assert "There is no section 'fly'" in refused("permissions", "grant", "fly", "writers")


def test_grant_to_no_group(done, refused, permissions):
    assert refused("permissions", "grant", "sell", "writers", "writer") == (
        "Error: There is no group of that name: 'writer'. Whoever makes one would have the "
        "permission. Make it first, or say --unknown-groups.\n"
    )
    assert permissions.get_section_items("sell") == set()
    done("permissions", "grant", "sell", "writer", "--unknown-groups")
    assert permissions.get_section_items("sell") == {"writer"}
