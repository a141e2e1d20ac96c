"""Every operation meets every fault at every point: what is answered, raised and stored.

Any two of server, layout, operation, action, point and way meet; with --thorough, all of them do,
and how often each outcome was seen is shown.
"""

from collections import Counter
from functools import cache
from itertools import product

import pytest
from harness import servers
from harness.covering import covering_array
from harness.factors import EXECUTABLES, servers_met
from harness.judge import KINDS, OPERATIONS, OUTCOMES, Judge, ask
from harness.operations import AFTER, BEFORE, REVIEWS
from harness.proxy import Action, Fault, Point, Proxy
from harness.virtual_time import VirtualTime, virtual_time_client

from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import vouching

SECONDS = {Action.DELAY: 0.02}
ON_NEW_CONNECTIONS = {Point.CONNECTING, Point.HANDSHAKE, Point.SELECTING}
NO_FAULT = Fault(Action.DELAY, Point.BEFORE_REQUEST)
# How often the fault happens, and to which request.
WAYS = {
    "once": lambda fault: [fault],
    "and again": lambda fault: [fault, fault],
    # A review has one; the others do where they have to send their script along.
    "to the second request": lambda fault: [NO_FAULT, fault],
}
# In seconds: what comes at all comes sooner.
LONG = 60
# What lookups find of what is there for a review.
DAMAGED = {"edit": {"admins"}}
QUESTIONS = (["staff"], ["admins"], ["a"], ["b"], ["staff", "admins"], ["staff", "b"])
# What memory answers meets no fault.
NOT_IN_MEMORY = {"find_sections": ["staff"], "find_sections_many": ["staff", "admins"]}


def memorize(adapter, name):
    """Let it have in memory what `check_lookups` asks, but for what the operation *name* does."""
    for question in QUESTIONS:
        if question == NOT_IN_MEMORY.get(name):
            continue

        def is_hit(question=question):
            hits = adapter.near_cache_info().hits
            adapter.find_sections_many(question)
            return adapter.near_cache_info().hits > hits

        servers.wait_until(is_hit)


def check_lookups(adapter, states):
    """Check that what is found is so in one of *states*, from memory as well."""
    for question in QUESTIONS:
        for _ in range(3):
            assert adapter.find_sections_many(question) in [
                {section for section, items in state.items() if items & set(question)}
                for state in states
            ]


def found_by(adapter):
    """Return the sections of the items of `QUESTIONS`, as lookups have them."""
    found = {item: adapter.find_sections(item) for question in QUESTIONS for item in question}
    return {
        section: {item for item in found if section in found[item]}
        for section in set().union(*found.values())
    }


def is_possible(action, point, way):
    if (point, action) == (Point.CONNECTING, Action.SPLIT):
        # Nothing has come yet that could be split.
        return False
    if way == "and again":
        # Nothing is tried again after a time-out, nor where nothing fails.
        return action in {Action.CLOSE, Action.RESET, Action.GARBLE}
    return way == "once" or point not in ON_NEW_CONNECTIONS


@cache
def few(executables, layouts):
    """The cases of an ordinary run: server, layout, operation, action, point and way of each."""
    return covering_array(
        *(executables, layouts, OPERATIONS, Action, Point, WAYS),
        is_possible=lambda _server, _layout, _name, *case: is_possible(*case),
    )


@pytest.fixture
def cases(request, executable, thorough):
    """What happens to a layout, one of several, and an operation: actions, points and ways."""
    met = servers_met(request.config, request.path.name)

    def cases(layout, name, layouts=("plain", "indexed")):
        if thorough:
            return [case for case in product(Action, Point, WAYS) if is_possible(*case)]
        rows = few(tuple(EXECUTABLES[server] for server in met if server in EXECUTABLES), layouts)
        return [row[3:] for row in rows if row[:3] == (executable, layout, name)]

    return cases


