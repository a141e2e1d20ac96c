"""Undoing a change: exactly, or not at all."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
import redis
from harness import cluster, servers
from harness.endings import HOUR, let_pass
from harness.histories import replayed
from harness.operations import AFTER, BEFORE, WRITES, create_sections, restore
from harness.proxy import CUT_REPLY, Proxy

from repoze.what.acting import acting_as
from repoze.what.adapters import AdapterError, SourceError
from repoze.what.plugins.redis import (
    Adapters,
    Change,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    TooFewReplicas,
    UndoRefused,
    undoing,
)
from repoze.what.plugins.redis.layouts import taking_back

KEY = "{tests}:permissions:history"
NOTHING_WRITTEN = r"Nothing was written\.$"
OF_ONE = {"include_item": "include_items", "exclude_item": "exclude_items"}


@pytest.fixture
def source(server):
    source = RedisPermissionAdapter(server.client(), namespace="tests")
    restore(source)
    return source


@pytest.fixture
def raw(source):
    return source.db_connection


def latest(source, number=0):
    return list(source.history())[number]


def stored(raw):
    """All that there is, byte for byte, but for the tokens of writes."""
    return {key: raw.dump(key) for key in raw.scan_iter() if not key.endswith(b":done")}


def refusal(source, change):
    """Check that it is refused, with nothing written, and return why."""
    raw = source.db_connection
    before = stored(raw)
    with pytest.raises(UndoRefused, match=NOTHING_WRITTEN) as raised:
        source.undo(change)
    assert raised.value.written is False
    assert stored(raw) == before
    return raised.value


def error_of(operation, *arguments):
    try:
        operation(*arguments)
    except SourceError as error:
        return error
    return None


class TestEachWrite:
    @pytest.mark.parametrize("name", WRITES)
    def test_back_and_forth(self, source, name):
        WRITES[name](source)
        for expected in (BEFORE, AFTER[name], BEFORE):
            change = latest(source)
            with acting_as("eva", note="ticket 13"):
                source.undo(change)
            undo = latest(source)
            assert source.get_all_sections() == expected
            assert source.check() == []
            assert replayed(source.history()) == expected
            assert (undo.operation, undo.undoes) == ("undo", change.token)
            assert undo.undone_operation == OF_ONE.get(name, name)
            assert (undo.by, undo.note) == ("eva", "ticket 13")

    @pytest.mark.parametrize("name", WRITES)
    def test_reply_that_is_lost(self, server, source, name):
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            WRITES[name](adapter)
            # It is on the connection that asks for the history, and then for the script.
            for _ in range(2):
                adapter.undo(latest(source))
            before = len(list(source.history()))
            change = latest(source)
            place_of = adapter._layout.place_of

            def read_before_it_is_cut(*arguments, **options):
                place = place_of(*arguments, **options)
                proxy.arm(CUT_REPLY)
                return place

            adapter._layout.place_of = read_before_it_is_cut
            adapter.undo(change)
        assert len(list(source.history())) == before + 1
        assert source.get_all_sections() == BEFORE

    @pytest.mark.parametrize("name", WRITES)
    def test_other_connections_may_have_the_history(self, server, source, name):
        """A change is told from others by what it is, not by the adapter that has read it."""
        WRITES[name](source)
        RedisPermissionAdapter(server.client(), namespace="tests", history=5).undo(latest(source))
        assert source.get_all_sections() == BEFORE

    def test_names_of_any_kind(self, source):
        names = ["5\n4 rosa", " ", "\n", "1 2\nab", b"\xff\0\n3", 12, "\U0001f600"]
        source.include_items("edit", names)
        source.edit_section("edit", b"\xff\n2 2")
        source.delete_section(b"\xff\n2 2")
        for _, change in zip(range(3), list(source.history()), strict=False):
            source.undo(change)
        assert source.get_all_sections() == BEFORE
        assert source.check() == []

    def test_many_names(self, source):
        names = {f"user {number}" for number in range(20_000)}
        source.set_section_items("read", names)
        source.delete_section("read")
        deleted, added = [latest(source, number) for number in range(2)]
        source.undo(deleted)
        assert source.get_section_items("read") == names
        source.undo(added)
        assert source.get_all_sections() == BEFORE
        assert source.check() == []

    def test_merging_keeps_what_was_there(self, source):
        source.include_items("read", ["staff"])
        source.include_items("edit", ["team"])
        before, after = source.get_all_sections(), {"edit": {"admins", "team"}, "read": {"team"}}
        source._merge_item("staff", "team")
        assert latest(source).had_added == {"edit"}
        for expected in (before, after, before):
            source.undo(latest(source))
            assert source.get_all_sections() == expected
            assert source.check() == []
            assert replayed(source.history()) == expected

    def test_fakeredis(self, client):
        source = RedisPermissionAdapter(client, namespace="tests")
        for name, write in WRITES.items():
            restore(source)
            write(source)
            source.undo(latest(source))
            assert source.get_all_sections() == BEFORE
            source.undo(latest(source))
            assert source.get_all_sections() == AFTER[name]

    def test_members_of_now_are_kept(self, source):
        source.edit_section("edit", "write")
        source.include_item("write", "kim")
        source.undo(latest(source, 1))
        assert source.get_all_sections() == {"edit": {"staff", "admins", "kim"}, "read": set()}
        assert source.find_sections("kim") == {"edit"}


# What is done, what of that is undone, by its number from the first on, and which is in the way.
IN_THE_WAY = {
    "same item": ([("include_item", "edit", "a"), ("exclude_item", "edit", "a")], 0, 1),
    "set": ([("include_item", "edit", "a"), ("set_section_items", "edit", ["b"])], 0, 1),
    "section renamed": ([("include_item", "edit", "a"), ("edit_section", "edit", "x")], 0, 1),
    "section deleted": ([("include_item", "edit", "a"), ("delete_section", "edit")], 0, 1),
    "made again": ([("delete_section", "edit"), ("create_section", "edit")], 0, 1),
    # Comparing states alone would put the items into another section.
    "another by that name": (
        [
            *[("exclude_item", "edit", "staff"), ("delete_section", "edit")],
            ("create_section", "edit"),
        ],
        *(0, 2),
    ),
    "renamed to that name": ([("delete_section", "edit"), ("edit_section", "read", "edit")], 0, 1),
    "renamed twice": ([("edit_section", "edit", "x"), ("edit_section", "x", "y")], 0, 1),
    "old name taken": ([("edit_section", "edit", "x"), ("create_section", "edit")], 0, 1),
    "not empty": ([("create_section", "x"), ("include_items", "x", ["a", "b"])], 0, 1),
    "not empty since": (
        [
            ("create_section", "x"),
            *[("include_items", "x", ["a", "b"]), ("exclude_item", "x", "b")],
        ],
        *(0, 2),
    ),
    "item renamed": ([("include_item", "edit", "a"), ("rename_item", "a", "b")], 0, 1),
    "nobody comes back": ([("delete_section", "edit"), ("remove_item", "staff")], 0, 1),
    "nobody comes back by an old name": (
        [("exclude_item", "edit", "staff"), ("rename_item", "staff", "a")],
        *(0, 1),
    ),
    "nobody is two": (
        [
            *[("create_section", "new"), ("rename_item", "staff", "a")],
            ("include_item", "new", "a"),
        ],
        *(1, 2),
    ),
}


class TestInTheWay:
    @pytest.mark.parametrize(("steps", "number", "obstacle"), IN_THE_WAY.values(), ids=IN_THE_WAY)
    def test_later_change(self, source, steps, number, obstacle):
        # For what takes an item out everywhere.
        source.include_item("read", "staff")
        with acting_as("tomas"):
            for name, *arguments in steps:
                getattr(source, name)(*arguments)
        changes = list(source.history())[: len(steps)][::-1]
        refused = refusal(source, changes[number])
        assert refused.later == changes[obstacle]
        for told in ("'tomas'", changes[obstacle].operation, changes[obstacle].token[:12]):
            assert told in str(refused)
        assert "Undo that first" in str(refused)
        for change in changes[::-1]:
            source.undo(change)
        assert source.get_all_sections() == {**BEFORE, "read": {"staff"}}

    def test_what_is_elsewhere_is_not(self, source):
        source.include_items("edit", ["a", "b"])
        change = latest(source)
        source.include_item("read", "a")
        source.exclude_item("edit", "staff")
        source.create_section("new")
        source.remove_item("admins")
        source.undo(change)
        assert source.get_all_sections() == {"edit": set(), "read": {"a"}, "new": set()}

    def test_item_that_was_removed_everywhere_and_is_elsewhere_since(self, source):
        source.remove_item("staff")
        change = latest(source)
        source.include_item("read", "staff")
        source.undo(change)
        assert source.find_sections("staff") == {"edit", "read"}

    def test_what_is_undone_is_not(self, source):
        source.exclude_item("edit", "staff")
        source.delete_section("edit")
        deleted, excluded = latest(source), latest(source, 1)
        source.undo(deleted)
        source.undo(excluded)
        assert source.get_all_sections() == BEFORE

    def test_what_is_in_force_again_is(self, source):
        source.exclude_item("edit", "staff")
        source.delete_section("edit")
        deleted, excluded = latest(source), latest(source, 1)
        source.undo(deleted)
        source.undo(latest(source))
        assert refusal(source, excluded).later == deleted

    def test_undo_of_what_was_before_is(self, source):
        source.edit_section("edit", "write")
        earlier = latest(source)
        source.include_item("write", "a")
        included = latest(source)
        source.undo(earlier)
        undo = latest(source)
        assert refusal(source, included).later == undo
        source.undo(undo)
        source.undo(included)
        assert source.get_all_sections() == {"write": BEFORE["edit"], "read": set()}

    @pytest.mark.parametrize("name", ["include_item", "create_section"])
    def test_what_came_under_another_name_stays(self, source, name):
        """Or whoever was let in again there would be taken out."""
        source.create_section("new")
        if name == "include_item":
            source.include_item("new", "a")
        change = latest(source)
        source.edit_section("new", "other")
        renamed = latest(source)
        source.set_section_items("other", [])
        source.include_item("other", "a")
        included = latest(source)
        source.undo(renamed)
        assert refusal(source, change).later == included
        assert source.get_section_items("new") == {"a"}

    def test_section_that_is_there_again_and_has_changed(self, source):
        source.include_item("edit", "team")
        source._merge_item("staff", "team")
        merged = latest(source)
        source.delete_section("edit")
        source.undo(latest(source))
        created = latest(source)
        source.undo(merged)
        assert refusal(source, created).later == latest(source)

    def test_twice(self, source):
        source.create_section("new")
        change = latest(source)
        source.undo(change)
        refused = refusal(source, change)
        assert refused.later == latest(source)
        assert "undone already" in str(refused)

    def test_undo_of_an_undo(self, source):
        source.include_item("edit", "a")
        change = latest(source)
        source.undo(change)
        undo = latest(source)
        source.undo(undo)
        assert source.get_all_sections() == AFTER["include_item"]
        assert "undone already" in str(refusal(source, undo))
        source.undo(change)
        assert source.get_all_sections() == BEFORE

    def test_somebody(self, source):
        source.include_item("edit", "a")
        change = latest(source)
        source.exclude_item("edit", "a")
        assert " by somebody at " in str(refusal(source, change))


class TestHistory:
    def test_change_that_is_not_kept(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        raw.xtrim(KEY, maxlen=0, approximate=False)
        assert "so long ago that it is not kept" in str(refusal(source, change))
        source.create_section("new")
        assert "so long ago that it is not kept" in str(refusal(source, change))

    def test_change_of_another_source(self, server, source):
        other = RedisPermissionAdapter(server.client(), namespace="other")
        other.create_section("new")
        refused = refusal(source, latest(other))
        assert isinstance(refused, undoing.NotInHistory)
        assert f"in the history of {source._database}" in str(refused)
        assert "is of another source" in str(refused)

    def test_change_that_somebody_has_made_up(self, source):
        source.include_item("edit", "a")
        refusal(source, replace(latest(source), added=frozenset({"staff"})))

    def test_entry_that_is_gone_in_between(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        source.create_section("new")
        source.create_section("newer")
        raw.xdel(KEY, raw.xrange(KEY)[-2][0])
        assert "nobody knows what else" in str(refusal(source, change))
        source.undo(latest(source))

    @pytest.mark.parametrize("total", [None, "", "x", 10**9])
    def test_entry_that_cannot_be_read(self, source, raw, total):
        source.include_item("edit", "a")
        change = latest(source)
        raw.xadd(KEY, {"x": "y"} if total is None else {"total": total})
        assert "not to be read" in str(refusal(source, change))
        # What comes then says how much there was before.
        source.create_section("new")
        assert "not to be read" in str(refusal(source, change))
        source.undo(latest(source))

    def test_effect_of_a_later_version(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        fields = raw.xrange(KEY)[-1][1]
        raw.xadd(KEY, {**fields, b"effect": b"dissolved", b"token": b"x"})
        assert latest(source) == change
        assert "not to be read" in str(refusal(source, change))

    def test_no_history_to_note_it_in(self, server, source):
        source.create_section("new")
        without = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        assert "history=0 undoes nothing" in str(refusal(without, latest(source)))

    def test_replica_is_not_asked(self, server, source):
        """What it has not heard of yet may be in the way."""
        nowhere = redis.Redis(port=1)
        adapter = RedisPermissionAdapter(server.client(), namespace="tests", read_from=nowhere)
        source.create_section("new")
        adapter.undo(latest(source))
        assert source.get_all_sections() == BEFORE

    def test_old_changes_are_not_read(self, source, monkeypatch):
        asked = []
        read = source._layout.read_history

        def noting(*arguments, **options):
            asked.append(read(*arguments, **options))
            return asked[-1]

        change = latest(source)
        monkeypatch.setattr(source._layout, "read_history", noting)
        source.undo(change)
        assert len(list(source.history())) > 3
        assert len(asked[0]) < 10


class TestState:
    """What is written past the history, by those with history=0 or by other programs."""

    @pytest.mark.parametrize(
        ("write", "meanwhile", "told"),
        [
            ("include_items", ("exclude_item", "edit", "a"), "'edit' does not have 'a' any more"),
            ("exclude_item", ("include_item", "edit", "staff"), "'edit' has 'staff' again"),
            ("include_item", ("delete_section", "edit"), "no section 'edit' any more"),
            ("create_section", ("delete_section", "new"), "no section 'new' any more"),
            ("create_section", ("include_item", "new", "a"), "section 'new' has 'a', too"),
            ("delete_section", ("create_section", "edit"), "a section 'edit' again"),
            ("edit_section", ("delete_section", "new"), "no section 'new' any more"),
            ("edit_section", ("create_section", "edit"), "a section 'edit' again"),
            ("rename_item", ("exclude_item", "edit", "a"), "'edit' does not have 'a' any more"),
            ("rename_item", ("include_item", "edit", "staff"), "'edit' has 'staff' again"),
        ],
    )
    def test_it_is_not_as_it_was_left(self, server, source, write, meanwhile, told):
        WRITES[write](source)
        without = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        name, *arguments = meanwhile
        getattr(without, name)(*arguments)
        refused = refusal(source, latest(source))
        assert told in str(refused)
        assert "somebody has written without it" in str(refused)
        assert refused.later is None

    def test_section_that_was_put_back_has_other_items(self, server, source):
        source.delete_section("edit")
        source.undo(latest(source))
        without = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        without.exclude_item("edit", "staff")
        assert "'edit' does not have 'staff' any more" in str(refusal(source, latest(source)))

    def test_item_that_stayed_is_gone(self, server, source):
        source.include_item("edit", "team")
        source._merge_item("staff", "team")
        source.undo(latest(source))
        without = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        without.exclude_item("edit", "team")
        assert "'edit' does not have 'team' any more" in str(refusal(source, latest(source)))

    @pytest.mark.parametrize("name", ["delete_section", "edit_section"])
    def test_items_without_a_section(self, source, raw, name):
        WRITES[name](source)
        raw.sadd("{tests}:permissions:section:edit", "mallory")
        before = stored(raw)
        with pytest.raises(SourceError, match=rf"INCONSISTENT.*check\(\).*{NOTHING_WRITTEN}"):
            source.undo(latest(source))
        assert stored(raw) == before

    @pytest.mark.parametrize("name", WRITES)
    def test_key_of_another_type(self, source, raw, name):
        """Of any key: nothing is half done."""
        WRITES[name](source)
        before = stored(raw)
        source.undo(latest(source))
        after = stored(raw)
        written = {
            key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
        } - {KEY.encode()}
        assert len(written) > 1 or name == "create_section"
        for key in written:
            restore(source)
            WRITES[name](source)
            kept = raw.dump(key)
            raw.delete(key)
            raw.set(key, "x")
            before = stored(raw)
            with pytest.raises(SourceError, match=rf"(WRONGTYPE|INCONSISTENT).*{NOTHING_WRITTEN}"):
                source.undo(latest(source))
            assert stored(raw) == before
            raw.delete(key)
            if kept is not None:
                raw.restore(key, 0, kept)

    @pytest.mark.parametrize("name", WRITES)
    def test_key_that_may_only_be_read(self, server, source, raw, name):
        """Nothing is half done."""
        if raw.info("server")["redis_version"].startswith("6."):
            pytest.skip("before Redis 7.0 a key that may be read may be written")
        WRITES[name](source)
        before = set(raw.scan_iter())
        source.undo(latest(source))
        keys = sorted(before | set(raw.scan_iter()) | {b"{tests}:permissions:done:"})
        outcomes = set()
        for read_only in keys:
            restore(source)
            WRITES[name](source)
            rules = [b"%R~" + key if key == read_only else b"~" + key for key in keys]
            raw.execute_command(
                *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "+@all", *rules)
            )
            guest = server.client(username="guest", password="guest")
            before = source.get_all_sections()
            adapter = RedisPermissionAdapter(guest, namespace="tests")
            refused = error_of(adapter.undo, latest(source))
            raw.acl_deluser("guest")
            assert refused is None or refused.written is False
            assert source.get_all_sections() == (before if refused else BEFORE)
            outcomes.add(refused is None)
            assert source.check() == []
        assert False in outcomes

    def test_history_of_another_type(self, source, raw):
        source.create_section("new")
        change = latest(source)
        raw.set(KEY, "x")
        with pytest.raises(SourceError, match="WRONGTYPE"):
            source.undo(change)

    def test_memory_is_out(self, source, raw):
        source.include_item("edit", "a")
        added = latest(source)
        source.exclude_item("edit", "staff")
        removed = latest(source)
        raw.config_set("maxmemory", 1)
        try:
            before = stored(raw)
            with pytest.raises(SourceError, match=f"maxmemory.*{NOTHING_WRITTEN}"):
                source.undo(removed)
            assert stored(raw) == before
            source.undo(added)
        finally:
            raw.config_set("maxmemory", 0)
        assert source.get_section_items("edit") == {"admins"}

    def test_newer_format(self, source, raw):
        source.create_section("new")
        raw.set("{tests}:permissions:format", "2")
        with pytest.raises(SourceError, match=r"Upgrade repoze.what.*Nothing was written"):
            source.undo(latest(source))

    def test_user_who_may_not(self, server, source, raw):
        source.create_section("new")
        raw.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", "-xadd")
        )
        try:
            guest = server.client(username="guest", password="guest")
            with pytest.raises(SourceError, match=rf"\+xadd.*server's ACL.*{NOTHING_WRITTEN}"):
                RedisPermissionAdapter(guest, namespace="tests").undo(latest(source))
        finally:
            raw.acl_deluser("guest")
        assert source.get_all_sections() == AFTER["create_section"]


class TestOthersWrite:
    def meanwhile(self, source, write, times):
        """Have *write* called after each of so many times that the history is read."""
        layout = source._layout
        place_of = layout.place_of
        left = [write] * times

        def then_written(*arguments, **options):
            place = place_of(*arguments, **options)
            if left:
                left.pop()()
            return place

        layout.place_of = then_written

    def test_it_is_read_again(self, server, source):
        other = RedisPermissionAdapter(server.client(), namespace="tests")
        source.include_item("edit", "a")
        names = iter(range(100))
        self.meanwhile(source, lambda: other.create_section(next(names)), 3)
        source.undo(latest(source))
        assert source.get_section_items("edit") == BEFORE["edit"]
        assert len(source.get_section_names()) == 5

    def test_what_is_then_in_the_way_is_seen(self, server, source):
        other = RedisPermissionAdapter(server.client(), namespace="tests")
        source.include_item("edit", "a")
        change = latest(source)
        self.meanwhile(source, lambda: other.exclude_item("edit", "a"), 1)
        with pytest.raises(UndoRefused) as raised:
            source.undo(change)
        assert raised.value.later == latest(source)

    def test_entry_that_goes(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        self.meanwhile(source, lambda: raw.xtrim(KEY, maxlen=0, approximate=False), 1)
        with pytest.raises(UndoRefused, match="not kept any more"):
            source.undo(change)
        assert source.get_all_sections() == AFTER["include_item"]

    def test_entry_that_goes_where_the_latest_stays(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        source.create_section("new")
        self.meanwhile(source, lambda: raw.xtrim(KEY, maxlen=1, approximate=False), 1)
        with pytest.raises(UndoRefused, match="not kept any more"):
            source.undo(change)

    def test_another_entry_by_that_id(self, source, raw):
        source.include_item("edit", "a")
        change = latest(source)
        [[entry_id, fields]] = raw.xrevrange(KEY, count=1)

        def replace():
            raw.delete(KEY)
            raw.xadd(KEY, {**fields, b"token": b"x"}, id=entry_id)

        self.meanwhile(source, replace, 1)
        with pytest.raises(UndoRefused, match="not kept any more"):
            source.undo(change)
        assert source.get_all_sections() == AFTER["include_item"]

    def test_another_latest_by_that_id(self, source, raw):
        """As it may be after a failover. It may be in the way."""
        source.include_item("edit", "a")
        change = latest(source)
        source.create_section("new")

        def replace():
            *before, (entry_id, _) = raw.xrange(KEY)
            source.exclude_item("edit", "a")
            [[_, fields]] = raw.xrevrange(KEY, count=1)
            del fields[b"total"]
            total = int(before[-1][1][b"total"]) + 200 + sum(map(len, fields.values()))
            raw.delete(KEY)
            for each in before:
                raw.xadd(KEY, each[1], id=each[0])
            raw.xadd(KEY, {**fields, b"total": total}, id=entry_id)

        self.meanwhile(source, replace, 1)
        with pytest.raises(UndoRefused, match=r"exclude_items .* Undo that first"):
            source.undo(change)

    def test_without_end(self, server, source):
        other = RedisPermissionAdapter(server.client(), namespace="tests")
        source.include_item("edit", "a")
        change = latest(source)
        names = iter(range(100))
        self.meanwhile(source, lambda: other.create_section(next(names)), 100)
        with pytest.raises(SourceError, match=f"others are writing.*{NOTHING_WRITTEN}") as raised:
            source.undo(change)
        assert not isinstance(raised.value, UndoRefused)
        assert raised.value.written is False
        assert source.get_section_items("edit") == BEFORE["edit"] | {"a"}
        assert next(names) == taking_back._MOST_ATTEMPTS


class TestPromises:
    def test_adapter_that_does_not_write(self, server, source):
        source.create_section("new")
        reader = RedisPermissionAdapter(server.client(), namespace="tests", writable=False)
        with pytest.raises(SourceError, match="read-only"):
            reader.undo(latest(source))

    @pytest.mark.parametrize("change", [None, "05c832fbd570", 5])
    def test_what_is_no_change(self, source, change):
        with pytest.raises(TypeError, match=r"Change of history\(\)"):
            source.undo(change)
        with pytest.raises(TypeError, match=r"Change of history\(\)"):
            Adapters(RedisGroupAdapter(source._client, namespace="tests"), source).undo(change)

    def test_plain_layout(self, source):
        plain = RedisPermissionAdapter(fakeredis.FakeRedis())
        source.create_section("new")
        with pytest.raises(SourceError, match=r"plain layout has no history.*copy_sections"):
            plain.undo(latest(source))
        with pytest.raises(SourceError, match=r"plain layout has no history.*copy_sections"):
            Adapters(RedisGroupAdapter(fakeredis.FakeRedis()), plain).undo(latest(source))

    def test_too_few_replicas(self, server, source):
        source.create_section("new")
        strict = RedisPermissionAdapter(server.client(), namespace="tests", wait_replicas=1)
        with pytest.raises(TooFewReplicas) as raised:
            strict.undo(latest(source))
        assert raised.value.written is True
        assert source.get_all_sections() == BEFORE

    def test_saving(self, server, source, monkeypatch):
        saved = RedisPermissionAdapter(server.client(), namespace="tests", save="sync")
        counted = []
        monkeypatch.setattr(saved._layout._saving, "count_write", lambda: counted.append(1))
        source.create_section("new")
        saved.undo(latest(source))
        assert counted == [1]

    def test_near_cache_forgets(self, server, source):
        near = RedisPermissionAdapter(
            server.client(), namespace="tests", near_cache=True, max_staleness=60
        )
        with near:
            near.exclude_item("edit", "staff")
            for _ in range(2):
                assert near.find_sections("staff") == set()
            near.undo(latest(source))
            assert near.find_sections("staff") == {"edit"}


GROUPS = {"editors": {"rosa", "ben"}, "interns": set()}
PERMISSIONS = {"publish": {"editors"}, "write": {"editors"}}
CHANGES = {
    "rename_group": (
        lambda pair: pair.rename_group("editors", "desk"),
        (
            {"desk": {"rosa", "ben"}, "interns": set()},
            {"publish": {"desk"}, "write": {"desk"}},
        ),
    ),
    "delete_group": (
        lambda pair: pair.delete_group("editors"),
        ({"interns": set()}, {"publish": set(), "write": set()}),
    ),
    "rename_group without permissions": (
        lambda pair: pair.rename_group("interns", "desk"),
        ({"editors": {"rosa", "ben"}, "desk": set()}, PERMISSIONS),
    ),
    "delete_group without permissions": (
        lambda pair: pair.delete_group("interns"),
        ({"editors": {"rosa", "ben"}}, PERMISSIONS),
    ),
}


def sources(pair):
    return pair.groups.get_all_sections(), pair.permissions.get_all_sections()


def pair_of(client, other=None, **options):
    return Adapters(
        RedisGroupAdapter(client, **options), RedisPermissionAdapter(other or client, **options)
    )


def filled(pair):
    create_sections(pair.groups, GROUPS)
    create_sections(pair.permissions, PERMISSIONS)
    return pair


def back_and_forth(pair, name):
    change, after = CHANGES[name]
    change(pair)
    for expected in ((GROUPS, PERMISSIONS), after, (GROUPS, PERMISSIONS)):
        pair.undo(latest(pair.groups))
        assert sources(pair) == expected
        assert tuple(replayed(adapter.history()) for adapter in pair) == expected
        assert pair.groups.check() == pair.permissions.check() == []
        assert pair.permissions_of("rosa") == (
            {"publish", "write"} if {"editors", "desk"} & expected[0].keys() else set()
        )


class TestPair:
    @pytest.fixture(params=[{"db": 0}, {}], ids=["one database", "two databases"])
    def options(self, request):
        return {"namespace": "tests", **request.param}

    @pytest.fixture
    def pair(self, server, options):
        return filled(pair_of(server.client(), **options))

    @pytest.fixture
    def everything(self, pair):
        """All that there is, byte for byte, but for the tokens of writes."""

        def everything():
            return [stored(adapter.db_connection) for adapter in pair]

        return everything

    def refusal(self, pair, change, everything):
        before = everything()
        with pytest.raises(UndoRefused, match=NOTHING_WRITTEN) as raised:
            pair.undo(change)
        assert raised.value.written is False
        assert everything() == before
        return raised.value

    @pytest.mark.parametrize("name", CHANGES)
    def test_back_and_forth(self, pair, name):
        change, after = CHANGES[name]
        change(pair)
        with acting_as("eva", note="ticket 13"):
            for expected in ((GROUPS, PERMISSIONS), after, (GROUPS, PERMISSIONS)):
                undone = latest(pair.groups)
                pair.undo(undone)
                assert sources(pair) == expected
                assert tuple(replayed(adapter.history()) for adapter in pair) == expected
                assert pair.groups.check() == pair.permissions.check() == []
                undo = latest(pair.groups)
                assert (undo.operation, undo.undoes) == ("undo", undone.token)
                assert undo.undone_operation == name.split()[0]
                assert (undo.by, undo.note) == ("eva", "ticket 13")
                assert undo.is_joint is (" " not in name)
                if undo.is_joint:
                    assert latest(pair.permissions).token == undo.token

    @pytest.mark.parametrize("name", ["rename_group", "delete_group"])
    def test_either_half_will_do(self, pair, name):
        CHANGES[name][0](pair)
        pair.undo(latest(pair.permissions))
        assert sources(pair) == (GROUPS, PERMISSIONS)

    @pytest.mark.parametrize("name", CHANGES)
    def test_half_alone_is_refused(self, pair, name, everything):
        CHANGES[name][0](pair)
        before = everything()
        for adapter in pair if " " not in name else [pair.groups]:
            with pytest.raises(UndoRefused, match=rf"Adapters\(.*\)\.undo.*{NOTHING_WRITTEN}"):
                adapter.undo(latest(adapter))
        assert everything() == before

    def test_changes_of_one_source(self, pair):
        pair.groups.exclude_item("editors", "ben")
        pair.permissions.exclude_item("publish", "editors")
        for adapter in pair:
            pair.undo(latest(adapter))
        assert sources(pair) == (GROUPS, PERMISSIONS)

    def test_only_one_source_has_a_history(self, server):
        client = server.client()
        for index, options in enumerate([({}, {"db": 0}), ({"db": 0}, {})]):
            namespaces = [{}, {}]
            namespaces[index] = {"namespace": "tests"}
            pair = Adapters(
                RedisGroupAdapter(client, **options[0], **namespaces[0]),
                RedisPermissionAdapter(client, **options[1], **namespaces[1]),
            )
            pair[index].create_section("new")
            change = latest(pair[index])
            pair.undo(change)
            assert pair[index].get_all_sections() == {}
            with pytest.raises(UndoRefused, match="undone already"):
                pair.undo(change)
            pair[index].db_connection.delete(KEY.replace("permissions", pair[index].source_kind))
            with pytest.raises(UndoRefused, match="not kept any more"):
                pair.undo(change)

    def test_change_of_neither(self, pair, everything, server):
        other = RedisGroupAdapter(server.client(), namespace="other")
        other.create_section("new")
        refused = self.refusal(pair, latest(other), everything)
        assert "is not in the history of" in str(refused)

    def test_group_that_somebody_has_made_up(self, pair, everything):
        pair.delete_group("editors")
        change = replace(latest(pair.groups), removed=frozenset({"rosa"}))
        refused = self.refusal(pair, change, everything)
        assert "is not in the history of" in str(refused)

    def test_group_of_another_source(self, pair, everything, server, options):
        other = filled(pair_of(server.client(), **{**options, "namespace": "other"}))
        other.delete_group("editors")
        refused = self.refusal(pair, latest(other.groups), everything)
        assert "is not in the history of" in str(refused)

    def test_members_of_now_are_kept(self, pair):
        pair.rename_group("editors", "desk")
        change = latest(pair.groups)
        pair.groups.include_item("desk", "kim")
        pair.undo(change)
        assert pair.groups.get_section_items("editors") == {"rosa", "ben", "kim"}
        assert pair.permissions_of("kim") == {"publish", "write"}

    @pytest.mark.parametrize(
        "meanwhile",
        [
            lambda pair: pair.permissions.exclude_item("publish", "desk"),
            lambda pair: pair.permissions.delete_section("publish"),
            lambda pair: pair.permissions.rename_item("desk", "x"),
            lambda pair: pair.groups.edit_section("desk", "x"),
        ],
    )
    def test_later_change_is_in_the_way(self, pair, everything, meanwhile):
        pair.rename_group("editors", "desk")
        change = latest(pair.groups)
        meanwhile(pair)
        latest_ones = [latest(adapter) for adapter in pair]
        refused = self.refusal(pair, change, everything)
        assert refused.later in latest_ones
        pair.undo(refused.later)
        pair.undo(change)
        assert sources(pair) == (GROUPS, PERMISSIONS)

    @pytest.mark.parametrize(
        ("name", "permitted"),
        [
            ("rename_group without permissions", "desk"),
            ("rename_group without permissions", "interns"),
            ("delete_group without permissions", "interns"),
            ("delete_group", "editors"),
            ("rename_group", "editors"),
        ],
    )
    def test_permissions_that_nobody_was_left_with(self, pair, everything, name, permitted):
        """They would be anybody's, or come to the members at once."""
        CHANGES[name][0](pair)
        change = latest(pair.groups)
        pair.permissions.create_section("sell")
        pair.permissions.include_item("sell", permitted)
        refused = self.refusal(pair, change, everything)
        assert f"'{permitted}'" in str(refused)
        pair.undo(latest(pair.permissions))
        pair.undo(change)
        assert sources(pair) == (GROUPS, {**PERMISSIONS, "sell": set()})

    def test_permissions_that_are_gone_past_the_history(self, pair, everything, server, options):
        pair.rename_group("editors", "desk")
        change = latest(pair.groups)
        without = RedisPermissionAdapter(server.client(), **options, history=0)
        without.exclude_item("publish", "desk")
        refused = self.refusal(pair, change, everything)
        assert "'desk' was granted or lost permissions since: 'publish'. Undo" in str(refused)

    def test_section_past_the_history(self, pair, everything, server, options):
        pair.delete_group("editors")
        change = latest(pair.groups)
        groups, permissions = (type(each)(server.client(), **options, history=0) for each in pair)
        permissions.delete_section("publish")
        assert "no section 'publish'" in str(self.refusal(pair, change, everything))
        groups.create_section("editors")
        assert "a section 'editors' again" in str(self.refusal(pair, change, everything))

    @pytest.mark.parametrize("index", [0, 1])
    def test_half_that_is_not_kept(self, pair, everything, index):
        pair.delete_group("editors")
        change = latest(pair[1 - index])
        pair[index].db_connection.delete(KEY.replace("permissions", pair[index].source_kind))
        assert "not kept any more" in str(self.refusal(pair, change, everything))

    @pytest.mark.parametrize("index", [0, 1])
    def test_no_history_to_note_it_in(self, pair, server, options, index):
        pair.delete_group("editors")
        change = latest(pair.groups)
        adapters = list(pair)
        adapters[index] = type(pair[index])(server.client(), **options, history=0)
        with pytest.raises(UndoRefused, match="history=0 undoes nothing"):
            Adapters(*adapters).undo(change)

    def test_others_write(self, pair, server, options):
        pair.delete_group("editors")
        change = latest(pair.groups)
        other = RedisPermissionAdapter(server.client(), **options)
        layout = pair.permissions._layout
        place_of, names = layout.place_of, iter("xyz")

        def then_written(*arguments):
            place = place_of(*arguments)
            for name in names:
                other.create_section(name)
                break
            return place

        layout.place_of = then_written
        pair.undo(change)
        assert sources(pair) == (GROUPS, {**PERMISSIONS, "x": set(), "y": set(), "z": set()})

    @pytest.mark.parametrize("name", CHANGES)
    def test_reply_that_is_lost(self, pair, server, options, name):
        with Proxy(server.port) as proxy:
            through = pair_of(
                redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30), **options
            )
            CHANGES[name][0](through)
            for _ in range(2):
                through.undo(latest(pair.groups))
            layout = through.permissions._layout
            place_of = layout.place_of

            def read_before_it_is_cut(*arguments):
                place = place_of(*arguments)
                proxy.arm(CUT_REPLY)
                return place

            layout.place_of = read_before_it_is_cut
            before = len(list(pair.groups.history()))
            through.undo(latest(pair.groups))
        assert len(list(pair.groups.history())) == before + 1
        assert sources(pair) == (GROUPS, PERMISSIONS)

    def test_near_caches_forget(self, pair, server, options):
        near = pair_of(server.client(), **options, near_cache=True, max_staleness=60)
        near.delete_group("editors")
        for _ in range(2):
            assert near.groups.find_sections({"repoze.what.userid": "rosa"}) == set()
            assert near.permissions.find_sections("editors") == set()
        near.undo(latest(pair.groups))
        assert near.groups.find_sections({"repoze.what.userid": "rosa"}) == {"editors"}
        assert near.permissions.find_sections("editors") == {"publish", "write"}
        for adapter in near:
            adapter.close()

    def test_adapter_that_does_not_write(self, pair, server, options):
        pair.delete_group("editors")
        reader = RedisPermissionAdapter(server.client(), **options, writable=False)
        with pytest.raises(SourceError, match="read-only"):
            Adapters(pair.groups, reader).undo(latest(pair.groups))

    def test_two_clients(self, pair, options, server):
        pair.delete_group("editors")
        other = redis.Redis(host="localhost", port=server.port, socket_timeout=7)
        apart = pair_of(server.client(), other, **options)
        with pytest.raises(UndoRefused, match=f"adapters of one client.*{NOTHING_WRITTEN}"):
            apart.undo(latest(pair.groups))

    def test_user_who_may_not_select(self, pair, server, options, everything):
        if "db" in options:
            pytest.skip("it is one database")
        pair.delete_group("editors")
        change = latest(pair.groups)
        client = server.client()
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all"),
        )
        guest = pair_of(server.client(username="guest", password="guest"), **options)
        # Connections that are there have selected theirs.
        list(guest.groups.history())
        list(guest.permissions.history())
        client.execute_command("ACL", "SETUSER", "guest", "-select")
        try:
            before = everything()
            with pytest.raises(UndoRefused, match=f"both databases.*{NOTHING_WRITTEN}"):
                guest.undo(change)
            assert everything() == before
        finally:
            client.acl_deluser("guest")

    def test_in_front_of_an_adapter(self, pair):
        class Front:
            def __init__(self, adapter):
                self._adapter = adapter

            def __getattr__(self, name):
                return getattr(self._adapter, name)

        pair.delete_group("editors")
        front = Adapters(Front(pair.groups), pair.permissions)
        with pytest.raises(UndoRefused, match="adapters of one client"):
            front.undo(latest(pair.groups))
        pair.groups.create_section("new")
        front.undo(latest(pair.groups))
        assert "new" not in pair.groups.get_section_names()


