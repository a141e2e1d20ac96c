"""The command ``copy``."""

import json

import pytest
import redis

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "interns": set()}
PERMISSIONS = {"publish": {"editors"}, "write": {"editors", "writers"}, "sell": set()}


@pytest.fixture
def target(address):
    return f"{address}?namespace=target&db=5"


@pytest.fixture
def target_groups(target):
    return RedisGroupAdapter.from_url(target)


@pytest.fixture
def target_permissions(target):
    return RedisPermissionAdapter.from_url(target)


def test_copy(done, staff, target, target_groups, target_permissions):
    assert done("copy", target) == "groups: 3 copied\npermissions: 3 copied\n"
    assert target_groups.get_all_sections() == GROUPS
    assert target_permissions.get_all_sections() == PERMISSIONS
    assert target_groups.check() == target_permissions.check() == []
    assert json.loads(done("copy", target, "--json")) == {"groups": 3, "permissions": 3}


def test_where_it_goes(done, staff, address):
    done("copy", address, "--groups-db", "6", "--permissions-db", "7")
    done("copy", address, "--db", "8", "--namespace", "target")
    assert redis.Redis.from_url(address, db=6).smembers("writers") == {b"rosa"}
    assert redis.Redis.from_url(address, db=7).smembers("publish") == {b"editors"}
    assert redis.Redis.from_url(address, db=8).scard("{target}:groups:sections") == 3


def test_where_it_goes_by_the_environment(done, staff, target, target_groups, monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_REDIS_TO_URL", target)
    assert done("copy") == "groups: 3 copied\npermissions: 3 copied\n"
    assert target_groups.get_all_sections() == GROUPS


def test_copy_completes(done, staff, target, target_groups):
    target_groups.create_section("editors")
    target_groups.include_items("editors", ["rosa"])
    target_groups.create_section("sellers")
    done("copy", target)
    assert target_groups.get_all_sections() == {**GROUPS, "sellers": set()}


def test_conflict(refused, staff, target, target_groups, target_permissions):
    target_groups.create_section("editors")
    target_groups.include_items("editors", ["mina"])
    assert "2 of 3 sections are copied" in refused("copy", target)
    assert target_groups.get_section_items("editors") == {"mina"}
    assert target_permissions.get_all_sections() == {}


def test_new_group_does_not_inherit(run, staff, target, target_groups, target_permissions):
    target_permissions.create_section("publish")
    target_permissions.include_items("publish", ["editors", "writers"])
    result = run("copy", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "groups: 'writers' is not there, but permissions for that name are: 'publish'\n"
        "Error: Nothing was written. Revoke them there first.\n"
    )
    assert target_groups.get_all_sections() == {}


def test_new_group_where_the_target_has_no_permissions(run, staff, target, target_groups):
    target_groups.create_section("theirs")
    result = run("copy", target, "--permissions-db", "9")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: There are no permissions in Redis at 127.0.0.1:")
    assert target_groups.get_section_names() == {"theirs"}


def test_new_group_whose_renaming_was_interrupted(
    refused, staff, target, target_groups, target_permissions
):
    target_permissions.create_section("publish")
    target_permissions.include_item("publish", "'editors' -> 'redaction' (being renamed)")
    assert refused("copy", target).startswith("Error: Kept for ")
    assert target_groups.get_section_names() == set()


@pytest.mark.parametrize("kind", ["groups", "permissions"])
@pytest.mark.parametrize("number", ["1", "2"])
def test_copy_into_a_database_of_the_other_layout(refused, staff, url, kind, number):
    """The keys of the one would be sections of the other, be it a source of the other kind."""
    layout = [] if "namespace" in url else ["--namespace", "target"]
    elsewhere = {"groups": "--permissions-db", "permissions": "--groups-db"}[kind]
    address = url.partition("?")[0]
    line = refused("copy", address, f"--{kind}-db", number, elsewhere, "9", *layout)
    assert f"database {number}. Without a namespace, each set there is a" in line
    assert redis.Redis.from_url(address, db=9).dbsize() == 0


def test_wrong_target(refused, staff):
    assert "TO_URL has to begin with redis://" in refused("copy", "localhost")
