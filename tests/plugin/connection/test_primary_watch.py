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

import pytest
import redis
import servers
from forks import forked
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.connection.database import WATCH_EVERY, Database
from repoze.what.plugins.redis.connection.failures import Task

OFTEN = 0.05
SELDOM = 3600
# In seconds: what a loaded machine may add. Sentinel makes a primary a replica after eight or more.
SLACK = 4
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
    return manager_of(sentinel, socket_timeout=2).master_for("staff", socket_timeout=1)


def ask(database):
    assert database.ask(Task("ping"), lambda exchange: exchange.ask("PING")) == b"PONG"


def wait_for_answer(database):
    """Return when Sentinel has answered a question that was asked after this."""
    now = time.monotonic()
    servers.wait_until(lambda: database.confirmation.at > now)
    return database.confirmation


def wait_for_first_answer(database):
    servers.wait_until(lambda: database.confirmation.address is not None)


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
    database = Database(client, 1, watch_every=OFTEN)
    assert database.confirmation == (None, float("-inf"))
    assert not watches() - others
    before = time.monotonic()
    ask(database)
    address, at = wait_for_answer(database)
    assert address == (servers.HOST, primary.port)
    assert before < at <= time.monotonic()
    assert wait_for_answer(database).at > at
    assert len(watches() - others) == 1


def test_only_where_sentinel_knows_the_primary(sentinel, server, others):
    for client in (server.client(), manager_of(sentinel).slave_for("staff")):
        database = Database(client, 1, watch_every=OFTEN)
        ask(database)
        assert database.confirmation is None
    assert not watches() - others


def test_threads_start_one_watch(client, others):
    database = Database(client, 1)
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
    def test_primary_that_is_relieved(self, executable):
        """Who leads the failover says so last, for as long as a replica has yet to follow."""
        first, second, third = [
            servers.RedisServer(
                *(executable, "--replica-priority", priority, "--repl-diskless-sync-delay", "0")
            )
            for priority in ("100", "1", "100")
        ]
        for replica in (second, third):
            replica.client().replicaof(servers.HOST, first.port)
        sentinels = [
            servers.sentinel(
                executable, first, "down-after-milliseconds 60000", "failover-timeout 60000"
            )
            for _ in range(2)
        ]

        def states():
            return [each.client().sentinel_master("staff") for each in sentinels]

        try:
            client = manager_of(*sentinels, socket_timeout=1).master_for("staff")
            adapter = RedisPermissionAdapter(client, namespace="tests")
            servers.wait_until(
                lambda: all(
                    (state["num-slaves"], state["num-other-sentinels"]) == (2, 1)
                    for state in states()
                )
            )
            adapter.create_section("edit")
            adapter.include_item("edit", "staff")
            current = RedisPermissionAdapter(second.client(), namespace="tests")
            servers.wait_until(lambda: current.find_sections("staff") == {"edit"})
            assert adapter.find_sections("staff") == {"edit"}
            third.freeze()
            sentinels[0].client().execute_command("SENTINEL", "FAILOVER", "staff")
            servers.wait_until(lambda: states()[1]["port"] == second.port)
            # Who asks it in order is sent to the old primary, which still is one.
            assert states()[0]["port"] == first.port
            current.exclude_item("edit", "staff")
            servers.wait_until(lambda: adapter.find_sections("staff") == set(), WATCH_EVERY + SLACK)
            assert states()[0]["port"] == first.port
            assert first.client().info("replication")["role"] == "master"
            adapter.create_section("new")
            assert current.get_all_sections() == {"edit": set(), "new": set()}
        finally:
            third.thaw()
            for each in (*sentinels, first, second, third):
                each.stop()

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
            database = Database(client, 1, watch_every=OFTEN)
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
    def test_lookups_do_not_wait(self, primary, sentinel, client):
        adapter = RedisPermissionAdapter(client, namespace="tests")
        adapter.create_section("edit")
        adapter.include_item("edit", "staff")
        sentinel.freeze()
        end, longest, number = time.monotonic() + 2.5, 0, 0
        while time.monotonic() < end:
            asked = time.monotonic()
            assert adapter.find_sections("staff") == {"edit"}
            longest = max(longest, time.monotonic() - asked)
            number += 1
            time.sleep(0.001)
        # Nothing was confirmed meanwhile.
        at = adapter._database.confirmation.at
        assert at < end - 2
        assert longest < 1
        assert number > 100
        sentinel.thaw()
        assert wait_for_answer(adapter._database).at > at

    def test_it_goes_on_asking(self, primary, sentinel, caplog):
        caplog.set_level(logging.DEBUG)
        client = manager_of(sentinel, password=PASSWORD).master_for("staff")
        database = Database(client, 1, watch_every=OFTEN)
        sentinel.client().execute_command("ACL", "SETUSER", "default", f">{PASSWORD}")
        ask(database)
        at = wait_for_answer(database).at
        sentinel.halt()
        complaint = "No Sentinel says where service 'staff' is (MasterNotFoundError)."
        servers.wait_until(lambda: complaint in caplog.text)
        last = database.confirmation
        assert last.address == (servers.HOST, primary.port)
        assert last.at >= at
        ask(database)
        assert database.confirmation == last
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

        database = Database(client, 1)
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
        database = Database(client, 1, watch_every=SELDOM)
        ask(database)
        wait_for_first_answer(database)
        lost = []

        def lose(exchange):
            if not lost:
                # Earlier, the pool itself would notice and connect anew.
                lost.append(time.monotonic())
                primary.client().client_kill_filter(_type="normal", skipme=True)
            return exchange.ask("PING")

        assert database.ask(Task("ping"), lose) == b"PONG"
        servers.wait_until(lambda: database.confirmation.at > lost[0])

    def test_many_in_a_row(self, primary, client):
        """Sentinels are not asked for each."""
        database = Database(client, 1, watch_every=SELDOM)
        ask(database)
        wait_for_first_answer(database)
        watch = database._opened.watch
        confirmed = []
        end = time.monotonic() + 1
        while time.monotonic() < end:
            watch.hurry()
            if watch.confirmation not in confirmed:
                confirmed.append(watch.confirmation)
        assert 2 <= len(confirmed) <= 11

    def test_time_out(self, primary, client):
        database = Database(client, 1, watch_every=SELDOM)
        ask(database)
        wait_for_first_answer(database)
        primary.freeze()
        frozen = time.monotonic()
        with pytest.raises(SourceUnavailable, match="did not answer in time"):
            ask(database)
        servers.wait_until(lambda: database.confirmation.at > frozen)


