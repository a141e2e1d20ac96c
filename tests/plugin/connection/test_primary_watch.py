"""Sentinels are asked all the time where the primary is, and no lookup waits for them."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest
import redis
from harness import servers
from harness.forks import forked
from harness.operations import fill
from harness.proxy import HOLD_REPLY, Proxy
from harness.virtual_time import VirtualTime, VirtualTimeManagedConnection
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter, adapters
from repoze.what.plugins.redis.connection import primary as primary_module
from repoze.what.plugins.redis.connection.database import WATCH_EVERY, ServerDatabase
from repoze.what.plugins.redis.connection.failures import Operation

OFTEN = 0.05
SELDOM = 3600
# In seconds: what comes at all comes sooner.
LONG = 60
PASSWORD = "s3ntinel-p4ssword"
SCRIPT = """
import sys
from redis.sentinel import Sentinel
from repoze.what.plugins.redis import RedisPermissionAdapter

client = Sentinel([(sys.argv[1], int(sys.argv[2]))]).master_for("staff")
print(RedisPermissionAdapter(client).find_sections("staff"))
"""


def watches():
    return {thread for thread in threading.enumerate() if thread.name == "PrimaryWatch"}


@pytest.fixture
def others():
    """The threads of other tests, whose adapters have yet to be collected."""
    return watches()


@pytest.fixture
def primary(executable):
    primary = servers.RedisServer(executable)
    yield primary
    primary.thaw()
    primary.stop()


@pytest.fixture
def sentinel(executable, primary):
    sentinel = servers.sentinel(executable, primary)
    yield sentinel
    sentinel.thaw()
    sentinel.stop()


def manager_of(*sentinels, **settings):
    return Sentinel([(servers.HOST, each.port) for each in sentinels], sentinel_kwargs=settings)


@pytest.fixture
def client(sentinel):
    return manager_of(sentinel, socket_timeout=LONG).master_for("staff", socket_timeout=LONG)


@pytest.fixture
def proxied(primary, sentinel):
    """A proxy before the Sentinel, and a client that knows of it."""
    with Proxy(sentinel.port) as proxy:
        yield proxy, manager_of(proxy).master_for("staff", socket_timeout=LONG)


def ask(database):
    assert database.run(Operation("ping"), lambda exchange: exchange.send("PING")) == b"PONG"


def wait_for_answer(database):
    """Return when Sentinel has answered a question that was asked after this."""
    now = time.monotonic()
    servers.wait_until(lambda: database.primary_address.at > now)
    return database.primary_address


def wait_for_first_answer(database):
    servers.wait_until(lambda: database.primary_address.address is not None)


def clients_of(server):
    """How many connections there are, but for those of this function and of Sentinels."""
    return len(
        [
            client
            for client in server.client().client_list()
            if "sentinel" not in client["name"] and not client["cmd"].startswith("client")
        ]
    )


def test_confirmation(primary, client, others):
    database = ServerDatabase(client, 1, watch_every=OFTEN)
    assert database.primary_address == (None, float("-inf"))
    assert not watches() - others
    before = time.monotonic()
    ask(database)
    address, at = wait_for_answer(database)
    assert address == (servers.HOST, primary.port)
    assert before < at <= time.monotonic()
    assert wait_for_answer(database).at > at
    assert len(watches() - others) == 1


@pytest.fixture
def pause(others, monkeypatch):
    """Has the watch of a test call another function than `time.sleep` between two rounds.

    And then sleep in a lock that notes for how long.
    """

    def replace(pause, sleeps):
        def pause_ours(seconds):
            (time.sleep if threading.current_thread() in others else pause)(seconds)

        clock = SimpleNamespace(monotonic=time.monotonic, sleep=pause_ours)
        monkeypatch.setattr(primary_module, "time", clock)
        locks = SimpleNamespace(Thread=threading.Thread, Lock=partial(Sleep, sleeps))
        monkeypatch.setattr(primary_module, "threading", locks)

    return replace


class Sleep:
    """What a watch sleeps in; *seconds* has for how long it would."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._lock = threading.Lock()

    def acquire(self, timeout=None):
        if timeout is not None:
            self._seconds.append(timeout)
        assert self._lock.acquire(timeout=LONG)

    def release(self):
        self._lock.release()


def test_sentinels_are_asked_every_second(client, pause):
    seconds = []
    pause(seconds.append, seconds)
    database = ServerDatabase(client, 1)
    ask(database)
    servers.wait_until(lambda: len(seconds) == 2)
    assert sum(seconds) == WATCH_EVERY == 1
    database.close()


def test_only_where_sentinel_knows_the_primary(sentinel, server, others):
    for client in (server.client(), manager_of(sentinel).slave_for("staff")):
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        ask(database)
        assert database.primary_address is None
    assert not watches() - others


