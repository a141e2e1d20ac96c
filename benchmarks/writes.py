"""Writes, against bare pipelined SADDs that store the same keys; and how long others wait."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from statistics import median
from time import sleep
from typing import Any

import redis

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.adapters import RedisAdapter

from .measuring import in_turns, three_digits, time_of
from .organisations import organisations
from .report import Report
from .server import Server
from .sources import Generated, Sections, Sets, item_key, keys_of_sections

_COMMANDS_IN_A_PIPELINE = 10_000
# In seconds.
_BETWEEN_PINGS = 0.002


@dataclass
class _Written:
    """One way to write something, of which there are several rounds: seconds, and waiting."""

    seconds: list[float]
    longest_command: float = 0
    longest_ping: float = 0


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Write little and much, by both layouts and by bare commands, in turns."""
    _report_one_membership(server, report, seconds=2 if quick else 15)
    rounds = 2 if quick else 5
    rows: list[tuple[object, ...]] = []
    for number in (1_000, 10_000 if quick else 100_000):
        section = {"editors": [f"user{user:07}" for user in range(number)]}
        title = f"{number:,} items into a section, at once"
        rows += _compare(server, title, {"groups": section}, rounds)
    for organisation in organisations()[-1:]:
        if not quick:
            rows += _compare(server, organisation.name, organisation.sections, rounds=3)
    groups = 10 if quick else 1_000
    million = dict(Generated("group", groups, "user", 100 * groups, 10).by_section())
    memberships = sum(map(len, million.values()))
    title = f"{memberships:,} memberships in {len(million):,} groups"
    rows += _compare(server, title, {"groups": million}, rounds=1 if quick else 2)
    report.table(
        "writes",
        "Writes into a fresh source (medians; waiting: the longest of all rounds)",
        (
            "what",
            "by",
            "times the bare SADDs",
            "seconds",
            "longest command, ms",
            "longest PING of another process, ms",
        ),
        rows,
    )


def _report_one_membership(server: Server, report: Report, seconds: float) -> None:
    client = server.client()
    client.flushall()
    indexed = RedisGroupAdapter(client, 0, namespace="bench")
    plain = RedisGroupAdapter(client)
    for adapter in (indexed, plain):
        adapter.create_section("editors")
    bare_database = server.client(2)

    def include(adapter: RedisGroupAdapter) -> Callable[[], object]:
        users = count()
        return lambda: adapter.include_item("editors", f"user{next(users):07}")

    def bare_indexed() -> None:
        user = f"user{next(bare_users):07}"
        _pipelined_sadds(
            bare_database,
            [
                ("{bench}:groups:section:editors", [user]),
                (item_key("bench", "groups", user), ["editors"]),
            ],
        )

    def bare_plain() -> object:
        return bare_database.sadd("editors", f"user{next(bare_users):07}")

    bare_users = count()
    times = in_turns(
        {
            "PING": client.ping,
            "indexed layout": include(indexed),
            "two SADDs in a pipeline": bare_indexed,
            "plain layout": include(plain),
            "one SADD": bare_plain,
        },
        seconds,
    )
    pairs = (("indexed layout", "two SADDs in a pipeline"), ("plain layout", "one SADD"))
    report.table(
        "one_membership",
        f"One membership more (medians of {times.rounds} rounds)",
        ("by", "against", "times as long", "half of the rounds", "times PING", "microseconds"),
        [
            (
                name,
                bare,
                *(times.ratio(name, bare), times.ratio(name, bare).spread),
                *(times.ratio(name, "PING"), times.microseconds(name)),
            )
            for name, bare in pairs
        ],
    )


def _compare(
    server: Server, title: str, source: Mapping[str, Sections], rounds: int
) -> Iterator[tuple[object, ...]]:
    """Store *source*, sections by their kind, in each way; yield a row for each."""
    client = server.client()
    kinds = {"groups": RedisGroupAdapter, "permissions": RedisPermissionAdapter}
    indexed = [kinds[kind](client, 0, namespace="bench") for kind in source]
    plain = [kinds[kind](client) for kind in source]
    # The names are put together beforehand, and the scripts are there.
    indexed_keys = [
        pair
        for kind, sections in source.items()
        for pair in keys_of_sections(sections, "bench", kind)
    ]
    bare_plain = [(server.client(kinds[kind].DB_NAME), source[kind]) for kind in source]

    def by_adapters(adapters: Iterable[RedisAdapter]) -> None:
        for adapter, sections in zip(adapters, source.values(), strict=True):
            for section, items in sections.items():
                adapter.create_section(section)
                adapter.include_items(section, items)

    def by_bare_plain() -> None:
        for database, sections in bare_plain:
            _pipelined_sadds(database, sections.items())

    ways: dict[str, Callable[[], object]] = {
        "indexed layout": lambda: by_adapters(indexed),
        "the same keys by SADD": lambda: _pipelined_sadds(client, indexed_keys),
        "plain layout": lambda: by_adapters(plain),
        "its keys by SADD": by_bare_plain,
    }
    written = {way: _Written([]) for way in ways}
    for _ in range(rounds):
        for way, write in ways.items():
            client.flushall()
            _load_scripts(server)
            _write(server, write, written[way])
    for way, bare in zip(list(ways)[::2], list(ways)[1::2], strict=True):
        for name in (way, bare):
            figures = written[name]
            ratios = [
                one / other
                for one, other in zip(figures.seconds, written[bare].seconds, strict=True)
            ]
            yield (
                title,
                name,
                three_digits(median(ratios)),
                three_digits(median(figures.seconds)),
                three_digits(figures.longest_command * 1e3),
                three_digits(figures.longest_ping * 1e3),
            )


def _load_scripts(server: Server) -> None:
    for namespace in ("warm", None):
        adapter = RedisGroupAdapter(server.client(), 9, namespace=namespace)
        adapter.create_section("editors")
        adapter.include_item("editors", "somebody")
        server.client(9).flushdb()


def _pipelined_sadds(client: redis.Redis, sets: Sets) -> None:
    remaining = iter(sets)
    while some := list(islice(remaining, _COMMANDS_IN_A_PIPELINE)):
        with client.pipeline(transaction=False) as pipeline:
            for key, members in some:
                pipeline.sadd(key, *members)
            pipeline.execute()


def _write(server: Server, write: Callable[[], object], written: _Written) -> None:
    client = server.client()
    client.config_set("slowlog-log-slower-than", 500)
    client.slowlog_reset()
    with _pinging(server) as longest_ping:
        written.seconds.append(time_of(write))
    written.longest_ping = max(written.longest_ping, *longest_ping)
    slow: list[dict[str, Any]] = client.slowlog_get(1000)
    longest = max((entry["duration"] for entry in slow), default=0) / 1e6
    written.longest_command = max(written.longest_command, longest)


@contextmanager
def _pinging(server: Server) -> Iterator[list[float]]:
    """Let another process PING all the while; the longest time is in the list in the end."""
    context = get_context("spawn")
    ready, end, longest = context.Event(), context.Event(), context.SimpleQueue()
    process = context.Process(target=_ping, args=(server.port, ready, end, longest))
    process.start()
    result: list[float] = []
    try:
        ready.wait()
        yield result
        end.set()
        result.append(longest.get())
    finally:
        end.set()
        process.join()


def _ping(port: int, ready: Event, end: Event, longest: Any) -> None:
    client = redis.Redis("127.0.0.1", port)
    client.ping()
    ready.set()
    most = 0.0
    while not end.is_set():
        most = max(most, time_of(client.ping))
        sleep(_BETWEEN_PINGS)
    longest.put(most)