class TestEach:
    """Many changes, one after the other."""

    @pytest.fixture
    def pair(self, server):
        return filled(pair_of(server.client(), namespace="tests"))

    @pytest.fixture
    def changes(self, pair):
        for number in range(30):
            pair.permissions.create_section(number)
        return list(pair.permissions.history())[:30]

    def test_histories_are_read_once(self, pair, changes, monkeypatch):
        entries = []
        layout = pair.permissions._layout
        read = layout.read_history

        def noting(*arguments, **options):
            found = read(*arguments, **options)
            entries.extend(found)
            return found

        monkeypatch.setattr(layout, "read_history", noting)
        assert list(pair.undo_each(changes)) == changes
        assert sources(pair) == (GROUPS, PERMISSIONS)
        # What has come since is, with the latest that was known.
        tokens = [entry[1][1] for entry in entries]
        assert max(map(tokens.count, tokens)) == 2

    def test_others_write_in_between(self, pair, changes, server):
        other = RedisPermissionAdapter(server.client(), namespace="tests")
        undone = pair.undo_each(changes)
        next(undone)
        other.create_section("x")
        next(undone)
        other.include_item(changes[2].section, "a")
        with pytest.raises(UndoRefused) as raised:
            next(undone)
        assert raised.value.later == latest(other)
        assert len(pair.permissions.get_section_names()) == 31

    @pytest.mark.parametrize("left", [0, 1])
    def test_what_is_known_is_there_no_more(self, pair, changes, left):
        raw = pair.permissions.db_connection
        undone = pair.undo_each(changes)
        next(undone)
        raw.xtrim(KEY, maxlen=left, approximate=False)
        with pytest.raises(UndoRefused, match="not kept any more"):
            next(undone)
        assert len(pair.permissions.get_section_names()) == 31

    def test_of_both_sources(self, pair):
        for number, (change, _) in enumerate(CHANGES.values()):
            with suppress(AdapterError):
                change(pair)
            pair.groups.create_section(number)
        changes = undoing.latest_first(*(adapter.history() for adapter in pair))
        list(pair.undo_each(change for _, change in changes))
        assert sources(pair) == ({}, {})


