"""What is answered from memory, for how long, and what is dropped from it."""

import gc
import sys
import weakref
from collections import UserString
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from harness import servers
from harness.forks import forked
from harness.near_caches import (
    KEYS,
    LONG,
    NAMESPACE,
    SOURCE,
    Clock,
    be_impatient,
    fill,
    info,
    is_hit,
    number_of_answers,
    number_of_tracking_connections,
    wait_until_hit,
    wait_until_told,
)
from harness.operations import AFTER, WRITES, restore
from harness.proxy import CUT_REPLY, HOLD_REPLY, Proxy
from harness.relay import Relay, Strike

from repoze.what.adapters import ItemPresentError, SourceError, SourceUnavailable
from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import (
    RedisGroupAdapter,
    RedisPermissionAdapter,
    adapters_from_settings,
)

STAFF, ADMINS, GUESTS = (KEYS + b"item:" + name for name in (b"staff", b"admins", b"guests"))


@pytest.fixture
def connect(server, writer):
    """Return an adapter with a near cache; it is closed afterwards."""
    adapters = []

    def connect(client=None, **options):
        options = {"near_cache": True, "max_staleness": LONG, "max_age": LONG} | options
        adapter = RedisPermissionAdapter(
            client or server.client(socket_timeout=30), namespace=NAMESPACE, **options
        )
        adapters.append(adapter)
        return adapter

    yield connect
    for adapter in adapters:
        adapter.close()


@pytest.fixture
def adapter(connect):
    return connect()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def impatient(monkeypatch):
    be_impatient(monkeypatch)


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_client(proxy):
    return redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)


@pytest.fixture
def proxied(connect, proxied_client):
    return connect(proxied_client)


