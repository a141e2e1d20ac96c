"""The commands ``users ...``."""

import json

import pytest

from repoze.what.plugins.redis import RedisGroupAdapter

pytestmark = pytest.mark.usefixtures("url", "staff")

GOES = "The user 'rosa' goes, from 2 groups: 'editors', 'writers'\n"


def test_rename(done, groups):
    assert done("users", "rename", "rosa", "rose") == (
        "Groups of 'rose' now: 'editors', 'writers'\n"
    )
    assert groups.get_all_sections() == {
        "editors": {"ben", "rose"},
        "interns": set(),
        "writers": {"rose"},
    }
    assert groups.check() == []


def test_rename_to_somebody_else(refused, groups):
    before = groups.get_all_sections()
    assert "'ben'" in refused("users", "rename", "rosa", "ben")
    assert "'rosa'" in refused("users", "rename", "ben", "rosa")
    assert groups.get_all_sections() == before


def test_rename_nobody(refused):
    assert "'ghost'" in refused("users", "rename", "ghost", "rose")


def test_delete(run, groups, permissions):
    granted = permissions.get_all_sections()
    result = run("users", "delete", "rosa", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", GOES)
    assert groups.get_all_sections() == {"editors": {"ben"}, "interns": set(), "writers": set()}
    assert groups.check() == []
    assert permissions.get_all_sections() == granted


def test_delete_with_nobody_to_ask(run, groups):
    before = groups.get_all_sections()
    result = run("users", "delete", "rosa")
    assert result.exit_code == 2
    assert result.stderr == (
        f"{GOES}Error: Nothing was done: there is nobody to ask. Say --yes if you want it.\n"
    )
    assert groups.get_all_sections() == before


def test_delete_nobody(refused):
    assert refused("users", "delete", "ghost", "--yes") == (
        "Error: The user 'ghost' is in no group.\n"
    )


def test_delete_when_somebody_else_does_it_first(run, groups, monkeypatch):
    remove_item = RedisGroupAdapter.remove_item

    def remove_item_too_late(adapter, item):
        remove_item(groups, item)
        return remove_item(adapter, item)

    monkeypatch.setattr(RedisGroupAdapter, "remove_item", remove_item_too_late)
    result = run("users", "delete", "rosa", "--yes")
    assert (result.exit_code, result.stderr) == (0, GOES)
    assert groups.find_sections({"repoze.what.userid": "rosa"}) == set()


def test_list(done, staff):
    assert done("users", "list") == "ben\nrosa\n"
    assert json.loads(done("users", "list", "--json")) == ["ben", "rosa"]
