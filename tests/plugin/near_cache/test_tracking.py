"""The connection on which a near cache is told: made, lost, refused, garbled, and forked."""

import gc
import logging
import os
import random
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fakeredis
import pytest
import redis
import trustme
from harness import cluster, servers
from harness.connections import noted_client
from harness.fake_server import FakeServer
from harness.forks import forked
from harness.near_caches import (
    KEYS,
    LONG,
    NAMESPACE,
    UNTIL_NEXT_ATTEMPT,
    Clock,
    be_impatient,
    fill,
    info,
    is_hit,
    number_of_tracking_connections,
    wait_until_hit,
    wait_until_told,
)
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy
from harness.relay import Relay, Strike
from harness.virtual_time import VirtualTime, virtual_time_client
from redis._parsers import _RESP2Parser
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import unblocked, vouching

STAFF = KEYS + b"item:staff"
LOGIN = {"username": "guest", "password": "s3cret"}
OF_CONNECTING = (Point.CONNECTING, Point.HANDSHAKE, Point.SELECTING)
NO_FAULT = Fault(Action.DELAY, Point.BEFORE_REQUEST)


@pytest.fixture
def connect():
    """Return an adapter with a near cache; it is closed afterwards."""
    adapters = []

    def connect(client, **options):
        options = {"near_cache": True, "max_staleness": LONG, "max_age": LONG} | options
        adapter = RedisPermissionAdapter(client, namespace=NAMESPACE, **options)
        adapters.append(adapter)
        return adapter

    yield connect
    for adapter in adapters:
        adapter.close()


@pytest.fixture
def adapter(server, writer, connect):
    return connect(server.client(socket_timeout=30))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def impatient(monkeypatch):
    be_impatient(monkeypatch)


def to_port(port, **settings):
    return redis.Redis(**{"host": servers.HOST, "port": port, "socket_timeout": 30} | settings)


def to_proxy(proxy):
    """Return a client whose connections time out as soon as *proxy* holds what they wait for."""
    return virtual_time_client(proxy.port, VirtualTime(proxy.holds), socket_timeout=30)


def check_that_it_is_told(adapter, raw):
    """Check that it answers from memory, until there is a change."""
    wait_until_hit(adapter, "staff")
    assert info(adapter).is_tracking
    for change in (raw.sadd, raw.srem):
        before = info(adapter).invalidations
        assert change(STAFF, "granted") == 1
        wait_until_told(adapter, before + 1)
        wait_until_hit(adapter, "staff")
        assert ("granted" in adapter.find_sections("staff")) == (change == raw.sadd)


class HurriedConnection(redis.Connection):
    """Waits for a reply for a moment only, where it is one that tracks."""

    def send_command(self, *words, **options):
        super().send_command(*words, **options)
        if words[0] == "SUBSCRIBE":
            self._sock.settimeout(0.1)


def to_hurried(port):
    pool = redis.ConnectionPool(
        connection_class=HurriedConnection,
        host=servers.HOST,
        port=port,
        socket_timeout=30,
        protocol=2,
    )
    return redis.Redis(connection_pool=pool)


def check_that_it_says_so(adapter, caplog, reason, expected):
    """Check that it is said once that tracking is not possible, and that lookups are right."""
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            assert adapter.find_sections("staff") == expected
    [record] = caplog.records
    assert (record.name, record.levelname) == ("repoze.what.plugins.redis", "WARNING")
    message = record.getMessage()
    source = f"{adapter.place}, namespace {NAMESPACE!r}"
    assert message.startswith(f"The near cache of {source} is of no use, so look")
    assert info(adapter).distrusted in message
    assert reason in message
    assert re.search(r"[^.?][.?] A near cache needs", message)
    assert info(adapter)[:2] == (0, 10)
    assert not info(adapter).is_tracking
    assert LOGIN["password"] not in message
    caplog.clear()


def kill(client):
    """Have the server close all connections that track, and return how many those were."""
    return client.client_kill_filter(_type="pubsub")


