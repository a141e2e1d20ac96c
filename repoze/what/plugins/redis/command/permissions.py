"""The commands ``permissions ...``."""

import click

from repoze.what.adapters import ItemNotPresentError
from repoze.what.plugins.redis.names import described, some
from repoze.what.plugins.redis.renaming import kept_for, refuse_interrupted, set_aside

from .asking import ask, yes_option
from .completion import complete_groups, complete_permissions
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
from .output import count, echo_json, echo_lines, echo_section, json_option
from .sources import Sources, pass_sources

_permission = click.argument("permission", shell_complete=complete_permissions)
_groups = click.argument(
    "groups", metavar="GROUP...", nargs=-1, required=True, shell_complete=complete_groups
)


@click.group()
def permissions() -> None:
    """Look at permissions and change who has them."""


@permissions.command("list")
@json_option
@pass_sources
def list_permissions(sources: Sources, *, as_json: bool) -> None:
    """Print the names of all permissions."""
    names = sorted(sources.permissions.get_section_names())
    if not names:
        sources.expect_something("permissions")
    echo_json(names) if as_json else echo_lines(names)


@permissions.command()
@_permission
@json_option
@pass_sources
def show(sources: Sources, permission: str, *, as_json: bool) -> None:
    """Print the groups that have PERMISSION, and until when where that ends."""
    groups = items_until(sources.permissions, permission)
    if as_json:
        until = {"groups": ends_as_json(groups)}
        echo_json({"permission": permission, "groups": sorted(groups), "until": until})
    else:
        echo_section("groups", with_ends(groups))


@permissions.command()
@click.argument("permission")
@noted
@pass_sources
def create(sources: Sources, permission: str) -> None:
    """Make PERMISSION. No group has it yet."""
    sources.permissions.create_section(permission)


@permissions.command()
@_permission
@click.argument("new_name", metavar="NEW_NAME")
@noted
@pass_sources
def rename(sources: Sources, permission: str, new_name: str) -> None:
    """Call PERMISSION NEW_NAME. Its groups keep it."""
    sources.permissions.edit_section(permission, new_name)


@permissions.command()
@_permission
@yes_option
@noted
@pass_sources
def delete(sources: Sources, permission: str, *, yes: bool) -> None:
    """Remove PERMISSION, and take it from all groups."""
    groups = sources.permissions.get_section_items(permission)
    what = f"The permission {described(permission)} goes, from {count(len(groups), 'group')}"
    click.echo(f"{what}: {some(groups)}" if groups else f"{what}.", err=True)
    ask("Go on?", yes=yes)
    sources.permissions.delete_section(permission)


@permissions.command()
@_permission
@_groups
@click.option(
    "--unknown-groups", is_flag=True, help="Also to groups that are not there, or elsewhere."
)
@takes_end
@noted
@pass_sources
def grant(
    sources: Sources,
    permission: str,
    groups: tuple[str, ...],
    *,
    unknown_groups: bool,
    end: End,
) -> None:
    """Give PERMISSION to each GROUP: to all, or to none where one has it already.

    With --for or --until that ends by itself, which takes a source with a namespace.
    """
    unknown = sources.no_groups(groups)
    if unknown and not unknown_groups:
        raise Failure(
            f"There is no group of that name: {some(unknown)}. Whoever makes one would have the "
            "permission. Make it first, or say --unknown-groups."
        )
    with told_how_to_set("permissions until"):
        sources.permissions.include_items(permission, groups, end)
    gone = sources.no_groups(groups) - unknown
    if gone:
        raise Failure(
            f"It is granted, but meanwhile somebody has deleted or renamed {some(gone)}. Revoke "
            "it, or whoever makes a group of that name has the permission."
        )


@permissions.command("until")
@_permission
@_groups
@sets_end
@noted
@pass_sources
def set_until(
    sources: Sources,
    permission: str,
    groups: tuple[str, ...],
    *,
    end: End,
) -> None:
    """Say anew until when each GROUP, which has PERMISSION, has it.

    That is one after the other, and each has it all the while.
    """
    set_ends(sources.permissions, permission, groups, end)


@permissions.command()
@_permission
@_groups
@noted
@pass_sources
def revoke(sources: Sources, permission: str, groups: tuple[str, ...]) -> None:
    """Take PERMISSION from each GROUP: from all, or from none where one does not have it."""
    # It may be handed on, to another name, before anybody looks again.
    holders = _holders(sources, permission)
    try:
        sources.permissions.exclude_items(permission, groups)
    except ItemNotPresentError:
        # It may be set aside for one of them, and would come back.
        refuse_interrupted(sources.adapters, groups, permission=permission)
        # Or it was until now, and has come back.
        sources.permissions.exclude_items(permission, groups)
    # One look at what came of it: between two, what is given again could be set aside.
    holders_now = _holders(sources, permission)
    back = holders_now.intersection(groups)
    if back:
        raise Failure(
            "It was revoked, but somebody has given it again meanwhile: to "
            f"{some(back)}. Revoke it again, unless that is right."
        )
    kept = set_aside(holders_now, groups)
    kept = kept and sources.no_groups(kept)
    if kept:
        raise Failure(f"It is revoked, but would come back. {kept_for(min(kept), [permission])}")
    new_holders = holders_now - holders
    if not new_holders:
        return
    if set_aside(holders, groups):
        raise Failure(
            "It is revoked, but it was set aside as well. Meanwhile somebody has ended that "
            f"renaming, and it is granted to {some(new_holders)}. Revoke it, unless that is right."
        )
    # What was set aside, handed on and given again between two looks has left no trace but this.
    renamed = sources.no_groups(groups)
    if renamed:
        raise Failure(
            f"It is revoked, but {some(renamed)} is no group now. Meanwhile somebody has renamed "
            f"it, perhaps, and it is granted to {some(new_holders)}. Revoke it, unless that is "
            "right."
        )


def _holders(sources: Sources, permission: str) -> set[str]:
    return sources.permissions.get_many_section_items([permission]).get(permission, set())
