"""Lookups and whole requests, on sources of all sizes, against the bare commands."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from random import Random
from statistics import median
from typing import Any

import redis

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .measuring import Times, in_turns, three_digits
from .report import Report
from .server import Server
from .sources import group_source, indexed_sets, item_key, permission_source, store

_SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
_LARGEST_PLAIN = 10_000
_LARGEST_QUICK = 1_000
# Different users, so that the server does not find them all in its processor's cache.
_USERS = 1_000
_BATCH = 10
_NAMESPACE = "bench"
_ONE_GROUP = "lookup plain 100, of one group"

Question = Callable[[], Any]


@dataclass(frozen=True)
class _Stored:
    """Sources of one size on one layout, and the users whom they are asked about."""

    layout: str
    size: int
    groups: RedisGroupAdapter
    permissions: RedisPermissionAdapter
    users: list[str]

    def lookup(self) -> Question:
        """Return what finds the groups of one user after another."""
        credentials = cycle([{"repoze.what.userid": user} for user in self.users])
        return lambda: self.groups.find_sections(next(credentials))

    def request(self) -> Question:
        """Return what finds out all that a request needs, for one user after another."""
        metadata = AuthorizationMetadata({"redis": self.groups}, {"redis": self.permissions})
        users = cycle(self.users)

        def add_metadata() -> Any:
            environ: dict[str, Any] = {}
            metadata.add_metadata(environ, {"repoze.who.userid": next(users)})
            return environ["repoze.what.credentials"]

        return add_metadata


@dataclass(frozen=True)
class _Bare:
    """redis-py's own commands for the same answers, on the keys of the indexed layout."""

    client: redis.Redis
    group_keys: list[str]
    permission_keys: list[list[str]]

    def lookup(self) -> Question:
        """Return what reads the groups of one user after another."""
        keys = cycle(self.group_keys)
        return lambda: self.client.smembers(next(keys))

    def request(self) -> Question:
        """Return what reads the groups of one user after another, and their permissions."""
        keys = cycle(zip(self.group_keys, self.permission_keys, strict=True))

        def read() -> Any:
            group_key, permission_keys = next(keys)
            return self.client.smembers(group_key), self.client.sunion(permission_keys)

        return read


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Compare lookups and requests with ``PING``, and with commands that fetch the same answer."""
    databases = iter(range(16))
    questions: dict[str, Question] = {"PING": server.client().ping}
    stored: list[_Stored] = []
    for size in _SIZES:
        if quick and size > _LARGEST_QUICK:
            break
        report.say(f"storing {size:,} groups ...")
        indexed, bare = _store_indexed(server.client(next(databases)), size)
        here = [indexed]
        if size <= _LARGEST_PLAIN:
            here.append(
                _store_plain(server, (next(databases), next(databases)), size, indexed.users)
            )
        questions[f"bare lookup {size}"] = bare.lookup()
        questions[f"bare request {size}"] = bare.request()
        for sources in here:
            _check_answers(sources.request(), bare.request())
            questions[f"lookup {sources.layout} {size}"] = sources.lookup()
            questions[f"request {sources.layout} {size}"] = sources.request()
        stored += here

    questions[_ONE_GROUP] = _lookup_of_one_group(server, next(databases))

    times = in_turns(questions, seconds=5 if quick else 90)
    _report_times(report, times, stored)
    _report_server_time(server.client(), report, stored, batches=3 if quick else 25)


def _store_indexed(client: redis.Redis, size: int) -> tuple[_Stored, _Bare]:
    source = group_source(size)
    store(client, indexed_sets(source, _NAMESPACE, "groups"))
    store(client, indexed_sets(permission_source(size), _NAMESPACE, "permissions"))
    users = Random(size).choices(range(source.items), k=_USERS)  # noqa: S311 - no secret
    stored = _Stored(
        "indexed",
        size,
        RedisGroupAdapter(client, None, namespace=_NAMESPACE),
        RedisPermissionAdapter(client, None, namespace=_NAMESPACE),
        [source.item_name(user) for user in users],
    )
    bare = _Bare(
        client,
        [item_key(_NAMESPACE, "groups", user) for user in stored.users],
        [
            [item_key(_NAMESPACE, "permissions", group) for group in source.sections_of(user)]
            for user in users
        ],
    )
    return stored, bare


def _store_plain(
    server: Server, databases: tuple[int, int], size: int, users: list[str]
) -> _Stored:
    for db, source in zip(databases, (group_source(size), permission_source(size)), strict=True):
        store(server.client(db), source.by_section())
    groups = RedisGroupAdapter(server.client(), databases[0])
    permissions = RedisPermissionAdapter(server.client(), databases[1])
    return _Stored("plain", size, groups, permissions, users)


def _lookup_of_one_group(server: Server, db: int) -> Question:
    source = group_source(100, groups_of_a_user=1)
    store(server.client(db), source.by_section())
    adapter = RedisGroupAdapter(server.client(), db)
    credentials = cycle(
        [{"repoze.what.userid": source.item_name(user)} for user in range(source.items)]
    )
    return lambda: adapter.find_sections(next(credentials))


def _check_answers(request: Question, bare_request: Question) -> None:
    """See that both find the same ten groups and fifty permissions."""
    for _ in range(10):
        credentials, answers = request(), bare_request()
        for kind, names, number in zip(("groups", "permissions"), answers, (10, 50), strict=True):
            if {name.encode() for name in credentials[kind]} != names or len(names) != number:
                raise SystemExit(f"Not {number} {kind}, or not the same: {credentials}, {answers}")


def _report_times(report: Report, times: Times, stored: list[_Stored]) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    for question, commands in (("lookup", "SMEMBERS"), ("request", "SMEMBERS + SUNION")):
        rows: list[tuple[object, ...]] = []
        for sources in sorted(stored, key=lambda sources: sources.layout):
            name = f"{question} {sources.layout} {sources.size}"
            bare_name = f"bare {question} {sources.size}"
            to_bare, to_ping = times.ratio(name, bare_name), times.ratio(name, "PING")
            rows.append(
                (
                    sources.layout,
                    f"{sources.size:,}",
                    *(to_bare, to_bare.spread, to_ping),
                    *(times.microseconds(name), times.microseconds(bare_name)),
                )
            )
            line = lines.setdefault(f"{question}, {sources.layout} layout", [])
            line.append((sources.size, to_ping.median))
        if question == "lookup":
            to_ping = times.ratio(_ONE_GROUP, "PING")
            microseconds = times.microseconds(_ONE_GROUP)
            rows.append(("plain, a user of one group", "100", "", "", to_ping, microseconds, ""))
        report.table(
            f"{question}s",
            f"One {question}, against the bare {commands} for the same answer and against PING "
            f"(medians of {times.rounds} rounds)",
            (
                "layout",
                "groups",
                f"times {commands}",
                "half of the rounds",
                "times PING",
                "microseconds",
                f"{commands}, microseconds",
            ),
            rows,
        )
    report.plot("lookups", ("groups", "cost, as a multiple of PING"), lines)


def _report_server_time(
    client: redis.Redis, report: Report, stored: list[_Stored], *, batches: int
) -> None:
    rows = []
    lines: dict[str, list[tuple[float, float]]] = {}
    for sources in sorted(stored, key=lambda sources: sources.layout):
        figures = []
        for name, question in (("lookup", sources.lookup()), ("request", sources.request())):
            microseconds = median(_server_times(client, question, batches))
            figures.append(three_digits(microseconds))
            line = lines.setdefault(f"{name}, {sources.layout} layout", [])
            line.append((sources.size, microseconds))
        rows.append((sources.layout, f"{sources.size:,}", *figures))
    report.table(
        "server_time",
        f"What the server itself spends (medians of {batches} batches of {_BATCH} calls): nobody "
        "else is served meanwhile",
        ("layout", "groups", "lookup, microseconds", "request, microseconds"),
        rows,
    )
    report.plot("server_time", ("groups", "microseconds of the server"), lines)


def _server_times(client: redis.Redis, question: Question, batches: int) -> list[float]:
    """Return how many microseconds the server spends on a call of *question*: a mean per batch."""
    times = []
    for _ in range(batches):
        client.config_resetstat()
        for _ in range(_BATCH):
            question()
        # What a script calls is in the script's own time as well.
        scripts = {"cmdstat_evalsha", "cmdstat_evalsha_ro"}
        statistics: dict[str, dict[str, float]] = client.info("commandstats")
        asked = scripts & set(statistics) or {"cmdstat_smembers", "cmdstat_sunion"}
        times.append(sum(statistics[name]["usec"] for name in asked & set(statistics)) / _BATCH)
    return times
