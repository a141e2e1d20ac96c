"""The plugin of 2009 stored each section as a set, and an empty one as ``{''}``."""

import pytest

from repoze.what.plugins.redis import RedisGroupAdapter


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


def test_old_data_is_read(groups):
    lay_down(groups.db_connection, SECTIONS)
    assert groups.get_all_sections() == SECTIONS
    for section, items in SECTIONS.items():
        assert groups.get_section_items(section) == items
        for item in items:
            assert groups.find_sections({"repoze.what.userid": item}) == {section}
    assert groups.find_sections({"repoze.what.userid": ""}) == set()


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
        (
            lambda a: a.edit_section("empty", "bare"),
            {**{k: v for k, v in SECTIONS.items() if k != "empty"}, "bare": set()},
        ),
    ],
)
def test_old_reader_sees_what_we_write(groups, write, after):
    lay_down(groups.db_connection, SECTIONS)
    write(groups)
    assert old_reader(groups.db_connection) == groups.get_all_sections() == after


def test_mark_beside_items_is_no_item(groups):
    """As left by a raw SADD to an empty section."""
    groups.db_connection.sadd("admins", "", "rms")
    assert groups.get_all_sections() == {"admins": {"rms"}}
    groups.exclude_item("admins", "rms")
    assert groups.db_connection.smembers("admins") == {b""}


def test_raw_commands_take_effect_at_once(client):
    groups = RedisGroupAdapter(client)
    rms = {"repoze.what.userid": "rms"}
    groups.db_connection.sadd("admins", "rms")
    assert groups.find_sections(rms) == {"admins"}
    groups.db_connection.srem("admins", "rms")
    assert groups.find_sections(rms) == set()
