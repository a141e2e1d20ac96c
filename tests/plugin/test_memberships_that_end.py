"""Memberships that end: in no answer after that, whatever is asked, and kept until then."""

from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase

import pytest
import redis
from harness import servers
from harness.endings import HOUR, let_pass
from harness.near_caches import Clock, info
from harness.operations import create_sections
from harness.proxy import CUT_REPLY, Proxy

from repoze.what.adapters import (
    AdapterError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)
from repoze.what.plugins.redis import (
    Adapters,
    EndPastError,
    Finding,
    RedisGroupAdapter,
    RedisPermissionAdapter,
)
from repoze.what.plugins.redis.layouts import indexed

WHERE = {"one database": {"db": 0}, "two databases": {}}
PREFIX = "{tests}:permissions:"


def connect(client, **options):
    return Adapters(
        RedisGroupAdapter(client, namespace="tests", **options),
        RedisPermissionAdapter(client, namespace="tests", **options),
    )


@pytest.fixture(params=WHERE)
def pair(server, request):
    """Rosa is an editor for two hours, who may print for one, and Ben for good."""
    pair = connect(server.client(), **WHERE[request.param])
    create_sections(pair.groups, {"editors": ["ben"], "writers": ["rosa", "eva"]})
    create_sections(
        pair.permissions, {"publish": ["editors"], "print": ["writers"], "write": ["writers"]}
    )
    pair.groups.include_item("editors", "rosa", until=2 * HOUR)
    pair.permissions.include_item("print", "editors", until=HOUR)
    return pair


def pass_time(pair, time):
    for raw in {adapter.db_connection.connection_pool: adapter for adapter in pair}.values():
        if raw is pair.permissions and pair.groups.place == pair.permissions.place:
            return
        let_pass(raw.db_connection, time)


@pytest.fixture
def source(server):
    source = RedisPermissionAdapter(server.client(), namespace="tests")
    return create_sections(source, {"edit": ["staff", "admins"], "read": []})


@pytest.fixture
def raw(source):
    return source.db_connection


def stored(raw):
    return {key: raw.dump(key) for key in raw.scan_iter() if not key.endswith(b"done")}


def answers(pair, user):
    """What every question says of *user*, which all have to say alike."""
    credentials = {"repoze.what.userid": user}
    groups = pair.groups_of(user)
    permitted = pair.permissions_of(user)
    for _ in range(2):
        assert pair.groups.find_sections(credentials) == groups
        assert pair.groups.find_sections_many([credentials, None]) == groups
        assert pair.groups.find_sections_until(credentials).keys() == groups
        assert pair.permissions.find_sections_many(groups) == permitted
        assert pair.groups.find_with_permissions(credentials, pair.permissions) == (
            groups,
            permitted,
        )
    all_groups, all_permissions = (adapter.get_all_sections() for adapter in pair)
    assert {group for group, users in all_groups.items() if user in users} == groups
    for group, users in all_groups.items():
        assert pair.groups.get_section_items(group) == users == pair.users_in(group)
        assert pair.groups.get_many_section_items([group]) == {group: users}
        assert pair.groups.count_items(group) == len(users)
        assert pair.groups.missing_items(group, [user]) == {user} - users
        assert pair.groups._item_is_included(group, user) == (user in users)
        assert pair.groups.until_of(group).keys() <= users
        until = dict.fromkeys(users) | pair.groups.until_of(group)
        assert pair.groups.get_many_sections_until([group, "none"]) == {group: until}
        assert pair.groups.find_sections_until(credentials).get(group) == until.get(user)
    for permission, its_groups in all_permissions.items():
        why = its_groups & groups
        assert pair.why(user, permission) == why
        assert pair.can(user, permission) == bool(why) == (permission in permitted)
        users = set().union(*(all_groups.get(group, ()) for group in its_groups))
        assert pair.users_with(permission) == users
    for adapter in pair:
        assert adapter.check() == []
    return groups, permitted