def test_threads_start_one_watch(client, others):
    database = ServerDatabase(client, 1)
    barrier = threading.Barrier(16)

    def ask_at_once(_):
        barrier.wait()
        ask(database)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask_at_once, range(16)))
    # What others have started ends at once.
    wait_for_first_answer(database)
    servers.wait_until(lambda: len(watches() - others) == 1)


class TestFailover:
    @pytest.fixture
    def trio(self, executable):
        """A primary and two replicas, of which the first is to be its successor."""
        trio = [
            servers.RedisServer(
                *(executable, "--replica-priority", priority, "--repl-diskless-sync-delay", "0")
            )
            for priority in ("100", "1", "100")
        ]
        for replica in trio[1:]:
            replica.client().replicaof(servers.HOST, trio[0].port)
        yield trio
        trio[2].thaw()
        for each in trio:
            each.stop()

    @pytest.fixture
    def sentinels(self, executable, trio, request):
        """So many of them, which know each other and all servers."""
        options = "down-after-milliseconds 60000", "failover-timeout 60000"
        sentinels = servers.sentinels(request.param, executable, trio[0], *options)
        servers.wait_until(
            lambda: all(servers.is_ready(sentinel, 2, request.param) for sentinel in sentinels)
        )
        yield sentinels
        for each in sentinels:
            each.stop()

    def state(self, sentinel):
        return sentinel.client().sentinel_master("staff")

    @pytest.mark.parametrize("sentinels", [2], indirect=True)
    def test_primary_that_is_relieved(self, trio, sentinels):
        """Who leads the failover says so last, for as long as a replica has yet to follow."""
        first, second, third = trio
        client = manager_of(*sentinels, socket_timeout=LONG).master_for("staff")
        adapter = RedisPermissionAdapter(client, namespace="tests")
        adapter.create_section("edit")
        adapter.include_item("edit", "staff")
        current = RedisPermissionAdapter(second.client(), namespace="tests")
        servers.wait_until(lambda: current.find_sections("staff") == {"edit"})
        assert adapter.find_sections("staff") == {"edit"}
        third.freeze()
        sentinels[0].client().execute_command("SENTINEL", "FAILOVER", "staff")
        servers.wait_until(lambda: self.state(sentinels[1])["port"] == second.port)
        # Who asks it in order is sent to the old primary, which still is one.
        assert self.state(sentinels[0])["port"] == first.port
        current.exclude_item("edit", "staff")
        servers.wait_until(lambda: adapter.find_sections("staff") == set())
        assert self.state(sentinels[0])["port"] == first.port
        assert first.client().info("replication")["role"] == "master"
        adapter.create_section("new")
        assert current.get_all_sections() == {"edit": set(), "new": set()}

    @pytest.mark.parametrize("sentinels", [1], indirect=True)
    def test_primary_that_only_who_leads_knows(self, trio, sentinels):
        """It names the old one to us, and the new one to others: that confirms nothing."""
        first, second, third = trio
        [sentinel] = sentinels
        with Proxy(sentinel.port) as proxy:
            database = ServerDatabase(manager_of(proxy).master_for("staff"), 1, watch_every=OFTEN)
            ask(database)
            assert wait_for_answer(database).address == (servers.HOST, first.port)
            third.freeze()
            sentinel.client().execute_command("SENTINEL", "FAILOVER", "staff")
            named = sentinel.client().sentinel_get_master_addr_by_name
            servers.wait_until(lambda: named("staff")[1] == second.port)
            since, asked = time.monotonic(), proxy.round_trips
            # Each time it is asked twice. One of them may have been under way.
            servers.wait_until(lambda: proxy.round_trips >= asked + 6)
            assert self.state(sentinel)["port"] == first.port
            assert database.primary_address.at < since
            third.thaw()
            assert wait_for_answer(database).address == (servers.HOST, second.port)
            database.close()

    @pytest.mark.parametrize("first", [0, 1])
    def test_sentinel_that_has_missed_one(self, executable, primary, first):
        """Those that have never heard of each other are the same to an adapter."""
        current = servers.RedisServer(executable)
        sentinels = [
            servers.sentinel(executable, primary, "config-epoch 1"),
            servers.sentinel(executable, current, "config-epoch 2"),
        ]
        try:
            client = manager_of(sentinels[first], sentinels[not first]).master_for("staff")
            database = ServerDatabase(client, 1, watch_every=OFTEN)
            ask(database)
            assert wait_for_answer(database).address == (servers.HOST, current.port)
            ask(database)
            assert clients_of(primary) == 0
            # What it knows serves as long as there is nothing better.
            sentinels[1].halt()
            assert wait_for_answer(database).address == (servers.HOST, primary.port)
        finally:
            for each in (*sentinels, current):
                each.stop()


