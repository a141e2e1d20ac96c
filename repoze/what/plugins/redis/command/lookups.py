"""The commands ``who``, ``can`` and ``who-can``: what the application would find."""

from collections.abc import Iterable
from datetime import datetime

import click

from repoze.what.adapters import NonExistingSectionError
from repoze.what.plugins.redis.names import described
from repoze.what.plugins.redis.renaming import exists
from repoze.what.printable import printable

from .completion import complete_permissions, complete_users
from .ends import Ends, ends_as_json, with_ends
from .failures import NotThere
from .output import echo_json, echo_lines, echo_section, json_option
from .sources import Sources, pass_sources
from .times import in_words

_NO = 1

_user = click.argument("user", shell_complete=complete_users)


@click.command()
@_user
@json_option
@pass_sources
def who(sources: Sources, user: str, *, as_json: bool) -> None:
    """Print the groups and the permissions of USER, and which group gives each.

    Where that ends by itself, it says when.
    """
    groups = sources.groups.find_sections_until({"repoze.what.userid": user})
    if not groups:
        sources.expect_something("groups")
    permissions = _permissions_of(sources, groups)
    if not permissions:
        sources.tell_if_mistyped("permissions")
    if as_json:
        ends = {name: ends_as_json(givers) for name, givers in permissions.items()}
        until = {
            "groups": ends_as_json(groups),
            "permissions": {name: found for name, found in ends.items() if found},
        }
        names = {name: sorted(givers) for name, givers in permissions.items()}
        echo_json({"user": user, "groups": sorted(groups), "permissions": names, "until": until})
        return
    echo_section("groups", with_ends(groups))
    echo_section("permissions", [_given(name, givers) for name, givers in permissions.items()])


def _given(name: str, givers: Ends) -> str:
    told_of_each = (
        giver if until is None else f"{giver} {in_words(until)}"
        for giver, until in sorted(givers.items())
    )
    return f"{name} ({', '.join(told_of_each)})"


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


def _permissions_of(sources: Sources, groups: Iterable[str]) -> dict[str, Ends]:
    """Return the permissions of *groups*, each with those that give it, and until when."""
    found: dict[str, dict[str, datetime | None]] = {}
    for group in groups:
        for permission, until in sources.permissions.find_sections_until(group).items():
            found.setdefault(permission, {})[group] = until
    return dict(sorted(found.items()))