class TestAnswers:
    def test_until_it_ends_and_after(self, pair):
        everything = {"publish", "print", "write"}
        assert answers(pair, "rosa") == ({"editors", "writers"}, everything)
        assert answers(pair, "ben") == ({"editors"}, {"publish", "print"})
        pass_time(pair, HOUR)
        assert answers(pair, "rosa") == ({"editors", "writers"}, everything)
        assert answers(pair, "ben") == ({"editors"}, {"publish"})
        pass_time(pair, HOUR)
        assert answers(pair, "rosa") == ({"writers"}, {"print", "write"})
        assert answers(pair, "ben") == ({"editors"}, {"publish"})

    def test_nobody_is_in_for_good(self, pair):
        pair.groups.exclude_item("editors", "ben")
        pair.groups.create_section("empty")
        pair.groups.include_item("empty", "eva", until=HOUR)
        assert answers(pair, "eva") == ({"writers", "empty"}, {"print", "write"})
        pass_time(pair, HOUR)
        assert answers(pair, "eva") == ({"writers"}, {"print", "write"})
        assert pair.users_in("empty") == set()

    def test_many_of_them(self, pair):
        groups = [f"group {number}" for number in range(60)]
        create_sections(pair.groups, {group: [] for group in groups})
        for number, group in enumerate(groups):
            pair.groups.include_item(group, "kim", until=HOUR * (1 + number % 3))
            if number % 2:
                pair.permissions.include_item("publish", group, until=HOUR * (1 + number % 5))
        for _ in range(6):
            answers(pair, "kim")
            pass_time(pair, HOUR)
        assert answers(pair, "kim") == (set(), set())

    @pytest.mark.parametrize("name", ["", "\0", "a\0b", b"\xff", "until:x", "\n"])
    def test_names_of_any_kind(self, pair, name):
        if name:
            pair.groups.create_section(name)
            pair.groups.include_item(name, "ben", until=HOUR)
            answers(pair, "ben")
            assert pair.groups.find_sections({"repoze.what.userid": "ben"}) == {
                "editors",
                name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name,
            }
        with pytest.raises(SourceError):
            pair.groups.include_item("editors", "", until=HOUR)

    def test_when(self, source):
        zone = timezone(timedelta(hours=5))
        when = datetime(2100, 1, 2, 3, 4, 5, 678_000, zone)
        source.include_items("edit", ["a", "b"], until=when)
        source.include_item("edit", "c", until=timedelta(days=400_000_000))
        assert source.until_of("edit") == {
            "a": when,
            "b": when,
            "c": datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC),
        }
        assert source.until_of("edit")["a"].tzinfo is UTC
        assert source.until_of("read") == {}
        for name in ("none", None):
            with pytest.raises(NonExistingSectionError):
                source.until_of(name)

    def test_it_counts_by_the_clock_of_the_server(self, source, raw):
        before = raw.time()[0]
        source.include_item("edit", "a", until=HOUR)
        ends = source.until_of("edit")["a"].timestamp()
        assert before + 3600 <= ends <= raw.time()[0] + 3601


class TestRoundTrips:
    @pytest.fixture
    def proxy(self, server, pair):
        if server.client().info("server")["redis_version"].startswith("6."):
            pytest.skip("before Redis 7.0 a request is two questions, as the manual says")
        with Proxy(server.port) as proxy:
            yield proxy

    @pytest.fixture
    def at_proxy(self, proxy, pair):
        client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
        options = {"db": 0} if pair.groups.place == pair.permissions.place else {}
        at_proxy = connect(client, **options)
        for user in ("rosa", "eva"):
            at_proxy.permissions_of(user)
            at_proxy.can(user, "print")
        return at_proxy

    def test_request(self, proxy, at_proxy):
        for user in ("rosa", "eva", "nobody"):
            for question in (at_proxy.permissions_of, lambda user: at_proxy.can(user, "print")):
                with proxy.counted(1):
                    question(user)

    def test_lookup(self, proxy, at_proxy):
        rosa = {"repoze.what.userid": "rosa"}
        with proxy.counted(1):
            assert at_proxy.groups.find_sections({"repoze.what.userid": "eva"}) == {"writers"}
        # The script has to be sent along, once.
        with proxy.counted(3):
            assert at_proxy.groups.find_sections(rosa) == {"editors", "writers"}
        with proxy.counted(1):
            assert at_proxy.groups.find_sections(rosa) == {"editors", "writers"}

    def test_whose_memberships_do_not_end_any_more(self, proxy, at_proxy):
        rosa = {"repoze.what.userid": "rosa"}
        at_proxy.groups.find_sections(rosa)
        at_proxy.groups.set_until("editors", "rosa", None)
        with proxy.counted(2):
            for _ in range(2):
                assert at_proxy.groups.find_sections(rosa) == {"editors", "writers"}

    def test_so_many_are_known(self, at_proxy, monkeypatch):
        monkeypatch.setattr(indexed, "_MOST_MARKED", 3)
        at_proxy.groups.include_items("writers", map(str, range(10)), until=HOUR)
        for number in range(10):
            assert at_proxy.groups_of(number) == {"writers"}
        assert len(at_proxy.groups._layout._marked) <= 3


