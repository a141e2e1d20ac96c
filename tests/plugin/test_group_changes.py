"""Groups that are renamed or deleted together with their permissions, by the pair of adapters."""

import re
from collections import Counter
from random import Random

import pytest
import redis
from harness import cluster, servers
from harness.operations import create_sections
from harness.proxy import CUT_REPLY, CUT_REQUEST, Action, Fault, Point, Proxy

from repoze.what.adapters import (
    AdapterError,
    ExistingSectionError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
    SourceUnavailable,
)
from repoze.what.plugins.redis import (
    Adapters,
    LeftPermissions,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    RenamingInterrupted,
    TooFewReplicas,
)
from repoze.what.plugins.redis.renaming import name_while_renamed

GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "interns": set()}
PERMISSIONS = {"publish": {"editors"}, "write": {"editors", "writers"}, "sell": set()}
RENAMED = (
    {"redaction": {"rosa", "ben"}, "writers": {"rosa"}, "interns": set()},
    {"publish": {"redaction"}, "write": {"redaction", "writers"}, "sell": set()},
)
DELETED = (
    {"writers": {"rosa"}, "interns": set()},
    {"publish": set(), "write": {"writers"}, "sell": set()},
)
CHANGES = {
    "rename_group": (lambda pair: pair.rename_group("editors", "redaction"), RENAMED),
    "delete_group": (lambda pair: pair.delete_group("editors"), DELETED),
}
WAITING = name_while_renamed("editors", "redaction")
ONE = {"db": 3, "namespace": "tests"}
TWO = {"namespace": "tests"}
PLACES = {"plain": {}, "two databases": TWO, "one database": ONE}
FORMATS = ("{tests}:groups:format", "{tests}:permissions:format")

changes = pytest.mark.parametrize("name", CHANGES)
places = pytest.mark.parametrize("options", PLACES.values(), ids=list(PLACES))


def connect(client, other=None, **options):
    return Adapters(
        RedisGroupAdapter(client, **options), RedisPermissionAdapter(other or client, **options)
    )


def filled(pair):
    create_sections(pair.groups, GROUPS)
    create_sections(pair.permissions, PERMISSIONS)
    return pair


def sources(pair):
    return pair.groups.get_all_sections(), pair.permissions.get_all_sections()


def check_state(pair, expected):
    """Check that *expected* is what is stored, and what is found."""
    assert sources(pair) == expected
    groups, permissions = expected
    for user in ("rosa", "ben"):
        assert pair.groups_of(user) == {group for group in groups if user in groups[group]}
    for group in ("editors", "redaction", "writers", WAITING):
        having = {each for each in permissions if group in permissions[each]}
        assert pair.permissions.find_sections(group) == having
    if pair.groups.namespace is not None:
        assert pair.groups.check() == pair.permissions.check() == []


def stored(server):
    """All that there is in any database, byte for byte, but for the tokens of writes."""
    found = {}
    for number in range(4):
        raw = server.client(db=number)
        found |= {
            (number, key): raw.dump(key) for key in raw.scan_iter() if not key.endswith(b":done")
        }
    return found


def raw_of(pair, key):
    """The client of the database that *key* lies in."""
    return (pair.groups if ":groups:" in key else pair.permissions).db_connection


def formats(pair):
    return [raw_of(pair, key).get(key) for key in FORMATS]


def delete_formats(pair):
    for key in FORMATS:
        raw_of(pair, key).delete(key)


def in_front(adapter):
    """What stands in front of *adapter*, and notes what is asked of it."""

    class InFront:
        asked = ()

        def __getattr__(self, name):
            self.asked = (*self.asked, name)
            return getattr(adapter, name)

    return InFront()


