"""What the history of a source tells: one change of it after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from .names import decode
from .times import milliseconds_of, time_of

# Where there is no end.
_FOR_GOOD = "-"
# Of changes of a few names each, as many as take the server some milliseconds.
_FEWEST_CHANGES_AT_A_TIME, _MOST_CHANGES_AT_A_TIME = 10, 1000
# A page of them that is longer is followed by one of fewer.
_LONG_PAGE = 256 * 1024
# Of the operations of which the entry does not say it.
_EFFECTS = {b"create_section": "created", b"delete_section": "deleted"}
# As history.lua counts them.
_BYTES_OF_ENTRY = 200
# What only some entries have.
_WITHOUT_MORE = dict.fromkeys(
    (
        *(b"ends", b"ends_before", b"had_added", b"kept_removed", b"is_joint", b"is_final"),
        *(b"effect", b"undoes", b"undone_operation"),
    ),
    b"",
)
# These are about an item in its sections: by these they say when it ends.
_OF_AN_ITEM = frozenset(("remove_item", "rename_item", "rename_group", "delete_group"))

Entry: TypeAlias = tuple[bytes, list[bytes]]
"""An entry of the stream: its id, and its fields with their values in turn."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a source, as its history has it."""

    token: str
    """What tells it from all others."""
    at: datetime
    """When it was made, by the clock of the server."""
    operation: str
    """The method that made it, such as ``include_items``."""
    sections: tuple[str, ...]
    """The sections that it changed, in order: several only where an item was renamed or removed."""
    new_section: str | None
    """What the section is called since, where it was renamed."""
    added: frozenset[str]
    """The items that were put into each of `sections`."""
    removed: frozenset[str]
    """The items that were taken out of each of `sections`, or went with it."""
    by: str | None
    """Who made it; `None` where nobody had said so. See `repoze.what.acting`."""
    note: str | None
    """What was said of it."""
    until: Mapping[str, datetime | None] = field(default_factory=dict, hash=False)
    """When those end that were added or removed, or set anew, for a time. By item; where an item
    was renamed or removed, by section. `None` is that it is for good since."""
    until_before: Mapping[str, datetime | None] = field(default_factory=dict, hash=False)
    """What that was, where it was set anew; otherwise there is nothing in it."""
    effect: str = "changed"
    """What became of `sections`: they were ``created`` with the items in `added`, ``deleted`` with
    those in `removed`, ``renamed``, or ``changed`` in their items."""
    had_added: frozenset[str] = frozenset()
    """Those of `sections` that had before what was added: a renamed item its new name."""
    kept_removed: frozenset[str] = frozenset()
    """Those of `sections` that kept what was removed, as where such a renaming is undone."""
    is_joint: bool = False
    """Whether the source beside it was changed with it, under the same token."""
    is_final: bool = False
    """Whether nothing can undo it: of two times that an item was in for, the longer one stayed."""
    undoes: str | None = None
    """The token of the change that it undoes, where it is an ``undo``."""
    undone_operation: str | None = None
    """The operation of that change; of an undo that is undone, the one which that undoes."""

    @property
    def section(self) -> str | None:
        """The section that it changed; `None` where it changed several."""
        return self.sections[0] if len(self.sections) == 1 else None

    @property
    def items(self) -> frozenset[str]:
        """The items that it added or removed, or whose end it set."""
        return self.added | self.removed | self.until_before.keys()

    @property
    def is_of_item(self) -> bool:
        """Whether it is about an item in its sections, so that `until` is by section."""
        return (self.undone_operation or self.operation) in _OF_AN_ITEM

    def concerns(self, section: str | None, item: str | None, by: str | None) -> bool:
        """Whether it is about that section and that item, and made by that user; `None` is any."""
        return (
            (section is None or section in self.sections or section == self.new_section)
            and (item is None or item in self.items)
            and (by is None or by == self.by)
        )


def change_of(entry_id: bytes, fields: Sequence[bytes]) -> Change | None:
    """Return the change that an entry of the stream tells of; `None` where it is none of ours."""
    told = _WITHOUT_MORE | dict(_pairs(fields))
    try:
        return Change(
            token=decode(told[b"token"]),
            at=_time_of(entry_id),
            operation=decode(told[b"operation"]),
            sections=tuple(sorted(_unpacked(told[b"sections"]))),
            new_section=_text(told, b"new_section"),
            added=frozenset(_unpacked(told[b"added"])),
            removed=frozenset(_unpacked(told[b"removed"])),
            until=_ends(told[b"ends"]),
            until_before=_ends(told[b"ends_before"]),
            by=_text(told, b"by"),
            note=_text(told, b"note"),
            effect=_effect_of(told),
            had_added=frozenset(_unpacked(told[b"had_added"])),
            kept_removed=frozenset(_unpacked(told[b"kept_removed"])),
            is_joint=bool(told[b"is_joint"]),
            is_final=bool(told[b"is_final"]),
            undoes=_text(told, b"undoes"),
            undone_operation=_text(told, b"undone_operation"),
        )
    except (KeyError, ValueError):
        return None


