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
from sqlalchemy import Engine, create_engine, select

from . import tables
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
            tables.fill(engine, organisation)
        model = _casbin_model(folder)
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


def _sqlalchemy_orm(engine: Engine) -> Ask:
    both = tables.objects_of(engine)
    return lambda user, _: both(user)[1]


def _sqlalchemy_joins(engine: Engine) -> Ask:
    """Without objects: one select for the names of the groups, one for those of permissions."""
    groups = (
        select(tables.Group.group_id, tables.Group.group_name)
        .join(tables.memberships)
        .join(tables.User)
    )
    permissions = select(tables.Permission.permission_name).distinct().join(tables.grants)

    def ask(user_name: str, _: str) -> set[str]:
        with engine.connect() as connection:
            found = connection.execute(groups.where(tables.User.user_name == user_name)).all()
            ids = [group_id for group_id, _ in found]
            return set(connection.scalars(permissions.where(tables.grants.c.group_id.in_(ids))))

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
    users, groups, permissions = tables.numbers(organisation)
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


def fast_enforcer(folder: Path, organisation: Organisation) -> Any:
    """Return pycasbin's enforcer with an index of policies; *folder* is for its model."""
    return casbin.FastEnforcer(
        str(_casbin_model(folder)), _policy(organisation), cache_key_order=[1]
    )


def _casbin_model(folder: Path) -> Path:
    model = folder / "rbac_model.conf"
    model.write_text(_CASBIN_MODEL)
    return model


def _pycasbin(model: Path, organisation: Organisation) -> dict[str, Ask]:
    """Return its enforcer, its enforcer with an index of policies, and what lists permissions."""
    enforcer = casbin.Enforcer(str(model), _policy(organisation))

    def all_permissions(user: str, _: str) -> set[str]:
        return {found[1] for found in enforcer.get_implicit_permissions_for_user(user)}

    return {
        "pycasbin's Enforcer, in memory": enforcer.enforce,
        "pycasbin's FastEnforcer, in memory": fast_enforcer(model.parent, organisation).enforce,
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
