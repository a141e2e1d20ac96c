"""What is raised when the server refuses: the right error, its cause, and what to do."""

import socket
import threading
import time

import pytest
import redis
import servers

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter

RMS = {"repoze.what.userid": "rms"}


@pytest.fixture
def own_server(executable):
    """A server that a test may spoil."""
    server = servers.RedisServer(executable)
    yield server
    server.stop()


@pytest.fixture
def adapter(own_server):
    adapter = RedisGroupAdapter(own_server.client())
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


def test_user_without_the_permission(own_server, adapter):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-evalsha", "-smembers"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"))
    check_refusal(lambda: guest.find_sections(RMS), "server's ACL")
    check_refusal(lambda: guest.get_section_items("admins"), "server's ACL")
    check_refusal(lambda: guest.delete_section("admins"), "server's ACL.*Nothing was written")


def test_command_in_a_script_without_the_permission(own_server, adapter):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-del", "-type"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"))
    check_refusal(lambda: guest.delete_section("admins"), "Nothing was written")
    check_refusal(lambda: guest._section_exists("admins"), "server's ACL")
    assert not adapter._item_is_included("nobody", "rms")
    assert adapter._item_is_included("admins", "rms")


def test_item_lookup_without_the_permission(own_server, adapter):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-sismember"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"))
    check_refusal(lambda: guest._item_is_included("admins", "rms"), "server's ACL")


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
        adapter.include_items("admins", range(1_048_573))
    assert adapter.get_section_items("admins") == {"rms", "ada"}
    adapter.include_items("admins", range(1_048_572))
    assert len(adapter.get_section_items("admins")) == 1_048_574


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
