"""Both sources in the tables of a TurboGears quickstart, on any database that SQLAlchemy knows.

The tables are ``tg_group``, ``tg_permission`` and ``tg_user``, and ``tg_user_group`` and
``tg_group_permission``, which associate them. They are the application's: none is made here, and no
user. The id of a user is the ``user_name``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import ENOENT
from itertools import chain
from math import inf
from os import strerror
from pathlib import Path
from typing import Any

from more_itertools import chunked
from sqlalchemy import (
    URL,
    Column,
    Connection,
    MetaData,
    Select,
    Table,
    create_engine,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import asbool

from repoze.what.plugins.redis.names import described, some

from .exporting import Sections
from .failures import Failure
from .sources import KINDS
from .staging import Entry, Input
from .summaries import Summary, in_conflict

# What a quickstart calls a section, an item, and the table that associates them.
_NAMES = {
    "groups": ("group", "user", "tg_user_group"),
    "permissions": ("permission", "group", "tg_group_permission"),
}
_ROWS_AT_A_TIME = 1000
_SECTIONS_AT_A_TIME = 100
# SQLite took no more than 999 values in a statement for long.
_NAMES_AT_A_TIME = 500


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Open a transaction. It is committed in the end, or taken back where anything is raised.

    :raises Failure: where the database cannot be reached, or refuses. It shows no password.
    """
    secrets: set[str] = set()
    try:
        connection = _connection(url, secrets)
        with connection, connection.begin():
            yield connection
    except SQLAlchemyError as error:
        # In full, it may show the whole statement.
        text = str(getattr(error, "orig", None) or error)
        for secret in secrets:
            text = text.replace(secret, "***")
        raise Failure(f"The database: {text}") from error


def _connection(text: str, secrets: set[str]) -> Connection:
    try:
        url = make_url(text)
        # A part of the password, where that has an & in it.
        secrets.update(
            filter(None, (url.password, *url.query, *chain(*url.normalized_query.values())))
        )
        _refuse_stray_at_sign(text)
        # It is closed when it is done with, and not kept for others.
        return create_engine(_of_file_that_is_there(url), poolclass=NullPool).connect()
    except (ArgumentError, TypeError, ValueError):
        # What is wrong with a part of it may quote the password.
        raise Failure(
            "That is no URL of a database. SQLAlchemy's are such as sqlite:///data.db, or "
            "postgresql+psycopg://user:password@host/database."
        ) from None
    except ImportError as error:
        raise Failure(
            f"The driver of that database is not installed: {error.name or error}. Install it with "
            "pip, or name another in the URL, as in postgresql+psycopg://."
        ) from error


def _refuse_stray_at_sign(text: str) -> None:
    if text.partition("://")[2].count("@") > 1:
        raise Failure(
            "The URL of the database has an @ too many: within a name or a password it is written "
            "%40."
        )


def _of_file_that_is_there(url: URL) -> URL:
    # SQLite makes a file that is not there.
    file = url.database
    if url.get_backend_name() != "sqlite" or file in {None, "", ":memory:"}:
        return url
    if file.startswith("file:") and asbool(url.query.get("uri", "false")):
        return url if "mode" in url.query else url.update_query_dict({"mode": "rw"})
    if not Path(file).exists():
        raise FileNotFoundError(ENOENT, strerror(ENOENT), file)
    return url


class _Named:
    """A table of what has ids and names: groups, permissions or users."""

    def __init__(self, connection: Connection, what: str) -> None:
        self._connection = connection
        self.table = _table(connection, f"tg_{what}")
        self.id = _column(self.table, f"{what}_id")
        self.name = _column(self.table, f"{what}_name")

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """Return the ids of *names*, without those that are not there.

        :raises Failure: where a name is there more than once: which row is meant, nobody knows.
        """
        found: dict[str, int] = {}
        for page in chunked(filter(_is_text, names), _NAMES_AT_A_TIME):
            query = select(self.name, self.id).where(self.name.in_(page))
            rows: Iterable[Any] = self._connection.execute(query)
            for name, number in rows:
                if name in found:
                    raise Failure(f"{self.table} has {described(name)} more than once.")
                found[name] = number
        return found

    def add(self, names: list[str]) -> None:
        """Add *names*, with nothing but a name."""
        longest = getattr(self.name.type, "length", None) or inf
        for name in names:
            # Some databases cut what is too long.
            if not _is_text(name) or len(name) > longest:
                raise Failure(
                    f"{self.name} cannot have the name {described(name)}: it takes text, of "
                    f"{longest} characters at most."
                )
        if names:
            self._connection.execute(
                self.table.insert(), [{self.name.name: name} for name in names]
            )


