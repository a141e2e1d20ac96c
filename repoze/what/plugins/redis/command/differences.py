"""What a file has that the sources do not have, and the other way round.

Both are put into a temporary file and compared there, so however much they have, it takes no more
memory than what is read of the sources at a time.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Literal

from more_itertools import chunked, peekable

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.names import decode, encode_for_write

from .changes import Change
from .exporting import sections_of
from .sources import KINDS, Sources
from .staging import Stage

Sign = Literal["+", "-"]

# No name is empty: it stands for the section itself, and comes before its items.
_ITSELF = b""
_WORDS = {
    ("+", True): "created",
    ("-", True): "deleted",
    ("+", False): "added",
    ("-", False): "removed",
}
_SCHEMA = """
    CREATE TABLE there (kind, section, item, PRIMARY KEY (kind, section, item)) WITHOUT ROWID;
    CREATE TABLE changes
        (kind, section, item, sign, PRIMARY KEY (kind, section, item)) WITHOUT ROWID;
    CREATE VIEW wanted AS
        SELECT kind, section, x'' AS item FROM sections UNION ALL
        SELECT kind, section, item FROM items;
"""


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

    def compare(self, sources: Sources) -> None:
        """Read *sources*, and find the differences. What `add` has added is the file."""
        for kind, adapter in sources.by_kind().items():
            self._read(kind, self._needed(kind, adapter))
        for kind in self.kinds:
            self._find(kind, "+", "wanted", "there")
            self._find(kind, "-", "there", "wanted")
        if "permissions" not in self.kinds:
            self._database.execute(
                "INSERT INTO changes SELECT kind, section, item, '-' FROM there "
                "WHERE kind = 'permissions' AND item IN (SELECT section FROM changes "
                "WHERE kind = 'groups' AND item = x'' AND sign = '-')"
            )

    def _needed(self, kind: str, adapter: RedisAdapter) -> Iterable[tuple[str, list[str]]]:
        if kind in self.kinds or kind == "permissions":
            return sections_of(adapter, kind)
        return ((name, []) for name in adapter.get_section_names())

    def _read(self, kind: str, sections: Iterable[tuple[str, list[str]]]) -> None:
        for section, items in sections:
            name = encode_for_write(section)
            rows = [(kind, name, item) for item in (_ITSELF, *map(encode_for_write, items))]
            self._database.executemany("INSERT INTO there VALUES (?, ?, ?)", rows)

    def _find(self, kind: str, sign: Sign, these: str, others: str) -> None:
        self._database.execute(
            f"INSERT INTO changes SELECT ?, section, item, ? FROM "  # noqa: S608 - names of tables
            f"(SELECT section, item FROM {these} WHERE kind = ? "
            f"EXCEPT SELECT section, item FROM {others} WHERE kind = ?)",
            (kind, sign, kind, kind),
        )

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

    def changes(self, *signs: Sign) -> Iterator[Change]:
        """Return the changes, in the order of kinds and names."""
        for kind, section, item, sign in self._database.execute(
            "SELECT kind, section, item, sign FROM changes ORDER BY kind, section, item"
        ):
            if sign in signs:
                is_section = item == _ITSELF
                word = _WORDS[sign, is_section]
                yield Change(kind, decode(section), word, None if is_section else decode(item))

    def by_section(
        self, kind: str, sign: Sign, at_a_time: int
    ) -> Iterator[tuple[bytes, bool, Iterator[list[bytes]]]]:
        """Return the sections that change: the name, whether it comes or goes, and its items.

        :param at_a_time: how many of its items that come or go there are in each list.
        """
        rows = self._database.execute(
            "SELECT section, item FROM changes WHERE kind = ? AND sign = ? ORDER BY section, item",
            (kind, sign),
        )
        for section, found in groupby(rows, itemgetter(0)):
            items = peekable(item for _, item in found)
            comes_or_goes = items.peek() == _ITSELF
            if comes_or_goes:
                next(items)
            yield section, comes_or_goes, chunked(items, at_a_time)

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
