"""The commands ``who``, ``can`` and ``who-can``: what the application would find."""

import click

from repoze.what.adapters import NonExistingSectionError
from repoze.what.plugins.redis.names import described
from repoze.what.plugins.redis.renaming import exists
from repoze.what.printable import printable

from .completion import complete_permissions, complete_users
from .failures import NotThere
from .output import echo_json, echo_lines, echo_section, json_option
from .sources import Sources, pass_sources

_NO = 1

_user = click.argument("user", shell_complete=complete_users)


@click.command()
@_user
@json_option
@pass_sources
def who(sources: Sources, user: str, *, as_json: bool) -> None:
    """Print the groups and the permissions of USER, and which group gives each."""
    groups = _groups_of(sources, user)
    if not groups:
        sources.expect_something("groups")
    permissions = _permissions_of(sources, groups)
    if not permissions:
        sources.tell_if_mistyped("permissions")
    if as_json:
        echo_json({"user": user, "groups": groups, "permissions": permissions})
        return
    echo_section("groups", groups)
    echo_section(
        "permissions", [f"{name} ({', '.join(givers)})" for name, givers in permissions.items()]
    )


@click.command()
@_user
@click.argument("permission", shell_complete=complete_permissions)
@json_option
@pass_sources
def can(sources: Sources, user: str, permission: str, *, as_json: bool) -> None:
    """Print whether USER has PERMISSION, and which groups give it.

    The exit status is 0 where it is so, 1 where it is not, 3 where there is no such permission, and
    2 where it could not be found out.
    """
    groups = sorted(sources.adapters.why(user, permission))
    if not groups:
        if not exists(sources.permissions, permission):
            raise _no_such(sources, permission)
        sources.expect_something("groups")
    if as_json:
        echo_json(
            {"user": user, "permission": permission, "allowed": bool(groups), "groups": groups}
        )
    else:
        click.echo(printable(f"yes, by {', '.join(groups)}") if groups else "no")
    if not groups:
        raise click.exceptions.Exit(_NO)


@click.command()
@click.argument("permission", shell_complete=complete_permissions)
@json_option
@pass_sources
def who_can(sources: Sources, permission: str, *, as_json: bool) -> None:
    """Print the users who have PERMISSION, one on a line.

    Where there is no such permission, the exit status is 3.
    """
    try:
        users = sorted(sources.adapters.users_with(permission))
    except NonExistingSectionError:
        raise _no_such(sources, permission) from None
    if not users:
        sources.tell_if_mistyped("groups")
    if as_json:
        echo_json({"permission": permission, "users": users})
    else:
        echo_lines(users)


def _no_such(sources: Sources, permission: str) -> NotThere:
    sources.expect_something("permissions")
    return NotThere(f"There is no permission {described(permission)}.")


def _groups_of(sources: Sources, user: str) -> list[str]:
    return sorted(sources.groups.find_sections({"repoze.what.userid": user}))


def _permissions_of(sources: Sources, groups: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in groups:
        for permission in sources.permissions.find_sections(group):
            found.setdefault(permission, []).append(group)
    return dict(sorted(found.items()))
