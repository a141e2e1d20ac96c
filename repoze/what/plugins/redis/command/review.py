"""The commands ``check`` and ``repair``."""

from collections.abc import Callable, Sequence

import click

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.findings import Finding
from repoze.what.plugins.redis.renaming import KeptWhileRenamed, find_kept, is_of_wrong_type
from repoze.what.printable import printable

from .asking import ask, yes_option
from .output import echo_json, json_option
from .sources import Sources, pass_sources

_FOUND = 1
_Found = Sequence[tuple[str, Finding | KeptWhileRenamed]]


@click.command()
@json_option
@pass_sources
def check(sources: Sources, *, as_json: bool) -> None:
    """Print what is not as it should be in the sources, and what to do.

    The exit status is 0 where all is well, 1 where something was found, 3 where there are neither
    groups nor permissions, and 2 where it could not be found out.
    """
    found = _check(sources)
    if as_json:
        echo_json(_as_json(found))
    else:
        _echo(found)
    if found:
        raise click.exceptions.Exit(_FOUND)


@click.command()
@yes_option
@json_option
@pass_sources
def repair(sources: Sources, *, yes: bool, as_json: bool) -> None:
    """Put right what `check` finds, so far as that can be done without you.

    No group, permission or member is removed. What is in the index alone is taken out of it: where
    the names of groups were lost, put them back first. The exit status is that of `check`.
    """
    found = _check(sources)
    if found:
        _echo(found, err=True)
        ask("Repair that?", yes=yes)
    repaired = _review(sources, RedisAdapter.repair) if found else []
    left = _check(sources) if found else []
    if as_json:
        echo_json({"repaired": _as_json(repaired), "left": _as_json(left)})
    elif found:
        click.echo(f"{len(repaired):,} repaired, {len(left):,} left to you.")
        _echo(left)
    if found:
        raise click.exceptions.Exit(_FOUND)


def _check(sources: Sources) -> _Found:
    found: _Found = _review(sources, RedisAdapter.check)
    try:
        found = [*found, *(("permissions", kept) for kept in find_kept(sources.adapters))]
    except SourceError as error:
        # Where the names of sections cannot be read, that is among what was found.
        if not (found and is_of_wrong_type(error)):
            raise
    if not found:
        sources.expect_something()
    return found


def _review(
    sources: Sources, operation: Callable[[RedisAdapter], list[Finding]]
) -> list[tuple[str, Finding]]:
    return [
        (kind, finding)
        for kind, adapter in sources.by_kind().items()
        for finding in operation(adapter)
    ]


def _echo(found: _Found, *, err: bool = False) -> None:
    for kind, finding in found:
        click.echo(printable(f"{kind}: {finding}"), err=err)


def _as_json(found: _Found) -> list[dict[str, str]]:
    return [
        {
            "source": kind,
            "problem": finding.problem,
            "section": finding.section,
            "item": finding.item,
        }
        for kind, finding in found
    ]
