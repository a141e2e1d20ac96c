"""Copying between adapters of every kind."""

import copy

import fakeredis
import pytest
from harness.endings import HOUR, let_pass
from harness.operations import create_sections

from repoze.what.adapters import BaseSourceAdapter, SourceError, SourceUnavailable
from repoze.what.plugins.redis import CopyError, RedisGroupAdapter, copy_sections

SECTIONS = {"admins": {"rms", "ada"}, "php": {"rms"}, "none": set()}


class DictAdapter(BaseSourceAdapter):
    """An adapter of a dict, as somebody else would write one."""

    def __init__(self, sections):
        super().__init__()
        self.sections = {name: set(items) for name, items in sections.items()}

    def _get_all_sections(self):
        return self.sections

    def _get_section_items(self, section):
        return self.sections[section]

    def _section_exists(self, section):
        return section in self.sections

    def _create_section(self, section):
        self.sections[section] = set()

    def _item_is_included(self, section, item):
        return item in self.sections[section]

    def _include_items(self, section, items):
        self.sections[section] |= items


@pytest.fixture
def target():
    return RedisGroupAdapter(fakeredis.FakeRedis(), namespace="target")


def test_from_redis(groups, target):
    assert copy_sections(create_sections(groups, SECTIONS), target) == 3
    assert target.get_all_sections() == SECTIONS
    assert target.check() == []


def test_from_another_adapter(groups):
    assert copy_sections(DictAdapter(SECTIONS), groups) == 3
    assert groups.get_all_sections() == SECTIONS


def test_to_another_adapter(groups):
    target = DictAdapter({})
    copy_sections(create_sections(groups, SECTIONS), target)
    assert target.sections == SECTIONS


def test_from_plain_to_indexed(client):
    plain, indexed = RedisGroupAdapter(client), RedisGroupAdapter(client, db=5, namespace="new")
    copy_sections(create_sections(plain, SECTIONS), indexed)
    assert indexed.get_all_sections() == plain.get_all_sections() == SECTIONS


def test_plain_and_indexed_in_one_database(client):
    """The keys of the one would be sections of the other."""
    plain, indexed = RedisGroupAdapter(client), RedisGroupAdapter(client, namespace="new")
    create_sections(plain, SECTIONS)
    for source, target in ((plain, indexed), (indexed, plain)):
        with pytest.raises(CopyError, match=r"in one database \(Redis at .*, database 1\)"):
            copy_sections(source, target)
    assert plain.get_all_sections() == SECTIONS


def test_names_that_are_numbers_or_bytes(groups):
    source = DictAdapter({1: {7, b"rms"}, b"two": {8}})
    assert copy_sections(source, groups) == 2
    assert groups.get_all_sections() == {"1": {"7", "rms"}, "two": {"8"}}
    assert copy_sections(source, groups) == 2
    target = DictAdapter({"1": {7}})
    assert copy_sections(source, target) == 2


def test_name_that_is_none(groups):
    with pytest.raises(CopyError, match="cannot name a section or an item"):
        copy_sections(DictAdapter({"admins": {None}}), groups)


def test_empty_source(groups, target):
    reports = []
    assert copy_sections(groups, target, lambda *report: reports.append(report)) == 0
    assert reports == []


def test_progress(groups, target):
    for number in range(250):
        groups.create_section(f"group {number}")
    reports = []
    copy_sections(groups, target, lambda done, total: reports.append((done, total)))
    assert reports == [(100, 250), (200, 250), (250, 250)]


def test_section_that_is_there_in_part_is_completed(groups, target):
    create_sections(target, {"admins": {"rms"}, "none": set(), "theirs": {"linus"}})
    assert copy_sections(create_sections(groups, SECTIONS), target) == 3
    assert target.get_all_sections() == {**SECTIONS, "theirs": {"linus"}}
    assert copy_sections(groups, target) == 3


def test_section_of_somebody_else_is_left_alone(groups, target):
    create_sections(target, {"php": {"linus"}})
    with pytest.raises(CopyError, match=r"^2 of 3 sections are copied\..*\['php'\]") as raised:
        copy_sections(create_sections(groups, SECTIONS), target)
    assert raised.value.copied == 2
    assert target.get_all_sections() == {**SECTIONS, "php": {"linus"}}


def test_target_that_fails(groups, target):
    target.is_writable = False
    with pytest.raises(CopyError, match=r"^Stopped when 0 of 3 .*read-only") as raised:
        copy_sections(create_sections(groups, SECTIONS), target)
    assert raised.value.copied == 0
    assert isinstance(raised.value.__cause__, SourceError)


def test_source_that_fails(target):
    server = fakeredis.FakeServer()
    source = RedisGroupAdapter(fakeredis.FakeRedis(server=server))
    server.connected = False
    with pytest.raises(CopyError, match="Stopped when 0 of 0") as raised:
        copy_sections(source, target)
    assert isinstance(raised.value.__cause__, SourceUnavailable)


