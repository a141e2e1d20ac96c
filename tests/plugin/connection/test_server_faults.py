"""Every operation, while its server is stopped, killed, paused or started again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import servers
from judge import OPERATIONS, Judge, ask, patiently
from operations import BEFORE, WRITES

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter

SHORT, LONG = 0.25, 30
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")
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


def adapter_of(server, options, seconds=LONG):
    """An adapter that is connected, and that the server knows by its name."""
    adapter = RedisPermissionAdapter(
        server.client(socket_timeout=seconds, client_name="adapter"), **options
    )
    patiently(adapter._section_exists, "nobody")
    return adapter


def wait_until_left(server):
    """Return when *server* has done what adapters that are no longer connected had sent."""
    client = server.client()
    servers.wait_until(lambda: all(other["name"] != "adapter" for other in client.client_list()))


def halt(server):
    server.halt()


def kill(server):
    server.kill()


@pytest.mark.parametrize("stop", [halt, kill])
def test_server_that_is_down_and_comes_back(own_server, judge, options, stop):
    asking = {name: adapter_of(own_server, options) for name in OPERATIONS}
    silent = {name: adapter_of(own_server, options) for name in OPERATIONS}
    judge.prepare("find_sections")
    stop(own_server)
    for name, adapter in asking.items():
        _, error = ask(name, adapter)
        assert isinstance(error, SourceUnavailable)
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert "cannot be reached" in str(error)
        assert ("Nothing was written" in str(error)) == (name in WRITES)
    own_server.resume()
    judge.check_state(BEFORE if own_server.is_persistent else {})
    for adapters in (asking, silent):
        for name, adapter in adapters.items():
            # No script is there, as the server has been started anew.
            judge.prepare(name, with_scripts=False)
            assert judge.outcome(name, *ask(name, adapter)) == "answered"


def test_server_that_is_paused(server, options, names):
    """A write waits there until the server goes on: nobody knows, and then it is done."""
    judge = Judge(server, options)
    for name in names:
        judge.prepare(name)
        adapter = adapter_of(server, options, SHORT)
        server.freeze()
        try:
            answer, error = ask(name, adapter)
        finally:
            server.thaw()
        assert isinstance(error, SourceUnavailable)
        assert "did not answer in time" in str(error)
        wait_until_left(server)
        outcome = judge.outcome(name, answer, error)
        assert outcome == ("unknown: done" if name in WRITES else "unavailable")
        adapter._database._pool.disconnect()


def test_server_that_is_paused_while_connecting(server, options, names):
    judge = Judge(server, options)
    for name in names:
        judge.prepare(name)
        adapter = RedisPermissionAdapter(
            server.client(socket_timeout=SHORT, client_name="adapter"), **options
        )
        server.freeze()
        try:
            answer, error = ask(name, adapter)
        finally:
            server.thaw()
        assert isinstance(error, SourceUnavailable)
        outcome = judge.outcome(name, answer, error)
        assert outcome == ("nothing written" if name in WRITES else "unavailable")


def stop_and_thaw(server):
    """Stop a server that is paused: it hears of it when it goes on."""
    stopping = threading.Thread(target=server.halt)
    stopping.start()
    time.sleep(0.05)
    server.thaw()
    stopping.join(60)


@pytest.mark.parametrize("own_server", [PERSISTENT], indirect=True, ids=["append-only file"])
@pytest.mark.parametrize("stop", [stop_and_thaw, kill])
def test_server_that_goes_down_while_it_is_asked(own_server, judge, options, names, stop):
    for name in names:
        judge.prepare(name)
        adapter = adapter_of(own_server, options)
        own_server.freeze()
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(ask, name, adapter)
            # Enough, but on a busy machine, for the question to be waiting.
            time.sleep(0.05)
            stop(own_server)
            answer, error = asking.result(60)
        own_server.resume()
        judge.outcome(name, answer, error)
        judge.has_scripts = False
        assert adapter.find_sections("nobody") == set()