class TestWrites:
    def test_present(self, source):
        source.include_items("edit", ["a", "b"], until=datetime(2100, 1, 2, 3, 4, tzinfo=UTC))
        with pytest.raises(ItemPresentError, match="has 'a' until 2100-01-02 03:04 UTC, 'staff' a"):
            source.include_items("edit", ["a", "staff", "new"])
        with pytest.raises(ItemPresentError, match="What says anew until when is set_until"):
            source.include_item("edit", "b", until=HOUR)
        with pytest.raises(ItemPresentError, match="has 'staff' already"):
            source.include_item("edit", "staff", until=HOUR)
        assert source.get_section_items("edit") == {"a", "b", "staff", "admins"}

    def test_what_has_ended_can_be_included_again(self, source, raw):
        source.include_items("edit", ["a", "b", "c"], until=HOUR)
        let_pass(raw, HOUR)
        source.include_item("edit", "a")
        source.include_item("edit", "b", until=HOUR)
        assert source.until_of("edit").keys() == {"b"}
        assert source.get_section_items("edit") == {"staff", "admins", "a", "b"}
        # Of the third, who was in it nowhere else, nothing is left.
        assert raw.keys("*:c") == []
        assert source.check() == []

    @pytest.mark.parametrize(
        ("until", "error"),
        [
            (datetime(2100, 1, 1), ValueError),
            (timedelta(0), ValueError),
            (-HOUR, ValueError),
            (timedelta(microseconds=1), ValueError),
            (datetime(2001, 1, 1, tzinfo=UTC), SourceError),
            (datetime(1901, 1, 1, tzinfo=UTC), SourceError),
            ("2100-01-01", TypeError),
            (3600, TypeError),
        ],
    )
    def test_no_time(self, source, raw, until, error):
        before = stored(raw)
        for write in (source.include_item, source.set_until):
            with pytest.raises(error) as raised:
                write("edit", "new" if write == source.include_item else "staff", until)
            assert "until" in str(raised.value) or "past: at the server it is 20" in str(
                raised.value
            )
        assert stored(raw) == before

    @pytest.mark.parametrize("until", [None, HOUR, datetime(2100, 1, 1, tzinfo=UTC)])
    @pytest.mark.parametrize("item", ["staff", "a"])
    def test_set_until(self, source, item, until):
        source.include_item("edit", "a", until=3 * HOUR)
        source.set_until("edit", item, until)
        ends = source.until_of("edit")
        assert (item in ends) == (until is not None)
        if isinstance(until, datetime):
            assert ends[item] == until
        assert source.get_section_items("edit") == {"staff", "admins", "a"}
        assert source.find_sections(item) == {"edit"}
        assert source.check() == []

    def test_set_until_of_who_is_not_in_it(self, source, raw):
        source.include_item("edit", "a", until=HOUR)
        let_pass(raw, HOUR)
        for item in ("a", "b"):
            with pytest.raises(ItemNotPresentError):
                source.set_until("edit", item, HOUR)
        with pytest.raises(NonExistingSectionError):
            source.set_until("none", "a", HOUR)
        assert source.find_sections("a") == set()

    def test_of_whom_it_takes_away(self, source, raw):
        source.include_items("edit", ["a", "b", "c"], until=HOUR)
        source.include_item("read", "a", until=2 * HOUR)
        source.exclude_items("edit", ["b", "staff"])
        with pytest.raises(ItemNotPresentError, match="'b'"):
            source.exclude_items("edit", ["a", "b"])
        assert source.remove_item("a") == {"edit", "read"}
        assert source.get_all_sections() == {"edit": {"admins", "c"}, "read": set()}
        source.delete_section("edit")
        assert raw.keys("*item*") == raw.keys("*-until*") == []
        source.include_items("read", ["d"], until=HOUR)
        let_pass(raw, HOUR)
        with pytest.raises(ItemNotPresentError):
            source.exclude_item("read", "d")
        with pytest.raises(ItemNotPresentError):
            source.remove_item("d")

    def test_set_section_items_keeps_the_end(self, source):
        source.include_items("edit", ["a", "b"], until=HOUR)
        ends = source.until_of("edit")
        source.set_section_items("edit", source.get_section_items("edit") - {"b", "staff"} | {"x"})
        assert source.get_section_items("edit") == {"admins", "a", "x"}
        assert source.until_of("edit") == {"a": ends["a"]}
        assert source.find_sections("b") == set()
        assert source.check() == []

    def test_set_section_items_names_one_whose_end_has_come(self, source, raw):
        source.include_item("edit", "a", until=HOUR)
        let_pass(raw, HOUR)
        source.set_section_items("edit", ["a"])
        assert source.get_section_items("edit") == {"a"}
        assert source.until_of("edit") == {}

    @pytest.mark.parametrize("is_over", [False, True])
    def test_new_names_keep_the_end(self, source, raw, is_over):
        source.include_items("edit", ["a", "b"], until=2 * HOUR)
        if is_over:
            let_pass(raw, 2 * HOUR)
        source.edit_section("edit", "write")
        if is_over:
            with pytest.raises(ItemNotPresentError):
                source.rename_item("a", "x")
        else:
            assert source.rename_item("a", "x") == {"write"}
            with pytest.raises(ItemPresentError):
                source.rename_item("x", "b")
        assert source.until_of("write").keys() == (set() if is_over else {"x", "b"})
        assert source.find_sections("x") == (set() if is_over else {"write"})
        assert source.find_sections("a") == set()
        assert source.check() == []
        assert bool(raw.keys("*-until:*")) != is_over

    def test_item_that_was_renamed_to_is_over(self, source, raw):
        source.include_item("read", "old", until=HOUR)
        let_pass(raw, HOUR)
        source.include_item("read", "a", until=HOUR)
        assert source.rename_item("a", "old") == {"read"}
        assert source.find_sections("old") == {"read"}

    def test_item_that_was_there_before_under_the_new_name(self, source, raw):
        source.include_item("edit", "new", until=HOUR)
        let_pass(raw, HOUR)
        source.rename_item("staff", "new")
        assert source.find_sections("new") == {"edit"}
        assert source.check() == []

    @pytest.mark.parametrize("new_name", [None, "b"])
    def test_end_that_the_index_alone_has_is_not_made_true(self, source, raw, new_name):
        source.include_item("edit", "a", until=HOUR)
        end = source.until_of("edit")["a"]
        raw.zadd(PREFIX + "item-until:a", {"edit": 5e12})
        if new_name is None:
            source.remove_item("a")
        else:
            source.rename_item("a", new_name)
        assert source.until_of("edit") == ({} if new_name is None else {new_name: end})
        assert dict(next(source.history()).until) == {"edit": end}
        assert source.check() == []

    def test_items_that_become_one_have_what_either_had(self, source):
        create_sections(source, {"third": ["a"], "fourth": []})
        for section, item, hours in (
            *(("edit", "a", 1), ("edit", "b", 2), ("read", "a", 3), ("read", "b", 1)),
            *(("third", "b", 1), ("fourth", "a", 4)),
        ):
            source.include_item(section, item, until=hours * HOUR)
        longest = {
            section: source.until_of(section)[item]
            for section, item in (("edit", "b"), ("read", "a"), ("fourth", "a"))
        }
        assert source._merge_item("a", "b") == {"edit", "read", "third", "fourth"}
        for section, end in longest.items():
            assert source.until_of(section) == {"b": end}
        assert source.until_of("third") == {}
        assert source.find_sections("b") == {"edit", "read", "third", "fourth"}
        assert source.find_sections("a") == set()
        assert source.check() == []

    def test_new_section_inherits_nobody(self, source, raw):
        raw.zadd(PREFIX + "section-until:new", {"mallory": 4e12})
        for write in (
            lambda: source.create_section("new"),
            lambda: source.edit_section("read", "new"),
        ):
            with pytest.raises(SourceError, match="INCONSISTENT"):
                write()

    def test_group_with_its_permissions(self, pair):
        ends = pair.groups.until_of("editors"), pair.permissions.until_of("print")["editors"]
        assert pair.rename_group("editors", "desk") == {"publish", "print"}
        assert pair.groups.until_of("desk") == ends[0]
        assert pair.permissions.until_of("print") == {"desk": ends[1]}
        assert answers(pair, "rosa") == (
            {"desk", "writers"},
            {"publish", "print", "write"},
        )
        create_sections(pair.groups, {"other": []})
        pair.permissions.include_item("write", "new", until=HOUR)
        with pytest.raises(AdapterError, match="new"):
            pair.rename_group("other", "new")
        assert pair.delete_group("desk") == {"publish", "print"}
        assert answers(pair, "rosa") == ({"writers"}, {"print", "write"})
        raw = pair.groups.db_connection
        assert raw.keys("{tests}:groups:*-until:*") == []

    def test_group_whose_permissions_have_ended(self, pair):
        pass_time(pair, 3 * HOUR)
        pair.permissions.exclude_item("publish", "editors")
        assert pair.rename_group("editors", "desk") == set()
        assert pair.groups_of("ben") == {"desk"}
        assert pair.groups_of("rosa") == {"writers"}
        assert pair.permissions.find_sections("desk") == set()
        assert pair.delete_group("desk") == set()
        assert [adapter.check() for adapter in pair] == [[], []]

    def test_plain_layout(self, server):
        plain = RedisPermissionAdapter(server.client())
        plain.create_section("edit")
        for write in (plain.include_item, plain.set_until):
            with pytest.raises(SourceError, match=r"in it for good.*copy.*Nothing was written"):
                write("edit", "a", HOUR)
        assert plain.until_of("edit") == {}
        with pytest.raises(NonExistingSectionError):
            plain.until_of("none")

    def test_adapter_that_is_not_writable(self, server, source):
        reader = RedisPermissionAdapter(server.client(), namespace="tests", writable=False)
        for write in (reader.include_item, reader.set_until):
            with pytest.raises(SourceError):
                write("edit", "staff", HOUR)