class TestLost:
    def test_killed(self, server, raw, adapter, clock):
        wait_until_hit(adapter, "staff")
        wait_until_hit(adapter, "guests")
        assert kill(raw) == 1
        servers.wait_until(lambda: not is_hit(adapter, "staff"))
        assert info(adapter).distrusted.startswith("The tracking connection is lost: ")
        assert (info(adapter).is_tracking, info(adapter).answers) == (False, 0)
        clock.advance(UNTIL_NEXT_ATTEMPT)
        check_that_it_is_told(adapter, raw)
        assert info(adapter).connections == 2
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)

    def test_one_attempt_a_second(self, adapter, raw, clock):
        for connections in (1, 2, 3):
            wait_until_hit(adapter, "staff")
            assert info(adapter).connections == connections
            assert kill(raw) == 1
            servers.wait_until(lambda: not is_hit(adapter, "staff"))
            clock.advance(0.75)
            for _ in range(5):
                assert not is_hit(adapter, "staff")
            assert not info(adapter).is_tracking
            clock.advance(0.25)

    @pytest.mark.usefixtures("impatient")
    def test_nothing_untracked_is_ever_used(self, adapter, raw):
        """redis-py would connect anew by itself, and pings would pass."""
        wait_until_hit(adapter, "staff")
        for number in range(20):
            connections = info(adapter).connections
            # The server may not have noticed yet that the one before is gone.
            assert kill(raw) >= 1
            (raw.sadd if number % 2 else raw.srem)(STAFF, "edit")
            servers.wait_until(lambda: not is_hit(adapter, "staff"))
            expected = {"edit", "read"} if number % 2 else {"read"}
            for _ in range(5):
                assert adapter.find_sections("staff") == expected
            assert info(adapter).connections == connections + 1
            wait_until_hit(adapter, "staff")

    def test_closed_by_whoever_has_it(self, server, connect, raw):
        """As when redis-py closes it because of something that was said on it."""
        used = []
        adapter = connect(noted_client(server.port, used, socket_timeout=30))
        wait_until_hit(adapter, "staff")
        [_, tracks] = used
        tracks.disconnect()
        raw.srem(STAFF, "edit")
        assert adapter.find_sections("staff") == {"read"}
        assert info(adapter).distrusted == (
            "The tracking connection is lost: the connection has been closed"
        )

    def test_lookup_in_the_handler_of_an_error(self, adapter, raw):
        """Where one of an application's own is being handled, the loss is noticed as well."""
        wait_until_hit(adapter, "staff")
        kill(raw)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            os.read(reading, 1)
        except BlockingIOError:
            servers.wait_until(lambda: not is_hit(adapter, "staff"))
            assert info(adapter).answers == 0
        finally:
            os.close(reading)
            os.close(writing)

    def test_server_is_restarted(self, executable, connect, clock):
        server = servers.RedisServer(executable)
        try:
            adapter = connect(server.client())
            wait_until_hit(adapter, "staff")
            server.restart()
            fill(RedisPermissionAdapter(server.client(), namespace=NAMESPACE))
            assert adapter.find_sections("staff") == {"edit", "read"}
            clock.advance(UNTIL_NEXT_ATTEMPT)
            check_that_it_is_told(
                adapter, RedisPermissionAdapter(server.client(), namespace=NAMESPACE).db_connection
            )
            adapter.close()
        finally:
            server.stop()

    def test_cannot_be_made_again(self, server, writer, connect, caplog, clock):
        """There is no place for it at the server: it says so, and it is tried again later."""
        with Proxy(server.port) as proxy:
            adapter = connect(to_port(proxy.port))
            adapter._section_exists("edit")
            proxy.arm(Fault(Action.RESET, Point.CONNECTING))
            for _ in range(3):
                assert adapter.find_sections("staff") == {"edit", "read"}
            assert not proxy.is_armed
            assert info(adapter).distrusted.startswith("There is no tracking connection: ")
            assert not caplog.records
            clock.advance(UNTIL_NEXT_ATTEMPT)
            wait_until_hit(adapter, "staff")
            assert info(adapter).connections == 1

    def test_cannot_ever_be_made(self, server, writer, connect, caplog, monkeypatch):
        """As where a proxy hangs up on what it does not know: it says so, though not at once."""
        monkeypatch.setattr(vouching, "_BETWEEN_ATTEMPTS", 0)
        hang_up = Fault(Action.RESET, Point.CONNECTING)
        with Proxy(server.port) as proxy:
            adapter = connect(to_port(proxy.port))
            adapter._section_exists("edit")
            for _ in range(2):
                proxy.arm(*[hang_up] * 4)
                kill(server.client())
                servers.wait_until(
                    lambda adapter=adapter: adapter.find_sections("staff") and not proxy.is_armed
                )
                wait_until_hit(adapter, "staff")
            assert not caplog.records
            adapter.close()
            adapter = connect(to_port(proxy.port))
            adapter._section_exists("edit")
            proxy.arm(*[hang_up] * 5)
            check_that_it_says_so(adapter, caplog, "There is no tracking", {"edit", "read"})
            assert not proxy.is_armed


