"""What is to be imported, sorted and each named once, in a temporary file.

So all of it has been read, and found to make sense, before anything is written; and however much it
is, and in whatever order, it takes no more memory.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import SEEK_END
from itertools import groupby, islice
from operator import itemgetter
from typing import IO, NamedTuple

from more_itertools import chunked

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.names import Name, decode, described, encode_for_write
from repoze.what.plugins.redis.times import ending_of, time_of

from .failures import Failure
from .output import Bar, progress


class Entry(NamedTuple):
    """A section, or an item of it."""

    kind: str
    """One of `KINDS`."""
    section: Name
    item: Name | None = None
    """`None` is the section alone."""
    until: datetime | None = None
    """When the item is out of it; `None` is that it is in it for good."""


_ENTRIES_AT_A_TIME = 1000
_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -8192;
    CREATE TABLE sections (kind, section, PRIMARY KEY (kind, section)) WITHOUT ROWID;
    CREATE TABLE items
        (kind, section, item, ending, is_unclear, PRIMARY KEY (kind, section, item)) WITHOUT ROWID;
"""
_ADD = """
    INSERT INTO items VALUES (?, ?, ?, ?, 0) ON CONFLICT (kind, section, item)
        DO UPDATE SET is_unclear = 1 WHERE ending IS NOT excluded.ending
"""
_SHOWN = 5


@dataclass(frozen=True)
class Input:
    """Something to import.

    :param name: what errors call it.
    :param entries: what is in it, each section before its items. Reading it raises `Failure` where
        it makes no sense.
    :param length: how long it is, where that is known, in whatever *position* counts.
    :param position: returns how far it has been read.
    """

    name: str
    entries: Iterator[Entry]
    length: int | None
    position: Callable[[], int]


def file_input(path: str, file: IO[bytes], entries: Iterator[Entry]) -> Input:
    """Return what is in *file*, which is opened, with its *entries*.

    :param path: the name of it; ``-`` is the standard input.
    :raises OSError: where it cannot be read.
    """
    name = "standard input" if path == "-" else path
    if not file.seekable():
        return Input(name, entries, None, lambda: 0)
    try:
        # Of the standard input, somebody else may have read a part.
        start = file.tell()
        length = file.seek(0, SEEK_END) - start
        file.seek(start)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error
    return Input(name, entries, length, lambda: file.tell() - start)


