"""The near cache: hits, misses and whole requests, and what it keeps of a real organisation."""

import gc
import multiprocessing
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from random import Random
from time import monotonic
from typing import Any

import redis

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .measuring import in_turns, three_digits
from .organisations import Organisation, organisations
from .report import Report
from .server import Server
from .sources import group_source, indexed_sets, keys_of_sections, permission_source, store

_NAMESPACE = "bench"
_GROUPS = 100_000
# Users of the lookups that are timed.
_USERS = 1_000
_FEW = 10
# Answers to keep where none of these users is to be found.
_TOO_FEW = 100
_PROCESSES = (1, 8)
_USERS_OF_REQUESTS = (100, 2_000, 200_000)
# What a near cache keeps where no number is given.
_ANSWERS = 10_000
_SIZES = (100, 300, 1_000, 3_000, _ANSWERS)
# In seconds: for all processes to have started, and filled their memory.
_LONGEST_START = 120
# At least so large a share of lookups that ought to be answered from memory has to be.
_ENOUGH_HITS = 0.95


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Time what comes from memory and what does not, and see how often it does."""
    for kind, source in (("groups", group_source), ("permissions", permission_source)):
        store(server.client(), indexed_sets(source(_GROUPS), _NAMESPACE, kind))
    _report_costs(server, report, seconds=3 if quick else 40)
    _report_rates(server, report, quick=quick)
    for organisation in organisations():
        if organisation.name == ("hc" if quick else "americas_large"):
            server.client().flushall()
            _report_hit_rates(server, report, organisation, requests=500 if quick else 20_000)


@dataclass(frozen=True)
class _Load:
    """What one process asks, for so many *seconds*, with near caches of *size* answers or none."""

    size: int
    users: int
    seconds: float


class _Adapters:
    """The adapters of one process, with a near cache of *size* answers each, or none."""

    def __init__(self, client: redis.Redis, size: int) -> None:
        options: dict[str, Any] = {"namespace": _NAMESPACE, "near_cache": size}
        self.groups = RedisGroupAdapter(client, None, **options)
        self.permissions = RedisPermissionAdapter(client, None, **options)
        self._metadata = AuthorizationMetadata({"redis": self.groups}, {"redis": self.permissions})

    def lookup(self, user: str) -> set[str]:
        return self.groups.find_sections({"repoze.what.userid": user})

    def request(self, user: str) -> None:
        self._metadata.add_metadata({}, {"repoze.who.userid": user})

    def found(self) -> tuple[int, int, int, int]:
        """Return the hits and misses of groups, and those of permissions."""
        infos = self.groups.near_cache_info(), self.permissions.near_cache_info()
        groups, permissions = (info[:2] if info else (0, 0) for info in infos)
        return (*groups, *permissions)


def _report_costs(server: Server, report: Report, seconds: float) -> None:
    source = group_source(_GROUPS)
    everybody = [source.item_name(number) for number in range(source.items)]
    users, others = everybody[:_USERS], everybody[_USERS:]
    client = server.client()
    without, full, roomy, warm = (
        _Adapters(client, size) for size in (0, _TOO_FEW, len(everybody), _ANSWERS)
    )
    # The first answers are not kept: memory is used from when there is a connection.
    for user in users * 2:
        warm.request(user)
        full.request(user)
    for user in users[:2]:
        roomy.request(user)
    before = [adapters.found() for adapters in (full, roomy, warm)]
    # The same users with and without, so that the server has the same to do.
    times = in_turns(
        {
            "PING": client.ping,
            "lookup": _each(without.lookup, users),
            "lookup of others": _each(without.lookup, others),
            "hit": _each(warm.lookup, users),
            "miss": _each(roomy.lookup, others),
            "miss in full memory": _each(full.lookup, users),
            "request": _each(without.request, users),
            "warm request": _each(warm.request, users),
            "warm request of few": _each(warm.request, users[:_FEW]),
        },
        seconds,
    )
    for adapters, earlier, least, most in (
        (full, before[0], 0, 1 - _ENOUGH_HITS),
        (roomy, before[1], 0, 1 - _ENOUGH_HITS),
        (warm, before[2], _ENOUGH_HITS, 1),
    ):
        _check_share(_difference(earlier, adapters.found())[:2], least, most)
    rows = []
    for name, text, other in (
        ("hit", f"a hit, {_USERS:,} users", "lookup"),
        ("miss", "a miss", "lookup of others"),
        ("miss in full memory", "a miss that another answer makes room for", "lookup"),
        ("lookup", "a lookup without near cache", "lookup"),
        ("warm request", f"a request, both questions hits, {_USERS:,} users", "request"),
        ("warm request of few", f"the same, {_FEW} users", "request"),
        ("request", "a request without near cache", "request"),
    ):
        to_other, to_ping = times.ratio(name, other), times.ratio(name, "PING")
        ratios = to_ping, to_ping.spread, to_other, to_other.spread
        rows.append((text, *ratios, times.microseconds(name)))
    report.table(
        "near_cache",
        "With a near cache, against PING and against the same without a near cache (medians of "
        f"{times.rounds} rounds; PING takes {times.microseconds('PING')} microseconds)",
        (
            "",
            "times PING",
            "half of the rounds",
            "times without near cache",
            "half of the rounds",
            "microseconds",
        ),
        rows,
    )


def _each(ask: Callable[[str], object], users: Sequence[str]) -> Callable[[], object]:
    one_after_another = cycle(users)
    return lambda: ask(next(one_after_another))


def _difference(before: Sequence[int], after: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in zip(before, after, strict=True)]


def _check_share(hits_and_misses: Sequence[int], least: float, most: float) -> None:
    hits, misses = hits_and_misses
    if not least <= hits / (hits + misses) <= most:
        raise SystemExit(f"{hits} hits and {misses} misses are not what was to be measured")


def _report_rates(server: Server, report: Report, *, quick: bool) -> None:
    rows = []
    for number in _PROCESSES[:1] if quick else _PROCESSES:
        for users in _USERS_OF_REQUESTS[:1] if quick else _USERS_OF_REQUESTS:
            without, with_it = (
                _rate(server, number, _Load(size, users, 0.5 if quick else 3))
                for size in (0, _ANSWERS)
            )
            rows.append(
                (
                    f"{number}, each with {users:,} users",
                    *(f"{without[0]:,.0f}", f"{with_it[0]:,.0f}"),
                    three_digits(with_it[0] / without[0]),
                    f"{with_it[1]:.0%}",
                    *(f"{without[2]:.0%}", f"{with_it[2]:.0%}"),
                )
            )
    report.table(
        "near_cache_requests",
        "Requests of several processes at once, of which each keeps 10,000 answers of either "
        f"kind; {server.processors}",
        (
            "processes",
            "requests a second without",
            "with near cache",
            "times as many",
            "lookups that are hits",
            "server busy without",
            "with near cache",
        ),
        rows,
    )


def _rate(server: Server, number: int, load: _Load) -> tuple[float, float, float]:
    """Return the requests a second, the share of hits, and that of the time the server works."""
    context = multiprocessing.get_context("spawn")
    start, counts = context.Barrier(number + 1), context.SimpleQueue()
    work = (server.port, load, start, counts)
    processes = [context.Process(target=_work, args=work) for _ in range(number)]
    for process in processes:
        process.start()
    start.wait(_LONGEST_START)
    worked, began = processor_time(server.client()), monotonic()
    requests, hits, misses = map(sum, zip(*(counts.get() for _ in processes), strict=True))
    busy = (processor_time(server.client()) - worked) / (monotonic() - began)
    for process in processes:
        process.join()
    return requests / load.seconds, hits / (hits + misses or 1), busy


def _work(port: int, load: _Load, start: Any, counts: Any) -> None:
    """Ask as often as can be, and put how often, with how many hits and misses, in *counts*."""
    adapters = _Adapters(redis.Redis("127.0.0.1", port), load.size)
    source = group_source(_GROUPS)
    random = Random()  # noqa: S311 - no secret
    # As long as it takes to fill memory, where there is any. The first answer is not kept.
    first = random.sample(range(load.users), min(load.users, load.size or 1))
    for number in first[:1] + first:
        adapters.request(source.item_name(number))
    before = adapters.found()
    start.wait(_LONGEST_START)
    end, requests = monotonic() + load.seconds, 0
    while monotonic() < end:
        adapters.request(source.item_name(random.randrange(load.users)))
        requests += 1
    found = _difference(before, adapters.found())
    counts.put((requests, found[0] + found[2], found[1] + found[3]))


def processor_time(client: redis.Redis) -> float:
    """Return the seconds that the server's processes have used of a processor."""
    used: dict[str, float] = client.info("cpu")
    return used["used_cpu_user"] + used["used_cpu_sys"]


