"""A near cache on Redis Cluster: a node vouches while it holds the slot, and held it throughout."""

import gc
import threading
from contextlib import ExitStack, contextmanager

import pytest
from harness import cluster, servers
from harness.interruptions import points
from harness.near_caches import LONG, Clock, be_impatient, info, is_hit, wait_until_hit
from harness.operations import create_sections
from redis.cluster import key_slot

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import ownership

NAMESPACE = "tests"
SLOT = key_slot(NAMESPACE.encode())
ROSA = {"repoze.what.userid": "rosa"}
FOUND = {"editors"}, {"publish"}


def pair_of(client, **options):
    return Adapters(
        RedisGroupAdapter(client, namespace=NAMESPACE, **options),
        RedisPermissionAdapter(client, namespace=NAMESPACE, **options),
    )


@pytest.fixture
def writer(whole):
    """Both sources, written by another process, as far as the near caches know."""
    writer = pair_of(whole.client())
    create_sections(writer.groups, {"editors": {"rosa"}, "writers": set()})
    create_sections(writer.permissions, {"publish": {"editors"}, "write": {"writers"}})
    return writer


@pytest.fixture
def connect(whole, writer):
    with ExitStack() as closing:

        def connect(client=None, **options):
            options = {"near_cache": True, "max_staleness": LONG, "max_age": LONG} | options
            pair = pair_of(client or whole.client(socket_timeout=30), **options)
            for adapter in pair:
                closing.enter_context(adapter)
            return pair

        yield connect


@pytest.fixture
def clock(monkeypatch):
    """Time goes on when it is told; a tracking connection may be made whenever one is missing."""
    be_impatient(monkeypatch)
    return Clock(monkeypatch)


def find(pair):
    return pair.groups.find_with_permissions(ROSA, pair.permissions)


def is_known(pair):
    before = [info(adapter).hits for adapter in pair]
    find(pair)
    return all(info(adapter).hits > hits for adapter, hits in zip(pair, before, strict=True))


def wait_until_known(pair):
    servers.wait_until(lambda: is_known(pair))


def tracking_connections(node):
    gc.collect()
    return len(node.client().client_list(_type="pubsub"))


def prove_again(pair, clock, seconds=0.5):
    """Have the node asked again, and wait for what it answers."""
    clock.advance(seconds)
    since = clock.monotonic()

    def is_over():
        find(pair)
        tracking = pair.groups._near_cache._seat[0].state().tracking
        return tracking is None or tracking.proved_at >= since

    servers.wait_until(is_over)


class TestLookups:
    def test_memory_answers(self, whole, connect, writer):
        pair = connect()
        wait_until_known(pair)
        assert is_hit(pair.groups, ROSA)
        assert is_hit(pair.permissions, "editors")
        writer.permissions.exclude_item("publish", "editors")
        servers.wait_until(lambda: find(pair) == (FOUND[0], set()))
        writer.groups.exclude_item("editors", "rosa")
        servers.wait_until(lambda: find(pair) == (set(), set()))
        assert tracking_connections(whole.primary(SLOT)) == 1

    def test_own_writes(self, connect):
        pair = connect()
        wait_until_known(pair)
        pair.groups.exclude_item("editors", "rosa")
        assert find(pair) == (set(), set())
        pair.groups.include_item("editors", "rosa")
        pair.permissions.set_section_items("publish", [])
        assert find(pair) == (FOUND[0], set())

    def test_closed(self, whole, connect):
        pair = connect()
        wait_until_known(pair)
        for adapter in pair:
            adapter.close()
        servers.wait_until(lambda: tracking_connections(whole.primary(SLOT)) == 0)

    def test_idle_process(self, connect, clock):
        """It has no proof, but soon again."""
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        clock.advance(1.25)
        assert not is_known(pair)
        wait_until_known(pair)
        assert info(pair.groups).connections == 1

    def test_right_that_is_revoked_as_the_node_is_asked_again(self, connect, writer, clock):
        pair = connect(max_staleness=1)
        for _ in range(4):
            wait_until_known(pair)
            prove_again(pair, clock)
            assert is_known(pair)
        writer.permissions.exclude_item("publish", "editors")
        servers.wait_until(lambda: find(pair) == (FOUND[0], set()))


