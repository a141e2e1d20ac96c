"""Lookups with a near cache that are interrupted anywhere: nothing revoked is served afterwards."""

import os
import select
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import redis
from harness import servers
from harness.fake_server import HOST
from harness.interruptions import points, raising
from harness.near_caches import (
    KEYS,
    LONG,
    NAMESPACE,
    info,
    is_hit,
    number_of_answers,
    number_of_tracking_connections,
    wait_until_hit,
)
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy
from redis.utils import HIREDIS_AVAILABLE

from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import cache, tracking, unblocked, vouching
from repoze.what.plugins.redis.near_cache.memory import Memory

STAFF = KEYS + b"item:staff"
OF_ONE = {"max_connections": 1, "socket_timeout": 30}


@pytest.fixture
def adapter(server, writer, monkeypatch):
    monkeypatch.setattr(vouching, "_BETWEEN_ATTEMPTS", 0)
    adapter = RedisPermissionAdapter(
        server.client(**OF_ONE),
        namespace=NAMESPACE,
        near_cache=True,
        max_staleness=LONG,
        max_age=LONG,
    )
    yield adapter
    adapter.close()


def lookup(adapter):
    return adapter.find_sections("staff")


class TestLookups:
    def test_right_that_was_revoked_before(self, server, adapter, raw):
        """It is interrupted as it reads that, and heeds it."""
        wait_until_hit(adapter, "staff")
        expected = revoke(raw)
        for number in points(lambda: lookup(adapter)):
            for _ in range(2):
                assert lookup(adapter) == expected
            wait_until_hit(adapter, "staff")
            expected = (revoke if number % 2 == 0 else grant)(raw)
        assert lookup(adapter) == expected
        check_tracking_connections(server, 1)

    def test_right_that_is_revoked_afterwards(self, server, adapter, raw):
        """What is told of it may not be lost either, nor where it is kept."""
        wait_until_hit(adapter, "admins")
        for number in points(lambda: lookup(adapter)):
            expected = (grant if number % 2 == 0 else revoke)(raw)
            for _ in range(2):
                assert lookup(adapter) == expected
            # So that it is a question to the server again.
            adapter._near_cache.forget([b"staff"])
        # Nothing else is left of what was interrupted.
        assert number_of_answers() == info(adapter).answers
        check_tracking_connections(server, 1)

    def test_making_the_connection(self, server, adapter, raw, thorough):
        for number in points(lambda: lookup(adapter), 1 if thorough else 41):
            wait_until_hit(adapter, "staff")
            expected = (grant if number % 2 == 0 else revoke)(raw)
            assert lookup(adapter) == expected
            adapter.close()
        check_tracking_connections(server, 1)

    def test_own_write(self, adapter):
        wait_until_hit(adapter, "staff")
        granted = True

        def write():
            adapter.set_section_items("edit", ["admins"] if granted else ["admins", "staff"])

        for _ in points(write):
            adapter.db_connection.ping()
            granted = "staff" in adapter.get_section_items("edit")
            assert ("edit" in lookup(adapter)) == granted
            wait_until_hit(adapter, "staff")

    def test_swallowed_by_nothing_as_the_connection_is_made(self, adapter, monkeypatch):
        class JobTimeout(ValueError):  # noqa: N818 - as those of job queues are named
            pass

        adapter.close()
        monkeypatch.setattr(tracking, "_value_of", raising(JobTimeout))
        with pytest.raises(JobTimeout):
            lookup(adapter)

    def test_swallowed_by_nothing(self, adapter, raw, monkeypatch):
        """Of a class that a server's nonsense is of, as far as inheritance goes."""

        class JobTimeout(ValueError):  # noqa: N818 - as those of job queues are named
            pass

        wait_until_hit(adapter, "staff")
        revoke(raw)
        monkeypatch.setattr(redis.Connection, "read_response", raising(JobTimeout))
        with pytest.raises(JobTimeout):
            lookup(adapter)
        assert info(adapter)[3:] == (
            *(0, 0, 1, False),
            "A look at what has changed ended with JobTimeout.",
        )


def revoke(raw):
    raw.srem(STAFF, "edit")
    raw.ping()
    return {"read"}


def grant(raw):
    raw.sadd(STAFF, "edit")
    raw.ping()
    return {"edit", "read"}


def check_tracking_connections(server, expected):
    servers.wait_until(lambda: number_of_tracking_connections(server) == expected)


def done(work):
    """Return what *work* returns, done by a thread that does not wait for itself."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for itself"
    [result] = results
    return result


class TestSameThreadComesAgain:
    """In a signal's handler, or as something is collected, while it holds the lock."""

    @pytest.fixture(params=["as it looks", "as it keeps an answer"])
    def comes_again(self, request, adapter, monkeypatch):
        # What is then looked up is an answer that is kept, and one that is to be.
        where, name, item = {
            "as it looks": (tracking.Tracking, "poll", "staff"),
            "as it keeps an answer": (Memory, "commit", "admins"),
        }[request.param]
        wait_until_hit(adapter, item)
        before = getattr(where, name)

        def comes_again(work):
            def work_first(there, argument):
                monkeypatch.setattr(where, name, before)
                work()
                return before(there, argument)

            monkeypatch.setattr(where, name, work_first)
            return done(lambda: lookup(adapter))

        return comes_again

    def test_close(self, server, adapter, comes_again):
        assert comes_again(adapter.close) == {"edit", "read"}
        # Whoever has it then closes it, and the server has yet to notice.
        servers.wait_until(lambda: number_of_tracking_connections(server) <= 1)
        assert info(adapter).answers == 0
        adapter.close()
        servers.wait_until(lambda: number_of_tracking_connections(server) == 0)
        wait_until_hit(adapter, "staff")

    def test_lookup(self, adapter, comes_again):
        found = []
        assert comes_again(lambda: found.append(lookup(adapter))) == {"edit", "read"}
        assert found == [{"edit", "read"}]
        wait_until_hit(adapter, "staff")

    def test_write(self, adapter, comes_again):
        assert comes_again(lambda: adapter.exclude_item("edit", "staff")) >= {"read"}
        assert lookup(adapter) == {"read"}

    def test_info(self, adapter, comes_again):
        found = []
        comes_again(lambda: found.append(info(adapter)))
        assert [each.connections for each in found] == [1]


