"""The server that is measured, on a processor of its own."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from repoze.what.plugins.redis.demo.redis_server import embedded_server

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A real server on the loopback interface: what it is, and where."""

    description: str
    processors: str
    port: int
    process: int

    def client(self, db: int = 0, **settings: Any) -> redis.Redis:
        """Return a client of database *db*, with redis-py's default settings but for *settings*."""
        return redis.Redis(LOOPBACK, self.port, db, **settings)

    def at(self, port: int) -> "Server":
        """Return the same server, reached through what listens at *port*."""
        return replace(self, port=port)


@contextmanager
def running_server() -> Iterator[Server]:
    """Run an empty server that keeps nothing on disk, and this process on other processors."""
    with tempfile.TemporaryDirectory() as folder, embedded_server(Path(folder)) as embedded:
        client = embedded.client
        if type(client) is not redis.Redis:
            raise SystemExit(f"A real server is wanted, not {embedded.description}.")
        process: int = client.info("server")["process_id"]
        with _separate_processors(process) as processors:
            # What is compared speaks TCP, as sites do.
            port = free_port()
            client.execute_command("CONFIG", "SET", "bind", LOOPBACK, "port", port)
            yield Server(embedded.description.partition(" on ")[0], processors, port, process)


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def bind_beside(server: Server, process: int) -> None:
    """Bind *process*, and what it starts, to the processor of *server*, where that has one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, os.sched_getaffinity(server.process))


@contextmanager
def _separate_processors(server: int) -> Iterator[str]:
    if not hasattr(os, "sched_setaffinity"):
        yield "not bound to processors: this platform cannot"
        return
    usable = os.sched_getaffinity(0)
    if len(usable) == 1:
        yield "SHARE ONE PROCESSOR, so that nothing is as fast as it could be"
        return
    last = max(usable)
    for thread in Path(f"/proc/{server}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {last})
    os.sched_setaffinity(0, usable - {last})
    try:
        yield f"on different processors: the server on {last}, the client on the others"
    finally:
        os.sched_setaffinity(0, usable)