class TestRoundTrips:
    """How often the server is asked, counted at the socket."""

    @pytest.fixture
    def tracking(self, proxied):
        proxied.find_sections("nobody")
        assert info(proxied).is_tracking
        return proxied

    def test_first_lookups(self, proxy, proxied):
        # Its own, and the tracking connection's SUBSCRIBE and PING.
        with proxy.counted(3):
            assert proxied.find_sections("staff") == {"edit", "read"}
        with proxy.counted(1):
            assert proxied.find_sections("staff") == {"edit", "read"}
        with proxy.counted(0):
            for _ in range(100):
                assert proxied.find_sections("staff") == {"edit", "read"}
        assert info(proxied) == (100, 2, 0, 1, 0, 1, True, None)
        assert info(proxied).hits == 100

    def test_several_items(self, proxy, tracking):
        with proxy.counted(1):
            assert tracking.find_sections_many(["admins", "guests"]) == {"edit", "read"}
        with proxy.counted(0):
            assert tracking.find_sections_many(["admins", "guests"]) == {"edit", "read"}
            assert tracking.find_sections_many(["guests", "admins", "guests"]) == {"edit", "read"}
        # Parts of it are other questions.
        with proxy.counted(2):
            assert tracking.find_sections_many(["admins"]) == {"edit"}
            assert tracking.find_sections_many(["guests"]) == {"read"}
        with proxy.counted(0):
            assert tracking.find_sections("admins") == {"edit"}
            assert tracking.find_sections("guests") == {"read"}

    def test_many_items(self, proxy, tracking):
        items = ["staff", *range(10_000)]
        with proxy.counted(1):
            assert tracking.find_sections_many(items) == {"edit", "read"}
        with proxy.counted(0):
            assert tracking.find_sections_many(items) == {"edit", "read"}

    def test_every_way_to_say_a_name(self, proxy, tracking, writer):
        writer.include_items("edit", [12, "ŝi"])
        wait_until_told(tracking, 2)
        with proxy.counted(2):
            assert tracking.find_sections(12) == tracking.find_sections("ŝi") == {"edit"}
        with proxy.counted(0):
            assert tracking.find_sections(12) == tracking.find_sections(b"12") == {"edit"}
            assert tracking.find_sections("12") == tracking.find_sections("ŝi".encode()) == {"edit"}
        writer.exclude_items("edit", [12, "ŝi"])
        wait_until_told(tracking, 4)
        for name in (12, "12", b"12", "ŝi", "ŝi".encode()):
            assert tracking.find_sections(name) == set()

    def test_what_is_equal_and_is_no_such_name(self, tracking, writer):
        writer.include_items("edit", [1, "ŝi"])
        wait_until_told(tracking, 2)
        for name, equal in ((1, True), (1, 1.0), ("ŝi", UserString("ŝi"))):
            assert name == equal
            for _ in range(2):
                assert tracking.find_sections_many({name}) == {"edit"}
                assert tracking.find_sections_many({equal}) == set()
                assert tracking.find_sections(equal) == set()

    def test_unknown_item(self, proxy, tracking, writer):
        with proxy.counted(1):
            assert tracking.find_sections("rosa") == set()
        with proxy.counted(0):
            assert tracking.find_sections("rosa") == set()
        writer.include_item("edit", "rosa")
        wait_until_told(tracking, 1)
        assert tracking.find_sections("rosa") == {"edit"}

    def test_what_names_nothing(self, proxy, proxied):
        with proxy.counted(0):
            assert proxied.find_sections(None) == proxied.find_sections("") == set()
            assert proxied.find_sections_many([None, ""]) == proxied.find_sections_many([]) == set()
        assert info(proxied) == (0, 0, 0, 0, 0, 0, False, None)

    def test_other_questions(self, proxy, tracking):
        tracking.get_section_items("edit")
        for _ in range(2):
            with proxy.counted(3):
                assert tracking.get_section_items("edit") == {"staff", "admins"}
                assert tracking.get_section_names() == {"edit", "read"}
                assert tracking._section_exists("edit")

    def test_request(self, proxy, proxied_client, proxied, server):
        """The groups of a user in ten, and their permissions."""
        groups = RedisGroupAdapter(
            proxied_client, namespace=NAMESPACE, near_cache=100, max_staleness=LONG
        )
        for number in range(10):
            groups.create_section(f"group {number}")
            groups.include_item(f"group {number}", "rms")
        RedisPermissionAdapter(server.client(), namespace=NAMESPACE).include_item("read", "group 7")
        metadata = AuthorizationMetadata({"redis": groups}, {"redis": proxied})
        environ, identity = {}, {"repoze.who.userid": "rms"}
        # In between, what the groups' adapter has written itself may still have to come.
        wait_until_hit(groups, {"repoze.what.userid": "rms"})
        for _ in range(2):
            metadata.add_metadata(environ, identity)
        with proxy.counted(0):
            metadata.add_metadata(environ, identity)
        assert len(environ["repoze.what.credentials"]["groups"]) == 10
        assert environ["repoze.what.credentials"]["permissions"] == ("read",)
        groups.close()

    def test_answer_is_the_callers(self, tracking):
        for _ in range(3):
            answer = tracking.find_sections("staff")
            assert answer == {"edit", "read"}
            answer.clear()


def expire(raw):
    raw.pexpire(STAFF, 1)
    servers.wait_until(lambda: not raw.exists(STAFF))


def evict(raw):
    """The server has to make room for the next command."""
    raw.config_set("maxmemory-policy", "allkeys-random")
    try:
        raw.config_set("maxmemory", 1)
        raw.ping()
    finally:
        raw.config_set("maxmemory", 0)
        raw.config_set("maxmemory-policy", "noeviction")


def move(raw):
    """To another database."""
    raw.move(STAFF, 7)


def write_in_transaction(raw):
    with raw.pipeline(transaction=True) as pipeline:
        pipeline.set("x", 1).srem(STAFF, "edit").set("y", 1).execute()


