"""The commands ``users ...``. Users are the application's: here they are members of groups."""

from contextlib import suppress

import click

from repoze.what.adapters import ItemNotPresentError
from repoze.what.plugins.redis.names import described, some

from .asking import ask, yes_option
from .completion import complete_users
from .failures import Failure
from .noting import noted
from .output import count, echo_json, echo_lines, json_option
from .sources import Sources, pass_sources

_user = click.argument("user", shell_complete=complete_users)


@click.group()
def users() -> None:
    """List users, rename them, and take them out of all groups."""


@users.command(name="list")
@json_option
@pass_sources
def list_(sources: Sources, *, as_json: bool) -> None:
    """Print all who are in any group, one on a line."""
    groups = sources.groups.get_all_sections()
    if not groups:
        sources.expect_something("groups")
    names = sorted(set().union(*groups.values()))
    if as_json:
        echo_json(names)
    else:
        echo_lines(names)


@users.command()
@_user
@click.argument("new_name", metavar="NEW_NAME")
@noted
@pass_sources
def rename(sources: Sources, user: str, new_name: str) -> None:
    """Call USER NEW_NAME in all groups, at once.

    It is refused where a group has NEW_NAME, who is somebody else.
    """
    groups = sources.groups.rename_item(user, new_name)
    click.echo(f"Groups of {described(new_name)} now: {some(groups)}")


@users.command()
@_user
@yes_option
@noted
@pass_sources
def delete(sources: Sources, user: str, *, yes: bool) -> None:
    """Take USER out of all groups, at once.

    Otherwise somebody who has this name later would be in them.
    """
    groups = sources.groups.find_sections({"repoze.what.userid": user})
    if not groups:
        raise Failure(f"The user {described(user)} is in no group.")
    what = f"The user {described(user)} goes, from {count(len(groups), 'group')}"
    click.echo(f"{what}: {some(groups)}", err=True)
    ask("Go on?", yes=yes)
    with suppress(ItemNotPresentError):
        sources.groups.remove_item(user)
