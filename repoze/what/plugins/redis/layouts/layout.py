"""How sections and items lie in Redis, and the operations on them.

Sections and items are bytes here, and not empty; see `names`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import monotonic
from typing import Any, ClassVar, TypeVar

import redis
from more_itertools import chunked
from redis import InvalidResponse

from repoze.what.adapters import (
    AdapterError,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
)
from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.exchange import (
    BETWEEN_REFUSALS,
    Exchange,
    Script,
    is_refused_command,
)
from repoze.what.plugins.redis.connection.failures import Operation, code_word
from repoze.what.plugins.redis.connection.replies import (
    array,
    joined_texts,
    number,
    pages,
    texts,
)
from repoze.what.plugins.redis.findings import Problem
from repoze.what.plugins.redis.names import decode, described, listed

from .replication import TooFewReplicas, confirm_replication, unasked
from .saving import Saving

Answer = TypeVar("Answer")

# 100 sections with 100 items each keep the server for about a millisecond.
_SECTIONS_AT_A_TIME = 100
_NAMES_AT_A_TIME = 1000
# What ``joined.lua`` makes of two.
_LISTS = 4


@dataclass(frozen=True, slots=True)
class Write:
    """What is sent for a write, each time that it is: nothing in it changes with the attempts."""

    operation: Operation
    script: Script
    keys: tuple[bytes, ...]
    arguments: tuple[bytes, ...]


class Layout(ABC):
    """The operations of a source; a subclass says where in *database* the source lies.

    Each is one command or one script on the server, so nobody comes between its check and its
    write; those that read or review many sections alone are one for each so many.

    :param reader: the database on a replica, where there is one that lookups are to go to. What
        precedes a write never does.
    :param wait_replicas: how many replicas have to confirm each write.
    :param saving: what counts the writes, where they are to be saved.
    """

    # Whether a write is sent again where the connection was lost before its reply came. Where it
    # came too late, none is.
    _REPEATS_WRITES: ClassVar[bool]

    def __init__(
        self,
        database: Database,
        reader: Database | None = None,
        wait_replicas: int = 0,
        saving: Saving | None = None,
    ) -> None:
        self._database = database
        self.reader = reader or database
        self._wait_replicas = wait_replicas
        self._saving = saving
        # By operation: until when the server, which has refused it, is not asked it of two sources.
        self._refused_until: dict[str, float] = {}

    @abstractmethod
    def find_sections(self, items: Sequence[bytes]) -> tuple[Iterable[bytes], float]:
        """Return the sections that any of *items*, of which there is at least one, is in.

        One of them may be named more than once. What has the empty name is no section.

        :return: also for how many seconds that lasts: then one of *items* is out of a section.
        """

    @abstractmethod
    def joins(self, other: "Layout") -> bool:
        """Whether `find_sections_with` can answer for *other*, too."""

    def find_sections_with(
        self, item: bytes, other: "Layout"
    ) -> tuple[Iterable[str], Iterable[str], float] | None:
        """Return the sections that *item* is in, and those of *other* that any of these is in.

        One of them may be named more than once. What has the empty name is no section, and no item.

        :param other: what this one joins.
        :return: texts, as `decode` returns them; it takes half as long to make them of all at once.
            Also for how many seconds that lasts. `None` where each is to be asked by itself: the
            server cannot answer both at once, the user may not have it do so, or NUL is in a name.
        """

        def read(exchange: Exchange) -> tuple[Iterable[str], Iterable[str], float] | None:
            lists, milliseconds = _split(self._read_joint(exchange, item, other))
            found = _two_lists(lists)
            return None if found is None else (*found, lasts(milliseconds))

        return self._ask_jointly(Operation("find_with_permissions", (item,)), read)

    @abstractmethod
    def _read_joint(self, exchange: Exchange, item: bytes, other: Any) -> Any:
        """Return the sections that *item* is in and those of *other*, as ``joined.lua`` does."""

    def find_shared(self, item: bytes, other: "Layout", section: bytes) -> Iterable[bytes] | None:
        """Return the sections that *item* is in and that are items of *section* of *other*.

        What has the empty name is no section.

        :param other: what this one joins.
        :return: `None` as `find_sections_with` does.
        """
        return self._ask_jointly(
            Operation("why", (item, section)),
            lambda exchange: texts(self._read_shared(exchange, item, other, section)),
        )

    @abstractmethod
    def _read_shared(self, exchange: Exchange, item: bytes, other: Any, section: bytes) -> Any:
        """Return the names of the sections of `find_shared`."""

    def find_items_through(
        self, other: "Layout", section: bytes
    ) -> tuple[Iterable[str], Iterable[str]] | None:
        """Return the items of *section* of *other*, and those of the sections that they name here.

        One of them may be named more than once. What has the empty name is none.

        :param other: what this one joins.
        :return: texts or `None`, as `find_sections_with` does.
        :raises NonExistingSectionError: where there is no *section*.
        """

        def read(exchange: Exchange) -> tuple[Iterable[str], Iterable[str]] | None:
            reply = array(self._read_items_through(exchange, other, section))
            if not reply:
                raise no_section(section, other.reader)
            return _two_lists(reply)

        return self._ask_jointly(Operation("users_with", (section,)), read)

    @abstractmethod
    def _read_items_through(self, exchange: Exchange, other: Any, section: bytes) -> Any:
        """Return both lists of `find_items_through` as ``joined.lua`` does, or an empty array."""

    def _ask_jointly(
        self, operation: Operation, read: Callable[[Exchange], Answer]
    ) -> Answer | None:
        """Return what *read* does; `None` where the server refuses."""
        if monotonic() < self._refused_until.get(operation.name, 0):
            return None

        def read_or_refused(exchange: Exchange) -> Answer | None:
            try:
                return read(exchange)
            except redis.ResponseError as error:
                # Only these two say where to ask. By itself, each may well be answered.
                if code_word(error) in {"MOVED", "ASK"}:
                    raise
                if is_refused_command(error):
                    self._refused_until[operation.name] = monotonic() + BETWEEN_REFUSALS
                return None

        return self.reader.run(operation, read_or_refused)

    @abstractmethod
    def section_exists(self, section: bytes) -> bool:
        """Return whether there is such a section."""

    @abstractmethod
    def item_is_included(self, section: bytes, item: bytes) -> bool:
        """Return whether *section*, which need not exist, has *item*."""

    @abstractmethod
    def count_items(self, section: bytes) -> int:
        """Return how many items *section* has: none where it is not there."""

    @property
    @abstractmethod
    def key_patterns(self) -> list[tuple[bytes, bytes | None]]:
        """What the keys match that a change of the source writes.

        Each with what comes before the name of the section there; `None` where that is not known.
        """

    @abstractmethod
    def get_section_items(self, section: bytes) -> set[bytes]:
        """Return the items of *section*.

        :raises NonExistingSectionError: where there is none of that name.
        """

    @abstractmethod
    def _scan_sections(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        """Return the next cursor after *cursor*, and about *count* names of sections."""

    @abstractmethod
    def _scan_keys(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        """Return the next cursor after *cursor*, and about *count* keys to review."""

    @abstractmethod
    def _read(
        self,
        exchange: Exchange,
        operation: str,
        names: Sequence[bytes],
        *,
        is_reading: bool = True,
    ) -> Any:
        """Return what the script of *operation*, which may not only be reading, has for *names*."""

    @abstractmethod
    def _write_of(self, operation: Operation) -> Write:
        """Return what is to be sent for *operation*, which is a write."""

    @abstractmethod
    def until_of(self, section: bytes) -> dict[bytes, int]:
        """Return when those items of *section* end that are in it for a time.

        :return: in milliseconds since 1970, by the clock of the server.
        :raises NonExistingSectionError: where there is no *section*.
        """

    @abstractmethod
    def missing_items(self, section: bytes, items: Sequence[bytes]) -> list[bytes]:
        """Return those of *items*, of which there is at least one, that *section* lacks."""

    def get_all_sections(self) -> dict[bytes, set[bytes]]:
        """Return every section with its items, read about 100 at a time."""

        def read(exchange: Exchange) -> dict[bytes, set[bytes]]:
            # All on one connection, so of one server: a cursor means nothing to another.
            sections: dict[bytes, set[bytes]] = {}
            for page in pages(
                lambda cursor: self._read(
                    exchange, "get_sections_page", (cursor, b"%d" % _SECTIONS_AT_A_TIME)
                )
            ):
                for name, items in zip(texts(page[::2]), page[1::2], strict=True):
                    sections[name] = set(texts(items)) - {b""}
            sections.pop(b"", None)
            return sections

        return self.reader.run(Operation("get_all_sections"), read)

    def get_section_names(self) -> set[bytes]:
        """Return the names of all sections."""

        def read(exchange: Exchange) -> set[bytes]:
            return {
                name
                for page in _scan(exchange, self._scan_sections, _NAMES_AT_A_TIME)
                for name in page
            }

        return self.reader.run(Operation("get_section_names"), read) - {b""}

    def get_many_section_items(self, sections: Sequence[bytes]) -> dict[bytes, set[bytes]]:
        """Return the items of *sections*, but for those that are not there.

        They are read 100 at a time: each section is consistent in itself.
        """
        found: dict[bytes, set[bytes]] = {}
        for names in chunked(sections, _SECTIONS_AT_A_TIME):
            items_of_each = self.reader.run(
                Operation("get_many_section_items", tuple(names)), self._reading_of(names)
            )
            found |= {
                name: items
                for name, items in zip(names, items_of_each, strict=True)
                if items is not None
            }
        return found

    def _reading_of(self, names: Sequence[bytes]) -> Callable[[Exchange], list[set[bytes] | None]]:
        def read(exchange: Exchange) -> list[set[bytes] | None]:
            reply = self._read(exchange, "get_many_section_items", names)
            return [
                None if items is None else set(texts(items)) - {b""}
                for items in array(reply, length=len(names))
            ]

        return read

    def find_sections_until(self, item: bytes) -> dict[bytes, int | None]:
        """Return the sections that *item* is in, and when that ends, as `until_of` has it."""
        found, _ = self.find_sections((item,))
        return dict.fromkeys(set(found) - {b""})

    def get_many_sections_until(
        self, sections: Sequence[bytes]
    ) -> dict[bytes, dict[bytes, int | None]]:
        """Return what `get_many_section_items` does, and when each ends, as `until_of` has it.

        `None` is that an item is in a section for good.
        """
        found: dict[bytes, dict[bytes, int | None]] = {}
        for names in chunked(sections, _SECTIONS_AT_A_TIME):
            items_of_each = self.reader.run(
                Operation("get_many_sections_until", tuple(names)),
                partial(self._read_many_until, names=names),
            )
            found |= {
                name: items
                for name, items in zip(names, items_of_each, strict=True)
                if items is not None
            }
        return found

    def _read_many_until(
        self, exchange: Exchange, names: Sequence[bytes]
    ) -> list[dict[bytes, int | None] | None]:
        return [
            None if items is None else dict.fromkeys(items)
            for items in self._reading_of(names)(exchange)
        ]

    def server_time(self) -> int:
        """Return the time by the clock of the server, in milliseconds since 1970."""

        def read(exchange: Exchange) -> int:
            seconds, microseconds = array(exchange.send("TIME"), length=2)
            return int(seconds) * 1000 + int(microseconds) // 1000

        return self._database.run(Operation("server_time"), read)

    def review(self, *, repair: bool) -> list[tuple[Problem, bytes, bytes]]:
        """Return what is odd in the source, and put it right where that is wanted.

        :return: problems, each with a section and an item, or empty bytes in place of one.
        """
        operation = Operation("repair" if repair else "check", is_in_parts=repair)
        found: dict[tuple[Problem, bytes, bytes], None] = {}
        # What is granted and should not be goes first, before anything is refused or interrupted.
        steps = (b"take away", b"add") if repair else (b"check",)

        def review(exchange: Exchange) -> tuple[list[tuple[Problem, bytes, bytes]], bool]:
            # On another connection, which is gone.
            has_begun = bool(found)
            if not repair:
                # What was found before the connection was lost may have changed; what was
                # repaired stays so.
                found.clear()
            for step in steps:
                for keys in _scan(exchange, self._scan_keys, _SECTIONS_AT_A_TIME):
                    reply = self._read(exchange, "review", (step, *keys), is_reading=not repair)
                    words = array(texts(reply))
                    for kind, name, item in zip(words[::3], words[1::3], words[2::3], strict=True):
                        found[Problem(decode(kind)), name, item] = None
            has_written = repair and bool(found)
            if has_written and has_begun and self._wait_replicas:
                raise unasked(
                    self._wait_replicas,
                    operation,
                    self._database,
                    "the connection that was written on was lost",
                )
            if has_written:
                self._confirm(exchange, operation)
            return list(found), has_written

        # Asked again, what it has repaired would be missing in the answer.
        return self._run(operation, review, is_repeatable=not repair)

    def create_section(self, section: bytes) -> None:
        """Add *section*, without items.

        :raises ExistingSectionError: where there is one of that name.
        """
        self._change("create_section", section)

    def edit_section(self, section: bytes, new_section: bytes) -> None:
        """Rename *section* to *new_section*.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ExistingSectionError: where *new_section* is there, *section* itself included.
        """
        self._change("edit_section", section, new_section)

    def delete_section(self, section: bytes) -> None:
        """Remove *section* and its items.

        :raises NonExistingSectionError: where there is none of that name.
        """
        self._change("delete_section", section)

    def include_items(self, section: bytes, items: Iterable[bytes]) -> None:
        """Add *items*, each named once, to *section*: all, or none where one is refused.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ItemPresentError: where it has one of *items*.
        """
        self._change("include_items", section, *items)

    def exclude_items(self, section: bytes, items: Iterable[bytes]) -> None:
        """Remove *items*, each named once, from *section*: all, or none where one is refused.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ItemNotPresentError: where it lacks one of *items*.
        """
        self._change("exclude_items", section, *items)

    def set_section_items(self, section: bytes, items: Iterable[bytes]) -> None:
        """Make *items*, each named once, all that *section* has.

        :raises NonExistingSectionError: where there is no *section*.
        """
        self._change("set_section_items", section, *items)

    def remove_item(self, item: bytes) -> Sequence[bytes]:
        """Remove *item* from every section, and return those that had it.

        :raises ItemNotPresentError: where none has it.
        """
        return self._change("remove_item", item)

    def rename_item(self, item: bytes, new_item: bytes) -> Sequence[bytes]:
        """Put *new_item* in the place of *item* in every section, and return those that had it.

        :raises ItemNotPresentError: where none has *item*.
        :raises ItemPresentError: where one has *new_item*.
        """
        return self._change("rename_item", item, new_item)

    def merge_item(self, item: bytes, new_item: bytes) -> Sequence[bytes]:
        """Put *new_item*, another, in the place of *item*, also where a section has both.

        :return: the sections that had *item*.
        :raises ItemNotPresentError: where none has it.
        """
        write = self._write_of(Operation("rename_item", (item, new_item), is_write=True))
        return self._carry_out(replace(write, arguments=(*write.arguments, b"merging")))

    def _change(self, name: str, *names: bytes) -> Sequence[bytes]:
        return self._carry_out(self._write_of(Operation(name, names, is_write=True)))

    def _carry_out(self, write: Write) -> Sequence[bytes]:
        """Return what there is to say of *write*, when it is done."""
        return self._run(
            write.operation, partial(self._send, write), is_repeatable=self._REPEATS_WRITES
        )

    def _send(self, write: Write, exchange: Exchange) -> tuple[Sequence[bytes], bool]:
        reply = array(texts(exchange.evaluate(write.script, write.keys, write.arguments)))
        if reply[:1] != [b"done"]:
            raise self._refusal(reply, write.operation.names)
        self._confirm(exchange, write.operation)
        return reply[1:], True

    def _confirm(self, exchange: Exchange, operation: Operation) -> None:
        if self._wait_replicas:
            confirm_replication(exchange, self._wait_replicas, operation, self._database)

    def _run(
        self,
        operation: Operation,
        conversation: Callable[[Exchange], tuple[Answer, bool]],
        *,
        is_repeatable: bool,
    ) -> Answer:
        """Return the answer of *conversation*, and see to what it has written.

        :param conversation: returns an answer, and whether it has written anything.
        """
        try:
            answer, has_written = self._database.run(
                operation, conversation, is_repeatable=is_repeatable
            )
        except TooFewReplicas:
            self._count_write()
            raise
        if has_written:
            self._count_write()
        return answer

    def _count_write(self) -> None:
        if self._saving is not None:
            self._saving.count_write()

    def _refusal(self, reply: Sequence[bytes], names: Sequence[bytes]) -> AdapterError:
        here = f"({self._database})"
        name, other = listed(names[:1]), listed(names[-1:])
        match reply:
            case [b"section present"]:
                return ExistingSectionError(f"There is a section {other} already {here}.")
            case [b"items present", *items]:
                return ItemPresentError(f"Section {name} has {listed(items)} already {here}.")
            case [b"items absent", *items]:
                return ItemNotPresentError(f"Section {name} does not have {listed(items)} {here}.")
            case [b"item absent"]:
                return ItemNotPresentError(f"No section has {name} {here}.")
            case [b"item taken"]:
                return ItemPresentError(f"There is an item {other} already {here}.")
            case [b"no section", kind]:
                return no_section(names[0], self._database, decode(kind))
        raise InvalidResponse(f"an outcome was expected, not {described(reply)}")


def no_section(section: bytes, server: object, kind: str = "none") -> NonExistingSectionError:
    """Return the error that says so; *kind* is what the key of that name holds."""
    found = "" if kind == "none" else f": the key of that name holds a {kind}, not a set"
    return NonExistingSectionError(f"There is no section {listed((section,))}{found} ({server}).")


def lasts(milliseconds: int) -> float:
    """Return for how many seconds an answer lasts that ends after so many *milliseconds*.

    :param milliseconds: 0 is that it does not end. The server has cut off a part of one.
    """
    return (milliseconds - 1) / 1000 if milliseconds else inf


def _two_lists(reply: Any) -> tuple[Iterable[str], Iterable[str]] | None:
    count, names, other_count, other_names = array(reply, length=_LISTS)
    found, others = joined_texts(count, names), joined_texts(other_count, other_names)
    return None if found is None or others is None else (found, others)


def _split(reply: Any) -> tuple[list[Any], int]:
    """Return both lists of a joint *reply*, and how many milliseconds it lasts: 0 is for good."""
    lists, milliseconds = array(reply), 0
    if len(lists) > _LISTS:
        *lists, milliseconds = lists
    return lists, number(milliseconds)


def _scan(
    exchange: Exchange, scan: Callable[[Exchange, bytes, int], Any], count: int
) -> Iterator[list[bytes]]:
    for page in pages(lambda cursor: scan(exchange, cursor, count)):
        [names] = page
        yield array(texts(names))
