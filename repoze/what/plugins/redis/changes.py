"""What the history of a source tells: one change of it after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from .names import decode
from .times import milliseconds_of, time_of

# Where there is no end.
_FOR_GOOD = "-"


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
    until: Mapping[str, datetime | None]
    """When those end that were added or removed, or set anew, for a time. By item; where an item
    was renamed or removed, by section. `None` is that it is for good since."""
    until_before: Mapping[str, datetime | None]
    """What that was, where it was set anew; otherwise there is nothing in it."""
    by: str | None
    """Who made it; `None` where nobody had said so. See `repoze.what.acting`."""
    note: str | None
    """What was said of it."""

    @property
    def section(self) -> str | None:
        """The section that it changed; `None` where it changed several."""
        return self.sections[0] if len(self.sections) == 1 else None

    def concerns(self, section: str | None, item: str | None, by: str | None) -> bool:
        """Whether it is about that section and that item, and made by that user; `None` is any."""
        return (
            (section is None or section in self.sections or section == self.new_section)
            and (
                item is None
                or item in self.added
                or item in self.removed
                or item in self.until_before
            )
            and (by is None or by == self.by)
        )


def change_of(entry_id: bytes, fields: Sequence[bytes]) -> Change | None:
    """Return the change that an entry of the stream tells of; `None` where it is none of ours."""
    pairs = iter(fields)
    told = dict(zip(pairs, pairs, strict=False))
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
