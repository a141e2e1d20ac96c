"""For how long processes with a near cache go on granting what is revoked, whatever goes wrong.

Each answer of each is held against what was true: one that was not true at any moment between the
question and the answer is stale, since the moment that it was last true.
"""

import logging
import random
import time
from contextlib import suppress
from functools import partial

import pytest
import redis
from harness import cluster, servers
from harness.load import Load
from harness.near_caches import LONG
from harness.relay import Relay, Strike
from harness.revocation import (
    NAMESPACE,
    USERS,
    Readers,
    Writer,
    by_cluster,
    by_sentinels,
    connect_again_soon,
    ignore_invalidations,
    percentile,
    to_port,
)
from plugin.connection.test_failover import STRIKES, Deployment
from redis.cluster import key_slot

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter

logger = logging.getLogger(__name__)

SLOT = key_slot(NAMESPACE.encode())
# In seconds, of a write: longer than anything here lasts.
PATIENCE = 60
# TIME stands still in a script from Redis 7.2 on. That has the other clock, which 7.0 has not.
BUSY = """
local os = rawget(_G, 'os')
local function now()
    if os then return os.clock() end
    local time = redis.call('TIME')
    return time[1] + time[2] / 1000000
end
local done = now() + ARGV[1]
while now() < done do end
"""


@pytest.fixture
def max_staleness(thorough):
    # A round trip through a relay takes less on a machine that is very busy.
    return 1.0 if thorough else 0.5


@pytest.fixture
def start(tmp_path, thorough, max_staleness):
    """Return readers that connect so; a few, where it does not matter how many."""

    def start(connect, number=8 if thorough else 3, **options):
        options = {
            "max_staleness": max_staleness,
            "pause": 0.002 if thorough else 0.01,
            "prepare": connect_again_soon,
        } | options
        return Readers(number, connect, tmp_path, **options)

    return start


@pytest.fixture
def play(start, thorough, max_staleness):
    """Let something happen to readers and a writer at work, and return what is to be said of it.

    It is mended when all readers have noticed: they have no answer, or one that is new. Memory is
    in use before, and again afterwards.
    """

    def play(connect, writer, happen, mend=lambda: None):
        readers = start(connect)
        with readers, Load(writer, pause=0.01) as load:
            for _ in range(5 if thorough else 1):
                readers.wait_until_hitting()
                # Not in step with pings and writes.
                time.sleep(random.uniform(0, max_staleness / 2))
                happen(load, readers)
                readers.wait_for_change(writer.truth.possible, or_no_answer=True)
                if thorough:
                    time.sleep(2.5 * max_staleness)
                mend()
                readers.wait_for_change(writer.truth.possible)
                readers.wait_until_hitting()
        assert writer.wrong == []
        return readers.judge(writer.truth)

    return play


def writer_at(server):
    return Writer(RedisPermissionAdapter(to_port(server.port, PATIENCE), namespace=NAMESPACE))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [1, 8, 32])
def test_quiet(server, start, thorough, number):
    """Figures of revocations of what each reader has in memory."""
    revocations = 10_000 if thorough else 4
    writer = writer_at(server)
    pause = (min(number, 2) if thorough else number) / 1000
    readers = start(partial(to_port, server.port), number, pause=pause, timeout=PATIENCE)
    with readers:
        for user in range(USERS):
            writer.change(user)
        for each in range(revocations):
            user = each % USERS
            readers.wait_for(user, writer.change(user), from_memory=True)
            readers.wait_for(user, writer.change(user))
    assert len(writer.revocations) == revocations
    judgement = readers.judge(writer.truth)
    delays = readers.delays(writer.revocations)
    logger.info(
        "%d readers, %d revocations: all refuse after a median of %.2f ms, 99.9 %% after %.2f ms, "
        "at the latest after %.2f ms; %s",
        *(number, revocations, *(1000 * percentile(delays, share) for share in (50, 99.9, 100))),
        judgement,
    )
    assert judgement.too_stale == []
    assert judgement.counts["unanswered"] == 0


class TestNetwork:
    """The way to the server fails, of all connections or only of those that track."""

    @pytest.fixture
    def relay(self, server, thorough):
        with Relay(server.port, delay=0.25 if thorough else 0.05) as relay:
            yield relay

    @pytest.mark.parametrize("only_tracking", [True, False], ids=["tracking", "all"])
    @pytest.mark.parametrize("strike", Strike, ids=lambda strike: strike.name.lower())
    def test_strike(self, server, relay, play, strike, only_tracking):
        def happen(load, readers):
            # One whose ping was not answered in time may be connecting anew.
            servers.wait_until(
                lambda: relay.strike(strike, only_tracking=only_tracking) >= len(readers.logs)
            )

        connect = partial(to_port, relay.port)
        judgement = play(connect, writer_at(server), happen, mend=relay.heal)
        logger.info("%s, only_tracking=%s: %s", strike.name, only_tracking, judgement)
        assert judgement.too_stale == []