class TestWay:
    """The way from the server, where only the tracking connection is struck."""

    @pytest.fixture
    def relay(self, server, writer):
        with Relay(server.port, delay=0.02) as relay:
            yield relay

    @pytest.fixture
    def relayed(self, relay, connect, clock):
        adapter = connect(to_port(relay.port))
        wait_until_hit(adapter, "staff")
        return adapter

    @pytest.mark.parametrize("strike", [Strike.CUT, Strike.RESET, Strike.GARBLE])
    def test_broken(self, relay, relayed, raw, clock, strike):
        assert relay.strike(strike, only_tracking=True) == 1
        raw.srem(STAFF, "edit")
        servers.wait_until(lambda: relayed.find_sections("staff") == {"read"})
        assert info(relayed).distrusted.startswith("The tracking connection is lost: ")
        clock.advance(UNTIL_NEXT_ATTEMPT)
        check_that_it_is_told(relayed, raw)
        assert info(relayed).connections == 2

    def test_single_bytes(self, relay, relayed, raw):
        assert relay.strike(Strike.SPLIT, only_tracking=True) == 1
        check_that_it_is_told(relayed, raw)
        assert info(relayed).connections == 1

    def test_slow(self, relay, relayed, raw):
        relay.strike(Strike.DELAY, only_tracking=True)
        check_that_it_is_told(relayed, raw)
        assert info(relayed).connections == 1


@pytest.mark.usefixtures("impatient")
class TestMaking:
    """Each fault happens while the tracking connection is made, after the answer has come."""

    def test_connection_that_is_there_already(self, adapter):
        """Of two threads that come to make it at once, the second finds it made."""
        wait_until_hit(adapter, "staff")
        near_cache = adapter._near_cache
        near_cache._seat[0].connect(near_cache._seat[0].state(), time.monotonic())
        assert (info(adapter).connections, info(adapter).is_tracking) == (1, True)

    # The first request is the lookup, then come SUBSCRIBE and PING.
    @pytest.mark.parametrize(
        ("point", "requests_before"),
        [
            *((point, 0) for point in OF_CONNECTING),
            *((point, 1) for point in Point if point not in OF_CONNECTING),
            *((point, 2) for point in Point if point not in OF_CONNECTING),
        ],
    )
    def test_fault(self, server, connect, raw, point, requests_before):
        with Proxy(server.port) as proxy:
            for action in Action:
                if (point, action) == (Point.CONNECTING, Action.SPLIT):
                    continue
                adapter = connect(to_proxy(proxy))
                # The connection of lookups is there.
                adapter._section_exists("edit")
                proxy.arm(*[NO_FAULT] * requests_before, Fault(action, point))
                assert adapter.find_sections("staff") == {"edit", "read"}
                assert not proxy.is_armed
                proxy.release()
                assert (info(adapter).distrusted is None) == info(adapter).is_tracking
                assert info(adapter).is_tracking or action not in {Action.SPLIT, Action.DELAY}
                check_that_it_is_told(adapter, raw)
                adapter.close()

    def test_others_do_not_wait_for_it(self, server, writer, connect):
        with Proxy(server.port) as proxy:
            adapter = connect(to_port(proxy.port))
            adapter._section_exists("edit")
            proxy.arm(NO_FAULT, HOLD_REPLY)
            with ThreadPoolExecutor() as threads:
                making = threads.submit(adapter.find_sections, "staff")
                proxy.wait_until_held()
                for _ in range(3):
                    assert adapter.find_sections("staff") == {"edit", "read"}
                assert not info(adapter).is_tracking
                assert not making.done()
                proxy.release()
                assert making.result() == {"edit", "read"}
            assert info(adapter)[:6] == (0, 4, 0, 0, 0, 1)
            wait_until_hit(adapter, "staff")


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


def array(*elements):
    return b"*%d\r\n%s" % (len(elements), b"".join(elements))


CHANNEL = bulk(b"__redis__:invalidate")
HELLO = array(bulk(b"mode"), bulk(b"standalone"), bulk(b"id"), b":7\r\n")
SUBSCRIBED = array(bulk(b"subscribe"), CHANNEL, b":1\r\n")


def pong(number):
    return array(bulk(b"pong"), bulk(b"%d" % number))


def told(*keys):
    return array(bulk(b"message"), CHANNEL, array(*map(bulk, keys)))


NONSENSE = {
    "what": b"?what\r\n",
    "nothing in it": b"\r\n",
    "simple": b"+PONG\r\n",
    "text": bulk(b"1"),
    "null": b"$-1\r\n",
    "null array": b"*-1\r\n",
    "empty": b"*0\r\n",
    "number": b":1\r\n",
    "error": b"-ERR no\r\n",
    "connection error": b"-LOADING the data\r\n",
    "wrong pong": pong(9),
    "pong of nothing": array(bulk(b"pong"), bulk(b"")),
    "subscribed again": SUBSCRIBED,
    "other channel": array(bulk(b"message"), bulk(b"other"), array(bulk(STAFF))),
    "other channel flushed": array(bulk(b"message"), bulk(b"other"), b"$-1\r\n"),
    "no keys": array(bulk(b"message"), CHANNEL),
    "key that is no text": array(bulk(b"message"), CHANNEL, array(b":1\r\n")),
    "text in place of keys": array(bulk(b"message"), CHANNEL, bulk(STAFF)),
    "unsubscribed": array(bulk(b"unsubscribe"), CHANNEL, b":0\r\n"),
    "push": b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n",
}


