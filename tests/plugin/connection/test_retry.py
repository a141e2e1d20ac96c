"""What becomes of a question when its connection fails, at each point where it may."""

import time
from queue import Empty
from ssl import SSLError

import pytest
import redis
import servers
from operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, load_scripts, restore
from proxy import CUT_REPLY, CUT_REQUEST, RESET_REQUEST, Action, Fault, Point, Proxy
from virtual_time import VirtualTime

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.connection import database
from repoze.what.plugins.redis.layouts.indexed import IndexedLayout


@pytest.fixture
def proxied(server, options):
    """A proxy, and an adapter that has a connection through it and its scripts loaded."""
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port, socket_timeout=30)
        adapter = RedisPermissionAdapter(client, **options)
        fill(client, **options)
        load_scripts(adapter)
        server.client().flushall()
        fill(client, **options)
        yield proxy, adapter


@pytest.fixture
def source(server, options):
    """The source, past the proxy."""
    return RedisPermissionAdapter(server.client(), **options)


on_plain_layout = pytest.mark.parametrize("options", [{}], ids=["plain"])
on_indexed_layout = pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
def test_lookup_is_asked_again(proxied, name, fault):
    proxy, adapter = proxied
    proxy.arm(fault)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@pytest.mark.parametrize("handled", [IndexError, Empty, SSLError, redis.exceptions.ReadOnlyError])
def test_lookup_in_the_handler_of_an_error(proxied, handled):
    """Of one that redis-py's own errors arise from where they say something else."""
    proxy, adapter = proxied
    lookup, answer = LOOKUPS["find_sections"], ANSWERS["find_sections"]
    try:
        raise handled  # noqa: TRY301 - a lookup in its handler is what this is about
    except handled:
        proxy.arm(CUT_REPLY)
        assert lookup(adapter) == answer
        proxy.arm(CUT_REPLY, CUT_REPLY)
        with pytest.raises(SourceUnavailable, match="Is it running") as raised:
            lookup(adapter)
    assert isinstance(raised.value.__context__, handled)


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_is_asked_twice_at_most(proxied, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY, CUT_REPLY)
    with proxy.counted(2), pytest.raises(SourceUnavailable):
        LOOKUPS[name](adapter)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@on_plain_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_whose_reply_is_lost_has_an_unknown_outcome(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY)
    with proxy.counted(1), pytest.raises(SourceUnavailable, match="outcome is unknown") as raised:
        WRITES[name](adapter)
    assert isinstance(raised.value.__cause__, redis.ConnectionError)
    assert source.get_all_sections() == AFTER[name]


@on_plain_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_whose_request_is_lost_is_not_done(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REQUEST)
    with pytest.raises(SourceUnavailable, match="outcome is unknown"):
        WRITES[name](adapter)
    assert source.get_all_sections() == BEFORE
    WRITES[name](adapter)
    assert source.get_all_sections() == AFTER[name]


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
def test_write_takes_effect_once(proxied, source, name, fault):
    proxy, adapter = proxied
    proxy.arm(fault)
    answer = WRITES[name](adapter)
    assert answer == ({"edit"} if name in {"remove_item", "rename_item"} else None)
    assert source.get_all_sections() == AFTER[name]


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_that_was_undone_is_not_done_again(proxied, source, name):
    proxy, adapter = proxied
    proxy.meanwhile = lambda: restore(source)
    proxy.arm(CUT_REPLY)
    with proxy.counted(2):
        WRITES[name](adapter)
    assert source.get_all_sections() == BEFORE


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_is_sent_twice_at_most(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY, CUT_REPLY, CUT_REPLY)
    with proxy.counted(2), pytest.raises(SourceUnavailable, match="outcome is unknown"):
        WRITES[name](adapter)
    assert source.get_all_sections() == AFTER[name]


@on_indexed_layout
def test_write_is_not_sent_again_when_its_token_may_be_gone(proxied, source, monkeypatch):
    proxy, adapter = proxied
    monkeypatch.setattr(IndexedLayout, "_SECONDS_TO_REPEAT_A_WRITE", 0)
    proxy.arm(CUT_REPLY)
    with proxy.counted(1), pytest.raises(SourceUnavailable, match="outcome is unknown"):
        adapter.create_section("new")
    assert source.get_all_sections() == {**BEFORE, "new": set()}


