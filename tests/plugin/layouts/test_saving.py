"""Saving to disk after writes: when, how, and what where the server cannot."""

import logging
import multiprocessing
import signal
import threading
from contextlib import suppress

import psutil
import pytest
import redis
from harness import servers
from harness.forks import fork_server
from harness.operations import AFTER, BEFORE, LOOKUPS, WRITES, fill
from harness.proxy import HOLD_REPLY, Action, Fault, Point, Proxy
from harness.servers import wait_until

from repoze.what.adapters import ItemPresentError
from repoze.what.plugins.redis import RedisPermissionAdapter, TooFewReplicas
from repoze.what.plugins.redis.layouts import replication, saving

LOGGER = "repoze.what.plugins.redis"
COMMANDS = {"background": "bgsave", "sync": "save"}
A_MINUTE = 60_000_000


@pytest.fixture(scope="module")
def started(executable):
    server = servers.RedisServer(executable)
    yield server
    server.stop()


@pytest.fixture
def own_server(started, options):
    """A server that saves when it is told to, with a source in it."""
    client = started.client()
    wait_until_saved(started)
    client.config_set("rdb-key-save-delay", 0)
    client.flushall()
    fill(client, **options)
    client.config_resetstat()
    return started


@pytest.fixture(params=COMMANDS)
def save(request):
    return request.param


def calls(server, save):
    """Return how often the server has saved, or was asked to while it did."""
    statistics = server.client().info("commandstats").get(f"cmdstat_{COMMANDS[save]}")
    return statistics["calls"] if statistics else 0


def wait_until_saved(server):
    client = server.client()
    wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])


def crash(server):
    """Let nothing but what is on disk be left."""
    server.kill()
    server.resume()


