"""What the tests multiply, and how much of each product the ordinary run takes.

A test is written for all that it could be run with: each server, layout, operation, fault and so
on are parameters of it, and `pytest --thorough` runs their full product. The ordinary run takes
pairs: any two values of any two parameters of a test meet in it, as do any two values of the
factors below in some test.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import operations
import pytest
import servers
from covering import covering_array
from proxy import Action, Point

EXECUTABLES = servers.executables()
FAKE = "fakeredis"
FACTORS: dict[str, tuple[Any, ...]] = {
    "server": (*EXECUTABLES, FAKE),
    "layout": ("plain", "indexed"),
    "operation": (*operations.LOOKUPS, *operations.WRITES, *operations.REVIEWS),
    "action": tuple(Action),
    "point": tuple(Point),
}
# Where servers did differ. All else is about the client, and meets the newest of them.
ON_EVERY_SERVER = frozenset(
    (
        "test_adapters.py",
        "test_cluster.py",
        "test_durability.py",
        "test_failover.py",
        "test_failures.py",
        "test_faults.py",
        "test_least_privilege.py",
        "test_model.py",
        "test_primary_watch.py",
        "test_revocation.py",
    )
)

Row = tuple[int, ...]


def ordinary(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield those of *items* that the ordinary run takes."""
    products: dict[tuple[Any, ...], dict[Row, pytest.Item]] = defaultdict(dict)
    for item in items:
        if not hasattr(item, "callspec"):
            yield item
        elif _server_of(item) in {None, *_servers_for(item.path)}:
            row = tuple(item.callspec.indices.values())
            products[item.parent, item.originalname][row] = item
    # Functions with the same parameters are one more parameter to choose pairs of.
    of_one_kind: dict[tuple[Any, ...], dict[Row, pytest.Item]] = defaultdict(dict)
    for number, product in enumerate(products.values()):
        names = tuple(next(iter(product.values())).callspec.indices)
        path = next(iter(product.values())).path
        of_one_kind[path, names, frozenset(product)] |= {
            (number, *row): item for row, item in product.items()
        }
    for product in of_one_kind.values():
        for row in pairs(product):
            yield product[row]


def pairs(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield some of *rows*, in which any two values of any two columns meet that do in *rows*."""
    rows = list(rows)
    columns = _independent_columns(rows)
    if len(columns) < 3:
        yield from rows
        return
    of_short = {tuple(row[column] for column in columns): row for row in rows}
    values = [sorted(set(column)) for column in zip(*of_short, strict=True)]
    # In an order that all processes of a run have.
    for short in sorted(covering_array(*values, is_possible=lambda *row: row in of_short)):
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


def _independent_columns(rows: list[Row]) -> list[int]:
    """Return the columns that are neither the same in all rows nor in step with one before."""
    columns: dict[Row, int] = {}
    for number, column in enumerate(zip(*rows, strict=True)):
        numbers: dict[int, int] = {}
        in_order = tuple(numbers.setdefault(value, len(numbers)) for value in column)
        if len(numbers) > 1:
            columns.setdefault(in_order, number)
    return list(columns.values())


def _server_of(item: pytest.Item) -> str | None:
    given = item.callspec.params.values()
    return next((value for value in given if value in FACTORS["server"]), None)


def _servers_for(path: Path) -> tuple[str, ...]:
    if path.name in ON_EVERY_SERVER:
        return FACTORS["server"]
    # Without a real server there is the other.
    return FACTORS["server"][:1]