class TestSlotThatMoves:
    """Nothing in memory is used that its node does not answer for any more."""

    def test_away(self, whole, connect, writer, clock):
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        for _ in whole.move(SLOT, whole.other_primary(SLOT)):
            pass
        # The keys that went have been told of; and what is not there is not believed any longer.
        assert find(pair) == FOUND
        writer.permissions.exclude_item("publish", "editors")
        prove_again(pair, clock)
        assert find(pair) == (FOUND[0], set())
        clock.advance(1)
        wait_until_known(pair)
        assert info(pair.groups).connections > 1
        writer.groups.exclude_item("editors", "rosa")
        servers.wait_until(lambda: find(pair) == (set(), set()))

    def test_what_is_not_there(self, whole, connect, writer, clock):
        """Nobody tells that somebody is in a group since, at the other node."""
        pair = connect(max_staleness=1)
        nobody = {"repoze.what.userid": "nobody"}
        wait_until_known(pair)
        wait_until_hit(pair.groups, nobody)
        for _ in whole.move(SLOT, whole.other_primary(SLOT)):
            pass
        writer.groups.include_item("writers", "nobody")
        assert is_hit(pair.groups, nobody)
        prove_again(pair, clock)
        assert pair.groups.find_sections(nobody) == {"writers"}

    def test_while_it_moves(self, whole, connect, writer, clock):
        """What another node answers for is not kept, and the slot no longer vouched for."""
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        moving = whole.move(SLOT, whole.other_primary(SLOT))
        next(moving)
        prove_again(pair, clock)
        assert not info(pair.groups).is_tracking
        for _ in range(3):
            clock.advance(1.25)
            assert find(pair) == FOUND
            assert not is_known(pair)
        # Each time it is tried again, and nobody is told that it is of no use.
        assert info(pair.groups).distrusted == (
            "There is no tracking connection: the node does not hold all of the slot (ASK)"
        )
        for _ in moving:
            assert not is_known(pair)
        clock.advance(1.25)
        wait_until_known(pair)

    def test_answer_of_another_node(self, whole, connect, writer):
        """As of a slot that has begun to move, with the keys at the other."""
        pair = connect()
        moving = whole.move(SLOT, whole.other_primary(SLOT))
        wait_until_known(pair)
        for _ in moving:
            find(pair)
        assert find(pair) == FOUND
        assert info(pair.groups).answers == 0

    def test_away_and_back(self, whole, connect, writer, clock):
        """Between two questions of whether it is there: its node has another epoch."""
        pair = connect(max_staleness=1)
        nobody = {"repoze.what.userid": "nobody"}
        wait_until_known(pair)
        wait_until_hit(pair.groups, nobody)
        home = whole.primary(SLOT)
        for target in (whole.other_primary(SLOT), home):
            for _ in whole.move(SLOT, target):
                pass
        assert is_hit(pair.groups, nobody)
        prove_again(pair, clock)
        assert "epoch was" in info(pair.groups).distrusted
        assert not is_hit(pair.groups, nobody)
        clock.advance(1)
        wait_until_hit(pair.groups, nobody)

    @pytest.mark.parametrize("way", [(), ("FORCE",), ("TAKEOVER",)], ids=str)
    def test_replica_takes_over(self, whole, connect, writer, clock, way):
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        replica = whole.replica(SLOT)
        replica.ask("CLUSTER", "FAILOVER", *way)
        servers.wait_until(replica.is_primary)
        whole.wait_until_whole()
        writer.permissions.exclude_item("publish", "editors")
        prove_again(pair, clock)
        servers.wait_until(lambda: find(pair) == (FOUND[0], set()))
        clock.advance(1)
        wait_until_known(pair)

    @pytest.mark.parametrize(
        ("lose", "recover"),
        [
            pytest.param(cluster.Node.kill, cluster.Node.resume, id="killed"),
            pytest.param(cluster.Node.freeze, cluster.Node.thaw, id="frozen"),
        ],
    )
    def test_primary_is_lost(self, whole, connect, clock, lose, recover):
        pair = connect(whole.client(socket_timeout=1), max_staleness=1)
        wait_until_known(pair)
        with whole.without_primary(SLOT, lose, recover):
            patient = pair_of(whole.client(socket_timeout=30))
            patient.permissions.exclude_item("publish", "editors")
            clock.advance(1.25)

            def is_revoked():
                try:
                    return find(pair) == (FOUND[0], set())
                except SourceUnavailable:
                    return False

            servers.wait_until(is_revoked)
            clock.advance(1)
            wait_until_known(pair)
        clock.advance(1)
        servers.wait_until(lambda: find(pair) == (FOUND[0], set()))