CHANGES = {
    "added": lambda raw: raw.sadd(STAFF, "new"),
    "removed": lambda raw: raw.srem(STAFF, "edit"),
    "deleted": lambda raw: raw.delete(STAFF),
    "unlinked": lambda raw: raw.unlink(STAFF),
    "renamed": lambda raw: raw.rename(STAFF, "elsewhere"),
    "renamed onto": lambda raw: raw.rename(ADMINS, STAFF),
    "copied onto": lambda raw: raw.copy(ADMINS, STAFF, replace=True),
    "stored": lambda raw: raw.sunionstore(STAFF, ["x", "y"]),
    "restored": lambda raw: raw.restore(STAFF, 0, raw.dump(ADMINS), replace=True),
    "expired": expire,
    "moved": move,
    "by a script": lambda raw: raw.eval("return redis.call('SREM', KEYS[1], 'edit')", 1, STAFF),
    "in a transaction": write_in_transaction,
    "database flushed": lambda raw: raw.flushdb(),
    "server flushed": lambda raw: raw.flushall(),
    "flushed meanwhile": lambda raw: raw.flushall(asynchronous=True),
    "evicted": evict,
}
OF_EVERYTHING = {"database flushed", "server flushed", "flushed meanwhile", "evicted"}
OTHER_WRITES = {
    "section": lambda raw: raw.sadd(KEYS + b"section:edit", "x"),
    "sections": lambda raw: raw.sadd(KEYS + b"sections", "x"),
    "token": lambda raw: raw.set(KEYS + b"done:x", "x"),
    "of a longer kind": lambda raw: raw.sadd(KEYS + b"items:staff", "x"),
    "other kind": lambda raw: raw.sadd("{tests}:groups:item:staff", "x"),
    "other namespace": lambda raw: raw.sadd("{tests2}:permissions:item:staff", "x"),
    "namespace within": lambda raw: raw.sadd("x{tests}:permissions:item:staff", "x"),
    "no namespace": lambda raw: raw.sadd("staff", "x"),
    "other item": lambda raw: raw.sadd(KEYS + b"item:nobody", "x"),
    "longer item": lambda raw: raw.sadd(STAFF + b"2", "x"),
    "read": lambda raw: raw.smembers(STAFF),
    "refused": lambda raw: raw.execute_command("SADD", STAFF, "edit"),
}


class TestChanges:
    """Whoever makes one, what depends on the item is dropped, and nothing else."""

    @pytest.mark.parametrize("name", CHANGES)
    def test_change(self, adapter, raw, name):
        questions = [("staff",), ("staff", "nobody"), ("staff", "guests")]
        others = [("guests",), ("guests", "rosa")]
        for question in questions + others:
            wait_until_hit(adapter, *question)
        CHANGES[name](raw)
        wait_until_told(adapter, 1)
        if name == "expired":
            # That it is to expire is a change, too, and told of with the other or before.
            servers.wait_until(lambda: adapter.find_sections("staff") == set())
        for question in questions:
            expected = raw.sunion([KEYS + b"item:" + item.encode() for item in question])
            found = adapter.find_sections_many(question)
            assert found == {section.decode() for section in expected}
        for question in others:
            if name not in OF_EVERYTHING:
                assert is_hit(adapter, *question)
        if name in OF_EVERYTHING:
            assert adapter.find_sections("guests") == set()

    @pytest.mark.parametrize("name", OTHER_WRITES)
    def test_other_write(self, adapter, raw, name):
        wait_until_hit(adapter, "staff")
        OTHER_WRITES[name](raw)
        # What comes after it tells that it would have come.
        before = info(adapter).invalidations
        raw.sadd(KEYS + b"item:admins", "new")
        servers.wait_until(lambda: adapter.find_sections("admins") == {"edit", "new"})
        wait_until_told(adapter, before + 1)
        assert is_hit(adapter, "staff")

    def test_only_items_are_told_of(self, adapter, raw):
        wait_until_hit(adapter, "staff")
        for name, write in OTHER_WRITES.items():
            if not name.endswith(" item"):
                write(raw)
        CHANGES["removed"](raw)
        wait_until_told(adapter, 1)
        assert info(adapter).invalidations == 1
        assert adapter.find_sections("staff") == {"read"}

    def test_same_key_of_another_database(self, adapter, server):
        """The server does not say which: what is not changed is dropped, too."""
        wait_until_hit(adapter, "staff")
        server.client(db=7).sadd(STAFF, "x")
        wait_until_told(adapter, 1)
        assert not is_hit(adapter, "staff")
        assert adapter.find_sections("staff") == {"edit", "read"}

    def test_databases_that_are_swapped(self, clock, connect, raw):
        """Nobody is told: it lasts until the answer is too old."""
        adapter = connect(max_age=1)
        wait_until_hit(adapter, "staff")
        raw.swapdb(RedisPermissionAdapter.DB_NAME, 7)
        clock.advance(1)
        assert adapter.find_sections("staff") == set()
        assert info(adapter).invalidations == 0

    @pytest.mark.parametrize("name", WRITES)
    def test_another_adapter(self, server, connect, name):
        restore(RedisPermissionAdapter(server.client(), namespace=NAMESPACE))
        adapter, other = connect(), connect()
        items = ("staff", "admins", "a", "b")
        for item in items:
            wait_until_hit(adapter, item)
        WRITES[name](other)
        for item in items:
            expected = {section for section, held in AFTER[name].items() if item in held}
            servers.wait_until(
                lambda item=item, expected=expected: adapter.find_sections(item) == expected
            )

    def test_another_process(self, adapter, server):
        def revoke():
            other = RedisPermissionAdapter(server.client(), namespace=NAMESPACE)
            other.exclude_item("edit", "admins")

        wait_until_hit(adapter, "admins")
        with forked(revoke):
            servers.wait_until(lambda: adapter.find_sections("admins") == set())
        assert info(adapter).invalidations == 1


