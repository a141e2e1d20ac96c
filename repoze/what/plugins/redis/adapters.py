"""The adapters: a question of repoze.what becomes one operation on the server."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import partial
from math import inf
from operator import attrgetter
from time import sleep
from types import TracebackType
from typing import Any, ClassVar, Literal, NoReturn, Self, TypeVar, cast

import redis

from repoze.what.adapters import (
    BaseSourceAdapter,
    NonExistingSectionError,
    SourceAdapter,
    SourceError,
    as_set,
    find_many,
    is_one_name,
)

from .changes import Change, Reading, change_of, first_id_at, pages_of_entries
from .connection.clients import client_of_database
from .connection.cluster import ClusterDatabase
from .connection.database import WATCH_EVERY, Database, ServerDatabase
from .findings import Finding
from .following import Follower, MissedChanges
from .layouts.indexed import IndexedLayout, IndexKeys
from .layouts.layout import Layout
from .layouts.plain import PlainLayout
from .layouts.saving import Save, Saving
from .layouts.taking_back import undo, undo_of_group
from .names import (
    Name,
    decode,
    decode_all,
    described,
    encode,
    encode_for_write,
    encode_known,
)
from .near_cache.cache import NearCache, NearCacheInfo
from .settings.urls import client_from_url
from .times import aware, ending_argument, time_of

Adapter = TypeVar("Adapter", bound="RedisAdapter")

# What a near cache keeps where no number is given: some 10 MB, for users in some ten groups each.
_ANSWERS = 10_000
# About how many changes a history keeps where no number is given.
_CHANGES = 10_000
_MAX_STALENESS, _MAX_AGE = 1.0, 60.0
_NO_HISTORY = (
    "A source on the plain layout has no history: beside the sections there is no room for it. "
    "Copy it to a namespace, with copy_sections or the command copy, and what is changed from then "
    "on is noted"
)
_NO_ENDS = (
    "On the plain layout, who is in a section is in it for good: beside the sections there is no "
    "room for when that ends. Copy the source to a namespace, with copy_sections or the command "
    "copy. Nothing was written"
)
# It takes two pings in that time to serve from a near cache.
_LEAST_STALENESS = 0.05
_TEXT = frozenset((str,))


class RedisAdapter(BaseSourceAdapter):
    """What the adapters of groups and of permissions have in common."""

    DB_NAME: ClassVar[int]
    source_kind: ClassVar[str]

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        client: redis.Redis | redis.RedisCluster,
        db: int | Literal["default"] | None = "default",
        *,
        namespace: str | None = None,
        writable: bool = True,
        read_from: redis.Redis | None = None,
        wait_replicas: int = 0,
        save: Save | None = None,
        save_every: int | None = None,
        history: int | None = None,
        near_cache: bool | int = False,
        max_staleness: float | None = None,
        max_age: float | None = None,
    ) -> None:
        super().__init__(writable)
        staleness = _seconds("max_staleness", max_staleness, _MAX_STALENESS, near_cache=near_cache)
        age = _seconds("max_age", max_age, _MAX_AGE, near_cache=near_cache)
        self.namespace = namespace
        self._client = client
        self._raw_client: redis.Redis | None = None
        # Bytes are not compared with text, which may raise a `BytesWarning`, but refused.
        is_default = isinstance(db, str) and db == "default"
        self._db = self.DB_NAME if is_default else cast("int | None", db)
        keys = None if namespace is None else IndexKeys(namespace, self.source_kind)
        part = "" if namespace is None else f", namespace {namespace!r}"
        self._database: Database
        self._reader: Database | None = None
        if isinstance(client, redis.RedisCluster):
            if not (is_default or not db) or keys is None:
                raise ValueError(
                    "On a Redis Cluster, give the adapter a namespace and no db. Without a "
                    "namespace, sections are keys that lie on all of its nodes, and no node can "
                    "look through those of another; and its only database is 0."
                )
            if read_from is not None:
                raise ValueError(
                    "On a Redis Cluster read_from is not possible: lookups go to the primary."
                )
            self._database = ClusterDatabase(client, keys.sections, part)
        else:
            # What they say has to be newer than what a near cache may serve.
            watch_every = min(WATCH_EVERY, staleness / 2) if near_cache else WATCH_EVERY
            self._database = ServerDatabase(client, self._db, part, watch_every=watch_every)
            if read_from is not None:
                self._reader = ServerDatabase(read_from, self._database.number, part)
        self._near_cache = self._make_near_cache(keys, near_cache, staleness, age)
        changes = _CHANGES if history is None else _number("history", history, 0)
        options: dict[str, Any] = {
            "reader": self._reader,
            "wait_replicas": _number("wait_replicas", wait_replicas, 0),
            "saving": _saving(self._database, save, save_every),
        }
        self._layout: Layout = (
            PlainLayout(self._database, **options)
            if keys is None
            else IndexedLayout(self._database, keys, self._near_cache, history=changes, **options)
        )
        if keys is None and history:
            raise ValueError(
                "Without a namespace there is no history: beside the sections there is no room for "
                "it. Give the adapter a namespace; copy_sections copies the source to it."
            )
        if db is None and keys is None:
            warnings.warn(
                f"With db=None, each set in {self._database} is a section: whoever may write "
                "there may make one. Give the adapter a database of its own, or a namespace.",
                stacklevel=2,
            )

    @classmethod
    def from_url(cls: type[Adapter], url: str | None = None, **options: Any) -> Adapter:
        """Return an adapter with a client of the server that *url* names.

        :param url: a URL, such as ``redis://localhost:6379``; left out, it is what
            ``REPOZE_WHAT_REDIS_URL`` in the environment says. The manual has all its forms.
        :param options: arguments of the adapter and settings of its client, each as text or as
            what its text stands for; *read_from* is a URL, too. They count where the query of
            *url* says something else. `None` is that an option is not given; for a time-out, it is
            to wait for ever.
        :raises ValueError: where there is no URL, it makes no sense, or an option is not known or
            makes no sense. No error shows a password.
        :raises TypeError: where the URL or an option is neither text nor what text stands for.
        :raises SourceError: where the URL is of a Redis Cluster, and it refuses;
            `SourceUnavailable` where it cannot be reached. Other servers are not asked anything.
        """
        client, arguments = client_from_url(url, options)
        return cls(client, **arguments)

    @property
    def place(self) -> str:
        """Where the database of the source is, for people to read; never with a password."""
        return self._database.place

    @property
    def reads_from_replica(self) -> bool:
        """Whether lookups are asked of another server than the one that is written."""
        return self._reader is not None

    def mixes_with(self, other: object) -> bool:
        """Whether the sections of *other* would be taken for this source's, or these for its own.

        They would where both lie in one database, and either has no namespace.
        """
        # Also of what stands in front of an adapter.
        if not isinstance(other, RedisAdapter):
            return False
        return (self.namespace is None or other.namespace is None) and not (
            self._locations().isdisjoint(other._locations())  # noqa: SLF001 - its sibling
        )

    def _locations(self) -> set[object]:
        return {each.location for each in (self._database, self._reader) if each is not None}

    def __repr__(self) -> str:
        lookups = f"; lookups at {self._reader}" if self._reader else ""
        return f"<{type(self).__name__}: {self._database}{lookups}>"

    def __getstate__(self) -> NoReturn:
        # What another process could make one anew with has a password in it.
        raise TypeError(
            f"A {type(self).__name__} cannot be pickled or copied, for it has connections. Where "
            "processes are spawned, make one in each, by from_url or adapters_from_settings say. "
            "Those that are forked may share one."
        )

    @property
    def db_connection(self) -> redis.Redis | redis.RedisCluster:
        """A client of the adapter's database, for raw access, on connections of its own.

        For a Redis Cluster it is the client that the adapter was given.
        """
        if isinstance(self._client, redis.RedisCluster):
            return self._client
        # Up to Python 3.11, a cached property has a lock, which a child may find held for ever.
        if self._raw_client is None:
            self._raw_client = client_of_database(self._client, self._db)
        return self._raw_client

    def get_all_sections(self) -> dict[str, set[str]]:
        """Return all sections, each with its items.

        They are read about 100 at a time: each section is consistent in itself, but a change of
        several that is made meanwhile may be seen in part. A section that is there all the while
        is never missed.

        :raises SourceError: where the server refuses; `SourceUnavailable` where it cannot be
            reached or does not answer. So do all methods, and it is not said of each.
        """
        return {
            decode(section): decode_all(items)
            for section, items in self._layout.get_all_sections().items()
        }

    def get_section_names(self) -> set[str]:
        """Return the names of all sections."""
        return decode_all(self._layout.get_section_names())

    def get_many_section_items(self, sections: Iterable[Name]) -> dict[str, set[str]]:
        """Return the items of those of *sections* that there are, asking for 100 at a time."""
        found = self._layout.get_many_section_items(list(encode_known(_several(sections))))
        return {decode(section): decode_all(items) for section, items in found.items()}

    def get_section_items(self, section: Name) -> set[str]:
        """Return the items of *section*.

        :raises NonExistingSectionError: where there is no such section.
        """
        name = encode(section)
        if name is None:
            raise NonExistingSectionError(f"{described(section)} cannot name a section.")
        return decode_all(self._layout.get_section_items(name))

    def find_sections(self, hint: Any) -> set[str]:
        """Return the sections that belong to *hint*: `find_sections_many` of one."""
        return self._find(self._items((hint,)))

    def find_sections_many(self, hints: Iterable[Any]) -> set[str]:
        """Return the sections that belong to any of *hints*, asking the server once.

        :param hints: credentials where this is a group adapter, and groups where it is a permission
            adapter. What can name nothing (an empty name, `None`, what is not text, bytes or an
            int) belongs to no section.
        """
        return self._find(self._items(_several(hints)))

    def create_section(self, section: Name) -> None:
        """Add *section*, without items.

        :raises ExistingSectionError: where there is one of that name.
        :raises SourceError: where the name is refused, or is that of a key which is no section.
            Any write raises it on an adapter that is not writable, or where a name is refused.
        """
        self._check_writable()
        self._layout.create_section(encode_for_write(section))

    def edit_section(self, section: Name, new_section: Name) -> None:
        """Rename *section* to *new_section*; it keeps its items.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ExistingSectionError: where *new_section* is taken, by *section* itself included.
        """
        self._check_writable()
        self._layout.edit_section(encode_for_write(section), encode_for_write(new_section))

    def delete_section(self, section: Name) -> None:
        """Remove *section* and its items.

        :raises NonExistingSectionError: where there is no such section.
        """
        self._check_writable()
        self._layout.delete_section(encode_for_write(section))

    def include_items(
        self, section: Name, items: Iterable[Name], until: datetime | timedelta | None = None
    ) -> None:
        """Add *items* to *section*: all of them, or none where one is refused.

        :param until: when they are out of it again, by themselves: a time, or for how long from now
            on, by the clock of the server. That is for the indexed layout. `None` is for good.
        :raises NonExistingSectionError: where there is no such section.
        :raises ItemPresentError: where one of them is in it already, be it for a time: `set_until`
            is what says anew until when.
        :raises ValueError: where *until* has no time zone, or is not to come.
        :raises EndPastError: where it is past at the server.
        :raises SourceError: where the source is on the plain layout.
        """
        ending = None if until is None else ending_argument(until)
        self._check_writable()
        names = encode_for_write(section), _encode_all(items)
        if ending is None:
            self._layout.include_items(*names)
        else:
            self._indexed_layout(_NO_ENDS).include_items_until(*names, ending)

    def include_item(
        self, section: Name, item: Name, until: datetime | timedelta | None = None
    ) -> None:
        """Add one item to *section*: `include_items` of one."""
        self.include_items(section, (item,), until)

    def until_of(self, section: Name) -> dict[str, datetime]:
        """Return when those items of *section* are out of it that are in it for a time only.

        :return: times in UTC, by the clock of the server.
        :raises NonExistingSectionError: where there is no such section.
        """
        name = encode(section)
        if name is None:
            raise NonExistingSectionError(f"{described(section)} cannot name a section.")
        return {decode(item): time_of(end) for item, end in self._layout.until_of(name).items()}

    def get_many_sections_until(
        self, sections: Iterable[Name]
    ) -> dict[str, dict[str, datetime | None]]:
        """Return what `get_many_section_items` does, and until when each item is in it.

        :return: by section and item, times as `until_of` has them. `None` is that it is in it for
            good; on the plain layout, each is.
        """
        found = self._layout.get_many_sections_until(list(encode_known(_several(sections))))
        return {decode(section): _times(items) for section, items in found.items()}

    def find_sections_until(self, hint: Any) -> dict[str, datetime | None]:
        """Return the sections that belong to *hint*, and until when they do.

        :param hint: as for `find_sections`.
        :return: by section, times as `until_of` has them. `None` is that it does for good.
        """
        names = encode_known(self._items((hint,)))
        return {
            section: until
            for name in names
            for section, until in _times(self._layout.find_sections_until(name)).items()
        }

    def server_time(self) -> datetime:
        """Return what time it is by the clock of the server, which says when memberships end."""
        return time_of(self._layout.server_time())

    @property
    def keeps_ends(self) -> bool:
        """Whether items can be in a section for a time: as they can on the indexed layout."""
        return isinstance(self._layout, IndexedLayout)

    def set_until(self, section: Name, item: Name, until: datetime | timedelta | None) -> None:
        """Say anew until when *item* is in *section*, in which it is.

        :param until: as for `include_items`; `None` is that it is in it for good from now on.
        :raises NonExistingSectionError: where there is no such section.
        :raises ItemNotPresentError: where the item is not in it, or not any more.
        :raises ValueError: where *until* has no time zone, or is not to come.
        :raises EndPastError: where it is past at the server.
        :raises SourceError: where the source is on the plain layout.
        """
        ending = b"" if until is None else ending_argument(until)
        self._check_writable()
        names = encode_for_write(section), encode_for_write(item)
        self._indexed_layout(_NO_ENDS).set_until(*names, ending)

    def exclude_items(self, section: Name, items: Iterable[Name]) -> None:
        """Remove *items* from *section*: all of them, or none where one is refused.

        :raises NonExistingSectionError: where there is no such section.
        :raises ItemNotPresentError: where one of them is not in it.
        """
        self._check_writable()
        self._layout.exclude_items(encode_for_write(section), _encode_all(items))

    def exclude_item(self, section: Name, item: Name) -> None:
        """Remove one item from *section*: `exclude_items` of one."""
        self.exclude_items(section, (item,))

    def set_section_items(self, section: Name, items: Iterable[Name]) -> None:
        """Make *items* all that *section* has.

        :raises NonExistingSectionError: where there is no such section.
        """
        self._check_writable()
        self._layout.set_section_items(encode_for_write(section), _encode_all(items))

    def remove_item(self, item: Name) -> set[str]:
        """Remove *item* from every section, and return the sections that had it.

        :raises ItemNotPresentError: where no section has it.
        """
        self._check_writable()
        return decode_all(self._layout.remove_item(encode_for_write(item)))

    def rename_item(self, item: Name, new_item: Name) -> set[str]:
        """Put *new_item* in the place of *item* in every section that has it, and return those.

        :raises ItemNotPresentError: where no section has *item*.
        :raises ItemPresentError: where any section has *new_item*, be it *item* itself.
        """
        self._check_writable()
        return decode_all(
            self._layout.rename_item(encode_for_write(item), encode_for_write(new_item))
        )

    def _merge_item(self, item: Name, new_item: Name) -> set[str]:
        """Do as `rename_item`, but where sections have *new_item*, which is another, they keep it.

        :raises ItemNotPresentError: where no section has *item*.
        """
        self._check_writable()
        return decode_all(
            self._layout.merge_item(encode_for_write(item), encode_for_write(new_item))
        )

    def check(self) -> list[Finding]:
        """Return what is not as it should be in the source; nothing, if all is well.

        On the indexed layout that is where sections and index are not in step; on the plain one,
        what lies in the database and is no section, or stands beside the items of one. Only
        somebody else's writes can have brought it about. The whole database is gone through, in
        pages, so this is for an operator, not for a request; others may write meanwhile.
        """
        return self._review(repair=False)

    def repair(self) -> list[Finding]:
        """Put right what can be, and return it; what then is left, `check` finds.

        On the indexed layout the index is made anew from the sections, key by key, and at no
        moment does it grant what the sections do not. No section and no item is removed. Where it
        fails, what it has put right stays so: call it again.
        """
        self._check_writable()
        return self._review(repair=True)

    def history(
        self,
        section: Name | None = None,
        item: Name | None = None,
        by: Name | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[Change]:
        """Yield the changes that the history tells of, the latest first.

        They are read in pages, when they are asked for. What is changed meanwhile is not among
        them. It is for the indexed layout, and tells what was changed by adapters whose *history*
        is not 0, so far as it goes back.

        :param section: only those of this section, by its old name and by its new one.
        :param item: only those that put this item into a section, or took it out.
        :param by: only those that were made by this user.
        :param since: only those from this time on, by the clock of the server.
        :param before: only those before this time.
        :raises ValueError: where a time is without a time zone.
        :raises SourceError: where the source is on the plain layout.
        """
        layout = self._indexed_layout(_NO_HISTORY)
        first, end = _id_at("since", since), _id_at("before", before)
        wanted = [None if name is None else encode(name) for name in (section, item, by)]
        none_wanted = (before is not None and end is None) or any(
            name is not None and encoded is None
            for name, encoded in zip((section, item, by), wanted, strict=True)
        )
        if none_wanted:
            return iter(())
        last = b"+" if end is None else b"(" + end
        names = [None if name is None else decode(name) for name in wanted]
        pages = _pages_of_history(layout, first or b"-", last)
        return (change for page in pages for change in page if change.concerns(*names))

    def follow(self, after: Change | str | None = None, every: float = 1.0) -> Iterator[Change]:
        """Yield each change as it is made, for as long as the next is asked for.

        That is what the history tells, so it needs one, as `history` does. The server is asked for
        it again and again; nothing is missed or told twice, whatever becomes of the connection or
        of the primary meanwhile. A membership that ends by itself is no change. What a failover has
        lost was told of, if it was made longer before than *every*.

        :param after: the change after which to begin, or its token; left out, it is from now on.
        :param every: after how many seconds to ask again.
        :raises MissedChanges: where *after*, or what was yielded last, is not in the history any
            more, so that others may be missing, too. Begin again, from now on.
        :raises SourceUnavailable: where the server cannot be reached. Begin again after the last
            change, and none is missed.
        :raises TypeError: where *every* is no number.
        :raises ValueError: where it is not positive.
        """
        if isinstance(every, bool) or not isinstance(every, (int, float)):
            raise TypeError(f"every is a number of seconds, not {described(every)}")
        if not 0 < every < inf:
            raise ValueError(f"every is a positive number of seconds, not {every}")
        token = after.token if isinstance(after, Change) else after
        return self._follow(Follower(self.history, token), every)

    def _follow(self, follower: Follower, every: float) -> Iterator[Change]:
        while True:
            changes, has_missed = follower.poll()
            if has_missed:
                raise MissedChanges(
                    "Changes were made that are not in the history any more. Begin again without "
                    f"after, from now on, and see what there is ({self._database})."
                )
            yield from changes
            sleep(every)

    def _indexed_layout(self, why: str) -> IndexedLayout:
        if isinstance(self._layout, IndexedLayout):
            return self._layout
        raise SourceError(f"{why} ({self._database}).", written=False)

    def undo(self, change: Change, reading: Reading | None = None) -> None:
        """Undo *change*, exactly, or not at all.

        What it added is taken out, what it removed is put back; a section that it deleted is there
        again with its items, one that it created is gone, one that it renamed has its old name
        and the items of now. The undo is noted in the history as other changes are, and can be
        undone. It is for the indexed layout.

        :param change: what `history` has yielded. If it renamed or deleted a group with its
            permissions, it is for the `undo` of the pair.
        :param reading: what has been read of the history to undo another change before this one;
            `.Adapters.undo_each` sees to that.
        :raises UndoRefused: where it is not in the history any more, or undone already; where a
            later change, which the error names, is in the way; where the source is not as it was
            left; or where *history* is 0.
        :raises SourceError: where others write all the time, or the source is on the plain layout.
        """
        layout = self._layout_to_undo(change)
        self._check_writable()
        undo(layout, change, reading or Reading())

    def _layout_to_undo(self, change: Change) -> IndexedLayout:
        if not isinstance(change, Change):
            raise TypeError(f"a Change of history() is undone, not {described(change)}")
        return self._indexed_layout(_NO_HISTORY)

    def count_items(self, section: Name) -> int:
        """Return how many items *section* has, which is quick however many they are.

        There are none where there is no such section.
        """
        name = encode(section)
        return 0 if name is None else self._layout.count_items(name)

    def missing_items(self, section: Name, items: Iterable[Name]) -> set[str]:
        """Return those of *items* that *section* lacks: all, where there is no such section.

        What can name nothing is among none.
        """
        names, name = encode_known(_several(items)), encode(section)
        if name is None or not names:
            return decode_all(names)
        return decode_all(self._layout.missing_items(name, list(names)))

    @property
    def key_patterns(self) -> list[tuple[bytes, bytes | None]]:
        """What the keys match that a change of the source writes, for keyspace notifications.

        Each with what comes before the name of a section in it; `None` where no name is in it.
        """
        return self._layout.key_patterns

    def close(self) -> None:
        """Close all connections, but for those of `db_connection`; what is in use, afterwards.

        So does the end of a ``with`` block. The client that the adapter was given stays as it is.
        The adapter may still be asked, and then connects anew.
        """
        if self._near_cache is not None:
            self._near_cache.close()
        if self._reader is not None:
            self._reader.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def near_cache_info(self) -> NearCacheInfo | None:
        """Return what the near cache has done in this process, or `None` where there is none."""
        return None if self._near_cache is None else self._near_cache.info()

    def _find(self, items: Collection[object]) -> set[str]:
        if self._near_cache is None:
            return self._ask_for_sections(encode_known(items))[0]
        return set(self._near_cache.find_sections(_question(items), self._ask_for_sections))

    def _ask_for_sections(self, items: Collection[bytes]) -> tuple[set[str], float]:
        if not items:
            return set(), inf
        found, lasts = self._layout.find_sections(list(items))
        # What has no name is no section, whoever wrote it.
        return decode_all(filter(None, found)), lasts

    def _make_near_cache(
        self, keys: IndexKeys | None, size: object, max_staleness: float, max_age: float
    ) -> NearCache | None:
        if not size:
            return None
        if keys is None:
            raise ValueError(
                "Without a namespace there is no near_cache: the keys have no prefix, so the "
                "server would tell of each change of any key, in all of its databases."
            )
        if self._reader is not None:
            raise ValueError(
                "With read_from there is no near_cache: a replica may tell of a change, and then "
                "another be asked which has yet to hear of it."
            )
        # In a configuration file, 1 is true; to keep one answer is of no use.
        is_true = isinstance(size, int) and size == 1
        return NearCache(
            self._database,
            (keys.item_prefix, keys.item_ends_prefix),
            size=_ANSWERS if is_true else _number("near_cache", size, 2),
            max_staleness=max_staleness,
            max_age=max_age,
        )

    def _review(self, *, repair: bool) -> list[Finding]:
        return [
            Finding(problem, decode(section), decode(item))
            for problem, section, item in self._layout.review(repair=repair)
        ]

    # What the base class asks of a subclass. Its own operations check first and then call these;
    # ours check on the server, so these are the same.

    _get_all_sections = get_all_sections
    _get_section_items = get_section_items
    _find_sections = find_sections
    _create_section = create_section
    _edit_section = edit_section
    _delete_section = delete_section
    _include_items = include_items
    _exclude_items = exclude_items

    def _items(self, hints: Iterable[Any]) -> Collection[object]:
        return hints if isinstance(hints, frozenset) else list(hints)

    def _section_exists(self, section: Name) -> bool:
        name = encode(section)
        return name is not None and self._layout.section_exists(name)

    def _item_is_included(self, section: Name, item: Name) -> bool:
        name, item_name = encode(section), encode(item)
        if name is None or item_name is None:
            return False
        return self._layout.item_is_included(name, item_name)


class RedisGroupAdapter(RedisAdapter):
    """A group source in Redis: the groups are its sections, user ids their items.

    :param client: a redis-py client of any kind. Its settings are used, and it is left alone: the
        adapter opens connections of its own, the first when it is first asked.
    :param db: the number of the database; ``"default"`` is `DB_NAME`. `None` is that of *client*,
        which is warned about where there is no *namespace*: each set there is then a section.
        A Redis Cluster has database 0 only, so it is left out there.
    :param namespace: left out, the source is all sets of the database (the plain layout). With a
        namespace, of letters, digits and ``_ . : -``, it lies under keys of its own (the indexed
        layout): it shares the database with anything, a lookup costs the same whatever the size
        of the source, and it can be kept in a Redis Cluster, which needs one.
    :param writable: whether this adapter may change the source.
    :param read_from: a client of a replica, or Sentinel's of any (``slave_for``), for lookups and
        other reading; `check`, and what a write has to know first, is asked of *client*. A replica
        is behind: a right that has been revoked may be found there for as long as it is.
    :param wait_replicas: how many replicas have to confirm each write; where fewer do, it raises
        `TooFewReplicas`, and has taken effect.
    :param save: have the server save its data to disk after writes: ``"background"`` while it goes
        on, or ``"sync"`` while everybody waits. Left out, that is for the server's settings.
    :param save_every: after how many writes of this adapter to save; left out, after each.
    :param history: about how many changes are kept in the history that each write adds to; left
        out, 10,000. 0 is that it adds nothing. It needs a *namespace*. Those who only read the
        history need not say it.
    :param near_cache: how many answers of lookups to keep in the memory of the process, and to
        serve from there until the server tells that they have changed; ``True`` is 10,000. It needs
        a *namespace*, and the extra ``near-cache``. The manual says what it promises.
    :param max_staleness: in seconds: for how long to serve them where nothing has proved since that
        the server would have told; left out, one second.
    :param max_age: in seconds: for how long to keep an answer at all; left out, 60 seconds.
    :raises TypeError: where *client* or *read_from* is no redis-py client, *db* or another number
        none, or *namespace* no text.
    :raises ValueError: where *db* or *wait_replicas* is negative, *save* is something else,
        *save_every* not positive or without *save*, *history* negative or without *namespace*,
        *namespace* has other characters, *client*
        is a cluster's and there is no *namespace*, or a *db* or *read_from*; or where there is a
        *near_cache* and no *namespace*, or *read_from*, or *max_staleness* or *max_age* is below
        0.05, or there without it.
    :raises ModuleNotFoundError: where there is a *near_cache* and its extra is not installed.

    One adapter serves all threads of a process, and the processes that it forks.
    """

    DB_NAME = 1
    source_kind = "groups"

    def find_with_permissions(
        self, hint: Any, permissions: SourceAdapter
    ) -> tuple[set[str], set[str]]:
        """Return the groups of *hint*, and what any of them is permitted.

        That is one question to the server where one connection reaches both sources, as it does
        where both adapters are given one client; both answers are then of one moment. With near
        caches of one *max_staleness* it is none where both have the answer. Else it is two: where
        one of the adapters has a near cache, where *permissions* is another kind of adapter, or a
        lookup of either is a subclass's own, before Redis 7.0, and where NUL is in a name.

        :param hint: credentials, as for `find_sections`.
        :param permissions: the adapter of the source of permissions.
        """
        sibling = self._joined(permissions)
        if sibling is None:
            found = as_set(self.find_sections(hint))
            return found, find_many(permissions, found)
        groups, permitted = self._find_both(sibling, hint)
        return set(groups), set(permitted)

    def permits(self, hint: Any, permissions: SourceAdapter, permission: Name) -> bool | None:
        """Return whether any group of *hint* has *permission*.

        :param hint: credentials, as for `find_sections`.
        :param permissions: the adapter of the source of permissions.
        :return: `None` where `find_with_permissions` would take two questions, too.
        """
        sibling = self._joined(permissions)
        if sibling is None:
            return None
        if self._near_cache is None:
            shared = self._find_shared(sibling, hint, permission)
            return None if shared is None else bool(shared)
        name = encode(permission)
        # A set of many permissions takes longer to copy than to find.
        _, permitted = self._find_both(sibling, hint)
        return name is not None and decode(name) in permitted

    def find_shared(
        self, hint: Any, permissions: SourceAdapter, permission: Name
    ) -> set[str] | None:
        """Return the groups of *hint* that have *permission*.

        :param hint: credentials, as for `find_sections`.
        :param permissions: the adapter of the source of permissions.
        :return: `None` where `find_with_permissions` would take two questions, too.
        """
        sibling = self._joined(permissions)
        return None if sibling is None else self._find_shared(sibling, hint, permission)

    def _find_both(
        self, sibling: "RedisPermissionAdapter", hint: Any
    ) -> tuple[AbstractSet[str], AbstractSet[str]]:
        near, ask = sibling._near_cache, partial(self._ask_for_both, sibling._layout)  # noqa: SLF001
        user = (self._user_id(hint),)
        if self._near_cache is None or near is None:
            groups, permitted, _ = ask(encode_known(user))
        else:
            groups, permitted = self._near_cache.find_both(_question(user), ask, near)
        return groups, sibling.find_sections_many(groups) if permitted is None else permitted

    def _find_shared(
        self, sibling: "RedisPermissionAdapter", hint: Any, permission: Name
    ) -> set[str] | None:
        user, name = encode(self._user_id(hint)), encode(permission)
        if user is None or name is None:
            return set()
        found = self._layout.find_shared(user, sibling._layout, name)  # noqa: SLF001 - its sibling
        return None if found is None else decode_all(filter(None, found))

    def find_items_through(self, permissions: SourceAdapter, permission: Name) -> set[str] | None:
        """Return the users in any group that has *permission*.

        :param permissions: the adapter of the source of permissions.
        :return: `None` where `find_with_permissions` would take two questions, too.
        :raises NonExistingSectionError: where there is no such permission.
        """
        name, sibling = encode(permission), self._joined(permissions)
        if name is None or sibling is None:
            return None
        found = self._layout.find_items_through(sibling._layout, name)  # noqa: SLF001 - its sibling
        return None if found is None else set(filter(None, found[1]))

    def rename_with_permissions(
        self, group: Name, new_group: Name, permissions: SourceAdapter, ends: Iterable[Name]
    ) -> set[str] | None:
        """Rename *group* in both sources at once, and return its permissions, which go along.

        :param permissions: the adapter of the source of permissions.
        :param ends: what the names begin with, and what they end with, that have permissions
            while one of both groups is renamed in steps.
        :return: `None` where that has to be done, gone on with or refused: nothing is done here
            where one script cannot change both sources, or such a name has permissions.
        :raises NonExistingSectionError: where there is no *group*.
        :raises ExistingSectionError: where *new_group* is there, *group* itself included.
        :raises ItemPresentError: where it is not, but has permissions.
        """
        layouts = self._layouts_changed(permissions)
        if layouts is None:
            return None
        name, new_name = encode_for_write(group), encode_for_write(new_group)
        moved = layouts[0].rename_group(layouts[1], name, new_name, map(encode_for_write, ends))
        return None if moved is None else decode_all(moved)

    def delete_with_permissions(
        self, group: Name, permissions: SourceAdapter, ends: Iterable[Name]
    ) -> set[str] | None:
        """Remove *group*, revoke its permissions at once, and return these.

        :param permissions: the adapter of the source of permissions.
        :param ends: as `rename_with_permissions` takes them.
        :return: `None` as `rename_with_permissions` returns it.
        :raises NonExistingSectionError: where there is no *group*.
        """
        layouts = self._layouts_changed(permissions)
        if layouts is None:
            return None
        name = encode_for_write(group)
        revoked = layouts[0].delete_group(layouts[1], name, map(encode_for_write, ends))
        return None if revoked is None else decode_all(revoked)

    def undo_with_permissions(
        self,
        change: Change,
        permissions: SourceAdapter,
        readings: tuple[Reading, Reading] | None = None,
    ) -> bool:
        """Undo *change*, which renamed or deleted a group, in both sources at once.

        :param permissions: the adapter of the source of permissions.
        :param readings: what has been read of the histories, as `undo` has it.
        :return: whether one script can change both sources; nothing is done elsewhere.
        :raises UndoRefused: as `undo` does.
        """
        self._layout_to_undo(change)
        layouts = self._layouts_changed(permissions)
        if layouts is None:
            return False
        undo_of_group(*layouts, change, readings or (Reading(), Reading()))
        return True

    def _layouts_changed(
        self, permissions: SourceAdapter
    ) -> tuple[IndexedLayout, IndexedLayout] | None:
        """Return the layouts of both sources, where one script changes them."""
        sibling = _sibling(permissions)
        if sibling is None:
            return None
        ours, other = self._layout, sibling._layout  # noqa: SLF001 - its sibling
        if not (
            isinstance(ours, IndexedLayout)
            and isinstance(other, IndexedLayout)
            and _OWN_STEPS[RedisGroupAdapter].are_in(self)
            and _OWN_STEPS[RedisPermissionAdapter].are_in(sibling)
            and ours.changes_with(other)
        ):
            return None
        self._check_writable()
        sibling._check_writable()  # noqa: SLF001 - its sibling
        return ours, other

    def _joined(self, permissions: SourceAdapter) -> "RedisPermissionAdapter | None":
        """Return *permissions*, where one question answers for both."""
        sibling = _sibling(permissions)
        is_joined = (
            sibling is not None
            and _OWN_LOOKUPS[RedisGroupAdapter].are_in(self)
            and _OWN_LOOKUPS[RedisPermissionAdapter].are_in(sibling)
            and self._answers_with(sibling)
        )
        return sibling if is_joined else None

    def _answers_with(self, sibling: "RedisPermissionAdapter") -> bool:
        near, other = self._near_cache, sibling._near_cache  # noqa: SLF001 - its sibling
        if near is None or other is None:
            return near is other and self._layout.joins(sibling._layout)  # noqa: SLF001
        # They are of indexed layouts.
        return near.joins(other)

    def _ask_for_both(
        self, other: Layout, items: Collection[bytes]
    ) -> tuple[AbstractSet[str], AbstractSet[str] | None, float]:
        if not items:
            return set(), set(), inf
        [user] = items
        found = self._layout.find_sections_with(user, other)
        if found is None:
            groups, lasts = self._ask_for_sections(items)
            return groups, None, lasts
        names, permitted, lasts = found
        return set(filter(None, names)), set(filter(None, permitted)), lasts

    def _items(self, hints: Iterable[Any]) -> Collection[object]:
        return [self._user_id(hint) for hint in hints]

    def _user_id(self, hint: Any) -> object:
        if hint is None:
            return None
        # What an abstract class takes to find out is half as much as an answer from memory.
        if not isinstance(hint, (dict, Mapping)):
            raise SourceError(
                f"Credentials are a mapping with a 'repoze.what.userid', not {described(hint)}.",
                written=False,
            )
        return hint.get("repoze.what.userid")


class RedisPermissionAdapter(RedisAdapter):
    """A permission source in Redis: the permissions are its sections, groups their items.

    Its arguments, and what it raises, are those of `RedisGroupAdapter`.
    """

    DB_NAME = 2
    source_kind = "permissions"


# What lookups go through, which a subclass or a test may have changed.
_LOOKUPS = (
    *("find_sections", "find_sections_many", "find_with_permissions"),
    *("get_section_items", "get_many_section_items"),
    *("_items", "_user_id", "_find", "_ask_for_sections", "__getattribute__"),
)
# What the steps go through that rename or delete a group.
_STEPS = (
    *(*_LOOKUPS, "get_section_names", "edit_section", "delete_section", "include_item"),
    *("include_items", "exclude_item", "exclude_items", "remove_item", "rename_item"),
    *("_merge_item", "_check_writable", "undo"),
)


class _Methods:
    """Those of *kind* by these *names*, where it has them."""

    def __init__(self, kind: type[RedisAdapter], names: Iterable[str]) -> None:
        self._names = frozenset(name for name in names if hasattr(kind, name))
        self._get = attrgetter(*self._names)
        self._functions = self._get(kind)

    def are_in(self, adapter: RedisAdapter) -> bool:
        """Whether *adapter* has these, and no others by their names."""
        return self._names.isdisjoint(vars(adapter)) and (
            self._get(type(adapter)) == self._functions
        )


_OWN_LOOKUPS, _OWN_STEPS = (
    {kind: _Methods(kind, names) for kind in (RedisGroupAdapter, RedisPermissionAdapter)}
    for names in (_LOOKUPS, _STEPS)
)


def _sibling(permissions: SourceAdapter) -> RedisPermissionAdapter | None:
    # Not isinstance: what stands in front of an adapter, and has the last word, says it is one.
    if issubclass(type(permissions), RedisPermissionAdapter):
        return cast(RedisPermissionAdapter, permissions)
    return None


def _pages_of_history(layout: IndexedLayout, first: bytes, last: bytes) -> Iterator[list[Change]]:
    for entries in pages_of_entries(layout.read_history, first, last):
        changes = (change_of(*entry) for entry in entries)
        yield [change for change in changes if change is not None]


def _id_at(name: str, when: datetime | None) -> bytes | None:
    return None if when is None else first_id_at(aware(name, when))


def _question(items: Collection[object]) -> frozenset[str]:
    # Of two that are equal and no text, one may name something else, as True and 1 do.
    question = items if _TEXT.issuperset(map(type, items)) else decode_all(encode_known(items))
    return cast(frozenset[str], frozenset(question))


def _number(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a number, not {described(value)}")
    if value < least:
        raise ValueError(f"{name} is a number from {least}, not {value}")
    return value


def _seconds(name: str, value: float | None, default: float, *, near_cache: object) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {described(value)}")
    if not _LEAST_STALENESS <= value < inf:
        raise ValueError(f"{name} is a number of seconds from {_LEAST_STALENESS}, not {value}")
    if not near_cache:
        raise ValueError("max_staleness and max_age are for a near_cache: ask for one.")
    return value


def _saving(database: Database, save: Save | None, save_every: int | None) -> Saving | None:
    every = 1 if save_every is None else _number("save_every", save_every, 1)
    if save is not None:
        return Saving(database, save, every)
    if save_every is not None:
        raise ValueError("save_every says after how many writes to save: say how, with save.")
    return None


def _several(names: Iterable[Any]) -> Iterable[Any]:
    if is_one_name(names) or not isinstance(names, Iterable):
        raise SourceError(f"Several names are wanted, not {described(names)}.", written=False)
    return names


def _times(ends: Mapping[bytes, int | None]) -> dict[str, datetime | None]:
    return {decode(name): None if end is None else time_of(end) for name, end in ends.items()}


def _encode_all(items: Iterable[Name]) -> list[bytes]:
    return list({encode_for_write(item) for item in _several(items)})
