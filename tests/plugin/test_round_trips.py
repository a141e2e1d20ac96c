"""How often the server is asked, counted at the socket."""

import pytest
import redis
from operations import LOOKUPS, WRITES, fill, load_scripts
from proxy import Proxy

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_client(proxy):
    return redis.Redis(host="127.0.0.1", port=proxy.port)


def test_nothing_is_sent_at_construction(proxy, proxied_client):
    RedisGroupAdapter(proxied_client)
    RedisPermissionAdapter(proxied_client)
    assert proxy.connections == 0


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
def test_an_operation_is_one_round_trip(proxy, proxied_client, server, name):
    adapter = RedisPermissionAdapter(proxied_client)
    load_scripts(adapter)
    server.client().flushall()
    fill(server.client())
    with proxy.counted(1):
        (LOOKUPS | WRITES)[name](adapter)


def test_a_script_is_loaded_once(proxy, proxied_client, server):
    server.client().script_flush()
    adapter = RedisPermissionAdapter(proxied_client)
    with proxy.counted(2):
        adapter.find_sections("staff")
    with proxy.counted(1):
        adapter.find_sections("staff")


def test_all_sections_are_read_in_pages(proxy, proxied_client, server):
    pipeline = server.client(db=2).pipeline()
    for number in range(1000):
        pipeline.sadd(f"permission {number}", "staff")
    pipeline.execute()
    adapter = RedisPermissionAdapter(proxied_client)
    adapter.get_all_sections()
    before = proxy.round_trips
    assert len(adapter.get_all_sections()) == 1000
    assert 5 <= proxy.round_trips - before <= 20


@pytest.mark.parametrize("number_of_groups", [1, 10, 1000])
def test_a_request_is_two_round_trips(proxy, proxied_client, server, number_of_groups):
    pipeline = server.client(db=1).pipeline()
    for number in range(number_of_groups):
        pipeline.sadd(f"group {number}", "rms")
    pipeline.execute()
    server.client(db=2).sadd("edit", "group 0")
    metadata = AuthorizationMetadata(
        {"redis": RedisGroupAdapter(proxied_client)},
        {"redis": RedisPermissionAdapter(proxied_client)},
    )
    for round_trips in (None, 2):
        environ, identity = {}, {"repoze.who.userid": "rms"}
        before = proxy.round_trips
        metadata.add_metadata(environ, identity)
        assert round_trips in (None, proxy.round_trips - before)
        credentials = environ["repoze.what.credentials"]
        assert len(credentials["groups"]) == number_of_groups
        assert set(credentials["permissions"]) == {"edit"}