# Each of the writes, on a source where "a" is in "edit" for a time, and "b" was.
WRITES = {
    "include_items": lambda source: source.include_items("edit", ["x", "b"], until=HOUR),
    "include for good": lambda source: source.include_items("edit", ["x", "b"]),
    "set_until": lambda source: source.set_until("edit", "a", datetime(2200, 1, 1, tzinfo=UTC)),
    "set_until less": lambda source: source.set_until("edit", "staff", HOUR),
    "set_until for good": lambda source: source.set_until("edit", "a", None),
    "exclude_items": lambda source: source.exclude_items("edit", ["a", "staff"]),
    "set_section_items": lambda source: source.set_section_items("edit", ["x", "b"]),
    "edit_section": lambda source: source.edit_section("edit", "new"),
    "delete_section": lambda source: source.delete_section("edit"),
    "remove_item": lambda source: source.remove_item("a"),
    "rename_item": lambda source: source.rename_item("a", "x"),
}
TAKE_AWAY = {"exclude_items", "delete_section", "remove_item", "set_until less"}
KEYS = [
    *("sections", "section:edit", "section-until:edit", "item:a", "item-until:a", "item-until:b"),
    *("item:b", "item-until:x", "item:x", "section-until:new", "item-until:staff"),
]


@pytest.fixture
def timed(source, raw):
    source.include_item("edit", "b", until=HOUR)
    let_pass(raw, HOUR)
    raw.zadd(PREFIX + "section-until:edit", {"a": 4e12})
    raw.zadd(PREFIX + "item-until:a", {"edit": 4e12})
    raw.sadd(PREFIX + "item:a", "")
    assert source.check() == []
    raw.delete(PREFIX + "history")
    return source


