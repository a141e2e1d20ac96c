import signal
import stat
from pathlib import Path

import fakeredis
import pytest
from harness import servers

from repoze.what.plugins.redis.demo import passwords, people, site

EXECUTABLES = list(servers.executables().values())


@pytest.fixture
def options() -> dict[str, str]:
    """The plain layout only: the demo is also tried out with redis-cli."""
    return {}


@pytest.fixture
def cheap_hashes(monkeypatch):
    """Passwords that are quickly checked: the cost is stored with each."""
    monkeypatch.setattr(passwords, "_LOG2_COST", 2)
    monkeypatch.setattr(passwords, "_PARALLELIZATION", 1)


@pytest.fixture
def running_server():
    """A server that a test may stop."""
    if not EXECUTABLES:
        pytest.skip("no redis-server or valkey-server on this machine")
    server = servers.RedisServer(EXECUTABLES[0])
    yield server
    server.stop()


@pytest.fixture
def client():
    """A client of an empty server, a real one where there is one."""
    if not EXECUTABLES:
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())
    shared = servers.running(EXECUTABLES[0])
    shared.empty()
    return shared.client()


@pytest.fixture
def htpasswd(tmp_path, cheap_hashes) -> Path:
    path = tmp_path / "htpasswd"
    passwords.write_htpasswd(path, {**people.PASSWORDS, "odd!user": "odd"})
    return path


@pytest.fixture
def newspaper(groups, permissions, htpasswd):
    """The site, with its groups and permissions in Redis."""
    people.fill(groups, permissions)
    return site.Site(groups, permissions, htpasswd, "redis-cli -p 1234")


@pytest.fixture
def signals():
    """Put the process' signal handlers back."""
    names = {"SIGINT", "SIGTERM", "SIGHUP"} & vars(signal).keys()
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def script(tmp_path):
    """Make an executable shell script and return its path."""

    def make(name: str, *lines: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make