class TestNothingFromSentinel:
    def test_lookups_do_not_wait(self, proxied):
        proxy, client = proxied
        adapter = RedisPermissionAdapter(client, namespace="tests")
        adapter.create_section("edit")
        adapter.include_item("edit", "staff")
        proxy.arm(HOLD_REPLY)
        proxy.wait_until_held()
        answered = proxy.round_trips
        for _ in range(100):
            assert adapter.find_sections("staff") == {"edit"}
        assert proxy.round_trips == answered
        proxy.release()
        servers.wait_until(lambda: proxy.round_trips > answered)

    def test_it_goes_on_asking(self, primary, sentinel, caplog):
        caplog.set_level(logging.DEBUG)
        client = manager_of(sentinel, password=PASSWORD).master_for("staff")
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        sentinel.client().execute_command("ACL", "SETUSER", "default", f">{PASSWORD}")
        ask(database)
        at = wait_for_answer(database).at
        sentinel.halt()
        complaint = "No Sentinel says where service 'staff' is (MasterNotFoundError)."
        servers.wait_until(lambda: complaint in caplog.text)
        last = database.primary_address
        assert last.address == (servers.HOST, primary.port)
        assert last.at >= at
        ask(database)
        assert database.primary_address == last
        sentinel.resume()
        # It may have forgotten it.
        with suppress(redis.RedisError):
            sentinel.client().execute_command("ACL", "SETUSER", "default", f">{PASSWORD}")
        assert wait_for_answer(database).address == (servers.HOST, primary.port)
        assert PASSWORD not in caplog.text
        assert {record.levelname for record in caplog.records} == {"DEBUG"}

    def test_no_thread_can_be_started(self, client, others, monkeypatch):
        """As when the interpreter is about to end."""

        def refuse(_):
            raise RuntimeError("can't start new thread")

        database = ServerDatabase(client, 1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            ask(database)
            ask(database)
        assert not watches() - others
        ask(database)
        assert len(watches() - others) == 1


class TestHurry:
    """It does not wait for its turn when something has happened to a connection."""

    def test_connection_that_is_lost(self, primary, client):
        database = ServerDatabase(client, 1, watch_every=SELDOM)
        ask(database)
        wait_for_first_answer(database)
        lost = []

        def lose(exchange):
            if not lost:
                # Earlier, the pool itself would notice and connect anew.
                lost.append(time.monotonic())
                primary.client().client_kill_filter(_type="normal", skipme=True)
            return exchange.send("PING")

        assert database.run(Operation("ping"), lose) == b"PONG"
        servers.wait_until(lambda: database.primary_address.at > lost[0])

    def test_many_in_a_row(self, client, pause):
        """Sentinels are not asked for each."""
        pauses, sleeps = [], []
        goes_on = threading.Semaphore(0)

        def pause_until_told(seconds):
            pauses.append(seconds)
            assert goes_on.acquire(timeout=LONG)

        pause(pause_until_told, sleeps)
        watch = primary_module.PrimaryWatch(client.connection_pool, SELDOM)
        watch.start()
        for number in (1, 2, 3):
            servers.wait_until(lambda number=number: len(pauses) == number)
            confirmed = watch.primary_address
            for _ in range(100):
                watch.wake()
            assert watch.primary_address is confirmed
            goes_on.release()
        # Those of a pause want no more than one round.
        goes_on.release()
        servers.wait_until(lambda: len(sleeps) == 4)
        assert pauses == [0.1] * 4
        watch.stop()
        goes_on.release()

    @pytest.mark.parametrize("is_connected", [True, False])
    def test_time_out(self, primary, sentinel, is_connected):
        passed = VirtualTime(lambda _: False)
        client = manager_of(sentinel).master_for(
            "staff",
            connection_class=VirtualTimeManagedConnection,
            virtual_time=passed,
            socket_timeout=LONG,
        )
        database = ServerDatabase(client, 1, watch_every=SELDOM)
        ask(database)
        wait_for_first_answer(database)
        if not is_connected:
            # As redis-py does, where the watch and the first question learn the address at once.
            pool = database.run(Operation("ping"), lambda exchange: exchange.pool)
            pool.disconnect(inuse_connections=False)
        primary.freeze()
        passed.is_late = lambda _: True
        frozen = time.monotonic()
        with pytest.raises(SourceUnavailable, match="did not answer in time"):
            ask(database)
        servers.wait_until(lambda: database.primary_address.at > frozen)


class TestEnd:
    """No thread is left, and no connection."""

    @pytest.fixture
    def database(self, primary, sentinel, client, others):
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        ask(database)
        wait_for_answer(database)
        # Where both learn the address at once, redis-py closes the connection of the first.
        ask(database)
        servers.wait_until(lambda: clients_of(primary) == 1)
        # The watch, and a connection that was being made at the same time.
        assert clients_of(sentinel) in {1, 2}
        return database

    def check_end(self, primary, sentinel, others):
        servers.wait_until(lambda: not watches() - others)
        servers.wait_until(lambda: clients_of(primary) == 0)
        servers.wait_until(lambda: clients_of(sentinel) == 0)

    def test_closing(self, primary, sentinel, others, database):
        for _ in range(2):
            database.close()
            self.check_end(primary, sentinel, others)
            ask(database)
            wait_for_answer(database)
            assert len(watches() - others) == 1
        database.close()
        database.close()
        self.check_end(primary, sentinel, others)

    def test_closing_while_sentinel_is_asked(self, proxied, others):
        proxy, client = proxied
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        ask(database)
        proxy.arm(HOLD_REPLY)
        proxy.wait_until_held()
        database.close()
        # It waits for the answer, and nobody waits for it.
        assert watches() - others
        proxy.release()
        servers.wait_until(lambda: not watches() - others)

    @pytest.mark.parametrize("interval", [OFTEN, SELDOM])
    def test_collected(self, primary, sentinel, client, others, interval):
        def use_one():
            ask(ServerDatabase(client, 1, watch_every=interval))

        def is_over():
            # In redis-py 5 a pool refers to itself, and the thread may have it as it is asking.
            gc.collect()
            return not watches() - others

        use_one()
        servers.wait_until(is_over)
        # So does what the thread had last.
        gc.collect()
        self.check_end(primary, sentinel, others)

    def test_interpreter_ends(self, sentinel):
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, servers.HOST, str(sentinel.port)],
            check=False,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "set()\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestFork:
    def test_child_has_a_watch_of_its_own(self, primary, client):
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        ask(database)
        wait_for_answer(database)

        def in_child():
            assert not watches()
            assert database.primary_address.address is None
            ask(database)
            wait_for_answer(database)
            assert len(watches()) == 1
            database.close()
            servers.wait_until(lambda: not watches())

        with forked(in_child):
            pass
        assert wait_for_answer(database).address == (servers.HOST, primary.port)

    def test_while_a_connection_to_sentinel_is_being_made(self, sentinel):
        """The lock of that pool is held by a thread that the child does not have."""
        making, made = threading.Event(), threading.Event()

        class SlowConnection(redis.Connection):
            def __init__(self, **settings):
                super().__init__(**settings)
                making.set()
                made.wait(LONG)

        manager = manager_of(sentinel)
        manager.sentinels[0].connection_pool.connection_class = SlowConnection
        database = ServerDatabase(manager.master_for("staff"), 1, watch_every=OFTEN)
        asking = threading.Thread(target=ask, args=(database,))
        asking.start()
        assert making.wait(LONG)

        def in_child():
            made.set()
            ask(database)
            wait_for_answer(database)

        try:
            with forked(in_child):
                pass
        finally:
            made.set()
            asking.join(LONG)

    def test_closing_what_another_process_opened(self, primary, sentinel, client, monkeypatch):
        database = ServerDatabase(client, 1, watch_every=OFTEN)
        ask(database)
        wait_for_answer(database)
        ask(database)
        opened = database._client
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 0)
            database.close()
        now = time.monotonic()
        servers.wait_until(lambda: opened.watch.primary_address.at > now)
        servers.wait_until(lambda: clients_of(primary) == 1)
        opened.close()
        servers.wait_until(lambda: clients_of(primary) == 0)


