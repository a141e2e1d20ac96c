"""How much one server serves: requests of many threads and many processes at once."""

import multiprocessing
import queue
import shutil
import subprocess
import threading
from functools import cache
from random import Random
from time import monotonic
from typing import Any

import redis

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .measuring import three_digits
from .report import Report
from .server import Server
from .sources import group_source, indexed_sets, item_key, permission_source, store

_NAMESPACE = "bench"
_GROUPS = {"indexed": 100_000, "plain": 100}
_THREADS = (1, 2, 4, 8, 16, 32)
_PROCESSES = (1, 2, 4, 8)
_IN_A_PIPELINE = 16
# In seconds: for all processes to have started.
_LONGEST_START = 60


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Count the requests that are answered in a second, and what the server spends on each."""
    seconds = 0.5 if quick else 3
    groups, permissions = (
        source(_GROUPS["indexed"]) for source in (group_source, permission_source)
    )
    store(server.client(), indexed_sets(groups, _NAMESPACE, "groups"))
    store(server.client(), indexed_sets(permissions, _NAMESPACE, "permissions"))
    for db, source in ((1, group_source), (2, permission_source)):
        store(server.client(db), source(_GROUPS["plain"]).by_section())
    rows = []
    for layout, number_of_groups in _GROUPS.items():
        for kind, numbers in (("threads", _THREADS), ("processes", _PROCESSES)):
            for number in numbers[:2] if quick else numbers:
                figures = _figures(server, layout, kind, number, seconds)
                rows.append(
                    (f"{layout}, {number_of_groups:,} groups", f"{number} {kind}", *figures)
                )
    report.table(
        "saturation",
        f"Requests of several at once, for {seconds:g} seconds each; {server.processors}",
        ("layout", "clients", "requests a second", "server busy", "its microseconds a request"),
        rows,
    )
    user, group = groups.item_name(7), permissions.item_name(7)
    ten = [item_key(_NAMESPACE, "permissions", name) for name in groups.sections_of(7)]
    commands = {
        "PING": ["PING"],
        "SMEMBERS of ten groups": ["SMEMBERS", item_key(_NAMESPACE, "groups", user)],
        "SUNION of ten groups' permissions": ["SUNION", *ten],
        "SMEMBERS of five permissions": ["SMEMBERS", item_key(_NAMESPACE, "permissions", group)],
    }
    _report_server_alone(server, report, commands, number=20_000 if quick else 200_000)


def _figures(
    server: Server, layout: str, kind: str, number: int, seconds: float
) -> tuple[str, str, str]:
    """Return the requests a second of so many clients, and what share of it the server works."""
    context = multiprocessing.get_context("spawn")
    clients: list[Any]
    if kind == "threads":
        start: Any = threading.Barrier(number + 1)
        counts: Any = queue.SimpleQueue()
        work = (server.port, layout, seconds, start, counts)
        clients = [threading.Thread(target=_work, args=work) for _ in range(number)]
    else:
        start, counts = context.Barrier(number + 1), context.SimpleQueue()
        work = (server.port, layout, seconds, start, counts)
        clients = [context.Process(target=_work, args=work) for _ in range(number)]
    for client in clients:
        client.start()
    start.wait(_LONGEST_START)
    worked, began = _processor_time(server.client()), monotonic()
    requests = sum(counts.get() for _ in clients)
    share = (_processor_time(server.client()) - worked) / (monotonic() - began)
    for client in clients:
        client.join()
    rate = requests / seconds
    return f"{rate:,.0f}", f"{share:.0%}", three_digits(1e6 * share / rate)


def _work(port: int, layout: str, seconds: float, start: Any, counts: Any) -> None:
    """Ask as often as can be in so many *seconds*, and put how often into *counts*."""
    metadata = _metadata(port, layout)
    users = group_source(_GROUPS[layout])
    random = Random()  # noqa: S311 - no secret
    metadata.add_metadata({}, {"repoze.who.userid": users.item_name(0)})
    start.wait(_LONGEST_START)
    end, requests = monotonic() + seconds, 0
    while monotonic() < end:
        user = users.item_name(random.randrange(users.items))
        metadata.add_metadata({}, {"repoze.who.userid": user})
        requests += 1
    counts.put(requests)


@cache
def _metadata(port: int, layout: str) -> AuthorizationMetadata:
    """Return what all threads of a process ask."""
    client = redis.Redis("127.0.0.1", port)
    namespace, db = (_NAMESPACE, 0) if layout == "indexed" else (None, "default")
    return AuthorizationMetadata(
        {"redis": RedisGroupAdapter(client, db, namespace=namespace)},
        {"redis": RedisPermissionAdapter(client, db, namespace=namespace)},
    )


def _processor_time(client: redis.Redis) -> float:
    used: dict[str, float] = client.info("cpu")
    return used["used_cpu_user"] + used["used_cpu_sys"]


def _report_server_alone(
    server: Server, report: Report, commands: dict[str, list[str]], number: int
) -> None:
    """Let redis-benchmark ask, where there is one: it takes less of a processor than Python."""
    program = shutil.which("redis-benchmark")
    if program is None:
        report.say("SKIPPED: what the server does at most, as there is no redis-benchmark")
        return
    rows = []
    for name, command in commands.items():
        for at_once in (1, _IN_A_PIPELINE):
            options = {"-p": server.port, "-c": 50, "-n": number, "-P": at_once}
            words = [str(word) for option in options.items() for word in option]
            worked, began = _processor_time(server.client()), monotonic()
            output = subprocess.run(  # noqa: S603 - it is the user's own PATH
                [program, *words, "--csv", *command], capture_output=True, text=True, check=True
            ).stdout
            share = (_processor_time(server.client()) - worked) / (monotonic() - began)
            rate = float(output.splitlines()[-1].split('","')[1])
            figures = f"{rate:,.0f}", f"{share:.0%}", three_digits(1e6 * share / rate)
            rows.append((name, at_once, *figures))
    report.table(
        "server_alone",
        "Commands by redis-benchmark, on 50 connections",
        ("command", "at once on each", "a second", "server busy", "its microseconds a command"),
        rows,
    )
