"""A PostgreSQL server for as long as a benchmark runs, on the processor of the one it is beside."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT, SIGQUIT
from time import monotonic, sleep
from typing import Any

import psycopg
from sqlalchemy import URL

from .server import LOOPBACK, Server, bind_beside, free_port

# Where packages put what Debian and others leave off the PATH.
_USUAL_PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
# In seconds.
_LONGEST_START = 60
_LONGEST_STOP = 20
_USER = "bench"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # What is read is all in its memory, and what is written is thrown away.
    "fsync": "off",
    "autovacuum": "off",
    # A site that has measured turns it off: compiling would take longer than any of these queries.
    "jit": "off",
}


class NoPostgreSQL(Exception):  # noqa: N818 - it is nobody's error, and a peer is left out
    """There is none here that can be run; the message says why."""


@dataclass(frozen=True)
class PostgreSQL:
    """A real server on the loopback interface: what it is, and where."""

    description: str
    port: int
    password: str

    def connect(self) -> psycopg.Connection:
        """Return a connection on which each question is a transaction of its own."""
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=_USER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
        )

    def at(self, port: int) -> "PostgreSQL":
        """Return the same server, reached through what listens at *port*."""
        return replace(self, port=port)

    @property
    def url(self) -> URL:
        """What SQLAlchemy connects to."""
        return URL.create(
            "postgresql+psycopg", _USER, self.password, LOOPBACK, self.port, "postgres"
        )


@contextmanager
def running_postgresql(beside: Server) -> Iterator[PostgreSQL]:
    """Run an empty server that keeps nothing on disk; without one, raise `NoPostgreSQL`."""
    programs = _programs()
    owner = _owner()
    with tempfile.TemporaryDirectory() as folder:
        password = secrets.token_hex()
        data = Path(folder) / "data"
        secret = Path(folder) / "password"
        secret.write_text(password)
        if owner:
            for path in (folder, secret):
                os.chown(path, owner["user"], owner["group"])
        _initialise(programs, data, secret, owner)
        secret.unlink()
        port = free_port()
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - found on the PATH or in the usual places
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                **owner,
            )
            try:
                # It starts a process for each connection, and these are where it is.
                bind_beside(beside, process.pid)
                server = PostgreSQL(_version(programs), port, password)
                _wait(server, process, log)
                yield server
            finally:
                _stop(process)


def _programs() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    root = Path("/")
    versions = {
        tuple(map(int, _version(path.parent).partition(" ")[2].split(".")[:1])): path.parent
        for place in _USUAL_PLACES
        for path in root.glob(f"{place}/initdb")
    }
    if not versions:
        places = ", ".join(f"/{place}" for place in _USUAL_PLACES)
        raise NoPostgreSQL(f"there is no initdb on the PATH, nor in {places}")
    return versions[max(versions)]


def _version(programs: Path) -> str:
    said = subprocess.run(  # noqa: S603
        [programs / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return f"PostgreSQL {said.split()[2]}"


def _owner() -> dict[str, Any]:
    """Return what has a program run as somebody else where we are root: it refuses to be root's."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise NoPostgreSQL("it refuses to run as root, and there is no user postgres or nobody")


def _initialise(programs: Path, data: Path, secret: Path, owner: dict[str, Any]) -> None:
    done = subprocess.run(  # noqa: S603
        [
            *(programs / "initdb", "--pgdata", data, "--username", _USER),
            *("--auth", "scram-sha-256", "--pwfile", secret),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_START,
        check=False,
        cwd=data.parent,
        **owner,
    )
    if done.returncode:
        raise NoPostgreSQL(f"initdb failed: {_last_words(done.stderr)}")


def _wait(server: PostgreSQL, process: subprocess.Popen[bytes], log: Path) -> None:
    end = monotonic() + _LONGEST_START
    while monotonic() < end and process.poll() is None:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            sleep(0.05)
        else:
            return
    raise NoPostgreSQL(f"it did not start: {_last_words(log.read_text(errors='replace'))}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # It ends all connections first, then it leaves them.
    for signal in (SIGINT, SIGQUIT):
        process.send_signal(signal)
        try:
            process.wait(_LONGEST_STOP)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait(_LONGEST_STOP)


def _last_words(text: str) -> str:
    return text.strip().rpartition("\n")[2]
