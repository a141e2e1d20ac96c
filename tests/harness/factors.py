"""What the tests multiply, and how much of each product the ordinary run takes.

A test is written for all that it could be run with: each server, layout, operation, fault and so
on are parameters of it, and `pytest --thorough` runs their full product. The ordinary run takes
pairs: any two values of any two parameters of a test meet in it. It is with the newest server.
What could depend on the server meets the others in a run with `--older-servers`. In some test of
the two, any two values of the factors below meet.

Where each case is a process of its own, which takes a hundred times as long as another test, and
its parameters have nothing to do with each other, a test is marked with `each_value`: the ordinary
run takes each value of each parameter in some case.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import pytest

from harness import operations, servers
from harness.covering import covering_array
from harness.proxy import Action, Point

EXECUTABLES = servers.executables()
FAKE = "fakeredis"
FACTORS: dict[str, tuple[Any, ...]] = {
    "server": (*EXECUTABLES, FAKE),
    "layout": ("plain", "indexed"),
    "operation": (*operations.LOOKUPS, *operations.WRITES, *operations.REVIEWS),
    "action": tuple(Action),
    "point": tuple(Point),
}
# All else is about the client.
WHERE_SERVERS_DIFFER = frozenset(
    (
        "test_adapters.py",
        "test_cluster.py",
        "test_durability.py",
        "test_factors.py",
        "test_failover.py",
        "test_failures.py",
        "test_faults.py",
        "test_format.py",
        "test_group_changes.py",
        "test_history.py",
        "test_least_privilege.py",
        "test_joint_lookups.py",
        "test_memberships_that_end.py",
        "test_model.py",
        "test_primary_watch.py",
        "test_revocation.py",
        "test_undo.py",
    )
)

Row = tuple[int, ...]


def servers_met(config: pytest.Config, file: str) -> tuple[str, ...]:
    """Return which servers the tests in *file* meet in this run, the newest first."""
    if is_full(config):
        return FACTORS["server"]
    if not config.getoption("--older-servers"):
        return (*list(EXECUTABLES)[:1], FAKE)
    return tuple(EXECUTABLES)[1:] if file in WHERE_SERVERS_DIFFER else ()


def is_full(config: pytest.Config) -> bool:
    """Whether this run takes all cases: it is thorough, or asks for a single one by its name."""
    return config.getoption("--thorough") or any("[" in argument for argument in config.args)


def ordinary(items: Iterable[pytest.Item], config: pytest.Config) -> Iterator[pytest.Item]:
    """Yield those of *items* that a run takes which is not thorough."""
    products: dict[tuple[Any, ...], dict[Row, list[pytest.Item]]] = {}
    alone: dict[tuple[Any, ...], dict[Row, list[pytest.Item]]] = {}
    for item in items:
        if not _meets_servers(item, config):
            continue
        if not hasattr(item, "callspec"):
            yield item
        else:
            # The values of a parameter are the same objects in all of its tests.
            row = tuple(map(id, item.callspec.params.values()))
            is_alone = item.get_closest_marker("each_value") is not None
            of_function = alone if is_alone else products
            product = of_function.setdefault((item.parent, item.originalname), {})
            product.setdefault(row, []).append(item)
    for product in alone.values():
        for row in each_value(product):
            yield from product[row]
    # Functions with the same parameters are one more parameter to choose pairs of.
    of_one_kind: dict[tuple[Any, ...], dict[Row, list[pytest.Item]]] = defaultdict(dict)
    for number, product in enumerate(products.values()):
        path = next(iter(product.values()))[0].path
        of_one_kind[path, frozenset(product)] |= {
            (number, *row): same for row, same in product.items()
        }
    for product in of_one_kind.values():
        for row in pairs(product):
            yield from product[row]


def pairs(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield some of *rows*, in which any two values of any two parameters meet that do in *rows*.

    :param rows: values of parameters. Those that are given together, in a list of the test's own,
        and not each with each, are one parameter: all that its author has listed is taken.
    """
    groups, of_short = _shortened(rows)
    if len(groups) < 3:
        yield from of_short.values()
        return
    values = [list(dict.fromkeys(column)) for column in zip(*of_short, strict=True)]
    chosen = set(covering_array(*values, is_possible=lambda *short: short in of_short))
    # In an order that all processes of a run have.
    yield from (row for short, row in of_short.items() if short in chosen)


def each_value(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield some of *rows*, in which any value of any parameter is that is in *rows*.

    :param rows: as those of `pairs`.
    """
    groups, of_short = _shortened(rows)
    if not groups:
        yield from of_short.values()
        return
    missing = {cell for short in of_short for cell in enumerate(short)}
    met: Counter[tuple[int, Row]] = Counter()

    def use(short: tuple[Row, ...]) -> tuple[int, int]:
        cells = set(enumerate(short))
        # Of as many new ones: with what has been met least, so that each has its share.
        return len(cells & missing), -sum(met[cell] for cell in cells)

    while missing:
        short = max(of_short, key=use)
        met.update(enumerate(short))
        missing -= met.keys()
        yield of_short[short]


def pairs_in(rows: Iterable[Row]) -> set[tuple[int, int, int, int]]:
    """Return each two values of two columns that meet in *rows*: column, value, column, value."""
    return {
        (first, row[first], second, row[second])
        for row in rows
        for first, second in combinations(range(len(row)), 2)
    }


def factors_of(item: pytest.Item) -> set[tuple[str, Any]]:
    """Return which values of which factors *item* is run with."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {
        (factor, value)
        for factor, values in FACTORS.items()
        for value in given
        if any(value is each or (type(value) is str and value == each) for each in values)
    }


def _shortened(rows: Iterable[Row]) -> tuple[list[set[int]], dict[tuple[Row, ...], Row]]:
    """Return the groups of columns, and *rows* by their values in each of these."""
    rows = list(rows)
    groups = _groups_of_columns(rows)
    return groups, {
        tuple(tuple(row[column] for column in group) for group in groups): row for row in rows
    }


def _groups_of_columns(rows: list[Row]) -> list[set[int]]:
    """Return the columns that vary, together with those whose values do not each meet theirs."""
    columns = list(zip(*rows, strict=True))
    sizes = [len(set(column)) for column in columns]
    groups: list[set[int]] = []
    for column, size in enumerate(sizes):
        if size == 1:
            continue
        group = {column}
        for other in list(groups):
            if any(
                len(set(zip(columns[column], columns[each], strict=True))) < size * sizes[each]
                for each in other
            ):
                groups.remove(other)
                group |= other
        groups.append(group)
    return groups


def _meets_servers(item: pytest.Item, config: pytest.Config) -> bool:
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    server = next((value for value in given if value in FACTORS["server"]), None)
    if server is None:
        older = item.get_closest_marker("with_older_servers") is not None
        return older == config.getoption("--older-servers")
    return server in servers_met(config, item.path.name)
