import gc
import os
import signal

import fakeredis
import pytest
import redis
from harness import factors, servers
from harness.hiccups import Hiccups
from hypothesis import HealthCheck, settings

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter


def pytest_addoption(parser):
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run everything with everything, and the long tests to the length of their figures",
    )
    parser.addoption(
        "--older-servers",
        action="store_true",
        help="run only what could depend on the server, on each but the newest",
    )
    parser.addoption(
        "--hiccups",
        type=float,
        metavar="SECONDS",
        help="pause for up to so long, at random, in what sockets and threads do",
    )


def pytest_configure(config):
    settings.register_profile(
        "tests",
        # How long an example takes is the machine's load, mostly.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        # What an ordinary run meets is not left to chance.
        derandomize=not config.getoption("--thorough"),
    )
    settings.load_profile("tests")
    # A shell has what it runs in the background ignore Ctrl-C, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if longest := config.getoption("--hiccups"):
        config.pluginmanager.register(Hiccups(longest))


def pytest_report_header():
    found = ", ".join([*factors.EXECUTABLES, factors.FAKE])
    return f"servers: {found}; redis-py {redis.__version__}"


def pytest_xdist_auto_num_workers():
    # More than half of the time, a test waits for a server or a thread.
    return 3 * (os.cpu_count() or 1)


def pytest_ignore_collect(collection_path, config):
    # What none of its servers is met by need not be read, by each of the processes.
    is_met = collection_path.is_dir() or factors.servers_met(config, collection_path.name)
    return None if is_met else True


def pytest_generate_tests(metafunc):
    met = factors.servers_met(metafunc.config, metafunc.definition.path.name)
    real = [server for server in met if server != factors.FAKE]
    for fixture, given in (("real_server", real or [None]), ("any_server", met or [None])):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, given, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    # What is collected is there until the end. To look through it for garbage, over and over, is
    # half of the work of collecting, and most of that of a test that looks for garbage.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config, items):
    if factors.is_full(config):
        return
    chosen = set(factors.ordinary(items, config))
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def pytest_sessionfinish(session, exitstatus):
    # There may be no older server: that is no failure.
    if (
        exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        and session.config.getoption("--older-servers")
        and len(factors.EXECUTABLES) < 2
    ):
        session.exitstatus = pytest.ExitCode.OK


def pytest_unconfigure():
    servers.stop_all()


@pytest.fixture(scope="session")
def thorough(request) -> bool:
    """Whether a long test is to take the time that its figures in the manual took."""
    return request.config.getoption("--thorough")


@pytest.fixture(autouse=True)
def shared_servers_are_left_as_they_were():
    yield
    assert servers.take_back() == []


@pytest.fixture(scope="session")
def real_server(request) -> str:
    """The name of each real server that this run meets, in turn."""
    if request.param is None:
        pytest.skip("no redis-server or valkey-server on this machine")
    return request.param


@pytest.fixture(scope="session")
def any_server(request) -> str:
    """The name of each server that this run meets in turn, that of the imitation too."""
    return request.param


@pytest.fixture(scope="session")
def executable(real_server) -> str:
    """Each real server that this run meets, in turn."""
    return factors.EXECUTABLES[real_server]


@pytest.fixture(scope="session")
def executable_with_tls() -> str:
    """The newest real server that speaks TLS."""
    for executable in filter(servers.speaks_tls, factors.EXECUTABLES.values()):
        return executable
    pytest.skip("no server on this machine is built with TLS")


@pytest.fixture
def server(executable) -> servers.RedisServer:
    """A real server that is empty."""
    shared = servers.running(executable)
    shared.empty()
    return shared


@pytest.fixture
def questions_of_a_request(executable) -> int:
    """How many questions it takes to find a user's groups and permissions."""
    return 2 if servers.version(executable).startswith("redis-6") else 1


@pytest.fixture
def client(any_server) -> redis.Redis:
    """A client of an empty server, each kind in turn."""
    if any_server == factors.FAKE:
        return fakeredis.FakeRedis()
    shared = servers.running(factors.EXECUTABLES[any_server])
    shared.empty()
    return shared.client()


@pytest.fixture(params=["plain", "indexed"])
def options(request) -> dict[str, str]:
    """What an adapter is given besides its client, for each layout in turn."""
    return {"plain": {}, "indexed": {"namespace": "tests"}}[request.param]


@pytest.fixture
def groups(client, options) -> RedisGroupAdapter:
    return RedisGroupAdapter(client, **options)


@pytest.fixture
def permissions(client, options) -> RedisPermissionAdapter:
    return RedisPermissionAdapter(client, **options)


@pytest.fixture
def plain_groups(client) -> RedisGroupAdapter:
    return RedisGroupAdapter(client)


@pytest.fixture
def indexed_groups(client) -> RedisGroupAdapter:
    return RedisGroupAdapter(client, namespace="tests")
