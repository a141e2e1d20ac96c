# mypy: disable-error-code="import-untyped,import-not-found"
"""Other ways to find out who may do what, on the data of an organisation.

Each is set up as its documentation has it; of pycasbin there are several ways.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import casbin
import django
import redis
from casbin.persist.adapters import StringAdapter
from casbin_redis_adapter.adapter import Adapter as CasbinRedisAdapter
from django.conf import settings
from django.core.management import call_command
from sqlalchemy import Column, Engine, ForeignKey, Table, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from .organisation import Ask, Organisation
from .server import Server
from .sources import store

# Roles as in Casbin's manual. What is cheap to compare comes first.
_CASBIN_MODEL = """
[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && g(r.sub, p.sub)
"""
_CASBIN_DATABASE = 3


@contextmanager
def peers(
    organisation: Organisation, server: Server
) -> Iterator[tuple[Mapping[str, Ask], Mapping[str, Ask]]]:
    """Set them all up; yield those that have what they need, and those that load it each time.

    They may use all databases of *server* but 0. In 1 and 2 they have the keys of 2009.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        in_memory, on_disk = create_engine("sqlite://"), create_engine(f"sqlite:///{folder}/db")
        for engine in (in_memory, on_disk):
            stack.callback(engine.dispose)
            _fill(engine, organisation)
        model = folder / "rbac_model.conf"
        model.write_text(_CASBIN_MODEL)
        ready = {
            "SQLAlchemy ORM, SQLite in memory": _sqlalchemy_orm(in_memory),
            "SQLAlchemy ORM, SQLite on disk": _sqlalchemy_orm(on_disk),
            "two joins by hand, SQLite in memory": _sqlalchemy_joins(in_memory),
            "Django's has_perm, SQLite in memory": _django(organisation),
            **_pycasbin(model, organisation),
            "the algorithm of 2009": _algorithm_of_2009(server, organisation),
        }
        loading = {
            "pycasbin from Redis: load_policy, then enforce": _pycasbin_from_redis(
                model, organisation, server
            )
        }
        yield ready, loading


class _Base(DeclarativeBase):
    pass


_memberships = Table(
    "tg_user_group",
    _Base.metadata,
    Column("user_id", ForeignKey("tg_user.user_id"), primary_key=True),
    Column("group_id", ForeignKey("tg_group.group_id"), primary_key=True),
)
_grants = Table(
    "tg_group_permission",
    _Base.metadata,
    Column("group_id", ForeignKey("tg_group.group_id"), primary_key=True),
    Column("permission_id", ForeignKey("tg_permission.permission_id"), primary_key=True),
)


class _Permission(_Base):
    __tablename__ = "tg_permission"
    permission_id: Mapped[int] = mapped_column(primary_key=True)
    permission_name: Mapped[str] = mapped_column(unique=True)


class _Group(_Base):
    __tablename__ = "tg_group"
    group_id: Mapped[int] = mapped_column(primary_key=True)
    group_name: Mapped[str] = mapped_column(unique=True)
    permissions: Mapped[list[_Permission]] = relationship(secondary=_grants)


class _User(_Base):
    __tablename__ = "tg_user"
    user_id: Mapped[int] = mapped_column(primary_key=True)
    user_name: Mapped[str] = mapped_column(unique=True)
    groups: Mapped[list[_Group]] = relationship(secondary=_memberships)


def _fill(engine: Engine, organisation: Organisation) -> None:
    users, groups, permissions = _numbers(organisation)
    _Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for table, kind, numbers in (
            (_User, "user", users),
            (_Group, "group", groups),
            (_Permission, "permission", permissions),
        ):
            rows = [
                {f"{kind}_id": number, f"{kind}_name": name} for name, number in numbers.items()
            ]
            connection.execute(insert(table), rows)
        connection.execute(
            insert(_memberships),
            [
                {"user_id": users[user], "group_id": groups[group]}
                for user, group in organisation.memberships
            ],
        )
        connection.execute(
            insert(_grants),
            [
                {"group_id": groups[group], "permission_id": permissions[permission]}
                for group, permission in organisation.grants
            ],
        )


def _numbers(organisation: Organisation) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    users = {user for user, _ in organisation.memberships}
    groups = set(organisation.users) | {group for group, _ in organisation.grants}
    users_numbered, groups_numbered, permissions_numbered = (
        {name: number for number, name in enumerate(sorted(names), 1)}
        for names in (users, groups, organisation.groups)
    )
    return users_numbered, groups_numbered, permissions_numbered


def _sqlalchemy_orm(engine: Engine) -> Ask:
    """As an application made by TurboGears' quickstart does it, in a session per request."""

    def ask(user_name: str, _: str) -> set[str]:
        with Session(engine) as session:
            user = session.scalars(select(_User).where(_User.user_name == user_name)).one()
            groups = {group.group_name: group for group in user.groups}
            return {
                permission.permission_name
                for group in groups.values()
                for permission in group.permissions
            }

    return ask


def _sqlalchemy_joins(engine: Engine) -> Ask:
    """Without objects: one select for the names of the groups, one for those of permissions."""
    groups = select(_Group.group_id, _Group.group_name).join(_memberships).join(_User)
    permissions = select(_Permission.permission_name).distinct().join(_grants)

    def ask(user_name: str, _: str) -> set[str]:
        with engine.connect() as connection:
            found = connection.execute(groups.where(_User.user_name == user_name)).all()
            ids = [group_id for group_id, _ in found]
            return set(connection.scalars(permissions.where(_grants.c.group_id.in_(ids))))

    return ask


def _django(organisation: Organisation) -> Ask:
    """Return what has the user fetched and asks it, as a view behind Django's middleware does."""
    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        )
        django.setup()
        call_command("migrate", verbosity=0)
    # Django's models cannot be imported before it is set up.
    from django.contrib.auth.models import Group, Permission, User  # noqa: PLC0415
    from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415

    call_command("flush", interactive=False, verbosity=0)
    users, groups, permissions = _numbers(organisation)
    kind, _ = ContentType.objects.get_or_create(app_label="organisation", model="thing")
    Permission.objects.all().delete()
    Permission.objects.bulk_create(
        Permission(id=number, codename=name, name=name, content_type=kind)
        for name, number in permissions.items()
    )
    Group.objects.bulk_create(Group(id=number, name=name) for name, number in groups.items())
    User.objects.bulk_create(User(id=number, username=name) for name, number in users.items())
    membership, grant = User.groups.through, Group.permissions.through
    membership.objects.bulk_create(
        membership(user_id=users[user], group_id=groups[group])
        for user, group in organisation.memberships
    )
    grant.objects.bulk_create(
        grant(group_id=groups[group], permission_id=permissions[permission])
        for group, permission in organisation.grants
    )

    def ask(user: str, permission: str) -> bool:
        return bool(User.objects.get(pk=users[user]).has_perm(f"organisation.{permission}"))

    return ask


