"""How often the server is asked, counted at the socket."""

import pytest
import redis
from harness import servers
from harness.operations import LOOKUPS, WRITES, load_scripts, restore
from harness.proxy import Proxy

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.connection import exchange


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_client(proxy):
    return redis.Redis(host="127.0.0.1", port=proxy.port)


def test_nothing_is_sent_at_construction(proxy, proxied_client, options):
    RedisGroupAdapter(proxied_client, **options)
    RedisPermissionAdapter(proxied_client, **options)
    assert proxy.connections == 0


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
def test_an_operation_is_one_round_trip(proxy, proxied_client, options, name):
    adapter = RedisPermissionAdapter(proxied_client, **options)
    load_scripts(adapter)
    restore(adapter)
    with proxy.counted(1):
        (LOOKUPS | WRITES)[name](adapter)


def test_a_script_is_loaded_once(proxy, proxied_client, server):
    server.client().script_flush()
    adapter = RedisPermissionAdapter(proxied_client)
    with proxy.counted(2):
        adapter.find_sections("staff")
    with proxy.counted(1):
        adapter.find_sections("staff")


def test_server_that_cannot_tell_what_only_reads(proxy, server, executable, monkeypatch):
    """It is asked for that once a minute."""
    if "redis-6" in servers.version(executable):
        pytest.skip("it knows no such command")
    now = 0.0
    monkeypatch.setattr(exchange, "monotonic", lambda: now)
    rules = ("reset", "on", ">guest", "~*", "+@all", "-evalsha_ro", "-eval_ro")
    server.client().execute_command("ACL", "SETUSER", "guest", *rules)
    try:
        client = redis.Redis(host="127.0.0.1", port=proxy.port, username="guest", password="guest")
        adapter = RedisPermissionAdapter(client)
        RedisPermissionAdapter(server.client()).find_sections("staff")
        for seconds in (0, 59, 61, 119, 121):
            now = 1000.0 + seconds
            with proxy.counted(1 if seconds in {59, 119} else 2):
                assert adapter.find_sections("staff") == set()
    finally:
        server.client().acl_deluser("guest")


def test_all_sections_are_read_in_pages(proxy, proxied_client, server, options):
    source = RedisPermissionAdapter(server.client(), **options)
    for number in range(1000):
        source.create_section(f"permission {number}")
    adapter = RedisPermissionAdapter(proxied_client, **options)
    adapter.get_all_sections()
    before = proxy.round_trips
    assert len(adapter.get_all_sections()) == 1000
    assert 5 <= proxy.round_trips - before <= 20


@pytest.mark.parametrize("number_of_groups", [1, 10, 1000])
def test_a_request_is_one_round_trip(  # noqa: PLR0917 - each is a fixture
    proxy, proxied_client, server, options, number_of_groups, questions_of_a_request
):
    groups = RedisGroupAdapter(server.client(), **options)
    permissions = RedisPermissionAdapter(server.client(), **options)
    for number in range(number_of_groups):
        groups.create_section(f"group {number}")
        groups.include_item(f"group {number}", "rms")
    permissions.create_section("edit")
    permissions.include_item("edit", "group 0")
    groups = RedisGroupAdapter(proxied_client, **options)
    permissions = RedisPermissionAdapter(proxied_client, **options)
    metadata = AuthorizationMetadata({"redis": groups}, {"redis": permissions})
    environ, identity = {}, {"repoze.who.userid": "rms"}
    metadata.add_metadata(environ, identity)
    with proxy.counted(questions_of_a_request):
        metadata.add_metadata(environ, identity)
    credentials = environ["repoze.what.credentials"]
    assert len(credentials["groups"]) == number_of_groups
    assert set(credentials["permissions"]) == {"edit"}
