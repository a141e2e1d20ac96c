"""Questions that are interrupted anywhere, by an error of the application's."""

import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis
from harness import cluster, servers
from harness.fake_server import HOST, FakeServer
from harness.interruptions import KINDS, TimeLimit, points
from harness.operations import fill
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.connection.database import ServerDatabase
from repoze.what.plugins.redis.connection.failures import Operation

INDEXED = {"namespace": "tests"}
OF_ONE = {"max_connections": 1, "socket_timeout": 30}
RAISING, WAITING = redis.ConnectionPool, redis.BlockingConnectionPool


def adapter_on(server, options, pool_class):
    fill(server.client(), **options)
    pool = pool_class(host=HOST, port=server.port, **OF_ONE)
    return RedisPermissionAdapter(redis.Redis(connection_pool=pool), **options)


def check(adapter):
    """Check that there is a connection, and that it owes no reply."""
    assert adapter.find_sections("staff") == {"edit"}
    assert adapter.find_sections("nobody") == set()
    assert adapter._section_exists("read")


def check_connections(server, expected):
    """Check that there are so many, when what is not used any more has been collected."""

    def number():
        gc.collect()
        return sum(each["db"] == "2" for each in server.client().client_list())

    servers.wait_until(lambda: number() == expected)


class TestPoolOfOne:
    """Its place is free again, and what is in it owes nothing."""

    @pytest.fixture(params=[RAISING, WAITING], ids=["raising", "waiting"])
    def adapter(self, request, server, options):
        return adapter_on(server, options, request.param)

    def test_lookup(self, server, adapter):
        check(adapter)
        for _ in points(lambda: adapter.find_sections("staff")):
            check(adapter)
        check_connections(server, 1)

    def test_write(self, server, adapter):
        for _ in points(lambda: adapter.set_section_items("edit", ["staff", "admins"])):
            check(adapter)
        check_connections(server, 1)

    def test_closing(self, server, adapter, thorough):
        for _ in points(adapter.close, 1 if thorough else 7):
            check(adapter)
        check_connections(server, 0)

    def test_connecting(self, request, server, adapter, options, thorough):
        if not thorough and request.node.callspec.id != "raising-indexed":
            pytest.skip("what differs in the others is what the other tests meet")
        for _ in points(lambda: adapter.find_sections("staff"), 1 if thorough else 3):
            check(adapter)
            adapter.close()
        check_connections(server, 1)


class TestSeveralServers:
    def test_sentinel(self, executable, thorough):
        watched = servers.RedisServer(executable)
        watch = servers.sentinel(executable, watched)
        try:
            fill(watched.client(), **INDEXED)
            manager = Sentinel([(HOST, watch.port)], sentinel_kwargs={"socket_timeout": 30})
            adapter = RedisPermissionAdapter(manager.master_for("staff", **OF_ONE), **INDEXED)
            check(adapter)
            for _ in points(lambda: adapter.find_sections("staff")):
                check(adapter)
                if thorough:
                    adapter.close()
            adapter.close()
            check_connections(watched, 0)
        finally:
            watch.stop()
            watched.stop()

    def test_cluster(self, executable, thorough):
        whole = cluster.running(executable)
        whole.empty()
        fill(whole.client(), **INDEXED)
        adapter = RedisPermissionAdapter(whole.client(**OF_ONE), **INDEXED)
        check(adapter)
        for _ in points(lambda: adapter.find_sections("staff")):
            check(adapter)
            if thorough:
                adapter.close()


def test_waiting_for_replicas():
    """It is not told as one of too few replicas."""
    replies = {b"EVALSHA": b"*1\r\n$4\r\ndone\r\n", b"WAIT": b":0\r\n"}
    with FakeServer(lambda words: replies[words[0]]) as server:
        client = redis.Redis(host=HOST, port=server.port, socket_timeout=30)
        adapter = RedisPermissionAdapter(client, wait_replicas=1)

        def write():
            with suppress(SourceError):
                adapter.create_section("new")

        write()
        for _ in points(write):
            pass


