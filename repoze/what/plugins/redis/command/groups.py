"""The commands ``groups ...``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from repoze.what.adapters import (
    AdapterError,
    ItemNotPresentError,
    ItemPresentError,
    SourceUnavailable,
)
from repoze.what.plugins.redis.names import described

from .asking import ask, yes_option
from .completion import Completion, complete_groups, complete_members, complete_users
from .failures import Failure
from .leftovers import (
    kept_for,
    name_while_renamed,
    refuse_interrupted,
    refuse_leftovers,
    refuse_new_leftovers,
)
from .output import count, echo_json, echo_lines, echo_section, json_option, some, tell
from .sources import Command, Sources, exists, pass_sources

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
    """Print the members and the permissions of GROUP."""
    members = sorted(sources.groups.get_section_items(group))
    permissions = sorted(sources.permissions.find_sections(group))
    if not permissions:
        sources.tell_if_mistyped("permissions")
    if as_json:
        echo_json({"group": group, "members": members, "permissions": permissions})
    else:
        echo_section("members", members)
        echo_section("permissions", permissions)


@groups.command()
@click.argument("group")
@click.option(
    "--inherit", is_flag=True, help="Let it have the permissions that are there for its name."
)
@pass_sources
def create(sources: Sources, group: str, *, inherit: bool) -> None:
    """Make GROUP, without members.

    It is refused where an earlier group has left permissions under this name.
    """
    refuse_interrupted(sources, [group])
    sources.expect_permissions("say --inherit", accepted=inherit)
    if not inherit:
        refuse_leftovers(sources, group, "say --inherit")
    sources.groups.create_section(group)


@groups.command()
@_group
@click.argument("new_name", metavar="NEW_NAME")
@_leave_permissions
@pass_sources
def rename(sources: Sources, group: str, new_name: str, *, leave_permissions: bool) -> None:
    """Call GROUP NEW_NAME. Its permissions go along.

    In between its members lack them, and nobody else has them. Where that was interrupted, run it
    again.
    """
    # Two phases, for groups and permissions are two sources. Meanwhile a right is kept for what is
    # no group, where nobody comes by it. The states, and what ends them:
    #
    #   group that is there   its permissions are of   next
    #   GROUP                 GROUP                    they are set aside
    #   GROUP                 waiting                  GROUP is renamed; refused: back to GROUP
    #   NEW_NAME              waiting                  they are handed on; here it can be run again
    #   NEW_NAME              NEW_NAME                 done
    waiting = name_while_renamed(group, new_name)
    sources.expect_permissions(_SAY_LEAVE, accepted=leave_permissions)
    there = sources.groups.get_many_section_items([group, new_name, waiting]).keys()
    kept = sources.permissions.find_sections(waiting)
    is_renamed = there == {new_name} and bool(kept)
    if not is_renamed:
        # Whose they are now is not for us to say.
        left = f" {kept_for(waiting, kept)}" if kept else ""
        if group not in there:
            raise Failure(f"There is no group {described(group)}.{left}")
        for name in (new_name, waiting):
            if name in there:
                raise Failure(f"There is a group {described(name)} already.{left}")
        refuse_leftovers(sources, new_name, "choose another name")
    besides = None if leave_permissions else waiting
    refuse_interrupted(sources, [group, new_name], besides=besides)
    if leave_permissions:
        sources.groups.edit_section(group, new_name)
        _echo_left(group, sources.permissions.find_sections(group))
        return
    again = f"Run it again: until then its permissions may be kept for {described(waiting)}."
    try:
        if not is_renamed:
            _hand_on(sources, group, waiting)
            _rename(sources, group, new_name, waiting)
        moved = _hand_on(sources, waiting, new_name)
    except AdapterError as error:
        raise Failure(f"{error} {again}") from error
    except KeyboardInterrupt:
        tell(f"\n{again}")
        raise
    if moved:
        click.echo(f"Permissions that go along: {some(moved)}")
    refuse_new_leftovers(sources, group, new_name)


@groups.command()
@_group
@_leave_permissions
@yes_option
@pass_sources
def delete(sources: Sources, group: str, *, leave_permissions: bool, yes: bool) -> None:
    """Remove GROUP. Its permissions are revoked first.

    Otherwise a group that is made under this name later would have them.
    """
    members = sources.groups.get_section_items(group)
    refuse_interrupted(sources, [group])
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
        sources.groups.delete_section(group)
        return
    with suppress(ItemNotPresentError):
        sources.permissions.remove_item(group)
    sources.groups.delete_section(group)
    refuse_new_leftovers(sources, group)


@groups.command()
@_group
@_users(complete_users)
@pass_sources
def add(sources: Sources, group: str, users: tuple[str, ...]) -> None:
    """Make each USER a member of GROUP: all, or none where one is already."""
    sources.groups.include_items(group, users)


@groups.command()
@_group
@_users(complete_members)
@pass_sources
def remove(sources: Sources, group: str, users: tuple[str, ...]) -> None:
    """Take each USER out of GROUP: all, or none where one is not in it."""
    sources.groups.exclude_items(group, users)


def _rename(sources: Sources, group: str, new_name: str, waiting: str) -> None:
    try:
        sources.groups.edit_section(group, new_name)
    except SourceUnavailable:
        # It may have been done.
        raise
    except AdapterError as error:
        # Of a refusal nothing was written; of what the server is in trouble with, it says so.
        if getattr(error, "written", False) is not False or not exists(sources.groups, group):
            raise
        _hand_on(sources, waiting, group)
        raise Failure(f"{error} The group and its permissions are as before.") from error


def _hand_on(sources: Sources, group: str, new_group: str) -> set[str]:
    permissions = sources.permissions
    there = permissions.find_sections(new_group)
    if not there:
        with suppress(ItemNotPresentError):
            return permissions.rename_item(group, new_group)
        return set()
    # An earlier run was interrupted, and somebody has granted more since.
    moved = set()
    for permission in sorted(permissions.find_sections(group)):
        with suppress(ItemNotPresentError), _told_if_withheld(permission, new_group):
            # Taken first: what somebody else revokes, just now, must not be given again.
            permissions.exclude_item(permission, group)
            moved.add(permission)
            # What it had already, somebody may have revoked just now.
            if permission not in there:
                with suppress(ItemPresentError):
                    permissions.include_item(permission, new_group)
    return moved


@contextmanager
def _told_if_withheld(permission: str, group: str) -> Iterator[None]:
    try:
        yield
    except ItemNotPresentError:
        # Somebody else has revoked it.
        raise
    except (AdapterError, KeyboardInterrupt):
        tell(
            f"Look whether {described(group)} has {described(permission)}, which may have been "
            "taken from it: then grant it again."
        )
        raise


def _echo_left(group: str, permissions: set[str], *, err: bool = False) -> None:
    if permissions:
        click.echo(
            f"Permissions of whoever is called {described(group)} next: {some(permissions)}",
            err=err,
        )