@pytest.fixture
def silent(server, connect):
    """An adapter that the server can be kept from telling anything, behind a proxy and a relay."""
    with Relay(server.port) as relay, Proxy(relay.port) as proxy:
        adapter = connect(redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30))
        adapter.proxy, adapter.relay = proxy, relay
        yield adapter
        relay.heal()


class TestOwnWrites:
    """They are seen at once, without what the server tells of them."""

    ITEMS = ("staff", "admins", "a", "b", "nobody")
    # Those that tell which items change leave the answers for others alone.
    OF_ITEMS = (
        *("include_items", "include_item", "exclude_items", "exclude_item"),
        *("remove_item", "rename_item", "create_section"),
    )

    @pytest.mark.parametrize("faults", [0, 1, 2], ids=["answered", "retried", "unknown"])
    @pytest.mark.parametrize("name", WRITES)
    def test_write(self, server, silent, writer, name, faults):
        # Its script is there, so that it takes as many replies whichever test was the first.
        restore(writer)
        WRITES[name](writer)
        restore(writer)
        # The first of an adapter takes one more.
        silent.create_section("first")
        silent.delete_section("first")
        questions = [(item,) for item in self.ITEMS] + [("staff", "admins"), ("b", "nobody")]
        for question in questions:
            wait_until_hit(silent, *question)
        assert silent.relay.strike(Strike.STALL, only_tracking=True)
        silent.proxy.arm(*[CUT_REPLY] * faults)
        if faults == 2:
            with pytest.raises(SourceUnavailable, match="outcome is unknown"):
                WRITES[name](silent)
        else:
            WRITES[name](silent)
        assert not silent.proxy.is_armed
        assert info(silent).invalidations == 0
        assert writer.get_all_sections() == AFTER[name]
        assert is_hit(silent, "nobody") == (name in self.OF_ITEMS)
        for question in questions:
            assert silent.find_sections_many(question) == {
                section for section, held in AFTER[name].items() if held & set(question)
            }

    def test_refused_write(self, silent):
        wait_until_hit(silent, "staff")
        with pytest.raises(ItemPresentError):
            silent.include_item("edit", "staff")
        assert silent.find_sections("staff") == {"edit", "read"}

    def test_review(self, silent, raw):
        raw.srem(STAFF, "edit")
        wait_until_hit(silent, "staff")
        assert silent.relay.strike(Strike.STALL, only_tracking=True)
        assert len(silent.check()) == 1
        assert is_hit(silent, "staff")
        assert silent.find_sections("staff") == {"read"}
        assert len(silent.repair()) == 1
        assert silent.find_sections("staff") == {"edit", "read"}