def test_primary_that_was_relieved_says_so(executable, options, monkeypatch):
    """At once, also before Sentinel is asked again: what was revoked elsewhere is not granted."""
    if "valkey" not in servers.version(executable):
        pytest.skip("Valkey has it since 8.0")
    monkeypatch.setattr(adapters, "WATCH_EVERY", 3600)
    first, second = servers.RedisServer(executable), servers.RedisServer(executable)
    addresses = [first.port]

    class FixedSentinel(Sentinel):
        def discover_master(self, service_name):
            return servers.HOST, addresses[-1]

    try:
        adapter = RedisPermissionAdapter(FixedSentinel([]).master_for("staff"), **options)
        fill(first.client(), **options)
        assert adapter.find_sections("staff") == {"edit"}
        addresses.append(second.port)
        first.client().replicaof(servers.HOST, 1)
        assert adapter.find_sections("staff") == set()
        adapter.create_section("new")
        there = RedisPermissionAdapter(second.client(), **options)
        assert there.get_section_names() == {"new"}
        # Where Sentinel does not know it yet, nothing is answered.
        second.client().replicaof(servers.HOST, 1)
        with pytest.raises(SourceUnavailable, match="it was relieved: REDIRECT"):
            adapter.find_sections("staff")
        adapter.close()
    finally:
        first.stop()
        second.stop()
