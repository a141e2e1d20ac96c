"""What becomes of a question when its connection fails, at each point where it may."""

import time

import pytest
import redis
import servers
from operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, load_scripts
from proxy import Fault, Proxy

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter


@pytest.fixture
def proxied(server):
    """A proxy, and an adapter that has a connection through it and its scripts loaded."""
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port, socket_timeout=5)
        adapter = RedisPermissionAdapter(client)
        fill(client)
        load_scripts(adapter)
        server.client().flushall()
        fill(client)
        yield proxy, adapter
        adapter._database._pool.disconnect()
        client.close()


def stored(server):
    """What the source holds, read past the proxy."""
    return RedisPermissionAdapter(server.client()).get_all_sections()


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("fault", [Fault.CUT_REQUEST, Fault.CUT_REPLY])
def test_lookup_is_asked_again(proxied, name, fault):
    proxy, adapter = proxied
    proxy.arm(fault)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_is_asked_twice_at_most(proxied, name):
    proxy, adapter = proxied
    proxy.arm(Fault.CUT_REPLY, Fault.CUT_REPLY)
    with proxy.counted(2), pytest.raises(SourceUnavailable):
        LOOKUPS[name](adapter)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@pytest.mark.parametrize("name", WRITES)
def test_write_whose_reply_is_lost_has_an_unknown_outcome(proxied, server, name):
    proxy, adapter = proxied
    proxy.arm(Fault.CUT_REPLY)
    with pytest.raises(SourceUnavailable, match="outcome is unknown") as raised:
        WRITES[name](adapter)
    assert isinstance(raised.value.__cause__, redis.ConnectionError)
    assert stored(server) == AFTER[name]


@pytest.mark.parametrize("name", WRITES)
def test_write_whose_request_is_lost_is_not_done(proxied, server, name):
    proxy, adapter = proxied
    proxy.arm(Fault.CUT_REQUEST)
    with pytest.raises(SourceUnavailable, match="outcome is unknown"):
        WRITES[name](adapter)
    assert stored(server) == BEFORE
    WRITES[name](adapter)
    assert stored(server) == AFTER[name]


def test_write_that_could_not_be_sent_is_sent_again(proxied, server):
    proxy, adapter = proxied
    # More than the socket's buffers hold, so that the sending side notices.
    items = {f"item {number:050}" for number in range(150_000)}
    proxy.arm(Fault.RESET_REQUEST)
    adapter.include_items("read", items)
    assert stored(server) == {**BEFORE, "read": items}


def test_write_that_could_not_be_sent_twice_was_not_done(proxied, server):
    proxy, adapter = proxied
    items = [f"item {number:050}" for number in range(150_000)]
    proxy.arm(Fault.RESET_REQUEST, Fault.RESET_REQUEST)
    with pytest.raises(SourceUnavailable, match="Nothing was written"):
        adapter.include_items("read", items)
    assert stored(server) == BEFORE


def kill_connections(server, adapter):
    server.client().client_kill_filter(_type="normal", skipme=True)


def restart(server, adapter):
    server.restart()
    fill(server.client())


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
@pytest.mark.parametrize("close", [kill_connections, restart])
def test_closed_idle_connection_is_replaced(server, name, close):
    fill(server.client())
    adapter = RedisPermissionAdapter(server.client())
    adapter.find_sections("staff")
    close(server, adapter)
    if name in LOOKUPS:
        assert LOOKUPS[name](adapter) == ANSWERS[name]
    else:
        WRITES[name](adapter)
        assert stored(server) == AFTER[name]


def test_connection_that_the_server_finds_idle_is_replaced(server):
    fill(server.client())
    adapters = {name: RedisPermissionAdapter(server.client()) for name in LOOKUPS | WRITES}
    for adapter in adapters.values():
        adapter.find_sections("staff")
    server.client().config_set("timeout", 1)
    try:
        time.sleep(2.5)
        for name, adapter in adapters.items():
            if name in LOOKUPS:
                assert LOOKUPS[name](adapter) == ANSWERS[name]
            else:
                WRITES[name](adapter)
                assert stored(server) == AFTER[name]
                server.client().flushall()
                fill(server.client())
    finally:
        server.client().config_set("timeout", 0)


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
def test_server_that_is_gone_is_said_to_be(executable, name):
    adapter = RedisPermissionAdapter(redis.Redis(host="127.0.0.1", port=servers.free_port()))
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
def test_connection_that_could_not_be_made_is_made_again(server, name):
    fill(server.client())
    with Proxy(server.port) as proxy:
        adapter = RedisPermissionAdapter(redis.Redis(host="127.0.0.1", port=proxy.port))
        proxy.refuse_next()
        (LOOKUPS | WRITES)[name](adapter)
        assert proxy.connections == 2
