"""The three real organisations: who is in which group, and who may therefore do what."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from .sources import Sections

_FOLDER = Path(__file__).parents[1] / "tests" / "organisations"
_NAMES = ("hc", "apj", "americas_large")
_USERS = 500

Ask = Callable[[str, str], Any]
"""Is given a user and a permission; returns all permissions of the user, or whether it has it."""


@dataclass(frozen=True)
class Organisation:
    """Who is in which group, which group may do what, and who therefore may do what."""

    name: str
    users: Sections
    groups: Sections
    expected: Mapping[str, list[str]]

    @property
    def sections(self) -> dict[str, Sections]:
        """What either kind of source holds."""
        return {"groups": self.users, "permissions": self.groups}

    @property
    def memberships(self) -> Iterator[tuple[str, str]]:
        """All pairs of a user and a group."""
        return ((user, group) for group, users in self.users.items() for user in users)

    @property
    def grants(self) -> Iterator[tuple[str, str]]:
        """All pairs of a group and a permission."""
        return (
            (group, permission) for permission, groups in self.groups.items() for group in groups
        )

    @cached_property
    def groups_of(self) -> Mapping[str, set[str]]:
        """The groups of each user."""
        groups = defaultdict(set)
        for user, group in self.memberships:
            groups[user].add(group)
        return groups

    @cached_property
    def questions(self) -> list[tuple[str, str]]:
        """Some users in any order, each with a permission that it has."""
        random = Random(self.name)  # noqa: S311 - no secret
        users = random.choices(sorted(self.expected), k=_USERS)
        return [(user, random.choice(self.expected[user])) for user in users]


def organisations() -> list[Organisation]:
    """Return all three."""
    return [
        Organisation(name, *(_read(name, part) for part in ("groups", "permissions", "expected")))
        for name in _NAMES
    ]


def _read(name: str, part: str) -> dict[str, list[str]]:
    pairs = defaultdict(list)
    with gzip.open(_FOLDER / f"{name}.{part}.tsv.gz", "rt") as file:
        for first, second in csv.reader(file, delimiter="\t"):
            pairs[first].append(second)
    return pairs
