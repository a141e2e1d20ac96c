"""The history of a source: what was changed, when, by whom, and that it tells of nothing else."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from math import inf

import fakeredis
import pytest
import redis
from harness import servers
from harness.histories import replayed
from harness.operations import AFTER, BEFORE, WRITES, create_sections, load_scripts, restore
from harness.proxy import CUT_REPLY, Proxy

from repoze.what.acting import acting_as
from repoze.what.adapters import AdapterError, SourceError, SourceUnavailable
from repoze.what.plugins.redis import (
    Adapters,
    Change,
    Finding,
    MissedChanges,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    copy_sections,
)
from repoze.what.plugins.redis.changes import _LONG_PAGE
from repoze.what.plugins.redis.layouts import indexed

KEY = "{tests}:permissions:history"
OF_GROUPS = "{tests}:groups:history"
LAST_ID = "18446744073709551615-18446744073709551615"
EXHAUST = {
    "by an entry": lambda raw, key: raw.xadd(key, {"x": "y"}, id=LAST_ID),
    "by its id": lambda raw, key: (
        raw.xadd(key, {"x": "y"}) and raw.execute_command("XSETID", key, LAST_ID)
    ),
}
# The operation, the section and its new name, and the items that were added and removed.
TOLD = {
    "create_section": ("create_section", "new", None, set(), set()),
    "edit_section": ("edit_section", "edit", "new", set(), set()),
    "delete_section": ("delete_section", "edit", None, set(), {"staff", "admins"}),
    "include_items": ("include_items", "edit", None, {"a", "b"}, set()),
    "include_item": ("include_items", "edit", None, {"a"}, set()),
    "exclude_items": ("exclude_items", "edit", None, set(), {"staff", "admins"}),
    "exclude_item": ("exclude_items", "edit", None, set(), {"staff"}),
    "set_section_items": ("set_section_items", "edit", None, {"a"}, {"staff", "admins"}),
    "remove_item": ("remove_item", "edit", None, set(), {"staff"}),
    "rename_item": ("rename_item", "edit", None, {"a"}, {"staff"}),
}
REST = ["added", "removed", "ends", "ends_before", "by", "note"]
TAKE_AWAY = ["delete_section", "exclude_items", "exclude_item", "remove_item"]


@pytest.fixture
def source(server):
    source = RedisPermissionAdapter(server.client(), namespace="tests")
    restore(source)
    source.db_connection.delete(KEY)
    return source


@pytest.fixture
def raw(source):
    return source.db_connection


def told(change):
    return (
        *(change.operation, change.section, change.new_section),
        *(set(change.added), set(change.removed)),
    )


def stored(raw):
    """All that there is, byte for byte, whatever type it is of."""
    return {key: raw.dump(key) for key in raw.scan_iter()}


class TestEntries:
    @pytest.mark.parametrize("name", WRITES)
    def test_each_write_is_told_of_once(self, source, raw, name):
        before = int(raw.time()[0])
        with acting_as("tomas", note="ticket 12"):
            WRITES[name](source)
        [change] = source.history()
        assert told(change) == TOLD[name]
        assert (change.by, change.note) == ("tomas", "ticket 12")
        assert change.at.tzinfo is UTC
        assert before <= change.at.timestamp() <= int(raw.time()[0]) + 1
        latest = raw.zrange("{tests}:permissions:done", -1, -1)[0].decode()
        assert latest.split(":")[0] == change.token
        assert raw.ttl(KEY) == -1
        assert source.get_all_sections() == AFTER[name]
        assert source.check() == []

    def test_nobody_has_said_who(self, source):
        source.create_section("new")
        [change] = source.history()
        assert (change.by, change.note) == (None, None)

    def test_several_sections(self, source):
        source.include_items("read", ["staff"])
        source.rename_item("staff", "team")
        source.remove_item("team")
        removed, renamed, _ = source.history()
        assert renamed.sections == removed.sections == ("edit", "read")
        assert renamed.section is None
        assert (renamed.added, renamed.removed) == ({"team"}, {"staff"})
        assert (removed.added, removed.removed) == (set(), {"team"})

    def test_only_what_is_changed_is_told(self, source):
        source.set_section_items("edit", ["staff", "a"])
        assert told(next(source.history())) == (
            *("set_section_items", "edit", None),
            *({"a"}, {"admins"}),
        )

    @pytest.mark.parametrize(
        "write",
        [
            lambda source: source.include_items("edit", []),
            lambda source: source.exclude_items("edit", []),
            lambda source: source.set_section_items("edit", ["admins", "staff"]),
            lambda source: source.set_section_items("read", []),
            lambda source: source.repair(),
        ],
    )
    def test_nothing_is_told_where_nothing_changes(self, source, raw, write):
        write(source)
        assert not raw.exists(KEY)

    @pytest.mark.parametrize(
        "write",
        [
            lambda source: source.create_section("edit"),
            lambda source: source.edit_section("none", "new"),
            lambda source: source.edit_section("edit", "read"),
            lambda source: source.delete_section("none"),
            lambda source: source.include_items("edit", ["a", "staff"]),
            lambda source: source.exclude_items("edit", ["a", "staff"]),
            lambda source: source.set_section_items("none", ["a"]),
            lambda source: source.remove_item("a"),
            lambda source: source.rename_item("staff", "admins"),
            lambda source: source.create_section(""),
        ],
    )
    def test_nothing_is_told_where_it_is_refused(self, source, raw, write):
        with pytest.raises(AdapterError):
            write(source)
        assert not raw.exists(KEY)

    def test_repair_is_no_change(self, source, raw):
        raw.sadd("{tests}:permissions:item:mallory", "edit")
        assert len(source.repair()) == 1
        assert not raw.exists(KEY)

    @pytest.mark.parametrize("by", ["r\xf6\u20ac", "r\udcff", "a\nb", "\0", 7, "\ud800"])
    def test_names_of_any_kind(self, source, by):
        names = ["5\n4 rosa", " ", "\n", "1 2\nab", b"\xff\0\n3", 12, "\U0001f600"]
        with acting_as(by, note="x\ny\0\udcfe"):
            source.include_items("edit", names)
        [change] = source.history()
        assert change.added == {
            name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)
            for name in names
        }
        assert change.by == {"\ud800": "\\ud800"}.get(by, str(by))
        assert change.note == "x\ny\0\udcfe"

    def test_many_names(self, source):
        names = {f"user {number}" for number in range(20_000)}
        source.set_section_items("read", names)
        source.delete_section("read")
        deleted, added = source.history()
        assert deleted.removed == added.added == names

    def test_who_acts_where_it_is_sent_is_noted(self, server, source):
        """Not who acts when it is sent again."""
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            adapter.create_section("new")
            proxy.arm(CUT_REPLY)
            with acting_as("tomas"):
                adapter.include_item("new", "a")
        assert [change.by for change in source.history()] == ["tomas", None]


class TestOnce:
    @pytest.mark.parametrize("name", WRITES)
    def test_write_whose_reply_is_lost_is_told_of_once(self, server, source, raw, name):
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            load_scripts(adapter)
            restore(adapter)
            raw.delete(KEY)
            proxy.arm(CUT_REPLY)
            WRITES[name](adapter)
        [change] = source.history()
        assert told(change) == TOLD[name]

    def test_first_write_of_an_adapter_is_told_of_once(self, server, source):
        RedisPermissionAdapter(server.client(), namespace="tests").create_section("new")
        assert [told(change) for change in source.history()] == [TOLD["create_section"]]


class TestPair:
    @pytest.fixture
    def pair(self, server):
        client = server.client()
        pair = Adapters(
            RedisGroupAdapter(client, db=0, namespace="tests"),
            RedisPermissionAdapter(client, db=0, namespace="tests"),
        )
        create_sections(pair.groups, {"editors": ["rosa", "ben"], "interns": []})
        create_sections(pair.permissions, {"publish": ["editors"], "write": ["editors"]})
        for adapter in pair:
            adapter.db_connection.delete(OF_GROUPS, KEY)
        return pair

    def changes(self, pair):
        return [list(adapter.history()) for adapter in pair]

    def test_rename_group(self, pair):
        with acting_as("tomas"):
            pair.rename_group("editors", "desk")
        [of_groups], [of_permissions] = self.changes(pair)
        assert told(of_groups) == ("rename_group", "editors", "desk", set(), set())
        assert of_permissions.sections == ("publish", "write")
        assert (of_permissions.added, of_permissions.removed) == ({"desk"}, {"editors"})
        assert of_permissions.new_section is None
        assert of_groups.token == of_permissions.token
        assert of_groups.by == of_permissions.by == "tomas"

    def test_delete_group(self, pair):
        pair.delete_group("editors")
        [of_groups], [of_permissions] = self.changes(pair)
        assert told(of_groups) == ("delete_group", "editors", None, set(), {"rosa", "ben"})
        assert of_permissions.sections == ("publish", "write")
        assert (of_permissions.added, of_permissions.removed) == (set(), {"editors"})
        assert of_groups.token == of_permissions.token

    @pytest.mark.parametrize(
        "change",
        [lambda pair: pair.rename_group("interns", "x"), lambda pair: pair.delete_group("interns")],
    )
    def test_group_without_permissions(self, pair, change):
        change(pair)
        assert list(map(len, self.changes(pair))) == [1, 0]

    @pytest.mark.parametrize("key", [OF_GROUPS, KEY])
    @pytest.mark.parametrize("exhaust", EXHAUST)
    @pytest.mark.parametrize(
        "change",
        [lambda pair: pair.rename_group("editors", "x"), lambda pair: pair.delete_group("editors")],
    )
    def test_stream_that_takes_no_more(self, pair, server, key, exhaust, change):
        """Neither source is told of what is not done."""
        raw = pair.groups.db_connection
        EXHAUST[exhaust](raw, key)
        before = {key: raw.dump(key) for key in raw.scan_iter() if not key.endswith(b":done")}
        with pytest.raises(
            SourceError, match=r"history takes no more entries.*Nothing was written"
        ):
            change(pair)
        for name, value in before.items():
            assert raw.dump(name) == value
        assert raw.exists(OF_GROUPS, KEY) == 1


class TestReading:
    @pytest.fixture
    def told_source(self, source):
        with acting_as("tomas"):
            source.include_items("edit", ["a", "b"])
            source.edit_section("edit", "write")
        with acting_as("rosa"):
            source.rename_item("a", "c")
            source.delete_section("read")
        return source

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({}, "delete_section rename_item edit_section include_items"),
            ({"section": "edit"}, "edit_section include_items"),
            ({"section": b"write"}, "rename_item edit_section"),
            ({"item": "a"}, "rename_item include_items"),
            ({"item": "c", "section": "write"}, "rename_item"),
            ({"by": "tomas"}, "edit_section include_items"),
            ({"by": "rosa", "item": "b"}, ""),
            ({"section": ""}, ""),
            ({"item": None, "by": object()}, ""),
        ],
    )
    def test_what_is_wanted(self, told_source, wanted, expected):
        assert [change.operation for change in told_source.history(**wanted)] == expected.split()

    def test_when(self, source, raw):
        entry = {"operation": "create_section", "sections": "1\nx", "new_section": ""}
        for milliseconds in (1000, 1001, 2000):
            raw.xadd(
                KEY,
                {**entry, **dict.fromkeys(REST, ""), "token": milliseconds},
                id=f"{milliseconds}-0",
            )
        start = datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=2))) + timedelta(hours=2)

        def found(since=None, before=None):
            times = [
                None if each is None else start + timedelta(milliseconds=each)
                for each in (since, before)
            ]
            return [int(change.token) for change in source.history(since=times[0], before=times[1])]

        assert found() == [2000, 1001, 1000]
        assert found(since=1001) == [2000, 1001]
        assert found(since=1000.5) == [2000, 1001]
        assert found(before=1001) == [1000]
        assert found(before=1001.5) == [1001, 1000]
        assert found(since=1001, before=2000) == [1001]
        assert found(since=3000) == found(since=2000, before=1000) == []
        assert found(since=-5) == [2000, 1001, 1000]
        assert found(before=-5) == found(before=0) == []
        assert next(source.history()).at == start + timedelta(seconds=2)

    @pytest.mark.parametrize(
        ("when", "error"),
        [(datetime(2026, 1, 1), ValueError), (5, TypeError), ("2026", TypeError)],
    )
    @pytest.mark.parametrize("name", ["since", "before"])
    def test_time_that_is_none(self, source, name, when, error):
        with pytest.raises(error, match=name):
            source.history(**{name: when})

    def test_many_changes_come_in_pages(self, source, monkeypatch):
        asked = []
        read = source._layout.read_history
        monkeypatch.setattr(
            source._layout, "read_history", lambda *key: asked.append(key[2]) or read(*key)
        )
        for number in range(300):
            source.create_section(number)
        assert [int(change.section) for change in source.history()] == [*range(299, -1, -1)]
        assert asked == [10, 20, 40, 80, 160]
        asked.clear()
        next(source.history())
        assert asked == [10]

    def test_long_changes_come_few_at_a_time(self, source, monkeypatch):
        asked = []
        read = source._layout.read_history
        monkeypatch.setattr(
            source._layout, "read_history", lambda *key: asked.append(key[2]) or read(*key)
        )
        long_name = "x" * (_LONG_PAGE // 10)
        for number in range(60):
            source.create_section(f"{long_name} {number}")
        assert sum(1 for _ in source.history()) == 60
        assert set(asked) == {10}

    def test_what_comes_meanwhile_is_not_in_it(self, source):
        for number in range(15):
            source.create_section(number)
        found = source.history()
        seen = [next(found).section]
        source.create_section("later")
        seen += [change.section for change in found]
        assert seen == list(map(str, range(14, -1, -1)))

    def test_entries_of_others_are_passed_over(self, source, raw):
        source.create_section("new")
        fields = raw.xrange(KEY)[0][1]
        for strange in (
            {"x": "y"},
            {**fields, b"sections": b"5\nab"},
            {**fields, b"sections": b"1\nab"},
            {**fields, b"added": b"x\nab"},
            {**fields, b"removed": b"-1 3\nab"},
        ):
            raw.xadd(KEY, strange)
        source.create_section("newer")
        assert [change.section for change in source.history()] == ["newer", "new"]
        assert source.check() == []

    def test_id_beyond_all_time(self, source, raw):
        source.create_section("new")
        raw.xadd(KEY, raw.xrange(KEY)[0][1], id=LAST_ID)
        assert next(source.history()).at.year == 9999

    def test_empty_history(self, source):
        assert list(source.history()) == []

    def test_key_of_another_type(self, source, raw):
        raw.set(KEY, "x")
        with pytest.raises(SourceError, match="WRONGTYPE"):
            next(source.history())

    def test_reader_need_not_say_it(self, server, source):
        source.create_section("new")
        reader = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        assert [change.section for change in reader.history()] == ["new"]


class TestHowMuch:
    def adapter(self, server, history):
        return RedisPermissionAdapter(server.client(), namespace="tests", history=history)

    def test_none(self, server, source, raw):
        adapter = self.adapter(server, 0)
        for name in WRITES:
            restore(adapter)
            WRITES[name](adapter)
        assert not raw.exists(KEY)

    def test_about_so_many(self, server, source, raw):
        adapter = self.adapter(server, 50)
        for number in range(400):
            adapter.create_section(number)
        assert 50 <= raw.xlen(KEY) <= 50 + 100
        sections = [int(change.section) for change in adapter.history()]
        assert sections == [*range(399, 399 - len(sections), -1)]

    def test_about_so_many_bytes(self, server, source, raw, monkeypatch):
        monkeypatch.setattr(indexed, "_LEAST_BYTES", 100_000)
        adapter = self.adapter(server, 20)
        adapter.create_section("short")
        for number in range(200):
            adapter.create_section(f"{number:03}" + "x" * 10_000)
            assert raw.memory_usage(KEY, samples=0) < 150_000
        changes = list(adapter.history())
        assert [change.section[:3] for change in changes] == [
            f"{number:03}" for number in range(199, 199 - len(changes), -1)
        ]
        assert 9 <= len(changes) <= 12

    def test_long_entry_is_not_read_by_each_write(self, server, source, raw):
        """Neither while it is the oldest, nor once it is not the latest."""
        source.include_items("read", [f"user {number}" for number in range(50_000)])
        source.create_section("next")
        with raw.monitor() as monitor:
            source.create_section("new")
            server.client().ping()
            seen = []
            while "PING" not in seen:
                seen.append(monitor.next_command()["command"].partition(" MAXLEN")[0])
        read = {f"{command} {KEY}" for command in ("XRANGE", "XADD")}
        assert read & {each.partition(" - ")[0] for each in seen} == {f"XADD {KEY}"}

    def test_one_change_of_more_bytes_than_that(self, server, source, raw, monkeypatch):
        monkeypatch.setattr(indexed, "_LEAST_BYTES", 1000)
        monkeypatch.setattr(indexed, "_BYTES_OF_CHANGE", 1)
        adapter = self.adapter(server, 20)
        for number in range(30):
            adapter.create_section(f"{number:03}" + "x" * 10_000)
        assert [change.section[:3] for change in adapter.history()] == ["029", "028"]

    def test_many_short_changes_before_a_long_one(self, server, source, raw, monkeypatch):
        monkeypatch.setattr(indexed, "_LEAST_BYTES", 20_000)
        monkeypatch.setattr(indexed, "_BYTES_OF_CHANGE", 1)
        adapter = self.adapter(server, 1000)
        for number in range(60):
            adapter.create_section(number)
        adapter.create_section("x" * 15_000)
        assert 15 <= raw.xlen(KEY) < 30
        assert next(adapter.history()).section == "x" * 15_000

    @pytest.mark.parametrize("total", ["", "x", "-1", "1e999", "nan", None])
    def test_total_that_makes_no_sense(self, source, raw, total):
        raw.xadd(KEY, {"x": "y"} if total is None else {"total": total})
        source.create_section("new")
        source.create_section("newer")
        assert [change.section for change in source.history()] == ["newer", "new"]

    @pytest.mark.parametrize(("history", "error"), [(-1, ValueError), (True, TypeError)])
    def test_number_that_is_none(self, history, error):
        with pytest.raises(error, match="history"):
            RedisGroupAdapter(redis.Redis(), namespace="tests", history=history)


class TestRefusal:
    @pytest.mark.parametrize("name", TAKE_AWAY)
    def test_rights_are_taken_away_where_memory_is_out(self, source, raw, name):
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(SourceError, match="maxmemory"):
                source.create_section("new")
            with pytest.raises(SourceError, match="maxmemory"):
                source.include_item("edit", "a")
            assert not raw.exists(KEY)
            WRITES[name](source)
        finally:
            raw.config_set("maxmemory", 0)
        assert [told(change) for change in source.history()] == [TOLD[name]]
        assert source.get_all_sections() == AFTER[name]

    @pytest.mark.parametrize("name", WRITES)
    def test_key_of_another_type(self, source, raw, name):
        raw.set(KEY, "x")
        before = stored(raw)
        with pytest.raises(SourceError, match=r"WRONGTYPE.*check\(\) finds it.*Nothing was wr"):
            WRITES[name](source)
        assert stored(raw) == before
        assert source.check() == [Finding("not a set", KEY, "")]
        assert source.repair() == []
        without = RedisPermissionAdapter(source._client, namespace="tests", history=0)
        WRITES[name](without)
        assert source.get_all_sections() == AFTER[name]

    @pytest.mark.parametrize("exhaust", EXHAUST)
    @pytest.mark.parametrize("name", WRITES)
    def test_stream_that_takes_no_more(self, source, raw, name, exhaust):
        EXHAUST[exhaust](raw, KEY)
        raw.delete("{tests}:permissions:format")
        before = stored(raw)
        with pytest.raises(SourceError, match=r"takes no more entries.*Nothing was wr") as raised:
            WRITES[name](source)
        assert raised.value.written is False
        assert stored(raw) == before
        raw.delete(KEY)
        WRITES[name](source)
        assert [told(change) for change in source.history()] == [TOLD[name]]

    @pytest.mark.parametrize("command", ["xadd", "xrange", "xrevrange"])
    @pytest.mark.parametrize("name", ["create_section", "delete_section", "set_section_items"])
    def test_user_who_may_not(self, server, source, raw, name, command):
        source.create_section("so that there is a history")
        source.delete_section("so that there is a history")
        client = server.client()
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}")
        )
        try:
            guest = server.client(username="guest", password="guest")
            before = stored(raw)
            with pytest.raises(
                SourceError, match=r"\+xadd \+xrange \+xrevrange.*server's ACL.*Nothing was written"
            ) as raised:
                WRITES[name](RedisPermissionAdapter(guest, namespace="tests"))
            assert raised.value.written is False
            assert stored(raw) == before
            WRITES[name](RedisPermissionAdapter(guest, namespace="tests", history=0))
        finally:
            client.execute_command("ACL", "DELUSER", "guest")
        assert source.get_all_sections() == AFTER[name]

    def test_user_who_may_not_and_keeps_none(self, server, source):
        """What is said of the history is not said then."""
        client = server.client()
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", "-sadd")
        )
        try:
            guest = server.client(username="guest", password="guest")
            with pytest.raises(SourceError, match="server's ACL") as raised:
                RedisPermissionAdapter(guest, namespace="tests", history=0).create_section("new")
        finally:
            client.execute_command("ACL", "DELUSER", "guest")
        assert "history" not in str(raised.value)


class TestPlain:
    def test_asking_says_what_to_do(self):
        with pytest.raises(SourceError, match=r"plain layout has no history.*copy_sections") as err:
            RedisGroupAdapter(fakeredis.FakeRedis()).history()
        assert err.value.written is False

    def test_wanting_one_says_what_to_do(self):
        with pytest.raises(ValueError, match=r"Without a namespace there is no history.*namespace"):
            RedisGroupAdapter(fakeredis.FakeRedis(), history=10)

    def test_wanting_none_is_what_it_has(self, server):
        adapter = RedisGroupAdapter(server.client(), history=0)
        adapter.create_section("x")
        assert [*adapter.db_connection.scan_iter()] == [b"x"]


def test_copy_is_told_of_in_its_target(source):
    target = RedisPermissionAdapter(fakeredis.FakeRedis(), namespace="target")
    with acting_as("tomas"):
        copy_sections(source, target)
    assert replayed(target.history()) == BEFORE
    assert {change.by for change in target.history()} == {"tomas"}


def test_fakeredis(client):
    source = RedisPermissionAdapter(client, namespace="tests")
    restore(source)
    for name, write in WRITES.items():
        restore(source)
        write(source)
        assert told(next(source.history())) == TOLD[name]
    assert replayed(source.history()) == AFTER["rename_item"]


def test_options_from_a_url():
    url = "redis://localhost?namespace=tests&history=7"
    assert RedisGroupAdapter.from_url(url)._layout._history == 7
    assert RedisGroupAdapter.from_url(url, history=None)._layout._history == 7
    assert RedisGroupAdapter.from_url(url, history="0")._layout._history == 0
    assert RedisGroupAdapter.from_url("redis://localhost?namespace=x")._layout._history == 10_000
    with pytest.raises(ValueError, match="history is a number"):
        RedisGroupAdapter.from_url("redis://localhost?namespace=tests&history=many")


def test_change_is_importable_by_its_documented_name():
    assert Change.__module__ == "repoze.what.plugins.redis.changes"


class TestFollowing:
    """Each change is told of once, in order, whatever becomes of the way to the server."""

    def test_from_now_on(self, source):
        source.create_section("before")
        following = source.follow(every=0.001)
        source.create_section("a")
        source.create_section("b")
        found = [next(following).section, next(following).section]
        source.create_section("c")
        assert [*found, next(following).section] == ["a", "b", "c"]

    def test_after_a_change(self, source):
        for section in ("a", "b", "c"):
            source.create_section(section)
        changes = list(source.history())
        found = [change.section for change in islice(source.follow(after=changes[-1]), 2)]
        assert found == ["b", "c"]
        assert next(source.follow(after=changes[1].token)).section == "c"

    def test_many_at_once(self, source):
        following = source.follow(every=0.001)
        for number in range(1500):
            source.create_section(number)
        assert [change.section for change in islice(following, 1500)] == [*map(str, range(1500))]
        source.create_section("last")
        assert next(following).section == "last"

    def test_history_that_begins(self, source, raw):
        following = source.follow(every=0.001)
        source.create_section("a")
        assert next(following).section == "a"

    @pytest.mark.parametrize("is_gone", [True, False])
    def test_what_is_not_there_any_more(self, source, raw, is_gone):
        source.create_section("a")
        following = source.follow(every=0.001)
        raw.delete(KEY)
        if not is_gone:
            source.create_section("b")
        with pytest.raises(MissedChanges, match="Begin again without after"):
            next(following)
        with pytest.raises(MissedChanges):
            next(source.follow(after="no token"))

    def test_ids_that_begin_again(self, source, raw):
        """As after a failover to a primary that lacked the latest, with a clock that is behind."""
        source.create_section("a")
        source.create_section("lost")
        following = source.follow(every=0.001)
        fields = raw.xrange(KEY)[0][1]
        raw.delete(KEY)
        raw.xadd(KEY, fields, id="5-0")
        raw.xadd(KEY, fields | {b"token": b"new", b"sections": b"3\nnew"}, id="6-0")
        assert next(following).section == "new"

    def test_connection_that_is_lost(self, server, source):
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            following = RedisPermissionAdapter(client, namespace="tests").follow(every=0.001)
            for section in ("a", "b", "c"):
                source.create_section(section)
                proxy.arm(CUT_REPLY)
                assert next(following).section == section

    def test_server_that_cannot_be_reached(self, server, source):
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            following = adapter.follow(every=0.001)
            source.create_section("a")
            last = next(following)
            proxy.lose_server()
            with pytest.raises(SourceUnavailable):
                next(following)
            source.create_section("b")
            proxy.find_server(server.port)
            assert next(adapter.follow(last)).section == "b"

    @pytest.mark.parametrize(
        ("every", "error"),
        [(0, ValueError), (-1, ValueError), (inf, ValueError), (True, TypeError), ("1", TypeError)],
    )
    def test_no_time(self, source, every, error):
        with pytest.raises(error, match="every"):
            source.follow(every=every)

    def test_plain_layout(self, server):
        with pytest.raises(SourceError, match="has no history"):
            RedisPermissionAdapter(server.client()).follow()