def lose_connection(adapter, raw):
    raw.client_kill_filter(_type="pubsub")
    connections = info(adapter).connections
    raw.srem(STAFF, "edit")

    def is_back():
        adapter.find_sections("nobody")
        return info(adapter).connections > connections

    servers.wait_until(is_back)


def close(adapter, raw):
    raw.srem(STAFF, "edit")
    adapter.close()
    wait_until_hit(adapter, "nobody")


def tell(change):
    def happen(adapter, raw):
        before = info(adapter).invalidations
        change(raw)
        wait_until_told(adapter, before + 1)

    return happen


MEANWHILE = {
    "changed": tell(CHANGES["removed"]),
    "database flushed": tell(CHANGES["database flushed"]),
    "server flushed": tell(CHANGES["server flushed"]),
    "connection lost": lose_connection,
    "closed": close,
    "own write": lambda adapter, raw: adapter.exclude_item("edit", "staff"),
    "other own write": lambda adapter, raw: adapter.delete_section("edit"),
}


class TestWhileTheServerIsAsked:
    """What was read before a change is not kept after it."""

    @pytest.mark.parametrize("question", [("staff",), ("staff", "nobody")])
    @pytest.mark.parametrize("name", MEANWHILE)
    @pytest.mark.usefixtures("impatient")
    def test_answer_that_is_on_its_way(self, proxy, proxied, raw, name, question):
        wait_until_hit(proxied, "nobody")
        proxy.arm(HOLD_REPLY)
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(proxied.find_sections_many, question)
            proxy.wait_until_held()
            try:
                MEANWHILE[name](proxied, raw)
            finally:
                proxy.release()
            assert asking.result() == {"edit", "read"}
        assert not is_hit(proxied, *question)
        wait_until_hit(proxied, *question)
        expected = raw.smembers(STAFF)
        assert proxied.find_sections_many(question) == {each.decode() for each in expected}
        assert "edit" not in proxied.find_sections_many(question)

    def test_nothing_changes(self, proxy, proxied):
        """Then it is kept, also where another was kept for the same question meanwhile."""
        wait_until_hit(proxied, "nobody")
        proxy.arm(HOLD_REPLY)
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(proxied.find_sections, "staff")
            proxy.wait_until_held()
            assert not is_hit(proxied, "staff")
            assert is_hit(proxied, "staff")
            proxy.release()
            assert asking.result() == {"edit", "read"}
        assert is_hit(proxied, "staff")
        assert info(proxied).answers == 2

    def test_tracking_begins(self, proxy, proxied, raw):
        """It has not told of what changed before."""
        proxied._section_exists("edit")
        proxy.arm(HOLD_REPLY)
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(proxied.find_sections, "staff")
            proxy.wait_until_held()
            raw.srem(STAFF, "edit")
            assert not info(proxied).is_tracking
            wait_until_hit(proxied, "nobody")
            proxy.release()
            assert asking.result() == {"edit", "read"}
        assert not is_hit(proxied, "staff")
        assert proxied.find_sections("staff") == {"read"}


class TestSize:
    def test_last_asked_for_are_kept(self, connect):
        adapter = connect(near_cache=2)
        wait_until_hit(adapter, "staff")
        wait_until_hit(adapter, "admins")
        assert is_hit(adapter, "staff")
        assert not is_hit(adapter, "guests")
        assert info(adapter).answers == 2
        assert is_hit(adapter, "staff")
        assert not is_hit(adapter, "admins")
        assert not is_hit(adapter, "guests")

    @pytest.mark.parametrize("shared", [[], ["staff"]])
    def test_memory_is_bounded(self, connect, thorough, shared):
        adapter = connect(near_cache=50)
        for user in range(100_000 if thorough else 500):
            adapter.find_sections_many([f"user {user}", *shared])
        assert info(adapter).answers == 50
        assert number_of_answers() == 50
        adapter.close()
        assert number_of_answers() == 0

    def test_lookups_that_fail(self, connect, raw):
        adapter = connect(near_cache=50)
        wait_until_hit(adapter, "admins")
        raw.set(KEYS + b"item:x", "no set")
        for number in range(100):
            for question in (["x"], ["x", f"user {number}"]):
                with pytest.raises(SourceError, match="WRONGTYPE"):
                    adapter.find_sections_many(question)
        assert number_of_answers() == info(adapter).answers == 1


