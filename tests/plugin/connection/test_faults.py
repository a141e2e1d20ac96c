"""Every operation meets every fault at every point: what is answered, raised and stored.

With --thorough, every operation does so in every way, and how often each outcome was seen is shown.
"""

import itertools
from collections import Counter

import pytest
import redis
import servers
from judge import KINDS, OPERATIONS, OUTCOMES, Judge, ask, patiently
from operations import AFTER, BEFORE, REVIEWS
from proxy import Action, Fault, Point, Proxy

from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import cache

SECONDS = {Action.DELAY: 0.02}
FAULTS = [
    Fault(action, point, SECONDS.get(action, 0))
    for point, action in itertools.product(Point, Action)
    # Nothing has come yet that could be split.
    if (point, action) != (Point.CONNECTING, Action.SPLIT)
]
ON_NEW_CONNECTIONS = {Point.CONNECTING, Point.HANDSHAKE, Point.SELECTING}
NO_FAULT = Fault(Action.DELAY, Point.BEFORE_REQUEST)
# How often the fault happens, and to which request.
WAYS = {
    "once": lambda fault: [fault],
    "and again": lambda fault: [fault, fault],
    # A review has one; the others do where they have to send their script along.
    "to the second request": lambda fault: [NO_FAULT, fault],
}
# How long an adapter waits for an answer that does not come, and for one that does.
SHORT, LONG = 0.5, 30
# What lookups find of what is there for a review.
DAMAGED = {"edit": {"admins"}}
QUESTIONS = (["staff"], ["admins"], ["a"], ["b"], ["staff", "admins"], ["staff", "b"])


def memorize(adapter):
    """Let it have in memory what `check_lookups` asks."""
    for question in QUESTIONS:

        def is_hit(question=question):
            hits = adapter.near_cache_info().hits
            patiently(adapter.find_sections_many, question)
            return adapter.near_cache_info().hits > hits

        servers.wait_until(is_hit)


def check_lookups(adapter, states):
    """Check that what is found is so in one of *states*, from memory as well."""
    for question in QUESTIONS:
        for _ in range(3):
            assert patiently(adapter.find_sections_many, question) in [
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


def is_possible(fault, way):
    if way == "and again":
        # Nothing is tried again after a time-out, nor where nothing fails.
        return fault.action in {Action.CLOSE, Action.RESET, Action.GARBLE}
    return way == "once" or fault.point not in ON_NEW_CONNECTIONS


def is_in_short_run(name, fault, way):
    few = fault.action in {Action.CLOSE, Action.RESET, Action.GARBLE}
    if fault.action is Action.STALL:
        return name in {"find_sections", "rename_item"} and way == "once"
    if name in {"find_sections", "rename_item", "repair"}:
        return few or way == "once"
    return few and way == "once"


class Bench:
    """Adapters behind a proxy, and the judge of what they do.

    :param near_cache: what the adapters are given of that; the judge has none.
    """

    def __init__(self, server, proxy, options, **near_cache):
        self.proxy = proxy
        self.judge = Judge(server, options)
        self._has_memory = bool(near_cache)
        self.adapters = {
            seconds: RedisPermissionAdapter(
                redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=seconds),
                **options,
                **near_cache,
            )
            for seconds in (SHORT, LONG)
        }

    def outcome(self, name, fault, way):
        """Return the outcome, or `None` where *fault* does not happen to *name* in this *way*."""
        adapter = self.adapters[SHORT if fault.action is Action.STALL else LONG]
        self.judge.prepare(name, name in REVIEWS or way != "to the second request")
        if fault.point not in ON_NEW_CONNECTIONS:
            # Without a script.
            patiently(adapter._section_exists, "nobody")
            if self._has_memory:
                memorize(adapter)
        faults = WAYS[way](fault)
        before = self.proxy.faults
        self.proxy.arm(*faults)
        answer, error = ask(name, adapter)
        # What memory answers meets none.
        if way == "once" and not self._has_memory:
            # An adapter may have given up before the proxy has come so far.
            servers.wait_until(lambda: self.proxy.faults > before)
        happened = self.proxy.faults - before
        self.proxy.arm()
        self.proxy.release()
        # Nobody is given the answer to what was asked before.
        assert patiently(adapter.find_sections_many, ["nobody", "no one"]) == set()
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
def test_operation_meets_every_fault(server, options, counts, thorough, name):
    kind = next(kind for kind, operations in KINDS.items() if name in operations)
    layout = "indexed" if options else "plain"
    with Proxy(server.port) as proxy:
        bench = Bench(server, proxy, options)
        for fault, outcome in outcomes(bench, name, thorough):
            counts[layout, kind, fault.point, fault.action, outcome] += 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_with_a_near_cache_meets_every_fault(server, monkeypatch, thorough, name):
    """It has the tracking connection, and memory, before the fault and after it."""
    monkeypatch.setattr(cache, "_BETWEEN_ATTEMPTS", 0)
    monkeypatch.setattr(cache, "_BETWEEN_REFUSALS", 0)
    with Proxy(server.port) as proxy:
        bench = Bench(
            server, proxy, {"namespace": "tests"}, near_cache=True, max_staleness=LONG, max_age=LONG
        )
        seen = [outcome for _, outcome in outcomes(bench, name, thorough)]
        assert "answered" in seen
        for adapter in bench.adapters.values():
            adapter.close()


def outcomes(bench, name, thorough):
    """What comes of the operation *name*, for each way in which each fault happens to it."""
    for way, fault in itertools.product(WAYS, FAULTS):
        if is_possible(fault, way) and (thorough or is_in_short_run(name, fault, way)):
            try:
                outcome = bench.outcome(name, fault, way)
            except Exception as error:
                raise AssertionError(f"{fault} {way}") from error
            if outcome is not None:
                yield fault, outcome