class TestServer:
    def test_paused(self, server, play):
        def happen(load, readers):
            server.freeze()

        try:
            judgement = play(
                partial(to_port, server.port), writer_at(server), happen, mend=server.thaw
            )
        finally:
            server.thaw()
        logger.info("server paused: %s", judgement)
        assert judgement.too_stale == []

    def test_long_script(self, server, play, max_staleness):
        client = to_port(server.port, PATIENCE)

        def happen(load, readers):
            client.eval(BUSY, 0, 2.5 * max_staleness)

        judgement = play(partial(to_port, server.port), writer_at(server), happen)
        logger.info("long script: %s", judgement)
        assert judgement.too_stale == []

    @pytest.mark.parametrize("stop", [servers.RedisServer.kill, servers.RedisServer.halt])
    def test_restarted(self, executable, play, stop):
        server = servers.RedisServer(executable, "--appendonly", "yes", "--appendfsync", "always")

        def happen(load, readers):
            stop(server)
            server.fix_append_only_file()
            server.resume()

        try:
            judgement = play(partial(to_port, server.port), writer_at(server), happen)
        finally:
            server.stop()
        logger.info("server restarted after %s: %s", stop.__name__, judgement)
        assert judgement.too_stale == []

    def test_tracking_connections_killed(self, server, play):
        def happen(load, readers):
            client = server.client()
            # One whose ping was not answered in time may be connecting anew.
            servers.wait_until(
                lambda: client.client_kill_filter(_type="pubsub") >= len(readers.logs)
            )

        judgement = play(partial(to_port, server.port), writer_at(server), happen)
        logger.info("tracking connections killed: %s", judgement)
        assert judgement.too_stale == []

    def test_flushed(self, server, play):
        writer = writer_at(server)

        def happen(load, readers):
            with load.paused():
                writer.flush(server.client())

        judgement = play(partial(to_port, server.port), writer, happen)
        logger.info("flushed: %s", judgement)
        assert judgement.too_stale == []


def test_reader_that_was_stopped(server, play, thorough, max_staleness):
    """Its first answers when it goes on are not from memory."""
    seen, woken = [], []

    def happen(load, readers):
        readers.freeze(0)
        time.sleep((3 if thorough else 1.25) * max_staleness)
        woken.append(time.monotonic())
        readers.thaw(0)
        seen.append(readers)

    judgement = play(partial(to_port, server.port), writer_at(server), happen)
    logger.info("reader stopped: %s", judgement)
    assert judgement.too_stale == []
    for when in woken:
        # It may have been stopped with an answer from memory in its hands.
        first = next(
            each
            for each in seen[0].history(0)
            if each.after >= when and not (each.is_hit and each.before < when)
        )
        assert not first.is_hit


def kinds(short):
    """Return a fixture: each way to lose a primary, but only *short* in the short form."""

    @pytest.fixture(params=STRIKES)
    def kind(request, thorough):
        if request.param != short and not thorough:
            pytest.skip("only with --thorough")
        return request.param

    return kind


lost = kinds("killed")
heard_of = kinds("handed over")


class TestFailover:
    @pytest.fixture
    def deployment(self, executable):
        deployment = Deployment(executable, 3)
        yield deployment
        deployment.stop()

    @pytest.fixture
    def connect(self, deployment):
        return partial(by_sentinels, tuple(sentinel.port for sentinel in deployment.sentinels))

    @pytest.mark.timeout(1800)
    def test_under_load(self, lost, deployment, connect, play, thorough):
        # As many as make sure that nothing acknowledged is lost.
        wait = 2 if lost == "handed over" else 1
        writer = Writer(RedisPermissionAdapter(connect(1), namespace=NAMESPACE, wait_replicas=wait))

        def happen(load, readers):
            primary = agreed_primary(deployment)
            deployment.lose(lost, primary)
            deployment.wait_until_switched(primary)
            STRIKES[lost].recover(primary)
            if thorough:
                deployment.wait_until_whole()

        judgement = play(connect, writer, happen)
        logger.info("failover under load, %s: %s", lost, judgement)
        assert judgement.too_stale == []

    @pytest.mark.timeout(1800)
    def test_writer_that_hears_of_it_first(self, heard_of, deployment, connect, start, thorough):
        """As soon as any Sentinel names another primary, that one is told of a revocation."""
        writer = Writer(RedisPermissionAdapter(connect(1), namespace=NAMESPACE, wait_replicas=2))
        readers = start(connect)
        with readers:
            for _ in range(5 if thorough else 1):
                for user in range(USERS):
                    servers.wait_until(partial(is_to_be_revoked, writer, user))
                readers.wait_until_hitting()
                primary = agreed_primary(deployment)
                deployment.lose(heard_of, primary)
                successor = first_named(deployment, primary)
                writer.adapter = writer_at(successor).adapter
                versions = [writer.change(user) for user in range(USERS)]
                assert all(versions)
                for user, version in enumerate(versions):
                    readers.wait_for(user, version)
                deployment.wait_until_switched(primary)
                STRIKES[heard_of].recover(primary)
                readers.wait_until_hitting()
                if thorough:
                    deployment.wait_until_whole()
                    writer.adapter = RedisPermissionAdapter(
                        connect(1), namespace=NAMESPACE, wait_replicas=2
                    )
        assert writer.wrong == []
        judgement = readers.judge(writer.truth)
        logger.info("writer that hears of a failover first, %s: %s", heard_of, judgement)
        assert judgement.too_stale == []


