"""The command ``undo``: to take back a change, or all that have one note."""

from collections.abc import Iterable, Mapping

import click

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis.changes import Change
from repoze.what.plugins.redis.names import described, some
from repoze.what.plugins.redis.undoing import in_force, is_of_group, latest_first, short

from .asking import ask, yes_option
from .completion import complete_changes
from .failures import Failure, NotThere
from .history import told
from .noting import noted, refuse_empty
from .output import count
from .sources import Sources, pass_sources

_LEAST_LENGTH = 6
_SHOWN = 5


@click.command()
@click.argument("change", required=False, shell_complete=complete_changes)
@click.option(
    "--all-with-note",
    metavar="TEXT",
    callback=refuse_empty,
    help="Undo all changes that were made with this note, such as those of an import.",
)
@click.option(
    "--leave-permissions",
    is_flag=True,
    help="Also where a name that is no group has permissions then, or its members get them.",
)
@yes_option
@noted
@pass_sources
def undo(
    sources: Sources,
    *,
    change: str | None,
    all_with_note: str | None,
    leave_permissions: bool,
    yes: bool,
) -> None:
    """Undo CHANGE, which is what `history` prints after the time, or the beginning of it.

    It is undone exactly, or not at all: where a later change is in the way, that is named, and is
    to be undone first. The undo is in the history, too, and can be undone.
    """
    if (change is None) == (all_with_note is None):
        raise click.UsageError("Say what to undo: CHANGE, or --all-with-note.")
    if change is not None:
        _undo_one(sources, change, leave_permissions=leave_permissions)
    else:
        _undo_all(sources, all_with_note, yes=yes, leave_permissions=leave_permissions)


def _undo_one(sources: Sources, beginning: str, *, leave_permissions: bool) -> None:
    halves = _found(sources, beginning)
    [*_, (kind, change)] = halves.items()
    if not leave_permissions and not is_of_group(change):
        _refuse_leftovers(sources, kind, change)
    sources.adapters.undo(change, leave_permissions=leave_permissions)
    for each in halves.items():
        _echo_undone(*each)


def _found(sources: Sources, beginning: str) -> Mapping[str, Change]:
    """Return the change whose token begins so, by the kind of each source that it changed."""
    if len(beginning) < _LEAST_LENGTH:
        raise Failure(
            f"{described(beginning)} is too short for a change: say {_LEAST_LENGTH} characters of "
            "what `history` prints, or more."
        )
    found: dict[str, dict[str, Change]] = {}
    for kind, adapter in sources.by_kind().items():
        for change in adapter.history():
            if change.token.startswith(beginning.lower()):
                found.setdefault(change.token, {})[kind] = change
    if not found:
        raise NotThere(
            f"There is no change {described(beginning)} in the history of the groups, nor in that "
            "of the permissions. `history` prints what there is."
        )
    if len(found) > 1:
        raise Failure(
            f"Several changes begin with {described(beginning)}: {some(list(found))}. Say more of "
            "the one that you mean."
        )
    [halves] = found.values()
    return halves


def _undo_all(sources: Sources, note: str | None, *, yes: bool, leave_permissions: bool) -> None:
    histories = {kind: list(each.history()) for kind, each in sources.by_kind().items()}
    if not any(each.note == note for changes in histories.values() for each in changes):
        raise NotThere(
            f"There is no change with the note {described(note)} in the history of the groups, nor "
            "in that of the permissions. `history` prints what there is."
        )
    of_groups, of_permissions = (
        [each for each in in_force(changes) if each.note == note and each.undoes is None]
        for changes in histories.values()
    )
    changes = latest_first(of_groups, of_permissions)
    if not changes:
        click.echo("All of it is undone already.", err=True)
        return
    click.echo(f"To be undone, the latest first: {count(len(changes), 'change')}", err=True)
    for kind, change in changes[:_SHOWN]:
        click.echo(f"  {short(change.token)} {told(kind, change)}", err=True)
    if len(changes) > _SHOWN:
        click.echo(f"  and {len(changes) - _SHOWN:,} more", err=True)
    ask("Go on?", yes=yes)
    undone = 0
    try:
        wanted = (change for _, change in changes)
        for _ in sources.adapters.undo_each(wanted, leave_permissions=leave_permissions):
            undone += 1
    except AdapterError as error:
        kind, change = changes[undone]
        raise Failure(
            f"{undone:,} of {count(len(changes), 'change')} undone, then stopped at "
            f"{short(change.token)}, {told(kind, change)}. {error} Run it again when that is "
            "seen to: it goes on with what is left."
        ) from error
    click.echo(f"{count(len(changes), 'change')} undone.")
    if not leave_permissions:
        _report_leftovers(sources, changes)


def _echo_undone(kind: str, change: Change) -> None:
    click.echo(f"Undone: {told(kind, change)}")


def _refuse_leftovers(sources: Sources, kind: str, change: Change) -> None:
    """Return unless a name that is no group has permissions when *change* is undone."""
    if kind == "permissions":
        unknown = sources.no_groups(change.removed)
        if unknown:
            raise Failure(
                f"Not undone: {some(unknown)} would have permissions, and is no group. Whoever "
                "makes one would have them. Make it first, or say --leave-permissions."
            )
    elif change.effect != "changed":
        for group in filter(None, (*change.sections, change.new_section)):
            permissions = sources.permissions.find_sections(group)
            if permissions:
                raise Failure(
                    f"Not undone: {described(group)} has permissions: {some(permissions)}. They "
                    "would be those of whoever is called so then. Revoke them first, or say "
                    "--leave-permissions."
                )


def _report_leftovers(sources: Sources, changes: Iterable[tuple[str, Change]]) -> None:
    """Return unless a name that is no group has permissions now that *changes* are undone."""
    concerned = set[str]()
    for kind, change in changes:
        if kind == "permissions":
            concerned |= change.removed
        else:
            concerned |= {*change.sections, change.new_section or ""}
    left = {
        name for name in sources.no_groups(concerned) if sources.permissions.find_sections(name)
    }
    if left:
        raise Failure(
            f"That is undone, but what is no group has permissions: {some(left)}. Whoever makes a "
            "group of that name would have them. Make it, or revoke them."
        )
