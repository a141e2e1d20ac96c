"""A primary that is lost or handed over under load, with Sentinels and without."""

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest
import redis
from harness import servers
from harness.load import Load, Reader, Writer
from harness.operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, restore
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter, TooFewReplicas

logger = logging.getLogger(__name__)

# In milliseconds of silence: when a primary is to be taken for lost, and when none is, however late
# a busy machine has its servers answer.
LOST, BUSY = 1_000, 600_000
USERS = 4
# In seconds: what comes at all comes sooner.
LONG = 60


class Deployment:
    """A primary with two replicas, and Sentinels of which most have to agree."""

    def __init__(self, executable, sentinels):
        self.servers = [start(executable) for _ in range(3)]
        replicate(*self.servers)
        options = f"down-after-milliseconds {BUSY}", "failover-timeout 4000"
        self.sentinels = servers.sentinels(sentinels, executable, self.servers[0], *options)
        self.manager = Sentinel(
            [(servers.HOST, sentinel.port) for sentinel in self.sentinels],
            sentinel_kwargs={
                "socket_connect_timeout": LONG,
                "socket_timeout": LONG,
                "retry": Retry(NoBackoff(), 0),
            },
        )
        self.wait_until_whole()

    def client(self):
        return self.manager.master_for("staff", socket_connect_timeout=0.5, socket_timeout=1)

    def ask_sentinel(self, *command):
        return self.sentinels[0].client().execute_command(*command)

    def primary(self):
        """The server that all Sentinels call the primary, or `None` where they do not agree."""
        ports = {
            sentinel.client().sentinel_get_master_addr_by_name("staff")[1]
            for sentinel in self.sentinels
        }
        return next((each for each in self.servers if {each.port} == ports), None)

    def lose(self, kind, primary):
        """Have *primary* lost in a way of `STRIKES`; Sentinels look for it from now on."""
        self._take_for_lost_after(LOST)
        STRIKES[kind].lose(self, primary)

    def _take_for_lost_after(self, milliseconds):
        for sentinel in self.sentinels:
            sentinel.client().sentinel_set("staff", "down-after-milliseconds", milliseconds)

    def wait_until_switched(self, old):
        """Return when another server than *old* is the primary, and clients are sent there."""

        def is_switched():
            try:
                return self.primary() not in {None, old} and self.client().ping()
            except redis.RedisError:
                return False

        servers.wait_until(is_switched)
        self._take_for_lost_after(BUSY)

    def wait_until_whole(self):
        """Return when the other two replicate the primary, and the Sentinels know it all."""
        servers.wait_until(self._is_whole)
        wait_until_in_step(self.primary(), 2)

    def _is_whole(self):
        primary = self.primary()
        return (
            primary is not None
            and connected_replicas(primary) == 2
            and all(
                servers.is_ready(sentinel, 2, len(self.sentinels)) for sentinel in self.sentinels
            )
        )

    def stop(self):
        for server in (*self.sentinels, *self.servers):
            server.thaw()
            server.stop()


def start(executable):
    return servers.RedisServer(executable, "--repl-diskless-sync-delay", "0")


def replicate(primary, *replicas):
    """Make *replicas* those of *primary*, and return when they have all that it has."""
    for replica in replicas:
        replica.client().replicaof(servers.HOST, primary.port)
    wait_until_in_step(primary, len(replicas))


def wait_until_in_step(primary, number):
    """Return when so many replicas have all that *primary* has."""
    with primary.client(single_connection_client=True) as client:
        # One that is connected is sent nothing for a moment.
        client.publish("staff", "Are you there?")
        servers.wait_until(lambda: client.wait(number, 1000) == number)


def connected_replicas(server):
    replication = server.client().info("replication")
    return sum(
        replication.get(f"slave{number}", {}).get("state") == "online" for number in range(3)
    )


class Caller:
    """Asks for the groups of one user, which nobody changes."""

    def __init__(self, number, adapter):
        self.number = number
        self.adapter = adapter
        self.counts = Counter()
        self.wrong = []

    def step(self):
        answer = self.adapter.find_sections(f"user {self.number}")
        if answer != {f"group of {self.number}", "everybody"}:
            self.wrong.append((self.number, answer))
        self.counts["right"] += 1
        return True


LAYOUTS = {"plain": {}, "indexed": {"db": 3, "namespace": "tests"}}


class Strike(NamedTuple):
    """A way in which a deployment loses its primary, and gets the server back."""

    lose: Callable
    recover: Callable


