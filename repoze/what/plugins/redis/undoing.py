"""What stands in the way of undoing a change: that is in the history, and in the source itself."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from repoze.what.adapters import AdapterError, SourceError

from .changes import Change, Noted
from .names import decode, described, some

# Of these each half is in a source of its own.
_OF_GROUPS = frozenset(("rename_group", "delete_group"))
# These are about an item wherever it is: what is undone elsewhere must not bring it back.
_EVERYWHERE = _OF_GROUPS | {"remove_item", "rename_item"}
_RENAMING = frozenset(("rename_group", "rename_item"))
# By the word of the script: what is not as the change has left it.
_DIFFERENCES = {
    b"no section now": "there is no section {} any more",
    b"section there again": "there is a section {} again",
    b"not there": "section {} does not have {} any more",
    b"there again": "section {} has {} again",
    b"also there": "section {} has {}, too",
}
_SHOWN_OF_TOKEN = 12
_GONE = frozenset(("deleted", "renamed"))


class UndoRefused(SourceError):  # noqa: N818 - it reads as what it reports
    """A change cannot be undone exactly, so it is not: the text says why, and what to do.

    Its ``written`` is ``False``.

    :param later: the later change that is in the way, if it is one, which the error keeps as
        ``later``. If that is undone first, this one can be.
    """

    def __init__(self, text: str, later: Change | None = None) -> None:
        super().__init__(text, written=False)
        self.later = later


class NotInHistory(UndoRefused):
    """The change is not in the history: not any more, or it is of another source."""


class GoneOn(AdapterError):  # noqa: N818 - it is no error, but an answer
    """The history has gone on since it was read. Nothing is done."""


@dataclass(frozen=True)
class Place:
    """Where a change is in its history, and that nothing later is in its way."""

    change: Change
    entry_id: bytes
    latest: str
    """The token of the latest change, as the history was read."""


def short(token: str) -> str:
    """Return as much of *token* as is shown to people."""
    return token[:_SHOWN_OF_TOKEN]


def is_of_group(change: Change) -> bool:
    """Whether *change* renamed or deleted a group with its permissions, or undid that."""
    return _origin(change) in _OF_GROUPS


def in_force(changes: Iterable[Change]) -> Iterator[Change]:
    """Yield those of *changes*, the latest first, that are not undone, and are no undo of these."""
    read = list(changes)
    tokens = {each.token for each in read}
    undone = set[str]()
    for each in read:
        if each.token not in undone:
            if each.undoes is not None:
                undone.add(each.undoes)
            if each.undoes not in tokens:
                yield each


def find_place(entries: Iterable[Noted], token: str) -> Place | None:
    """Return where the change with that token is among *entries*, the latest first.

    :return: `None` where it is not there.
    :raises UndoRefused: where something later is in its way, or is not known.
    """
    later: list[Change] = []
    following, is_whole = None, True
    for entry in entries:
        is_whole = is_whole and (following is None or following.follows(entry))
        following, change = entry, entry.change
        if change is None:
            is_whole = False
        elif change.token == token:
            if not is_whole:
                raise _refused(
                    change,
                    "later entries of the history are gone, or not to be read, so nobody knows "
                    "what else has been changed. Make the opposite change yourself",
                )
            _refuse_if_in_the_way(change, later)
            return Place(change, entry.entry_id, later[0].token if later else token)
        else:
            later.append(change)
    return None


def _refuse_if_in_the_way(change: Change, later: Sequence[Change]) -> None:
    if change.is_final:
        raise _refused(
            change,
            "what it made one was in a section for two times, of which the longer one stayed. "
            "Make the opposite change yourself",
        )
    undone_by = {each.undoes: each for each in _not_undone(later)}.get(change.token)
    if undone_by is not None:
        raise _refused(
            change,
            f"it is undone already, by {_told(undone_by)}. To have it in force again, undo that",
            undone_by,
        )
    standing = list(in_force(later))
    names = _names_since(change, later)
    for each in standing:
        if _is_in_the_way(each, change, names):
            raise _in_the_way(change, each)
    if change.effect == "created":
        concerning = [each for each in standing if not names.isdisjoint(each.sections)]
        if _items_after(names, change.added, concerning) != change.added:
            raise _in_the_way(change, concerning[0])


def refuse_without_group(change: Change, of_groups: Iterable[Change]) -> None:
    """Raise `UndoRefused` where *change* took something from a group that has gone since.

    :param of_groups: the changes of the groups from then on, the latest first.
    """
    for each in in_force(of_groups):
        if each.effect in _GONE and not change.removed.isdisjoint(each.sections):
            raise _in_the_way(change, each)


def _names_since(change: Change, later: Sequence[Change]) -> set[str]:
    """Return what the sections of *change* have been called since.

    What came to a section under another name stays with it where only the renaming is undone.
    """
    names = set(change.sections)
    for each in reversed(later):
        if each.new_section is not None and not names.isdisjoint(_names(each)):
            names |= _names(each)
    return names


def _not_undone(changes: Iterable[Change]) -> Iterator[Change]:
    undone = set[str | None]()
    for each in changes:
        if each.token not in undone:
            undone.add(each.undoes)
            yield each


def _is_in_the_way(later: Change, change: Change, names: set[str]) -> bool:
    if later.effect != "changed":
        return not _names(later).isdisjoint(_names(change))
    items = later.items
    if _origin(later) in _EVERYWHERE and not items.isdisjoint(change.removed):
        return True
    return (
        change.effect == "changed"
        and not items.isdisjoint(change.items)
        # What is called otherwise since would be two.
        and (_origin(change) in _RENAMING or not names.isdisjoint(later.sections))
    )


def _names(change: Change) -> set[str]:
    new = () if change.new_section is None else (change.new_section,)
    return {*change.sections, *new}


def _items_after(
    names: set[str], items: frozenset[str], changes: Sequence[Change]
) -> frozenset[str]:
    """Return what *items* of a section of these *names* have become, the latest change first."""
    for each in reversed(changes):
        if names.isdisjoint(each.kept_removed):
            items -= each.removed
        items |= each.added
    return items


def _origin(change: Change) -> str:
    return change.undone_operation or change.operation


def _in_the_way(change: Change, later: Change) -> UndoRefused:
    return _refused(change, f"in its way is {_told(later)}. Undo that first", later)


def _refused(change: Change, reason: str, later: Change | None = None) -> UndoRefused:
    return UndoRefused(f"Not undone: {_told(change)}; {reason}. Nothing was written.", later)


def _told(change: Change) -> str:
    """Return what *change* was, for people to read: who, when, what, and its token."""
    who = "somebody" if change.by is None else described(change.by)
    when = change.at.astimezone().isoformat(timespec="seconds")
    which = "section" if len(change.sections) == 1 else "sections"
    renamed = "" if change.new_section is None else f" to {described(change.new_section)}"
    parts = ((change.removed, "removed"), (change.added, "added"))
    items = "".join(f", {some(names)} {what}" for names, what in parts if names)
    return (
        f"{change.operation} ({which} {some(change.sections)}{renamed}{items}) by {who} at {when}, "
        f"change {short(change.token)}"
    )


def not_in_history(change: Change, where: object) -> NotInHistory:
    """Return the error that says that *change* is not in the history of *where*."""
    return NotInHistory(
        f"Change {short(change.token)} is not in the history of {where}: it is of another source, "
        "or so long ago that it is not kept any more. Make the opposite change yourself. "
        "Nothing was written."
    )


def half_of_group(change: Change) -> UndoRefused:
    """Return the error that says that *change* is not for one adapter to undo."""
    return _refused(
        change,
        "the group and its permissions have changed together. Undo it with the pair of both "
        "adapters: Adapters(groups, permissions).undo(change)",
    )


def no_one_step(change: Change) -> UndoRefused:
    """Return the error that says that *change* cannot be undone in both sources at once."""
    return _refused(
        change,
        "the group and its permissions have changed together, and here that is not possible: it "
        "takes adapters of one client, both with a namespace, and a user who may write to both "
        "databases. Undo it with such",
    )


def keeps_none(where: object) -> UndoRefused:
    """Return the error that says that the adapter of *where* notes nothing."""
    return UndoRefused(
        f"An adapter with history=0 undoes nothing, for nobody would know that it is undone "
        f"({where}). Use one that keeps a history. Nothing was written."
    )


def others_are_writing(change: Change, where: object) -> SourceError:
    """Return the error that says that there was no moment to undo *change* in."""
    return SourceError(
        f"Not undone: change {short(change.token)}; others are writing all the time to {where}, so "
        "what is later was never known. Try again. Nothing was written.",
        written=False,
    )


def refusal_of(token: str, reply: Sequence[bytes]) -> AdapterError | None:
    """Return what the script has refused with, or `None` where *reply* is no word of it."""
    match reply:
        case [b"gone on"]:
            return GoneOn()
        case [b"permissions differ", group, *permissions]:
            problem, advice = _permissions_differ(decode(group), list(map(decode, permissions)))
        case [word, *names] if word in _DIFFERENCES:
            problem = _DIFFERENCES[word].format(*(described(decode(name)) for name in names))
            advice = (
                "The history does not say why: somebody has written without it, as adapters with "
                "history=0 do. Put that right, or make the opposite change yourself"
            )
        case _:
            return None
    return UndoRefused(
        f"Not undone: change {short(token)}; {problem}. {advice}. Nothing was written."
    )


def _permissions_differ(group: str, permissions: Sequence[str]) -> tuple[str, str]:
    return (
        f"{described(group)} was granted or lost permissions since: {some(permissions)}",
        "Undo that first. The history of the permissions has it, unless somebody has written "
        "without it",
    )


def latest_first(
    of_groups: Iterable[Change], of_permissions: Iterable[Change]
) -> list[tuple[str, Change]]:
    """Return the changes of both sources, each list of which is the latest first, as one such.

    Each change is in it once, with whose it is: ``groups`` if it is of both. What either source has
    after it is before it here, also where their times are the same, or those of two clocks.
    """
    left = {"groups": deque(of_groups), "permissions": deque(of_permissions)}
    groups, permissions = left.values()
    tokens = {each.token for each in groups} & {each.token for each in permissions}
    merged = []
    while groups or permissions:
        heads = {kind: changes[0] for kind, changes in left.items() if changes}
        if len({each.token for each in heads.values()}) < len(heads):
            permissions.popleft()
            kind = "groups"
        else:
            # Of one that is in both, until it is the first in both.
            single = [kind for kind, each in heads.items() if each.token not in tokens]
            kind = max(single or heads, key=lambda each: heads[each].at)
        merged.append((kind, left[kind].popleft()))
    return merged