class TestEverywhere:
    @pytest.fixture(params=PLACES)
    def options(self, request):
        return PLACES[request.param]

    @pytest.fixture
    def pair(self, client, options):
        return filled(connect(client, **options))

    @changes
    def test_change(self, pair, name):
        change, expected = CHANGES[name]
        assert change(pair) == {"publish", "write"}
        check_state(pair, expected)

    def test_group_without_members_and_permissions(self, pair):
        assert pair.rename_group("interns", "trainees") == set()
        assert pair.groups.get_section_names() == {"editors", "writers", "trainees"}
        assert pair.delete_group("trainees") == set()
        assert pair.groups.get_section_names() == {"editors", "writers"}
        assert pair.permissions.get_all_sections() == PERMISSIONS

    @pytest.mark.parametrize("new", ["Zürich", b"\xff\xfe", "a\nb", "a -> b", "%a+", "'", 7])
    def test_names_of_every_kind(self, pair, new):
        text = {7: "7", b"\xff\xfe": "\udcff\udcfe"}.get(new, new)
        assert pair.rename_group("editors", new) == {"publish", "write"}
        assert pair.groups.get_section_items(text) == {"rosa", "ben"}
        assert pair.permissions.find_sections(text) == {"publish", "write"}
        assert pair.rename_group(new, "editors") == {"publish", "write"}
        check_state(pair, (GROUPS, PERMISSIONS))
        pair.rename_group("editors", new)
        assert pair.delete_group(new) == {"publish", "write"}
        check_state(pair, DELETED)

    def test_refused(self, pair):
        pair.permissions.include_item("sell", "ghosts")
        before = sources(pair)
        for old, new, kind, message in (
            ("nobody", "new", NonExistingSectionError, "There is no group 'nobody'."),
            ("ghosts", "new", NonExistingSectionError, "There is no group 'ghosts'."),
            ("editors", "writers", ExistingSectionError, "There is a group 'writers' already."),
            ("editors", "editors", ExistingSectionError, "There is a group 'editors' already."),
            (
                *("editors", "ghosts", ItemPresentError),
                "'ghosts' is no group, but it still has permissions: 'sell'. Its members would "
                "have them at once. Revoke them first, or choose another name.",
            ),
        ):
            with pytest.raises(kind) as raised:
                pair.rename_group(old, new)
            assert (type(raised.value), str(raised.value)) == (kind, message)
        with pytest.raises(NonExistingSectionError, match=r"^There is no group 'ghosts'\.$"):
            pair.delete_group("ghosts")
        assert sources(pair) == before

    @pytest.mark.parametrize("nothing", ["", None, True, b"", 1.5, "\ud800"])
    def test_names_that_name_nothing(self, pair, nothing):
        for change in (
            lambda: pair.rename_group(nothing, "new"),
            lambda: pair.rename_group("editors", nothing),
            lambda: pair.delete_group(nothing),
        ):
            with pytest.raises(SourceError, match="cannot name") as raised:
                change()
            assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))

    @changes
    def test_readers(self, client, pair, options, name):
        reading = {**options, "writable": False}
        for reader in (
            Adapters(RedisGroupAdapter(client, **reading), pair.permissions),
            Adapters(pair.groups, RedisPermissionAdapter(client, **reading)),
        ):
            with pytest.raises(SourceError, match="read-only") as raised:
                CHANGES[name][0](reader)
            assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))

    @pytest.mark.parametrize("is_renamed", [False, True])
    def test_renaming_that_was_interrupted_is_gone_on_with(self, pair, is_renamed):
        """By an adapter with operations of its own, say."""
        pair.permissions.rename_item("editors", WAITING)
        if is_renamed:
            pair.groups.edit_section("editors", "redaction")
        assert pair.rename_group("editors", "redaction") == {"publish", "write"}
        check_state(pair, RENAMED)

    def test_renaming_that_was_interrupted_is_not_gone_on_with(self, pair):
        pair.permissions.rename_item("editors", WAITING)
        pair.groups.create_section("redaction")
        before = sources(pair)
        with pytest.raises(ExistingSectionError, match=r"already\. Kept for .*'publish', 'write'"):
            pair.rename_group("editors", "redaction")
        pair.groups.delete_section("editors")
        pair.groups.delete_section("redaction")
        with pytest.raises(NonExistingSectionError, match=r"no group 'editors'\. Kept for "):
            pair.rename_group("editors", "redaction")
        assert pair.permissions.get_all_sections() == before[1]


def test_what_looks_like_a_subclass_has_the_last_word(server):
    """The steps are taken, which it hears of."""
    calls = []

    class Groups(RedisGroupAdapter):
        def edit_section(self, section, new_section):
            calls.append((section, new_section))
            super().edit_section(section, new_section)

        def delete_section(self, section):
            calls.append(section)
            super().delete_section(section)

    class Permissions(RedisPermissionAdapter):
        def rename_item(self, item, new_item):
            calls.append((item, new_item))
            return super().rename_item(item, new_item)

        def remove_item(self, item):
            calls.append(item)
            return super().remove_item(item)

    ours = filled(connect(server.client(), **ONE))
    for pair in (
        Adapters(Groups(server.client(), **ONE), ours.permissions),
        Adapters(ours.groups, Permissions(server.client(), **ONE)),
    ):
        assert pair.rename_group("editors", "redaction") == {"publish", "write"}
        assert pair.rename_group("redaction", "editors") == {"publish", "write"}
    assert pair.delete_group("editors") == {"publish", "write"}
    assert calls == [
        ("editors", "redaction"),
        ("redaction", "editors"),
        *(("editors", WAITING), (WAITING, "redaction")),
        ("redaction", name_while_renamed("redaction", "editors")),
        (name_while_renamed("redaction", "editors"), "editors"),
        "editors",
    ]


@changes
def test_what_stands_in_front_has_the_last_word(server, name):
    change, expected = CHANGES[name]
    for wrapped in ("groups", "permissions"):
        server.empty()
        ours = filled(connect(server.client(), **ONE))
        front = in_front(getattr(ours, wrapped))
        assert change(ours._replace(**{wrapped: front})) == {"publish", "write"}
        operations = {
            *("edit_section", "delete_section", "rename_item", "remove_item"),
        }
        assert operations & {*front.asked}
        check_state(ours, expected)


@changes
def test_operation_of_one_adapter_alone(server, monkeypatch, name):
    change, expected = CHANGES[name]
    pair = filled(connect(server.client(), **ONE))
    calls = []

    def find_sections(hint):
        calls.append(hint)
        return RedisPermissionAdapter.find_sections(pair.permissions, hint)

    monkeypatch.setattr(pair.permissions, "find_sections", find_sections, raising=False)
    assert change(pair) == {"publish", "write"}
    assert calls
    monkeypatch.undo()
    check_state(pair, expected)


