"""Every operation, while its server is stopped, killed, paused or started again."""

import signal
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import redis
from harness import servers
from harness.covering import covering_array
from harness.judge import OPERATIONS, Judge, ask
from harness.operations import ANSWERS, BEFORE, LOOKUPS, WRITES, fill
from harness.virtual_time import VirtualTime, virtual_time_client

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

# In seconds: what comes at all comes sooner.
LONG = 60
# The system has what was written, and keeps it whatever becomes of the server.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "no")
# One of each kind, for a run that is not thorough.
FEW = ["find_sections", "rename_item", "repair"]


@pytest.fixture(params=[PERSISTENT, ()], ids=["append-only file", "memory alone"])
def own_server(request, executable):
    server = servers.RedisServer(executable, *request.param)
    server.is_persistent = bool(request.param)
    yield server
    server.stop()


@pytest.fixture
def judge(own_server, options):
    return Judge(own_server, options)


@pytest.fixture
def names(thorough):
    return list(OPERATIONS) if thorough else FEW


@pytest.fixture
def time():
    """The time of every adapter here. Nothing is late at first."""
    return VirtualTime(lambda _: False)


def adapter_of(server, options, time):
    """An adapter that the server knows by its name."""
    client = virtual_time_client(server.port, time, socket_timeout=LONG, client_name="adapter")
    return RedisPermissionAdapter(client, **options)


def connected(adapter):
    assert not adapter._section_exists("nobody")
    return adapter


def wait_until_left(server):
    """Return when *server* has done what adapters that are no longer connected had sent."""
    client = server.client()
    servers.wait_until(lambda: all(other["name"] != "adapter" for other in client.client_list()))


def resume(server):
    server.resume()
    # It is there before it has read what it has kept.
    servers.wait_until(lambda: not server.client().info("persistence")["loading"])


def halt(server):
    server.halt()


def kill(server):
    server.kill()


@cache
def few():
    """The cases of a run that is not thorough: whether the server is persistent comes first."""
    return covering_array([True, False], ["plain", "indexed"], [halt, kill], OPERATIONS)


@pytest.mark.parametrize("stop", [halt, kill])
def test_server_that_is_down_and_comes_back(own_server, judge, options, time, *, stop, thorough):
    case = own_server.is_persistent, "indexed" if options else "plain", stop
    names = [name for name in OPERATIONS if thorough or (*case, name) in few()]
    asking = {name: connected(adapter_of(own_server, options, time)) for name in names}
    silent = {name: connected(adapter_of(own_server, options, time)) for name in names}
    judge.prepare("find_sections")
    stop(own_server)
    for name, adapter in asking.items():
        _, error = ask(name, adapter)
        assert isinstance(error, SourceUnavailable)
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert "cannot be reached" in str(error)
        # Of a repair, a part may be done.
        assert error.written is (None if name == "repair" else False)
    resume(own_server)
    judge.check_state(BEFORE if own_server.is_persistent else {})
    for adapters in (asking, silent):
        for name, adapter in adapters.items():
            # No script is there, as the server has been started anew.
            judge.prepare(name, with_scripts=False)
            assert judge.outcome(name, *ask(name, adapter)) == "answered"


def ask_while_paused(server, name, adapter, time):
    server.freeze()
    time.is_late = lambda _: True
    try:
        answer, error = ask(name, adapter)
    finally:
        server.thaw()
        time.is_late = lambda _: False
    assert isinstance(error, SourceUnavailable)
    assert "did not answer in time" in str(error)
    return answer, error


def test_server_that_is_paused(server, options, names, time):
    """A write waits there until the server goes on: nobody knows, and then it is done."""
    judge = Judge(server, options)
    for name in names:
        judge.prepare(name)
        adapter = connected(adapter_of(server, options, time))
        # The first write is told of another before it is done.
        adapter.set_section_items("read", [])
        answer, error = ask_while_paused(server, name, adapter, time)
        wait_until_left(server)
        outcome = judge.outcome(name, answer, error)
        assert outcome == ("unknown: done" if name in WRITES else "unavailable")
        adapter.close()


def test_server_that_is_paused_while_connecting(server, options, names, time):
    judge = Judge(server, options)
    for name in names:
        judge.prepare(name)
        adapter = adapter_of(server, options, time)
        answer, error = ask_while_paused(server, name, adapter, time)
        outcome = judge.outcome(name, answer, error)
        assert outcome == ("nothing written" if name in WRITES else "unavailable")


@pytest.mark.parametrize("name", [*LOOKUPS, "check"])
def test_reading_goes_on_while_writes_are_paused(server, executable, options, name):
    """As some failovers have it."""
    if "redis-6" in servers.version(executable):
        pytest.skip("a script that only reads is told from others since Redis 7.0")
    fill(server.client(), **options)
    adapter = RedisPermissionAdapter(server.client(socket_timeout=LONG), **options)
    adapter.find_sections("nobody")
    client = server.client()
    client.client_pause(10 * LONG * 1000, all=False)
    try:
        answer = OPERATIONS[name](adapter)
    finally:
        client.client_unpause()
    assert answer == ANSWERS.get(name, [])


def stop_and_thaw(server):
    """Stop a server that is paused: it hears of it when it goes on."""
    server._executor.process.send_signal(signal.SIGTERM)
    server.thaw()
    server.halt()


@pytest.mark.parametrize("own_server", [PERSISTENT], indirect=True, ids=["append-only file"])
@pytest.mark.parametrize("stop", [stop_and_thaw, kill])
def test_server_that_goes_down_while_it_is_asked(own_server, judge, options, time, *, names, stop):
    for name in names:
        judge.prepare(name)
        adapter = connected(adapter_of(own_server, options, time))
        own_server.freeze()
        waits = time.waits
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(ask, name, adapter)
            servers.wait_until(lambda waits=waits: time.waits > waits)
            stop(own_server)
            answer, error = asking.result(60)
        resume(own_server)
        judge.outcome(name, answer, error)
        judge.has_scripts = False
        assert adapter.find_sections("nobody") == set()
