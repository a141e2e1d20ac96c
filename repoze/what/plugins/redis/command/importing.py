"""Bringing what is staged into the sources: compared first, and then written."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis.names import decode, described, some
from repoze.what.plugins.redis.renaming import refuse_interrupted

from .changes import ITEMS_OF
from .ends import include_until
from .failures import Failure
from .leftovers import as_conflict, find_leftovers, refuse_grants_to_no_group
from .output import Bar, tell
from .sources import KINDS, Sources
from .staging import Stage
from .summaries import Summary, in_conflict

# 1,000 items keep the server for about a millisecond.
ITEMS_AT_A_TIME = 1000
AGAIN = "What is written stays: run it again to complete it."


@contextmanager
def told_to_run_again() -> Iterator[None]:
    """Say what becomes of what has been written, where the rest cannot be.

    :raises Failure: where an adapter refuses, in the middle perhaps.
    """
    try:
        yield
    except AdapterError as error:
        raise Failure(f"{error} {AGAIN}") from error
    except KeyboardInterrupt:
        tell(f"\n{AGAIN}")
        raise


def leave_out_what_cannot_be(
    stage: Stage, sources: Sources, kinds: Iterable[str], *, only_for_good: bool
) -> None:
    """Forget what of *stage* has ended, and say so on the standard error.

    :param only_for_good: whether to forget all that ends.
    :raises Failure: where something ends, and a source has no room for it.
    """
    for kind in kinds:
        adapter = sources.by_kind()[kind]
        if not stage.ends(kind):
            continue
        # It is the server that has the last word.
        ended = stage.leave_out_what_ends(kind, before=adapter.server_time())
        if ended:
            click.echo(f"{kind}: left out, for their time is past: {', '.join(ended)}", err=True)
        if only_for_good:
            stage.leave_out_what_ends(kind)
        elif stage.ends(kind) and not adapter.keeps_ends:
            raise Failure(
                f"{kind}: some {ITEMS_OF[kind]} are to end by themselves, and without a namespace "
                "there is no room for when that is. Nothing was written. Use sources with a "
                "namespace, or say --only-for-good to leave such out."
            )


class Importer:
    """Compares a stage with the sources, and gives these what they lack. Nothing is taken away."""

    def __init__(self, stage: Stage, sources: Sources) -> None:
        self._stage = stage
        self._sources = sources
        self._adapters = sources.by_kind()
        # The names that were there.
        self._sections = {
            kind: adapter.get_section_names() for kind, adapter in self._adapters.items()
        }
        self.conflicts: list[str] = []
        """What `compare` found and somebody has to decide, in words."""
        self.other_ends: list[str] = []
        """What it found there that ends at another time, and stays so, in words."""

    def compare(self, bar: Bar, *, merge: bool) -> dict[str, Summary]:
        """Return, by kind, what `write` is going to do, and note the conflicts.

        :param bar: goes on by the number of sections and items.
        :param merge: whether what stays there beside it is accepted.
        :raises NotThere: where new groups may have permissions somewhere else.
        :raises RenamingInterrupted: where one was that has set aside what is a new group's.
        """
        summaries = {kind: self._compare(kind, bar) for kind in KINDS}
        if next(self._new_groups(), None) is not None:
            self._sources.expect_permissions("say --merge", accepted=merge)
        refuse_interrupted(self._sources.adapters, self._new_groups())
        for group, permissions in find_leftovers(self._sources.permissions, self._new_groups()):
            inherited = {name for name in permissions if not self._stage.grants(name, group)}
            if inherited:
                self.conflicts.append(as_conflict(group, inherited))
        return summaries

    def _compare(self, kind: str, bar: Bar) -> Summary:
        adapter, summary = self._adapters[kind], Summary()
        for section, length in self._stage.sections(kind):
            is_new = self._is_new(kind, section)
            missing = length if is_new else self._count_missing(kind, section)
            if not is_new and missing < length:
                self._note_other_ends(kind, section)
            others = 0 if is_new else adapter.count_items(section) - (length - missing)
            if others:
                self.conflicts.append(in_conflict(kind, decode(section), others))
            summary.count(is_new=is_new, items=missing)
            bar.update(1 + length)
        return summary

    def _count_missing(self, kind: str, section: bytes) -> int:
        return sum(
            len(self._adapters[kind].missing_items(section, items))
            for items in self._stage.items(kind, section, ITEMS_AT_A_TIME)
        )

    def _note_other_ends(self, kind: str, section: bytes) -> None:
        adapter = self._adapters[kind]
        if not adapter.keeps_ends:
            return
        there = adapter.until_of(section)
        others = []
        for until, items in self._stage.items_until(kind, section, ITEMS_AT_A_TIME):
            # Most are there for good, as here.
            items_there = (
                set(map(decode, items)) & there.keys()
                if until is None
                else (set(map(decode, items)) - adapter.missing_items(section, items))
            )
            others += [item for item in items_there if there.get(item) != until]
        if others:
            self.other_ends.append(
                f"{kind}: {described(decode(section))} has until another time than here, and keeps "
                f"so: {some(others)}"
            )

    def _is_new(self, kind: str, section: bytes) -> bool:
        return decode(section) not in self._sections[kind]

    def _new_groups(self) -> Iterator[str]:
        for section, _ in self._stage.sections("groups"):
            if self._is_new("groups", section):
                yield decode(section)

    def unknown_groups(self) -> set[str]:
        """Return what permissions are granted to and is no group: neither staged, nor there."""
        return {
            decode(group)
            for group in self._stage.groups_only_granted()
            if self._is_new("groups", group)
        }

    def write(self, bar: Bar) -> None:
        """Create the sections that are not there, and include the items that they do not have.

        :param bar: goes on by the number of sections and items.
        :raises Failure: where an adapter refuses, in the middle perhaps; or all is written, and
            somebody has deleted a group meanwhile that permissions are granted to.
        """
        told = self.unknown_groups()
        with told_to_run_again():
            for kind in KINDS:
                for section, _ in self._stage.sections(kind):
                    self._write(kind, section, bar)
            refuse_grants_to_no_group(self._stage, self._sources, told)

    def _write(self, kind: str, section: bytes, bar: Bar) -> None:
        adapter, is_new = self._adapters[kind], self._is_new(kind, section)
        if is_new:
            adapter.create_section(section)
        bar.update(1)
        for until, items in self._stage.items_until(kind, section, ITEMS_AT_A_TIME):
            missing = items if is_new else adapter.missing_items(section, items)
            if missing:
                include_until(adapter, section, missing, until)
            bar.update(len(items))
