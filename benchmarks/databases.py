"""The data of an organisation in databases, and how an application asks these.

Joins by hand are over two tables of names, which is as fast as we could make it, and over the
tables of TurboGears' quickstart, which have a number for each name; SQLAlchemy has the latter.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import BindParameter, Engine, bindparam, create_engine, select

from . import tables
from .organisation import Organisation
from .peer import Peer
from .postgresql import PostgreSQL

_TABLES = {
    "memberships": ("user_name", "group_name"),
    "grants": ("group_name", "permission_name"),
}
# A user's groups, each with each of its permissions. With `distinct`, or as two lists in one row,
# PostgreSQL took longer to answer than it takes here to make sets of this, for all organisations.
_BOTH = (
    "select group_name, permission_name from memberships left join grants using (group_name)"
    " where user_name = {0}"
)
_HAS = (
    "select exists (select 1 from memberships join grants using (group_name)"
    " where user_name = {0} and permission_name = {0})"
)
_BOTH_BY_NUMBER = (
    "select group_name, permission_name from tg_user join tg_user_group using (user_id)"
    " join tg_group using (group_id) left join tg_group_permission using (group_id)"
    " left join tg_permission using (permission_id) where user_name = {0}"
)
_HAS_BY_NUMBER = (
    "select exists (select 1 from tg_user join tg_user_group using (user_id)"
    " join tg_group_permission using (group_id) join tg_permission using (permission_id)"
    " where user_name = {0} and permission_name = {0})"
)


def fill_postgresql(postgresql: PostgreSQL, organisation: Organisation) -> None:
    """Put the data of *organisation* in the place of all that is there."""
    with closing(postgresql.connect()) as connection, connection.cursor() as cursor:
        for name, rows in _rows(organisation):
            cursor.execute(f"drop table if exists {name}")
            cursor.execute(_definition(name))
            with cursor.copy(f"copy {name} from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
        engine = create_engine(postgresql.url)
        tables.fill(engine, organisation)
        engine.dispose()
        # Without it, it would guess how many rows there are, and plan for these.
        cursor.execute("vacuum analyze")


@contextmanager
def postgresql_peers(postgresql: PostgreSQL) -> Iterator[list[Peer]]:
    """Yield what asks *postgresql*, which has been filled."""
    core = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    orm = create_engine(postgresql.url)
    with closing(postgresql.connect()) as connection:
        try:
            yield [
                _psycopg("PostgreSQL, psycopg, one join", connection, _BOTH, _HAS),
                _psycopg(
                    "PostgreSQL, psycopg, the quickstart's tables",
                    connection,
                    _BOTH_BY_NUMBER,
                    _HAS_BY_NUMBER,
                ),
                _core("PostgreSQL, SQLAlchemy Core, autocommit", core),
                Peer("PostgreSQL, SQLAlchemy ORM", tables.objects_of(orm), None),
            ]
        finally:
            for engine in (core, orm):
                engine.dispose()


@contextmanager
def sqlite_peers(organisation: Organisation, folder: Path) -> Iterator[list[Peer]]:
    """Yield what asks SQLite in memory, and in *folder*, where other processes can, too."""
    both, has = _BOTH.format("?"), _HAS.format("?")

    def peer(name: str, connection: sqlite3.Connection) -> Peer:
        connection.execute("pragma journal_mode = wal")
        for table, rows in _rows(organisation):
            connection.execute(_definition(table))
            connection.executemany(f"insert into {table} values (?, ?)", rows)  # noqa: S608 - ours
        connection.execute("analyze")
        connection.commit()

        def request(user: str) -> tuple[set[str], set[str]]:
            return _apart(connection.execute(both, (user,)).fetchall())

        def can(user: str, permission: str) -> bool:
            return bool(connection.execute(has, (user, permission)).fetchone()[0])

        return Peer(name, request, can)

    with (
        closing(sqlite3.connect(":memory:")) as in_memory,
        closing(sqlite3.connect(folder / "organisation")) as on_disk,
    ):
        yield [
            peer("SQLite in memory, one join", in_memory),
            peer("SQLite on disk, one join", on_disk),
        ]


def _rows(organisation: Organisation) -> Iterable[tuple[str, Iterable[tuple[str, str]]]]:
    # In the order of the key, as a table is after it was last reorganised.
    yield "memberships", sorted(set(organisation.memberships))
    yield "grants", sorted(set(organisation.grants))


def _definition(name: str) -> str:
    first, second = _TABLES[name]
    return (
        f"create table {name}"
        f" ({first} text not null, {second} text not null, primary key ({first}, {second}))"
    )


def _apart(rows: Iterable[tuple[str, str | None]]) -> tuple[set[str], set[str]]:
    groups = {group for group, _ in rows}
    permissions = {permission for _, permission in rows if permission is not None}
    return groups, permissions


def _psycopg(name: str, connection: psycopg.Connection, both: str, has: str) -> Peer:
    # As bytes, so that the type checker knows that no question is made of what a user says.
    both_of, has_of = both.format("%s").encode(), has.format("%s").encode()
    cursor = connection.cursor(binary=True)

    def request(user: str) -> tuple[set[str], set[str]]:
        return _apart(cursor.execute(both_of, (user,), prepare=True).fetchall())

    def can(user: str, permission: str) -> bool:
        row = cursor.execute(has_of, (user, permission), prepare=True).fetchone()
        return bool(row and row[0])

    return Peer(name, request, can)


def _core(name: str, engine: Engine) -> Peer:
    """Return what asks at once, without objects, and as a transaction of its own."""
    user_name: BindParameter[str] = bindparam("user_name")
    permission_name: BindParameter[str] = bindparam("permission_name")
    members = tables.memberships.join(tables.User).join(tables.Group)
    both = (
        select(tables.Group.group_name, tables.Permission.permission_name)
        .select_from(members.outerjoin(tables.grants).outerjoin(tables.Permission))
        .where(tables.User.user_name == user_name)
    )
    has = select(
        select(tables.Permission.permission_id)
        .select_from(members.join(tables.grants).join(tables.Permission))
        .where(tables.User.user_name == user_name)
        .where(tables.Permission.permission_name == permission_name)
        .exists()
    )

    def request(user: str) -> tuple[set[str], set[str]]:
        with engine.connect() as connection:
            return _apart(connection.execute(both, {"user_name": user}).tuples().all())

    def can(user: str, permission: str) -> bool:
        with engine.connect() as connection:
            names = {"user_name": user, "permission_name": permission}
            return bool(connection.scalar(has, names))

    return Peer(name, request, can)