STRIKES = {
    "killed": Strike(lambda _, primary: primary.kill(), servers.RedisServer.resume),
    "stopped": Strike(lambda _, primary: primary.halt(), servers.RedisServer.resume),
    "frozen": Strike(lambda _, primary: primary.freeze(), servers.RedisServer.thaw),
    "handed over": Strike(
        lambda deployment, _: deployment.ask_sentinel("SENTINEL", "FAILOVER", "staff"),
        lambda _: None,
    ),
}


class Workers:
    """On each layout: writers that wait for so many replicas each, a reader for each, and callers.

    All writers and readers have an adapter of their own; the callers of a layout share one.
    """

    def __init__(self, deployment, waits):
        self.writers, self.readers, self.callers = {}, {}, {}
        for layout, options in LAYOUTS.items():
            shared = RedisPermissionAdapter(deployment.client(), **options)
            shared.create_section("everybody")
            for number in range(USERS):
                shared.include_item("everybody", f"user {number}")
                shared.create_section(f"group of {number}")
                shared.include_item(f"group of {number}", f"user {number}")
                self.callers[layout, number] = Caller(number, shared)
            for wait in waits:
                adapter = RedisPermissionAdapter(deployment.client(), wait_replicas=wait, **options)
                writer = Writer(f"writer {wait}", adapter, looks_first=True)
                self.writers[layout, wait] = writer
                reading = RedisPermissionAdapter(deployment.client(), **options)
                self.readers[layout, wait] = Reader(writer, reading)

    def __iter__(self):
        for workers in (self.writers, self.readers, self.callers):
            yield from workers.values()

    def wait_until_told(self):
        """Return when each knows what Sentinels have said since this was called."""
        now = time.monotonic()
        servers.wait_until(
            lambda: all(worker.adapter._database.primary_address.at > now for worker in self)
        )

    def stale(self):
        """How many stale answers each reader has had."""
        return {key: reader.counts["stale"] for key, reader in self.readers.items()}

    def settle(self):
        """Return for each writer how many acknowledged writes are lost, and forget them."""
        lost = {}
        for key, writer in self.writers.items():
            writer.settle(writer.look())
            self.readers[key].settle()
            lost[key] = len(writer.lost())
            writer.begin(writer.state)
            assert writer.adapter.check() == []
        assert [worker.wrong for worker in self if worker.wrong] == []
        return lost


@pytest.fixture
def deployment(executable, request):
    deployment = Deployment(executable, request.param)
    yield deployment
    deployment.stop()


@pytest.fixture(params=STRIKES)
def kind(request, thorough):
    if request.param not in {"killed", "handed over"} and not thorough:
        pytest.skip("only with --thorough")
    return request.param


@pytest.mark.parametrize("deployment", [3], indirect=True, ids=["3 Sentinels"])
def test_primary_lost_under_load(kind, deployment, thorough):
    """Figures of a loss: the longest outage, and what was lost that had been acknowledged."""
    strike = STRIKES[kind]
    workers = Workers(deployment, (0, 1, 2) if thorough else (0, 1))
    lost = Counter()
    with Load(*workers, pause=0.01) as load:
        for _ in range(5 if thorough else 1):
            for _ in range(3):
                load.wait_for_success()
            primary = deployment.primary()
            deployment.lose(kind, primary)
            deployment.wait_until_switched(primary)
            workers.wait_until_told()
            # By then, writers have looked at what was lost.
            load.wait_for_step()
            with load.paused():
                stale = workers.stale()
            strike.recover(primary)
            if thorough:
                deployment.wait_until_whole()
            load.wait_for_success()
            with load.paused():
                assert workers.stale() == stale
                lost.update(workers.settle())
    for key, writer in workers.writers.items():
        reader = workers.readers[key]
        logger.info(
            "%s, %s, wait_replicas=%d: writes %s, %d lost, outage %.1f s; "
            "lookups %s, outage %.1f s, stale by %.1f s",
            *(kind, *key, dict(writer.counts), lost[key], load.outages[writer]),
            *(dict(reader.counts), load.outages[reader], reader.stalest),
        )
        # Where all replicas have confirmed it. A primary that hands over stays one for some time,
        # and so does one of its replicas: with fewer, or none, to confirm a write, that is lost.
        if key[1] == 2 or (key[1] == 1 and kind != "handed over"):
            assert lost[key] == 0
        if kind == "stopped" and not lost[key]:
            # One that was killed is a primary again for a moment, when it is started.
            assert reader.counts["stale"] == 0
    callers = workers.callers.values()
    logger.info(
        "callers: %s, longest outage %.1f s",
        sum((caller.counts for caller in callers), Counter()),
        max(load.outages[caller] for caller in callers),
    )


