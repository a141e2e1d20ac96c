"""The command ``watch``: changes as they happen."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isnan

import click

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.following import Follower
from repoze.what.plugins.redis.names import described

from .changes import SECTION_OF, Change
from .failures import NotThere
from .history import change_as_json, echo_change
from .notifications import Notifications
from .output import echo_json, json_option, tell
from .sources import Sources, pass_sources

# In seconds: a day.
_LONGEST_WAIT = 24 * 60 * 60
# So soon a change is told of: it takes the server as little as two lookups.
_SECONDS_BETWEEN_LOOKS = 1.0


class Snapshot:
    """What a source had in it when it was last looked at."""

    def __init__(self, kind: str, adapter: RedisAdapter) -> None:
        self._kind = kind
        self._adapter = adapter
        self._sections = adapter.get_all_sections()

    def look_at_all(self) -> Iterator[Change]:
        """Look at the source again, and return what has changed."""
        now = self._adapter.get_all_sections()
        return self._changes({name: now.get(name) for name in {*now, *self._sections}})

    def look_at(self, sections: set[str]) -> Iterator[Change]:
        """Look at some sections again, and return what has changed."""
        now = self._adapter.get_many_section_items(sections)
        return self._changes({name: now.get(name) for name in sections})

    def _changes(self, now: Mapping[str, set[str] | None]) -> Iterator[Change]:
        for section, items in sorted(now.items()):
            before = self._sections.pop(section, None)
            if items is not None:
                self._sections[section] = items
                if before is None:
                    yield Change(self._kind, section, "created")
            for item in sorted((items or set()) - (before or set())):
                yield Change(self._kind, section, "added", item)
            for item in sorted((before or set()) - (items or set())):
                yield Change(self._kind, section, "removed", item)
            if items is None and before is not None:
                yield Change(self._kind, section, "deleted")


def _check_number(
    _context: click.Context, _option: click.Parameter, every: float | None
) -> float | None:
    if isnan(every or 0):
        raise click.BadParameter("nan is no time to wait.")
    return every


@click.command()
@click.option(
    "--every",
    type=click.FloatRange(min=0.1, max=_LONGEST_WAIT),
    callback=_check_number,
    metavar="SECONDS",
    help="Compare all of it every so many seconds, and need no notifications.",
)
@json_option
@pass_sources
def watch(sources: Sources, every: float | None, *, as_json: bool) -> None:
    """Print what is changed in the groups and permissions, as it happens, until Ctrl-C.

    With a namespace that is what their history tells, and who did it. Without one, the server has
    to announce changes: notify-keyspace-events of its configuration has the flags K, s and g, or K
    and A.
    """
    if every is None and sources.groups.namespace is not None:
        _follow(sources, as_json=as_json)
        return
    found = _announced(sources) if every is None else _compared(sources, every)
    for changes in found:
        # What has been found and is not told is lost, so Ctrl-C is no good end here.
        for change in changes:
            _echo(change, as_json=as_json)


def _follow(sources: Sources, *, as_json: bool) -> None:
    followers = {kind: Follower(adapter.history) for kind, adapter in sources.by_kind().items()}
    _begin(sources)
    silent: dict[str, SourceUnavailable] = {}
    while True:
        try:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt:
            return
        for kind, follower in followers.items():
            try:
                changes, has_missed = follower.poll()
            except SourceUnavailable as error:
                # What is changed meanwhile, it tells of later.
                if kind not in silent:
                    tell(f"{error} Trying again.")
                silent[kind] = error
                continue
            if silent.pop(kind, None):
                tell(f"The {kind} can be read again.")
            if has_missed:
                tell(f"The history of the {kind} lacks some changes: they are not told here.")
            for change in changes:
                if as_json:
                    echo_json(change_as_json(kind, change))
                else:
                    echo_change(kind, change)


def _announced(sources: Sources) -> Iterator[list[Change]]:
    # First, so that nothing is missed.
    notifications = Notifications(sources.by_kind())
    snapshots = _snapshots(sources)
    for written in notifications:
        for kind, sections in written.items():
            yield list(snapshots[kind].look_at(sections))


def _compared(sources: Sources, seconds: float) -> Iterator[list[Change]]:
    snapshots = _snapshots(sources)
    while True:
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            return
        for snapshot in snapshots.values():
            yield list(snapshot.look_at_all())


def _snapshots(sources: Sources) -> dict[str, Snapshot]:
    snapshots = {kind: Snapshot(kind, adapter) for kind, adapter in sources.by_kind().items()}
    _begin(sources)
    return snapshots


def _begin(sources: Sources) -> None:
    hint = ""
    try:
        sources.expect_something()
    except NotThere as nothing:
        # It may come.
        hint = nothing.format_message()
    click.echo("Watching. Ctrl-C ends it.", err=True)
    if hint:
        click.echo(hint, err=True)


def _echo(change: Change, *, as_json: bool) -> None:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    if as_json:
        echo_json({"time": now, **change._asdict()})
        return
    what = change.change if change.item is None else f"{described(change.item)} {change.change}"
    click.echo(f"{now} {SECTION_OF[change.source]} {described(change.section)}: {what}")