class TestFaults:
    @pytest.mark.parametrize("name", WRITES)
    def test_write_whose_reply_is_lost(self, server, timed, raw, name):
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            adapter = RedisPermissionAdapter(client, namespace="tests")
            # It has to know of one write, and the server its script.
            adapter.create_section("other")
            with pytest.raises(AdapterError):
                WRITES[name](RedisPermissionAdapter(server.client(), namespace="empty"))
            proxy.arm(CUT_REPLY)
            WRITES[name](adapter)
        assert len(list(timed.history())) == 2
        assert timed.check() == []

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("name", WRITES)
    def test_key_of_another_type(self, timed, raw, name, key):
        raw.delete(PREFIX + key)
        raw.set(PREFIX + key, "of another type")
        before = stored(raw)
        try:
            WRITES[name](timed)
        except SourceError as error:
            assert error.written is False  # noqa: PT017
            assert stored(raw) == before
        assert raw.get(PREFIX + key) == b"of another type"

    def check_done_or_refused(self, server, timed, name):
        """Have the user guest make that write, and then be gone."""
        raw = timed.db_connection
        guest = RedisPermissionAdapter(
            server.client(username="guest", password="guest"), namespace="tests"
        )
        before = stored(raw)
        try:
            WRITES[name](guest)
        except SourceError as error:
            assert error.written is False  # noqa: PT017
            assert stored(raw) == before
        finally:
            raw.execute_command("ACL", "DELUSER", "guest")
        assert timed.check() == []

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("name", WRITES)
    def test_key_that_may_only_be_read(self, server, timed, name, key):
        """A write is done whole, or not at all."""
        keys = {PREFIX + each for each in (*KEYS, "history", "done", "done:", "format")}
        patterns = [f"~{each}" for each in sorted(keys - {PREFIX + key})]
        client = server.client()
        if tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) < (7, 0):
            pytest.skip("before Redis 7.0 a key that may be read may be written")
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "+@all", *patterns),
            *(f"~{PREFIX}item:staff", f"~{PREFIX}item:admins", f"%R~{PREFIX}*"),
        )
        self.check_done_or_refused(server, timed, name)

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("name", WRITES)
    def test_key_that_may_not_be_added_to(self, server, timed, name, key):
        """As a selector of the server's ACL can say, from Redis 7.0 on."""
        command = "zadd" if "until" in key else "sadd"
        client = server.client()
        if tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) < (7, 0):
            pytest.skip("before Redis 7.0 there are no selectors")
        more = (*KEYS, "history", "done", "done:", "format", "item:staff", "item:admins")
        keys = " ".join(f"~{PREFIX}{each}" for each in more if each != key)
        client.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}"),
            f"(+{command} {keys})",
        )
        self.check_done_or_refused(server, timed, name)

    @pytest.mark.parametrize("name", WRITES)
    def test_memory_is_out(self, timed, raw, name):
        before = stored(raw)
        raw.config_set("maxmemory", 1)
        try:
            if name in TAKE_AWAY:
                WRITES[name](timed)
            else:
                with pytest.raises(SourceError, match="maxmemory"):
                    WRITES[name](timed)
                assert stored(raw) == before
        finally:
            raw.config_set("maxmemory", 0)
        assert timed.check() == []

    def test_user_who_may_not_read_the_clock(self, server, timed):
        """He is answered where nothing ends, and refused where something does."""
        client = server.client()
        client.execute_command("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all")
        client.execute_command("ACL", "SETUSER", "guest", "-time")
        try:
            guest = RedisPermissionAdapter(
                server.client(username="guest", password="guest"), namespace="tests"
            )
            assert guest.find_sections("staff") == {"edit"}
            assert guest.get_section_items("read") == set()
            for question in (guest.find_sections, lambda _: guest.get_section_items("edit")):
                with pytest.raises(SourceError, match="server's ACL"):
                    question("a")
        finally:
            client.execute_command("ACL", "DELUSER", "guest")