class Child:
    """The child of a server that writes a file, and would for a minute for each key."""

    def __init__(self, client, begin):
        client.config_set("rdb-key-save-delay", A_MINUTE)
        begin()
        client.config_set("rdb-key-save-delay", 0)
        [self._process] = psutil.Process(client.info("server")["process_id"]).children()

    def stop(self):
        """Have it go as the server does, which then takes it for no failure."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(signal.SIGUSR1)


@pytest.fixture
def snapshot(own_server):
    """A snapshot that has begun, and does not end before it is stopped."""
    client = own_server.client()
    child = Child(client, client.bgsave)
    yield child
    child.stop()


def is_being_saved(server):
    return bool(server.client().info("persistence")["rdb_bgsave_in_progress"])


@pytest.fixture(autouse=True)
def threads_at_rest():
    """Let no thread of a test save during the next."""
    yield
    wait_until(lambda: not saving_threads())


def saving_threads():
    return [thread for thread in threading.enumerate() if thread.name == saving.__name__]


@pytest.mark.parametrize("name", WRITES)
def test_each_write_is_saved(own_server, options, save, name):
    adapter = RedisPermissionAdapter(own_server.client(), save=save, **options)
    WRITES[name](adapter)
    assert calls(own_server, save) == 1
    wait_until_saved(own_server)
    assert own_server.client().info("persistence")["rdb_changes_since_last_save"] == 0


def test_what_is_saved_survives_a_crash(own_server, options, save):
    adapter = RedisPermissionAdapter(own_server.client(), save=save, **options)
    adapter.include_items("edit", ["a", "b"])
    wait_until_saved(own_server)
    crash(own_server)
    assert adapter.get_all_sections() == AFTER["include_items"]


def test_nothing_is_saved_where_nobody_asks_for_it(own_server, options):
    RedisPermissionAdapter(own_server.client(), **options).delete_section("read")
    assert calls(own_server, "background") == calls(own_server, "sync") == 0


def test_so_many_writes_are_saved_together(own_server, options):
    adapter = RedisPermissionAdapter(
        own_server.client(), save="background", save_every=4, **options
    )
    for number in range(11):
        adapter.include_item("edit", f"item {number}")
        wait_until_saved(own_server)
        assert calls(own_server, "background") == (number + 1) // 4


def test_what_writes_nothing_is_not_saved(own_server, options):
    adapter = RedisPermissionAdapter(own_server.client(), save="sync", **options)
    for lookup in LOOKUPS.values():
        lookup(adapter)
    with pytest.raises(ItemPresentError):
        adapter.include_item("edit", "staff")
    adapter.check()
    adapter.repair()
    assert calls(own_server, "sync") == 0


def test_repair_is_saved(own_server):
    fill(own_server.client(), namespace="tests", db=0)
    adapter = RedisPermissionAdapter(own_server.client(), 0, namespace="tests", save="sync")
    own_server.client().delete("{tests}:permissions:item:staff")
    adapter.repair()
    crash(own_server)
    assert adapter.get_all_sections() == BEFORE
    assert adapter.check() == []


def test_write_that_replicas_did_not_confirm_is_saved(own_server, options, monkeypatch):
    monkeypatch.setattr(replication, "_SECONDS", 0.01)
    client = own_server.client()
    adapter = RedisPermissionAdapter(client, save="sync", wait_replicas=1, **options)
    with pytest.raises(TooFewReplicas):
        adapter.delete_section("read")
    crash(own_server)
    assert adapter.get_section_names() == {"edit"}


def test_write_that_a_snapshot_may_lack_is_in_the_next(own_server, options, save, snapshot):
    adapter = RedisPermissionAdapter(own_server.client(), save=save, **options)
    for number in range(3):
        adapter.include_item("edit", f"item {number}")
    assert is_being_saved(own_server)
    snapshot.stop()
    wait_until(lambda: own_server.client().info("persistence")["rdb_changes_since_last_save"] == 0)
    wait_until_saved(own_server)
    crash(own_server)
    assert adapter.get_section_items("edit") >= {"item 0", "item 1", "item 2"}


def write_in_another_process(port, options):
    client = redis.Redis(host=servers.HOST, port=port)
    RedisPermissionAdapter(client, save="background", **options).include_item("edit", "a")


def test_process_does_not_end_before_its_writes_are_being_saved(own_server, options, snapshot):
    process = fork_server().Process(
        target=write_in_another_process, args=(own_server.port, options)
    )
    process.start()
    adapter = RedisPermissionAdapter(own_server.client(), **options)
    wait_until(lambda: "a" in adapter.get_section_items("edit"))
    assert is_being_saved(own_server)
    snapshot.stop()
    process.join()
    assert process.exitcode == 0
    wait_until_saved(own_server)
    crash(own_server)
    assert "a" in adapter.get_section_items("edit")


# From Python 3.12 on, whoever forks while threads run is warned.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forked_process_sees_to_its_own_writes(own_server, options, snapshot):
    adapter = RedisPermissionAdapter(own_server.client(), save="background", **options)
    adapter.include_item("edit", "parent's")

    def write():
        adapter.include_item("edit", "child's")
        assert saving_threads()

    child = multiprocessing.get_context("fork").Process(target=write)
    child.start()
    wait_until(lambda: "child's" in adapter.get_section_items("edit"))
    assert is_being_saved(own_server)
    snapshot.stop()
    child.join()
    assert child.exitcode == 0
    wait_until_saved(own_server)
    crash(own_server)
    assert "child's" in adapter.get_section_items("edit")


@pytest.mark.usefixtures("snapshot")
def test_snapshot_that_takes_too_long_is_not_waited_for(
    own_server, options, save, monkeypatch, caplog
):
    monkeypatch.setattr(saving, "_LONGEST_WAIT", 0.1)
    adapter = RedisPermissionAdapter(own_server.client(), save=save, **options)
    adapter.delete_section("read")
    wait_until(lambda: caplog.records)
    [record] = caplog.records
    assert record.name == LOGGER
    assert "may lack the latest writes" in record.getMessage()
    assert str(own_server.port) in record.getMessage()


@pytest.mark.usefixtures("snapshot")
def test_thread_that_cannot_be_started(own_server, options, monkeypatch, caplog):
    """The write took effect, and says so."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    adapter = RedisPermissionAdapter(own_server.client(), save="background", **options)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        adapter.delete_section("read")
    [record] = caplog.records
    assert "may not be saved: can't start new thread (Redis at " in record.getMessage()
    assert adapter.get_section_names() == {"edit"}


