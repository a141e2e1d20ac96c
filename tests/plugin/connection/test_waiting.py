"""How long a question can take where the server does not answer.

C is the client's socket_connect_timeout and R its socket_timeout: for the reply to each request, so
also to each of a handshake. What is lost is tried again, once; a time-out is not.

Nobody waits for that here: see `virtual_time`.
"""

import socket
from contextlib import ExitStack, contextmanager
from queue import LifoQueue

import pytest
import redis
from harness import servers
from harness.fake_server import HANDSHAKE, HOST, FakeServer
from harness.judge import OPERATIONS
from harness.operations import fill
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy
from harness.virtual_time import VirtualTime, virtual_time_client

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

C, R = 30, 60
LATE = 0.25 * R
NAMES = b"*1\r\n$4\r\nedit\r\n"


on_one_layout = pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])


@pytest.fixture
def time():
    """The time of every adapter here. Nothing is late at first."""
    return VirtualTime(lambda _: False)


def adapter_at(time, port, options, pool_class=redis.ConnectionPool, **settings):
    settings = {"socket_connect_timeout": C, "socket_timeout": R, **settings}
    client = virtual_time_client(port, time, pool_class, **settings)
    return RedisPermissionAdapter(client, **options)


@contextmanager
def taking(time, seconds, attempts=1):
    """Check how long what is done meanwhile takes, and how often it tries to connect."""
    before, began = time.attempts, time.now
    yield
    assert time.attempts - before == attempts
    assert time.now - began == seconds


def check_late(operation, *arguments):
    with pytest.raises(SourceUnavailable, match="did not answer in time") as raised:
        operation(*arguments)
    assert isinstance(raised.value.__cause__, redis.TimeoutError)


def test_server_that_accepts_and_says_nothing(time, options):
    time.is_late = lambda _: True
    with FakeServer(lambda _: b"") as server:
        server.handshake = dict.fromkeys(HANDSHAKE, b"")
        for operation in OPERATIONS.values():
            with taking(time, R):
                check_late(operation, adapter_at(time, server.port, options))
        # It reads what was sent, though nobody waits any more.
        servers.wait_until(lambda: sum(map(len, server.asked)) >= len(OPERATIONS))
        assert [len(commands) for commands in server.asked] == [1] * len(OPERATIONS)


def test_server_that_does_not_answer_the_question(time, options):
    with FakeServer(lambda _: b"") as server:
        for number, operation in enumerate(OPERATIONS.values()):
            time.is_late = lambda _, number=number: server.answered > number
            with taking(time, R):
                check_late(operation, adapter_at(time, server.port, options))
        assert server.answered == len(OPERATIONS)


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


def test_packets_that_are_dropped_while_connecting(time, deaf_port, options):
    # It is the kernel that waits.
    seconds = 0.03125
    for operation in OPERATIONS.values():
        with taking(time, seconds):
            check_late(
                operation, adapter_at(time, deaf_port, options, socket_connect_timeout=seconds)
            )


@pytest.fixture
def proxy(time, server, options):
    source = RedisPermissionAdapter(server.client(), **options)
    fill(server.client(), **options)
    assert source.find_sections("staff") == {"edit"}
    with Proxy(server.port) as proxy:
        proxy.sleep = time.sleep
        time.is_late = proxy.holds
        yield proxy


@pytest.mark.parametrize("point", [Point.CONNECTING, Point.SELECTING, Point.BEFORE_REPLY])
def test_connection_that_is_lost_late_and_then_nothing(time, proxy, options, point):
    adapter = adapter_at(time, proxy.port, options)
    adapter._section_exists("nobody")
    proxy.arm(Fault(Action.CLOSE, Point.BEFORE_REPLY, LATE), Fault(Action.STALL, point))
    with taking(time, LATE + R):
        check_late(adapter.find_sections, "staff")