class Script:
    """What a server answers: the reply to each ping is one of *pongs*, then the right one."""

    def __init__(self, *pongs, subscribed=SUBSCRIBED):
        self.pongs = list(pongs)
        self.subscribed = subscribed

    def __call__(self, words):
        if words[0] == b"PING":
            return self.pongs.pop(0) if self.pongs else pong(int(words[1]))
        return {b"SUBSCRIBE": self.subscribed, b"SMEMBERS": array(bulk(b"edit"))}[words[0]]


def fake(script, hello=HELLO):
    server = FakeServer(script)
    server.handshake[b"HELLO"] = hello
    return server


class TestNonsense:
    """Whatever a server says: the lookup has its answer, and memory is not used."""

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("name", [*NONSENSE, "half", "nothing"])
    def test_pong(self, connect, clock, name):
        """First in the place of that which comes as the connection is made, then of a later one."""
        reply = NONSENSE.get(name, b"*2\r\n$4\r\npo" if name == "half" else b"")
        for pongs in ([reply], [pong(1), reply]):
            script = Script(*pongs)
            with fake(script) as server:
                adapter = connect(to_hurried(server.port), max_staleness=1)

                def is_distrusted(adapter=adapter, script=script):
                    before = info(adapter)
                    assert adapter.find_sections("staff") == {"edit"}
                    after = info(adapter)
                    # Memory answers only while the connection stands.
                    is_the_same = after.is_tracking and after.connections == before.connections
                    assert is_the_same or after.hits == before.hits
                    clock.advance(0.25)
                    return not script.pongs and after.distrusted is not None

                servers.wait_until(is_distrusted)
                # Another one says what is right.
                wait_until_hit(adapter, "staff")
                adapter.close()

    @pytest.mark.parametrize(
        "hello",
        [
            *(
                b"+OK\r\n",
                b":1\r\n",
                b"$-1\r\n",
                b"*0\r\n",
                b"?what\r\n",
                b"%1\r\n+proto\r\n:3\r\n",
            ),
            array(bulk(b"mode")),
            array(bulk(b"id"), b":7\r\n"),
            array(bulk(b"mode"), bulk(b"standalone")),
        ],
    )
    def test_hello(self, connect, hello):
        with fake(Script(), hello) as server:
            adapter = connect(to_port(server.port, protocol=2))
            for _ in range(5):
                assert adapter.find_sections("staff") == {"edit"}
            assert info(adapter).distrusted.startswith("There is no tracking connection: ")
            assert info(adapter)[:2] == (0, 5)
            adapter.close()

    def test_what_it_says(self, connect, caplog):
        """As a proxy may, which keeps to itself that a command is not for it."""
        for command, reply, reason in (
            (b"HELLO", b"+OK\r\n", "it answers HELLO with b'OK'"),
            (b"CLIENT", b"+QUEUED\r\n", "it answers CLIENT TRACKING with b'QUEUED'"),
        ):
            with fake(Script()) as server:
                server.handshake[command] = reply
                adapter = connect(to_port(server.port, protocol=2))
                check_that_it_says_so(adapter, caplog, reason, {"edit"})
                adapter.close()

    def test_subscribed(self, connect):
        with fake(Script(subscribed=b"?what\r\n")) as server:
            adapter = connect(to_port(server.port, protocol=2))
            for _ in range(5):
                assert adapter.find_sections("staff") == {"edit"}
            assert not info(adapter).is_tracking
            adapter.close()

    @pytest.mark.parametrize("half", [1, 20, -1])
    def test_message_of_which_the_rest_is_to_come(self, connect, half):
        """Nobody waits for it."""
        message = told(STAFF)
        with fake(Script(pong(1), pong(2) + message[:half], message[half:] + pong(3))) as server:
            adapter = connect(to_port(server.port, protocol=2))
            wait_until_hit(adapter, "staff")
            # Let a ping be due.
            for invalidations in (0, 1):
                adapter._near_cache._seat[0].state().tracking._max_staleness = 0
                misses = info(adapter).misses
                adapter.find_sections("staff")
                proved_at = adapter._near_cache._seat[0].state().tracking.proved_at
                adapter._near_cache._seat[0].state().tracking._max_staleness = LONG
                if invalidations:
                    wait_until_told(adapter, 1)
                else:
                    # With the answer to the ping, the half has come.
                    servers.wait_until(
                        lambda was=proved_at: (
                            adapter.find_sections("staff") == {"edit"}
                            and adapter._near_cache._seat[0].state().tracking.proved_at > was
                        )
                    )
                    assert adapter.find_sections("staff") == {"edit"}
                    assert info(adapter).misses == misses
            assert info(adapter).invalidations == 1
            assert info(adapter).connections == 1
            adapter.close()

    def test_many_messages_at_once(self, connect, clock):
        """Keys of several, a flush, and those of other prefixes, which no server sends."""
        messages = told(STAFF, KEYS + b"item:x") + told() + told(b"x", b"")
        flushed = array(bulk(b"message"), CHANNEL, b"$-1\r\n")
        with fake(Script(messages + pong(1), messages + flushed + pong(2))) as server:
            adapter = connect(to_port(server.port, protocol=2), max_staleness=1)
            wait_until_hit(adapter, "staff")
            # Let a ping be due.
            clock.advance(0.5)
            wait_until_told(adapter, 5)
            assert info(adapter).invalidations == 5
            assert info(adapter).distrusted is None
            wait_until_hit(adapter, "staff")
            adapter.close()


