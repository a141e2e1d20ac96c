"""How long a question can take where the server does not answer.

C is the client's socket_connect_timeout and R its socket_timeout: for the reply to each request, so
also to each of a handshake. What is lost is tried again, once; a time-out is not.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import redis
import servers
from fake_server import HANDSHAKE, HOST, FakeServer
from judge import OPERATIONS, patiently
from operations import fill
from proxy import HOLD_REPLY, Action, Fault, Point, Proxy

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

C, R = 0.5, 1.0
LATE = 0.25 * R
# What a loaded machine may add, in seconds.
SLACK = 5
NAMES = b"*1\r\n$4\r\nedit\r\n"
# Up to redis-py 5.2 a pool wants to know what for.
COMMAND_NAME = ("",) if redis.__version__ < "5.3" else ()


on_one_layout = pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])


class CountedConnection(redis.Connection):
    """Counts how often anybody tries to connect."""

    attempts = 0

    def _connect(self):
        CountedConnection.attempts += 1
        return super()._connect()


def adapter_at(port, options, pool_class=redis.ConnectionPool, **settings):
    pool = pool_class(
        connection_class=CountedConnection,
        host=HOST,
        port=port,
        socket_connect_timeout=C,
        socket_timeout=R,
        **settings,
    )
    return RedisPermissionAdapter(redis.Redis(connection_pool=pool), **options)


@contextmanager
def taking(least, most=2 * (C + R), attempts=1):
    """Check how long what is done meanwhile takes, and how often it tries to connect."""
    before, started = CountedConnection.attempts, time.monotonic()
    yield
    seconds = time.monotonic() - started
    assert CountedConnection.attempts - before == attempts
    # Timers may be a little early.
    assert least - 0.01 <= seconds < most + SLACK


def check_late(operation, *arguments):
    with pytest.raises(SourceUnavailable, match="did not answer in time") as raised:
        operation(*arguments)
    assert isinstance(raised.value.__cause__, redis.TimeoutError)


def check_all_late(port, options, least):
    """Let every operation be asked by an adapter of its own, all at once."""
    with ThreadPoolExecutor(len(OPERATIONS)) as threads, taking(least, attempts=len(OPERATIONS)):
        asking = [
            threads.submit(check_late, operation, adapter_at(port, options))
            for operation in OPERATIONS.values()
        ]
        for each in asking:
            each.result()


def test_server_that_accepts_and_says_nothing(options):
    with FakeServer(lambda _: b"") as server:
        server.handshake = dict.fromkeys(HANDSHAKE, b"")
        check_all_late(server.port, options, R)
        # It reads what was sent, though nobody waits any more.
        servers.wait_until(lambda: sum(map(len, server.asked)) >= len(OPERATIONS))
        assert [len(commands) for commands in server.asked] == [1] * len(OPERATIONS)


def test_server_that_does_not_answer_the_question(options):
    with FakeServer(lambda _: b"") as server:
        check_all_late(server.port, options, R)
        # On a loaded machine, a handshake may be too late as well.
        questions = [
            sum(command not in HANDSHAKE for command in commands) for commands in server.asked
        ]
        assert max(questions) == 1


@pytest.fixture
def deaf_port():
    """A port where nobody is heard: the kernel drops what would connect to it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_packets_that_are_dropped_while_connecting(deaf_port, options):
    check_all_late(deaf_port, options, C)


@pytest.fixture
def proxy(server, options):
    source = RedisPermissionAdapter(server.client(), **options)
    fill(server.client(), **options)
    assert source.find_sections("staff") == {"edit"}
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("point", [Point.CONNECTING, Point.SELECTING, Point.BEFORE_REPLY])
def test_connection_that_is_lost_late_and_then_nothing(proxy, options, point):
    adapter = adapter_at(proxy.port, options)
    patiently(adapter._section_exists, "nobody")
    proxy.arm(Fault(Action.CLOSE, Point.BEFORE_REPLY, LATE), Fault(Action.STALL, point))
    with taking(LATE + R):
        check_late(adapter.find_sections, "staff")


@on_one_layout
def test_connection_that_is_lost_late_twice(proxy, options):
    adapter = adapter_at(proxy.port, options)
    patiently(adapter._section_exists, "nobody")
    proxy.arm(*[Fault(Action.CLOSE, Point.BEFORE_REPLY, LATE)] * 3)
    with taking(2 * LATE), pytest.raises(SourceUnavailable, match="cannot be reached"):
        adapter.find_sections("staff")


@on_one_layout
@pytest.mark.parametrize("is_connected", [True, False])
def test_server_that_is_paused(server, options, is_connected):
    adapter = adapter_at(server.port, options)
    if is_connected:
        patiently(adapter._section_exists, "nobody")
    server.freeze()
    try:
        with taking(R, attempts=0 if is_connected else 1):
            check_late(adapter.find_sections, "staff")
        # Not on the connection that did not answer.
        with taking(R):
            check_late(adapter.create_section, "new")
    finally:
        server.thaw()


@on_one_layout
class TestPool:
    """Where all connections are in use, a `BlockingConnectionPool` waits for its own *timeout*."""

    T = 1.0

    @pytest.fixture
    def adapter(self, proxy, options):
        adapter = adapter_at(
            proxy.port, options, redis.BlockingConnectionPool, max_connections=1, timeout=self.T
        )
        patiently(adapter._section_exists, "nobody")
        return adapter

    def test_no_connection_becomes_free(self, adapter):
        pool = adapter._database._pool
        taken = pool.get_connection(*COMMAND_NAME)
        with (
            taking(self.T, self.T, attempts=0),
            pytest.raises(SourceUnavailable, match="max_connections"),
        ):
            adapter.find_sections("staff")
        pool.release(taken)
        assert adapter.find_sections("staff") == {"edit"}

    def test_connection_becomes_free_late(self, proxy, adapter):
        """And then the server does not answer: both are waited for."""
        pool = adapter._database._pool
        taken = pool.get_connection(*COMMAND_NAME)
        proxy.arm(HOLD_REPLY)
        with ThreadPoolExecutor() as threads, taking(LATE + R, self.T + R, attempts=0):
            asking = threads.submit(check_late, adapter.find_sections, "staff")
            time.sleep(LATE)
            pool.release(taken)
            asking.result()


class TestServerThatIsNeverSilentForLong:
    """What C and R do not bound, and what it takes then."""

    INDEXED = {"namespace": "tests"}  # noqa: RUF012 - nobody changes it

    def test_each_reply_of_a_handshake(self):
        """Four of them, and then the question's: each may take as long as R."""
        with FakeServer(lambda _: b"") as server:
            server.seconds = LATE
            adapter = adapter_at(server.port, self.INDEXED, protocol=3)
            with taking(4 * LATE + R, 5 * R):
                check_late(adapter.find_sections, "staff")
            [commands] = server.asked
            assert commands[:-1] == [b"HELLO", b"CLIENT", b"CLIENT", b"SELECT"]

    def test_each_part_of_a_reply(self):
        """R is the time until something comes, however little that is."""
        with FakeServer(lambda _: NAMES) as server, Proxy(server.port) as proxy:
            adapter = adapter_at(proxy.port, self.INDEXED)
            adapter.find_sections("staff")
            proxy.arm(Fault(Action.SPLIT, Point.BEFORE_REPLY, LATE))
            least = (len(NAMES) - 1) * LATE
            assert least > 2 * (C + R)
            with taking(least, len(NAMES) * R, attempts=0):
                assert adapter.find_sections("staff") == {"edit"}
