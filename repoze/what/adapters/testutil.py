"""Tests that any source adapter has to pass, as mix-ins for `unittest.TestCase`.

A test case of your own inherits from a tester and from ``unittest.TestCase``, and its ``setUp``,
after that of its base class, sets ``self.adapter`` to an adapter of a source with nothing but this
in it:

- a source of groups: ``admins`` (rms), ``developers`` (rms, linus), ``trolls`` (sballmer), and
  ``python`` and ``php``, which are empty;
- a source of permissions: ``see-site`` (trolls), ``edit-site`` (admins, developers) and ``commit``
  (developers).

::

    class TestMyAdapter(GroupsAdapterTester, unittest.TestCase):
        def setUp(self):
            super().setUp()
            self.adapter = MyAdapter(...)
"""

# Whatever runs the tests, unittest's assertions work.
# ruff: noqa: N815, PT009, PT027, SLF001

from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Any

from repoze.what.adapters import (
    BaseSourceAdapter,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)

__all__ = [
    "GroupsAdapterTester",
    "PermissionsAdapterTester",
    "ReadOnlyGroupsAdapterTester",
    "ReadOnlyPermissionsAdapterTester",
]

_NEW_SECTION = "diseñadores"
_MISSING = "not-in-the-source"


class _Tester:
    """What is tested of every adapter: reading."""

    adapter: BaseSourceAdapter

    # What the source holds at first, and one of its sections, with two items, to be changed.
    sections: Mapping[str, Set[str]]
    section: str
    # Items that are not in that section, of which the source may have to know beforehand.
    new_items: Set[str]

    assertEqual: Callable[..., None]
    assertFalse: Callable[..., None]
    assertIsInstance: Callable[..., None]
    assertRaises: Callable[..., Any]
    assertTrue: Callable[..., None]

    def setUp(self) -> None:
        """Give the test ``new_items`` of its own; setting ``self.adapter`` is left to you."""
        super().setUp()  # type: ignore[misc]
        self.new_items = set(self.new_items)

    def _make_hint(self, item: str) -> object:
        return item

    def _check_source(self, expected: Mapping[str, Set[str]]) -> None:
        """Check that the source holds ``expected``, by whatever way it is asked."""
        self.assertEqual(self.adapter._get_all_sections(), expected)
        self.assertEqual(self.adapter.get_all_sections(), expected)
        items = {_MISSING, *self.new_items, *self.sections[self.section]}.union(*expected.values())
        for section, included in expected.items():
            self.assertTrue(self.adapter._section_exists(section), section)
            self.assertEqual(self.adapter._get_section_items(section), included)
            self.assertEqual(self.adapter.get_section_items(section), included)
            for item in items:
                is_included = self.adapter._item_is_included(section, item)
                self.assertEqual(bool(is_included), item in included, (section, item))
        for section in {_MISSING, _NEW_SECTION, *self.sections} - set(expected):
            self.assertFalse(self.adapter._section_exists(section), section)
            with self.assertRaises(NonExistingSectionError, msg=section):
                self.adapter.get_section_items(section)
        for item in items:
            found = {section for section, included in expected.items() if item in included}
            self.assertEqual(self.adapter._find_sections(self._make_hint(item)), found, item)
            self.assertEqual(self.adapter.find_sections(self._make_hint(item)), found, item)
        found = {section for section, included in expected.items() if included}
        hints = [self._make_hint(item) for item in items]
        self.assertEqual(self.adapter.find_sections_many(hints), found)
        self.assertEqual(self.adapter.find_sections_many([]), set())

    def test_reading(self) -> None:
        self._check_source(self.sections)

    def test_items_are_sets(self) -> None:
        for section, items in self.adapter.get_all_sections().items():
            self.assertIsInstance(items, set, section)
            self.assertIsInstance(self.adapter.get_section_items(section), set, section)


