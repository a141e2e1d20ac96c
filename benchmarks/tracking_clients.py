"""What near caches cost: the server, for what it tells, and the processes that have to read it."""

import multiprocessing
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from statistics import fmean, median, quantiles
from time import monotonic, perf_counter, sleep, thread_time
from typing import Any

import redis

from repoze.what.plugins.redis import RedisGroupAdapter

from .measuring import three_digits
from .near_cache import processor_time
from .report import Report
from .server import Server
from .sources import group_source, indexed_sets, store

_NAMESPACE = "bench"
_PREFIX = f"{{{_NAMESPACE}}}:groups:item:"
_GROUPS = 10_000
_WRITES_A_SECOND = 1_000
_CLIENTS = (0, 10, 100)
_IDLE_CLIENTS = 10
# Limits of what is kept for a client: at once too much; too much for so many seconds, and those.
_LIMITS = {"32mb 8mb 60": 480, "1mb 256kb 10": 150}
_LOOKUPS_A_SECOND = (2, 10, 30, 100, 300, 1_000)
# Users whom the process asks about; the writes are about all.
_USERS = 100
# In seconds.
_LONGEST_START = 60
_BETWEEN_READS = 0.02
_BETWEEN_LOOKS = 0.5


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Let a process write all the time, with more and more clients that are told of it."""
    store(server.client(), indexed_sets(group_source(_GROUPS), _NAMESPACE, "groups"))
    _report_draining(server, report, seconds=1 if quick else 15)
    _report_reading(server, report, seconds=0.5 if quick else 5)
    _report_idle(server, report, quick=quick)


@contextmanager
def _writer(server: Server, writes_a_second: int) -> Iterator[Callable[[], list[float]]]:
    """Let another process write, until what is returned is called: for the seconds of each write.

    Each write puts one user more into a group, or takes it out again.
    """
    if not writes_a_second:
        yield list
        return
    context = multiprocessing.get_context("spawn")
    begun, end, latencies = context.Event(), context.Event(), context.Queue()
    work = (server.port, writes_a_second, begun, end, latencies)
    process = context.Process(target=_write, args=work)
    taken: list[float] = []

    def stop() -> list[float]:
        if not end.is_set():
            end.set()
            taken.extend(latencies.get(timeout=_LONGEST_START))
            process.join()
        return taken

    process.start()
    if not begun.wait(_LONGEST_START):
        raise SystemExit("the process that is to write has not begun to")
    try:
        yield stop
    finally:
        stop()


def _write(port: int, writes_a_second: int, begun: Any, end: Any, latencies: Any) -> None:
    adapter = RedisGroupAdapter(redis.Redis("127.0.0.1", port), None, namespace=_NAMESPACE)
    source = group_source(_GROUPS)
    random = Random(_NAMESPACE)  # noqa: S311 - no secret
    group = "written all the time"
    adapter.create_section(group)
    members: set[str] = set()
    taken: list[float] = []
    begun.set()
    due = monotonic()
    while not end.is_set():
        user = source.item_name(random.randrange(source.items))
        change = adapter.exclude_item if user in members else adapter.include_item
        began = perf_counter()
        change(group, user)
        taken.append(perf_counter() - began)
        members ^= {user}
        due += 1 / writes_a_second
        sleep(max(0, due - monotonic()))
    adapter.delete_section(group)
    latencies.put(taken)


@contextmanager
def _tracking_clients(server: Server, number: int) -> Iterator[list[socket.socket]]:
    """Connect so many clients that the server tells what changes, as a near cache has it told."""
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(number)]
    try:
        for client in clients:
            client.sendall(b"CLIENT ID\r\n")
            identity = client.recv(100).strip().removeprefix(b":").decode()
            track = f"CLIENT TRACKING ON REDIRECT {identity} BCAST PREFIX {_PREFIX}"
            client.sendall(f"{track}\r\nSUBSCRIBE __redis__:invalidate\r\n".encode())
            reply = b""
            while not reply.endswith(b":1\r\n"):
                reply += client.recv(1000)
        yield clients
    finally:
        for client in clients:
            client.close()


@contextmanager
def _readers(server: Server, number: int) -> Iterator[None]:
    """Let another process read all that so many tracking clients are told, and do nothing else."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_read, args=(server, number, begun), daemon=True)
    process.start()
    try:
        begun.wait(_LONGEST_START)
        yield
    finally:
        process.terminate()
        process.join()


def _read(server: Server, number: int, begun: Any) -> None:
    with _tracking_clients(server, number) as clients, selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        begun.set()
        buffer = bytearray(1 << 20)
        while True:
            for key, _ in selector.select():
                os.readv(key.fd, [buffer])
            # As a process that is asked something now and then; one that reads each message by
            # itself would take the processor from the others.
            sleep(_BETWEEN_READS)


