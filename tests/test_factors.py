"""That the ordinary run meets each pair of what the full product has."""

import os
import subprocess
import sys
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import pytest
from harness.factors import FACTORS, each_value, pairs, pairs_in

# Collects all tests, and prints the values of factors that meet in some: in a plain run or that
# with the older servers, or only in a thorough one.
PROGRAM = """
import sys
from harness import factors
import pytest
from itertools import combinations
from plugin.connection.test_faults import few

class Run:
    args = ()

    def __init__(self, *options):
        self.options = options

    def getoption(self, option):
        return option in self.options

def met(cases):
    return {pair for case in cases for pair in combinations(sorted(
        (factor, str(value)) for factor, value in case), 2) if pair[0][0] != pair[1][0]}

class Collected:
    def pytest_collection_finish(self, session):
        everything = met(map(factors.factors_of, session.items))
        names = {path: name for name, path in factors.EXECUTABLES.items()}
        chosen = set()
        for run in (Run(), Run("--older-servers")):
            chosen |= met(map(factors.factors_of, factors.ordinary(session.items, run)))
            executables = tuple(path for path, name in names.items()
                                if name in factors.servers_met(run, "test_faults.py"))
            chosen |= met(zip(factors.FACTORS, (names[path], *case))
                          for path, *case, way in few(executables, ("plain", "indexed")))
        for pair in everything:
            print("met" if pair in chosen else "missed", *map("=".join, pair), sep="|")

sys.exit(pytest.main(["--collect-only", "-qq", "--thorough", "tests"], plugins=[Collected()]))
"""


@pytest.mark.parametrize(
    "sizes",
    [(2, 2), (4, 2, 3), (4, 2, 18, 6, 7), (1, 5, 1, 2, 3)],
    ids=lambda sizes: str(len(sizes)),
)
def test_pairs_of_a_product(sizes):
    rows = list(product(*map(range, sizes)))
    chosen = list(pairs(rows))
    assert pairs_in(chosen) == pairs_in(rows)
    assert set(chosen) <= set(rows)
    assert len(chosen) <= 1.5 * max(a * b for a, b in combinations(sizes, 2))


def test_values_that_are_given_together_are_all_taken():
    together = [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    rows = [(a, b, *row) for a, b, row in product(range(3), range(5), together)]
    chosen = list(pairs(rows))
    for column, values in ((0, range(3)), (1, range(5))):
        assert {(row[column], row[2:]) for row in chosen} == set(product(values, together))
    assert len(chosen) < len(rows)


@pytest.mark.parametrize("sizes", [(7,), (3, 8), (4, 2, 6, 1)], ids=str)
def test_each_value_of_a_product(sizes):
    rows = list(product(*map(range, sizes)))
    chosen = list(each_value(rows))
    assert set(chosen) <= set(rows)
    assert len(chosen) == max(sizes)
    for column, size in enumerate(sizes):
        counts = Counter(row[column] for row in chosen)
        assert set(counts) == set(range(size))
        # No value has what is left over.
        assert max(counts.values()) - min(counts.values()) <= 1


def test_each_of_those_that_are_given_together():
    together = [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    rows = [(a, *row) for a, row in product(range(3), together)]
    assert {row[1:] for row in each_value(rows)} == set(together)


def test_nothing_to_choose():
    assert list(pairs([(0,)])) == list(each_value([(0,)])) == [(0,)]


@pytest.mark.with_older_servers
def test_each_pair_of_factors_is_met():
    """In the plain run and in that with the older servers, which is the one that has the time."""
    tests = Path(__file__).parent
    # Nothing that it runs is measured.
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    collected = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tests.parent,
        env={**environment, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
    outcomes = [line for line in collected.stdout.splitlines() if line.startswith(("met", "miss"))]
    assert [line for line in outcomes if line.startswith("missed")] == []
    # That it has looked at all.
    wanted = {
        f"met|layout={layout}|operation={operation}"
        for layout in FACTORS["layout"]
        for operation in FACTORS["operation"]
    }
    assert wanted <= set(outcomes)
