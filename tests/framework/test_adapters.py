import copy
import pickle

import pytest
from harness.sources import Groups, Permissions

from repoze.what import adapters
from repoze.what.adapters import (
    BaseSourceAdapter,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
    SourceUnavailable,
)


@pytest.fixture
def groups():
    return Groups()


# Errors


@pytest.mark.parametrize(
    "name",
    [
        "ExistingSectionError",
        "ItemNotPresentError",
        "ItemPresentError",
        "NonExistingSectionError",
        "SourceError",
    ],
)
def test_errors_are_siblings(name):
    assert getattr(adapters, name).__bases__ == (adapters.AdapterError,)


def test_source_unavailable_is_a_source_error():
    assert issubclass(SourceUnavailable, SourceError)


@pytest.mark.parametrize("kind", [SourceError, SourceUnavailable])
def test_what_became_of_a_write(kind):
    """An adapter that says nothing of it does not know."""
    assert kind("It is down").written is None
    for written in (False, None, True):
        error = kind("It is down", written=written)
        for each in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - it is ours
            assert (str(each), each.written) == ("It is down", written)


# Reading


def test_all_sections(groups):
    assert groups.get_all_sections() == groups.source
    assert groups.all_sections_loaded
    assert groups.loaded_sections == groups.source


def test_nothing_is_loaded_at_first(groups):
    assert not groups.all_sections_loaded
    assert groups.loaded_sections == {}


def test_section_items(groups):
    assert groups.get_section_items("developers") == {"rms", "linus"}
    assert groups.loaded_sections == {"developers": {"rms", "linus"}}
    assert not groups.all_sections_loaded


def test_items_of_missing_section(groups):
    with pytest.raises(NonExistingSectionError, match="'users'"):
        groups.get_section_items("users")


def test_what_others_change_is_seen(groups):
    groups.get_all_sections()
    groups.source["admins"].add("guido")
    del groups.source["php"]
    assert groups.get_section_items("admins") == {"rms", "guido"}
    assert groups.get_all_sections() == groups.source


def test_what_is_returned_is_the_callers(groups):
    expected = copy.deepcopy(groups.source)
    groups.get_all_sections()["admins"].add("guido")
    groups.get_all_sections().clear()
    assert groups.loaded_sections == expected
    groups.get_section_items("developers").clear()
    assert groups.loaded_sections == expected
    assert groups.source == expected


def test_items_that_the_source_lists_are_returned_as_sets():
    groups = Groups({"admins": ["rms", "rms"]})
    assert groups.get_section_items("admins") == {"rms"}
    assert groups.get_all_sections() == {"admins": {"rms"}}


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [("rms", {"admins", "developers"}), ("sballmer", {"trolls"}), ("guido", set())],
)
def test_find_sections(groups, user_id, expected):
    assert groups.find_sections({"repoze.what.userid": user_id}) == expected


def test_find_sections_asks_the_source(groups):
    groups.get_all_sections()
    groups.source["admins"].remove("rms")
    assert groups.find_sections({"repoze.what.userid": "rms"}) == {"developers"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["trolls", "admins"], {"see-site", "edit-site"}),
        (["python"], set()),
        ([], set()),
    ],
)
def test_find_sections_many(names, expected):
    assert Permissions().find_sections_many(iter(names)) == expected


def test_find_sections_many_without_constructor():
    class Everything(BaseSourceAdapter):
        def __init__(self):
            pass

        def find_sections(self, group):
            return {f"see-{group}", "see-all"}

    found = Everything().find_sections_many(["this", "that"])
    assert found == {"see-this", "see-that", "see-all"}


# Writing

DEVELOPERS = {"rms", "linus"}


@pytest.mark.parametrize(
    ("name", "arguments", "changed"),
    [
        ("set_section_items", ("developers", ["guido", "rms"]), {"developers": {"guido", "rms"}}),
        ("set_section_items", ("developers", DEVELOPERS), {}),
        ("set_section_items", ("developers", ()), {"developers": set()}),
        ("include_item", ("developers", "guido"), {"developers": DEVELOPERS | {"guido"}}),
        ("include_items", ("php", iter(["rasmus", "guido"])), {"php": {"rasmus", "guido"}}),
        ("exclude_item", ("developers", "rms"), {"developers": {"linus"}}),
        ("exclude_items", ("developers", ["rms", "linus"]), {"developers": set()}),
        ("create_section", ("designers",), {"designers": set()}),
        ("edit_section", ("developers", "coders"), {"developers": None, "coders": DEVELOPERS}),
        ("delete_section", ("developers",), {"developers": None}),
    ],
)
def test_change(groups, name, arguments, changed):
    expected = copy.deepcopy(groups.source) | changed
    expected = {section: items for section, items in expected.items() if items is not None}
    groups.get_all_sections()
    getattr(groups, name)(*arguments)
    assert groups.source == expected
    assert groups.loaded_sections.items() <= expected.items()
    assert groups.get_all_sections() == expected