class TestHistory:
    def test_what_is_told(self, timed, raw):
        end = datetime.fromtimestamp(4e9, UTC)
        timed.set_until("edit", "a", end - HOUR)
        timed.set_until("edit", "staff", end)
        timed.set_until("edit", "staff", None)
        timed.set_until("edit", "staff", None)
        timed.include_items("read", ["a", "x"], until=end)
        timed.rename_item("a", "y")
        timed.exclude_items("read", ["x"])
        timed.remove_item("y")
        timed.include_item("read", "z", until=end)
        timed.set_section_items("read", [])
        timed.include_item("read", "z", until=end)
        timed.delete_section("read")
        told = [
            (change.operation, dict(change.until), dict(change.until_before))
            for change in timed.history()
        ][::-1]
        assert told == [
            ("set_until", {"a": end - HOUR}, {"a": end}),
            ("set_until", {"staff": end}, {"staff": None}),
            ("set_until", {"staff": None}, {"staff": end}),
            ("include_items", {"a": end, "x": end}, {}),
            ("rename_item", {"edit": end - HOUR, "read": end}, {}),
            ("exclude_items", {"x": end}, {}),
            ("remove_item", {"edit": end - HOUR, "read": end}, {}),
            ("include_items", {"z": end}, {}),
            ("set_section_items", {"z": end}, {}),
            ("include_items", {"z": end}, {}),
            ("delete_section", {"z": end}, {}),
        ]
        assert [change.operation for change in timed.history(item="staff")] == ["set_until"] * 2

    def test_what_has_ended_is_no_change(self, source, raw):
        source.include_item("edit", "a", until=HOUR)
        let_pass(raw, HOUR)
        source.delete_section("edit")
        assert next(source.history()).removed == {"staff", "admins"}

    def test_group_with_its_permissions(self, pair):
        ends = pair.groups.until_of("editors"), pair.permissions.until_of("print")["editors"]
        pair.delete_group("editors")
        changes = [next(adapter.history()) for adapter in pair]
        assert changes[0].removed == {"rosa", "ben"}
        assert [dict(change.until) for change in changes] == [ends[0], {"print": ends[1]}]


OF_NEAR_CACHE = {"near_cache": True, "max_staleness": 600, "max_age": 100_000}


class TestNearCache:
    @pytest.fixture
    def clock(self, monkeypatch):
        return Clock(monkeypatch)

    def prove_again(self, pair, clock, ask):
        """Have the server say that it is there, and what has changed, as often as time goes on."""
        for _ in range(2):
            clock.advance(300)
            ask()
            servers.wait_until(lambda: not _is_unproved(pair, ask))

    def test_no_answer_is_kept_beyond_its_end(self, server, pair, clock):
        options = {"db": 0} if pair.groups.place == pair.permissions.place else {}
        near = connect(server.client(), **options, **OF_NEAR_CACHE)
        servers.wait_until(lambda: _is_hit(near, lambda: near.permissions_of("rosa")))
        assert near.permissions_of("rosa") == {"publish", "print", "write"}
        # Of the answer, one permission is the first to end, after an hour.
        for _ in range(11):
            self.prove_again(near, clock, lambda: near.permissions_of("eva"))
            if clock.monotonic() < 1000 + 3500:
                assert _is_hit(near, lambda: near.permissions_of("rosa"))
        assert clock.monotonic() >= 1000 + 3600
        servers.wait_until(lambda: _is_hit(near, lambda: near.permissions_of("eva")))
        # Before Redis 7.0 the groups are kept by themselves, and last an hour longer.
        hits = info(near.permissions).hits
        near.permissions_of("rosa")
        assert info(near.permissions).hits == hits

    def test_end_that_is_changed_is_heard_of(self, server, pair):
        options = {"db": 0} if pair.groups.place == pair.permissions.place else {}
        near = connect(server.client(), **options, **OF_NEAR_CACHE)
        servers.wait_until(lambda: _is_hit(near, lambda: near.permissions_of("rosa")))
        told = info(near.groups).invalidations
        pair.groups.set_until("editors", "rosa", 5 * HOUR)
        servers.wait_until(lambda: near.permissions_of("rosa") and _told(near.groups) > told)
        servers.wait_until(lambda: _is_hit(near, lambda: near.permissions_of("rosa")))
        pass_time(pair, 6 * HOUR)
        servers.wait_until(lambda: near.permissions_of("rosa") == {"print", "write"})

    def test_own_writes_are_known_at_once(self, server, source):
        near = RedisPermissionAdapter(server.client(), namespace="tests", **OF_NEAR_CACHE)
        near.include_item("edit", "a", until=HOUR)
        servers.wait_until(lambda: _is_hit_of(near, "a"))
        near.set_until("edit", "a", None)
        assert not _is_hit_of(near, "a")
        assert near.find_sections("a") == {"edit"}