@pytest.mark.parametrize(
    ("of_groups", "of_permissions"),
    [
        ({"db": 3, "namespace": "a"}, {"db": 3, "namespace": "b"}),
        ({"db": 3, "namespace": "a"}, {"db": 4, "namespace": "b"}),
        ({"db": 0, "namespace": "a"}, {"db": 4, "namespace": "a"}),
        ({"db": 3, "namespace": "a"}, {"db": 4}),
        ({"db": 3}, {"db": 4, "namespace": "a"}),
    ],
)
def test_sources_in_two_places(server, of_groups, of_permissions):
    is_one_step = "namespace" in of_groups and "namespace" in of_permissions
    with Proxy(server.port) as proxy:
        client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
        pair = filled(
            Adapters(
                RedisGroupAdapter(client, **of_groups),
                RedisPermissionAdapter(client, **of_permissions),
            )
        )
        for change, expected in CHANGES.values():
            # The server has no script yet.
            with pytest.raises(NonExistingSectionError):
                change(pair._replace(groups=RedisGroupAdapter(client, 9, namespace="a")))
            before = proxy.round_trips
            assert change(pair) == {"publish", "write"}
            assert (proxy.round_trips - before == 1) == is_one_step
            check_state(pair, expected)
            if expected is RENAMED:
                assert pair.rename_group("redaction", "editors") == {"publish", "write"}


@changes
def test_database_that_no_script_may_select(server, name):
    """Or none twice. Then it takes steps, on two connections."""
    change, expected = CHANGES[name]
    client = server.client()
    client.execute_command(
        *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "&*", "+@all"),
        *("-select", "+select|4"),
    )
    try:
        guest = server.client(username="guest", password="guest")
        pair = filled(
            Adapters(
                RedisGroupAdapter(guest, 0, namespace="tests"),
                RedisPermissionAdapter(guest, 4, namespace="tests"),
            )
        )
        assert pair.groups._layout.changes_with(pair.permissions._layout)
        assert change(pair) == {"publish", "write"}
        check_state(pair, expected)
    finally:
        client.acl_deluser("guest")


@changes
@pytest.mark.parametrize("number", [2, 3])
def test_permissions_that_the_user_may_only_read(server, name, number):
    """But for the key that the server knows of before it runs a script. Nothing is half done."""
    client = server.client()
    if servers.version(server.executable).startswith("redis-6"):
        pytest.skip("it has no such rule")
    of_permissions = {"db": number, "namespace": "tests"}
    pair = filled(
        Adapters(RedisGroupAdapter(client, **ONE), RedisPermissionAdapter(client, **of_permissions))
    )
    client.execute_command(
        *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "+@all"),
        *("~{tests}:groups:*", "~{tests}:permissions:sections", "%R~{tests}:permissions:*"),
    )
    try:
        guest = server.client(username="guest", password="guest")
        with pytest.raises(SourceError, match=r"server's ACL.* Nothing was written\.$") as raised:
            CHANGES[name][0](
                Adapters(
                    RedisGroupAdapter(guest, **ONE), RedisPermissionAdapter(guest, **of_permissions)
                )
            )
        assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))
    finally:
        client.acl_deluser("guest")