class _ReadOnlyTester(_Tester):
    """What is tested of an adapter whose source may not be written."""

    def test_is_not_writable(self) -> None:
        self.assertFalse(self.adapter.is_writable)

    def test_changes_are_refused(self) -> None:
        old_items = self.sections[self.section]
        changes: tuple[tuple[Any, ...], ...] = (
            (self.adapter.set_section_items, self.section, self.new_items),
            (self.adapter.include_item, self.section, min(self.new_items)),
            (self.adapter.include_items, self.section, self.new_items),
            (self.adapter.exclude_item, self.section, min(old_items)),
            (self.adapter.exclude_items, self.section, old_items),
            (self.adapter.create_section, _NEW_SECTION),
            (self.adapter.edit_section, self.section, _NEW_SECTION),
            (self.adapter.delete_section, self.section),
        )
        for change, *arguments in changes:
            with self.assertRaises(SourceError, msg=change):
                change(*arguments)
        self._check_source(self.sections)


class _WritableTester(_Tester):
    """What is tested of an adapter whose source may be written."""

    def _check_change(
        self, expected: Mapping[str, Set[str]], change: Callable[..., object], *arguments: object
    ) -> None:
        # Read first, so that an adapter that keeps what it read has to notice the change.
        self._check_source(self.sections)
        change(*arguments)
        self._check_source(expected)

    def _with_items(self, items: Set[str]) -> dict[str, Set[str]]:
        return {**self.sections, self.section: items}

    def _renamed(self) -> dict[str, Set[str]]:
        renamed = {**self.sections, _NEW_SECTION: self.sections[self.section]}
        del renamed[self.section]
        return renamed

    def test_is_writable(self) -> None:
        self.assertTrue(self.adapter.is_writable)

    # The public methods

    def test_set_section_items(self) -> None:
        items = {min(self.sections[self.section]), *self.new_items}
        self._check_change(
            self._with_items(items), self.adapter.set_section_items, self.section, items
        )

    def test_set_section_items_to_none_at_all(self) -> None:
        self._check_change(
            self._with_items(set()), self.adapter.set_section_items, self.section, []
        )

    def test_set_section_items_to_what_they_are(self) -> None:
        items = self.sections[self.section]
        self._check_change(self.sections, self.adapter.set_section_items, self.section, items)

    def test_include_item(self) -> None:
        item = min(self.new_items)
        expected = self._with_items({item, *self.sections[self.section]})
        self._check_change(expected, self.adapter.include_item, self.section, item)

    def test_include_items(self) -> None:
        expected = self._with_items(self.new_items | self.sections[self.section])
        self._check_change(expected, self.adapter.include_items, self.section, list(self.new_items))

    def test_exclude_item(self) -> None:
        item = min(self.sections[self.section])
        expected = self._with_items(self.sections[self.section] - {item})
        self._check_change(expected, self.adapter.exclude_item, self.section, item)

    def test_exclude_items(self) -> None:
        expected = self._with_items(set())
        items = list(self.sections[self.section])
        self._check_change(expected, self.adapter.exclude_items, self.section, items)

    def test_create_section(self) -> None:
        expected = {**self.sections, _NEW_SECTION: set()}
        self._check_change(expected, self.adapter.create_section, _NEW_SECTION)

    def test_include_items_in_new_section(self) -> None:
        self.adapter.create_section(_NEW_SECTION)
        self.adapter.include_items(_NEW_SECTION, self.new_items)
        self._check_source({**self.sections, _NEW_SECTION: self.new_items})

    def test_edit_section(self) -> None:
        self._check_change(self._renamed(), self.adapter.edit_section, self.section, _NEW_SECTION)

    def test_delete_section(self) -> None:
        expected = {name: self.sections[name] for name in self.sections if name != self.section}
        self._check_change(expected, self.adapter.delete_section, self.section)

    def test_deleted_section_is_empty_when_created_again(self) -> None:
        self.adapter.delete_section(self.section)
        self.adapter.create_section(self.section)
        self._check_source(self._with_items(set()))

    def test_what_cannot_be_changed_is_refused(self) -> None:
        old_item = min(self.sections[self.section])
        new_item = min(self.new_items)
        both = {old_item, new_item}
        missing = NonExistingSectionError
        refusals: tuple[tuple[Any, ...], ...] = (
            (missing, self.adapter.set_section_items, _MISSING, self.new_items),
            (missing, self.adapter.include_item, _MISSING, new_item),
            (missing, self.adapter.include_items, _MISSING, self.new_items),
            (missing, self.adapter.exclude_item, _MISSING, old_item),
            (missing, self.adapter.exclude_items, _MISSING, {old_item}),
            (missing, self.adapter.edit_section, _MISSING, _NEW_SECTION),
            (missing, self.adapter.delete_section, _MISSING),
            (ItemPresentError, self.adapter.include_item, self.section, old_item),
            (ItemPresentError, self.adapter.include_items, self.section, both),
            (ItemNotPresentError, self.adapter.exclude_item, self.section, new_item),
            (ItemNotPresentError, self.adapter.exclude_items, self.section, both),
            (ExistingSectionError, self.adapter.create_section, self.section),
            *(
                (ExistingSectionError, self.adapter.edit_section, self.section, taken)
                for taken in self.sections
                if taken != self.section
            ),
        )
        for error, change, *arguments in refusals:
            with self.assertRaises(error, msg=(change, arguments)):
                change(*arguments)
        self._check_source(self.sections)

    # The methods that the public ones call. They go around what an adapter keeps of what it read,
    # so nothing is read before.

    def test_underscored_include_items(self) -> None:
        self.adapter._include_items(self.section, set(self.new_items))
        self._check_source(self._with_items(self.new_items | self.sections[self.section]))

    def test_underscored_exclude_items(self) -> None:
        item = min(self.sections[self.section])
        self.adapter._exclude_items(self.section, {item})
        self._check_source(self._with_items(self.sections[self.section] - {item}))

    def test_underscored_exclude_items_all(self) -> None:
        self.adapter._exclude_items(self.section, set(self.sections[self.section]))
        self._check_source(self._with_items(set()))

    def test_underscored_create_section(self) -> None:
        self.adapter._create_section(_NEW_SECTION)
        self._check_source({**self.sections, _NEW_SECTION: set()})

    def test_underscored_edit_section(self) -> None:
        self.adapter._edit_section(self.section, _NEW_SECTION)
        self._check_source(self._renamed())

    def test_underscored_delete_section(self) -> None:
        self.adapter._delete_section(self.section)
        self._check_source(
            {name: self.sections[name] for name in self.sections if name != self.section}
        )