@pytest.mark.parametrize("name", CHANGES)
def test_fakeredis(name):
    back_and_forth(filled(pair_of(fakeredis.FakeRedis(), db=0, namespace="tests")), name)


@pytest.mark.parametrize("name", CHANGES)
def test_cluster(executable, name):
    whole = cluster.running(executable)
    whole.empty()
    back_and_forth(filled(pair_of(whole.client(), namespace="tests")), name)
    pair = pair_of(whole.client(), namespace="tests")
    pair.groups.exclude_item("editors", "ben")
    pair.groups.undo(latest(pair.groups))
    assert sources(pair) == (GROUPS, PERMISSIONS)


class TestOrder:
    def change(self, token, at):
        return Change(
            token=token,
            at=at,
            operation="x",
            sections=("x",),
            new_section=None,
            added=frozenset(),
            removed=frozenset(),
            by=None,
            note=None,
        )

    @pytest.mark.parametrize(
        ("groups", "permissions", "expected"),
        [
            ("", "", ""),
            ("a9 b5", "c7 d3", "a c b d"),
            ("a5 b4", "c5 d4", "a c b d"),
            # One of both, whatever the clocks say.
            ("a9 j8 b2", "c7 j8 d3", "a c j d b"),
            ("j9 b2", "c7 j9", "c j b"),
            ("c7 j9", "j9 b2", "c j b"),
            ("a9 j5", "j6 c3", "a j c"),
        ],
    )
    def test_latest_first(self, groups, permissions, expected):
        read = [
            [self.change(word[0], int(word[1:])) for word in words.split()]
            for words in (groups, permissions)
        ]
        merged = undoing.latest_first(*read)
        assert [change.token for _, change in merged] == expected.split()