def _text(told: Mapping[bytes, bytes], name: bytes) -> str | None:
    return decode(told[name]) or None


def _ends(text: bytes) -> dict[str, datetime | None]:
    names = _unpacked(text)
    return {
        name: None if end == _FOR_GOOD else time_of(int(end))
        for name, end in zip(names[::2], names[1::2], strict=True)
    }


def _effect_of(told: Mapping[bytes, bytes]) -> str:
    effect = _text(told, b"effect")
    if effect is None:
        default = "renamed" if told[b"new_section"] else "changed"
        return _EFFECTS.get(told[b"operation"], default)
    if effect not in {"created", "deleted", "renamed", "changed"}:
        raise ValueError(f"nothing becomes {effect} here")
    return effect


def _unpacked(text: bytes) -> list[str]:
    """Return the names that ``history.lua`` has packed."""
    lengths, _, names = text.partition(b"\n")
    found, start = [], 0
    for length in map(int, lengths.split()):
        end = start + length
        if not start < end <= len(names):
            raise ValueError(f"no name of {length} bytes is there")
        found.append(decode(names[start:end]))
        start = end
    if start < len(names):
        raise ValueError(f"{len(names) - start} bytes are left")
    return found


def _time_of(entry_id: bytes) -> datetime:
    milliseconds, _, _ = entry_id.partition(b"-")
    # It may be not the clock's, but an id that somebody has given.
    return time_of(int(milliseconds))


def first_id_at(when: datetime) -> bytes | None:
    """Return the first id that an entry of that time, or a later one, has; `None` is each."""
    milliseconds = milliseconds_of(when)
    return b"%d-0" % milliseconds if milliseconds > 0 else None


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry of the stream, as it was read."""

    entry_id: bytes
    change: Change | None
    """What it tells of; `None` where that is none of our changes."""
    size: int
    total: float
    """The size of all up to this one, as it says."""

    def follows(self, other: "Noted") -> bool:
        """Whether no entry has been between *other* and this one, by what they say of the size."""
        return self.total == other.total + self.size


def noted(entry: Entry) -> Noted:
    """Return what there is to know of *entry*."""
    values = (value for name, value in _pairs(entry[1]) if name != b"total")
    return Noted(
        entry[0], change_of(*entry), _BYTES_OF_ENTRY + sum(map(len, values)), _total_of(entry)
    )


def _pairs(fields: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    texts = iter(fields)
    return zip(texts, texts, strict=False)


def _total_of(entry: Entry) -> float:
    try:
        return float(dict(_pairs(entry[1])).get(b"total", 0))
    except ValueError:
        return 0


def pages_of_entries(
    read: Callable[[bytes, bytes, int], list[Entry]], first: bytes, last: bytes
) -> Iterator[list[Entry]]:
    """Yield the entries from *first* to *last* in pages, the latest first.

    :param read: what returns so many of the latest from one id to another.
    """
    count = _FEWEST_CHANGES_AT_A_TIME
    while True:
        entries = read(first, last, count)
        yield entries
        if len(entries) < count:
            return
        last = b"(" + entries[-1][0]
        length = sum(len(text) for _, fields in entries for text in fields)
        wanted = count * 2 if length < _LONG_PAGE else count // 2
        count = min(max(wanted, _FEWEST_CHANGES_AT_A_TIME), _MOST_CHANGES_AT_A_TIME)


class Reading:
    """What has been read of a history, from the latest entry on.

    What is undone after another change needs to read no more than what has come since, and what
    is older than that.
    """

    def __init__(self) -> None:
        self._noted: list[Noted] = []

    def entries(
        self, read: Callable[[bytes, bytes, int], list[Entry]], first: bytes
    ) -> Iterator[Noted]:
        """Yield the entries from *first* on, the latest first, and those of before that are known.

        :param read: as `pages_of_entries` has it.
        """
        self._noted = self._since_the_latest(read) + self._noted
        known = list(self._noted)
        yield from known
        last = b"(" + known[-1].entry_id if known else b"+"
        for page in pages_of_entries(read, first, last):
            found = list(map(noted, page))
            self._noted += found
            yield from found

    def forget(self) -> None:
        """Let nothing be known: it may be of what is not there any more."""
        self._noted = []

    def _since_the_latest(self, read: Callable[[bytes, bytes, int], list[Entry]]) -> list[Noted]:
        """Return what has come; where the latest one is not there any more, nothing is known."""
        if not self._noted:
            return []
        latest = self._noted[0]
        since = [
            noted(entry) for page in pages_of_entries(read, latest.entry_id, b"+") for entry in page
        ]
        if since and since[-1] == latest:
            return since[:-1]
        self.forget()
        return []
