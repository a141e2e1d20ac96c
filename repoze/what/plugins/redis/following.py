"""Each change of a source as it is made, by what its history tells."""

from collections.abc import Callable, Iterable
from itertools import islice

from repoze.what.adapters import AdapterError

from .changes import Change

# So many of the latest changes are known again. After a failover the latest may be missing, which
# the new primary has not heard of, and are not taken for a gap.
_MOST_KNOWN = 1000


class MissedChanges(AdapterError):  # noqa: N818 - it tells what has happened, as its siblings do
    """Changes were made which the history does not have any more, or never had."""


class Follower:
    """Tells of each change once, in the order in which they were made.

    Changes are told apart by their tokens. The ids of the stream are of no use for it: after a
    failover, new ones may lie behind those that were read.

    :param read: returns the changes of a history, the latest first, and reads them as they are
        asked for.
    :param after: the token of the change after which to begin; `None` is from now on.
    """

    def __init__(self, read: Callable[[], Iterable[Change]], after: str | None = None) -> None:
        self._read = read
        if after is None:
            latest = islice(read(), _MOST_KNOWN)
            self._known = dict.fromkeys(reversed([change.token for change in latest]))
        else:
            self._known = {after: None}

    def poll(self) -> tuple[list[Change], bool]:
        """Return the changes since the last time, and whether there may have been others.

        There may where none of those that were known is in the history any more.
        """
        changes = []
        has_missed = bool(self._known)
        for change in self._read():
            if change.token in self._known:
                has_missed = False
                break
            changes.append(change)
        changes.reverse()
        if has_missed:
            self._known.clear()
        self._known |= dict.fromkeys(change.token for change in changes)
        for token in list(self._known)[:-_MOST_KNOWN]:
            del self._known[token]
        return changes, has_missed