class TestOneStep:
    """Both sources have a namespace on one server: one script changes both."""

    @pytest.fixture(params=["one database", "two databases"])
    def options(self, request):
        return PLACES[request.param]

    @pytest.fixture
    def pair(self, server, options):
        return filled(connect(server.client(), **options))

    @pytest.fixture
    def proxied(self, pair, server, options):
        """A proxy, and a pair that is connected to it; the server has the scripts."""
        pair.groups.create_section("x")
        pair.rename_group("x", "y")
        pair.delete_group("y")
        with Proxy(server.port) as proxy:
            client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
            through = connect(client, **options)
            # So that it knows of a write.
            through.groups.set_section_items("interns", [])
            yield proxy, through

    @changes
    def test_it_is_one_round_trip(self, proxied, pair, name):
        proxy, through = proxied
        change, expected = CHANGES[name]
        with proxy.counted(1):
            assert change(through) == {"publish", "write"}
        check_state(pair, expected)

    @changes
    @pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
    def test_it_takes_effect_once(self, proxied, pair, name, fault):
        proxy, through = proxied
        change, expected = CHANGES[name]
        proxy.arm(fault)
        assert change(through) == {"publish", "write"}
        check_state(pair, expected)

    @changes
    def test_it_is_not_done_again_where_it_was_undone(self, proxied, pair, name):
        proxy, through = proxied

        def undo():
            if name == "rename_group":
                pair.rename_group("redaction", "editors")
            else:
                create_sections(pair.groups, {"editors": GROUPS["editors"]})
            # What is revoked meanwhile stays revoked.
            for permission in pair.permissions.find_sections("editors"):
                pair.permissions.exclude_item(permission, "editors")

        proxy.meanwhile = undo
        proxy.arm(CUT_REPLY)
        with proxy.counted(2):
            assert CHANGES[name][0](through) == {"publish", "write"}
        check_state(pair, (GROUPS, {"publish": set(), "write": {"writers"}, "sell": set()}))

    @changes
    @pytest.mark.parametrize(
        "action", [Action.CLOSE, Action.RESET, Action.GARBLE, Action.SPLIT, Action.DELAY]
    )
    @pytest.mark.parametrize(
        "point", [Point.BEFORE_REQUEST, Point.MID_REQUEST, Point.BEFORE_REPLY, Point.MID_REPLY]
    )
    @pytest.mark.parametrize("times", [1, 2])
    def test_fault(self, proxied, pair, name, action, point, times):  # noqa: PLR0917
        """It is done, or nothing is; and an error that says that nothing was written is right."""
        proxy, through = proxied
        change, expected = CHANGES[name]
        proxy.arm(*[Fault(action, point)] * times)
        before = GROUPS, PERMISSIONS
        try:
            assert change(through) == {"publish", "write"}
            check_state(pair, expected)
        except SourceError as error:
            assert action in {Action.CLOSE, Action.RESET, Action.GARBLE}
            assert error.written in {False, None}  # noqa: PT017
            proxy.settle()
            is_done = error.written is None and sources(pair) == expected
            check_state(pair, expected if is_done else before)

    @changes
    def test_it_is_sent_twice_at_most(self, proxied, pair, name):
        proxy, through = proxied
        change, expected = CHANGES[name]
        proxy.arm(CUT_REPLY, CUT_REPLY, CUT_REPLY)
        with proxy.counted(2), pytest.raises(SourceUnavailable, match="outcome is unk") as raised:
            change(through)
        assert raised.value.written is None
        assert str(raised.value).startswith(f"{name}('editors'")
        assert "being renamed" not in str(raised.value)
        check_state(pair, expected)

    @changes
    def test_it_is_done_or_nothing_is(self, proxied, pair, name):
        """The connection cannot be made anew."""
        proxy, through = proxied
        proxy.lose_server()
        with pytest.raises(SourceUnavailable, match="Nothing was written") as raised:
            CHANGES[name][0](through)
        assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))

    @changes
    @pytest.mark.parametrize("has_format", [False, True])
    def test_memory_is_out(self, pair, server, name, has_format):
        """A right can still be taken away, but nothing be added."""
        if not has_format:
            delete_formats(pair)
        before = stored(server)
        raw = server.client()
        raw.config_set("maxmemory", 1)
        try:
            if name == "rename_group":
                with pytest.raises(
                    SourceError, match=r"Raise its maxmemory.* Nothing was"
                ) as error:
                    pair.rename_group("editors", "redaction")
                assert error.value.written is False
            else:
                assert pair.delete_group("editors") == {"publish", "write"}
        finally:
            raw.config_set("maxmemory", 0)
        if name == "rename_group":
            assert stored(server) == before
        else:
            check_state(pair, DELETED)
            assert formats(pair) == [b"1", b"1"]

    @changes
    def test_key_of_another_type(self, pair, server, name):
        """For each key that there is, and that would be: nothing is half done."""
        new = [
            *("groups:section:redaction", "permissions:item:redaction", "groups:done:"),
            "permissions:done:",
        ]
        raws = [adapter.db_connection for adapter in pair]
        keys = {key.decode() for raw in raws for key in raw.scan_iter()}
        keys |= {f"{{tests}}:{each}" for each in (*new, "permissions:aside")}
        refused = set()
        for key in sorted(keys):
            server.empty()
            filled(pair)
            raw = raw_of(pair, key)
            if raw.type(key) == b"string":
                raw.delete(key)
                raw.sadd(key, "no string")
            else:
                raw.set(key, "no set")
            before = stored(server)
            try:
                CHANGES[name][0](pair)
            except AdapterError as error:
                refused.add(key.removeprefix("{tests}:"))
                assert stored(server) == before, key
                if not key.endswith("groups:section:redaction"):
                    told = "Rename or remove that key; check() finds it."
                    assert told in str(error)  # noqa: PT017
                assert error.written is False  # noqa: PT017
        ours = {
            *("groups:sections", "groups:section:editors", "groups:item:rosa", "groups:item:ben"),
            *("permissions:item:editors", "permissions:section:publish", "groups:done"),
            *("permissions:section:write", "groups:format", "permissions:format", "groups:done:"),
            *("permissions:done:", "permissions:sections"),
            *("groups:history", "permissions:history", "permissions:aside"),
        }
        assert refused == (ours | {*new} if name == "rename_group" else ours)

    @pytest.mark.parametrize(
        ("old", "new", "refused"),
        [
            ("editors", "team", CHANGES),
            ("team", "editors", CHANGES),
            ("redaction", "team", ["rename_group"]),
            ("team", "redaction", ["rename_group"]),
            ("team", "x", []),
            ("editors'", "x", []),
        ],
    )
    def test_another_renaming_was_interrupted(self, proxied, pair, *, old, new, refused):
        """In steps: what it has set aside would come to whoever is called so next."""
        kept = name_while_renamed(old, new)
        pair.permissions.rename_item("writers", kept)
        before = sources(pair)
        proxy, through = proxied
        for name in refused:
            with pytest.raises(RenamingInterrupted, match=r"^Kept for .*'write'") as raised:
                CHANGES[name][0](through)
            assert raised.value.written is False
            assert sources(pair) == before
        for name in sorted(CHANGES.keys() - {*refused}):
            with proxy.counted(1):
                CHANGES[name][0](through)
            through.groups.create_section("editors")

    def test_renaming_in_steps_is_run_again_when_others_have_its_name(self, pair):
        """Whoever changes in one step does not do what makes that give rights to strangers."""
        pair.groups.include_item("interns", "kim")
        in_steps = pair._replace(permissions=in_front(pair.permissions))

        def interrupt(_, __):
            RedisGroupAdapter.edit_section(pair.groups, "editors", "redaction")
            raise KeyboardInterrupt

        pair.groups.edit_section = interrupt
        with pytest.raises(KeyboardInterrupt):
            in_steps.rename_group("editors", "redaction")
        del pair.groups.edit_section
        for change in (
            lambda: pair.delete_group("redaction"),
            lambda: pair.rename_group("redaction", "x"),
            lambda: pair.rename_group("interns", "editors"),
        ):
            with pytest.raises(RenamingInterrupted):
                change()
        assert in_steps.rename_group("editors", "redaction") == {"publish", "write"}
        assert pair.permissions_of("kim") == set()
        assert pair.rename_group("redaction", "editors") == {"publish", "write"}

    def test_group_whose_name_is_like_what_is_set_aside(self, proxied, pair):
        pair.groups.create_section(WAITING)
        pair.permissions.include_item("sell", WAITING)
        proxy, through = proxied
        with proxy.counted(1):
            assert through.rename_group("editors", "redaction") == {"publish", "write"}
        assert pair.permissions.find_sections(WAITING) == {"sell"}

    @pytest.mark.parametrize(
        "set_aside",
        [
            lambda permissions: permissions.rename_item("editors", WAITING),
            lambda permissions: permissions.include_item("write", WAITING),
            lambda permissions: permissions.set_section_items("write", [WAITING, "x"]),
        ],
    )
    @pytest.mark.parametrize(
        "end",
        [
            lambda permissions: permissions.rename_item(WAITING, "redaction"),
            lambda permissions: permissions.remove_item(WAITING),
            lambda permissions: permissions.set_section_items("write", []),
            lambda permissions: permissions.exclude_items("write", [WAITING, "x"]),
            lambda permissions: permissions.delete_section("write"),
        ],
    )
    def test_what_is_set_aside_is_known(self, pair, set_aside, end):
        """However that came about, and until it is no more."""
        raw, key = pair.permissions.db_connection, "{tests}:permissions:aside"
        pair.permissions.set_section_items("publish", [])
        pair.permissions.set_section_items("write", ["editors"])
        set_aside(pair.permissions)
        pair.permissions.set_section_items("write", [WAITING, "x"])
        assert raw.smembers(key) == {WAITING.encode()}
        pair.permissions.include_item("sell", WAITING)
        pair.permissions.exclude_item("sell", WAITING)
        pair.permissions.edit_section("write", "compose")
        pair.permissions.edit_section("compose", "write")
        assert raw.smembers(key) == {WAITING.encode()}
        assert pair.permissions.check() == []
        end(pair.permissions)
        assert not raw.exists(key)

    def test_user_whose_name_is_like_what_is_set_aside(self, pair):
        pair.groups.include_item("editors", WAITING)
        assert not pair.groups.db_connection.exists("{tests}:groups:aside")

    def test_name_that_has_nothing_any_more(self, proxied, pair):
        """Other programs may have taken it away."""
        pair.permissions.db_connection.sadd("{tests}:permissions:aside", WAITING)
        proxy, through = proxied
        with proxy.counted(1):
            assert through.rename_group("editors", "redaction") == {"publish", "write"}

    def test_users_without_a_group(self, pair, server):
        pair.groups.db_connection.sadd("{tests}:groups:section:redaction", "mallory")
        before = stored(server)
        with pytest.raises(SourceError, match=r"INCONSISTENT.*check\(\) finds") as raised:
            pair.rename_group("editors", "redaction")
        assert raised.value.written is False
        assert stored(server) == before

    @pytest.mark.parametrize("damage", ["section", "name"])
    def test_what_the_index_alone_says_is_not_made_true(self, pair, damage):
        raw = pair.permissions.db_connection
        if damage == "section":
            raw.srem("{tests}:permissions:section:publish", "editors")
        else:
            raw.srem("{tests}:permissions:sections", "publish")
        assert pair.rename_group("editors", "redaction") == {"write"}
        assert pair.permissions.find_sections("redaction") == {"write"}
        assert pair.permissions.find_sections("editors") == set()

    def test_what_the_index_alone_keeps_is_not_handed_on(self, pair):
        """Of a renaming that was interrupted; who revokes it finds nothing that is set aside."""
        pair.permissions.rename_item("editors", WAITING)
        pair.groups.edit_section("editors", "redaction")
        raw = pair.permissions.db_connection
        raw.srem("{tests}:permissions:section:publish", WAITING)
        assert pair.rename_group("editors", "redaction") == {"write"}
        assert pair.permissions.find_sections("redaction") == {"write"}

    @changes
    @pytest.mark.parametrize("key", FORMATS)
    def test_newer_format(self, pair, server, name, key):
        raw_of(pair, key).set(key, "2")
        before = stored(server)
        with pytest.raises(SourceError, match=r"NEWER .*'2'.* Upgrade .*Nothing was") as raised:
            CHANGES[name][0](pair)
        assert raised.value.written is False
        assert stored(server) == before

    def test_format_is_set_where_something_is_written(self, pair):
        delete_formats(pair)
        for refused in (
            lambda: pair.rename_group("editors", "writers"),
            lambda: pair.delete_group("nobody"),
        ):
            with pytest.raises(AdapterError):
                refused()
            assert formats(pair) == [None, None]
        pair.rename_group("interns", "trainees")
        assert formats(pair) == [b"1", None]
        pair.rename_group("editors", "redaction")
        assert formats(pair) == [b"1", b"1"]

    def test_many(self, pair):
        """More than Lua takes at once, of each."""
        users = {f"user {number}" for number in range(8100)}
        permissions = {f"permission {number}" for number in range(8100)}
        create_sections(pair.groups, {"all": users})
        # One write for each would take twenty seconds.
        keys = pair.permissions._layout.keys
        with pair.permissions.db_connection.pipeline() as pipeline:
            pipeline.sadd(keys.sections, *permissions)
            pipeline.sadd(keys.item_prefix + b"all", *permissions)
            for permission in permissions:
                pipeline.sadd(keys.section_prefix + permission.encode(), "all")
            pipeline.execute()
        assert pair.rename_group("all", "everybody") == permissions
        assert pair.groups.get_section_items("everybody") == users
        assert pair.permissions.find_sections("everybody") == permissions
        with pytest.raises(ItemPresentError, match=r"permission 0', .* 8,095 more"):
            self.leave_and_rename(pair)
        pair.groups.create_section("everybody")
        assert pair.delete_group("everybody") == permissions
        assert pair.permissions.find_sections("everybody") == set()
        assert pair.groups.check() == pair.permissions.check() == []

    def leave_and_rename(self, pair):
        pair.groups.delete_section("everybody")
        pair.rename_group("editors", "everybody")

    @changes
    def test_replicas_have_to_confirm_it(self, server, pair, name, options):
        change, expected = CHANGES[name]
        waiting = Adapters(
            RedisGroupAdapter(server.client(), **options, wait_replicas=1), pair.permissions
        )
        with pytest.raises(TooFewReplicas, match=name) as raised:
            change(waiting)
        assert raised.value.written is True
        check_state(pair, expected)

    @changes
    def test_it_is_saved(self, server, pair, name, options):
        client = server.client()
        client.config_resetstat()
        CHANGES[name][0](
            Adapters(RedisGroupAdapter(client, **options, save="sync"), pair.permissions)
        )
        assert client.info("commandstats")["cmdstat_save"]["calls"] == 1

    @changes
    def test_it_is_saved_for_the_permissions_alone(self, server, pair, name, options):
        """By the steps, where each is as durable as its adapter makes it."""
        client = server.client()
        client.config_resetstat()
        permissions = RedisPermissionAdapter(client, **options, save="sync")
        CHANGES[name][0](pair._replace(permissions=permissions))
        assert client.info("commandstats")["cmdstat_save"]["calls"] >= 1

    @pytest.mark.parametrize("stricter", [{"wait_replicas": 1}, {"save": "sync"}], ids=str)
    def test_durability_of_one_adapter(self, server, pair, options, stricter):
        strict = connect(server.client(), **options, **stricter)
        layouts = {
            name: [adapter._layout for adapter in both]
            for name, both in (("strict", strict), ("lax", pair))
        }
        for groups, permissions, is_one_step in (
            ("strict", "strict", True),
            ("strict", "lax", True),
            ("lax", "strict", False),
        ):
            changed = layouts[groups][0].changes_with(layouts[permissions][1])
            assert changed == is_one_step

    @changes
    @pytest.mark.parametrize("faults", [0, 2])
    def test_near_caches_forget(self, proxied, name, faults, options):
        """Also where the outcome is unknown."""
        proxy, _ = proxied
        client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
        pair = connect(client, **options, near_cache=True)
        forgotten = {}
        with pair.groups, pair.permissions:
            pair.groups.set_section_items("interns", [])
            for kind, adapter in pair._asdict().items():
                near_cache = adapter._near_cache
                forget = near_cache.forget

                def note(names, kind=kind, forget=forget):
                    forgotten[kind] = names
                    forget(names)

                near_cache.forget = note
            proxy.arm(*[CUT_REPLY] * faults)
            if faults:
                with pytest.raises(SourceUnavailable):
                    CHANGES[name][0](pair)
            else:
                assert CHANGES[name][0](pair) == {"publish", "write"}
            assert forgotten.pop("groups") is None
            assert b"editors" in forgotten["permissions"]
            assert (b"redaction" in forgotten["permissions"]) == (name == "rename_group")
            check_state(pair, CHANGES[name][1])

    @changes
    def test_lookups_at_a_replica_do_not_matter(self, server, pair, name, options):
        """What is to be known is read where it is written."""
        change, expected = CHANGES[name]
        gone = redis.Redis(host=servers.HOST, port=servers.free_port())
        assert change(connect(server.client(), **options, read_from=gone)) == {"publish", "write"}
        check_state(pair, expected)

    @changes
    def test_command_without_the_permission(self, server, pair, name, options):
        """Whichever one command a user may not use, it is done whole or not at all."""
        client = server.client()
        refused = set()
        commands = (
            *("evalsha", "get", "set", "zscore", "zrange", "zadd", "zremrangebyrank"),
            *("smembers", "sismember", "exists", "sadd", "srem"),
        )
        for command in commands:
            server.empty()
            filled(pair)
            delete_formats(pair)
            client.execute_command(
                *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}")
            )
            try:
                guest = server.client(username="guest", password="guest")
                CHANGES[name][0](connect(guest, **options))
            except SourceError as error:
                assert "server's ACL" in str(error)  # noqa: PT017
                assert error.written is False  # noqa: PT017
                refused.add(command)
                check_state(pair, (GROUPS, PERMISSIONS))
            else:
                check_state(pair, CHANGES[name][1])
            finally:
                client.acl_deluser("guest")
        assert refused == {*commands} - ({"exists"} if name == "delete_group" else set())