class TestErrorsOfTheApplication:
    @pytest.fixture
    def database(self, server):
        return ServerDatabase(server.client(), 1)

    @staticmethod
    def raising(error):
        def question(exchange):
            exchange.send("PING")
            raise error

        return question

    @pytest.mark.parametrize("base", [*KINDS, ValueError, TypeError, RuntimeError, AssertionError])
    def test_class_of_its_own(self, database, base):
        error = type("JobTimeout", (base,), {})()
        with pytest.raises(type(error)) as raised:
            database.run(Operation("ping"), self.raising(error))
        assert raised.value is error
        assert raised.value.__cause__ is raised.value.__context__ is None
        assert database.run(Operation("ping"), lambda exchange: exchange.send("PING")) == b"PONG"

    @pytest.mark.parametrize("kind", [Exception, RuntimeError, AssertionError])
    def test_class_that_no_reply_causes(self, database, kind):
        with pytest.raises(kind):
            database.run(Operation("ping"), self.raising(kind("too late")))

    @pytest.mark.parametrize("kind", [ValueError, MemoryError, OSError, redis.RedisError])
    def test_class_that_a_reply_may_cause(self, database, kind):
        with pytest.raises(SourceError):
            database.run(Operation("ping"), self.raising(kind("what")))

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
    def test_handler_of_a_signal(self):
        """While a server is waited for, as it is for most of the time."""

        def raise_time_limit(*_):
            raise TimeLimit

        before = signal.signal(signal.SIGALRM, raise_time_limit)
        try:
            with FakeServer(lambda _: b"") as server:
                client = redis.Redis(host=HOST, port=server.port, **OF_ONE)
                adapter = RedisPermissionAdapter(client, **INDEXED)
                for _ in range(3):
                    asked = len(server.asked)
                    alarm = threading.Thread(target=alarm_when_asked, args=(server, asked))
                    alarm.start()
                    with pytest.raises(TimeLimit):
                        adapter.find_sections("staff")
                    alarm.join()
        finally:
            signal.signal(signal.SIGALRM, before)


def alarm_when_asked(server, connections):
    servers.wait_until(lambda: any(b"SMEMBERS" in each for each in server.asked[connections:]))
    os.kill(os.getpid(), signal.SIGALRM)


def pool_of(database):
    return database.run(Operation("ping"), lambda exchange: exchange.pool)


def test_pool_that_was_left_already(server, monkeypatch):
    """By whoever closed the database meanwhile: the new one stays."""
    database = ServerDatabase(server.client(), 1)
    opened = []

    def release(pool, _):
        monkeypatch.undo()
        database.close()
        opened.append(pool_of(database))
        raise TimeLimit

    monkeypatch.setattr(redis.ConnectionPool, "release", release)
    with pytest.raises(TimeLimit):
        database.run(Operation("ping"), lambda exchange: exchange.send("PING"))
    assert [pool_of(database)] == opened
    assert database.run(Operation("ping"), lambda exchange: exchange.send("PING")) == b"PONG"


def test_handshake_that_another_thread_might_go_on_with(server, monkeypatch):
    """What was not wholly made is closed before anybody else can have it."""
    begun, interrupted = threading.Event(), threading.Event()

    class Connection(redis.Connection):
        def on_connect(self):
            if not begun.is_set():
                super().on_connect()
                self.send_command("SELECT", 7)
                begun.set()
                raise TimeLimit
            super().on_connect()

    pool = redis.ConnectionPool(connection_class=Connection, host=HOST, port=server.port)
    database = ServerDatabase(redis.Redis(connection_pool=pool), 1)
    release = redis.ConnectionPool.release

    def release_and_let_another_ask(pool, connection):
        release(pool, connection)
        if not interrupted.is_set():
            interrupted.set()
            with ThreadPoolExecutor() as threads:
                asked = threads.submit(
                    database.run, Operation("ping"), lambda exchange: exchange.send("PING")
                )
                assert asked.result(30) == b"PONG"

    monkeypatch.setattr(redis.ConnectionPool, "release", release_and_let_another_ask)
    with pytest.raises(TimeLimit):
        database.run(Operation("ping"), lambda exchange: exchange.send("PING"))
    assert interrupted.is_set()