class TestTime:
    """As the clock says that the near cache looks at."""

    def test_age(self, clock, connect):
        adapter = connect(max_age=1)
        for _ in range(2):
            wait_until_hit(adapter, "staff")
            clock.advance(0.75)
            assert is_hit(adapter, "staff")
            clock.advance(0.25)
            assert not is_hit(adapter, "staff")
        assert info(adapter).unproved == 0

    def test_idle_process(self, clock, connect, raw):
        """It has no proof, but soon again."""
        adapter = connect(max_staleness=1)
        for has_changed in (False, True):
            wait_until_hit(adapter, "staff")
            before = info(adapter).unproved
            clock.advance(1.25)
            if has_changed:
                raw.srem(STAFF, "edit")
            assert not is_hit(adapter, "staff")
            assert info(adapter).unproved == before + 1
            wait_until_hit(adapter, "staff")
        servers.wait_until(lambda: adapter.find_sections("staff") == {"read"})
        assert info(adapter).connections == 1

    @pytest.mark.usefixtures("impatient")
    def test_server_that_is_paused(self, executable, clock):
        """Memory answers for no longer than the time; then nobody does."""
        server = servers.RedisServer(executable)
        try:
            fill(RedisPermissionAdapter(server.client(), namespace=NAMESPACE))
            adapter = RedisPermissionAdapter(
                server.client(socket_timeout=0.1),
                namespace=NAMESPACE,
                near_cache=True,
                max_staleness=1,
            )
            servers.wait_until(lambda: is_hit_patiently(adapter, "staff"))
            connections = info(adapter).connections
            server.freeze()
            try:
                # This one is proved, and sends the ping that is not answered.
                clock.advance(1)
                assert is_hit(adapter, "staff")
                for _ in range(2):
                    clock.advance(0.75)
                    hits = info(adapter).hits
                    with pytest.raises(SourceUnavailable):
                        adapter.find_sections("staff")
                    assert info(adapter).hits == hits
                assert "no answer to a PING for 1.5 s" in info(adapter).distrusted
                assert not info(adapter).is_tracking
                assert info(adapter).answers == 0
            finally:
                server.thaw()
            servers.wait_until(lambda: is_hit_patiently(adapter, "staff"))
            assert info(adapter).connections == connections + 1
            adapter.close()
        finally:
            server.stop()

    @pytest.mark.parametrize("strike", [Strike.STALL, Strike.HALF_OPEN])
    def test_way_that_is_lost_without_a_word(self, server, connect, raw, clock, strike):
        """That of the tracking connection alone: the server is asked, and answers."""
        with Relay(server.port) as relay:
            client = redis.Redis(host=servers.HOST, port=relay.port, socket_timeout=30)
            adapter = connect(client, max_staleness=1)
            wait_until_hit(adapter, "staff")
            assert relay.strike(strike, only_tracking=True) == 1
            raw.srem(STAFF, "edit")
            for _ in range(4):
                assert is_hit(adapter, "staff")
                clock.advance(0.25)
            assert is_hit(adapter, "staff")
            assert adapter.find_sections("staff") == {"edit", "read"}
            clock.advance(0.25)
            for _ in range(2):
                assert not is_hit(adapter, "staff")
                assert adapter.find_sections("staff") == {"read"}
            relay.heal()


def is_hit_patiently(adapter, item):
    """On a loaded machine it may take longer than an adapter waits."""
    try:
        return is_hit(adapter, item)
    except SourceUnavailable:
        return False


