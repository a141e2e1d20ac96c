"""One adapter in many threads, and in the processes that are forked while they are at it."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis
from harness import servers
from harness.connections import noted_client
from harness.forks import LONGEST_LIFE, forked
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy
from harness.virtual_time import VirtualTime, virtual_time_client

from repoze.what.adapters import AdapterError, SourceError
from repoze.what.plugins.redis import RedisGroupAdapter

THREADS = 32
CHILDREN = 8
CONNECTIONS = 4
USERS = range(40)
DESCRIPTORS = Path("/dev/fd")

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # From Python 3.12 on, whoever forks while threads run is warned.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def groups_of(user):
    """A group of the user's own, and one that is shared with the next or the one before."""
    return {f"group of {user}", f"pair {user // 2}"}


@pytest.fixture
def used():
    """The connections of the source, and of the adapters of a test."""
    return []


@pytest.fixture
def source(server, used, options):
    """The source, with its users."""
    source = RedisGroupAdapter(noted_client(server.port, used), **options)
    for group in sorted(set.union(*map(groups_of, USERS))):
        source.create_section(group)
        source.include_items(group, [f"user {user}" for user in USERS if group in groups_of(user)])
    return source


def ask(adapter, times=1):
    """Ask for the groups of any users, and fail where they are those of another."""
    for user in random.choices(USERS, k=times):
        found = adapter.find_sections({"repoze.what.userid": f"user {user}"})
        assert found == groups_of(user)


def sockets(used):
    """Those of the connections *used* that are open."""
    return {connection._sock for connection in list(used)} - {None}


def check_sockets(used, before, work):
    """Check that *work* is done on sockets, and on none of those *before*."""
    used.clear()
    work()
    assert sockets(used)
    assert not sockets(used) & before


def number_of_clients(server):
    return server.client().info("clients")["connected_clients"]


@pytest.mark.parametrize(
    "options",
    [{}, {"namespace": "tests"}, {"namespace": "tests", "near_cache": True}],
    ids=["plain", "indexed", "near cache"],
)
def test_threads_and_children(server, used, options, source, thorough):
    """As where a server of applications loads them first and then forks its workers."""
    adapter = RedisGroupAdapter(noted_client(server.port, used, socket_timeout=60), **options)
    is_over = threading.Event()
    asked = [0] * THREADS

    def keep_asking(thread):
        while not is_over.is_set():
            ask(adapter)
            asked[thread] += 1
            # Memory answers at once, so that these threads would leave no time for the children.
            time.sleep(0.001)

    def ask_in_threads():
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: ask(adapter, 50), range(4)))

    def in_child(before):
        check_sockets(used, before, ask_in_threads)

    with ThreadPoolExecutor(THREADS) as threads:
        asking = [threads.submit(keep_asking, thread) for thread in range(THREADS)]
        try:
            servers.wait_until(lambda: all(asked))
            for _ in range(50 if thorough else 1):
                with ExitStack() as children:
                    for _ in range(CHILDREN):
                        before = sockets(used)
                        children.enter_context(forked(lambda before=before: in_child(before)))
        finally:
            is_over.set()
        for each in asking:
            each.result()
    ask(adapter, 10)
    adapter.close()


def test_child_of_the_same_number(server, used, options, source, monkeypatch):
    """As the first process of a container and that of a namespace within are both 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    adapter = RedisGroupAdapter(noted_client(server.port, used), **options)
    ask(adapter, 10)
    before = sockets(used)

    with forked(lambda: check_sockets(used, before, lambda: ask(adapter, 10))):
        ask(adapter, 10)
    ask(adapter, 10)


def test_fork_while_a_connection_is_being_made(server, options, source):
    """The lock of the pool is held by a thread that the child does not have."""
    making, made = threading.Event(), threading.Event()

    class SlowConnection(redis.Connection):
        def __init__(self, **settings):
            super().__init__(**settings)
            making.set()
            made.wait(LONGEST_LIFE)

    pool = redis.ConnectionPool(
        connection_class=SlowConnection, host=servers.HOST, port=server.port
    )
    adapter = RedisGroupAdapter(redis.Redis(connection_pool=pool), **options)
    asking = threading.Thread(target=ask, args=(adapter,))
    asking.start()
    assert making.wait(60)

    def in_child():
        made.set()
        ask(adapter, 3)

    try:
        with forked(in_child):
            pass
    finally:
        made.set()
        asking.join(60)


def test_another_process_has_another_pool(server, used, options, source, monkeypatch):
    """The same without a child, in which nobody would count what is covered."""
    adapter = RedisGroupAdapter(noted_client(server.port, used), **options)
    ask(adapter)
    before = sockets(used)
    monkeypatch.setattr(os, "getpid", lambda: 0)
    check_sockets(used, before, lambda: ask(adapter))


FAULTS = [
    Fault(action, point)
    for action in (Action.CLOSE, Action.RESET, Action.SPLIT, Action.GARBLE)
    for point in Point
]
STALLS = [Fault(Action.STALL, point) for point in Point]


@pytest.mark.parametrize("pool_class", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_faults_leak_nothing(server, options, source, pool_class, thorough):
    """No connection, no file descriptor, and no place in the pool is lost to a fault."""
    clients_before = number_of_clients(server)
    descriptors_before = len(list(DESCRIPTORS.iterdir()))
    with Proxy(server.port) as proxy:
        virtual_time = VirtualTime(proxy.holds)
        client = virtual_time_client(
            proxy.port, virtual_time, pool_class, max_connections=CONNECTIONS
        )
        adapter = RedisGroupAdapter(client, **options)
        number = 10_000 if thorough else 150
        # More than that, for some are lost when the connection that they wait on is cut.
        faults = random.choices(FAULTS, k=2 * number) + random.choices(STALLS, k=number // 25)
        random.shuffle(faults)
        proxy.arm(*faults)
        outcomes = {"answered": 0, "refused": 0}

        def meet_faults(thread):
            section = f"section of thread {thread}"
            while proxy.faults < number:
                try:
                    ask(adapter)
                    outcomes["answered"] += 1
                except SourceError:
                    outcomes["refused"] += 1
                with suppress(AdapterError):
                    random.choice([adapter.create_section, adapter.delete_section])(section)
                if random.random() < 0.1:
                    # Some faults are those of new connections.
                    proxy.cut_all()

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            list(threads.map(meet_faults, range(CONNECTIONS)))
        assert all(outcomes.values())
        # Every place in the pool is free.
        virtual_time.is_late = lambda _: False
        proxy.arm(*[HOLD_REPLY] * CONNECTIONS)
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            asking = [threads.submit(ask, adapter) for _ in range(CONNECTIONS)]
            servers.wait_until(lambda: not proxy.is_armed)
            proxy.release()
            for each in asking:
                each.result()
        # It has yet to notice that some are closed.
        servers.wait_until(lambda: number_of_clients(server) <= clients_before + CONNECTIONS)
        proxy.settle()
    assert len(list(DESCRIPTORS.iterdir())) <= descriptors_before + CONNECTIONS
    assert source.check() == []
