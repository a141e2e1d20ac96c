import unittest

import pytest
from harness.sources import Groups, Permissions

from repoze.what.adapters import testutil


class TestGroups(testutil.GroupsAdapterTester, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.adapter = Groups()


class TestPermissions(testutil.PermissionsAdapterTester, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.adapter = Permissions()


class TestReadOnlyGroups(testutil.ReadOnlyGroupsAdapterTester, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.adapter = Groups(writable=False)


class TestReadOnlyPermissions(testutil.ReadOnlyPermissionsAdapterTester, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.adapter = Permissions(writable=False)


class GroupsOfPeople(Groups):
    """Groups of something else than a user id."""

    def _find_sections(self, credentials):
        return self.sections_with(credentials["person"])


class TestOwnCredentials(testutil.GroupsAdapterTester, unittest.TestCase):
    new_items = frozenset({"maribel", "gustavo"})

    def setUp(self):
        super().setUp()
        self.adapter = GroupsOfPeople()

    def _make_credentials(self, user_id):
        return {"person": user_id}

    def test_new_items_are_the_tests_own(self):
        assert self.new_items == {"maribel", "gustavo"}
        self.new_items.clear()
        assert type(self).new_items


# Adapters with one thing wrong each, which the testers have to find


class ForgetsEmptySections(Groups):
    def _get_all_sections(self):
        return {section: items for section, items in self.source.items() if items}


class ListsItems(Groups):
    def get_section_items(self, section):
        return sorted(super().get_section_items(section))


class ListsAllItems(Groups):
    def get_all_sections(self):
        return {section: sorted(items) for section, items in self.source.items()}


class GivesItemsOfMissingSections(Groups):
    def get_section_items(self, section):
        return self.source.get(section, set())


class KeepsWhatItRead(Groups):
    def get_all_sections(self):
        if not hasattr(self, "read"):
            self.read = super().get_all_sections()
        return self.read


class FindsEverything(Groups):
    def _find_sections(self, credentials):
        return set(self.source)


class FindsEverybodyInPublic(Groups):
    def find_sections(self, credentials):
        return set(self.source)


class FindsPartsOfNames(Groups):
    def sections_with(self, item):
        return {s for s, items in self.source.items() if any(item in name for name in items)}

    def _item_is_included(self, section, item):
        return any(name.startswith(item[:1]) for name in self.source[section])


class FindsOnlyTheFirst(Groups):
    def find_sections_many(self, hints):
        return self.find_sections(next(iter(hints))) if hints else set()


class FindsAllForNone(Groups):
    def find_sections_many(self, hints):
        return super().find_sections_many(hints) if hints else set(self.source)


class KnowsEverySection(Groups):
    def _section_exists(self, section):
        return True


class KnowsNoEmptySection(Groups):
    def _section_exists(self, section):
        return bool(self.source.get(section))


class HasEveryItem(Groups):
    def _item_is_included(self, section, item):
        return True


class IncludesOne(Groups):
    def _include_items(self, section, items):
        self.source[section].add(min(items))


class IncludesInstead(Groups):
    def _include_items(self, section, items):
        self.source[section] = set(items)


class IncludesEverywhere(Groups):
    def _include_items(self, section, items):
        for included in self.source.values():
            included.update(items)


class ExcludesNothing(Groups):
    def _exclude_items(self, section, items):
        pass


class ExcludesAll(Groups):
    def _exclude_items(self, section, items):
        self.source[section] = set()


class LosesEmptiedSections(Groups):
    def _exclude_items(self, section, items):
        super()._exclude_items(section, items)
        if not self.source[section]:
            del self.source[section]


class SetsOnTop(Groups):
    def set_section_items(self, section, items):
        self._check_section_existence(section)
        self._write(self._include_items, section, set(items))


class SetsMissingSections(Groups):
    def set_section_items(self, section, items):
        self._write(self.source.__setitem__, section, set(items))


class IncludesTheRest(Groups):
    def include_items(self, section, items):
        self._check_section_existence(section)
        self._write(self._include_items, section, set(items))


class ExcludesTheRest(Groups):
    def exclude_items(self, section, items):
        self._check_section_existence(section)
        self._write(self._exclude_items, section, set(items))


class CreatesNothing(Groups):
    def _create_section(self, section):
        pass


class CreatesAnew(Groups):
    def create_section(self, section):
        self._write(self._create_section, section)


class CopiesWhenRenaming(Groups):
    def _edit_section(self, section, new_section):
        self.source[new_section] = self.source[section]


class EmptiesWhenRenaming(Groups):
    def _edit_section(self, section, new_section):
        del self.source[section]
        self.source[new_section] = set()


class SwallowsWhenRenaming(Groups):
    def edit_section(self, section, new_section):
        self._check_section_existence(section)
        self._write(self._edit_section, section, new_section)


class DeletesNothing(Groups):
    def _delete_section(self, section):
        pass


class EmptiesWhenDeleting(Groups):
    def _delete_section(self, section):
        self.source[section] = set()


class DeletesInSilence(Groups):
    def delete_section(self, section):
        self._write(self.source.pop, section, None)


class Writable(Groups):
    """Says that it is read-only and is not."""

    def _check_writable(self):
        pass


class ReadOnly(Groups):
    """Says that it is writable and is not."""

    def __init__(self, writable):
        super().__init__(writable=not writable)


def outcome(tester, adapter_class, **arguments):
    class Case(tester, unittest.TestCase):
        def setUp(self):
            super().setUp()
            self.adapter = adapter_class(**arguments)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun > 2
    return result


WRONG = [
    value
    for value in list(vars().values())
    if isinstance(value, type) and issubclass(value, Groups) and value.__module__ == __name__
]


@pytest.mark.parametrize(
    "adapter_class",
    [c for c in WRONG if c not in (GroupsOfPeople, Writable)],
    ids=lambda c: c.__name__,
)
def test_wrong_adapter_fails(adapter_class):
    assert not outcome(testutil.GroupsAdapterTester, adapter_class, writable=True).wasSuccessful()


@pytest.mark.parametrize("adapter_class", [ForgetsEmptySections, FindsEverything, Writable])
def test_wrong_read_only_adapter_fails(adapter_class):
    result = outcome(testutil.ReadOnlyGroupsAdapterTester, adapter_class, writable=False)
    assert not result.wasSuccessful()


@pytest.mark.parametrize("writable", [True, False])
def test_adapter_of_the_other_kind_fails(writable):
    tester = testutil.ReadOnlyGroupsAdapterTester if writable else testutil.GroupsAdapterTester
    assert not outcome(tester, Groups, writable=writable).wasSuccessful()


def test_right_adapter_passes():
    assert outcome(testutil.GroupsAdapterTester, Groups, writable=True).wasSuccessful()