def _told(adapter):
    return info(adapter).invalidations


def _is_hit(pair, ask):
    hits = info(pair.groups).hits
    ask()
    return info(pair.groups).hits > hits


def _is_unproved(pair, ask):
    unproved = info(pair.groups).unproved
    ask()
    return info(pair.groups).unproved > unproved


def _is_hit_of(adapter, item):
    hits = info(adapter).hits
    adapter.find_sections(item)
    return info(adapter).hits > hits


@pytest.mark.parametrize("options", [{}, OF_NEAR_CACHE], ids=["asked", "near cache"])
@pytest.mark.parametrize("where", WHERE)
def test_nobody_is_in_it_after_the_end(server, where, options, thorough):
    """Whoever asks after the end, by the clock of the server, is not told of the membership.

    Many end while it is asked; nothing is expected to happen at any time.
    """
    writer = connect(server.client(), **WHERE[where])
    readers = connect(server.client(), **WHERE[where], **options)
    create_sections(writer.groups, {"editors": []})
    create_sections(writer.permissions, {"publish": ["editors"], "print": ["editors"]})
    raw = server.client()
    ends, late = {}, []

    def now():
        seconds, microseconds = raw.time()
        return seconds + microseconds / 1e6

    def look(user):
        has_ended = now() >= ends[user]
        if readers.permissions_of(user) and has_ended:
            late.append((user, "permissions_of"))
        has_ended = now() >= ends[user]
        if readers.can(user, "publish") and has_ended:
            late.append((user, "can"))
        has_ended = now() >= ends[user]
        if user in readers.users_with("publish") and has_ended:
            late.append((user, "users_with"))
        return has_ended

    for number in range(200 if thorough else 30):
        user = f"user {number}"
        writer.groups.include_item("editors", user, until=timedelta(milliseconds=200))
        found = writer.groups.until_of("editors").get(user)
        ends[user] = found.timestamp() if found else now()
        looking = [each for each in ends if not look(each)]
        ends = {user: ends[user] for user in looking}
    servers.wait_until(lambda: all(list(map(look, ends))))
    assert late == []
    assert readers.users_with("publish") == set()


def test_keys_that_are_announced(source, raw):
    """By what they match, keyspace notifications tell which section has another end."""
    before = stored(raw)
    source.include_item("edit", "a", until=HOUR)
    source.create_section("new")
    changed = {key for key, value in stored(raw).items() if before.get(key) != value}
    found = {
        (key, None if start is None else key.removeprefix(start))
        for key in changed
        for pattern, start in source.key_patterns
        if fnmatchcase(key.decode(), pattern.decode())
    }
    assert found == {
        (PREFIX.encode() + b"section-until:edit", b"edit"),
        (PREFIX.encode() + b"sections", None),
    }


def test_no_key_expires(pair):
    """What a policy of eviction could take away by half."""
    for adapter in pair:
        raw = adapter.db_connection
        assert {raw.ttl(key) for key in raw.scan_iter()} == {-1}


