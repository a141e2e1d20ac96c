"""Renaming and deleting groups in steps, where groups and permissions are changed one by one.

While a group is renamed, its permissions are set aside: they are of what is no group, where nobody
comes by them. The states, and what ends them:

=======================  ======================  ============================================
The group that is there  has its permissions     What comes next
=======================  ======================  ============================================
the old one              the old one             they are set aside
the old one              nobody                  the group is renamed; where that is refused,
                                                 they are handed back
the new one              nobody                  they are handed on; here it can be run again
the new one              the new one             nothing
=======================  ======================  ============================================
"""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, TypeAlias

from more_itertools import chunked

from repoze.what.adapters import (
    AdapterError,
    ItemNotPresentError,
    ItemPresentError,
    SourceError,
    SourceUnavailable,
)

from .adapters import RedisAdapter, RedisGroupAdapter, RedisPermissionAdapter
from .connection.failures import code_word
from .names import described, some
from .refusals import group_present, no_group, still_permitted

Pair: TypeAlias = tuple[RedisGroupAdapter, RedisPermissionAdapter]

_SECTIONS_AT_A_TIME = 100
_ARROW, _MARK = " -> ", " (being renamed)"
_BEING_RENAMED = re.compile(f".+{_ARROW}.+{re.escape(_MARK)}", re.DOTALL)


class RenamingInterrupted(SourceError):  # noqa: N818 - it reads as what it reports
    """A renaming was interrupted, and has set aside permissions that would come to somebody else.

    Its ``written`` is ``False``: what raises it has done nothing.
    """


class LeftPermissions(SourceError):  # noqa: N818 - it reads as what it reports
    """Meanwhile somebody has left permissions to a name that is no group now.

    The text says whether the rest is done, or refused. Its ``written`` is ``True``.

    :param concerned: the permissions that went along, or were revoked, which the error keeps as
        ``concerned``.
    """

    def __init__(self, text: str, concerned: Collection[str] = ()) -> None:
        super().__init__(text, written=True)
        self.concerned = set(concerned)


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


def name_while_renamed(group: str, new_group: str) -> str:
    """Return what has the permissions of *group*, and is no group, while that is renamed."""
    return f"{group!r}{_ARROW}{new_group!r}{_MARK}"


def ends_while_renamed(*groups: str) -> list[str]:
    """Return what `name_while_renamed` begins with, and ends with, where it is of one of *groups*.

    In turn, for each of them. A script of the indexed layout knows the mark at the end, too.
    """
    return [end for group in groups for end in (f"{group!r}{_ARROW}", f"{_ARROW}{group!r}{_MARK}")]


def kept_for(name: str, permissions: Collection[str]) -> str:
    """Return what to do about *permissions* of *name*, which `name_while_renamed` returned."""
    return (
        f"Kept for {described(name)}, which was interrupted: {some(permissions)}. Run that again; "
        "or grant it to the group that is to have it, and revoke it from that name."
    )