HOUR_LATER = datetime(2100, 1, 1, 1, tzinfo=UTC)
THEN = datetime(2100, 1, 1, tzinfo=UTC)


def in_time(source):
    return {
        section: dict.fromkeys(items) | source.until_of(section)
        for section, items in source.get_all_sections().items()
    }


# Each on a source where "a" and "b" are in "edit" until THEN, and "b" is in "read" an hour longer.
TIMED_CHANGES = {
    "include": lambda source: source.include_items("read", ["x", "a"], until=THEN),
    "exclude": lambda source: source.exclude_items("edit", ["a", "staff"]),
    "set": lambda source: source.set_section_items("edit", ["a", "x"]),
    "remove": lambda source: source.remove_item("b"),
    "rename": lambda source: source.rename_item("b", "x"),
    "rename to a name": lambda source: source.rename_item("staff", "x"),
    "delete": lambda source: source.delete_section("edit"),
    "edit": lambda source: source.edit_section("edit", "new"),
    "longer": lambda source: source.set_until("edit", "a", HOUR_LATER),
    "shorter": lambda source: source.set_until("read", "b", THEN),
    "for good": lambda source: source.set_until("edit", "a", None),
    "for a time": lambda source: source.set_until("edit", "staff", THEN),
}


class TestMembershipsThatEnd:
    @pytest.fixture
    def timed(self, source):
        source.include_items("edit", ["a", "b"], until=THEN)
        source.include_item("read", "b", until=HOUR_LATER)
        return source

    @pytest.mark.parametrize("name", TIMED_CHANGES)
    def test_it_is_as_it_was(self, timed, name):
        before = in_time(timed)
        TIMED_CHANGES[name](timed)
        after = in_time(timed)
        assert after != before
        for expected in (before, after, before):
            timed.undo(next(timed.history()))
            assert in_time(timed) == expected
            assert timed.check() == []
            for item in ("a", "b", "x", "staff", "admins"):
                assert timed.find_sections(item) == {
                    section for section, items in expected.items() if item in items
                }

    @pytest.mark.parametrize("name", TIMED_CHANGES)
    def test_what_is_over_does_not_come_back(self, timed, name):
        TIMED_CHANGES[name](timed)
        time = THEN - datetime.now(UTC) + HOUR / 2
        let_pass(timed.db_connection, time)
        _let_history_pass(timed, time)
        was = in_time(timed)
        timed.undo(next(timed.history()))
        for section, items in in_time(timed).items():
            assert items.keys() <= {"staff", "admins", "b"} | was.get(section, {}).keys()
            assert section == "read" or "b" not in items
            assert "a" not in items
        assert timed.check() == []

    def test_other_end_by_who_keeps_no_history(self, server, timed):
        silent = RedisPermissionAdapter(server.client(), namespace="tests", history=0)
        for name in ("remove", "longer"):
            TIMED_CHANGES[name](timed)
            change = next(timed.history())
            if name == "remove":
                silent.include_item("read", "b", until=THEN)
            else:
                silent.set_until("edit", "a", THEN - HOUR)
            with pytest.raises(UndoRefused):
                timed.undo(change)

    def test_end_that_was_set_later_is_in_the_way(self, timed):
        timed.include_item("read", "x", until=THEN)
        change = next(timed.history())
        timed.set_until("read", "x", HOUR_LATER)
        with pytest.raises(UndoRefused, match="set_until") as raised:
            timed.undo(change)
        timed.undo(raised.value.later)
        timed.undo(change)
        assert timed.find_sections("x") == set()

    def test_items_that_became_one(self, timed):
        timed.include_item("read", "a", until=THEN)
        timed._merge_item("a", "b")
        with pytest.raises(UndoRefused, match="for two times, of which the longer one stayed"):
            timed.undo(next(timed.history()))

    @pytest.mark.parametrize("where", [{"db": 0}, {}])
    @pytest.mark.parametrize("change", ["rename_group", "delete_group"])
    def test_group_with_its_permissions(self, server, where, change):
        client = server.client()
        pair = Adapters(
            RedisGroupAdapter(client, namespace="tests", **where),
            RedisPermissionAdapter(client, namespace="tests", **where),
        )
        create_sections(pair.groups, {"editors": ["ben"]})
        create_sections(pair.permissions, {"publish": ["editors"], "print": []})
        pair.groups.include_item("editors", "rosa", until=THEN)
        pair.permissions.include_item("print", "editors", until=HOUR_LATER)
        before = [in_time(adapter) for adapter in pair]
        if change == "rename_group":
            pair.rename_group("editors", "desk")
        else:
            pair.delete_group("editors")
        after = [in_time(adapter) for adapter in pair]
        for expected in (before, after, before):
            pair.undo(next(pair.groups.history()))
            assert [in_time(adapter) for adapter in pair] == expected
            assert [adapter.check() for adapter in pair] == [[], []]