class Bench:
    """An adapter behind a proxy, and the judge of what it does.

    :param near_cache: what the adapter is given of that; the judge has none.
    """

    def __init__(self, server, proxy, options, **near_cache):
        self.proxy = proxy
        self.judge = Judge(server, options)
        self._has_memory = bool(near_cache)
        client = virtual_time_client(proxy.port, VirtualTime(proxy.holds), socket_timeout=LONG)
        self.adapter = RedisPermissionAdapter(client, **options, **near_cache)

    def outcome(self, name, fault, way):
        """Return the outcome, or `None` where *fault* does not happen to *name* in this *way*."""
        adapter = self.adapter
        self.judge.prepare(name, name in REVIEWS or way != "to the second request")
        if self._has_memory:
            # Nothing is in memory then, and nothing is connected.
            adapter.close()
        if fault.point not in ON_NEW_CONNECTIONS:
            # Without a script.
            adapter._section_exists("nobody")
            if self._has_memory:
                memorize(adapter, name)
        faults = WAYS[way](fault)
        before = self.proxy.faults
        self.proxy.arm(*faults)
        answer, error = ask(name, adapter)
        if way == "once":
            assert self.proxy.faults == before + 1
        happened = self.proxy.faults - before
        self.proxy.arm()
        self.proxy.release()
        # Nobody is given the answer to what was asked before.
        assert adapter.find_sections_many(["nobody", "no one"]) == set()
        if self._has_memory:
            old = DAMAGED if name in REVIEWS else BEFORE
            new = BEFORE if name == "repair" else AFTER.get(name, old)
            check_lookups(adapter, [new] if error is None else [old, new])
        self.proxy.settle()
        outcome = self.judge.outcome(name, answer, error)
        assert outcome == "answered" or fault.action not in {Action.SPLIT, Action.DELAY}
        if self._has_memory:
            check_lookups(adapter, [found_by(self.judge.source)])
        return outcome if happened == len(faults) else None


@pytest.fixture(scope="module")
def counts(request):
    """How often each outcome was seen, by layout, kind of operation, point and action."""
    counts = Counter()
    yield counts
    if request.config.getoption("--thorough"):
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("", *table(counts), sep="\n")  # noqa: T201


def table(counts):
    """The lines of a CSV file, and the sum."""
    yield ",".join(("layout", "operations", "point", "action", *OUTCOMES))
    for row in dict.fromkeys(cell[:-1] for cell in counts):
        layout, kind, point, action = row
        words = (layout, kind, point.name.lower(), action.name.lower())
        yield ",".join([*words, *(str(counts[(*row, outcome)]) for outcome in OUTCOMES)])
    yield f"{sum(counts.values())} in all: " + ", ".join(
        f"{sum(number for cell, number in counts.items() if cell[-1] == outcome)} {outcome}"
        for outcome in OUTCOMES
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_meets_every_fault(server, options, counts, cases, name):
    kind = next(kind for kind, operations in KINDS.items() if name in operations)
    layout = "indexed" if options else "plain"
    with Proxy(server.port) as proxy:
        bench = Bench(server, proxy, options)
        for case in cases(layout, name):
            action, point, _ = case
            if (outcome := outcome_of(bench, name, *case)) is not None:
                counts[layout, kind, point, action, outcome] += 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_with_a_near_cache_meets_every_fault(server, monkeypatch, cases, name):
    """It has the tracking connection, and memory, before the fault and after it."""
    monkeypatch.setattr(vouching, "_BETWEEN_ATTEMPTS", 0)
    monkeypatch.setattr(vouching, "_BETWEEN_REFUSALS", 0)
    with Proxy(server.port) as proxy:
        bench = Bench(
            server, proxy, {"namespace": "tests"}, near_cache=True, max_staleness=LONG, max_age=LONG
        )
        for case in cases("indexed", name, layouts=("indexed",)):
            outcome_of(bench, name, *case)
        bench.adapter.close()


def outcome_of(bench, name, action, point, way):
    try:
        return bench.outcome(name, Fault(action, point, SECONDS.get(action, 0)), way)
    except Exception as error:
        raise AssertionError(f"{action} {point} {way}") from error