class _Source:
    """The sections of one kind, and their items, in three tables."""

    def __init__(self, connection: Connection, kind: str) -> None:
        section, item, association = _NAMES[kind]
        self._connection = connection
        self._kind = kind
        self._sections = _Named(connection, section)
        self._items = _Named(connection, item)
        self._association = _table(connection, association)
        self._section_id = _column(self._association, f"{section}_id")
        self._item_id = _column(self._association, f"{item}_id")
        self._joined = self._association.join(
            self._sections.table, self._section_id == self._sections.id
        ).join(self._items.table, self._item_id == self._items.id)

    def length(self) -> int:
        """Return the number of sections and items."""
        return sum(
            self._connection.scalars(select(func.count()).select_from(rows)).one()
            for rows in (self._sections.table, self._joined)
        )

    def entries(self) -> Iterator[Entry]:
        """Return what is there, read some rows at a time."""
        for name in self._rows(select(self._sections.name)):
            yield Entry(self._kind, name[0])
        pairs = select(self._sections.name, self._items.name).select_from(self._joined)
        for section, item in self._rows(pairs):
            if item is None:
                raise Failure(f"{described(section)} has an item whose {self._items.name} is NULL.")
            yield Entry(self._kind, section, item)

    def _rows(self, query: Select[Any]) -> Iterable[Any]:
        return self._connection.execute(query, execution_options={"yield_per": _ROWS_AT_A_TIME})

    def complete(self, sections: Sections, notes: "Notes") -> Summary:
        """Give the tables what they lack of *sections*."""
        summary = Summary()
        for page in chunked(sections, _SECTIONS_AT_A_TIME):
            self._complete_page(dict(page), summary, notes)
        return summary

    def _complete_page(self, page: dict[str, list[str]], summary: Summary, notes: "Notes") -> None:
        ids = self._sections.ids(page)
        new = [name for name in page if name not in ids]
        self._sections.add(new)
        ids |= self._sections.ids(new)
        present = self._present(ids.values())
        item_ids = self._items.ids({item for items in page.values() for item in items})
        rows = []
        for name, items in page.items():
            others = present[ids[name]].difference(items)
            if others:
                notes.conflicts.append(in_conflict(self._kind, name, len(others)))
            unknown = [item for item in items if item not in item_ids]
            if unknown:
                notes.unknown.append(
                    f"{self._kind}: {described(name)} has what is not in {self._items.table}: "
                    f"{some(unknown)}"
                )
            missing = set(items).difference(present[ids[name]], unknown)
            rows += [
                {self._section_id.name: ids[name], self._item_id.name: item_ids[item]}
                for item in sorted(missing)
            ]
            summary.count(is_new=name in new, items=len(missing))
        if rows:
            self._connection.execute(self._association.insert(), rows)

    def _present(self, section_ids: Iterable[int]) -> defaultdict[int, set[str]]:
        query = (
            select(self._section_id, self._items.name)
            .select_from(self._joined)
            .where(self._section_id.in_(section_ids))
        )
        present: defaultdict[int, set[str]] = defaultdict(set)
        for section_id, item in self._rows(query):
            present[section_id].add(item)
        return present


class _Counted(Iterator[Entry]):
    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self.number = 0

    def __next__(self) -> Entry:
        entry = next(self._entries)
        self.number += 1
        return entry


@dataclass
class Notes:
    """What an export met that somebody has to decide, in words."""

    conflicts: list[str] = field(default_factory=list)
    """Sections that have other items there."""
    unknown: list[str] = field(default_factory=list)
    """Sections with items that are not there: no users, or no groups."""


def sql_input(connection: Connection) -> Input:
    """Return what is in the tables, which are read as it is asked for."""
    sources = [_Source(connection, kind) for kind in KINDS]
    counted = _Counted(entry for source in sources for entry in source.entries())
    return Input(
        "the database", counted, sum(source.length() for source in sources), lambda: counted.number
    )


def complete_tables(
    connection: Connection, sources: Iterable[tuple[str, Sections]]
) -> tuple[dict[str, Summary], Notes]:
    """Give the tables what they lack of *sources*, and return what that was, by kind."""
    notes = Notes()
    summaries = {
        kind: _Source(connection, kind).complete(sections, notes) for kind, sections in sources
    }
    return summaries, notes


def _table(connection: Connection, name: str) -> Table:
    try:
        columns = inspect(connection).get_columns(name)
    except NoSuchTableError:
        raise Failure(
            f"The database has no table {name}: is it that of an application from a TurboGears "
            "quickstart, which has been set up?"
        ) from None
    return Table(name, MetaData(), *(Column(found["name"], found["type"]) for found in columns))


def _column(table: Table, name: str) -> Column[Any]:
    if name not in table.c:
        raise Failure(f"The table {table.name} has no column {name}, as that of a quickstart has.")
    return table.c[name]


def _is_text(name: str) -> bool:
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False