@changes
def test_cluster(executable, name):
    whole = cluster.running(executable)
    whole.empty()
    client = whole.client()
    change, expected = CHANGES[name]
    pair = filled(connect(client, namespace="tests"))
    assert pair.groups._layout.changes_with(pair.permissions._layout)
    assert change(pair) == {"publish", "write"}
    check_state(pair, expected)
    with pytest.raises(NonExistingSectionError):
        change(pair)


@changes
def test_two_clients_of_a_cluster(executable, name):
    """In steps: nobody knows whether it is one cluster."""
    whole = cluster.running(executable)
    whole.empty()
    change, expected = CHANGES[name]
    pair = filled(connect(whole.client(), whole.client(), namespace="tests"))
    assert not pair.groups._layout.changes_with(pair.permissions._layout)
    assert change(pair) == {"publish", "write"}
    check_state(pair, expected)


@changes
def test_node_of_a_cluster_that_has_both_slots(executable, name):
    """It is asked as a server: no script may have keys of two slots there."""
    whole = cluster.running(executable)
    whole.empty()
    change, expected = CHANGES[name]
    slots = {f"tests{number}": whole.client().keyslot(f"{{tests{number}}}") for number in range(9)}
    port, *_ = (node.port for node in whole.nodes if node.is_primary())
    one, other, *_ = (
        namespace for namespace, slot in slots.items() if whole.primary(slot).port == port
    )
    client = redis.Redis(host=servers.HOST, port=port)
    pair = filled(
        Adapters(
            RedisGroupAdapter(client, 0, namespace=one),
            RedisPermissionAdapter(client, 0, namespace=other),
        )
    )
    assert pair.groups._layout.changes_with(pair.permissions._layout)
    assert change(pair) == {"publish", "write"}
    check_state(pair, expected)


