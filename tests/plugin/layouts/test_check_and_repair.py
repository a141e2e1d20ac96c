"""What check() finds where somebody else has written, and what repair() makes of it."""

import pytest

from repoze.what.adapters import ItemNotPresentError, SourceError
from repoze.what.plugins.redis import Finding, RedisGroupAdapter

KEY = "{tests}:groups:"


def credentials(userid):
    return {"repoze.what.userid": userid}


@pytest.fixture(autouse=True)
def sections(groups):
    for section, items in {"admins": ["rms", "ada"], "php": ["rms"], "none": []}.items():
        groups.create_section(section)
        groups.include_items(section, items)


def test_source_that_is_in_order(groups):
    assert groups.check() == []
    assert groups.repair() == []
    assert groups.get_all_sections() == {"admins": {"rms", "ada"}, "php": {"rms"}, "none": set()}


def test_check_is_not_confused_by_neighbours(indexed_groups):
    indexed_groups.db_connection.sadd("{tests}:groupsection:x", "y")
    indexed_groups.db_connection.set("{tests}:groups:remark", "what is this?")
    indexed_groups.db_connection.sadd("{tests}:permissions:section:x", "y")
    indexed_groups.db_connection.set("{other}:groups:item:rms", "y")
    assert indexed_groups.check() == []


class TestIndex:
    @pytest.fixture
    def groups(self, indexed_groups):
        return indexed_groups

    @pytest.fixture
    def raw(self, groups):
        return groups.db_connection

    def test_item_that_is_not_indexed(self, groups, raw):
        raw.srem(KEY + "item:rms", "php")
        assert groups.find_sections(credentials("rms")) == {"admins"}
        finding = Finding("not indexed", "php", "rms")
        assert groups.check() == [finding]
        assert str(finding) == (
            "'rms' is in section 'php', but not found there. repair() mends it."
        )
        assert groups.repair() == [finding]
        assert groups.check() == []
        assert groups.find_sections(credentials("rms")) == {"admins", "php"}

    def test_item_that_is_only_indexed_keeps_nothing_when_it_is_renamed(self, groups, raw):
        raw.sadd(f"{KEY}item:ada", "php", "nowhere")
        assert groups.rename_item("ada", "lovelace") == {"admins"}
        assert groups.find_sections(credentials("lovelace")) == {"admins"}
        assert groups.check() == []
        raw.sadd(f"{KEY}item:mallory", "php")
        with pytest.raises(ItemNotPresentError):
            groups.rename_item("mallory", "mallet")
        assert groups.find_sections(credentials("mallet")) == set()

    def test_item_that_is_only_indexed(self, groups, raw):
        raw.sadd(KEY + "item:ada", "php")
        raw.sadd(KEY + "item:mallory", "admins", "nowhere")
        found = groups.check()
        assert set(found) == {
            Finding("only indexed", "php", "ada"),
            Finding("only indexed", "admins", "mallory"),
            Finding("only indexed", "nowhere", "mallory"),
        }
        assert "is found in section" in str(found[0])
        assert set(groups.repair()) == set(found)
        assert groups.check() == []
        assert groups.find_sections(credentials("mallory")) == set()
        assert groups.find_sections(credentials("ada")) == {"admins"}

    def test_index_that_is_lost(self, groups, raw):
        raw.delete(*raw.scan_iter(KEY + "item:*"))
        assert groups.find_sections(credentials("rms")) == set()
        assert len(groups.repair()) == 3
        assert groups.find_sections(credentials("rms")) == {"admins", "php"}
        assert groups.check() == []

    def test_section_without_a_name(self, groups, raw):
        raw.sadd(KEY + "sections", "")
        raw.sadd(KEY + "section:", "rms")
        raw.sadd(KEY + "item:rms", "")
        assert groups.find_sections(credentials("rms")) == {"admins", "php"}
        without_name, indexed = Finding("no name", "", ""), Finding("only indexed", "", "rms")
        assert set(groups.check()) == {without_name, indexed}
        assert groups.repair() == [indexed]
        assert groups.check() == [without_name]
        raw.delete(KEY + "section:")
        assert groups.check() == []

    def test_items_without_a_section(self, groups, raw):
        """Neither dropped nor granted: an operator says which."""
        raw.srem(KEY + "sections", "php")
        orphans = Finding("no such section", "php", "")
        assert set(groups.check()) == {orphans, Finding("only indexed", "php", "rms")}
        assert groups.repair() == [Finding("only indexed", "php", "rms")]
        assert groups.check() == [orphans]
        assert "Add the name" in str(orphans)
        assert raw.smembers(KEY + "section:php") == {b"rms"}
        assert groups.find_sections(credentials("rms")) == {"admins"}
        for take_the_name in (
            lambda: groups.create_section("php"),
            lambda: groups.edit_section("admins", "php"),
        ):
            with pytest.raises(SourceError, match=r"INCONSISTENT.*check\(\) finds.*Nothing was"):
                take_the_name()
        raw.sadd(KEY + "sections", "php")
        assert groups.repair() == [Finding("not indexed", "php", "rms")]
        assert groups.check() == []

    def test_key_that_is_not_a_set(self, groups, raw):
        raw.set(KEY + "item:linus", "admins")
        raw.delete(KEY + "section:php")
        raw.set(KEY + "section:php", "rms")
        found = {
            Finding("not a set", KEY + "item:linus", ""),
            Finding("not a set", KEY + "section:php", ""),
        }
        assert found < set(groups.check())
        groups.repair()
        assert set(groups.check()) == found
        with pytest.raises(SourceError, match=r"WRONGTYPE.*Nothing was written"):
            groups.include_items("admins", ["linus", "new"])
        assert groups.get_section_items("admins") == {"rms", "ada"}

    def test_key_that_is_not_a_set_is_passed_over(self, groups, raw):
        raw.sadd(KEY + "item:mallory", "admins")
        raw.srem(KEY + "item:ada", "admins")
        raw.delete(KEY + "item:rms")
        raw.set(KEY + "item:rms", "admins")
        found = {
            Finding("not a set", KEY + "item:rms", ""),
            Finding("not indexed", "admins", "rms"),
            Finding("not indexed", "php", "rms"),
        }
        repaired = {
            Finding("only indexed", "admins", "mallory"),
            Finding("not indexed", "admins", "ada"),
        }
        assert set(groups.check()) == found | repaired
        assert set(groups.repair()) == repaired
        assert set(groups.check()) == found
        raw.delete(KEY + "item:rms")
        groups.repair()
        assert groups.check() == []

    def test_names_that_are_not_a_set(self, groups, raw):
        """Nobody knows then which sections there are: what none of them has is taken away."""
        names = raw.smembers(KEY + "sections")
        raw.sadd(KEY + "item:mallory", "admins", "nowhere")
        raw.srem(KEY + "item:ada", "admins")
        raw.delete(KEY + "sections")
        raw.set(KEY + "sections", "admins")
        foreign = Finding("not a set", KEY + "sections", "")
        granted = {
            Finding("only indexed", "admins", "mallory"),
            Finding("only indexed", "nowhere", "mallory"),
        }
        with pytest.raises(SourceError, match=r"WRONGTYPE.*check\(\) finds it"):
            groups.create_section("new")
        assert set(groups.check()) == {foreign, *granted}
        assert set(groups.repair()) == granted
        assert groups.check() == [foreign]
        assert groups.find_sections(credentials("mallory")) == set()
        assert groups.find_sections(credentials("rms")) == {"admins", "php"}
        raw.delete(KEY + "sections")
        raw.sadd(KEY + "sections", *names)
        assert groups.repair() == [Finding("not indexed", "admins", "ada")]
        assert groups.check() == []

    def test_scratch_that_is_something_else(self, groups, raw):
        """Nothing is ever there; where something is, each write fails, revocations too."""
        raw.set(KEY + "done:", "x")
        with pytest.raises(SourceError, match=r"WRONGTYPE.*check\(\) finds it"):
            groups.create_section("new")
        assert Finding("not a set", KEY + "done:", "") in groups.check()

    def test_latest_writes_that_are_something_else(self, groups, raw):
        raw.delete(KEY + "done")
        raw.sadd(KEY + "done", "x")
        with pytest.raises(SourceError, match=r"WRONGTYPE.*check\(\) finds it"):
            groups.create_section("new")
        foreign = Finding("not a set", KEY + "done", "")
        assert groups.check() == [foreign]
        assert str(foreign) == (
            "The key '{tests}:groups:done' is of another type than belongs there. "
            "Rename or delete it."
        )
        raw.delete(KEY + "done")
        groups.create_section("new")
        assert groups.check() == []

    def test_names_of_every_kind(self, groups, raw):
        for name in ("a:b", "section:x", "item:y", "new\nline", "\udcff", "%a+", "*"):
            groups.create_section(name)
            groups.include_item(name, name)
        raw.delete(*raw.scan_iter(KEY + "item:*"))
        groups.repair()
        assert groups.check() == []
        assert groups.find_sections(credentials("new\nline")) == {"new\nline"}


