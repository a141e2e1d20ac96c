"""Permissions of what is no group, which whoever takes its name would have."""

from collections.abc import Collection, Iterable, Iterator

from more_itertools import chunked

from repoze.what.plugins.redis.adapters import RedisPermissionAdapter
from repoze.what.plugins.redis.names import decode, described, some

from .failures import Failure
from .sources import Sources
from .staging import Stage

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


def refuse_grants_to_no_group(stage: Stage, sources: Sources, told: Collection[str]) -> None:
    """Return where all that *stage* grants permissions to are groups, now that it is written.

    :param told: those that are none, and were none before, of which somebody knows.
    :raises Failure: where others are none by now, and have permissions that it grants.
    """
    there = sources.groups.get_section_names()
    gone = {
        group
        for group in map(decode, stage.groups_granted())
        if group not in there
        and group not in told
        and any(stage.grants(name, group) for name in sources.permissions.find_sections(group))
    }
    if gone:
        raise Failure(
            "All is written, but meanwhile somebody has deleted or renamed groups that permissions "
            f"are granted to: {some(gone)}. Revoke them, or whoever makes a group of that name has "
            "them."
        )
