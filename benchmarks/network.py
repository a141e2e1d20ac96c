"""A network that takes its time, between a client and servers on one machine.

It is a relay in a process of its own: not every kernel can delay what passes its loopback
interface, and where it can, that takes root. What the relay itself takes is a part of the delay.
"""

import select
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from .measuring import in_turns
from .server import LOOPBACK, Server, bind_beside

# In seconds: for the relay to start or to end, and what its own share is measured for.
_LONGEST_WAIT = 30
_MEASURED = 2
# How often that is done, at most, and the part of the delay that may be missing in the end.
_TRIALS = 5
_NEAR_ENOUGH = 0.02
_LARGEST_READ = 1 << 18


@contextmanager
def slow_network(
    server: Server, ports: Sequence[int], seconds: float
) -> Iterator[tuple[Mapping[int, int], float]]:
    """Relay to all *ports*, for so many *seconds* in each direction.

    Yielded are the relay's port for each of them, and by how many seconds a ``PING`` of *server*
    takes longer through it. Connections that are made have no delay, what they carry has.
    """
    with _relay_of(server) as relay:
        relay.send(ports)
        relayed = dict(zip(ports, _received(relay), strict=True))
        kept = seconds
        for _ in range(_TRIALS):
            relay.send(kept)
            longer = _longer(server, relayed)
            excess = longer / 2 - seconds
            if abs(excess) <= _NEAR_ENOUGH * seconds:
                break
            kept = max(0, kept - excess)
        yield relayed, longer


def _longer(server: Server, relayed: Mapping[int, int]) -> float:
    direct, slow = server.client(), server.at(relayed[server.port]).client()
    times = in_turns({"direct": direct.ping, "slow": slow.ping}, _MEASURED)
    return times.median("slow") - times.median("direct")


@contextmanager
def _relay_of(server: Server) -> Iterator[Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_relay, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        # While it waits, which is nearly always, it leaves the processor to the server.
        if process.pid is not None:
            bind_beside(server, process.pid)
        yield ours
    finally:
        ours.close()
        process.join(_LONGEST_WAIT)
        process.kill()
        process.join(_LONGEST_WAIT)


def _received(relay: Connection) -> list[int]:
    if not relay.poll(_LONGEST_WAIT):
        raise SystemExit("The relay did not start.")
    ports: list[int] = relay.recv()
    return ports


def _relay(parent: Connection) -> None:
    """Relay until *parent* is closed, which it is when the process at its other end has ended.

    It is told for which ports, and then for how many seconds it keeps what it relays.
    """
    # Else Linux wakes it up to 50 microseconds late, so that it could do more at once.
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")
    listeners = {socket.create_server((LOOPBACK, 0)): port for port in parent.recv()}
    parent.send([listener.getsockname()[1] for listener in listeners])
    seconds = 0.0
    other: dict[socket.socket, socket.socket] = {}
    due: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        wait = max(0, due[0][0] - perf_counter()) if due else None
        # `selectors` would wait for whole milliseconds.
        ends: list[Any] = [parent, *listeners, *other]
        readable, _, _ = select.select(ends, [], [], wait)
        now = perf_counter()
        for end in readable:
            if end is parent:
                try:
                    seconds = parent.recv()
                except EOFError:
                    return
            elif end in listeners:
                client, _ = end.accept()
                server = socket.create_connection((LOOPBACK, listeners[end]))
                other[client], other[server] = server, client
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            elif data := _read(end):
                due.append((now + seconds, other[end], data))
            else:
                for each in (end, other[end]):
                    del other[each]
                    each.close()
                break
        while due and due[0][0] <= perf_counter():
            _, end, data = due.popleft()
            with suppress(OSError):
                end.sendall(data)


def _read(end: socket.socket) -> bytes:
    try:
        return end.recv(_LARGEST_READ)
    except OSError:
        return b""