@pytest.mark.parametrize("deployment", [1], indirect=True, ids=["1 Sentinel"])
def test_old_primary_that_wakes_up(deployment, thorough):
    """Sentinel makes it a replica, but not at once: whoever is still connected is answered."""
    fill(deployment.client(), namespace="tests", wait_replicas=2)
    adapters = [
        RedisPermissionAdapter(deployment.client(), namespace="tests", wait_replicas=wait)
        for wait in (0, 0, 0, 1)
    ]
    for adapter in adapters:
        assert adapter.get_all_sections() == BEFORE
        servers.wait_until(lambda adapter=adapter: adapter._database.primary_address.address)
        # Each has a connection now: redis-py closes the first where watch and question learn at
        # once where the primary is.
        assert adapter.get_all_sections() == BEFORE
    reader, *unwatched = adapters
    for adapter in unwatched:
        # As in the moment before Sentinel is asked again.
        adapter._database._client.watch.stop()
    unwatched_reader, unwatched_writer, careful_writer = unwatched
    old = deployment.primary()
    deployment.lose("frozen", old)
    deployment.wait_until_switched(old)
    current = RedisPermissionAdapter(deployment.client(), namespace="tests")
    current.exclude_item("edit", "staff")
    address = (servers.HOST, deployment.primary().port)
    servers.wait_until(lambda: reader._database.primary_address.address == address)
    assert reader.find_sections("staff") == set()
    # It would make the old primary a replica.
    [sentinel] = deployment.sentinels
    sentinel.freeze()
    old.thaw()

    assert reader.find_sections("staff") == set()
    assert unwatched_reader.find_sections("staff") == {"edit"}
    unwatched_writer.create_section("lost")
    with pytest.raises(TooFewReplicas, match=r"took effect .* 0 of its replicas"):
        careful_writer.create_section("not confirmed")
    assert current.get_all_sections() == AFTER["exclude_item"]
    assert reader.get_all_sections() == AFTER["exclude_item"]
    sentinel.thaw()
    if thorough:
        woken = time.monotonic()
        deployment.wait_until_whole()
        logger.info("a replica again after %.1f s", time.monotonic() - woken)
        for adapter in (*adapters, current):
            assert adapter.find_sections("staff") == set()
            assert adapter.get_all_sections() == AFTER["exclude_item"]
            assert adapter.check() == []


class TestWithoutSentinel:
    """An adapter that knows its primary by a name, which is given to another server."""

    @pytest.fixture
    def pair(self, executable):
        pair = [start(executable) for _ in range(2)]
        yield pair
        for server in pair:
            server.stop()

    @pytest.fixture
    def named(self, monkeypatch, pair):
        """What the name stands for: a server at the beginning of the list."""
        look_up = socket.getaddrinfo
        named = [pair[0]]

        def find(host, port, *arguments, **settings):
            if host == "primary.example":
                host, port = servers.HOST, named[0].port
            return look_up(host, port, *arguments, **settings)

        monkeypatch.setattr(socket, "getaddrinfo", find)
        return named

    def test_promotion(self, pair, named, options):
        old, new = pair
        adapter = RedisPermissionAdapter(redis.Redis(host="primary.example"), **options)
        fill(old.client(), **options)
        replicate(old, new)
        assert adapter.get_all_sections() == BEFORE
        new.client().replicaof("NO", "ONE")
        old.client().replicaof(servers.HOST, new.port)
        named[0] = new
        # Its connections are to the old one, and stay where they are as long as they are of use.
        assert {name: lookup(adapter) for name, lookup in LOOKUPS.items()} == ANSWERS
        with pytest.raises(SourceError, match=r"a replica; .* Nothing was written\."):
            adapter.create_section("new")
        adapter.create_section("new")
        assert adapter.get_all_sections() == AFTER["create_section"]
        assert RedisPermissionAdapter(new.client(), **options).get_section_names() >= {"new"}

    def test_replica_that_is_promoted(self, pair, options):
        primary, replica = pair
        fill(primary.client(), **options)
        adapter = RedisPermissionAdapter(replica.client(), **options)
        replicate(primary, replica)
        for write in 2 * [*WRITES.values()]:
            with pytest.raises(SourceError, match=r"a replica; .* Nothing was written\."):
                write(adapter)
            assert adapter.get_all_sections() == BEFORE
        replica.client().replicaof("NO", "ONE")
        for name, write in WRITES.items():
            write(adapter)
            assert adapter.get_all_sections() == AFTER[name]
            assert adapter.check() == []
            restore(adapter)
