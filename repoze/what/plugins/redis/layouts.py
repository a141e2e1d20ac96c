"""How sections and items lie in Redis, and the operations on them.

Sections and items are bytes here, and not empty; see `names`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import redis
from repoze.what.adapters import (
    AdapterError,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
)

from .connection import Database, Exchange
from .failures import Task, code_word
from .names import listed
from .scripts import Script

# A page of 100 sections with 100 items each keeps the server for about a millisecond.
_SECTIONS_IN_A_PAGE = b"100"


class PlainLayout:
    """One set per section, its key the section's name, in a database of the source's own.

    Redis has no empty set: a section without items has the one member ``''``. This is how the
    plugin of 2009 stored its sources.

    :param database: holds the source and nothing else that is a set.
    """

    _FIND = Script("plain/find_sections")
    _PAGE = Script("plain/get_sections_page")
    _CREATE = Script("plain/create_section")
    _EDIT = Script("plain/edit_section")
    _DELETE = Script("plain/delete_section")
    _INCLUDE = Script("call_in_parts", "plain/include_items")
    _EXCLUDE = Script("call_in_parts", "plain/exclude_items")
    _SET = Script("call_in_parts", "plain/set_section_items")

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_all_sections(self) -> dict[bytes, set[bytes]]:
        """Return every section with its items, read in pages, each section at one moment."""

        def read_pages(exchange: Exchange) -> dict[bytes, set[bytes]]:
            # On one connection, so to one server: a cursor means nothing to another.
            sections: dict[bytes, set[bytes]] = {}
            cursor = b"0"
            while True:
                cursor, *page = exchange.evaluate(self._PAGE, (), (cursor, _SECTIONS_IN_A_PAGE))
                for section, items in _pairs(page):
                    sections[section] = _without_mark(items)
                if cursor == b"0":
                    sections.pop(b"", None)
                    return sections

        return self._database.ask(Task("get_all_sections"), read_pages)

    def get_section_items(self, section: bytes) -> set[bytes]:
        """Return the items of *section*.

        :raises NonExistingSectionError: where there is none of that name.
        """

        def read(exchange: Exchange) -> set[bytes]:
            try:
                items = exchange.ask("SMEMBERS", section)
            except redis.ResponseError as error:
                if code_word(error) != "WRONGTYPE":
                    raise
                raise self._no_section(section, "value of another type") from error
            if not items:
                raise self._no_section(section)
            return _without_mark(items)

        return self._database.ask(Task("get_section_items", (section,)), read)

    def find_sections(self, items: Sequence[bytes]) -> set[bytes]:
        """Return the sections that any of *items*, of which there is at least one, is in."""
        found = self._database.ask(
            Task("find_sections", tuple(items)),
            lambda exchange: exchange.evaluate(self._FIND, (), items),
        )
        return _without_mark(found)

    def section_exists(self, section: bytes) -> bool:
        """Return whether there is such a section."""
        return bool(
            self._database.ask(
                Task("section_exists", (section,)), lambda exchange: exchange.ask("TYPE", section)
            )
            == b"set"
        )

    def item_is_included(self, section: bytes, item: bytes) -> bool:
        """Return whether *section*, which need not exist, has *item*."""

        def read(exchange: Exchange) -> bool:
            try:
                return bool(exchange.ask("SISMEMBER", section, item))
            except redis.ResponseError as error:
                if code_word(error) != "WRONGTYPE":
                    raise
                return False

        return self._database.ask(Task("item_is_included", (section, item)), read)

    def create_section(self, section: bytes) -> None:
        """Add *section*, without items.

        :raises ExistingSectionError: where there is one of that name.
        """
        self._write("create_section", self._CREATE, (section,))

    def edit_section(self, section: bytes, new_section: bytes) -> None:
        """Rename *section* to *new_section*.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ExistingSectionError: where *new_section* is there, *section* itself included.
        """
        self._write("edit_section", self._EDIT, (section, new_section))

    def delete_section(self, section: bytes) -> None:
        """Remove *section* and its items.

        :raises NonExistingSectionError: where there is none of that name.
        """
        self._write("delete_section", self._DELETE, (section,))

    def include_items(self, section: bytes, items: Sequence[bytes]) -> None:
        """Add *items*, each named once, to *section*: all, or none where one is refused.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ItemPresentError: where it has one of *items*.
        """
        self._write("include_items", self._INCLUDE, (section,), items)

    def exclude_items(self, section: bytes, items: Sequence[bytes]) -> None:
        """Remove *items*, each named once, from *section*: all, or none where one is refused.

        :raises NonExistingSectionError: where there is no *section*.
        :raises ItemNotPresentError: where it lacks one of *items*.
        """
        self._write("exclude_items", self._EXCLUDE, (section,), items)

    def set_section_items(self, section: bytes, items: Sequence[bytes]) -> None:
        """Make *items* all that *section* has.

        :raises NonExistingSectionError: where there is no *section*.
        """
        self._write("set_section_items", self._SET, (section,), items)

    def _write(
        self, operation: str, script: Script, sections: Sequence[bytes], items: Sequence[bytes] = ()
    ) -> None:
        # Not repeatable: among the keys of 2009 there is no room to note what has been done.
        outcome, *details = self._database.ask(
            Task(operation, (*sections, *items), is_write=True),
            lambda exchange: exchange.evaluate(script, sections, items),
            repeatable=False,
        )
        if outcome != b"done":
            raise self._refusal(outcome, details, sections)

    def _refusal(
        self, outcome: bytes, details: Sequence[bytes], sections: Sequence[bytes]
    ) -> AdapterError:
        if outcome == b"section present":
            return ExistingSectionError(
                f"There is a section {listed(sections[-1:])} already ({self._database})."
            )
        if outcome == b"items present":
            return ItemPresentError(
                f"Section {listed(sections)} has {listed(details)} already ({self._database})."
            )
        if outcome == b"items absent":
            return ItemNotPresentError(
                f"Section {listed(sections)} does not have {listed(details)} ({self._database})."
            )
        return self._no_section(sections[0], details[0].decode())

    def _no_section(self, section: bytes, kind: str = "none") -> NonExistingSectionError:
        found = "" if kind == "none" else f": the key of that name holds a {kind}, not a set"
        return NonExistingSectionError(
            f"There is no section {listed((section,))}{found} ({self._database})."
        )


def _pairs(page: list[Any]) -> Iterator[tuple[bytes, list[bytes]]]:
    return zip(page[::2], page[1::2], strict=True)


def _without_mark(names: Iterable[bytes]) -> set[bytes]:
    return set(names) - {b""}
