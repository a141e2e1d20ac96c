"""The plain layout: each section a set, an empty one ``{''}``, as the plugin of 2009 had them."""

import pytest
import redis

from repoze.what.adapters import NonExistingSectionError, SourceError


def lay_down(client, sections):
    """Store *sections* as the old plugin did."""
    for section, items in sections.items():
        client.sadd(section, *(items or {""}))


def old_reader(client):
    """Return the sections as the old plugin read them: all keys, all members of each."""
    found = {}
    for key in client.keys("*"):
        members = {member.decode() for member in client.smembers(key)}
        found[key.decode()] = set() if members == {""} else members
    return found


SECTIONS = {"admins": {"rms", "7"}, "trolls": {"sballmer"}, "empty": set(), "naïve ☂": {"é"}}


def test_old_data_is_read(plain_groups):
    lay_down(plain_groups.db_connection, SECTIONS)
    assert plain_groups.get_all_sections() == SECTIONS
    for section, items in SECTIONS.items():
        assert plain_groups.get_section_items(section) == items
        for item in items:
            assert plain_groups.find_sections({"repoze.what.userid": item}) == {section}
    assert plain_groups.find_sections({"repoze.what.userid": ""}) == set()


@pytest.mark.parametrize(
    ("write", "after"),
    [
        (lambda a: a.create_section("new"), {**SECTIONS, "new": set()}),
        (lambda a: a.include_item("empty", "x"), {**SECTIONS, "empty": {"x"}}),
        (
            lambda a: a.include_items("admins", ["x", "y"]),
            {**SECTIONS, "admins": {*SECTIONS["admins"], "x", "y"}},
        ),
        (lambda a: a.exclude_item("trolls", "sballmer"), {**SECTIONS, "trolls": set()}),
        (lambda a: a.exclude_items("admins", ["rms"]), {**SECTIONS, "admins": {"7"}}),
        (lambda a: a.set_section_items("admins", []), {**SECTIONS, "admins": set()}),
        (lambda a: a.set_section_items("empty", ["z"]), {**SECTIONS, "empty": {"z"}}),
        (lambda a: a.delete_section("empty"), {k: v for k, v in SECTIONS.items() if k != "empty"}),
        (lambda a: a.remove_item("sballmer"), {**SECTIONS, "trolls": set()}),
        (lambda a: a.rename_item("rms", "ada"), {**SECTIONS, "admins": {"ada", "7"}}),
        (
            lambda a: a.edit_section("empty", "bare"),
            {**{k: v for k, v in SECTIONS.items() if k != "empty"}, "bare": set()},
        ),
    ],
)
def test_old_reader_sees_what_we_write(plain_groups, write, after):
    lay_down(plain_groups.db_connection, SECTIONS)
    write(plain_groups)
    assert old_reader(plain_groups.db_connection) == plain_groups.get_all_sections() == after


def test_mark_beside_items_is_no_item(plain_groups):
    """As left by a raw SADD to an empty section."""
    plain_groups.db_connection.sadd("admins", "", "rms")
    assert plain_groups.get_all_sections() == {"admins": {"rms"}}
    plain_groups.exclude_item("admins", "rms")
    assert plain_groups.db_connection.smembers("admins") == {b""}


def test_raw_commands_take_effect_at_once(plain_groups):
    rms = {"repoze.what.userid": "rms"}
    plain_groups.db_connection.sadd("admins", "rms")
    assert plain_groups.find_sections(rms) == {"admins"}
    plain_groups.db_connection.srem("admins", "rms")
    assert plain_groups.find_sections(rms) == set()


def test_set_without_a_name_is_no_section(plain_groups):
    plain_groups.db_connection.sadd("", "rms")
    plain_groups.db_connection.sadd("admins", "rms")
    assert plain_groups.get_all_sections() == {"admins": {"rms"}}
    assert plain_groups.find_sections({"repoze.what.userid": "rms"}) == {"admins"}
    assert plain_groups.rename_item("rms", "ada") == {"admins"}
    assert plain_groups.remove_item("ada") == {"admins"}
    assert plain_groups.db_connection.smembers("") == {b"rms"}


def credentials(userid):
    return {"repoze.what.userid": userid}


class TestKeysOfOtherTypes:
    @pytest.fixture(autouse=True)
    def neighbours(self, plain_groups):
        client = plain_groups.db_connection
        client.set("string", "rms")
        client.rpush("list", "rms")
        client.hset("hash", "rms", "rms")
        client.zadd("sorted set", {"rms": 1})
        plain_groups.create_section("admins")
        plain_groups.include_item("admins", "rms")

    def test_they_break_no_lookup(self, plain_groups):
        assert plain_groups.get_all_sections() == {"admins": {"rms"}}
        assert plain_groups.find_sections(credentials("rms")) == {"admins"}

    @pytest.mark.parametrize("key", ["string", "list", "hash", "sorted set"])
    @pytest.mark.parametrize(
        "operation",
        [
            lambda adapter, key: adapter.get_section_items(key),
            lambda adapter, key: adapter.edit_section(key, "new"),
            lambda adapter, key: adapter.delete_section(key),
            lambda adapter, key: adapter.include_item(key, "ada"),
            lambda adapter, key: adapter.exclude_item(key, "rms"),
            lambda adapter, key: adapter.set_section_items(key, ["ada"]),
        ],
    )
    def test_they_are_no_sections(self, plain_groups, operation, key):
        dump = plain_groups.db_connection.dump(key)
        with pytest.raises(NonExistingSectionError, match=rf"'{key}'.* holds a .*, not a set"):
            operation(plain_groups, key)
        assert plain_groups.db_connection.dump(key) == dump
        assert not plain_groups._section_exists(key)
        assert not plain_groups._item_is_included(key, "rms")

    @pytest.mark.parametrize("key", ["string", "list", "hash", "sorted set"])
    @pytest.mark.parametrize(
        "operation",
        [
            lambda adapter, key: adapter.create_section(key),
            lambda adapter, key: adapter.edit_section("admins", key),
        ],
    )
    def test_their_names_are_taken(self, plain_groups, operation, key):
        dump = plain_groups.db_connection.dump(key)
        with pytest.raises(SourceError, match=rf"{key}.*Rename or remove that key") as raised:
            operation(plain_groups, key)
        assert isinstance(raised.value.__cause__, redis.ResponseError)
        assert plain_groups.db_connection.dump(key) == dump
        assert plain_groups.get_all_sections() == {"admins": {"rms"}}