def _report_draining(server: Server, report: Report, seconds: float) -> None:
    client = server.client()
    rows = []
    for number in _CLIENTS:
        with _readers(server, number), _writer(server, _WRITES_A_SECOND) as stop:
            worked, began = processor_time(client), monotonic()
            sent = _bytes_sent(client)
            sleep(seconds)
            sent = _bytes_sent(client) - sent
            busy = (processor_time(client) - worked) / (monotonic() - began)
            taken = stop()
            tracking = client.info("clients")["tracking_clients"]
        if tracking != number:
            raise SystemExit(f"{tracking} clients are tracking, not {number}")
        rate = len(taken) / sum([max(each, 1 / _WRITES_A_SECOND) for each in taken])
        percentiles = quantiles(taken, n=100)
        rows.append(
            (
                number,
                f"{rate:,.0f}",
                f"{busy:.1%}",
                three_digits(1e6 * busy / rate),
                f"{sent / seconds / 1e6:.1f}",
                three_digits(1e6 * median(taken)),
                three_digits(1e6 * percentiles[98]),
            )
        )
    report.table(
        "tracking_clients",
        f"A process that writes {_WRITES_A_SECOND:,} times a second, and clients that are told "
        f"and read it, for {seconds:g} seconds each; {server.processors}",
        (
            "tracking clients",
            "writes a second",
            "server busy",
            "its microseconds a write",
            "MB sent a second",
            "a write, microseconds",
            "99th percentile",
        ),
        rows,
    )


def _bytes_sent(client: redis.Redis) -> int:
    sent: int = client.info("stats")["total_net_output_bytes"]
    return sent


def _report_reading(server: Server, report: Report, seconds: float) -> None:
    rows = []
    for lookups_a_second in _LOOKUPS_A_SECOND:
        figures: list[str] = []
        for writes_a_second in (0, _WRITES_A_SECOND):
            with _writer(server, writes_a_second):
                # One after the other: the one that is not asked would not read what it is told.
                without = _look_up(server, lookups_a_second, seconds, near_cache=False)
                with_it = _look_up(server, lookups_a_second, seconds, near_cache=True)
            figures += [
                with_it[0],
                *(three_digits(1e6 * each[1]) for each in (without, with_it)),
                three_digits(with_it[1] / without[1]),
            ]
        rows.append((f"{lookups_a_second:,}", *figures))
    report.table(
        "reading_invalidations",
        f"A process that looks up groups of {_USERS} users, with nobody writing and with "
        f"{_WRITES_A_SECOND:,} writes a second elsewhere in the namespace: its processor's time "
        f"for a lookup, in microseconds (means of {seconds:g} seconds)",
        (
            "lookups a second",
            *("nobody writes: hits", "without near cache", "with it", "times"),
            *("writes elsewhere: hits", "without near cache", "with it", "times"),
        ),
        rows,
    )


def _look_up(
    server: Server, lookups_a_second: int, seconds: float, *, near_cache: bool
) -> tuple[str, float]:
    """Return the share of hits, and the seconds of a processor that a lookup takes."""
    adapter = RedisGroupAdapter(server.client(), None, namespace=_NAMESPACE, near_cache=near_cache)
    source = group_source(_GROUPS)
    random = Random(_NAMESPACE)  # noqa: S311 - no secret
    for number in [*range(_USERS), *range(_USERS)]:
        adapter.find_sections({"repoze.what.userid": source.item_name(number)})
    before = adapter.near_cache_info()
    taken = []
    due = monotonic()
    end = due + seconds
    while monotonic() < end:
        credentials = {"repoze.what.userid": source.item_name(random.randrange(_USERS))}
        began = thread_time()
        adapter.find_sections(credentials)
        taken.append(thread_time() - began)
        due += 1 / lookups_a_second
        sleep(max(0, due - monotonic()))
    after = adapter.near_cache_info()
    adapter.close()
    if before is None or after is None:
        return "", fmean(taken)
    return f"{(after.hits - before.hits) / len(taken):.0%}", fmean(taken)


def _report_idle(server: Server, report: Report, *, quick: bool) -> None:
    rows = []
    limits = {"128kb 64kb 1": 5} if quick else _LIMITS
    for limit, longest in limits.items():
        server.client().config_set("client-output-buffer-limit", f"pubsub {limit}")
        rows.append((limit, *_idle(server, longest, writes_a_second=_WRITES_A_SECOND)))
    report.table(
        "idle_clients",
        f"{_IDLE_CLIENTS} tracking clients that read nothing, with {_WRITES_A_SECOND:,} writes a "
        "second: what the server keeps for them until it cuts them off",
        (
            "client-output-buffer-limit pubsub",
            "seconds until it keeps anything",
            "seconds until they are cut off",
            "most bytes for one",
            "most bytes for all clients",
        ),
        rows,
    )


def _idle(server: Server, longest: int, writes_a_second: int) -> tuple[str, ...]:
    client = server.client()
    with (
        _tracking_clients(server, _IDLE_CLIENTS),
        _writer(server, writes_a_second) as stop,
    ):
        began, used_before = monotonic(), _memory_of_clients(client)
        first, cut, most_of_one, most = 0.0, 0.0, 0, 0
        while not cut and monotonic() - began < longest:
            sleep(_BETWEEN_LOOKS)
            told = [each for each in client.client_list() if "t" in each["flags"]]
            kept = max((int(each["omem"]) for each in told), default=0)
            if kept and not first:
                first = monotonic() - began
            if len(told) < _IDLE_CLIENTS:
                cut = monotonic() - began
            most_of_one = max(most_of_one, kept)
            most = max(most, _memory_of_clients(client) - used_before)
        stop()
    return (
        *(f"{each:.0f}" if each else f"not in {longest}" for each in (first, cut)),
        f"{most_of_one:,}",
        f"{most:,}",
    )


def _memory_of_clients(client: redis.Redis) -> int:
    used: int = client.info("memory")["mem_clients_normal"]
    return used
