"""What a file has that the sources do not have, and the other way round.

Both are put into a temporary file and compared there, so however much they have, it takes no more
memory than what is read of the sources at a time.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Literal

from more_itertools import chunked, peekable

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.names import decode, encode_for_write
from repoze.what.plugins.redis.times import ending_of, time_of

from .changes import Difference
from .exporting import EndingSections, sections_of
from .sources import KINDS, Sources
from .staging import Stage

Sign = Literal["+", "-", "~"]

# No name is empty: it stands for the section itself, and comes before its items.
_ITSELF = b""
_WORDS = {
    ("+", True): "created",
    ("-", True): "deleted",
    ("+", False): "added",
    ("-", False): "removed",
    ("~", False): "changed",
}
_SCHEMA = """
    CREATE TABLE there
        (kind, section, item, ending, PRIMARY KEY (kind, section, item)) WITHOUT ROWID;
    CREATE TABLE changes (
        kind, section, item, sign, ending, ending_before, PRIMARY KEY (kind, section, item)
    ) WITHOUT ROWID;
    CREATE VIEW wanted AS
        SELECT kind, section, x'' AS item, NULL AS ending FROM sections UNION ALL
        SELECT kind, section, item, ending FROM items;
"""
_WITH_OTHER_ENDS = (
    "FROM items JOIN there USING (kind, section, item) "
    "WHERE kind = ? AND items.ending IS NOT there.ending"
)


class Differences(Stage):
    """A file that is staged, and what it would change in the sources.

    :param database: an empty one.
    :param kinds: those of `KINDS` that are compared. Others are left as they are; but a group that
        goes takes along what it is permitted.
    """

    def __init__(self, database: sqlite3.Connection, kinds: Collection[str]) -> None:
        super().__init__(database)
        database.executescript(_SCHEMA)
        self.kinds = kinds

    def compare(self, sources: Sources, *, with_ends: bool) -> None:
        """Read *sources*, and find the differences. What `add` has added is the file.

        :param with_ends: whether the file says what ends, and so also that the rest does not.
        """
        for kind, adapter in sources.by_kind().items():
            self._read(kind, self._needed(kind, adapter))
        for kind in self.kinds:
            self._find(kind, "+", "wanted", "there")
            self._find(kind, "-", "there", "wanted")
            if with_ends:
                self._database.execute(
                    "INSERT INTO changes SELECT kind, section, item, '~', items.ending, "
                    f"there.ending {_WITH_OTHER_ENDS}",
                    (kind,),
                )
        if "permissions" not in self.kinds:
            self._database.execute(
                "INSERT INTO changes SELECT kind, section, item, '-', NULL, ending FROM there "
                "WHERE kind = 'permissions' AND item IN (SELECT section FROM changes "
                "WHERE kind = 'groups' AND item = x'' AND sign = '-')"
            )

    def _needed(self, kind: str, adapter: RedisAdapter) -> EndingSections:
        if kind in self.kinds or kind == "permissions":
            return sections_of(adapter, kind)
        return ((name, {}) for name in adapter.get_section_names())

    def _read(self, kind: str, sections: EndingSections) -> None:
        for section, items in sections:
            name = encode_for_write(section)
            rows = [
                (kind, name, encode_for_write(item), None if until is None else ending_of(until))
                for item, until in items.items()
            ]
            self._database.executemany(
                "INSERT INTO there VALUES (?, ?, ?, ?)", [(kind, name, _ITSELF, None), *rows]
            )

    def _find(self, kind: str, sign: Sign, these: str, others: str) -> None:
        ends = "ending, NULL" if sign == "+" else "NULL, ending"
        self._database.execute(
            f"INSERT INTO changes SELECT kind, section, item, ?, {ends} "  # noqa: S608
            f"FROM {these} WHERE kind = ? AND (section, item) IN "
            f"(SELECT section, item FROM {these} WHERE kind = ? "
            f"EXCEPT SELECT section, item FROM {others} WHERE kind = ?)",
            (sign, kind, kind, kind),
        )

    def left_for_a_time(self) -> dict[str, int]:
        """Return how many items of each kind end there, that the file has and says nothing of."""
        return {
            kind: self._database.execute(f"SELECT COUNT(*) {_WITH_OTHER_ENDS}", (kind,)).fetchone()[
                0
            ]
            for kind in self.kinds
        }

    def leave_what_would_go(self) -> dict[str, dict[str, int]]:
        """Have nothing go, and return what then stays, in numbers as `count` does."""
        stays = self.count("-")
        self._database.execute("DELETE FROM changes WHERE sign = '-'")
        return stays

    def count(self, *signs: Sign) -> dict[str, dict[str, int]]:
        """Return how many changes there are: by kind, and by what happens."""
        counts = {
            kind: {word: 0 for (sign, _), word in _WORDS.items() if sign in signs} for kind in KINDS
        }
        for kind, sign, is_section, number in self._database.execute(
            "SELECT kind, sign, item = x'', COUNT(*) FROM changes GROUP BY 1, 2, 3"
        ):
            if sign in signs:
                counts[kind][_WORDS[sign, bool(is_section)]] = number
        return counts

    def changes(self, *signs: Sign) -> Iterator[Difference]:
        """Return the changes, in the order of kinds and names."""
        for kind, section, item, sign, ending, before in self._database.execute(
            "SELECT * FROM changes ORDER BY kind, section, item"
        ):
            if sign in signs:
                is_section = item == _ITSELF
                word = _WORDS[sign, is_section]
                name = None if is_section else decode(item)
                ends = _time_of(ending), _time_of(before)
                yield Difference(kind, decode(section), word, name, *ends)

    def items_that_change(self, kind: str) -> Iterator[tuple[bytes, bytes, datetime | None]]:
        """Return the sections and items that are there until another time, and until when."""
        for section, item, ending in self._database.execute(
            "SELECT section, item, ending FROM changes WHERE kind = ? AND sign = '~' "
            "ORDER BY section, item",
            (kind,),
        ):
            yield section, item, _time_of(ending)

    def by_section(
        self, kind: str, sign: Sign, at_a_time: int
    ) -> Iterator[tuple[bytes, bool, Iterator[tuple[datetime | None, list[bytes]]]]]:
        """Return the sections that change: the name, whether it comes or goes, and its items.

        :param at_a_time: how many of its items that come or go there are in each list, which has
            before it when they end.
        """
        rows = self._database.execute(
            "SELECT section, ending, item FROM changes WHERE kind = ? AND sign = ? "
            "ORDER BY section, item = x'' DESC, ending, item",
            (kind, sign),
        )
        for section, found in groupby(rows, itemgetter(0)):
            items = peekable((ending, item) for _, ending, item in found)
            comes_or_goes = items.peek()[1] == _ITSELF
            if comes_or_goes:
                next(items)
            yield section, comes_or_goes, _pages_by_end(items, at_a_time)

    def groups(self, *signs: Sign) -> Iterator[str]:
        """Return the groups that come, or go."""
        for group, sign in self._database.execute(
            "SELECT section, sign FROM changes WHERE kind = 'groups' AND item = x'' "
            "ORDER BY section"
        ):
            if sign in signs:
                yield decode(group)

    def emptied(self) -> list[str]:
        """Return the kinds that the file has nothing of, and the sources have something."""
        return [
            kind
            for kind in self.kinds
            if next(self.sections(kind), None) is None and self.count("-")[kind]["deleted"]
        ]

    def groups_that_go_and_are_granted(self) -> set[str]:
        """Return the groups that go, and that the file still grants something to."""
        found = self._database.execute(
            "SELECT section FROM changes WHERE kind = 'groups' AND item = x'' AND sign = '-' "
            "AND section IN (SELECT item FROM items WHERE kind = 'permissions')"
        )
        return {decode(group) for (group,) in found}

    def unknown_groups(self) -> set[str]:
        """Return what the file grants permissions to and is no group, neither there nor in it."""
        return {decode(group) for group in self.groups_only_granted() if not self._is_there(group)}

    def _is_there(self, group: bytes) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM there WHERE kind = 'groups' AND section = ? AND item = x''", (group,)
        )
        return found.fetchone() is not None

    def revokes(self, permission: str, group: str) -> bool:
        """Return whether *permission* is taken from *group*."""
        found = self._database.execute(
            "SELECT 1 FROM changes WHERE kind = 'permissions' AND section = ? AND item = ? "
            "AND sign = '-'",
            (encode_for_write(permission), encode_for_write(group)),
        )
        return found.fetchone() is not None


def _pages_by_end(
    items: Iterable[tuple[int | None, bytes]], at_a_time: int
) -> Iterator[tuple[datetime | None, list[bytes]]]:
    for ending, rows in groupby(items, itemgetter(0)):
        for page in chunked(map(itemgetter(1), rows), at_a_time):
            yield _time_of(ending), page


def _time_of(ending: int | None) -> datetime | None:
    return None if ending is None else time_of(ending)
