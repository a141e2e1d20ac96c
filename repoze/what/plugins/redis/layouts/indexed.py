"""The indexed layout: the sections of a namespace, and an index from items to sections."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from typing import Any

import redis
from redis import InvalidResponse

from repoze.what.acting import acting
from repoze.what.adapters import AdapterError, ItemPresentError
from repoze.what.plugins.redis.changes import Entry, Reading, first_id_at
from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.exchange import Exchange, Script
from repoze.what.plugins.redis.connection.failures import Operation, code_word, source_error
from repoze.what.plugins.redis.connection.replies import array, flag, number, texts
from repoze.what.plugins.redis.names import decode, decode_all, described, encode_text, listed
from repoze.what.plugins.redis.near_cache.cache import NearCache
from repoze.what.plugins.redis.refusals import (
    EndPastError,
    group_present,
    no_group,
    still_permitted,
)
from repoze.what.plugins.redis.times import shown, time_of
from repoze.what.plugins.redis.undoing import Place, find_place, keeps_none, refusal_of

from .layout import Answer, Layout, Write, lasts, no_section
from .scripts import script

# How often a write that the server does not remember the one before of is sent, with another.
_MOST_ATTEMPTS = 2
# How many bytes a history may take, for each change that it is to keep, and at least.
_BYTES_OF_CHANGE, _LEAST_BYTES = 4096, 16 * 1024 * 1024
# The oldest servers do not say which command it is that they do not permit.
_NEEDED_FOR_HISTORY = (
    " (to note changes in the history, a writer needs +xadd +xrange +xrevrange, or history=0)"
)
_FOR_WRITES = (
    *("call_in_parts", "indexed/databases", "indexed/format"),
    *("indexed/lasting", "indexed/history", "indexed/write", "indexed/keys"),
    *("indexed/endings", "indexed/sections", "indexed/begin"),
)
_FOR_READING_SECTIONS = "indexed/lasting", "indexed/items_of"
# These say when something ends.
_HAVE_ENDS = frozenset(("include_items", "set_until"))
# How many questions may be known to be about items that are somewhere for a time.
_MOST_MARKED = 10_000
# After these a near cache need not forget all: the answers that they change are to their names.
_CHANGE_ANSWERS_TO_THEIR_NAMES = frozenset(
    (
        *("create_section", "include_items", "exclude_items", "set_until"),
        *("remove_item", "rename_item"),
    )
)


class _Forgotten(AdapterError):  # noqa: N818 - it is no error, but an answer
    """The server has forgotten the write before this one, which is not done: `latest` is one."""

    def __init__(self, latest: bytes) -> None:
        super().__init__(latest)
        self.latest = latest


class _LeftToSteps(AdapterError):  # noqa: N818 - it is no error, but an answer
    """One script is not to change both sources, or cannot. It has done nothing."""


class IndexKeys:
    """The keys of a source, which begin with ``{NAMESPACE}:KIND:``.

    - ``sections``: the names of the sections;
    - ``section:NAME``: the items of a section, where it has any;
    - ``item:NAME``: the sections that an item is in, where it is in any;
    - ``section-until:NAME`` and ``item-until:NAME``: sorted sets of those which that is so for a
      time only, by when it ends: in milliseconds since 1970, by the clock of the server. An item
      that has any has the mark, the empty name, in ``item:NAME``;
    - ``done``: the tokens of the latest writes and their answers, in case that one is sent again;
    - ``format``: the number that says which of these keys there may be, from the first write on;
    - ``history``: what was changed, and by whom, the latest last;
    - ``aside``: of permissions alone, which items are no groups, but what a renaming in steps has
      set permissions aside under. Some may have none any more.

    In braces, the namespace is what Redis Cluster finds the slot of a key by: all are in one.

    :param namespace: whose source it is: letters, digits and ``_ . : -``.
    :param kind: what the sections are: ``groups`` or ``permissions``.
    :raises TypeError: where *namespace* is no text.
    :raises ValueError: where there is something else in *namespace*, or nothing.
    """

    def __init__(self, namespace: str, kind: str) -> None:
        if not isinstance(namespace, str):
            raise TypeError(f"A namespace is text, not {described(namespace)}")
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", namespace):
            raise ValueError(
                f"A namespace is letters, digits and _ . : -, not {described(namespace)}"
            )
        self.prefix = prefix = f"{{{namespace}}}:{kind}:".encode()
        self.sections = prefix + b"sections"
        self.section_prefix = prefix + b"section:"
        self.section_ends_prefix = prefix + b"section-until:"
        self.item_prefix = prefix + b"item:"
        self.item_ends_prefix = prefix + b"item-until:"
        self.history = prefix + b"history"
        self.pattern = prefix + b"*"
        """What `SCAN` finds them by: no character of a namespace has a meaning in a pattern."""


class IndexedLayout(Layout):
    """Sets of a source under keys of their own, with an index from items to sections.

    A lookup is one read of the index, whatever the size of the source. A write keeps the index in
    step, and takes effect once, however often it is sent: it carries a token (others call it an
    idempotency key), which is stored with its answer. It carries another that was stored before it
    was first sent, too: while that is there, what came later is. So what is not there has not been
    done, and no clock is needed.

    :param history: about how many changes are kept in the history that each write adds to; 0 is
        that it adds nothing.
    """

    _REPEATS_WRITES = True
    _FIND = script("indexed/lasting", "indexed/find_sections")
    _FIND_UNTIL = script("indexed/lasting", "indexed/find_sections_until")
    _FIND_WITH = script("joined", "indexed/lasting", "indexed/unions", "indexed/find_sections_with")
    _FIND_SHARED = script("indexed/lasting", "indexed/find_shared")
    _FIND_ITEMS_THROUGH = script(
        *("joined", "indexed/unions", *_FOR_READING_SECTIONS), "indexed/find_items_through"
    )
    _READS: Mapping[str, Script] = {
        **{
            operation: script(*_FOR_READING_SECTIONS, f"indexed/{operation}")
            for operation in (
                "get_sections_page",
                "get_many_section_items",
                "get_many_sections_until",
                "missing_items",
                "count_items",
                "until_of",
            )
        },
        "review": script("indexed/format", "indexed/review"),
    }
    _WRITES: Mapping[str, Script] = {
        operation: script(*_FOR_WRITES, *more, f"indexed/{operation}")
        for operation, more in {
            "create_section": (),
            "edit_section": (),
            "delete_section": (),
            "include_items": ("indexed/ending",),
            "exclude_items": (),
            "set_section_items": (),
            "set_until": ("indexed/ending",),
            "remove_item": ("indexed/memberships",),
            "rename_item": ("indexed/memberships",),
            "undo": ("indexed/undoing",),
        }.items()
    }
    # Those of both kinds.
    _JOINT_WRITES: Mapping[str, Script] = {
        operation: script(
            *(*_FOR_WRITES, "indexed/memberships", "indexed/grants"), f"indexed/{operation}"
        )
        for operation in ("rename_group", "delete_group")
    } | {
        "undo": script(
            *(*_FOR_WRITES, "indexed/memberships", "indexed/grants", "indexed/undoing"),
            "indexed/undo_group",
        )
    }

    def __init__(
        self,
        database: Database,
        keys: IndexKeys,
        near_cache: NearCache | None = None,
        *,
        history: int,
        **options: Any,
    ) -> None:
        super().__init__(database, **options)
        self._history = history
        self.keys = keys
        self._near_cache = near_cache
        # Items that were found to be somewhere for a time. They are asked about as such at once, so
        # that it is one round trip, too; if they are not any more, the answer is the same.
        self._marked: set[frozenset[bytes]] = set()
        # The latest write that is known to have been done: none, at first.
        self._known = b""

    def __str__(self) -> str:
        return str(self._database)

    def find_sections(self, items: Sequence[bytes]) -> tuple[Iterable[bytes], float]:  # noqa: D102
        keys = [self.keys.item_prefix + item for item in items]
        command = "SMEMBERS" if len(keys) == 1 else "SUNION"

        def read(exchange: Exchange) -> tuple[Iterable[bytes], float]:
            if not self._marked or frozenset(items) not in self._marked:
                found = texts(exchange.send(command, *keys))
                if b"" not in found:
                    return found, inf
            return self._read_lasting(exchange, items, keys)

        return self.reader.run(Operation("find_sections", tuple(items)), read)

    def _read_lasting(
        self, exchange: Exchange, items: Sequence[bytes], keys: Sequence[bytes]
    ) -> tuple[Iterable[bytes], float]:
        ends_keys = [self.keys.item_ends_prefix + item for item in items]
        reply = exchange.evaluate(self._FIND, (*keys, *ends_keys), (), is_reading=True)
        is_marked, milliseconds, *found = array(reply)
        if not flag(is_marked):
            self._marked.discard(frozenset(items))
        else:
            if len(self._marked) >= _MOST_MARKED:
                self._marked.clear()
            self._marked.add(frozenset(items))
        return texts(found), lasts(number(milliseconds))

    def joins(self, other: Layout) -> bool:  # noqa: D102
        return isinstance(other, IndexedLayout) and self.reader.reaches(other.reader)

    def _read_joint(self, exchange: Exchange, item: bytes, other: "IndexedLayout") -> Any:
        return exchange.evaluate_read_only(
            self._FIND_WITH,
            (self.keys.item_prefix + item, self.keys.item_ends_prefix + item),
            (
                *(other.keys.item_prefix, other.keys.item_ends_prefix),
                *self._elsewhere(other)[:1],
            ),
        )

    def _read_shared(
        self, exchange: Exchange, item: bytes, other: "IndexedLayout", section: bytes
    ) -> Any:
        return exchange.evaluate_read_only(
            self._FIND_SHARED,
            (self.keys.item_prefix + item, self.keys.item_ends_prefix + item),
            (other.keys.prefix, section, *self._elsewhere(other)[:1]),
        )

    def _read_items_through(
        self, exchange: Exchange, other: "IndexedLayout", section: bytes
    ) -> Any:
        return exchange.evaluate_read_only(
            self._FIND_ITEMS_THROUGH,
            (self.keys.sections,),
            (other.keys.sections, section, *self._elsewhere(other)),
        )

    def _elsewhere(self, other: "IndexedLayout") -> list[bytes]:
        """Return the numbers of the database of *other* and of this one, where they are two."""
        numbers = [other.reader.number, self.reader.number]
        return [b"%d" % each for each in numbers] if len(set(numbers)) > 1 else []

    def get_section_items(self, section: bytes) -> set[bytes]:  # noqa: D102
        [items] = self.reader.run(
            Operation("get_section_items", (section,)), self._reading_of((section,))
        )
        if items is None:
            raise no_section(section, self.reader)
        return items

    def section_exists(self, section: bytes) -> bool:  # noqa: D102
        return self._database.run(
            Operation("section_exists", (section,)),
            lambda exchange: flag(exchange.send("SISMEMBER", self.keys.sections, section)),
        )

    def item_is_included(self, section: bytes, item: bytes) -> bool:  # noqa: D102
        def read(exchange: Exchange) -> bool:
            key = self.keys.section_prefix + section
            # Most are in it for good, and that is one command, which also a slot that is being
            # moved does not refuse.
            return flag(exchange.send("SISMEMBER", key, item)) or not self._missing(
                exchange, section, (item,)
            )

        return self._database.run(Operation("item_is_included", (section, item)), read)

    def count_items(self, section: bytes) -> int:  # noqa: D102
        return self._database.run(
            Operation("count_items", (section,)),
            lambda exchange: number(self._read(exchange, "count_items", (section,))),
        )

    def missing_items(self, section: bytes, items: Sequence[bytes]) -> list[bytes]:  # noqa: D102
        return self._database.run(
            Operation("missing_items", (section, *items)),
            lambda exchange: self._missing(exchange, section, items),
        )

    def _missing(self, exchange: Exchange, section: bytes, items: Sequence[bytes]) -> list[bytes]:
        reply = self._read(exchange, "missing_items", (section, *items))
        flags = map(flag, array(reply, length=len(items)))
        return [item for item, is_missing in zip(items, flags, strict=True) if is_missing]

    def until_of(self, section: bytes) -> dict[bytes, int]:  # noqa: D102
        def read(exchange: Exchange) -> dict[bytes, int] | None:
            reply = self._read(exchange, "until_of", (section,))
            return None if reply is None else _ends(reply)

        found = self.reader.run(Operation("until_of", (section,)), read)
        if found is None:
            raise no_section(section, self.reader)
        return found

    def find_sections_until(self, item: bytes) -> dict[bytes, int | None]:  # noqa: D102
        keys = self.keys.item_prefix + item, self.keys.item_ends_prefix + item
        return self.reader.run(
            Operation("find_sections_until", (item,)),
            lambda exchange: _with_ends(
                exchange.evaluate(self._FIND_UNTIL, keys, (), is_reading=True)
            ),
        )

    def _read_many_until(
        self, exchange: Exchange, names: Sequence[bytes]
    ) -> list[dict[bytes, int | None] | None]:
        reply = self._read(exchange, "get_many_sections_until", names)
        return [
            None if items is None else _with_ends(items)
            for items in array(reply, length=len(names))
        ]

    def set_until(self, section: bytes, item: bytes, ending: bytes) -> None:  # noqa: D102
        operation = Operation("set_until", (section, item), is_write=True)
        self._carry_out(self._write_of(operation, ending))

    def include_items_until(  # noqa: D102
        self, section: bytes, items: Iterable[bytes], ending: bytes
    ) -> None:
        operation = Operation("include_items", (section, *items), is_write=True)
        self._carry_out(self._write_of(operation, ending))

    def read_history(
        self, first: bytes, last: bytes, count: int, *, before_write: bool = False
    ) -> list[Entry]:
        """Return the latest *count* entries of the history from *first* to *last*, latest first.

        :param before_write: whether a write depends on it, so that no replica is asked.
        """

        def read(exchange: Exchange) -> list[Entry]:
            reply = exchange.send("XREVRANGE", self.keys.history, last, first, "COUNT", count)
            entries = [array(entry, length=2) for entry in array(reply)]
            return [(*texts([entry_id]), array(texts(fields))) for entry_id, fields in entries]

        database = self._database if before_write else self.reader
        return database.run(Operation("history"), read)

    def place_of(self, token: str, reading: Reading, since: datetime | None = None) -> Place | None:
        """Return where the change with that token is in the history; `None` where it is not.

        :param reading: what has been read of it, and what is read now.
        :param since: when it was made, if that is known, so that nothing older is read.
        :raises UndoRefused: where something later is in the way of undoing it.
        """
        first = None if since is None else first_id_at(since)
        read = partial(self.read_history, before_write=True)
        return find_place(reading.entries(read, first or b"-"), token)

    def undo(self, token: str, place: Place) -> None:
        """Take back the change with that token, which is in its *place*.

        :raises UndoRefused: where the source is not as the change has left it.
        :raises GoneOn: where the history is not as it was.
        """
        self._check_history()
        write = self._write_of(Operation("undo", (encode_text(token),), is_write=True))
        self._carry_out(replace(write, arguments=(*write.arguments, *_arguments(place))))

    def undo_group(
        self, other: "IndexedLayout", token: str, place: Place, of_other: Place | None
    ) -> bool:
        """Take back that a group was renamed or deleted, here and in *other*.

        :param other: what this one `changes_with`.
        :param of_other: the place of the change in *other*, where the group had permissions.
        :return: whether the server has one script change both. Nothing is done elsewhere.
        :raises UndoRefused: where a source is not as the change has left it.
        :raises GoneOn: where a history is not as it was.
        """
        self._check_history()
        other._check_history()  # noqa: SLF001 - its sibling
        places = (*_arguments(place), *_arguments(of_other))
        return self._change_with(other, "undo", (encode_text(token),), *places) is not None

    def _check_history(self) -> None:
        if not self._history:
            raise keeps_none(self._database)

    @property
    def key_patterns(self) -> list[tuple[bytes, bytes | None]]:  # noqa: D102
        prefixes = self.keys.section_prefix, self.keys.section_ends_prefix
        return [*((prefix + b"*", prefix) for prefix in prefixes), (self.keys.sections, None)]

    def changes_with(self, other: "IndexedLayout") -> bool:
        """Whether `rename_group` and `delete_group` can change *other*, too."""
        return (
            # What is done by this one alone is as durable as *other* would make it.
            self._wait_replicas >= other._wait_replicas  # noqa: SLF001 - its sibling
            and (self._saving is not None or other._saving is None)  # noqa: SLF001
            and self._database.reaches(other._database)  # noqa: SLF001
        )

    def rename_group(
        self, other: "IndexedLayout", group: bytes, new_group: bytes, ends: Iterable[bytes]
    ) -> Sequence[bytes] | None:
        """Rename the section *group*, and the item of *other*, and return the sections of that.

        :param other: what this one `changes_with`.
        :param ends: what the items begin with, and what they end with, that there are where a
            renaming of one of both, or to one, is done in steps, and has not been ended.
        :return: `None` where there is one, or the server does not have one script change both.
            Nothing is done then.
        :raises NonExistingSectionError: where there is no *group*.
        :raises ExistingSectionError: where *new_group* is there, *group* itself included.
        :raises ItemPresentError: where it is not, and is an item of *other*.
        """
        return self._change_with(other, "rename_group", (group, new_group), *ends)

    def delete_group(
        self, other: "IndexedLayout", group: bytes, ends: Iterable[bytes]
    ) -> Sequence[bytes] | None:
        """Remove the section *group*, and the item of *other*, and return the sections of that.

        :param other: what this one `changes_with`.
        :param ends: as `rename_group` takes them.
        :return: `None` as `rename_group` returns it.
        :raises NonExistingSectionError: where there is no *group*.
        """
        return self._change_with(other, "delete_group", (group,), *ends)

    def _change_with(
        self, other: "IndexedLayout", name: str, groups: tuple[bytes, ...], *more: bytes
    ) -> Sequence[bytes] | None:
        operation = Operation(name, groups, is_write=True)
        databases = self._database, other._database  # noqa: SLF001 - its sibling
        numbers = (b"%d" % each.number for each in databases)
        write = self._write(
            operation,
            self._JOINT_WRITES[name],
            (self.keys.sections, other.keys.sections),
            (*groups, *more, *numbers),
        )
        try:
            return self._carry_out(write)
        except _LeftToSteps:
            return None
        finally:
            # As in `_run`, which sees to the near cache of this one.
            near_cache = other._near_cache  # noqa: SLF001 - its sibling
            if near_cache is not None:
                # An undo is about a change, which may be of any of them.
                near_cache.forget(None if name == "undo" else groups)

    def _scan_sections(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        return exchange.send("SSCAN", self.keys.sections, cursor, "COUNT", count)

    def _scan_keys(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        return exchange.send("SCAN", cursor, "MATCH", self.keys.pattern, "COUNT", count)

    def _run(
        self,
        operation: Operation,
        conversation: Callable[[Exchange], tuple[Answer, bool]],
        *,
        is_repeatable: bool,
    ) -> Answer:
        try:
            return super()._run(operation, conversation, is_repeatable=is_repeatable)
        finally:
            # Also where the outcome is unknown. What the server tells comes a moment later.
            if self._near_cache is not None and operation.name != "check":
                by_name = operation.name in _CHANGE_ANSWERS_TO_THEIR_NAMES
                self._near_cache.forget(operation.names if by_name else None)

    def _read(
        self,
        exchange: Exchange,
        operation: str,
        names: Sequence[bytes],
        *,
        is_reading: bool = True,
    ) -> Any:
        return exchange.evaluate(
            self._READS[operation], (self.keys.sections,), names, is_reading=is_reading
        )

    def _write_of(self, operation: Operation, ending: bytes = b"") -> Write:
        names = operation.names
        if operation.name in _HAVE_ENDS:
            section, *items = names
            names = section, ending, *items
        return self._write(operation, self._WRITES[operation.name], (self.keys.sections,), names)

    def _write(
        self,
        operation: Operation,
        script: Script,
        keys: tuple[bytes, ...],
        names: tuple[bytes, ...],
    ) -> Write:
        # Made here, once: with another for each attempt, a write would be done twice.
        token = os.urandom(16).hex().encode()
        most_bytes = max(self._history * _BYTES_OF_CHANGE, _LEAST_BYTES)
        who = acting()
        noted = (
            *(b"%d" % self._history, b"%d" % most_bytes),
            *(encode_text(who.by), encode_text(who.note)),
        )
        return Write(operation, script, keys, (token, self._known, *noted, *names))

    def _carry_out(self, write: Write) -> Sequence[bytes]:
        token, _, *names = write.arguments
        for _ in range(_MOST_ATTEMPTS):
            try:
                details = super()._carry_out(write)
            except _Forgotten as forgotten:
                write = replace(write, arguments=(token, forgotten.latest, *names))
            else:
                self._known = token
                return details
        raise source_error(_has_forgotten(), write.operation, self._database, lost_reply=False)

    def _send(self, write: Write, exchange: Exchange) -> tuple[Sequence[bytes], bool]:
        try:
            return super()._send(write, exchange)
        except _Forgotten:
            # Where it knew of none, the script has always refused; and where no reply was lost,
            # nothing has been done.
            known = write.arguments[1]
            if known and exchange.lost_reply:
                raise _has_forgotten() from None
            raise
        except redis.ResponseError as error:
            # A node of a cluster, asked as a server, may have both sources, in two slots.
            if code_word(error) == "CROSSSLOT" and len(write.keys) > 1:
                raise _LeftToSteps from error
            if self._history and code_word(error) == "NOPERM":
                raise type(error)(f"{error}{_NEEDED_FOR_HISTORY}") from error
            raise

    def _refusal(self, reply: Sequence[bytes], names: Sequence[bytes]) -> AdapterError:
        match reply:
            case [b"forgotten", latest]:
                return _Forgotten(latest)
            case [b"kept"] | [b"apart"]:
                return _LeftToSteps()
            case [b"present for a time", *pairs]:
                return _present_for_a_time(names[0], pairs, self._database)
            case [b"past", now]:
                return EndPastError(
                    f"That time is past: at the server it is {shown(_time_of(now))}. Nothing was "
                    f"written ({self._database}).",
                    written=False,
                )
        return (
            _refusal_of_group(reply, names)
            or refusal_of(decode(names[0]), reply)
            or super()._refusal(reply, names)
        )


def _refusal_of_group(reply: Sequence[bytes], names: Sequence[bytes]) -> AdapterError | None:
    match reply:
        case [b"no group"]:
            return no_group(decode(names[0]))
        case [b"group present"]:
            return group_present(decode(names[-1]))
        case [b"still permitted", *permissions]:
            return still_permitted(
                decode(names[-1]), decode_all(permissions), "choose another name"
            )
    return None


def _milliseconds(text: bytes) -> int:
    # A score is a number with a fraction, to the server.
    if not text.isdigit():
        raise InvalidResponse(f"a time was expected, not {described(text)}")
    return int(text)


def _time_of(text: bytes) -> datetime:
    return time_of(_milliseconds(text))


def _ends(reply: Any) -> dict[bytes, int]:
    pairs = array(texts(reply))
    return dict(zip(pairs[::2], map(_milliseconds, pairs[1::2]), strict=True))


def _with_ends(reply: Any) -> dict[bytes, int | None]:
    for_good, ending = array(reply, length=2)
    # An end counts where somebody else has written that it is for good, too.
    found: dict[bytes, int | None] = {**dict.fromkeys(texts(for_good)), **_ends(ending)}
    found.pop(b"", None)
    return found


def _present_for_a_time(
    section: bytes, pairs: Sequence[bytes], database: Database
) -> ItemPresentError:
    ends = dict(zip(pairs[::2], pairs[1::2], strict=True))
    told = ", ".join(
        f"{listed((item,))} until {shown(_time_of(end))}" if end else listed((item,))
        for item, end in ends.items()
    )
    return ItemPresentError(
        f"Section {listed((section,))} has {told} already ({database}). What says anew until when "
        "is set_until."
    )


def _arguments(place: Place | None) -> tuple[bytes, bytes]:
    """Return what ``undoing.lua`` is told of *place*."""
    return (b"", b"") if place is None else (place.entry_id, encode_text(place.latest))


def _has_forgotten() -> redis.ResponseError:
    return redis.ResponseError(
        "FORGOTTEN so much has been written since that it cannot tell what was done"
    )
