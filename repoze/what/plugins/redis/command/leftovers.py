"""Permissions that a group of former times has left to whoever takes its name."""

from collections.abc import Iterable, Iterator

from more_itertools import chunked

from repoze.what.plugins.redis.adapters import RedisPermissionAdapter
from repoze.what.plugins.redis.names import described, some

_GROUPS_AT_A_TIME = 100


def find_leftovers(
    permissions: RedisPermissionAdapter, new_groups: Iterable[str]
) -> Iterator[tuple[str, set[str]]]:
    """Return those of *new_groups* that have permissions before they are there, with these."""
    for page in chunked(new_groups, _GROUPS_AT_A_TIME):
        if permissions.find_sections_many(page):
            for group in page:
                left = permissions.find_sections(group)
                if left:
                    yield group, left


def as_conflict(group: str, permissions: set[str]) -> str:
    """Return that *group*, which is to be made, would have *permissions*."""
    return (
        f"groups: {described(group)} is not there, but permissions for that name are: "
        f"{some(permissions)}"
    )
