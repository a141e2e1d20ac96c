"""The plain layout: one set per section, in a database of the source's own.

Redis has no empty set: a section without items has the one member ``''``. This is how the plugin of
2009 stored its sources.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

import redis

from repoze.what.plugins.redis.connection.exchange import Exchange, Script
from repoze.what.plugins.redis.connection.failures import Operation, code_word
from repoze.what.plugins.redis.connection.replies import array, flag, number, texts

from .layout import Layout, Write, no_section
from .scripts import script

# Keys that no script looks at. They are of two slots, so that a node of a cluster, which has only
# its share of the sections, refuses every script.
_TWO_SLOTS = (b"a", b"b")


class PlainLayout(Layout):
    """One set per section, its key the section's name, in a database of the source's own.

    Each set in the database is a section; what is not a set is none, and a lookup passes over it.
    """

    # Among the keys of 2009 there is no room to note what has been done.
    _REPEATS_WRITES = False
    _FIND = script("plain/sections_of", "plain/find_sections")
    _FIND_WITH = script("joined", "plain/sections_of", "plain/find_sections_with")
    _FIND_SHARED = script("plain/members", "plain/find_shared")
    _FIND_ITEMS_THROUGH = script("joined", "plain/members", "plain/find_items_through")
    _READS: Mapping[str, Script] = {
        operation: script(f"plain/{operation}")
        for operation in (
            *("get_sections_page", "get_section_names_page", "get_many_section_items"),
            "review",
        )
    }
    # By operation: the script, and how many of the names are keys.
    _WRITES: Mapping[str, tuple[Script, int]] = {
        "create_section": (script("plain/create_section"), 1),
        "edit_section": (script("plain/edit_section"), 2),
        "delete_section": (script("plain/delete_section"), 1),
        "include_items": (script("call_in_parts", "plain/write", "plain/include_items"), 1),
        "exclude_items": (script("call_in_parts", "plain/write", "plain/exclude_items"), 1),
        "set_section_items": (script("call_in_parts", "plain/write", "plain/set_section_items"), 1),
        "remove_item": (script("plain/write", "plain/remove_item"), 0),
        "rename_item": (script("plain/write", "plain/rename_item"), 0),
    }

    def find_sections(self, items: Sequence[bytes]) -> tuple[Iterable[bytes], float]:  # noqa: D102
        found = self.reader.run(
            Operation("find_sections", tuple(items)),
            lambda exchange: texts(
                exchange.evaluate(self._FIND, _TWO_SLOTS, items, is_reading=True)
            ),
        )
        return found, inf

    def joins(self, other: Layout) -> bool:  # noqa: D102
        return isinstance(other, PlainLayout) and self.reader.reaches(other.reader)

    def _read_joint(self, exchange: Exchange, item: bytes, other: "PlainLayout") -> Any:
        return exchange.evaluate_read_only(
            self._FIND_WITH, _TWO_SLOTS, (item, self._databases(other)[0])
        )

    def _read_shared(
        self, exchange: Exchange, item: bytes, other: "PlainLayout", section: bytes
    ) -> Any:
        databases = self._databases(other)
        return exchange.evaluate_read_only(
            self._FIND_SHARED, _TWO_SLOTS, (item, section, *databases)
        )

    def _read_items_through(self, exchange: Exchange, other: "PlainLayout", section: bytes) -> Any:
        return exchange.evaluate_read_only(
            self._FIND_ITEMS_THROUGH, _TWO_SLOTS, (section, *self._databases(other))
        )

    def _databases(self, other: "PlainLayout") -> tuple[bytes, bytes]:
        return b"%d" % other.reader.number, b"%d" % self.reader.number

    def get_section_items(self, section: bytes) -> set[bytes]:  # noqa: D102
        def read(exchange: Exchange) -> set[bytes]:
            try:
                items = texts(exchange.send("SMEMBERS", section))
            except redis.ResponseError as error:
                if code_word(error) != "WRONGTYPE":
                    raise
                raise no_section(section, self.reader, "value of another type") from error
            if not items:
                raise no_section(section, self.reader)
            return set(items) - {b""}

        return self.reader.run(Operation("get_section_items", (section,)), read)

    def section_exists(self, section: bytes) -> bool:  # noqa: D102
        kinds = self._database.run(
            Operation("section_exists", (section,)),
            lambda exchange: texts([exchange.send("TYPE", section)]),
        )
        return kinds == [b"set"]

    def item_is_included(self, section: bytes, item: bytes) -> bool:  # noqa: D102
        def read(exchange: Exchange) -> bool:
            try:
                return flag(exchange.send("SISMEMBER", section, item))
            except redis.ResponseError as error:
                if code_word(error) != "WRONGTYPE":
                    raise
                return False

        return self._database.run(Operation("item_is_included", (section, item)), read)

    def until_of(self, section: bytes) -> dict[bytes, int]:  # noqa: D102
        self.get_section_items(section)
        return {}

    def missing_items(self, section: bytes, items: Sequence[bytes]) -> list[bytes]:  # noqa: D102
        def read(exchange: Exchange) -> list[bytes]:
            reply = exchange.send("SMISMEMBER", section, *items)
            found = array(reply, length=len(items))
            return [item for item, is_there in zip(items, found, strict=True) if not flag(is_there)]

        return self._database.run(Operation("missing_items", (section, *items)), read)

    def count_items(self, section: bytes) -> int:  # noqa: D102
        def read(exchange: Exchange) -> int:
            marks = number(exchange.send("SISMEMBER", section, b""))
            return number(exchange.send("SCARD", section)) - marks

        return self._database.run(Operation("count_items", (section,)), read)

    @property
    def key_patterns(self) -> list[tuple[bytes, bytes | None]]:  # noqa: D102
        return [(b"*", b"")]

    def _scan_sections(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        return self._read(exchange, "get_section_names_page", (cursor, b"%d" % count))

    def _scan_keys(self, exchange: Exchange, cursor: bytes, count: int) -> Any:
        return exchange.send("SCAN", cursor, "COUNT", count)

    def _read(
        self,
        exchange: Exchange,
        operation: str,
        names: Sequence[bytes],
        *,
        is_reading: bool = True,
    ) -> Any:
        script = self._READS[operation]
        return exchange.evaluate(script, _TWO_SLOTS, names, is_reading=is_reading)

    def _write_of(self, operation: Operation) -> Write:
        script, number_of_keys = self._WRITES[operation.name]
        names = operation.names
        keys = (*names[:number_of_keys], *_TWO_SLOTS)
        return Write(operation, script, keys, names[number_of_keys:])