class TestSteps:
    @pytest.fixture
    def pair(self, server):
        return filled(connect(server.client()))

    @changes
    @pytest.mark.parametrize("kind", ["groups", "permissions"])
    @pytest.mark.parametrize("shortcut", ["read_from", "near_cache"])
    def test_adapter_that_may_not_know_the_latest_writes(self, server, name, kind, shortcut):
        pair = filled(connect(server.client(), **TWO))
        value = server.client() if shortcut == "read_from" else True
        # Of another client, so that no script is to change both.
        client = server.client(socket_timeout=50)
        adapter = type(getattr(pair, kind))(client, **TWO, **{shortcut: value})
        with adapter, pytest.raises(SourceError, match="may not see the latest writes") as raised:
            CHANGES[name][0](pair._replace(**{kind: adapter}))
        assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))

    def test_renaming_of_another_was_interrupted(self, pair):
        pair.permissions.rename_item("writers", name_while_renamed("writers", "editors"))
        before = sources(pair)
        for change, _ in CHANGES.values():
            with pytest.raises(RenamingInterrupted, match=r"^Kept for .*'write'") as raised:
                change(pair)
            assert raised.value.written is False
        assert sources(pair) == before

    @changes
    def test_permissions_that_somebody_leaves_meanwhile(self, pair, name):
        operation = {"rename_group": "edit_section", "delete_group": "delete_section"}[name]
        step = getattr(pair.groups, operation)

        def grant_first(*names):
            pair.permissions.include_item("sell", "editors")
            step(*names)

        setattr(pair.groups, operation, grant_first)
        with pytest.raises(LeftPermissions, match=r"^That is done, but 'editors' .*'sell'") as left:
            CHANGES[name][0](pair)
        assert left.value.written is True
        assert left.value.concerned == {"publish", "write"}

    def test_group_that_somebody_deletes_before_it_has_its_permissions_back(self, pair):
        """The renaming was refused, for somebody has made a group of the new name."""
        groups, permissions = pair
        rename_group, rename_item = groups.edit_section, permissions.rename_item

        def make_first(*names):
            groups.create_section("team")
            rename_group(*names)

        def delete_first(item, new_item):
            if new_item == "editors":
                groups.delete_section("editors")
            return rename_item(item, new_item)

        groups.edit_section, permissions.rename_item = make_first, delete_first
        with pytest.raises(LeftPermissions, match=r"Meanwhile somebody has deleted 'editors'.*'wr"):
            pair.rename_group("editors", "team")
        assert permissions.find_sections("editors") == {"publish", "write"}

    def test_deletion_that_is_refused_after_all(self, pair):
        """What the first step did stays, and is told."""

        def refuse(_):
            raise SourceError("No. Nothing was written.", written=False)

        pair.groups.delete_section = refuse
        with pytest.raises(SourceError) as raised:
            pair.delete_group("editors")
        assert str(raised.value) == (
            "No. Nothing was written. Revoked before that: 'publish', 'write'."
        )
        assert raised.value.written is None
        with pytest.raises(SourceError) as raised:
            pair.delete_group("interns")
        assert raised.value.written is False

    @pytest.mark.parametrize("is_interrupted", [False, True])
    def test_permissions_that_cannot_be_set_aside(self, pair, is_interrupted):
        """Nothing is done then, unless an earlier run had done something."""

        def refuse(*_):
            raise SourceError("No.", written=False)

        if is_interrupted:
            pair.permissions.rename_item("editors", WAITING)
            pair.permissions.include_item("sell", "editors")
        before = sources(pair)
        pair.permissions.rename_item = pair.permissions.exclude_item = refuse
        with pytest.raises(SourceError, match=r"^No\.") as raised:
            pair.rename_group("editors", "redaction")
        assert raised.value.written is (None if is_interrupted else False)
        assert ("Run it again" in str(raised.value)) == is_interrupted
        assert sources(pair) == before

    def test_renaming_that_is_refused_is_taken_back(self, pair):
        def refuse(*_):
            raise SourceError("No.", written=False)

        pair.groups.edit_section = refuse
        with pytest.raises(SourceError, match=r"^No\.$") as raised:
            pair.rename_group("editors", "redaction")
        assert raised.value.written is False
        check_state(pair, (GROUPS, PERMISSIONS))

    @pytest.mark.parametrize("kind", [SourceUnavailable, KeyboardInterrupt, OSError])
    def test_interruption_says_what_to_do(self, pair, kind):
        def interrupt(*_):
            raise kind("Gone.")

        pair.groups.edit_section = interrupt
        again = f'Run it again: until then its permissions may be kept for "{WAITING}".'
        with pytest.raises(kind) as raised:
            pair.rename_group("editors", "redaction")
        if kind is SourceUnavailable:
            assert str(raised.value) == f"Gone. {again}"
            assert raised.value.written is None
        else:
            assert raised.value.__notes__ == [again]
        del pair.groups.edit_section
        assert pair.rename_group("editors", "redaction") == {"publish", "write"}
        check_state(pair, RENAMED)

    def test_its_errors_survive_pickle(self):
        import pickle  # noqa: PLC0415

        error = pickle.loads(pickle.dumps(LeftPermissions("x", {"y"})))  # noqa: S301
        assert (str(error), error.written, error.concerned) == ("x", True, {"y"})


