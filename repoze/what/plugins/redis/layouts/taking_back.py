"""Undoing a change: the history is read, and a script does it if nothing has come since."""

from collections.abc import Callable

from repoze.what.plugins.redis.changes import Change, Reading
from repoze.what.plugins.redis.undoing import (
    GoneOn,
    Place,
    half_of_group,
    is_of_group,
    no_one_step,
    not_in_history,
    others_are_writing,
)

from .indexed import IndexedLayout

# To read it takes longer than a write of others, and not so much longer than these are apart.
_MOST_ATTEMPTS = 10


def undo(layout: IndexedLayout, change: Change, reading: Reading) -> None:
    """Undo *change* in the source of *layout*.

    :param reading: what has been read of its history.
    :raises UndoRefused: where it cannot be undone exactly, or is of two sources.
    :raises SourceError: where others have written whenever it was tried.
    """

    def attempt() -> None:
        place = layout.place_of(change.token, reading, since=change.at)
        if place is None or place.change != change:
            raise not_in_history(change, layout)
        if is_of_group(change):
            raise half_of_group(change)
        layout.undo(change.token, place)

    _until_nobody_writes(attempt, layout, change, reading)


def undo_of_group(
    layout: IndexedLayout,
    other: IndexedLayout,
    change: Change,
    readings: tuple[Reading, Reading],
) -> None:
    """Undo *change*, which renamed or deleted a group, in both sources at once.

    :param layout: that of the groups, which `changes_with` that of the permissions.
    :param readings: what has been read of the history of each.
    :raises UndoRefused: where it cannot be undone exactly.
    :raises SourceError: where others have written whenever it was tried.
    """

    def attempt() -> None:
        # Wherever it is: the entries of one change may have two ids, and so two times.
        place = layout.place_of(change.token, readings[0])
        if place is None:
            raise not_in_history(change, layout)
        of_permissions = None
        if place.change.is_joint:
            of_permissions = other.place_of(change.token, readings[1])
            if of_permissions is None:
                raise not_in_history(change, other)
        if change not in _changes(place, of_permissions):
            raise not_in_history(change, layout)
        if not layout.undo_group(other, change.token, place, of_permissions):
            raise no_one_step(change)

    _until_nobody_writes(attempt, layout, change, *readings)


def _changes(*places: Place | None) -> list[Change]:
    return [place.change for place in places if place is not None]


def _until_nobody_writes(
    attempt: Callable[[], None], layout: IndexedLayout, change: Change, *readings: Reading
) -> None:
    for _ in range(_MOST_ATTEMPTS):
        try:
            return attempt()
        except GoneOn:
            for reading in readings:
                reading.forget()
    raise others_are_writing(change, layout)