class TestClosing:
    def test_closed(self, server, adapter):
        for connections in (1, 2):
            wait_until_hit(adapter, "staff")
            servers.wait_until(lambda: number_of_tracking_connections(server) == 1)
            assert info(adapter).connections == connections
            adapter.close()
            assert info(adapter)[-2:] == (False, "The adapter was closed.")
            assert info(adapter).answers == 0
            servers.wait_until(lambda: number_of_tracking_connections(server) == 0)
        adapter.close()

    def test_before_it_is_asked(self, server, adapter):
        adapter.close()
        servers.wait_until(lambda: number_of_tracking_connections(server) == 0)
        wait_until_hit(adapter, "staff")

    def test_nobody_waits_for_the_garbage_collector(self, server, writer, raw):
        """What has been read of changes keeps neither the adapter nor who asked."""
        adapter = RedisPermissionAdapter(server.client(), namespace=NAMESPACE, near_cache=True)

        class Request:
            pass

        def handle():
            request = Request()
            adapter.find_sections("staff")
            return weakref.ref(request)

        wait_until_hit(adapter, "staff")
        raw.srem(STAFF, "edit")
        gc.collect()
        gc.disable()
        try:
            requests = [handle()]
            while info(adapter).invalidations == 0:
                requests.append(handle())
            assert [request() for request in requests] == [None] * len(requests)
        finally:
            gc.enable()

    def test_collected(self, server, connect, writer):
        adapter = RedisPermissionAdapter(server.client(), namespace=NAMESPACE, near_cache=True)
        wait_until_hit(adapter, "staff")
        servers.wait_until(lambda: number_of_tracking_connections(server) == 1)
        del adapter
        gc.collect()
        servers.wait_until(lambda: number_of_tracking_connections(server) == 0)

    def test_without_a_near_cache(self, writer):
        assert writer.near_cache_info() is None
        writer.close()
        assert writer.get_all_sections() == SOURCE

    def test_connections_of_all_kinds(self, server, writer, connect):
        """Those of writes, of lookups, and the one that tracks."""
        clients = {name: server.client(client_name=name) for name in ("near", "first", "second")}
        adapter = connect(clients["near"])
        other = RedisPermissionAdapter(
            clients["first"], namespace=NAMESPACE, read_from=clients["second"]
        )
        wait_until_hit(adapter, "staff")
        assert other.find_sections("staff") == {"edit", "read"}
        other.exclude_item("edit", "staff")

        def connected():
            return {each["name"] for each in server.client().client_list()} & clients.keys()

        assert connected() == {"near", "first", "second"}
        adapter.close()
        other.close()
        servers.wait_until(lambda: not connected())


class TestConstruction:
    """What is refused, and why."""

    def refused(self, client=None, error=ValueError, **options):
        with pytest.raises(error) as raised:
            RedisGroupAdapter(
                client or redis.Redis(), **{"namespace": NAMESPACE, "near_cache": True} | options
            )
        return str(raised.value)

    def test_plain_layout(self):
        line = self.refused(namespace=None)
        assert line.startswith("Without a namespace there is no near_cache: ")
        assert "any key" in line

    def test_replica(self):
        line = self.refused(read_from=redis.Redis())
        assert line.startswith("With read_from there is no near_cache: ")

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"near_cache": -1}, ValueError, "near_cache is a number from 2, not -1"),
            ({"near_cache": 2.5}, TypeError, "near_cache is a number, not 2.5"),
            ({"near_cache": "true"}, TypeError, "near_cache is a number, not 'true'"),
            ({"max_staleness": 0}, ValueError, "max_staleness is a number of seconds from 0.05, n"),
            ({"max_staleness": 0.04}, ValueError, "max_staleness is a number of seconds from 0.05"),
            ({"max_staleness": -1}, ValueError, "max_staleness is a number of seconds from 0.05, "),
            ({"max_staleness": float("inf")}, ValueError, "max_staleness is a number of seconds"),
            ({"max_staleness": float("nan")}, ValueError, "max_staleness is a number of seconds"),
            ({"max_staleness": "1"}, TypeError, "max_staleness is a number of seconds, not '1'"),
            ({"max_age": True}, TypeError, "max_age is a number of seconds, not True"),
            ({"max_age": 0}, ValueError, "max_age is a number of seconds from 0.05, not 0"),
        ],
    )
    def test_wrong_numbers(self, options, error, message):
        assert self.refused(error=error, **options).startswith(message)

    @pytest.mark.parametrize("options", [{"max_staleness": 2}, {"max_age": 60.0}])
    @pytest.mark.parametrize("near_cache", [False, 0, None])
    def test_of_no_use(self, options, near_cache):
        line = self.refused(near_cache=near_cache, **options)
        assert line == "max_staleness and max_age are for a near_cache: ask for one."

    def test_without_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lru", None)
        monkeypatch.delitem(sys.modules, "repoze.what.plugins.redis.near_cache.memory")
        line = self.refused(error=ModuleNotFoundError)
        assert line == (
            "near_cache needs lru-dict: pip install 'repoze.what.plugins.redis[near-cache]'"
        )
        RedisGroupAdapter(redis.Redis(), namespace=NAMESPACE).close()

    def test_nothing_is_sent(self, proxy, proxied):
        assert repr(proxied).startswith("<RedisPermissionAdapter: Redis at 127.0.0.1:")
        assert info(proxied) == (0, 0, 0, 0, 0, 0, False, None)
        proxied.close()
        assert proxy.connections == 0


