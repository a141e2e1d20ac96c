"""Covering arrays: few cases in which any two values meet, in place of every case there is."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product

from allpairspy import AllPairs


def covering_array(
    *factors: Iterable, is_possible: Callable[..., bool] = lambda *_: True
) -> list[tuple]:
    """Return rows of a value of each of *factors*, so that any two that can meet do in some row.

    :param is_possible: whether there is a case of these values, one of each factor.
    """
    values = [list(factor) for factor in factors]

    def may_be_part(row: Sequence) -> bool:
        return len(row) < len(values) or is_possible(*row)

    rows = [tuple(row) for row in AllPairs(values, filter_func=may_be_part)]
    missing = _pairs(filter(lambda row: is_possible(*row), product(*values))) - _pairs(rows)
    # Where some cases are impossible, it may give up before it has found them all.
    for row in product(*values):
        if is_possible(*row) and (met := _pairs([row]) & missing):
            missing -= met
            rows.append(row)
    return rows


def _pairs(rows: Iterable[Sequence]) -> set[tuple]:
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}
