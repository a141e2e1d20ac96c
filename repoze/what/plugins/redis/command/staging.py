"""What is to be imported, sorted and each named once, in a temporary file.

So all of it has been read, and found to make sense, before anything is written; and however much it
is, and in whatever order, it takes no more memory.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import SEEK_END
from typing import IO

from more_itertools import chunked

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.names import Name, decode, described, encode_for_write

from .failures import Failure
from .output import Bar, progress

Entry = tuple[str, Name, Name | None]
"""One of `KINDS`, the name of a section, and an item of it, or `None` for the section alone."""

_ENTRIES_AT_A_TIME = 1000
_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -8192;
    CREATE TABLE sections (kind, section, PRIMARY KEY (kind, section)) WITHOUT ROWID;
    CREATE TABLE items (kind, section, item, PRIMARY KEY (kind, section, item)) WITHOUT ROWID;
"""


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

        :raises Failure: where it makes no sense, has a section twice, or a name that can be none.
        :raises OSError: where it cannot be read.
        """
        try:
            with progress("reading", source.length) as bar:
                self._add(source, bar)
        except (Failure, SourceError) as error:
            raise Failure(f"{source.name}: {error}") from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, source.name) from error

    def _add(self, source: Input, bar: Bar) -> None:
        position = 0
        for entries in chunked(source.entries, _ENTRIES_AT_A_TIME):
            for kind, section, item in entries:
                if item is None:
                    self._add_section(kind, section)
            self._database.executemany(
                "INSERT OR IGNORE INTO items VALUES (?, ?, ?)",
                (
                    (kind, encode_for_write(section), encode_for_write(item))
                    for kind, section, item in entries
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