def test_snapshot_waits_for_an_append_only_file_that_is_rewritten(own_server, options, caplog):
    client = own_server.client()
    child = Child(client, client.bgrewriteaof)
    adapter = RedisPermissionAdapter(client, save="background", **options)
    adapter.delete_section("read")
    assert client.info("persistence")["aof_rewrite_in_progress"]
    child.stop()
    wait_until(lambda: client.info("persistence")["rdb_changes_since_last_save"] == 0)
    assert calls(own_server, "background") == 1
    assert not caplog.records


def test_write_stands_where_saving_is_not_permitted(own_server, options, save, caplog):
    own_server.client().execute_command(
        *("ACL", "SETUSER", "guest", "reset", "on", ">s3cret", "~*", "+@all", f"-{COMMANDS[save]}")
    )
    guest = own_server.client(username="guest", password="s3cret")
    adapter = RedisPermissionAdapter(guest, save=save, **options)
    caplog.set_level(logging.INFO, LOGGER)
    adapter.include_item("edit", "a")
    adapter.include_item("edit", "b")
    assert adapter.get_section_items("edit") == {"staff", "admins", "a", "b"}
    [record] = caplog.records
    assert record.name == LOGGER
    assert record.levelno == logging.WARNING
    for part in ("took effect, but is not saved", COMMANDS[save].upper(), "ACL"):
        assert part in record.getMessage()
    assert "s3cret" not in record.getMessage()

    own_server.client().execute_command("ACL", "SETUSER", "guest", f"+{COMMANDS[save]}")
    adapter.include_item("edit", "c")
    adapter.include_item("edit", "d")
    assert [record.getMessage()[:30] for record in caplog.records[1:]] == [
        "What is written is saved again"
    ]


class ConnectionThatSavesFast(redis.Connection):
    """It hardly waits for the reply to SAVE, and for others long enough for any machine."""

    def send_command(self, *command, **options):
        super().send_command(*command, **options)
        if command == ("SAVE",):
            self._sock.settimeout(0.01)


def test_write_stands_where_saving_takes_too_long(own_server, options, caplog):
    with Proxy(own_server.port) as proxy:
        pool = redis.ConnectionPool(
            ConnectionThatSavesFast, host=servers.HOST, port=proxy.port, socket_timeout=60
        )
        client = redis.Redis(connection_pool=pool)
        adapter = RedisPermissionAdapter(client, save="sync", **options)
        adapter.get_section_names()
        # With an index, an adapter asks for what was written last before its first write.
        before_save = 2 if options else 1
        proxy.arm(*[Fault(Action.DELAY, Point.BEFORE_REPLY)] * before_save, HOLD_REPLY)
        adapter.delete_section("read")
    [record] = caplog.records
    assert "did not answer in time" in record.getMessage()
    assert RedisPermissionAdapter(own_server.client(), **options).get_section_names() == {"edit"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"save": "later"},
        {"save": True},
        {"save": "sync", "save_every": 0},
        {"save": "sync", "save_every": "2"},
        {"save_every": 2},
        {"save_every": 1},
    ],
)
def test_what_does_not_say_when_to_save_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="save"):
        RedisPermissionAdapter(redis.Redis(), **wrong)


def test_one_thread_sees_to_what_several_want_at_once(monkeypatch):
    """Of those that are started before the first of them runs, one does."""
    started, begun = [], []

    class Unstarted:
        def __init__(self, target, name):
            started.append(target)

        def start(self):
            pass

    monkeypatch.setattr(saving.threading, "Thread", Unstarted)

    def begin():
        begun.append(len(begun))
        if len(begun) == 1:
            # The other thread comes while this one is at work.
            started[1]()
        return True

    repetition = saving._Repetition(begin, "server")
    repetition.want()
    repetition.want()
    assert len(started) == 2
    started[0]()
    assert begun == [0]
