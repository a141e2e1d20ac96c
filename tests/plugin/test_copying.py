"""Copying between adapters of every kind."""

import copy

import fakeredis
import pytest
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