class TestBehind:
    @pytest.fixture
    def used(self):
        """The connections of an adapter: that of lookups, and that which tracks."""
        return []

    @pytest.fixture
    def client(self, server, used):
        return noted_client(server.port, used, socket_timeout=30)

    @pytest.fixture
    def tell(self, raw, used):
        """Have an adapter told of changes of others, one message each, and of a last one."""

        def tell(others, last):
            [_, tracks] = used
            for number in range(others):
                raw.sadd(KEYS + b"item:%d" % number, "edit")
            raw.srem(last, "edit")
            servers.wait_until(lambda: unread(tracks).count(CHANNEL) == others + 1)

        return tell

    def test_more_than_it_reads_at_a_time(self, connect, client, tell, monkeypatch):
        """It asks the server until it has caught up."""
        monkeypatch.setattr(unblocked, "_MESSAGES_AT_A_TIME", 10)
        adapter = connect(client)
        wait_until_hit(adapter, "guests")
        wait_until_hit(adapter, "staff")
        # The last one is the one that matters.
        tell(35, STAFF)
        for invalidations in (10, 20, 30, 36):
            hits = info(adapter).hits
            assert adapter.find_sections("staff") == {"read"}
            assert info(adapter).invalidations == invalidations
            assert info(adapter).hits == hits
        assert info(adapter).unproved == 3
        assert is_hit(adapter, "guests")
        assert info(adapter).connections == 1

    def test_ping_that_is_owed_meanwhile(self, connect, client, tell, clock, monkeypatch):
        """It is not held against the server that the answer has yet to be read."""
        monkeypatch.setattr(unblocked, "_MESSAGES_AT_A_TIME", 1)
        adapter = connect(client, max_staleness=1)
        wait_until_hit(adapter, "staff")
        tell(30, STAFF)
        for _ in range(30):
            clock.advance(0.125)
            assert not is_hit(adapter, "staff")
        assert info(adapter).invalidations == info(adapter).unproved == 30
        assert info(adapter).distrusted is None
        wait_until_hit(adapter, "staff")
        assert adapter.find_sections("staff") == {"read"}
        assert info(adapter).connections == 1


