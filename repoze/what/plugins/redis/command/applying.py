"""Making the sources what a file says: compared first, and then written."""

from collections.abc import Iterator
from contextlib import suppress

from repoze.what.plugins.redis.names import decode, described, some
from repoze.what.plugins.redis.refusals import EndPastError
from repoze.what.plugins.redis.renaming import refuse_interrupted

from .changes import SECTION_OF
from .differences import Differences, Sign
from .ends import include_until
from .failures import Failure
from .importing import AGAIN, ITEMS_AT_A_TIME, told_to_run_again
from .leftovers import as_conflict, find_leftovers, refuse_grants_to_no_group
from .output import Bar
from .sources import KINDS, Sources


class Applier:
    """Makes the changes that were found between a file and the sources.

    What goes, goes first, and permissions before groups; what comes, comes then, and groups before
    permissions. So whoever has a right in between had it before, or has it afterwards.

    :param inherit: whether a group that comes may have what an earlier one of its name has left.
    """

    def __init__(self, differences: Differences, sources: Sources, *, inherit: bool) -> None:
        self._differences = differences
        self._sources = sources
        self._adapters = sources.by_kind()
        self._inherit = inherit

    def check(self) -> list[str]:
        """Return what somebody has to decide before anything is written, in words.

        :raises NotThere: where groups that come or go may have permissions somewhere else.
        :raises RenamingInterrupted: where one was that has set aside what is such a group's.
        """
        groups = list(self._differences.groups("+", "-"))
        if not groups:
            return []
        self._sources.expect_permissions("say --inherit", accepted=self._inherit)
        refuse_interrupted(self._sources.adapters, groups)
        return [
            as_conflict(group, left)
            for group, permissions in self._find_leftovers("+")
            if (
                left := {name for name in permissions if not self._differences.revokes(name, group)}
            )
        ]

    def write(self, bar: Bar) -> None:
        """Make the changes. Each is refused where somebody else has made it meanwhile.

        :param bar: goes on by the number of changes.
        :raises Failure: where an adapter refuses, in the middle perhaps; or all is written, and
            somebody has deleted a group meanwhile that permissions are granted to.
        :raises RenamingInterrupted: as `check` does. Nothing is written then.
        """
        groups = list(self._differences.groups("+", "-"))
        if groups:
            # Once more: somebody may have thought for long whether to go on.
            refuse_interrupted(self._sources.adapters, groups)
        told = self._differences.unknown_groups()
        told |= self._differences.groups_that_go_and_are_granted()
        with told_to_run_again():
            for kind in reversed(KINDS):
                self._take(kind, bar)
            # Of what was there before, all has been taken that was to go.
            self._refuse_new_leftovers()
            for kind in KINDS:
                self._set_ends(kind, bar)
            for kind in KINDS:
                self._give(kind, bar)
            refuse_grants_to_no_group(self._differences, self._sources, told)

    def _take(self, kind: str, bar: Bar) -> None:
        adapter = self._adapters[kind]
        for section, goes, pages in self._differences.by_section(kind, "-", ITEMS_AT_A_TIME):
            for _, items in pages:
                adapter.exclude_items(section, items)
                bar.update(len(items))
            if goes:
                self._refuse_new_items(kind, section)
                adapter.delete_section(section)
                bar.update(1)

    def _set_ends(self, kind: str, bar: Bar) -> None:
        for section, item, until in self._differences.items_that_change(kind):
            # Where that has come meanwhile, it is as the file says when it ends.
            with suppress(EndPastError):
                self._adapters[kind].set_until(section, item, until)
            bar.update(1)

    def _give(self, kind: str, bar: Bar) -> None:
        adapter = self._adapters[kind]
        for section, comes, pages in self._differences.by_section(kind, "+", ITEMS_AT_A_TIME):
            if comes:
                adapter.create_section(section)
                bar.update(1)
            for until, items in pages:
                include_until(adapter, section, items, until)
                bar.update(len(items))

    def _refuse_new_items(self, kind: str, section: bytes) -> None:
        # Nobody has been shown that they would go.
        items = self._adapters[kind].get_section_items(section)
        if items:
            raise Failure(
                f"The {SECTION_OF[kind]} {described(decode(section))} is not deleted: meanwhile "
                f"somebody has put into it: {some(items)}. {AGAIN}"
            )

    def _refuse_new_leftovers(self) -> None:
        for group, permissions in self._find_leftovers("+", "-"):
            raise Failure(
                f"{as_conflict(group, permissions)}. Somebody has granted that meanwhile, or check "
                f"finds more. Revoke it. {AGAIN}"
            )

    def _find_leftovers(self, *signs: Sign) -> Iterator[tuple[str, set[str]]]:
        """Return the groups that come, or go, and have more than the file grants, with that."""
        looked_at = [sign for sign in signs if not (sign == "+" and self._inherit)]
        groups = self._differences.groups(*looked_at)
        for group, permissions in find_leftovers(self._sources.permissions, groups):
            left = {name for name in permissions if not self._differences.grants(name, group)}
            if left:
                yield group, left
