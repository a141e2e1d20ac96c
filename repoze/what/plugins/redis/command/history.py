"""The command ``history``: who changed what."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from repoze.what.plugins.redis.changes import Change
from repoze.what.plugins.redis.names import described, some
from repoze.what.plugins.redis.undoing import short
from repoze.what.printable import printable

from .completion import complete_groups, complete_permissions, complete_users
from .ends import added_in_words, all_ends_as_json, set_in_words
from .output import echo_json, json_option
from .sources import Sources, pass_sources
from .times import read_duration, read_time

_SECTIONS = {"groups": ("group", "groups"), "permissions": ("permission", "permissions")}


def _read_since(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> datetime | None:
    if text is None:
        return None
    try:
        ago = read_duration(text)
        return read_time(text) if ago is None else datetime.now(UTC) - ago
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "it is none such as 2w, 3d, 12h, 30m, 2027-01-31 or 2027-01-31T12:00."
        ) from None


@click.command()
@click.option(
    "--group",
    metavar="GROUP",
    shell_complete=complete_groups,
    help="Only who was put into this group or taken out, and what it was granted.",
)
@click.option(
    "--permission",
    metavar="PERMISSION",
    shell_complete=complete_permissions,
    help="Only who was granted this permission, or lost it.",
)
@click.option(
    "--user",
    metavar="USER",
    shell_complete=complete_users,
    help="Only what groups this user was put into, or taken out of.",
)
@click.option("--by", metavar="NAME", help="Only what was done by this user.")
@click.option(
    "--since",
    callback=_read_since,
    metavar="TIME",
    help="Only from then on: 2w, 3d, 12h or 30m ago, or a date such as 2027-01-31.",
)
@json_option
@pass_sources
def history(  # noqa: PLR0913 - each is an option of its own
    sources: Sources,
    *,
    group: str | None,
    permission: str | None,
    user: str | None,
    by: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Print who changed what, and when, the latest first.

    It is for sources with a namespace, and goes back as far as their history does.
    """
    if user is not None and permission is not None:
        raise click.UsageError(
            "--user and --permission do not go together: a user is in groups, and these have "
            "permissions. Say --group with one of them."
        )
    found = []
    if permission is None:
        changes = sources.groups.history(group, user, by, since)
        found.append(_of_kind("groups", changes))
    if user is None:
        changes = sources.permissions.history(permission, group, by, since)
        found.append(_of_kind("permissions", changes))
    merged = heapq.merge(*found, key=lambda pair: pair[1].at, reverse=True)
    if as_json:
        told = [change_as_json(kind, change) for kind, change in merged]
        echo_json(told)
        is_empty = not told
    else:
        is_empty = True
        for kind, change in merged:
            is_empty = False
            echo_change(kind, change)
    if is_empty:
        sources.expect_something()


def _of_kind(kind: str, changes: Iterator[Change]) -> Iterator[tuple[str, Change]]:
    return ((kind, change) for change in changes)


def echo_change(kind: str, change: Change) -> None:
    """Print a *change* of a source of that *kind* on one line."""
    at = change.at.astimezone().isoformat(timespec="seconds")
    click.echo(f"{at} {short(change.token)} {told(kind, change)}")


def told(kind: str, change: Change) -> str:
    """Return who made *change* of the source of that kind, what it did, and its note, in a line."""
    by = "somebody" if change.by is None else change.by
    one, several = _SECTIONS[kind]
    sections = f"{one if len(change.sections) == 1 else several} {some(change.sections)}"
    undo = "" if change.undoes is None else f"undo of {short(change.undoes)}: "
    note = "" if change.note is None else f" ({change.note})"
    return printable(f"{by}: {undo}{sections}: {_in_words(change)}{note}")


def _in_words(change: Change) -> str:
    """Return what became of the sections, as ``watch`` says it."""
    if change.new_section is not None:
        return f"renamed {described(change.new_section)}"
    if change.effect == "created":
        return f"created, with {some(change.added)}" if change.added else "created"
    if change.effect == "deleted":
        return f"deleted, with {some(change.removed)}" if change.removed else "deleted"
    removed = [f"{some(change.removed)} removed"] if change.removed else []
    return ", ".join([*removed, *added_in_words(change), *set_in_words(change)])


def change_as_json(kind: str, change: Change) -> dict[str, object]:
    """Return a *change* of a source of that *kind* for JSON."""
    return {
        "source": kind,
        "token": change.token,
        "time": change.at.isoformat(timespec="milliseconds"),
        "operation": change.operation,
        "effect": change.effect,
        "sections": change.sections,
        "new_section": change.new_section,
        "added": sorted(change.added),
        "removed": sorted(change.removed),
        "had_added": sorted(change.had_added),
        "kept_removed": sorted(change.kept_removed),
        "until": all_ends_as_json(change.until),
        "until_before": all_ends_as_json(change.until_before),
        "by": change.by,
        "note": change.note,
        "undoes": change.undoes,
    }