class TestReview:
    """A membership that is not the same in all of its keys is found, and gives nobody more."""

    END = 4e12

    @pytest.mark.parametrize(
        ("break_it", "problems", "mended"),
        [
            (lambda raw: raw.srem(PREFIX + "item:a", ""), {"not indexed"}, {"edit"}),
            (
                lambda raw: raw.zrem(PREFIX + "item-until:a", "edit"),
                # The second is the mark.
                {"not indexed", "only indexed"},
                {"edit"},
            ),
            (lambda raw: raw.delete(PREFIX + "item:a"), {"not indexed"}, {"edit"}),
            (lambda raw: raw.zrem(PREFIX + "section-until:edit", "a"), {"only indexed"}, set()),
            (
                lambda raw: raw.zadd(PREFIX + "item-until:a", {"edit": 5e12}),
                {"other end"},
                {"edit"},
            ),
            (
                lambda raw: raw.zadd(PREFIX + "item-until:a", {"edit": 3e12}),
                {"other end"},
                {"edit"},
            ),
            (
                lambda raw: (
                    raw.sadd(PREFIX + "section:edit", "a"),
                    raw.sadd(PREFIX + "item:a", "edit"),
                ),
                {"also for a time"},
                {"edit"},
            ),
            (
                lambda raw: raw.sadd(PREFIX + "section:edit", "a"),
                {"also for a time", "not indexed"},
                {"edit"},
            ),
            (lambda raw: raw.sadd(PREFIX + "item:a", "edit"), {"only indexed"}, {"edit"}),
            (
                lambda raw: raw.zadd(PREFIX + "item-until:a", {"none": 4e12}),
                {"only indexed"},
                {"edit"},
            ),
            (lambda raw: raw.sadd(PREFIX + "item:staff", ""), {"only indexed"}, {"edit"}),
        ],
    )
    def test_repair(self, timed, raw, break_it, problems, mended):
        break_it(raw)
        assert {finding.problem for finding in timed.check()} == problems
        assert all(str(finding) for finding in timed.check())
        before = timed.find_sections("a")
        assert timed.repair()
        assert timed.check() == []
        assert timed.find_sections("a") == mended
        if mended:
            assert timed.until_of("edit") == {"a": datetime.fromtimestamp(4e9, UTC)}
        assert timed.find_sections("staff") == {"edit"}
        assert before >= mended or "not indexed" in problems

    @pytest.mark.parametrize(
        ("key", "finding"),
        [
            ("section-until:none", Finding("no such section", "none", "")),
            ("section-until:", Finding("no name", "", "")),
        ],
    )
    def test_items_of_no_section(self, timed, raw, key, finding):
        raw.zadd(PREFIX + key, {"mallory": 4e12})
        assert timed.check() == [finding]
        assert timed.repair() == []
        assert timed.find_sections("mallory") == set()

    @pytest.mark.parametrize("key", ["section-until:edit", "item-until:a"])
    def test_key_of_another_type(self, timed, raw, key):
        raw.delete(PREFIX + key)
        raw.set(PREFIX + key, "x")
        assert Finding("not a set", PREFIX + key, "") in timed.check()
        timed.repair()
        assert Finding("not a set", PREFIX + key, "") in timed.check()

    def test_names_that_are_not_known(self, timed, raw):
        raw.delete(PREFIX + "sections")
        raw.set(PREFIX + "sections", "x")
        raw.zadd(PREFIX + "item-until:mallory", {"edit": 4e12})
        raw.sadd(PREFIX + "item:mallory", "")
        assert {finding.problem for finding in timed.repair()} == {"only indexed"}
        assert raw.exists(PREFIX + "item-until:mallory") == 0
        assert raw.exists(PREFIX + "item-until:a") == 1


def test_time_of_the_server(pair):
    """By which all of that is, whatever the time is here."""
    seconds, microseconds = pair.groups.db_connection.time()
    then = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    assert timedelta() <= pair.groups.server_time() - then + timedelta(milliseconds=1) < HOUR
    # A part of a millisecond would be one more.
    past = then - timedelta(milliseconds=1)
    with pytest.raises(EndPastError, match="That time is past: at the server it is"):
        pair.groups.include_item("editors", "kim", until=past)


def test_plain_layout_keeps_none(server):
    plain = create_sections(RedisGroupAdapter(server.client()), {"editors": ["ben"]})
    assert not plain.keeps_ends
    assert plain.get_many_sections_until(["editors", "none"]) == {"editors": {"ben": None}}
    assert plain.find_sections_until({"repoze.what.userid": "ben"}) == {"editors": None}
    assert plain.find_sections_until(None) == {}


def test_time_that_is_none(source, raw):
    """As somebody else may write one: nobody is shown another."""
    source.include_item("edit", "kim", until=HOUR)
    raw.zadd(f"{PREFIX}section-until:edit", {"kim": 2**42 + 0.5})
    raw.zadd(f"{PREFIX}item-until:kim", {"edit": 2**42 + 0.5})
    for read in (
        lambda: source.until_of("edit"),
        lambda: source.get_many_sections_until(["edit"]),
        lambda: source.find_sections_until("kim"),
    ):
        with pytest.raises(SourceError, match="a time was expected, not "):
            read()