def find_kept(pair: Pair) -> list[KeptWhileRenamed]:
    """Return what renamings that were interrupted have set aside."""
    groups, permissions = pair
    kept = [
        KeptWhileRenamed(permission, name)
        for permission, names in _readable_sections(permissions)
        for name in names
        if _BEING_RENAMED.fullmatch(name)
    ]
    there = groups.get_many_section_items({found.item for found in kept})
    return sorted(
        (found for found in kept if found.item not in there),
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


def exists(adapter: RedisAdapter, section: str) -> bool:
    """Return whether there is such a section."""
    return section in adapter.get_many_section_items([section])


def refuse_interrupted(
    pair: Pair,
    groups: Iterable[str],
    *,
    besides: str | None = None,
    permission: str | None = None,
) -> None:
    """Return where no renaming of one of *groups*, or to one, was interrupted.

    :param besides: what `name_while_renamed` returned of one that is to be gone on with.
    :param permission: the only permission that matters; `None` is all.
    :raises RenamingInterrupted: where one was: what it has set aside would come to whoever is
        called so next.
    """
    found = find_kept(pair)
    names = list(groups) if found else []
    for name, kept in groupby(found, key=lambda each: each.item):
        if name != besides and _is_of_any(name, names):
            permissions = [each.section for each in kept]
            if permission is None or permission in permissions:
                raise RenamingInterrupted(kept_for(name, permissions), written=False)


def set_aside(names: Iterable[str], groups: Collection[str]) -> set[str]:
    """Return those of *names* that keep what is of one of *groups*, whose renaming is under way."""
    return {name for name in names if _BEING_RENAMED.fullmatch(name) and _is_of_any(name, groups)}


def _is_of_any(name: str, groups: Iterable[str]) -> bool:
    return any(
        name.startswith(start) or name.endswith(end)
        for start, end in chunked(ends_while_renamed(*groups), 2)
    )


def refuse_leftovers(pair: Pair, group: str, advice: str) -> None:
    """Return where a group may come to be called *group*.

    :param advice: what else to do about it, than to revoke them.
    :raises ItemPresentError: where there is no such group, but there are permissions of it.
    """
    left = _left_to_nobody(pair, group)
    if left:
        raise still_permitted(group, left, advice)


def _left_to_nobody(pair: Pair, group: str) -> set[str]:
    groups, permissions = pair
    left = permissions.find_sections(group)
    return set() if left and exists(groups, group) else left


def _refuse_new_leftovers(pair: Pair, *names: str, concerned: set[str]) -> None:
    for group in names:
        left = _left_to_nobody(pair, group)
        if left:
            raise LeftPermissions(
                f"That is done, but {described(group)} is no group now, and meanwhile somebody has "
                f"left it permissions: {some(left)}. Revoke them, or the next group of that name "
                "will have them.",
                concerned,
            )


def check_renaming(pair: Pair, group: str, new_group: str, *, may_go_on: bool = True) -> bool:
    """Return whether renaming *group* to *new_group* was interrupted, and is to be gone on with.

    :param may_go_on: whether it may then; else that is refused.
    :raises NonExistingSectionError: where there is no *group*.
    :raises ExistingSectionError: where *new_group* is there.
    :raises ItemPresentError: where it is not, but has permissions.
    :raises RenamingInterrupted: where another renaming of one of them was interrupted.
    """
    groups, permissions = pair
    waiting = name_while_renamed(group, new_group)
    there = groups.get_many_section_items([group, new_group, waiting]).keys()
    kept = permissions.find_sections(waiting)
    is_renamed = there == {new_group} and bool(kept)
    if not is_renamed:
        # Whose they are now is not for us to say.
        left = f" {kept_for(waiting, kept)}" if kept else ""
        if group not in there:
            raise _with(no_group(group), left)
        for name in (new_group, waiting):
            if name in there:
                raise _with(group_present(name), left)
        refuse_leftovers(pair, new_group, "choose another name")
    refuse_interrupted(pair, [group, new_group], besides=waiting if may_go_on else None)
    return is_renamed


def _with(error: AdapterError, more: str) -> AdapterError:
    return type(error)(f"{error}{more}")


def rename_in_steps(pair: Pair, group: str, new_group: str) -> set[str]:
    """Call *group* *new_group*, and return its permissions, which go along.

    In between its members lack them, and nobody else has them. What was interrupted is gone on
    with.

    :raises SourceError: where an adapter is not writable, may not know the latest writes, or
        fails; see `check_renaming` for what else is refused.
    """
    _, permissions = pair
    _check_adapters(pair)
    waiting = name_while_renamed(group, new_group)
    is_renamed = check_renaming(pair, group, new_group)
    refusal: AdapterError | None = None
    with _told_to_run_again(waiting):
        if not is_renamed:
            refusal = _set_aside(permissions, group, waiting)
            refusal = refusal or _rename(pair, group, new_group, waiting)
        moved = set() if refusal else _hand_on(permissions, waiting, new_group)
    if refusal:
        # Somebody may have deleted the group before it had them back.
        left = _left_to_nobody(pair, group)
        if left:
            raise LeftPermissions(
                f"{refusal} Meanwhile somebody has deleted {described(group)}, and what it was "
                f"permitted is left to the next group of that name: {some(left)}. Revoke them."
            ) from refusal
        raise refusal
    _refuse_new_leftovers(pair, group, new_group, concerned=moved)
    return moved


def delete_in_steps(pair: Pair, group: str) -> set[str]:
    """Revoke the permissions of *group*, delete it, and return what it was permitted.

    :raises NonExistingSectionError: where there is no *group*.
    :raises RenamingInterrupted: where a renaming of it, or to it, was interrupted.
    :raises SourceError: as `rename_in_steps` does.
    """
    groups, permissions = pair
    _check_adapters(pair)
    if not exists(groups, group):
        raise no_group(group)
    refuse_interrupted(pair, [group])
    revoked: set[str] = set()
    with suppress(ItemNotPresentError):
        revoked = permissions.remove_item(group)
    try:
        groups.delete_section(group)
    except SourceError as error:
        if not revoked:
            raise
        # Of which it may say that nothing was written.
        raise _of_kind(error, f"{error} Revoked before that: {some(revoked)}.") from error
    _refuse_new_leftovers(pair, group, concerned=revoked)
    return revoked


def _check_adapters(pair: Pair) -> None:
    for adapter in pair:
        adapter._check_writable()  # noqa: SLF001 - what each operation of an adapter begins with
        if adapter.reads_from_replica or adapter.near_cache_info() is not None:
            raise SourceError(
                f"{adapter!r} may not see the latest writes: make one without read_from and "
                "near_cache to rename or delete groups here.",
                written=False,
            )


def _set_aside(permissions: RedisPermissionAdapter, group: str, waiting: str) -> SourceError | None:
    """Return what that was refused with, if it was: then all is as before."""
    try:
        _hand_on(permissions, group, waiting)
    except SourceError as error:
        # Of several, some may be there.
        if error.written is not False or permissions.find_sections(waiting):
            raise
        return error
    return None


def _rename(pair: Pair, group: str, new_group: str, waiting: str) -> AdapterError | None:
    """Return what the renaming was refused with, if it was: then all is as before."""
    groups, permissions = pair
    try:
        groups.edit_section(group, new_group)
    except SourceUnavailable:
        # It may have been done.
        raise
    except AdapterError as error:
        # Of a refusal nothing was written; of what the server is in trouble with, it says so.
        if getattr(error, "written", False) is not False or not exists(groups, group):
            raise
        _hand_on(permissions, waiting, group)
        return error
    return None


def _hand_on(permissions: RedisPermissionAdapter, group: str, new_group: str) -> set[str]:
    # At once: what is revoked meanwhile is revoked before that, or after it.
    with suppress(ItemNotPresentError):
        try:
            return permissions.rename_item(group, new_group)
        except ItemPresentError:
            # An earlier run was interrupted, and somebody has granted more since.
            return permissions._merge_item(group, new_group)  # noqa: SLF001 - no one else needs it
    return set()


@contextmanager
def _told_to_run_again(waiting: str) -> Iterator[None]:
    again = f"Run it again: until then its permissions may be kept for {described(waiting)}."
    try:
        yield
    except AdapterError as error:
        notes = getattr(error, "__notes__", ())
        raise _of_kind(error, " ".join([str(error), *notes, again])) from error
    except BaseException as error:
        error.add_note(again)
        raise


def _of_kind(error: AdapterError, text: str) -> SourceError:
    """Return an error that says *text*, after which nobody knows what was written."""
    kind = SourceUnavailable if isinstance(error, SourceUnavailable) else SourceError
    return kind(text, written=None)