def unread(connection):
    """Return what has come on *connection*, and has yet to be read."""
    try:
        return connection._sock.recv(1 << 16, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


NEEDED = ["+client|tracking", "+subscribe", "+ping", "&__redis__:invalidate"]


@pytest.fixture
def permit(server):
    """Permit a guest what a site needs, and such rules besides."""

    def permit(*rules):
        server.client().execute_command(
            *("ACL", "SETUSER", LOGIN["username"], "reset", "on", f">{LOGIN['password']}"),
            *("resetchannels", "~{tests}:*", "+select", "+smembers", "+sunion", *rules),
        )

    yield permit
    server.client().acl_deluser(LOGIN["username"])


class TestRefused:
    """Where it is not possible, that is said once, and lookups are right."""

    @pytest.fixture
    def adapter_of_guest(self, server, connect):
        return connect(server.client(**LOGIN))

    @pytest.mark.parametrize("rule", NEEDED)
    def test_not_permitted(  # noqa: PLR0917 - each is something else
        self, permit, adapter_of_guest, raw, caplog, clock, rule
    ):
        permit(*(needed for needed in NEEDED if needed != rule))
        adapter = adapter_of_guest
        raw.acl_log_reset()
        check_that_it_says_so(adapter, caplog, "permissions to", {"edit", "read"})
        # It was tried once, and is so a minute later.
        refused = [entry["object"] for entry in raw.acl_log()]
        object_of_rule = rule.lstrip("+&")
        assert object_of_rule in refused or object_of_rule.partition("|")[0] in refused
        raw.acl_log_reset()
        clock.advance(59)
        assert not is_hit(adapter, "staff")
        assert raw.acl_log() == []
        clock.advance(1)
        assert not is_hit(adapter, "staff")
        assert raw.acl_log()
        assert not caplog.records
        permit(*NEEDED)
        clock.advance(60)
        check_that_it_is_told(adapter, raw)
        assert info(adapter).connections == 1

    def test_how_often_it_is_tried(self, permit, writer, connect, server):
        permit()
        with Proxy(server.port) as proxy:
            adapter = connect(to_port(proxy.port, **LOGIN))
            for _ in range(20):
                adapter.find_sections("staff")
            assert proxy.connections == 2

    def test_each_adapter_says_so(self, permit, writer, connect, server, caplog):
        permit()
        for _ in range(2):
            check_that_it_says_so(
                connect(server.client(**LOGIN)), caplog, "permissions to", {"edit", "read"}
            )

    def test_fakeredis(self, connect, caplog):
        adapter = connect(fakeredis.FakeRedis())
        fill(adapter)
        check_that_it_says_so(adapter, caplog, "unknown command", {"edit", "read"})
        adapter.exclude_item("edit", "staff")
        assert adapter.find_sections("staff") == {"read"}

    def test_server_without_it(self, executable, connect, caplog):
        server = servers.RedisServer(executable, "--rename-command", "CLIENT", "")
        try:
            adapter = connect(server.client())
            check_that_it_says_so(adapter, caplog, "unknown command", set())
            adapter.close()
        finally:
            server.stop()

    def test_node_of_a_cluster(self, executable, connect, caplog):
        """With a client of it alone, which knows nothing of the others."""
        node = cluster.Node(executable)
        try:
            node.ask("CLUSTER", "ADDSLOTS", *range(cluster.SLOTS))
            # It takes a while to believe in itself.
            node.ask("CONFIG", "SET", "cluster-allow-reads-when-down", "yes")
            adapter = connect(node.client(), db=0)
            check_that_it_says_so(adapter, caplog, "a node of a Redis Cluster", set())
            adapter.close()
        finally:
            node.stop()

    @pytest.mark.parametrize("word", [b"-ERR unknown command", b"-NOPROTO sorry"])
    def test_server_that_is_older(self, connect, caplog, word):
        with fake(Script(), word + b"\r\n") as server:
            check_that_it_says_so(connect(to_port(server.port, protocol=2)), caplog, "o", {"edit"})


class TestClients:
    """Whatever kind of client it is made of."""

    @pytest.mark.parametrize(
        "settings",
        [
            *({"protocol": 2}, {"protocol": 3}, {"decode_responses": True}),
            {"protocol": 3, "decode_responses": True},
            *({"max_connections": 1}, {"client_name": "site"}, {"encoding": "latin-1"}),
            *({"health_check_interval": 1}, {"socket_timeout": None}, {"db": 5}),
        ],
        ids=str,
    )
    def test_settings(self, server, writer, raw, connect, settings):
        adapter = connect(server.client(**settings))
        check_that_it_is_told(adapter, raw)
        assert info(adapter).connections == 1

    def test_python_parser(self, server, writer, raw, connect):
        pool = redis.ConnectionPool(host=servers.HOST, port=server.port, parser_class=_RESP2Parser)
        check_that_it_is_told(connect(redis.Redis(connection_pool=pool)), raw)

    def test_hiredis(self, server, writer, raw, connect):
        pytest.importorskip("hiredis")
        from redis._parsers import _HiredisParser  # noqa: PLC0415 - not where there is no hiredis

        pool = redis.ConnectionPool(
            host=servers.HOST, port=server.port, parser_class=_HiredisParser
        )
        check_that_it_is_told(connect(redis.Redis(connection_pool=pool)), raw)

    @pytest.mark.parametrize("pool_class", [redis.ConnectionPool, redis.BlockingConnectionPool])
    def test_pool_of_one(self, server, writer, raw, connect, pool_class):
        pool = pool_class(host=servers.HOST, port=server.port, max_connections=1)
        adapter = connect(redis.Redis(connection_pool=pool))
        check_that_it_is_told(adapter, raw)
        adapter.close()
        check_that_it_is_told(adapter, raw)

    def test_unix_socket(self, server, writer, raw, connect):
        client = redis.Redis(unix_socket_path=server.unix_socket)
        check_that_it_is_told(connect(client), raw)

    def test_user(self, permit, server, writer, raw, connect):
        permit(*NEEDED)
        adapter = connect(server.client(**LOGIN))
        check_that_it_is_told(adapter, raw)
        for secret in LOGIN.values():
            assert secret not in repr(adapter) + repr(info(adapter))

    def test_tls(self, executable_with_tls, tmp_path, connect, clock):
        authority = trustme.CA()
        certificate = authority.issue_cert(servers.HOST)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        port = servers.free_port()
        server = servers.RedisServer(
            *(executable_with_tls, "--tls-port", str(port), "--tls-auth-clients", "no"),
            *("--tls-ca-cert-file", str(tmp_path / "ca.pem")),
            *("--tls-cert-file", str(tmp_path / "server.pem")),
            *("--tls-key-file", str(tmp_path / "server.pem")),
        )
        try:
            writer = RedisPermissionAdapter(server.client(), namespace=NAMESPACE)
            fill(writer)
            adapter = connect(to_port(port, ssl=True, ssl_ca_certs=str(tmp_path / "ca.pem")))
            check_that_it_is_told(adapter, writer.db_connection)
            # More than is in one record of TLS.
            before = info(adapter).invalidations
            with writer.db_connection.pipeline() as pipeline:
                for number in range(500):
                    pipeline.sadd(KEYS + b"item:somebody %d" % number, "edit")
                pipeline.execute()
            wait_until_told(adapter, before + 500)
            check_that_it_is_told(adapter, writer.db_connection)
            assert kill(server.client()) == 1
            servers.wait_until(lambda: not is_hit(adapter, "staff"))
            clock.advance(UNTIL_NEXT_ATTEMPT)
            check_that_it_is_told(adapter, writer.db_connection)
            adapter.close()
        finally:
            server.stop()

    def test_sentinel(self, executable, connect, clock):
        """Where no Sentinel says so any more, it may be the primary or not."""
        watched = servers.RedisServer(executable)
        watch = servers.sentinel(executable, watched)
        try:
            writer = RedisPermissionAdapter(watched.client(), namespace=NAMESPACE)
            fill(writer)
            settings = {"retry": Retry(NoBackoff(), 0)}
            manager = Sentinel([(servers.HOST, watch.port)], sentinel_kwargs=settings)
            adapter = connect(manager.master_for("staff"), max_staleness=0.25)
            check_that_it_is_told(adapter, writer.db_connection)
            watch.halt()
            clock.advance(0.5)
            assert not is_hit(adapter, "staff")
            unproved = info(adapter).unproved
            assert adapter.find_sections("staff") == {"edit", "read"}
            assert not is_hit(adapter, "staff")
            assert info(adapter).unproved == unproved + 2
            assert info(adapter).is_tracking
            watch.resume()
            check_that_it_is_told(adapter, writer.db_connection)
            assert info(adapter).connections == 1
            adapter.close()
        finally:
            watch.stop()
            watched.stop()

    @pytest.fixture
    def old_and_new(self, executable):
        """Two servers with the same source, which know nothing of each other."""
        pair = [servers.RedisServer(executable) for _ in range(2)]
        for server in pair:
            fill(RedisPermissionAdapter(server.client(), namespace=NAMESPACE))
        yield pair
        for server in pair:
            server.stop()

    def test_sentinel_that_names_another(self, executable, old_and_new, connect, clock):
        """The one of before, which goes on answering, is not believed any more."""
        old, new = old_and_new
        watch = servers.sentinel(executable, old)
        try:
            writer = RedisPermissionAdapter(new.client(), namespace=NAMESPACE)
            writer.exclude_item("edit", "staff")
            manager = Sentinel([(servers.HOST, watch.port)])
            adapter = connect(manager.master_for("staff"))
            wait_until_hit(adapter, "staff")
            assert adapter.find_sections("staff") == {"edit", "read"}
            watch.client().execute_command("SENTINEL", "REMOVE", "staff")
            watch.client().execute_command(
                *("SENTINEL", "MONITOR", "staff", servers.HOST, new.port, 1)
            )
            # A connection of lookups that is made anew may know of it before.
            servers.wait_until(
                lambda: adapter.find_sections("staff") == {"read"} and info(adapter).distrusted
            )
            assert info(adapter).distrusted == (
                f"Sentinel names another primary, at {(servers.HOST, new.port)}."
            )
            clock.advance(UNTIL_NEXT_ATTEMPT)
            check_that_it_is_told(adapter, writer.db_connection)
            adapter.close()
        finally:
            watch.stop()

    def test_lookup_that_another_sentinel_sends_to_the_old_one(
        self, executable, old_and_new, connect
    ):
        """What it answers may be out of date, and nobody would tell of its changes."""
        old, new = old_and_new
        watch = servers.sentinel(executable, new)
        misled = threading.Event()

        class Misleading(Sentinel):
            def discover_master(self, service_name):
                if misled.is_set() and threading.current_thread().name != "PrimaryWatch":
                    return servers.HOST, old.port
                return super().discover_master(service_name)

        try:
            writer = RedisPermissionAdapter(new.client(), namespace=NAMESPACE)
            writer.exclude_item("edit", "admins")
            manager = Misleading([(servers.HOST, watch.port)])
            adapter = connect(manager.master_for("staff"))
            wait_until_hit(adapter, "staff")
            misled.set()
            new.client().client_kill_filter(_type="normal", skipme=True)
            assert adapter.find_sections("admins") == {"edit"}
            misled.clear()
            servers.wait_until(lambda: adapter.find_sections("admins") == set())
            # It was not that memory is not trusted any more.
            assert info(adapter).connections == 1
            wait_until_hit(adapter, "admins")
            adapter.close()
        finally:
            watch.stop()


def ids_of_tracking_connections(server):
    gc.collect()
    return {each["id"] for each in server.client().client_list(_type="pubsub")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestProcesses:
    def test_threads(self, server, writer, adapter, thorough):
        users = [f"user {number}" for number in range(8)]
        changes = 20_000 if thorough else 200

        def grant_and_revoke():
            other = RedisPermissionAdapter(server.client(), namespace=NAMESPACE)
            granted = set()
            for _ in range(changes):
                user = random.choice(users)
                (other.exclude_item if user in granted else other.include_item)("edit", user)
                granted ^= {user}
            other.set_section_items("edit", users[::2])

        wait_until_hit(adapter, "staff")
        is_over = threading.Event()

        def keep_asking():
            while not is_over.is_set():
                questions = [[random.choice(users)], random.sample(users, 2), ["nobody"]]
                for question in questions:
                    found = adapter.find_sections_many(question)
                    assert found == set() or (found == {"edit"} and question != ["nobody"])

        with ThreadPoolExecutor(16) as threads:
            with forked(grant_and_revoke):
                asking = [threads.submit(keep_asking) for _ in range(16)]
            is_over.set()
            for each in asking:
                each.result(30)
        for number, user in enumerate(users):
            expected = set() if number % 2 else {"edit"}
            servers.wait_until(
                lambda user=user, expected=expected: adapter.find_sections(user) == expected
            )
            wait_until_hit(adapter, user)
            assert adapter.find_sections(user) == expected
        assert info(adapter).connections == 1
        assert info(adapter).invalidations >= changes

    def test_child(self, server, adapter, raw):
        wait_until_hit(adapter, "staff")
        parents = ids_of_tracking_connections(server)
        assert len(parents) == 1

        def in_child():
            assert info(adapter) == (0, 0, 0, 0, 0, 0, False, None)
            raw.srem(STAFF, "edit")
            assert adapter.find_sections("staff") == {"read"}
            check_that_it_is_told(adapter, raw)
            assert len(ids_of_tracking_connections(server) - parents) == 1
            # The parent's is not touched.
            assert ids_of_tracking_connections(server) > parents
            adapter.close()
            servers.wait_until(lambda: ids_of_tracking_connections(server) == parents)
            raw.sadd(STAFF, "edit")

        for _ in range(2):
            # Nowhere else is it counted that a child begins anew.
            with forked(in_child, is_measured=True):
                pass
            assert ids_of_tracking_connections(server) == parents
            # What the child wrote last was told to the parent, and read by nobody else.
            wait_until_told(adapter, info(adapter).invalidations + 1)
            wait_until_hit(adapter, "staff")
            assert adapter.find_sections("staff") == {"edit", "read"}
        assert info(adapter).connections == 1

    def test_child_that_asks_nothing(self, server, adapter, raw):
        wait_until_hit(adapter, "staff")
        parents = ids_of_tracking_connections(server)

        def in_child():
            gc.collect()
            adapter.close()
            gc.collect()

        with forked(in_child):
            pass
        check_that_it_is_told(adapter, raw)
        assert ids_of_tracking_connections(server) == parents

    def test_fork_while_the_lock_is_held(self, adapter, raw):
        wait_until_hit(adapter, "staff")
        with (
            adapter._near_cache._seat[0].state().lock,
            forked(lambda: check_that_it_is_told(adapter, raw)),
        ):
            pass

    IN_C = """
        import ctypes, os, sys, redis
        from harness.near_caches import fill, info, is_hit, wait_until_hit, wait_until_told
        from repoze.what.plugins.redis import RedisPermissionAdapter

        client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]))
        adapter = RedisPermissionAdapter(
            client, namespace="tests", near_cache=True, max_staleness=600
        )
        wait_until_hit(adapter, "staff")
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            # Its own have been none so far, of anything.
            assert info(adapter) == (0, 0, 0, 0, 0, 0, False, None)
            wait_until_hit(adapter, "staff")
            assert info(adapter).connections == 1
            adapter.exclude_item("edit", "staff")
            assert adapter.find_sections("staff") == {"read"}
            adapter.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        wait_until_told(adapter, 1)
        assert adapter.find_sections("staff") == {"read"}
        wait_until_hit(adapter, "staff")
        assert info(adapter).connections == 1
    """

    def test_fork_that_python_does_not_know_of(self, server, writer):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(self.IN_C), str(server.port)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=300,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_thread(adapter):
    before = set(threading.enumerate())
    wait_until_hit(adapter, "staff")
    # Those of other tests may end meanwhile.
    assert before.issuperset(threading.enumerate())