class Stage:
    """Sections and items in a temporary file. Names are bytes, as the server has them."""

    def __init__(self, database: sqlite3.Connection) -> None:
        database.executescript(_SCHEMA)
        self._database = database

    def add(self, source: Input) -> None:
        """Add what is in *source*, and show how far it is.

        :raises Failure: where it makes no sense, has a section twice, an item until two times, one
            that ends of a section that it does not have, or a name that can be none.
        :raises OSError: where it cannot be read.
        """
        try:
            with progress("reading", source.length) as bar:
                self._add(source, bar)
            self._refuse_unclear()
        except (Failure, SourceError) as error:
            raise Failure(f"{source.name}: {error}") from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, source.name) from error

    def _add(self, source: Input, bar: Bar) -> None:
        position = 0
        for entries in chunked(source.entries, _ENTRIES_AT_A_TIME):
            for kind, section, item, _ in entries:
                if item is None:
                    self._add_section(kind, section)
            self._database.executemany(
                _ADD,
                (
                    (
                        *(kind, encode_for_write(section), encode_for_write(item)),
                        None if until is None else ending_of(until),
                    )
                    for kind, section, item, until in entries
                    if item is not None
                ),
            )
            reached = source.position()
            bar.update(reached - position)
            position = reached

    def _add_section(self, kind: str, section: Name) -> None:
        added = self._database.execute(
            "INSERT OR IGNORE INTO sections VALUES (?, ?)", (kind, encode_for_write(section))
        )
        if not added.rowcount:
            # Which of the two is meant? Together they would be more than either.
            name = decode(encode_for_write(section))
            raise Failure(f"{described(name)} comes twice among the {kind}.")

    def _refuse_unclear(self) -> None:
        for kind, section, item in self._database.execute(
            "SELECT kind, section, item FROM items WHERE is_unclear LIMIT 1"
        ):
            raise Failure(
                f"{described(decode(item))} is in {described(decode(section))} of the {kind} until "
                "more than one time, or for good as well."
            )
        for kind, section in self._database.execute(
            "SELECT kind, section FROM items WHERE ending IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM sections WHERE sections.kind = items.kind "
            "AND sections.section = items.section) LIMIT 1"
        ):
            raise Failure(
                f"until: {described(decode(section))} is not among the {kind}. Write it there, too."
            )

    def ends(self, kind: str) -> int:
        """Return how many items of a kind there are that end."""
        (found,) = self._database.execute(
            "SELECT COUNT(*) FROM items WHERE kind = ? AND ending IS NOT NULL", (kind,)
        ).fetchone()
        return int(found)

    def leave_out_what_ends(self, kind: str, *, before: datetime | None = None) -> list[str]:
        """Forget the items of a kind that end, and return in words which these were.

        :param before: only those that end until then; `None` is all of them.
        """
        which = "kind = ? AND ending IS NOT NULL AND ending <= ?"
        values = kind, ending_of(datetime.max.replace(tzinfo=UTC) if before is None else before)
        found = self._database.execute(
            f"SELECT section, item FROM items WHERE {which} ORDER BY section, item",  # noqa: S608
            values,
        )
        left_out = [
            f"{described(decode(item))} in {described(decode(section))}"
            for section, item in islice(found, _SHOWN)
        ]
        more = sum(1 for _ in found)
        if more:
            left_out.append(f"{more:,} more")
        self._database.execute(f"DELETE FROM items WHERE {which}", values)  # noqa: S608
        return left_out

    @property
    def length(self) -> int:
        """How many sections and items there are."""
        (found,) = self._database.execute(
            "SELECT (SELECT COUNT(*) FROM sections) + (SELECT COUNT(*) FROM items)"
        ).fetchone()
        return int(found)

    def sections(self, kind: str) -> Iterator[tuple[bytes, int]]:
        """Return the sections of a kind, each with the number of its items."""
        yield from self._database.execute(
            "SELECT section, (SELECT COUNT(*) FROM items WHERE items.kind = sections.kind "
            "AND items.section = sections.section) FROM sections WHERE kind = ? ORDER BY section",
            (kind,),
        )

    def items(self, kind: str, section: bytes, at_a_time: int) -> Iterator[list[bytes]]:
        """Return the items of a section, so many at a time."""
        found = self._database.execute(
            "SELECT item FROM items WHERE kind = ? AND section = ? ORDER BY item", (kind, section)
        )
        while page := found.fetchmany(at_a_time):
            yield [item for (item,) in page]

    def items_until(
        self, kind: str, section: bytes, at_a_time: int
    ) -> Iterator[tuple[datetime | None, list[bytes]]]:
        """Return the items of a section, so many at a time, with when these end."""
        found = self._database.execute(
            "SELECT ending, item FROM items WHERE kind = ? AND section = ? ORDER BY ending, item",
            (kind, section),
        )
        for ending, rows in groupby(found, itemgetter(0)):
            for page in chunked((item for _, item in rows), at_a_time):
                yield None if ending is None else time_of(ending), page

    def groups_only_granted(self) -> Iterator[bytes]:
        """Return the groups that permissions are granted to, and that are not staged themselves."""
        found = self._database.execute(
            "SELECT DISTINCT item FROM items WHERE kind = 'permissions' AND NOT EXISTS (SELECT 1 "
            "FROM sections WHERE sections.kind = 'groups' AND section = item)"
        )
        return (group for (group,) in found)

    def groups_granted(self) -> Iterator[bytes]:
        """Return what permissions are granted to."""
        found = self._database.execute("SELECT DISTINCT item FROM items WHERE kind = 'permissions'")
        return (group for (group,) in found)

    def grants(self, permission: str, group: str) -> bool:
        """Return whether *permission* is granted to *group*."""
        return self.has("permissions", encode_for_write(permission), encode_for_write(group))

    def has(self, kind: str, section: bytes, item: bytes) -> bool:
        """Return whether a section has an item."""
        found = self._database.execute(
            "SELECT 1 FROM items WHERE kind = ? AND section = ? AND item = ?", (kind, section, item)
        )
        return found.fetchone() is not None


@contextmanager
def temporary_database() -> Iterator[sqlite3.Connection]:
    """Make an empty database, and remove its file in the end."""
    # The name is for a file that SQLite makes where temporary files go, and that nobody else sees.
    with closing(sqlite3.connect("")) as database:
        yield database