@on_indexed_layout
def test_write_is_not_sent_again_when_connecting_took_too_long(proxied, source, monkeypatch):
    proxy, adapter = proxied
    passed = VirtualTime(proxy.holds)
    monkeypatch.setattr(database, "monotonic", lambda: passed.now)
    proxy.sleep = passed.sleep
    most = IndexedLayout._SECONDS_TO_REPEAT_A_WRITE
    proxy.arm(CUT_REPLY, Fault(Action.DELAY, Point.CONNECTING, most))
    with proxy.counted(1), pytest.raises(SourceUnavailable, match="outcome is unknown"):
        adapter.create_section("new")
    assert passed.now == most
    assert source.get_all_sections() == {**BEFORE, "new": set()}


def test_token_of_a_write_is_kept_for_a_minute(indexed_groups):
    began = time.monotonic()
    indexed_groups.create_section("admins")
    client = indexed_groups.db_connection
    [token] = client.scan_iter("{tests}:groups:done:*")
    left = client.pttl(token) / 1000
    # Two clocks differ by a little.
    assert left <= 60 < left + time.monotonic() - began + 0.1


def test_write_that_could_not_be_sent_is_sent_again(proxied, source):
    proxy, adapter = proxied
    # More than the socket's buffers hold, so that the sending side notices.
    items = {f"item {number:02000}" for number in range(5000)}
    proxy.arm(RESET_REQUEST)
    adapter.include_items("read", items)
    assert source.get_all_sections() == {**BEFORE, "read": items}


def test_write_that_could_not_be_sent_twice_was_not_done(proxied, source):
    proxy, adapter = proxied
    items = [f"item {number:02000}" for number in range(5000)]
    proxy.arm(RESET_REQUEST, RESET_REQUEST)
    with pytest.raises(SourceUnavailable, match="Nothing was written"):
        adapter.include_items("read", items)
    assert source.get_all_sections() == BEFORE


def kill_connections(server, options):
    server.client().client_kill_filter(_type="normal", skipme=True)


def restart(server, options):
    server.restart()
    # Another test may have had it save what it then held.
    server.client().flushall()
    fill(server.client(), **options)


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
@pytest.mark.parametrize("close", [kill_connections, restart])
def test_closed_idle_connection_is_replaced(server, source, options, name, close):
    fill(server.client(), **options)
    adapter = RedisPermissionAdapter(server.client(), **options)
    adapter.find_sections("staff")
    close(server, options)
    if name in LOOKUPS:
        assert LOOKUPS[name](adapter) == ANSWERS[name]
    else:
        WRITES[name](adapter)
        assert source.get_all_sections() == AFTER[name]


def test_connection_that_the_server_finds_idle_is_replaced(server, source, options):
    fill(server.client(), **options)
    adapters = {
        name: RedisPermissionAdapter(server.client(client_name="idle"), **options)
        for name in LOOKUPS | WRITES
    }
    for adapter in adapters.values():
        adapter.find_sections("staff")
    client = server.client()
    client.config_set("timeout", 1)
    try:
        servers.wait_until(
            lambda: all(connected["name"] != "idle" for connected in client.client_list())
        )
    finally:
        client.config_set("timeout", 0)
    for name, adapter in adapters.items():
        if name in LOOKUPS:
            assert LOOKUPS[name](adapter) == ANSWERS[name]
        else:
            WRITES[name](adapter)
            assert source.get_all_sections() == AFTER[name]
            client.flushall()
            restore(source)


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
def test_server_that_is_gone_is_said_to_be(options, name):
    client = redis.Redis(host="127.0.0.1", port=servers.free_port())
    adapter = RedisPermissionAdapter(client, **options)
    with pytest.raises(SourceUnavailable, match=rf"^{name[:7]}.* cannot be reached") as raised:
        (LOOKUPS | WRITES)[name](adapter)
    assert isinstance(raised.value.__cause__, redis.ConnectionError)


def test_server_that_goes_away_is_asked_for_twice(server):
    with Proxy(server.port) as proxy:
        adapter = RedisPermissionAdapter(redis.Redis(host="127.0.0.1", port=proxy.port))
        adapter.find_sections("staff")
        proxy.lose_server()
        before = proxy.connections
        with pytest.raises(SourceUnavailable):
            adapter.find_sections("staff")
        assert proxy.connections - before == 2


@pytest.mark.parametrize("name", ["find_sections", "create_section"])
def test_connection_that_could_not_be_made_is_made_again(server, options, name):
    fill(server.client(), **options)
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port)
        adapter = RedisPermissionAdapter(client, **options)
        proxy.arm(Fault(Action.CLOSE, Point.CONNECTING))
        (LOOKUPS | WRITES)[name](adapter)
        assert proxy.connections == 2
