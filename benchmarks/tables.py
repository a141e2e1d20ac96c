"""The tables of TurboGears' quickstart, with the data of an organisation in them."""

from collections.abc import Callable

from sqlalchemy import Column, Engine, ForeignKey, Table, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from .organisation import Organisation


class Base(DeclarativeBase):
    """What all of them are of."""


memberships = Table(
    "tg_user_group",
    Base.metadata,
    Column("user_id", ForeignKey("tg_user.user_id"), primary_key=True),
    Column("group_id", ForeignKey("tg_group.group_id"), primary_key=True),
)
grants = Table(
    "tg_group_permission",
    Base.metadata,
    Column("group_id", ForeignKey("tg_group.group_id"), primary_key=True),
    Column("permission_id", ForeignKey("tg_permission.permission_id"), primary_key=True),
)


class Permission(Base):
    """What a group may have."""

    __tablename__ = "tg_permission"
    permission_id: Mapped[int] = mapped_column(primary_key=True)
    permission_name: Mapped[str] = mapped_column(unique=True)


class Group(Base):
    """What a user may be in."""

    __tablename__ = "tg_group"
    group_id: Mapped[int] = mapped_column(primary_key=True)
    group_name: Mapped[str] = mapped_column(unique=True)
    permissions: Mapped[list[Permission]] = relationship(secondary=grants)


class User(Base):
    """Who asks."""

    __tablename__ = "tg_user"
    user_id: Mapped[int] = mapped_column(primary_key=True)
    user_name: Mapped[str] = mapped_column(unique=True)
    groups: Mapped[list[Group]] = relationship(secondary=memberships)


def fill(engine: Engine, organisation: Organisation) -> None:
    """Make the tables anew, with all that *organisation* has."""
    users, groups, permissions = numbers(organisation)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for table, kind, numbered in (
            (User, "user", users),
            (Group, "group", groups),
            (Permission, "permission", permissions),
        ):
            rows = [
                {f"{kind}_id": number, f"{kind}_name": name} for name, number in numbered.items()
            ]
            connection.execute(insert(table), rows)
        connection.execute(
            insert(memberships),
            [
                {"user_id": users[user], "group_id": groups[group]}
                for user, group in organisation.memberships
            ],
        )
        connection.execute(
            insert(grants),
            [
                {"group_id": groups[group], "permission_id": permissions[permission]}
                for group, permission in organisation.grants
            ],
        )


def numbers(organisation: Organisation) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return a number for each user, for each group and for each permission."""
    users = {user for user, _ in organisation.memberships}
    groups = set(organisation.users) | {group for group, _ in organisation.grants}
    users_numbered, groups_numbered, permissions_numbered = (
        {name: number for number, name in enumerate(sorted(names), 1)}
        for names in (users, groups, organisation.groups)
    )
    return users_numbered, groups_numbered, permissions_numbered


def objects_of(engine: Engine) -> Callable[[str], tuple[set[str], set[str]]]:
    """Return what finds a user's groups and permissions as an application of TurboGears does.

    That is in a session per request, with objects that fetch what they belong to when it is wanted.
    """

    def ask(user_name: str) -> tuple[set[str], set[str]]:
        with Session(engine) as session:
            user = session.scalars(select(User).where(User.user_name == user_name)).one()
            groups = {group.group_name: group for group in user.groups}
            return set(groups), {
                permission.permission_name
                for group in groups.values()
                for permission in group.permissions
            }

    return ask