def test_error_can_come_from_another_process():
    """Pickle makes it anew as copying does."""
    error = copy.copy(CopyError("2 of 3 sections are copied.", 2))
    assert (str(error), error.copied) == ("2 of 3 sections are copied.", 2)


class TestEnds:
    """What is in a section for a time only is so in the copy, or not at all."""

    @pytest.fixture
    def source(self, indexed_groups):
        create_sections(indexed_groups, SECTIONS)
        indexed_groups.include_items("php", ["eva", "kim"], until=HOUR)
        indexed_groups.include_item("php", "lee", until=2 * HOUR)
        indexed_groups.include_item("none", "eva", until=HOUR)
        return indexed_groups

    @staticmethod
    def ends(adapter):
        return {section: adapter.until_of(section) for section in adapter.get_section_names()}

    def test_they_are_kept(self, source, target):
        for _ in range(2):
            assert copy_sections(source, target) == 3
            assert self.ends(target) == self.ends(source)
            assert target.get_all_sections() == source.get_all_sections()
        assert {"eva", "kim", "lee"} == target.until_of("php").keys()
        let_pass(target.db_connection, HOUR)
        assert target.get_section_items("php") == {"rms", "lee"}
        assert target.check() == []

    def test_copy_of_a_part_is_completed(self, source, target):
        create_sections(target, {"php": {"rms"}})
        target.include_item("php", "kim", until=HOUR / 2)
        assert copy_sections(source, target) == 3
        assert self.ends(target) == self.ends(source)

    def test_prolonged_in_the_source_and_in_it_for_good(self, source, target):
        copy_sections(source, target)
        source.set_until("php", "eva", 3 * HOUR)
        source.set_until("php", "kim", None)
        assert copy_sections(source, target) == 3
        assert self.ends(target) == self.ends(source)
        assert target.until_of("php").keys() == {"eva", "lee"}

    @pytest.mark.parametrize("until", [3 * HOUR, None])
    def test_for_longer_in_the_target(self, source, target, until):
        copy_sections(source, target)
        target.set_until("php", "eva", until)
        before = self.ends(target)
        with pytest.raises(CopyError, match=r"a shorter time: \['php'\]$") as raised:
            copy_sections(source, target)
        assert raised.value.copied == 2
        assert self.ends(target) == before

    def test_clock_of_the_target_is_ahead(self, source, target, monkeypatch):
        """There is past what ends here in an hour: it is left out, and the others are copied."""
        read = source.get_many_sections_until

        def earlier(hours):
            return lambda names: {
                section: {item: until and until - hours * HOUR for item, until in items.items()}
                for section, items in read(names).items()
            }

        monkeypatch.setattr(source, "get_many_sections_until", earlier(5))
        assert copy_sections(source, target) == 3
        assert target.get_all_sections() == SECTIONS
        # Or it was there until a moment ago.
        monkeypatch.setattr(target, "get_many_sections_until", earlier(6))
        assert copy_sections(source, target) == 3
        assert target.get_all_sections() == SECTIONS

    @pytest.mark.parametrize("kind", ["plain", "another"])
    def test_target_has_no_room_for_them(self, source, kind):
        plain = RedisGroupAdapter(fakeredis.FakeRedis())
        target = {"plain": plain, "another": DictAdapter({})}[kind]
        with pytest.raises(CopyError, match=r"^Stopped when 0 of 3 .*namespace; or") as raised:
            copy_sections(source, target)
        assert "'none' has items for a time only: 'eva'." in str(raised.value)
        assert (raised.value.copied, target.get_all_sections()) == (0, {})
        assert copy_sections(source, target, only_for_good=True) == 3
        assert target.get_all_sections() == SECTIONS

    def test_only_for_good(self, source, target):
        assert copy_sections(source, target, only_for_good=True) == 3
        assert target.get_all_sections() == SECTIONS
        assert copy_sections(source, target) == 3
        assert copy_sections(source, target, only_for_good=True) == 3
        assert self.ends(target) == self.ends(source)

    def test_nothing_ends(self, source):
        target = DictAdapter({})
        let_pass(source.db_connection, 2 * HOUR)
        assert copy_sections(source, target) == 3
        assert target.sections == SECTIONS

    def test_somebody_is_in_for_a_time_meanwhile(self, source, monkeypatch):
        let_pass(source.db_connection, 2 * HOUR)
        target, read = DictAdapter({}), source.get_many_sections_until
        pages = []

        def read_and_include(sections):
            if pages:
                source.include_item("php", "eva", until=HOUR)
            pages.append(sections)
            return read(sections)

        monkeypatch.setattr(source, "get_many_sections_until", read_and_include)
        with pytest.raises(CopyError, match="'php' has items for a time only") as raised:
            copy_sections(source, target)
        assert target.sections.get("php", set()) == set()
        assert raised.value.copied == len(target.sections)
