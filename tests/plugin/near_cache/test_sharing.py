"""Near caches of groups and of permissions that share a tracking connection, and questions."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
import redis
from harness import servers
from harness.forks import forked
from harness.interruptions import points, raising
from harness.near_caches import (
    LONG,
    Clock,
    be_impatient,
    info,
    is_hit,
    number_of_answers,
    number_of_tracking_connections,
    wait_until_hit,
)
from harness.operations import create_sections
from harness.proxy import HOLD_REPLY, Proxy

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter

ROSA, BEN = ({"repoze.what.userid": user} for user in ("rosa", "ben"))
GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "readers": {"ada"}}
PERMISSIONS = {"publish": {"editors"}, "write": {"writers"}, "read": {"readers"}}
FOUND = {"editors", "writers"}, {"publish", "write"}


def filled(client):
    adapters = Adapters(
        RedisGroupAdapter(client, namespace="tests"),
        RedisPermissionAdapter(client, namespace="tests"),
    )
    create_sections(adapters.groups, GROUPS)
    create_sections(adapters.permissions, PERMISSIONS)
    return adapters


@pytest.fixture
def writer(server):
    return filled(server.client())


@pytest.fixture
def connect(writer, server):
    with ExitStack() as closing:

        def connect(client=None, of_groups=None, of_permissions=None, **options):
            options = {"namespace": "tests", "near_cache": True, "max_age": LONG} | options
            options.setdefault("max_staleness", LONG)
            client = client or server.client(socket_timeout=30)
            return Adapters(
                closing.enter_context(RedisGroupAdapter(client, **options | (of_groups or {}))),
                closing.enter_context(
                    RedisPermissionAdapter(client, **options | (of_permissions or {}))
                ),
            )

        yield connect


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def at_proxy(proxy):
    return redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)


def find(adapters, user=ROSA):
    return adapters.groups.find_with_permissions(user, adapters.permissions)


def hits(adapters):
    return [info(adapter).hits for adapter in adapters]


def is_known(adapters, user=ROSA):
    before = hits(adapters)
    find(adapters, user)
    return [now - then for now, then in zip(hits(adapters), before, strict=True)] == [1, 1]


def wait_until_known(adapters, user=ROSA):
    servers.wait_until(lambda: is_known(adapters, user))


def wait_until_found(adapters, expected, user=ROSA):
    servers.wait_until(lambda: find(adapters, user) == expected)


class TestRoundTrips:
    """Counted at the socket."""

    def test_request(self, proxy, at_proxy, connect, writer, questions_of_a_request):
        adapters = connect(at_proxy)
        assert find(writer) == FOUND
        # No later question has to send a script along.
        writer.why("rosa", "write")
        # The question, and the tracking connection's SUBSCRIBE and PING.
        with proxy.counted(questions_of_a_request + 2):
            assert find(adapters) == FOUND
        with proxy.counted(questions_of_a_request):
            assert find(adapters) == FOUND
        with proxy.counted(0):
            for _ in range(10):
                assert find(adapters) == FOUND
            assert adapters.can("rosa", "publish")
            assert not adapters.can("rosa", "read")
            assert adapters.permissions_of("rosa") == FOUND[1]
            assert adapters.groups_of("rosa") == FOUND[0]
        with proxy.counted(questions_of_a_request):
            assert adapters.why("rosa", "write") == {"writers"}
        assert info(adapters.groups)[3:] == info(adapters.permissions)[3:]
        assert info(adapters.groups).connections == 1

    def test_another_user_of_these_groups(self, proxy, at_proxy, connect, questions_of_a_request):
        adapters = connect(at_proxy)
        adapters.groups.include_item("writers", "ben")
        servers.wait_until(lambda: is_known(adapters))
        with proxy.counted(questions_of_a_request):
            assert find(adapters, BEN) == FOUND
        with proxy.counted(0):
            assert find(adapters, BEN) == FOUND

    def test_user_in_no_group(self, proxy, at_proxy, connect):
        adapters = connect(at_proxy)
        nobody = {"repoze.what.userid": "nobody"}
        wait_until_known(adapters)
        with proxy.counted(1):
            assert find(adapters, nobody) == (set(), set())
        with proxy.counted(0):
            assert find(adapters, nobody) == (set(), set())
            assert find(adapters, None) == (set(), set())

    def test_each_by_itself(self, proxy, at_proxy, connect):
        """They are the same answers."""
        adapters = connect(at_proxy)
        wait_until_known(adapters)
        with proxy.counted(0):
            assert adapters.groups.find_sections(ROSA) == FOUND[0]
            assert adapters.permissions.find_sections_many(FOUND[0]) == FOUND[1]

    def test_middleware(self, proxy, at_proxy, connect):
        adapters = connect(at_proxy)
        metadata = AuthorizationMetadata({"g": adapters.groups}, {"p": adapters.permissions})
        environ = {}
        wait_until_known(adapters)
        with proxy.counted(0):
            metadata.add_metadata(environ, {"repoze.who.userid": "rosa"})
        assert set(environ["repoze.what.credentials"]["permissions"]) == FOUND[1]

    def test_names_with_nul(self, connect, writer):
        """Each is asked for by itself, and kept."""
        writer.permissions.create_section("a\0b")
        writer.permissions.include_item("a\0b", "editors")
        adapters = connect()
        wait_until_known(adapters)
        assert find(adapters) == (FOUND[0], FOUND[1] | {"a\0b"})


class TestChanges:
    """Made by others: what depends on them is dropped, and nothing else."""

    def test_of_groups(self, connect, writer):
        adapters = connect()
        wait_until_known(adapters)
        wait_until_known(adapters, BEN)
        writer.groups.exclude_item("writers", "rosa")
        wait_until_found(adapters, ({"editors"}, {"publish"}))
        assert is_known(adapters, BEN)
        writer.groups.include_item("readers", "rosa")
        wait_until_found(adapters, ({"editors", "readers"}, {"publish", "read"}))

    def test_of_permissions(self, connect, writer):
        adapters = connect()
        wait_until_known(adapters)
        writer.permissions.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))
        before = info(adapters.groups).hits
        find(adapters)
        assert info(adapters.groups).hits == before + 1

    @pytest.mark.parametrize("change", ["flushall", "flushdb"])
    def test_of_everything(self, server, connect, writer, change):
        adapters = connect()
        wait_until_known(adapters)
        for adapter in writer:
            getattr(adapter.db_connection, change)()
        wait_until_found(adapters, (set(), set()))
        filled(server.client())
        wait_until_found(adapters, FOUND)
        wait_until_known(adapters)

    def test_own(self, connect):
        """They count at once."""
        adapters = connect()
        wait_until_known(adapters)
        for _ in range(3):
            adapters.groups.exclude_item("writers", "rosa")
            assert find(adapters) == ({"editors"}, {"publish"})
            adapters.permissions.exclude_item("publish", "editors")
            assert find(adapters) == ({"editors"}, set())
            adapters.permissions.include_item("publish", "editors")
            adapters.groups.include_item("writers", "rosa")
            assert find(adapters) == FOUND
        adapters.permissions.set_section_items("publish", [])
        assert find(adapters) == (FOUND[0], {"write"})


class TestMeanwhile:
    """What changes while both are asked for at once."""

    @pytest.fixture
    def answered(self, proxy, at_proxy, connect):
        """Return what is answered while something happens, and what the adapters know then."""
        adapters = connect(at_proxy)
        wait_until_known(adapters, BEN)

        def answered(happen):
            proxy.arm(HOLD_REPLY)
            with ThreadPoolExecutor() as threads:
                asking = threads.submit(find, adapters)
                proxy.wait_until_held()
                happen(adapters)
                proxy.release()
                assert asking.result(30) == FOUND
            return adapters

        return answered

    def test_permission_that_is_revoked(self, writer, answered):
        def revoke(adapters):
            told = info(adapters.permissions).invalidations
            writer.permissions.exclude_item("write", "writers")
            servers.wait_until(
                lambda: find(adapters, BEN) and info(adapters.permissions).invalidations > told
            )

        adapters = answered(revoke)
        assert find(adapters) == (FOUND[0], {"publish"})

    def test_permission_that_is_revoked_and_not_yet_told_of(self, writer, answered):
        adapters = answered(lambda _: writer.permissions.exclude_item("write", "writers"))
        wait_until_found(adapters, (FOUND[0], {"publish"}))

    def test_own_write(self, answered):
        """The answer is forgotten, whatever the server has told by then."""
        adapters = answered(lambda adapters: adapters.permissions.exclude_item("write", "writers"))
        assert find(adapters) == (FOUND[0], {"publish"})

    def test_everything(self, writer, answered):
        def flush(adapters):
            told = info(adapters.permissions).invalidations
            writer.permissions.db_connection.flushdb()
            servers.wait_until(
                lambda: find(adapters, BEN) and info(adapters.permissions).invalidations > told
            )

        adapters = answered(flush)
        assert find(adapters) == (FOUND[0], set())

    def test_what_does_not_concern_it(self, writer, answered):
        def grant(adapters):
            told = info(adapters.permissions).invalidations
            writer.permissions.include_item("write", "guests")
            servers.wait_until(
                lambda: find(adapters, BEN) and info(adapters.permissions).invalidations > told
            )

        assert is_known(answered(grant))

    def test_closing(self, answered):
        adapters = answered(lambda adapters: [adapter.close() for adapter in adapters])
        assert [info(adapter).answers for adapter in adapters] == [0, 0]

    def test_closing_the_permissions(self, answered):
        adapters = answered(lambda adapters: adapters.permissions.close())
        assert info(adapters.permissions).answers == 0
        wait_until_known(adapters)


class TestOneConnection:
    def test_shared(self, server, connect):
        adapters = connect()
        wait_until_known(adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)

    def test_each_had_its_own(self, server, connect, writer):
        adapters = connect()
        wait_until_hit(adapters.groups, ROSA)
        wait_until_hit(adapters.permissions, "editors")
        servers.wait_until(lambda: number_of_tracking_connections(server) == 2)
        before = hits(adapters)
        wait_until_known(adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)
        # The count goes on.
        assert all(now > then for now, then in zip(hits(adapters), before, strict=True))
        writer.permissions.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))

    @pytest.mark.parametrize(
        "differing",
        [
            {"of_groups": {"max_staleness": 300}},
            {"of_permissions": {"near_cache": False, "max_staleness": None, "max_age": None}},
        ],
        ids=["bounds", "without one"],
    )
    def test_not_shared(self, connect, writer, differing):
        adapters = connect(**differing)
        assert find(adapters) == FOUND
        wait_until_hit(adapters.groups, ROSA)
        writer.permissions.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))
        writer.groups.exclude_item("writers", "rosa")
        wait_until_found(adapters, ({"editors"}, set()))

    def test_on_two_servers(self, server, connect, writer):
        other = servers.RedisServer(server.executable)
        try:
            there = filled(other.client())
            there.permissions.exclude_item("write", "writers")
            adapters = Adapters(connect().groups, connect(other.client()).permissions)
            for _ in range(3):
                assert find(adapters) == (FOUND[0], {"publish"})
            there.permissions.exclude_item("publish", "editors")
            wait_until_found(adapters, (FOUND[0], set()))
            assert number_of_tracking_connections(server) == 1
            assert number_of_tracking_connections(other) == 1
        finally:
            other.stop()

    def test_in_two_namespaces_and_databases(self, server, connect, writer):
        there = RedisPermissionAdapter(server.client(), db=7, namespace="more")
        create_sections(there, PERMISSIONS)
        adapters = connect(of_permissions={"db": 7, "namespace": "more"})
        wait_until_known(adapters)
        there.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))
        writer.permissions.exclude_item("write", "writers")
        assert is_known(adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)

    def test_permissions_of_two_groups_adapters(self, connect, writer):
        first, second = connect(), connect()
        both = Adapters(second.groups, first.permissions)
        wait_until_known(first)
        for _ in range(3):
            assert find(both) == FOUND
        wait_until_known(second)
        assert find(both) == FOUND
        writer.permissions.exclude_item("write", "writers")
        for adapters in (first, second, both):
            wait_until_found(adapters, (FOUND[0], {"publish"}))

    def test_threads_that_come_at_once(self, server, connect, writer):
        for _ in range(5):
            adapters = connect()
            at_once = threading.Barrier(8)

            def ask(adapters=adapters, at_once=at_once):
                at_once.wait(30)
                return [find(adapters) for _ in range(5)]

            with ThreadPoolExecutor(8) as threads:
                for asking in [threads.submit(ask) for _ in range(8)]:
                    assert asking.result(30) == [FOUND] * 5
            wait_until_known(adapters)
            servers.wait_until(lambda: number_of_tracking_connections(server) == 1)
            adapters.permissions.close()
            adapters.groups.close()

    def test_forked(self, server, connect, writer):
        adapters = connect()
        wait_until_known(adapters)

        def in_child():
            wait_until_known(adapters)
            writer.groups.exclude_item("writers", "rosa")
            wait_until_found(adapters, ({"editors"}, {"publish"}))

        with forked(in_child):
            pass
        wait_until_found(adapters, ({"editors"}, {"publish"}))

    def test_close_one(self, server, connect, writer):
        adapters = connect()
        for first, last in (adapters, adapters[::-1]):
            wait_until_known(adapters)
            first.close()
            assert info(first).answers == 0
            assert info(last).answers > 0
            assert info(last).is_tracking
            # It is told all the same.
            writer.permissions.exclude_item("publish", "editors")
            wait_until_found(adapters, (FOUND[0], {"write"}))
            writer.permissions.include_item("publish", "editors")
            wait_until_found(adapters, FOUND)
            first.close()
            last.close()
            assert not info(first).is_tracking
            servers.wait_until(lambda: number_of_tracking_connections(server) == 0)

    def test_collected(self, server, writer):
        near = {"namespace": "tests", "near_cache": True}
        adapters = Adapters(
            RedisGroupAdapter(server.client(), **near),
            RedisPermissionAdapter(server.client(), **near),
        )
        find(adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)
        gc.disable()
        try:
            del adapters
            servers.wait_until(lambda: len(server.client().client_list(_type="pubsub")) == 0)
        finally:
            gc.enable()

    def test_lost(self, server, connect, writer, monkeypatch):
        be_impatient(monkeypatch)
        adapters = connect()
        wait_until_known(adapters)
        server.client().client_kill_filter(_type="pubsub")
        servers.wait_until(lambda: not is_known(adapters))
        writer.permissions.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))
        wait_until_known(adapters)


class TestTime:
    def test_age(self, connect, monkeypatch):
        """Of each its own."""
        clock = Clock(monkeypatch)
        adapters = connect(of_groups={"max_age": 4}, of_permissions={"max_age": 1})
        wait_until_known(adapters)
        clock.advance(1.5)
        before = hits(adapters)
        assert find(adapters) == FOUND
        assert hits(adapters) == [before[0] + 1, before[1]]

    def test_staleness(self, connect, monkeypatch):
        clock = Clock(monkeypatch)
        adapters = connect(max_staleness=1)
        wait_until_known(adapters)
        unproved = info(adapters.groups).unproved
        clock.advance(1.25)
        assert not is_known(adapters)
        assert info(adapters.groups).unproved == unproved + 1
        wait_until_known(adapters)


class TestInterruptions:
    """At every point: nothing that was revoked is served afterwards."""

    @pytest.fixture
    def adapters(self, server, connect, monkeypatch):
        be_impatient(monkeypatch)
        return connect(server.client(max_connections=1, socket_timeout=30))

    def test_lookups(self, adapters, writer, server, thorough):
        raw = writer.permissions.db_connection
        key = "{tests}:permissions:item:writers"

        def change(number):
            (raw.sadd if number % 2 == 0 else raw.srem)(key, "write")
            raw.ping()
            return FOUND[0], FOUND[1] if number % 2 == 0 else {"publish"}

        wait_until_known(adapters)
        expected = change(1)
        for number in points(partial(find, adapters), 1 if thorough else 3):
            for _ in range(2):
                assert find(adapters) == expected
            wait_until_known(adapters)
            expected = change(number)
        assert find(adapters) == expected
        # Nothing is left of what was interrupted.
        assert number_of_answers() == sum(info(adapter).answers for adapter in adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)

    def test_revoked_afterwards(self, adapters, writer, thorough):
        raw = writer.permissions.db_connection
        wait_until_known(adapters)
        adapters.groups._near_cache.forget(None)
        for number in points(partial(find, adapters), 1 if thorough else 3):
            granted = number % 2 == 0
            (raw.sadd if granted else raw.srem)("{tests}:permissions:item:writers", "write")
            raw.ping()
            for _ in range(2):
                assert find(adapters) == (FOUND[0], FOUND[1] if granted else {"publish"})
            adapters.groups._near_cache.forget([b"rosa"])

    def test_that_only_one_has_come(self, connect, server, monkeypatch):
        """Both do with the next question."""
        adapters = connect()
        second = adapters.permissions._near_cache
        with monkeypatch.context() as patched:
            patched.setattr(second, "_take_seat", raising(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                find(adapters)
        wait_until_known(adapters)
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)

    def test_coming_to_share(self, connect, server, monkeypatch, thorough):
        be_impatient(monkeypatch)
        adapters = []

        def ask_first():
            adapters[:] = connect(server.client(socket_timeout=30))
            find(Adapters(*adapters))

        for _ in points(ask_first, 1 if thorough else 101):
            if len(adapters) == 2:
                pair = Adapters(*adapters)
                assert find(pair) == FOUND
                for adapter in pair:
                    wait_until_hit(adapter, *([ROSA] if adapter is pair.groups else ["editors"]))
                pair.groups.exclude_item("writers", "rosa")
                assert find(pair) == ({"editors"}, {"publish"})
                pair.groups.include_item("writers", "rosa")
                assert find(pair) == FOUND
                for adapter in pair:
                    adapter.close()
                adapters.clear()
        servers.wait_until(lambda: number_of_tracking_connections(server) <= 1)


def test_server_that_refuses_to_answer_both(connect, server, writer):
    """Each is asked for by itself, and told of on the one connection."""
    client = server.client()
    client.execute_command(
        *("ACL", "SETUSER", "guest", "reset", "on", ">s3cret", "~{tests}:*", "resetchannels"),
        *("+select", "+smembers", "+sunion", "+client|tracking", "+subscribe", "+ping"),
        "&__redis__:invalidate",
    )
    try:
        adapters = connect(server.client(username="guest", password="s3cret"))
        wait_until_known(adapters)
        assert find(adapters) == FOUND
        writer.permissions.exclude_item("publish", "editors")
        wait_until_found(adapters, (FOUND[0], {"write"}))
        assert is_hit(adapters.groups, ROSA)
        for adapter in adapters:
            adapter.close()
    finally:
        client.acl_deluser("guest")