def test_text_of_no_more_than_one_line(server):
    pair = filled(connect(server.client(), **ONE))
    pair.permissions.include_item("sell", "a\nb")
    with pytest.raises(ItemPresentError) as raised:
        pair.rename_group("editors", "a\nb")
    assert not re.search(r"\n", str(raised.value))


def test_one_step_does_what_the_steps_do(server, thorough):
    """The same answers and errors, and the same in the sources after each."""
    random = Random(11)
    names, rights = ["a", "b", "c", "d -> e", "Ä"], ["read", "write", "sell"]
    client = server.client()
    apart = Adapters(
        RedisGroupAdapter(client, 4, **TWO), RedisPermissionAdapter(client, 5, namespace="others")
    )
    pairs = [connect(client), connect(client, **ONE), apart]
    for pair in pairs:
        for right in rights:
            pair.permissions.create_section(right)
    outcomes = Counter()
    for _ in range(5_000 if thorough else 200):
        some = random.choices(names, k=2)
        right = random.choice(rights)
        operation, arguments = random.choice(
            [
                (lambda pair, *given: pair.rename_group(*given), some),
                (lambda pair, *given: pair.delete_group(*given), some[:1]),
                (lambda pair, *given: pair.groups.create_section(*given), some[:1]),
                (lambda pair, *given: pair.groups.include_item(*given), (some[0], "rosa")),
                (lambda pair, *given: pair.permissions.include_item(*given), (right, some[0])),
            ]
        )
        found = []
        for pair in pairs:
            try:
                answer = operation(pair, *arguments)
            except AdapterError as error:
                answer = type(error), str(error).split(" (Redis at")[0]
            found.append((answer, sources(pair)))
        assert found[0] == found[1] == found[2]
        outcomes[type(found[0][0])] += 1
    assert outcomes.keys() == {set, tuple, type(None)}
    for pair in pairs[1:]:
        assert pair.groups.check() == pair.permissions.check() == []