def _let_history_pass(source, time):
    """Have the ends that the history tells of be earlier, too."""
    raw, key = source.db_connection, "{tests}:permissions:history"
    milliseconds = time // timedelta(milliseconds=1)
    entries = raw.xrange(key)
    raw.delete(key)
    for entry_id, fields in entries:
        for name in (b"ends", b"ends_before"):
            lengths, _, names = fields.get(name, b"").partition(b"\n")
            parts, start = [], 0
            for length in map(int, lengths.split()):
                parts.append(names[start : start + length])
                start += length
            earlier = [
                part if number % 2 == 0 or part == b"-" else b"%d" % (int(part) - milliseconds)
                for number, part in enumerate(parts)
            ]
            if parts:
                lengths = b" ".join(b"%d" % len(part) for part in earlier)
                fields[name] = lengths + b"\n" + b"".join(earlier)
        raw.xadd(key, fields, id=entry_id)


def test_permission_of_a_group_that_is_gone(server):
    """It would come to whoever makes a group of that name."""
    client = server.client()
    pair = Adapters(
        RedisGroupAdapter(client, namespace="tests"),
        RedisPermissionAdapter(client, namespace="tests"),
    )
    create_sections(pair.groups, {"editors": ["ben"]})
    create_sections(pair.permissions, {"publish": ["editors"]})
    pair.permissions.exclude_item("publish", "editors")
    change = next(pair.permissions.history())
    for gone in (
        lambda: pair.delete_group("editors"),
        lambda: pair.rename_group("editors", "writers"),
    ):
        gone()
        with pytest.raises(UndoRefused, match=r"in its way is (delete|rename)_group") as raised:
            pair.undo(change)
        assert pair.permissions.find_sections("editors") == set()
        pair.undo(raised.value.later)
    pair.undo(change)
    assert pair.permissions.find_sections("editors") == {"publish"}


def test_what_is_over_goes_where_somebody_is_put_in_for_good(source):
    source.exclude_item("edit", "staff")
    source.include_item("edit", "staff", until=HOUR)
    let_pass(source.db_connection, HOUR)
    _let_history_pass(source, HOUR)
    included, excluded, *_ = source.history()
    source.undo(included)
    source.undo(excluded)
    assert source.find_sections("staff") == {"edit"}
    assert source.check() == []