def _pycasbin(model: Path, organisation: Organisation) -> dict[str, Ask]:
    """Return its enforcer, its enforcer with an index of policies, and what lists permissions."""
    policy = _policy(organisation)
    enforcer = casbin.Enforcer(str(model), policy)
    with_index = casbin.FastEnforcer(str(model), policy, cache_key_order=[1])

    def all_permissions(user: str, _: str) -> set[str]:
        return {found[1] for found in enforcer.get_implicit_permissions_for_user(user)}

    return {
        "pycasbin's Enforcer, in memory": enforcer.enforce,
        "pycasbin's FastEnforcer, in memory": with_index.enforce,
        "pycasbin's get_implicit_permissions_for_user": all_permissions,
    }


def _pycasbin_from_redis(model: Path, organisation: Organisation, server: Server) -> Ask:
    """Return what sees the changes of other processes, as all that are on the server do."""
    adapter = CasbinRedisAdapter("127.0.0.1", server.port, _CASBIN_DATABASE)
    adapter.save_policy(casbin.Enforcer(str(model), _policy(organisation)).get_model())
    enforcer = casbin.Enforcer(str(model), adapter)

    def ask(user: str, permission: str) -> Any:
        enforcer.load_policy()
        return enforcer.enforce(user, permission)

    return ask


def _policy(organisation: Organisation) -> StringAdapter:
    lines = [f"p, {group}, {permission}" for group, permission in organisation.grants]
    lines += [f"g, {user}, {group}" for user, group in organisation.memberships]
    return StringAdapter("\n".join(lines))


def _algorithm_of_2009(server: Server, organisation: Organisation) -> Ask:
    """For each lookup, all keys are fetched, and the members of each."""
    groups, permissions = server.client(1), server.client(2)
    store(groups, organisation.users.items())
    store(permissions, organisation.groups.items())

    def sections(client: redis.Redis, item: bytes) -> set[Any]:
        return {key for key in client.keys("*") if item in client.smembers(key)}

    def ask(user: str, _: str) -> set[str]:
        found: set[Any] = set()
        for group in sections(groups, user.encode()):
            found |= sections(permissions, group)
        return {permission.decode() for permission in found}

    return ask
