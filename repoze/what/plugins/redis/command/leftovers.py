"""Permissions that a group of former times has left, to whoever takes its name or to nobody."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from more_itertools import chunked

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.adapters import RedisPermissionAdapter
from repoze.what.plugins.redis.connection.failures import code_word
from repoze.what.plugins.redis.names import described

from .failures import Failure
from .output import some
from .sources import Sources, exists

_GROUPS_AT_A_TIME = 100
_SECTIONS_AT_A_TIME = 100
_ARROW, _MARK = " -> ", " (being renamed)"
_BEING_RENAMED = re.compile(f".+{_ARROW}.+{re.escape(_MARK)}", re.DOTALL)


@dataclass(frozen=True)
class KeptWhileRenamed:
    """A permission that is still set aside, for a group whose renaming was interrupted.

    It is shown as a `Finding` is.
    """

    section: str
    item: str
    problem: ClassVar[str] = "being renamed"

    def __str__(self) -> str:
        return kept_for(self.item, [self.section])


def name_while_renamed(group: str, new_name: str) -> str:
    """Return what has the permissions of *group*, and is no group, while that is renamed."""
    return f"{group!r}{_ARROW}{new_name!r}{_MARK}"


def kept_for(name: str, permissions: Collection[str]) -> str:
    """Return what to do about *permissions* of *name*, which `name_while_renamed` returned."""
    return (
        f"Kept for {described(name)}, which was interrupted: {some(permissions)}. Run that again; "
        "or grant it to the group that is to have it, and revoke it from that name."
    )


def find_kept(sources: Sources) -> list[KeptWhileRenamed]:
    """Return what renamings that were interrupted have set aside."""
    kept = [
        KeptWhileRenamed(permission, name)
        for permission, names in _readable_sections(sources.permissions)
        for name in names
        if _BEING_RENAMED.fullmatch(name)
    ]
    groups = sources.groups.get_many_section_items({found.item for found in kept})
    return sorted(
        (found for found in kept if found.item not in groups),
        key=lambda found: (found.item, found.section),
    )


def _readable_sections(permissions: RedisPermissionAdapter) -> Iterator[tuple[str, set[str]]]:
    for page in chunked(sorted(permissions.get_section_names()), _SECTIONS_AT_A_TIME):
        try:
            found = permissions.get_many_section_items(page)
        except SourceError:
            found = {}
            for name in page:
                found |= _read_if_it_is_a_set(permissions, name)
        yield from found.items()


def _read_if_it_is_a_set(permissions: RedisPermissionAdapter, name: str) -> dict[str, set[str]]:
    try:
        return permissions.get_many_section_items([name])
    except SourceError as error:
        if not is_of_wrong_type(error):
            raise
        # `check` finds it. What is no set keeps nothing.
        return {}


def is_of_wrong_type(error: SourceError) -> bool:
    """Whether *error* is that of a key of another type than belongs there."""
    cause = error.__cause__
    return isinstance(cause, Exception) and code_word(cause) == "WRONGTYPE"


def refuse_interrupted(
    sources: Sources,
    groups: Iterable[str],
    *,
    besides: str | None = None,
    permission: str | None = None,
) -> None:
    """Return where no renaming of one of *groups*, or to one, was interrupted.

    :param besides: what `name_while_renamed` returned of one that is to be gone on with.
    :param permission: the only permission that matters; `None` is all.
    :raises Failure: where one was: what it has set aside would come to whoever is called so next.
    """
    found = find_kept(sources)
    names = list(groups) if found else []
    for name, kept in groupby(found, key=lambda each: each.item):
        if name != besides and any(
            name.startswith(f"{group!r}{_ARROW}") or name.endswith(f"{_ARROW}{group!r}{_MARK}")
            for group in names
        ):
            permissions = [each.section for each in kept]
            if permission is None or permission in permissions:
                raise Failure(kept_for(name, permissions))


def refuse_leftovers(sources: Sources, group: str, advice: str) -> None:
    """Return where a group may come to be called *group*.

    :param advice: what else to do about it, than to revoke them.
    :raises Failure: where there is no such group, but there are permissions of it.
    """
    left = _left_to_nobody(sources, group)
    if left:
        raise Failure(
            f"{described(group)} is no group, but it still has permissions: {some(left)}. Its "
            f"members would have them at once. Revoke them first, or {advice}."
        )


def refuse_new_leftovers(sources: Sources, *groups: str) -> None:
    """Return where nobody has left any of *groups* permissions while a command was at work.

    :raises Failure: where there is no such group, but there are permissions of it.
    """
    for group in groups:
        left = _left_to_nobody(sources, group)
        if left:
            raise Failure(
                f"That is done, but {described(group)} is no group now, and meanwhile somebody has "
                f"left it permissions: {some(left)}. Revoke them, or the next group of that name "
                "will have them."
            )


def _left_to_nobody(sources: Sources, group: str) -> set[str]:
    left = sources.permissions.find_sections(group)
    return set() if left and exists(sources.groups, group) else left


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