class TestManyKeys:
    """On real servers: fakeredis takes seconds."""

    @pytest.fixture
    def client(self, server):
        return server.client()

    @pytest.fixture
    def groups(self, indexed_groups):
        return indexed_groups

    def test_more_than_a_page_of_each(self, groups):
        groups.set_section_items("none", range(2100))
        keys = [f"{KEY}item:{number}" for number in range(0, 2100, 2)]
        groups.db_connection.delete(*keys)
        assert len(groups.check()) == 1050
        assert len(groups.repair()) == 1050
        assert groups.check() == []

    def test_what_is_granted_is_taken_away_before_anything_can_be_refused(self, groups, server):
        """Where memory is out, say."""
        raw = groups.db_connection
        raw.srem(KEY + "item:ada", "admins")
        many = {f"user {number}" for number in range(300)}
        for name in many:
            raw.sadd(KEY + f"item:{name}", "admins")
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(SourceError, match="maxmemory"):
                groups.repair()
        finally:
            raw.config_set("maxmemory", 0)
        assert groups.check() == [Finding("not indexed", "admins", "ada")]


class TestPlainLayout:
    @pytest.fixture
    def groups(self, plain_groups):
        return plain_groups

    def test_mark_beside_items(self, groups):
        groups.db_connection.sadd("php", "")
        finding = Finding("mark beside items", "php", "")
        assert groups.check() == [finding]
        assert "mark of an empty section" in str(finding)
        assert groups.repair() == [finding]
        assert groups.check() == []
        assert groups.db_connection.smembers("php") == {b"rms"}

    def test_what_is_no_section(self, groups):
        groups.db_connection.set("string", "x")
        groups.db_connection.sadd("", "x")
        findings = {Finding("not a set", "string", ""), Finding("no name", "", "")}
        assert set(groups.check()) == findings
        assert {str(finding)[:7] for finding in findings} == {"The key", "What li"}
        assert groups.repair() == []
        assert set(groups.check()) == findings


def test_reader_repairs_nothing(client, groups, options):
    reader = RedisGroupAdapter(client, writable=False, **options)
    assert reader.check() == []
    with pytest.raises(SourceError, match="read-only"):
        reader.repair()
