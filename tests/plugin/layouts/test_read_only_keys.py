"""Users who may write some keys of a source, and only read one: a write is done whole, or not."""

import pytest
import redis
from harness.operations import BEFORE, WRITES, create_sections

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter


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


def refusal(write, adapter):
    try:
        write(adapter)
    except SourceError as error:
        return error
    return None


@pytest.mark.parametrize("name", WRITES)
def test_one_key_that_may_only_be_read(server, admin, options, name):
    raw = admin.db_connection
    before = begin(admin)
    WRITES[name](admin)
    after = stored(raw)
    keys = sorted({*before, *after} | ({b"{tests}:permissions:done:"} if options else set()))
    outcomes = set()
    for read_only in keys:
        assert begin(admin) == before
        rules = [b"%R~" + key if key == read_only else b"~" + key for key in keys]
        try:
            raw.execute_command(
                *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "+@all", *rules)
            )
        except redis.ResponseError:
            pytest.skip("this server has no such rules")
        guest = RedisPermissionAdapter(server.client(username="guest", password="guest"), **options)
        error = refusal(WRITES[name], guest)
        raw.acl_deluser("guest")
        assert stored(raw) == (before if error else after)
        assert error is None or error.written is False
        outcomes.add(error is None)
    assert False in outcomes