class TestEnd:
    """No thread is left, and no connection."""

    @pytest.fixture
    def database(self, primary, sentinel, client, others):
        database = Database(client, 1, watch_every=OFTEN)
        ask(database)
        wait_for_answer(database)
        assert clients_of(primary) == 1
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

    def test_closing_while_sentinel_is_asked(self, primary, sentinel, others, database):
        sentinel.freeze()
        time.sleep(2 * OFTEN)
        closed = time.monotonic()
        database.close()
        assert time.monotonic() - closed < 1
        servers.wait_until(lambda: not watches() - others)

    @pytest.mark.parametrize("interval", [OFTEN, SELDOM])
    def test_collected(self, primary, sentinel, client, others, interval):
        def use_one():
            ask(Database(client, 1, watch_every=interval))

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
            timeout=60,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "set()\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestFork:
    def test_child_has_a_watch_of_its_own(self, primary, client):
        database = Database(client, 1, watch_every=OFTEN)
        ask(database)
        wait_for_answer(database)

        def in_child():
            assert not watches()
            assert database.confirmation.address is None
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
                made.wait(60)

        manager = manager_of(sentinel)
        manager.sentinels[0].connection_pool.connection_class = SlowConnection
        database = Database(manager.master_for("staff"), 1, watch_every=OFTEN)
        asking = threading.Thread(target=ask, args=(database,))
        asking.start()
        assert making.wait(10)

        def in_child():
            made.set()
            ask(database)
            wait_for_answer(database)

        try:
            with forked(in_child):
                pass
        finally:
            made.set()
            asking.join(10)

    def test_closing_what_another_process_opened(self, primary, sentinel, client, monkeypatch):
        database = Database(client, 1, watch_every=OFTEN)
        ask(database)
        opened = database._opened
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 0)
            database.close()
        now = time.monotonic()
        servers.wait_until(lambda: opened.watch.confirmation.at > now)
        assert clients_of(primary) == 1
        opened.close()
        servers.wait_until(lambda: clients_of(primary) == 0)