class TestText:
    """As a URL and settings have it."""

    @pytest.mark.parametrize("text", ["true", "yes", "1", "5000", " 2 "])
    def test_size(self, server, writer, text):
        url = f"redis://{servers.HOST}:{server.port}?namespace=tests"
        adapter = RedisPermissionAdapter.from_url(
            url, near_cache=text, max_staleness=str(LONG), max_age="30"
        )
        for item in ("staff", "admins", "guests"):
            adapter.find_sections(item)
        adapter.find_sections("staff")
        assert info(adapter).answers == (2 if text == " 2 " else 3)
        adapter.close()

    @pytest.mark.parametrize("text", ["false", "off", "0", ""])
    def test_without(self, text):
        options = {"near_cache": text} if text else {}
        adapter = RedisGroupAdapter.from_url("redis://h?namespace=tests", **options)
        assert adapter.near_cache_info() is None

    def test_settings(self, server, writer, clock):
        adapters = adapters_from_settings(
            {
                "redis.url": f"redis://{servers.HOST}:{server.port}?max_age=0.25",
                "redis.namespace": NAMESPACE,
                "redis.near_cache": "true",
                "redis.max_staleness": "0.5",
            }
        )
        for adapter in adapters:
            # In this order: memory answers again only when no PING waits for its answer, which
            # would be missed by the time that this goes on to.
            for seconds, unproved in ((0.75, 1), (0.25, 0)):
                wait_until_hit(adapter, *hints(adapter))
                before = info(adapter).unproved
                clock.advance(seconds)
                assert not is_hit(adapter, *hints(adapter))
                assert info(adapter).unproved == before + unproved
            adapter.close()

    @pytest.mark.parametrize(
        ("option", "text", "message"),
        [
            ("near_cache", "many", "near_cache is true, false or a number from 2."),
            ("near_cache", "-5", "near_cache is true, false or a number from 2."),
            ("near_cache", "", "near_cache is true, false or a number from 2."),
            ("max_staleness", "none", "max_staleness is a number of seconds above 0."),
            ("max_staleness", "0", "max_staleness is a number of seconds above 0"),
            ("max_age", "long", "max_age is a number of seconds above 0"),
            ("max_staleness", "0.01", "max_staleness is a number of seconds from 0.05, not 0.01"),
        ],
    )
    def test_nonsense(self, option, text, message):
        options = {"near_cache": "true", "namespace": NAMESPACE} | {option: text}
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - each has its message
            RedisGroupAdapter.from_url("redis://h", **options)
        assert str(raised.value).startswith(message)


def hints(adapter):
    return [{"repoze.what.userid": "x"} if isinstance(adapter, RedisGroupAdapter) else "x"]