REFUSED = [
    (NonExistingSectionError, "set_section_items", ("users", ["rms"])),
    (NonExistingSectionError, "include_item", ("users", "rms")),
    (NonExistingSectionError, "include_items", ("users", [])),
    (NonExistingSectionError, "exclude_item", ("users", "rms")),
    (NonExistingSectionError, "exclude_items", ("users", [])),
    (NonExistingSectionError, "edit_section", ("users", "people")),
    (NonExistingSectionError, "edit_section", ("users", "admins")),
    (NonExistingSectionError, "delete_section", ("users",)),
    (ItemPresentError, "include_item", ("developers", "rms")),
    (ItemPresentError, "include_items", ("developers", ["guido", "rms"])),
    (ItemNotPresentError, "exclude_item", ("developers", "guido")),
    (ItemNotPresentError, "exclude_items", ("developers", ["rms", "guido"])),
    (ExistingSectionError, "create_section", ("admins",)),
    (ExistingSectionError, "edit_section", ("developers", "admins")),
    (ExistingSectionError, "edit_section", ("developers", "developers")),
    (SourceError, "set_section_items", ("developers", "rms")),
    (SourceError, "include_items", ("developers", "guido")),
    (SourceError, "exclude_items", ("developers", b"rms")),
]


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(("error", "name", "arguments"), REFUSED)
def test_refused_change(error, name, arguments, writable):
    groups = Groups(writable=writable)
    expected = copy.deepcopy(groups.source)
    with pytest.raises(error):
        getattr(groups, name)(*arguments)
    assert groups.source == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_section_items", ("developers", ["guido"])),
        ("include_item", ("developers", "guido")),
        ("include_items", ("developers", ["guido"])),
        ("exclude_item", ("developers", "rms")),
        ("exclude_items", ("developers", ["rms"])),
        ("create_section", ("designers",)),
        ("edit_section", ("developers", "coders")),
        ("delete_section", ("developers",)),
    ],
)
def test_read_only(name, arguments):
    groups = Groups(writable=False)
    expected = copy.deepcopy(groups.source)
    assert not groups.is_writable
    with pytest.raises(SourceError, match="read-only"):
        getattr(groups, name)(*arguments)
    assert groups.source == expected


class FullGroups(Groups):
    """A source that breaks down when an item is included."""

    def _include_items(self, section, items):
        self.source[section].add(min(items))
        raise SourceError("disk full")


def test_what_was_read_is_forgotten_when_a_change_fails():
    groups = FullGroups()
    groups.get_all_sections()
    with pytest.raises(SourceError, match="disk full"):
        groups.include_items("php", ["guido", "rasmus"])
    assert groups.loaded_sections == {}
    assert not groups.all_sections_loaded


def test_items_that_are_replaced_leave_before_others_come():
    groups = FullGroups()
    with pytest.raises(SourceError, match="disk full"):
        groups.set_section_items("developers", ["guido", "linus"])
    assert groups.source["developers"] == {"linus", "guido"}


def test_source_is_not_written_without_need():
    class Untouchable(Groups):
        _include_items = _exclude_items = None

    Untouchable().set_section_items("developers", ["rms", "linus"])


# The checks


def test_section_checks(groups):
    groups._check_section_existence("admins")
    groups._check_section_not_existence("users")
    with pytest.raises(NonExistingSectionError):
        groups._check_section_existence("users")
    with pytest.raises(ExistingSectionError):
        groups._check_section_not_existence("admins")


def test_item_checks(groups):
    groups._confirm_item_is_present("admins", "rms")
    groups._confirm_item_not_present("admins", "guido")
    with pytest.raises(ItemNotPresentError):
        groups._confirm_item_is_present("admins", "guido")
    with pytest.raises(ItemPresentError):
        groups._confirm_item_not_present("admins", "rms")


@pytest.mark.parametrize("check", ["_confirm_item_is_present", "_confirm_item_not_present"])
def test_item_checks_in_missing_section(groups, check):
    with pytest.raises(NonExistingSectionError):
        getattr(groups, check)("users", "rms")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("_get_all_sections", ()),
        ("_get_section_items", ("admins",)),
        ("_find_sections", ({},)),
        ("_include_items", ("admins", {"rms"})),
        ("_exclude_items", ("admins", {"rms"})),
        ("_item_is_included", ("admins", "rms")),
        ("_create_section", ("admins",)),
        ("_edit_section", ("admins", "administrators")),
        ("_delete_section", ("admins",)),
        ("_section_exists", ("admins",)),
    ],
)
def test_what_is_left_to_the_subclass(name, arguments):
    adapter = BaseSourceAdapter()
    assert adapter.is_writable
    with pytest.raises(NotImplementedError):
        getattr(adapter, name)(*arguments)