def _report_hit_rates(
    server: Server, report: Report, organisation: Organisation, requests: int
) -> None:
    for kind, sections in organisation.sections.items():
        store(server.client(), keys_of_sections(sections, _NAMESPACE, kind))
    rows = []
    for size in _SIZES:
        adapters = _Adapters(server.client(), size)
        asked = _by_rank(organisation, 2 * requests)
        for user in asked[:requests]:
            adapters.request(user)
        before = adapters.found()
        for user in asked[requests:]:
            adapters.request(user)
        group_hits, group_misses, permission_hits, permission_misses = _difference(
            before, adapters.found()
        )
        rows.append(
            (
                f"{size:,}",
                f"{group_hits / (group_hits + group_misses):.1%}",
                f"{permission_hits / (permission_hits + permission_misses):.1%}",
                *_weights(_Adapters(server.client(), size), asked[:requests]),
            )
        )
    report.table(
        f"near_cache_{organisation.name}",
        f"{organisation.name}: of {requests:,} requests, when as many have gone before. The user "
        "who is asked for as the n-th most often is asked for 1/n times as often as the first",
        (
            "answers to keep, of either kind",
            "groups: hits",
            "permissions: hits",
            "groups: kept",
            "bytes each",
            "permissions: kept",
            "bytes each",
            "MB together",
        ),
        rows,
    )


def _by_rank(organisation: Organisation, number: int) -> list[str]:
    random = Random(organisation.name)  # noqa: S311 - no secret
    users = sorted(organisation.expected)
    random.shuffle(users)
    weights = accumulate(1 / rank for rank in range(1, len(users) + 1))
    return random.choices(users, cum_weights=list(weights), k=number)


def _weights(adapters: _Adapters, asked: Sequence[str]) -> tuple[str, ...]:
    """Return how many answers each kind keeps of those *asked*, and the bytes of each."""
    adapters.request(asked[0])
    gc.collect()
    tracemalloc.start()
    for user in asked:
        adapters.request(user)
    figures: list[str] = []
    together = 0
    for adapter in (adapters.groups, adapters.permissions):
        info = adapter.near_cache_info()
        if info is None:
            raise SystemExit(f"{adapter!r} has no near cache")
        taken = _allocated()
        adapter.close()
        taken -= _allocated()
        together += taken
        figures += [f"{info.answers:,}", f"{taken / info.answers:,.0f}"]
    tracemalloc.stop()
    return (*figures, three_digits(together / 1e6))


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
