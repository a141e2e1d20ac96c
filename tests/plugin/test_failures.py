"""What is raised when the server refuses: the right error, its cause, and what to do."""

import socket
import threading
import time

import pytest
import redis
import servers
from operations import AFTER, BEFORE, WRITES, fill

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

RMS = {"repoze.what.userid": "rms"}


@pytest.fixture
def own_server(executable):
    """A server that a test may spoil."""
    server = servers.RedisServer(executable)
    yield server
    server.stop()


@pytest.fixture
def adapter(own_server, options):
    adapter = RedisGroupAdapter(own_server.client(), **options)
    adapter.create_section("admins")
    adapter.include_items("admins", ["rms", "ada"])
    return adapter


def check_refusal(operation, advice, kind=SourceError):
    with pytest.raises(SourceError, match=advice) as raised:
        operation()
    assert type(raised.value) is kind
    assert isinstance(raised.value.__cause__, redis.RedisError)


def test_out_of_memory(own_server, adapter):
    own_server.client().config_set("maxmemory", 1)
    check_refusal(lambda: adapter.include_item("admins", "linus"), "maxmemory.*Nothing was written")
    check_refusal(lambda: adapter.create_section("trolls"), "maxmemory")
    assert adapter.get_all_sections() == {"admins": {"rms", "ada"}}
    assert adapter.find_sections(RMS) == {"admins"}


def test_rights_are_taken_away_where_memory_is_out(own_server, adapter):
    own_server.client().config_set("maxmemory", 1)
    adapter.exclude_items("admins", ["rms", "ada"])
    assert adapter.get_all_sections() == {"admins": set()}
    adapter.delete_section("admins")
    assert adapter.get_all_sections() == {}


def test_replica(own_server, adapter):
    own_server.client().replicaof("127.0.0.1", own_server.port)
    check_refusal(lambda: adapter.exclude_item("admins", "rms"), "replica; give.*Nothing was")
    assert adapter.find_sections(RMS) == {"admins"}


def test_user_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-evalsha", "-smembers"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest.find_sections(RMS), "server's ACL")
    check_refusal(lambda: guest.get_section_items("admins"), "server's ACL")
    check_refusal(lambda: guest.delete_section("admins"), "server's ACL.*Nothing was written")


def test_command_in_a_script_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-del", "-type", "-srem"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest.delete_section("admins"), "Nothing was written")
    assert not adapter._item_is_included("nobody", "rms")
    assert adapter._item_is_included("admins", "rms")


def test_item_lookup_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-sismember", "-type"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest._item_is_included("admins", "rms"), "server's ACL")
    check_refusal(lambda: guest._section_exists("admins"), "server's ACL")


def test_busy_server(own_server, adapter):
    client = own_server.client()
    client.config_set("lua-time-limit", 10)

    def keep_busy():
        with pytest.raises(redis.ResponseError, match=r"(?i)kill"):
            own_server.client(socket_timeout=30).eval("while true do end", 0)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    time.sleep(0.3)
    try:
        check_refusal(lambda: adapter.find_sections(RMS), "SCRIPT KILL", SourceUnavailable)
        check_refusal(
            lambda: adapter.delete_section("admins"), "Nothing was written", SourceUnavailable
        )
    finally:
        client.script_kill()
        busy.join(10)
    assert adapter.find_sections(RMS) == {"admins"}


def test_more_arguments_than_redis_takes(adapter):
    with pytest.raises(SourceError, match=r"1,048,576 .* Nothing was sent"):
        adapter.include_items("admins", range(1_048_576))
    assert adapter.get_section_items("admins") == {"rms", "ada"}


def test_server_that_cannot_be_reached_in_time():
    with socket.create_server((servers.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        adapter = RedisGroupAdapter(redis.Redis(host=servers.HOST, port=port, socket_timeout=0.2))
        started = time.monotonic()
        check_refusal(lambda: adapter.find_sections(RMS), "not answer in time", SourceUnavailable)
        check_refusal(lambda: adapter.create_section("a"), "in time", SourceUnavailable)
        assert time.monotonic() - started < 5


def test_password_is_never_shown():
    adapter = RedisGroupAdapter(
        redis.Redis.from_url(f"redis://rms:s3cret@{servers.HOST}:{servers.free_port()}/0")
    )
    with pytest.raises(SourceUnavailable) as raised:
        adapter.find_sections(RMS)
    assert "s3cret" not in f"{raised.value!r} {raised.value.__cause__!r} {adapter!r}"


COMMANDS = (
    *("evalsha", "eval", "type", "exists", "sismember", "smembers", "scard", "srandmember"),
    *("scan", "sscan", "smismember", "sunion", "sadd", "srem", "del", "rename", "expire"),
)


@pytest.mark.parametrize("name", WRITES)
def test_command_without_the_permission_leaves_nothing_half_done(own_server, options, name):
    """Whichever one command a user may not use, a write is done whole or not at all."""
    client = own_server.client()
    refused = {}
    for command in COMMANDS:
        client.flushall()
        fill(client, **options)
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}")
        )
        guest = own_server.client(username="guest", password="guest")
        try:
            WRITES[name](RedisPermissionAdapter(guest, **options))
        except SourceError as error:
            refused[command] = str(error)
        stored = RedisPermissionAdapter(client, **options).get_all_sections()
        assert stored == (BEFORE if command in refused else AFTER[name]), command
        for item in ("staff", "admins", "a", "b"):
            holding = {section for section, items in stored.items() if item in items}
            assert RedisPermissionAdapter(client, **options).find_sections(item) == holding
    for message in refused.values():
        assert "server's ACL" in message
        assert "Nothing was written" in message
    assert "evalsha" in refused
    assert len(refused) < len(COMMANDS)
