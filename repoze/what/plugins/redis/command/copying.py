"""The command ``copy``: from one server or layout to another."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import click

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.copying import CopyError, check_ends, copy_sections
from repoze.what.plugins.redis.renaming import refuse_interrupted

from .ends import only_for_good_option
from .failures import Failure
from .leftovers import as_conflict, find_leftovers
from .noting import noted
from .output import echo_json, json_option, progress
from .sources import Sources, pass_sources, source_options
from .summaries import refuse


@click.command()
@click.argument("to_url", metavar="TO_URL", envvar="REPOZE_WHAT_REDIS_TO_URL")
@source_options
@only_for_good_option
@json_option
@noted
@pass_sources
def copy(
    sources: Sources, /, to_url: str, *, only_for_good: bool, as_json: bool, **options: Any
) -> None:
    """Copy all groups and permissions to the sources at TO_URL.

    The options after `copy` say where they lie there, those before it where they are. What is there
    stays, and a copy that was stopped can be run again. What ends by itself ends there at the same
    time. Without TO_URL it is what REPOZE_WHAT_REDIS_TO_URL in the environment says: a password
    belongs there.
    """
    targets = Sources(to_url, **options)
    targets.url_name = "TO_URL"
    _refuse_to_mix(sources, targets)
    sources.expect_something()
    refuse(
        list(_inherited(sources, targets)),
        "Revoke them there first.",
        accepted=False,
    )
    if not only_for_good:
        _refuse_ends(sources, targets)
    copied = {
        kind: _copy(adapter, targets.by_kind()[kind], kind, only_for_good=only_for_good)
        for kind, adapter in sources.by_kind().items()
    }
    if as_json:
        echo_json(copied)
    else:
        for kind, number in copied.items():
            click.echo(f"{kind}: {number:,} copied")


def _refuse_to_mix(sources: Sources, targets: Sources) -> None:
    for source, target in product(sources.by_kind().values(), targets.by_kind().values()):
        if source.place == target.place and (source.namespace is None) != (
            target.namespace is None
        ):
            raise Failure(
                f"That would mix two layouts in {source.place}. Without a namespace, each set "
                "there is a group or a permission, the keys of the other included. Use another "
                "database."
            )


def _refuse_ends(sources: Sources, targets: Sources) -> None:
    # Of both, before one of them is copied.
    for kind, adapter in sources.by_kind().items():
        try:
            check_ends(adapter, targets.by_kind()[kind])
        except CopyError as error:
            text = str(error).replace("an adapter", "sources")
            text = text.replace("with only_for_good", "with --only-for-good")
            raise Failure(f"{kind}: {text} Nothing was written.") from error


def _copy(source: RedisAdapter, target: RedisAdapter, kind: str, *, only_for_good: bool) -> int:
    with progress(kind, len(source.get_section_names())) as bar:
        reached = 0

        def show(gone_through: int, _: int) -> None:
            nonlocal reached
            bar.update(gone_through - reached)
            reached = gone_through

        return copy_sections(source, target, show, only_for_good=only_for_good)


def _inherited(sources: Sources, targets: Sources) -> Iterator[str]:
    new_groups = sources.groups.get_section_names() - targets.groups.get_section_names()
    if new_groups:
        targets.expect_permissions("copy to where it has them", accepted=False)
    refuse_interrupted(targets.adapters, new_groups)
    for group, left in find_leftovers(targets.permissions, sorted(new_groups)):
        inherited = left - sources.permissions.find_sections(group)
        if inherited:
            yield as_conflict(group, inherited)