@on_one_layout
def test_connection_that_is_lost_late_twice(time, proxy, options):
    adapter = adapter_at(time, proxy.port, options)
    adapter._section_exists("nobody")
    proxy.arm(*[Fault(Action.CLOSE, Point.BEFORE_REPLY, LATE)] * 3)
    with taking(time, 2 * LATE), pytest.raises(SourceUnavailable, match="cannot be reached"):
        adapter.find_sections("staff")


@on_one_layout
@pytest.mark.parametrize("is_connected", [True, False])
def test_server_that_is_paused(time, server, options, is_connected):
    adapter = adapter_at(time, server.port, options)
    if is_connected:
        adapter._section_exists("nobody")
    server.freeze()
    time.is_late = lambda _: True
    try:
        with taking(time, R, attempts=0 if is_connected else 1):
            check_late(adapter.find_sections, "staff")
        # Not on the connection that did not answer.
        with taking(time, R):
            check_late(adapter.create_section, "new")
    finally:
        server.thaw()


@on_one_layout
class TestPool:
    """Where all connections are in use, a `BlockingConnectionPool` waits for its own *timeout*."""

    T = 20

    @pytest.fixture
    def queues(self):
        """That of the client's pool, and that of the adapter's."""
        return []

    @pytest.fixture
    def adapter(self, time, proxy, options, queues):
        class Queue(LifoQueue):
            """Waits as connections do."""

            def __init__(self, maxsize):
                super().__init__(maxsize)
                queues.append(self)

            def get(self, block=True, timeout=None):
                if block and self.empty():
                    self.wait(timeout)
                return super().get(block=False)

            wait = staticmethod(time.sleep)

        adapter = adapter_at(
            *(time, proxy.port, options, redis.BlockingConnectionPool),
            max_connections=1,
            timeout=self.T,
            queue_class=Queue,
        )
        adapter._section_exists("nobody")
        return adapter

    def test_no_connection_becomes_free(self, time, adapter, queues):
        taken = queues[-1].get(block=False)
        with (
            taking(time, self.T, attempts=0),
            pytest.raises(SourceUnavailable, match="max_connections"),
        ):
            adapter.find_sections("staff")
        queues[-1].put(taken)
        assert adapter.find_sections("staff") == {"edit"}

    def test_connection_becomes_free_late(self, time, proxy, adapter, queues):
        """And then the server does not answer: both are waited for."""
        taken = queues[-1].get(block=False)

        def become_free(timeout):
            time.sleep(LATE)
            assert timeout > LATE
            queues[-1].put(taken)

        queues[-1].wait = become_free
        proxy.arm(HOLD_REPLY)
        with taking(time, LATE + R, attempts=0):
            check_late(adapter.find_sections, "staff")


class TestServerThatIsNeverSilentForLong:
    """What C and R do not bound, and what it takes then."""

    INDEXED = {"namespace": "tests"}  # noqa: RUF012 - nobody changes it

    def test_each_reply_of_a_handshake(self, time):
        """Four of them, and then the question's: each may take as long as R."""
        with FakeServer(lambda _: b"") as server:
            server.delay = lambda: time.sleep(LATE)
            time.is_late = lambda _: server.answered == 1
            adapter = adapter_at(time, server.port, self.INDEXED, protocol=3)
            with taking(time, 4 * LATE + R):
                check_late(adapter.find_sections, "staff")
            [commands] = server.asked
            assert commands[:-1] == [b"HELLO", b"CLIENT", b"CLIENT", b"SELECT"]

    def test_each_part_of_a_reply(self, time):
        """R is the time until something comes, however little that is."""
        with FakeServer(lambda _: NAMES) as server, Proxy(server.port) as proxy:
            adapter = adapter_at(time, proxy.port, self.INDEXED)
            adapter.find_sections("staff")
            proxy.sleep = time.sleep
            proxy.arm(Fault(Action.SPLIT, Point.BEFORE_REPLY, LATE))
            seconds = len(NAMES) * LATE
            assert seconds > 2 * (C + R)
            with taking(time, seconds, attempts=0):
                assert adapter.find_sections("staff") == {"edit"}
