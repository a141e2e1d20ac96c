import pytest

from repoze.what.plugins.redis.demo import DemoError
from repoze.what.plugins.redis.demo.people import GROUPS, PASSWORDS, PERMISSIONS, fill


def everything(adapter):
    database = adapter.db_connection
    return {key: (database.type(key), database.dump(key)) for key in database.scan_iter()}


def test_empty_databases_are_filled(groups, permissions):
    fill(groups, permissions)
    assert groups.get_all_sections() == GROUPS
    assert permissions.get_all_sections() == PERMISSIONS


def test_the_newspaper_is_consistent():
    assert set().union(*GROUPS.values()) <= PASSWORDS.keys()
    assert set().union(*PERMISSIONS.values()) <= GROUPS.keys()


def test_what_an_earlier_run_left_is_kept_and_completed(groups, permissions):
    fill(groups, permissions)
    groups.include_item("editors", "kim")
    permissions.exclude_item("publish", "editors")
    groups.delete_section("writers")
    fill(groups, permissions)
    assert groups.get_all_sections() == {**GROUPS, "editors": {"rosa", "kim"}}
    assert permissions.get_all_sections() == {**PERMISSIONS, "publish": set()}


@pytest.mark.parametrize(
    ("database", "command", "named"),
    [
        (1, ("SADD", "staff", "rosa"), "Database 1 .*'staff'"),
        (1, ("SADD", "editors", "somebody"), "Database 1 .*'somebody'"),
        (1, ("SET", "editors", "text"), "Database 1 .*1 keys"),
        (2, ("SADD", "fire", "editors"), "Database 2 .*'fire'"),
        (2, ("SADD", "publish", "rosa"), "Database 2 .*'rosa'"),
        (2, ("LPUSH", "queue", "job"), "Database 2 .*1 keys"),
    ],
)
def test_databases_with_anything_else_are_left_alone(database, command, named, groups, permissions):
    adapter = {1: groups, 2: permissions}[database]
    adapter.db_connection.execute_command(*command)
    before = everything(groups), everything(permissions)
    with pytest.raises(DemoError, match=named):
        fill(groups, permissions)
    assert (everything(groups), everything(permissions)) == before
