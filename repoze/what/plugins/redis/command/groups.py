"""The commands ``groups ...``."""

from collections.abc import Callable

import click

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis.names import described, some
from repoze.what.plugins.redis.renaming import (
    LeftPermissions,
    check_renaming,
    refuse_interrupted,
    refuse_leftovers,
)

from .asking import ask, yes_option
from .completion import Completion, complete_groups, complete_members, complete_users
from .ends import (
    End,
    ends_as_json,
    items_until,
    set_ends,
    sets_end,
    takes_end,
    told_how_to_set,
    with_ends,
)
from .failures import Failure
from .noting import noted
from .output import count, echo_json, echo_lines, echo_section, json_option, tell
from .sources import Command, Sources, pass_sources

_group = click.argument("group", shell_complete=complete_groups)
_SAY_LEAVE = "say --leave-permissions"
_leave_permissions = click.option(
    "--leave-permissions", is_flag=True, help="Leave its permissions with the old name."
)


def _users(complete: Completion) -> Callable[[Command], Command]:
    return click.argument(
        "users", metavar="USER...", nargs=-1, required=True, shell_complete=complete
    )


@click.group()
def groups() -> None:
    """Look at groups and change them."""


@groups.command("list")
@json_option
@pass_sources
def list_groups(sources: Sources, *, as_json: bool) -> None:
    """Print the names of all groups."""
    names = sorted(sources.groups.get_section_names())
    if not names:
        sources.expect_something("groups")
    echo_json(names) if as_json else echo_lines(names)


@groups.command()
@_group
@json_option
@pass_sources
def show(sources: Sources, group: str, *, as_json: bool) -> None:
    """Print the members and the permissions of GROUP, and until when where that ends."""
    members = items_until(sources.groups, group)
    permissions = sources.permissions.find_sections_until(group)
    if not permissions:
        sources.tell_if_mistyped("permissions")
    if as_json:
        found = {"members": members, "permissions": permissions}
        until = {what: ends_as_json(ends) for what, ends in found.items()}
        names = {what: sorted(ends) for what, ends in found.items()}
        echo_json({"group": group, **names, "until": until})
    else:
        echo_section("members", with_ends(members))
        echo_section("permissions", with_ends(permissions))


@groups.command()
@click.argument("group")
@click.option(
    "--inherit", is_flag=True, help="Let it have the permissions that are there for its name."
)
@noted
@pass_sources
def create(sources: Sources, group: str, *, inherit: bool) -> None:
    """Make GROUP, without members.

    It is refused where an earlier group has left permissions under this name.
    """
    refuse_interrupted(sources.adapters, [group])
    sources.expect_permissions("say --inherit", accepted=inherit)
    if not inherit:
        refuse_leftovers(sources.adapters, group, "say --inherit")
    sources.groups.create_section(group)


@groups.command()
@_group
@click.argument("new_name", metavar="NEW_NAME")
@_leave_permissions
@noted
@pass_sources
def rename(sources: Sources, group: str, new_name: str, *, leave_permissions: bool) -> None:
    """Call GROUP NEW_NAME. Its permissions go along.

    That is one step with a namespace on one server. Elsewhere its members lack them in between,
    and nobody else has them. Where that was interrupted, run it again.
    """
    pair = sources.adapters
    sources.expect_permissions(_SAY_LEAVE, accepted=leave_permissions)
    # Also where the permissions are to be left, and no step looks for what was interrupted.
    check_renaming(pair, group, new_name, may_go_on=not leave_permissions)
    if leave_permissions:
        sources.groups.edit_section(group, new_name)
        _echo_left(group, sources.permissions.find_sections(group))
        return
    try:
        moved = pair.rename_group(group, new_name)
    except LeftPermissions as left:
        _echo_moved(left.concerned)
        raise
    except AdapterError as error:
        if getattr(error, "written", False) is not False:
            raise
        raise Failure(f"{error} The group and its permissions are as before.") from error
    except KeyboardInterrupt as interruption:
        for note in getattr(interruption, "__notes__", ()):
            tell(f"\n{note}")
        raise
    _echo_moved(moved)


@groups.command()
@_group
@_leave_permissions
@yes_option
@noted
@pass_sources
def delete(sources: Sources, group: str, *, leave_permissions: bool, yes: bool) -> None:
    """Remove GROUP. Its permissions are revoked first.

    Otherwise a group that is made under this name later would have them.
    """
    members = sources.groups.get_section_items(group)
    refuse_interrupted(sources.adapters, [group])
    sources.expect_permissions(_SAY_LEAVE, accepted=leave_permissions)
    permissions = sources.permissions.find_sections(group)
    what = f"The group {described(group)} goes, with {count(len(members), 'member')}"
    click.echo(f"{what}: {some(members)}" if members else f"{what}.", err=True)
    if leave_permissions:
        _echo_left(group, permissions, err=True)
    elif permissions:
        click.echo(f"Permissions that are revoked first: {some(permissions)}", err=True)
    ask("Go on?", yes=yes)
    if leave_permissions:
        # Once more: somebody may have thought for long.
        refuse_interrupted(sources.adapters, [group])
        sources.groups.delete_section(group)
        return
    sources.adapters.delete_group(group)


@groups.command()
@_group
@_users(complete_users)
@takes_end
@noted
@pass_sources
def add(
    sources: Sources,
    group: str,
    users: tuple[str, ...],
    *,
    end: End,
) -> None:
    """Make each USER a member of GROUP: all, or none where one is already.

    With --for or --until that ends by itself, which takes a source with a namespace.
    """
    with told_how_to_set("groups until"):
        sources.groups.include_items(group, users, end)


@groups.command("until")
@_group
@_users(complete_members)
@sets_end
@noted
@pass_sources
def set_until(
    sources: Sources,
    group: str,
    users: tuple[str, ...],
    *,
    end: End,
) -> None:
    """Say anew until when each USER, who is in GROUP, is in it.

    That is one after the other, and each is in it all the while.
    """
    set_ends(sources.groups, group, users, end)


@groups.command()
@_group
@_users(complete_members)
@noted
@pass_sources
def remove(sources: Sources, group: str, users: tuple[str, ...]) -> None:
    """Take each USER out of GROUP: all, or none where one is not in it."""
    sources.groups.exclude_items(group, users)


def _echo_moved(permissions: set[str]) -> None:
    if permissions:
        click.echo(f"Permissions that go along: {some(permissions)}")


def _echo_left(group: str, permissions: set[str], *, err: bool = False) -> None:
    if permissions:
        click.echo(
            f"Permissions of whoever is called {described(group)} next: {some(permissions)}",
            err=err,
        )