class _Groups(_Tester):
    sections: Mapping[str, Set[str]] = MappingProxyType(
        {
            "admins": frozenset({"rms"}),
            "developers": frozenset({"rms", "linus"}),
            "trolls": frozenset({"sballmer"}),
            "python": frozenset(),
            "php": frozenset(),
        }
    )
    section = "developers"
    new_items: Set[str] = frozenset({"guido", "rasmus"})

    def _make_hint(self, item: str) -> object:
        return self._make_credentials(item)

    def _make_credentials(self, user_id: str) -> object:
        """Return the credentials of a user; override it if the adapter looks at more of them."""
        return {"repoze.what.userid": user_id}


class _Permissions(_Tester):
    sections: Mapping[str, Set[str]] = MappingProxyType(
        {
            "see-site": frozenset({"trolls"}),
            "edit-site": frozenset({"admins", "developers"}),
            "commit": frozenset({"developers"}),
        }
    )
    section = "edit-site"
    new_items: Set[str] = frozenset({"python", "php"})


class GroupsAdapterTester(_Groups, _WritableTester):
    """Tests for an adapter of a source of groups that it can write."""


class PermissionsAdapterTester(_Permissions, _WritableTester):
    """Tests for an adapter of a source of permissions that it can write."""


class ReadOnlyGroupsAdapterTester(_Groups, _ReadOnlyTester):
    """Tests for an adapter of a source of groups that it only reads."""


class ReadOnlyPermissionsAdapterTester(_Permissions, _ReadOnlyTester):
    """Tests for an adapter of a source of permissions that it only reads."""
