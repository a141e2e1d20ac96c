"""The commands ``diff`` and ``apply``: the sources, and a file that says what they should be."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import click

from repoze.what.plugins.redis.names import some
from repoze.what.printable import printable

from .applying import Applier
from .asking import ask, yes_option
from .changes import SECTION_OF, echo_changes, echo_changes_as_json
from .differences import Differences
from .ends import only_for_good_option
from .failures import Failure
from .importing import leave_out_what_cannot_be
from .json_files import UNTIL, read_json
from .output import count, echo_json, json_option, progress
from .sources import KINDS, Sources, pass_sources
from .staging import file_input, temporary_database
from .summaries import ITEM_OF, SHOWN, refuse, tell_unknown_groups

_DIFFERENT = 1
_file = click.argument("file", type=click.Path())
_only = click.option(
    "--only", type=click.Choice(KINDS), help="Compare these alone, and leave the others."
)


@dataclass(frozen=True, kw_only=True)
class _Options:
    prune: bool
    dry_run: bool
    empty: bool
    inherit: bool
    unknown_groups: bool
    yes: bool
    as_json: bool


@click.command()
@_file
@_only
@only_for_good_option
@json_option
@pass_sources
def diff(
    sources: Sources, file: str, only: str | None, *, only_for_good: bool, as_json: bool
) -> None:
    """Print how FILE differs from the sources: what it has besides (+), and what it lacks (-).

    What it has until another time is marked ~. FILE is JSON as `export json` writes it; - is the
    standard input. The exit status is 0 where there is no difference, 1 where there is some, and 2
    where it could not be found out.
    """
    with _compared(sources, file, only, only_for_good=only_for_good) as (name, differences):
        _echo(differences, as_json=as_json)
        lacking = _total(differences.count("-"))
        if lacking:
            _tell(
                f"What is marked - is not in {name}. It stays with apply, and goes with apply "
                "--prune."
            )
        emptied = differences.emptied()
        if emptied:
            _tell(f"{name} has no {_and_no(emptied)}: that all of them go takes --empty, too.")
        if lacking or _total(differences.count("+", "~")):
            raise click.exceptions.Exit(_DIFFERENT)


@click.command()
@_file
@click.option("--prune", is_flag=True, help="Take away what FILE does not have.")
@click.option("--dry-run", is_flag=True, help="Print what would be changed, and change nothing.")
@_only
@click.option(
    "--empty", is_flag=True, help="Also where FILE has no groups, or no permissions: all go."
)
@click.option(
    "--inherit",
    is_flag=True,
    help="Let new groups have the permissions that are there for their names.",
)
@click.option(
    "--unknown-groups",
    is_flag=True,
    help="Also where a group goes that FILE still grants permissions to.",
)
@only_for_good_option
@yes_option
@json_option
@pass_sources
def apply(
    sources: Sources, /, file: str, only: str | None, *, only_for_good: bool, **options: bool
) -> None:
    """Make the sources what FILE says, and ask before something is taken away.

    Without --prune nothing is taken away. FILE is JSON as `export json` writes it; - is the
    standard input. Where it was stopped, run it again.
    """
    with _compared(sources, file, only, only_for_good=only_for_good) as (name, differences):
        _apply(name, differences, sources, _Options(**options))


def _apply(name: str, differences: Differences, sources: Sources, options: _Options) -> None:
    if options.prune:
        _refuse_to_empty(name, differences, accepted=options.empty)
    else:
        _tell_what_stays(name, differences.leave_what_would_go())
    tell_unknown_groups(differences.unknown_groups())
    _refuse_to_leave_permissions(name, differences, accepted=options.unknown_groups)
    applier = Applier(differences, sources, inherit=options.inherit)
    refuse(
        applier.check(),
        f"Revoke them first, or have {name} grant them, or say --inherit.",
        accepted=False,
    )
    counts = differences.count("+", "-", "~")
    if options.dry_run:
        _echo(differences, as_json=options.as_json)
        return
    going = _total(differences.count("-"))
    if going:
        echo_changes(islice(differences.changes("-"), SHOWN), err=True)
        if going > SHOWN:
            _tell(f"... and {going - SHOWN:,} more")
        ask("Go on?", yes=options.yes)
    with progress("writing", _total(counts)) as bar:
        applier.write(bar)
    if options.as_json:
        echo_json(counts)
        return
    for kind, numbers in counts.items():
        click.echo(
            f"{kind}: {numbers['created']:,} made, {numbers['deleted']:,} gone; "
            f"{count(numbers['added'], ITEM_OF[kind])} added, {numbers['removed']:,} removed"
            + (f", {numbers['changed']:,} until another time" if numbers["changed"] else "")
        )


@contextmanager
def _compared(
    sources: Sources, file: str, only: str | None, *, only_for_good: bool
) -> Iterator[tuple[str, Differences]]:
    """Return what messages call *file*, and how it differs from *sources*."""
    kinds = KINDS if only is None else (only,)
    with temporary_database() as database:
        differences = Differences(database, kinds)
        with click.open_file(file, "rb") as opened:
            keys: set[str] = set()
            entries = (entry for entry in read_json(opened, keys) if entry.kind in kinds)
            found = file_input(file, opened, entries)
            differences.add(found)
        sources.tell_if_nothing(*kinds)
        leave_out_what_cannot_be(differences, sources, kinds, only_for_good=only_for_good)
        differences.compare(sources, with_ends=UNTIL in keys)
        if UNTIL not in keys:
            _tell_what_ends(found.name, differences.left_for_a_time())
        yield found.name, differences


def _refuse_to_empty(name: str, differences: Differences, *, accepted: bool) -> None:
    emptied = differences.emptied()
    if not emptied or accepted:
        return
    advice = "Say --empty if that is what you want"
    if len(emptied) < len(differences.kinds):
        [other] = set(KINDS) - set(emptied)
        advice = (
            f"Say --only {other} to leave the {emptied[0]} as they are, or --empty to have none"
        )
    raise Failure(
        f"{name} has no {_and_no(emptied)}: all that are there would go. Nothing was "
        f"written. {advice}."
    )


def _and_no(kinds: Sequence[str]) -> str:
    return " and no ".join(kinds)


def _refuse_to_leave_permissions(name: str, differences: Differences, *, accepted: bool) -> None:
    groups = differences.groups_that_go_and_are_granted()
    if groups:
        refuse(
            [
                f"permissions: {name} still grants them to groups that it does not have, and that "
                f"go: {some(groups)}. Whoever makes one has them."
            ],
            f"Have {name} grant them nothing, or say --unknown-groups.",
            accepted=accepted,
        )


def _tell_what_stays(name: str, stays: Mapping[str, Mapping[str, int]]) -> None:
    parts = [
        count(number, singular)
        for kind, numbers in stays.items()
        for number, singular in (
            (numbers["deleted"], SECTION_OF[kind]),
            (numbers["removed"], ITEM_OF[kind]),
        )
        if number
    ]
    if parts:
        _tell(f"Not in {name}, and left as it is: {', '.join(parts)}. --prune takes it away.")


def _tell_what_ends(name: str, ending: Mapping[str, int]) -> None:
    parts = [count(number, ITEM_OF[kind]) for kind, number in ending.items() if number]
    if parts:
        _tell(
            f"In {name}, but there for a time only: {', '.join(parts)}. It stays so: {name} has no "
            f'"{UNTIL}", so it says nothing of what ends.'
        )


def _echo(differences: Differences, *, as_json: bool) -> None:
    echo = echo_changes_as_json if as_json else echo_changes
    echo(differences.changes("+", "-", "~"))


def _total(counts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(numbers.values()) for numbers in counts.values())


def _tell(text: str) -> None:
    click.echo(printable(text), err=True)