class TestMeanwhile:
    def test_closed_as_the_connection_is_made(self, server, writer):
        """It is closed as well."""
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(
                client, namespace=NAMESPACE, near_cache=True, max_staleness=LONG
            )
            adapter._section_exists("edit")
            proxy.arm(Fault(Action.DELAY, Point.BEFORE_REQUEST), HOLD_REPLY)
            with ThreadPoolExecutor() as threads:
                making = threads.submit(lookup, adapter)
                proxy.wait_until_held()
                adapter.close()
                proxy.release()
                assert making.result(30) == {"edit", "read"}
            assert not info(adapter).is_tracking
            assert info(adapter).connections == 0
            servers.wait_until(lambda: number_of_tracking_connections(server) == 0)


class Clock:
    """Seconds on a monotonic clock that a test moves on."""

    def __init__(self):
        self.ahead = 0.0
        self._monotonic = time.monotonic

    def __call__(self):
        return self._monotonic() + self.ahead


class TestTimeOfALookup:
    """What is left of 2 x (C + R) is all that making the connection may add to one."""

    C, R = 3, 7

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = Clock()
        for module in (cache, vouching):
            monkeypatch.setattr(module, "monotonic", clock)
        monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=clock))
        return clock

    def test_time_outs(self, server, writer, clock):
        waits = []

        class Connection(redis.Connection):
            seconds = 0

            def _connect(self):
                waits.append((self.socket_connect_timeout, self.socket_timeout))
                return super()._connect()

            def send_command(self, *words, **options):
                super().send_command(*words, **options)
                if words[0] == "SMEMBERS":
                    clock.ahead += Connection.seconds

        pool = redis.ConnectionPool(
            connection_class=Connection,
            host=HOST,
            port=server.port,
            socket_connect_timeout=self.C,
            socket_timeout=self.R,
        )
        adapter = RedisPermissionAdapter(
            redis.Redis(connection_pool=pool),
            namespace=NAMESPACE,
            near_cache=True,
            max_staleness=LONG,
        )
        late = 2 * (self.C + self.R) + 1

        def ask_for(seconds):
            Connection.seconds = seconds
            assert lookup(adapter) == {"edit", "read"}
            return waits.pop() if waits else None

        # The connection of lookups has the client's own.
        assert not adapter._section_exists("nothing")
        assert waits.pop() == (self.C, self.R)
        # It takes up to eleven waits, none of which is to be longer than what is left for it.
        assert ask_for(late) is None
        assert "has taken all of its time" in info(adapter).distrusted
        clock.ahead += 60
        connecting, replying = ask_for(9)
        assert connecting == replying
        assert 0 < 11 * replying <= 11
        assert info(adapter).is_tracking
        adapter.close()


@pytest.fixture(params=["missing", "of greenlets"])
def without_poll(request, monkeypatch):
    """As on Windows and with eventlet; and with gevent, where it lets other greenlets go on."""
    if request.param == "missing":
        monkeypatch.delattr(select, "poll")
    else:
        monkeypatch.setattr(select, "poll", raising(AssertionError))


@pytest.mark.skipif(HIREDIS_AVAILABLE, reason="with this parser, redis-py itself asks poll")
@pytest.mark.usefixtures("without_poll")
class TestWithoutPoll:
    def test_lookups(self, adapter, raw):
        for change in (revoke, grant):
            wait_until_hit(adapter, "staff")
            expected = change(raw)
            assert lookup(adapter) == expected
        assert info(adapter).connections == 1
        raw.client_kill_filter(_type="pubsub")
        servers.wait_until(lambda: not is_hit(adapter, "staff"))

    def test_tls(self):
        """There is no way to look without reading."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with_tls = ssl.create_default_context().wrap_socket(
                ours, server_hostname="localhost", do_handshake_on_connect=False
            )
            with with_tls:
                assert unblocked._readiness_of(with_tls)(0)


def test_names_as_text_and_as_bytes(server, writer):
    """With `python -bb`, comparing one with the other is an error."""
    program = """
        import sys, redis
        from harness.near_caches import fill, info, wait_until_hit
        from repoze.what.plugins.redis import RedisPermissionAdapter

        client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), protocol=2)
        adapter = RedisPermissionAdapter(
            client, namespace="tests", near_cache=True, max_staleness=600
        )
        for names in (["staff"], [b"staff"], ["staff", b"staff"], [b"staff", "guests", 12]):
            for _ in range(3):
                assert adapter.find_sections_many(names) == {"edit", "read"}
        assert info(adapter).hits
        adapter.close()
    """
    completed = subprocess.run(
        [sys.executable, "-bb", "-c", textwrap.dedent(program), str(server.port)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")
