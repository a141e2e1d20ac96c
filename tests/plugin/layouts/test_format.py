"""The format of a source on the indexed layout: set by the first write, and heeded by each."""

import pytest
import redis
from harness import servers
from harness.operations import (
    AFTER,
    ANSWERS,
    BEFORE,
    LOOKUPS,
    REVIEWS,
    WRITES,
    load_scripts,
    restore,
)
from harness.proxy import CUT_REPLY, Proxy

from repoze.what.adapters import AdapterError, ExistingSectionError, SourceError
from repoze.what.plugins.redis import Finding, RedisPermissionAdapter

KEY = "{tests}:permissions:format"
# What a later version may have put there, and what nobody knows.
NEWER = ["2", "10", "1.1", "01", "", "what?\r\n" + "x" * 1000, b"\xff\0"]
TAKE_AWAY = ["delete_section", "exclude_items", "exclude_item", "remove_item"]


@pytest.fixture
def options():
    return {"namespace": "tests"}


@pytest.fixture
def source(server, options):
    source = RedisPermissionAdapter(server.client(), **options)
    restore(source)
    return source


@pytest.fixture
def raw(source):
    return source.db_connection


def stored(raw):
    """All that there is, byte for byte, whatever type it is of."""
    return {key: raw.dump(key) for key in raw.scan_iter()}


@pytest.mark.parametrize("name", WRITES)
def test_each_write_sets_it(source, raw, name):
    raw.delete(KEY)
    WRITES[name](source)
    assert raw.get(KEY) == b"1"
    assert raw.ttl(KEY) == -1
    assert source.get_all_sections() == AFTER[name]
    assert source.check() == []


@pytest.mark.parametrize("name", WRITES)
def test_each_write_leaves_it(source, raw, name):
    WRITES[name](source)
    assert raw.get(KEY) == b"1"
    assert source.get_all_sections() == AFTER[name]


def test_refused_write_does_not_set_it(source, raw):
    raw.delete(KEY)
    for write in (
        lambda: source.create_section("edit"),
        lambda: source.edit_section("none", "new"),
        lambda: source.edit_section("edit", "read"),
        lambda: source.delete_section("none"),
        lambda: source.include_items("edit", ["a", "staff"]),
        lambda: source.exclude_items("edit", ["a", "staff"]),
        lambda: source.set_section_items("none", ["a"]),
        lambda: source.remove_item("a"),
        lambda: source.rename_item("staff", "admins"),
    ):
        with pytest.raises(AdapterError):
            write()
        assert not raw.exists(KEY)


def test_first_write_that_is_refused_does_not_set_it(server, source, raw):
    raw.delete(KEY)
    with pytest.raises(ExistingSectionError):
        RedisPermissionAdapter(server.client(), namespace="tests").create_section("edit")
    assert not raw.exists(KEY)


def check_refusal(error, name, format_shown):
    assert type(error) is SourceError
    assert f"NEWER the source is kept in the format '{format_shown}', which is newer than '1'" in (
        str(error)
    )
    assert "Upgrade repoze.what.plugins.redis." in str(error)
    assert "\n" not in str(error)
    assert ("Nothing was written." in str(error)) == (name in WRITES)
    assert isinstance(error.__cause__, redis.ResponseError)
    # Of a repair, a part may be done.
    assert error.written is (None if name == "repair" else False)


@pytest.mark.parametrize("name", WRITES | REVIEWS)
@pytest.mark.parametrize("is_first", [False, True])
def test_newer_format_is_refused(server, source, raw, name, is_first):
    """By an adapter that knows of an earlier write, and by one that has yet to ask for one."""
    adapter = source
    if is_first:
        adapter = RedisPermissionAdapter(server.client(), namespace="tests")
    raw.srem("{tests}:permissions:item:staff", "edit")
    raw.set(KEY, "2")
    before = stored(raw)
    for _ in range(2):
        with pytest.raises(SourceError) as raised:
            (WRITES | REVIEWS)[name](adapter)
        check_refusal(raised.value, name, "2")
        assert stored(raw) == before


@pytest.mark.parametrize("newer", NEWER)
def test_format_that_nobody_knows(source, raw, newer):
    raw.set(KEY, newer)
    before = stored(raw)
    shown = {"01": "01", "": "", b"\xff\0": "??"}.get(newer, newer)
    if len(shown) > 20:
        shown = "what???xxxxxxxxxxxxx"
    for name in ("create_section", "remove_item", "check", "repair"):
        with pytest.raises(SourceError) as raised:
            (WRITES | REVIEWS)[name](source)
        check_refusal(raised.value, name, shown)
    assert stored(raw) == before


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookups_do_not_look_at_it(source, raw, name):
    raw.set(KEY, "2")
    assert LOOKUPS[name](source) == ANSWERS[name]


@pytest.mark.parametrize("name", WRITES)
def test_format_of_another_type(source, raw, name):
    raw.delete(KEY)
    raw.sadd(KEY, "1")
    before = stored(raw)
    with pytest.raises(SourceError, match=r"WRONGTYPE.*check\(\) finds it.*Nothing was wr") as err:
        WRITES[name](source)
    assert err.value.written is False
    with pytest.raises(SourceError, match="WRONGTYPE"):
        source.repair()
    assert stored(raw) == before
    assert source.check() == [Finding("not a set", KEY, "")]


@pytest.mark.parametrize("name", TAKE_AWAY)
def test_rights_are_taken_away_where_memory_is_out(source, raw, name):
    """Also by the first write, which sets the format."""
    raw.delete(KEY)
    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(SourceError, match="maxmemory"):
            source.create_section("new")
        assert not raw.exists(KEY)
        WRITES[name](source)
    finally:
        raw.config_set("maxmemory", 0)
    assert raw.get(KEY) == b"1"
    assert source.get_all_sections() == AFTER[name]


@pytest.mark.parametrize("name", ["create_section", "delete_section", "set_section_items"])
def test_user_who_may_not_set_it(server, source, raw, name):
    """Or whose rules in the server's ACL are those of an earlier version."""
    client = server.client()
    raw.delete(KEY)
    for command in ("get", "set"):
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}")
        )
        try:
            guest = RedisPermissionAdapter(
                server.client(username="guest", password="guest"), namespace="tests"
            )
            before = stored(raw)
            with pytest.raises(SourceError, match=r"server's ACL.* Nothing was written") as raised:
                WRITES[name](guest)
        finally:
            client.execute_command("ACL", "DELUSER", "guest")
        assert raised.value.written is False
        assert stored(raw) == before


def test_write_that_was_done_before_the_format_went_up_is_answered(server, source, raw):
    """By the answer of the first time; one that was not done has an unknown outcome."""
    with Proxy(server.port) as proxy:
        client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
        adapter = RedisPermissionAdapter(client, namespace="tests")
        load_scripts(adapter)
        restore(adapter)
        proxy.meanwhile = lambda: raw.set(KEY, "2")
        proxy.arm(CUT_REPLY)
        assert adapter.remove_item("staff") == {"edit"}
    assert source.get_all_sections() == AFTER["remove_item"]


def test_formats_of_two_kinds_are_apart(server, source, raw):
    raw.set("{tests}:groups:format", "2")
    source.create_section("new")
    assert source.get_all_sections() == {**BEFORE, "new": set()}