class TestProof:
    @contextmanager
    def answering(self, monkeypatch, replies):
        """Let the node answer that it is there with these."""
        found = ownership._epoch_in

        def epoch_in(come):
            return found(replies(come))

        with monkeypatch.context() as patched:
            patched.setattr(ownership, "_epoch_in", epoch_in)
            yield

    @pytest.mark.parametrize(
        "replies",
        [
            lambda come: [[b"x"], come[1]],
            lambda come: [come[0], b"cluster_state:ok\r\n"],
            lambda come: [come[0], None],
        ],
    )
    def test_nonsense(self, connect, clock, monkeypatch, replies):
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        with self.answering(monkeypatch, replies):
            prove_again(pair, clock)
            assert "nothing and an epoch were expected" in info(pair.groups).distrusted
            assert find(pair) == FOUND
        clock.advance(61)
        wait_until_known(pair)

    def test_node_that_does_not_answer(self, connect, clock, monkeypatch):
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        asking = pair.groups._near_cache._seat[0].state().tracking._asking
        monkeypatch.setattr(asking, "send_packed_command", lambda _: None)
        clock.advance(0.5)
        assert is_known(pair)
        clock.advance(0.625)
        servers.wait_until(lambda: not is_known(pair))
        clock.advance(0.5)
        find(pair)
        assert "no answer to CLUSTER INFO for 1.1 s" in info(pair.groups).distrusted

    def test_connection_that_is_lost(self, connect, clock):
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        pair.groups._near_cache._seat[0].state().tracking._asking.disconnect()
        prove_again(pair, clock)
        wait_until_known(pair)
        assert info(pair.groups).connections == 2

    def test_interrupted_anywhere(self, connect, writer, clock):
        """As it asks, and as it reads that: nothing that was revoked is served afterwards."""
        pair = connect(max_staleness=1)
        wait_until_known(pair)
        granted = True

        def lookups():
            for _ in range(2):
                clock.advance(0.5)
                find(pair)

        for _ in points(lookups, 3):
            change = writer.permissions.exclude_item if granted else writer.permissions.include_item
            change("publish", "editors")
            granted = not granted
            expected = FOUND[0], FOUND[1] if granted else set()
            servers.wait_until(lambda expected=expected: find(pair) == expected)
            assert find(pair) == expected
            wait_until_known(pair)

    def test_threads(self, connect, writer):
        pair = connect(max_staleness=1)
        is_over = threading.Event()
        wrong = []

        def keep_asking():
            while not is_over.is_set():
                found = find(pair)
                if found not in (FOUND, (FOUND[0], set())):
                    wrong.append(found)

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                writer.permissions.exclude_item("publish", "editors")
                writer.permissions.include_item("publish", "editors")
        finally:
            is_over.set()
            for thread in threads:
                thread.join(30)
        assert wrong == []
        wait_until_known(pair)


class TestRefused:
    def test_user_who_may_not_ask(self, whole, connect, writer, caplog):
        """It is said once, and lookups are right."""
        login = {"username": "guest", "password": "s3cret"}
        needed = ["+client|tracking", "+subscribe", "+ping", "&__redis__:invalidate"]
        lookups = ["~{tests}:*", "resetchannels", "+smembers", "+sunion", "+cluster|slots"]
        needed_here = ["+cluster|info", "+command", "+cluster|shards", "+cluster|nodes"]

        def permit(*rules):
            for node in whole.nodes:
                node.ask("ACL", "SETUSER", "guest", "reset", "on", ">s3cret", *lookups, *rules)

        permit(*needed, *needed_here)
        try:
            pair = connect(whole.client(**login))
            wait_until_known(pair)
            permit(*needed, *needed_here[1:])
            refused = connect(whole.client(**login))
            for _ in range(5):
                assert find(refused) == FOUND
            assert "permissions to" in info(refused.groups).distrusted
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            assert "+cluster|info" in caplog.text
            writer.permissions.exclude_item("publish", "editors")
            assert find(refused) == (FOUND[0], set())
            for each in (pair, refused):
                for adapter in each:
                    adapter.close()
        finally:
            for node in whole.nodes:
                node.ask("ACL", "DELUSER", "guest")
