"""Users who may do less with one key than with others: a write is done whole, or not at all."""

import re

import pytest
from harness import servers
from harness.operations import BEFORE, WRITES, create_sections

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.renaming import name_while_renamed

# What a renaming in steps begins with takes down a name, in one key more.
WRITES = {
    **WRITES,
    "set_aside": lambda adapter: adapter.rename_item("staff", name_while_renamed("staff", "team")),
}


@pytest.fixture
def admin(server, options):
    return RedisPermissionAdapter(server.client(), **options)


def stored(raw):
    """The members of each set, and whether the others are there."""
    return {
        key: frozenset(raw.smembers(key)) if raw.type(key) == b"set" else None
        for key in raw.scan_iter()
    }


def begin(admin):
    admin.db_connection.flushdb()
    create_sections(admin, BEFORE)
    admin.include_item("read", "staff")
    return stored(admin.db_connection)


def pattern(key):
    """Return one that this key alone matches: a rule has no blanks, and a selector no brackets."""
    return re.sub(r"[^\w{}:]", "?", key.decode())


def refusal(write, adapter):
    try:
        write(adapter)
    except SourceError as error:
        return error
    return None


def try_as_guest(server, admin, options, write, rules):
    """Do it with these *rules* of the ACL, and return whether that is refused."""
    before = begin(admin)
    write(admin)
    after = stored(admin.db_connection)
    begin(admin)
    login = ("ACL", "SETUSER", "guest", "reset", "on", ">guest", "+@all")
    admin.db_connection.execute_command(*login, *rules)
    guest = RedisPermissionAdapter(server.client(username="guest", password="guest"), **options)
    error = refusal(write, guest)
    admin.db_connection.acl_deluser("guest")
    assert stored(admin.db_connection) == (before if error else after)
    assert error is None or error.written is False
    return error is not None


def keys_of(admin, options, write):
    """Those that are there before or afterwards, and those that are asked for all the same."""
    before = begin(admin)
    write(admin)
    asked_for = {b"{tests}:permissions:done:", b"{tests}:permissions:done"} if options else set()
    return sorted({*before, *stored(admin.db_connection)} | asked_for)


@pytest.fixture
def tells_keys_apart(executable):
    if "redis-6" in servers.version(executable):
        pytest.skip("this server has no such rules")


@pytest.mark.usefixtures("tells_keys_apart")
@pytest.mark.parametrize("name", WRITES)
class TestOneKey:
    def test_that_may_only_be_read(self, server, admin, options, name):
        write = WRITES[name]
        keys = keys_of(admin, options, write)
        refused = set()
        for read_only in keys:
            rules = [("%R~" if key == read_only else "~") + pattern(key) for key in keys]
            refused.add(try_as_guest(server, admin, options, write, rules))
        assert True in refused

    @pytest.mark.parametrize(
        "command", ["sadd", "srem", "scard", "smembers", "set", "zadd", "xadd"]
    )
    def test_that_one_command_may_not_be_used_on(self, server, admin, options, name, command):
        """It is permitted by a selector, on the others alone."""
        write = WRITES[name]
        keys = keys_of(admin, options, write)
        for key in keys:
            others = " ".join(f"~{pattern(each)}" for each in keys if each != key)
            rules = ("allkeys", f"-{command}", f"(+{command} {others})")
            try_as_guest(server, admin, options, write, rules)


PLACES = {"one database": (3, 3), "two databases": (1, 2)}
CHANGES = {
    "rename_group": lambda pair: pair.rename_group("staff", "new"),
    "delete_group": lambda pair: pair.delete_group("staff"),
}


@pytest.mark.usefixtures("tells_keys_apart")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("command", ["sadd", "srem", "set", "zadd", "xadd"])
def test_one_key_of_two_sources(server, name, place, command):
    raws = [server.client(db=db) for db in sorted({*PLACES[place]})]

    def connect(client):
        groups_db, permissions_db = PLACES[place]
        return Adapters(
            RedisGroupAdapter(client, groups_db, namespace="tests"),
            RedisPermissionAdapter(client, permissions_db, namespace="tests"),
        )

    def begin_pair():
        server.empty()
        pair = connect(server.client())
        create_sections(pair.groups, {"staff": {"rosa"}, "others": {"rosa"}})
        create_sections(pair.permissions, {"edit": {"staff"}, "read": {"staff", "others"}})
        return pair

    def stored_in_both():
        return [stored(raw) for raw in raws]

    pair = begin_pair()
    before = stored_in_both()
    CHANGES[name](pair)
    after = stored_in_both()
    keys = {key for each in (*before, *after) for key in each}
    keys |= {b"{tests}:groups:done:", b"{tests}:permissions:done:"}
    refused = set()
    for key in keys:
        begin_pair()
        others = " ".join(f"~{pattern(each)}" for each in keys if each != key)
        rules = ("allkeys", "+@all", f"-{command}", f"(+{command} {others})")
        raws[0].execute_command("ACL", "SETUSER", "guest", "reset", "on", ">guest", *rules)
        guest = connect(server.client(username="guest", password="guest"))
        error = refusal(CHANGES[name], guest)
        raws[0].acl_deluser("guest")
        assert stored_in_both() == (before if error else after)
        assert error is None or error.written is False
        refused.add(error is not None)
    # Each format is there already.
    assert (True in refused) == (command != "set")