def give_slot_away(whole):
    for _ in whole.move(SLOT, whole.other_primary(SLOT)):
        pass


def give_slot_away_and_back(whole):
    home = whole.primary(SLOT)
    give_slot_away(whole)
    for _ in whole.move(SLOT, home):
        pass


def give_slot_away_at_once(whole):
    """By atomic migration, which Valkey has since 9.0."""
    source, target = whole.primary(SLOT), whole.other_primary(SLOT)
    try:
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", target.id)
    except redis.ResponseError:
        pytest.skip("this server cannot")
    servers.wait_until(lambda: whole.primary(SLOT) is target)
    whole.wait_until_whole()


def hand_over(whole, *way):
    replica = whole.replica(SLOT)
    replica.ask("CLUSTER", "FAILOVER", *way)
    servers.wait_until(replica.is_primary)
    whole.wait_until_whole()


def lose(lose, recover):
    def happen(whole):
        with whole.without_primary(SLOT, lose, recover):
            pass

    return happen


TO_SLOT = {
    "moved": give_slot_away,
    "killed": lose(cluster.Node.kill, cluster.Node.resume),
    "moved away and back": give_slot_away_and_back,
    "moved at once": give_slot_away_at_once,
    "handed over": hand_over,
    "taken over": lambda whole: hand_over(whole, "TAKEOVER"),
    "frozen": lose(cluster.Node.freeze, cluster.Node.thaw),
}


class TestCluster:
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("name", TO_SLOT)
    def test_slot(self, whole, play, thorough, name):
        if not thorough and name not in {"moved", "killed"}:
            pytest.skip("only with --thorough")
        connect = partial(by_cluster, tuple(node.port for node in whole.nodes))
        adapter = RedisPermissionAdapter(connect(PATIENCE), namespace=NAMESPACE, wait_replicas=1)

        judgement = play(connect, Writer(adapter), lambda *_: TO_SLOT[name](whole))
        logger.info("slot of a cluster, %s: %s", name, judgement)
        # A lookup without a near cache asks a node that has yet to hear of it, too.
        assert [each for each in judgement.too_stale if each[0].is_hit] == []


def agreed_primary(deployment):
    """Return the primary of *deployment*, when all Sentinels agree which it is."""
    found = None

    def is_found():
        nonlocal found
        found = deployment.primary()
        return found is not None

    servers.wait_until(is_found)
    return found


def is_to_be_revoked(writer, user):
    """Whether the next change is a revocation; make another change where it is not."""
    version = writer.truth.possible[0][user]
    if len(writer.truth.possible) == 1 and version and version % 2 == 0:
        return True
    with suppress(SourceError):
        # After a failover it takes a moment until all replicas confirm.
        writer.change(user)
    return False


def first_named(deployment, primary):
    """Return the first server besides *primary* that any Sentinel calls so, as soon as it does."""
    clients = [sentinel.client() for sentinel in deployment.sentinels]
    end = time.monotonic() + 60
    while True:
        for client in clients:
            port = client.sentinel_get_master_addr_by_name("staff")[1]
            if port != primary.port:
                return next(server for server in deployment.servers if server.port == port)
        assert time.monotonic() < end
        time.sleep(0.002)


class TestJudge:
    """It finds out a near cache that does not keep its promise."""

    def test_invalidations_are_ignored(self, server, start, max_staleness):
        readers = start(
            partial(to_port, server.port), prepare=ignore_invalidations, max_staleness=LONG
        )
        self.check_that_it_is_found_out(server, readers, max_staleness, lambda: None)

    def test_proof_is_not_wanted(self, server, start, max_staleness):
        with Relay(server.port) as relay:
            self.check_that_it_is_found_out(
                server,
                start(partial(to_port, relay.port), max_staleness=LONG),
                max_staleness,
                lambda: relay.strike(Strike.HALF_OPEN, only_tracking=True),
            )

    def check_that_it_is_found_out(self, server, readers, max_staleness, happen):
        """Let readers that trust their memory for long be held to *max_staleness*."""
        writer = writer_at(server)
        writer.change(0)
        version = writer.change(0)
        with readers:
            readers.wait_for(0, version, from_memory=True)
            happen()
            writer.change(0)
            time.sleep(max_staleness)
            readers.wait_until_hitting()
        readers.max_staleness = max_staleness
        judgement = readers.judge(writer.truth)
        assert judgement.stalest[True] > max_staleness
        assert judgement.stalest[False] == 0
        assert len(judgement.too_stale) >= len(readers.logs)
