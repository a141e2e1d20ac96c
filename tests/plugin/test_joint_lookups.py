"""Groups and permissions found at once: where they are, and that they are right where not."""

import subprocess
import sys
from contextlib import nullcontext, suppress
from itertools import product

import pytest
import redis
from harness import cluster, servers
from harness.fake_server import FakeServer
from harness.operations import create_sections
from harness.proxy import CUT_REPLY, HOLD_REPLY, Action, Fault, Point, Proxy
from harness.sources import Permissions
from harness.virtual_time import VirtualTime, virtual_time_client
from hypothesis import given
from hypothesis import strategies as st
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError, SourceUnavailable, find_both, find_many
from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.connection import exchange
from repoze.what.plugins.redis.connection.clients import way_to
from repoze.what.plugins.redis.connection.replies import joined_texts
from repoze.what.plugins.redis.layouts import layout
from repoze.what.plugins.redis.names import decode

ROSA = {"repoze.what.userid": "rosa"}
GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "readers": {"ada"}, "none": set()}
PERMISSIONS = {
    "publish": {"editors"},
    "write": {"writers", "editors"},
    "read": {"readers"},
    "nothing": set(),
}
FOUND = ({"editors", "writers"}, {"publish", "write"})
USERS = {
    "rosa": FOUND,
    "ben": ({"editors"}, {"publish", "write"}),
    "ada": ({"readers"}, {"read"}),
    "nobody": (set(), set()),
    "editors": (set(), set()),
    None: (set(), set()),
    "": (set(), set()),
}


def connect(client, **options):
    return RedisGroupAdapter(client, **options), RedisPermissionAdapter(client, **options)


def fill(client, **options):
    """Give both sources what they have, and return the adapters."""
    groups, permissions = connect(client, **options)
    create_sections(groups, GROUPS)
    create_sections(permissions, PERMISSIONS)
    # So that no later lookup has to send a script along.
    groups.find_sections(ROSA)
    permissions.find_sections_many(["editors", "writers"])
    assert groups.find_with_permissions(ROSA, permissions) == FOUND
    return groups, permissions


@pytest.fixture
def proxy(server, options):
    fill(server.client(), **options)
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def at_proxy(proxy):
    def client(**settings):
        return redis.Redis(host=servers.HOST, port=proxy.port, **settings)

    return client


@pytest.mark.parametrize("user", USERS)
def test_answers(client, options, user):
    groups, permissions = fill(client, **options)
    credentials = None if user is None else {"repoze.what.userid": user}
    assert groups.find_with_permissions(credentials, permissions) == USERS[user]


def test_names_of_every_kind(client, options):
    groups, permissions = connect(client, **options)
    names = ["Zürich", b"\xff\xfe", "a\nb", "{x}", "*", 7]
    for name in names:
        groups.create_section(name)
        groups.include_item(name, "rosa")
        permissions.create_section(name)
        permissions.include_item(name, name)
    found = {"Zürich", "\udcff\udcfe", "a\nb", "{x}", "*", "7"}
    assert groups.find_with_permissions(ROSA, permissions) == (found, found)


def test_what_has_the_empty_name_is_nothing(server, options):
    """Somebody else wrote it."""
    groups, permissions = fill(server.client(), **options)
    of_groups, of_permissions = groups.db_connection, permissions.db_connection
    if options:
        of_groups.sadd("{tests}:groups:item:rosa", "")
        of_permissions.sadd("{tests}:permissions:item:", "everything")
        of_permissions.sadd("{tests}:permissions:item:editors", "")
    else:
        of_groups.sadd("", "rosa")
        of_permissions.sadd("everything", "")
        of_permissions.sadd("", "editors")
    assert groups.find_with_permissions(ROSA, permissions) == FOUND


# Bytes of which some, next to each other, are a letter in UTF-8.
NAMES = st.lists(st.sampled_from([0x41, 0x80, 0xA0, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0x9F])).map(bytes)


@given(st.lists(NAMES, min_size=1))
def test_names_that_are_no_text(names):
    """What is one text on its way is what each would be by itself."""
    assert joined_texts(len(names), b"\0".join(names)) == list(map(decode, names))


@pytest.mark.parametrize("name", ["\0", "a\0", "\0a", "a\0b", "rea\0ders"])
def test_names_with_nul(client, options, name):
    groups, permissions = fill(client, **options)
    expected = {
        "of a group": (FOUND[0] | {name}, FOUND[1]),
        "of a permission": (FOUND[0], FOUND[1] | {name}),
    }
    groups.create_section(name)
    groups.include_item(name, "rosa")
    assert groups.find_with_permissions(ROSA, permissions) == expected["of a group"]
    permissions.create_section(name)
    permissions.include_item(name, "writers")
    assert groups.find_with_permissions(ROSA, permissions) == (FOUND[0] | {name}, FOUND[1] | {name})
    groups.delete_section(name)
    assert groups.find_with_permissions(ROSA, permissions) == expected["of a permission"]


@pytest.mark.parametrize("number", [1, 5000, 5001, 12_000])
def test_many_groups(server, options, number):
    groups, permissions = connect(server.client(), **options)
    names = {f"group {each}" for each in range(number)}
    # Through the keys, for one by one it would take long.
    pipeline = groups.db_connection.pipeline()
    if options:
        pipeline.sadd("{tests}:groups:item:rosa", *names)
    else:
        for name in names:
            pipeline.sadd(name, "rosa")
    pipeline.execute()
    for permission, group in (("first", "group 0"), ("last", f"group {number - 1}")):
        permissions.create_section(permission)
        permissions.include_item(permission, group)
    assert groups.find_with_permissions(ROSA, permissions) == (names, {"first", "last"})


# One question


class TestOneQuestion:
    @pytest.fixture(autouse=True)
    def is_possible(self, questions_of_a_request):
        if questions_of_a_request > 1:
            pytest.skip("this server cannot be told that a script only reads")

    def check(self, proxy, groups, permissions, questions=1):
        for adapter in (groups, permissions):
            # Connect.
            adapter._section_exists("nothing")
        with proxy.counted(questions):
            assert groups.find_with_permissions(ROSA, permissions) == FOUND

    def test_one_client(self, proxy, at_proxy, options):
        self.check(proxy, *connect(at_proxy(), **options))

    def test_clients_that_are_alike(self, proxy, at_proxy, options):
        groups = RedisGroupAdapter(at_proxy(db=7, socket_timeout=17), **options)
        self.check(
            proxy, groups, RedisPermissionAdapter(at_proxy(db=8, socket_timeout=17), **options)
        )

    @pytest.mark.parametrize(
        "settings",
        [
            {"username": "default", "password": ""},
            {"socket_timeout": 17},
            {"host": "localhost"},
            {"client_name": "site"},
        ],
        ids=lambda settings: next(iter(settings)),
    )
    def test_clients_that_are_not(self, proxy, at_proxy, options, settings):
        other = redis.Redis(**{"host": servers.HOST, "port": proxy.port, **settings})
        groups = RedisGroupAdapter(at_proxy(), **options)
        self.check(proxy, groups, RedisPermissionAdapter(other, **options), 2)

    def test_other_permissions_next(self, proxy, at_proxy, options):
        groups, permissions = connect(at_proxy(), **options)
        unlike = RedisPermissionAdapter(at_proxy(socket_timeout=17), **options)
        for _ in range(2):
            self.check(proxy, groups, permissions)
            self.check(proxy, groups, unlike, 2)

    def test_one_database(self, server, proxy, at_proxy):
        fill(server.client(), db=3, namespace="one")
        self.check(proxy, *connect(at_proxy(), db=3, namespace="one"))

    def test_two_namespaces(self, server, proxy, at_proxy):
        groups, _ = fill(server.client(), db=3, namespace="one")
        _, permissions = fill(server.client(), db=3, namespace="two")
        groups.delete_section("readers")
        permissions.delete_section("read")
        groups = RedisGroupAdapter(at_proxy(), 3, namespace="one")
        self.check(proxy, groups, RedisPermissionAdapter(at_proxy(), 3, namespace="two"))

    @pytest.mark.parametrize("options", [{}], ids=["both"])
    def test_two_layouts(self, server, proxy, at_proxy):
        named = {"db": 0, "namespace": "mixed"}
        fill(server.client(), **named)
        for of_groups, of_permissions in ((named, {}), ({}, named)):
            groups = RedisGroupAdapter(at_proxy(), **of_groups)
            permissions = RedisPermissionAdapter(at_proxy(), **of_permissions)
            self.check(proxy, groups, permissions, 2)

    def test_unix_socket(self, server, options):
        groups, permissions = fill(server.client(), **options)
        client = redis.Redis(unix_socket_path=server.unix_socket)
        groups, permissions = connect(client, **options)
        assert groups.find_with_permissions(ROSA, permissions) == FOUND
        with server.client().monitor() as monitor:
            assert groups.find_with_permissions(ROSA, permissions) == FOUND
            server.client().echo("the end")
            asked = []
            for message in monitor.listen():
                if "the end" in message["command"]:
                    break
                if message["client_type"] == "unix":
                    asked.append(message["command"].split()[0])
        assert asked == ["EVALSHA_RO"]

    def test_sentinels(self, proxy, options):
        class FixedSentinel(Sentinel):
            def discover_master(self, service_name):
                return servers.HOST, proxy.port

        sentinel = FixedSentinel([])
        one, other = sentinel.master_for("staff"), sentinel.master_for("staff")
        for closing in connect(one, **options):
            closing.close()
        groups, permissions = connect(one, **options)
        self.check(proxy, groups, permissions)
        alike = RedisPermissionAdapter(other, **options)
        self.check(proxy, groups, alike)
        unlike = RedisPermissionAdapter(FixedSentinel([]).master_for("staff"), **options)
        self.check(proxy, groups, unlike, 2)
        for adapter in (groups, permissions, alike, unlike):
            adapter.close()

    def test_replica(self, proxy, at_proxy, options):
        """What lookups are asked of is what counts."""
        nowhere = redis.Redis(host=servers.HOST, port=1)
        groups, permissions = connect(nowhere, read_from=at_proxy(), **options)
        with proxy.counted(1):
            assert groups.find_with_permissions(ROSA, permissions) == FOUND
        elsewhere = RedisPermissionAdapter(at_proxy(), **options)
        with proxy.counted(1):
            assert groups.find_with_permissions(ROSA, elsewhere) == FOUND
        assert groups.find_with_permissions(ROSA, permissions) == FOUND

    def test_cluster(self, executable):
        whole = cluster.running(executable)
        whole.empty()
        client = whole.client()
        groups, permissions = fill(client, namespace="tests")
        primary = whole.primary(client.keyslot("{tests}"))

        def number_of_commands():
            return primary.client().info("commandstats")["cmdstat_evalsha_ro"]["calls"]

        before = number_of_commands()
        assert groups.find_with_permissions(ROSA, permissions) == FOUND
        assert number_of_commands() == before + 1
        elsewhere = RedisPermissionAdapter(client, namespace="other")
        assert groups.find_with_permissions(ROSA, elsewhere) == (FOUND[0], set())
        other_client = RedisPermissionAdapter(whole.client(), namespace="tests")
        assert groups.find_with_permissions(ROSA, other_client) == FOUND
        assert number_of_commands() == before + 1

    def test_slot_that_is_being_moved(self, executable):
        whole = cluster.running(executable)
        whole.empty()
        client = whole.client()
        groups, permissions = fill(client, namespace="tests")
        groups.create_section("idle")
        groups.include_item("idle", "kim")
        slot = client.keyslot("{tests}")
        target = whole.other_primary(slot)
        keys = [b"{tests}:permissions:item:editors", b"{tests}:groups:item:rosa"]
        for _ in whole.move(slot, target, keys):
            for user, found in {**USERS, "kim": ({"idle"}, set())}.items():
                hint = {"repoze.what.userid": user}
                # The union of several keys is refused while some of them are there and some here.
                with suppress(SourceUnavailable) if user == "rosa" else nullcontext():
                    assert groups.find_with_permissions(hint, permissions) == found

    def test_settings_that_change(self, server, options):
        """What counts is how the connections were made."""
        other = servers.RedisServer(server.executable)
        try:
            fill(server.client(), **options)
            client = server.client()
            groups = RedisGroupAdapter(client, **options)
            client.connection_pool.connection_kwargs["port"] = other.port
            permissions = RedisPermissionAdapter(client, **options)
            assert groups.find_with_permissions(ROSA, permissions) == (FOUND[0], set())
            groups, permissions = connect(client, **options)
            assert groups.find_with_permissions(ROSA, permissions) == (set(), set())
            client.connection_pool.connection_kwargs["port"] = server.port
            groups.close()
            assert groups.find_with_permissions(ROSA, permissions) == (FOUND[0], set())
        finally:
            other.stop()

    @pytest.mark.parametrize(
        "settings",
        [{"min_other_sentinels": 2}, {"force_master_ip": "127.0.0.2"}],
        ids=lambda settings: next(iter(settings)),
    )
    def test_sentinels_that_are_not_alike(self, settings):
        addresses = [(servers.HOST, 1)]
        try:
            other = Sentinel(addresses, **settings)
        except TypeError:
            pytest.skip("this redis-py has no such setting")
        ways = [
            way_to(each.master_for("s").connection_pool, 0) for each in (Sentinel(addresses), other)
        ]
        assert ways[0] != ways[1]
        assert ways[0] == way_to(Sentinel(addresses).master_for("s").connection_pool, 0)

    def test_connections_that_go_anywhere(self, server, options):
        """A class of somebody else's may choose the server by the number of the database."""
        other = servers.RedisServer(server.executable)

        class Elsewhere(redis.Connection):
            def connect(self, *arguments, **options):
                self.port = {1: server.port}.get(self.db, other.port)
                return super().connect(*arguments, **options)

        try:
            pool = redis.ConnectionPool(connection_class=Elsewhere, host=servers.HOST)
            groups, permissions = fill(redis.Redis(connection_pool=pool), **options)
            assert other.client(db=2).dbsize() > 0
            assert server.client(db=2).dbsize() == 0
            assert groups.find_with_permissions(ROSA, permissions) == FOUND
        finally:
            other.stop()

    def test_near_cache(self, proxy, at_proxy):
        options = {"namespace": "tests"}
        for of_groups, of_permissions in product(({}, {"near_cache": True}), repeat=2):
            groups = RedisGroupAdapter(at_proxy(), **options, **of_groups)
            permissions = RedisPermissionAdapter(at_proxy(), **options, **of_permissions)
            assert groups.find_with_permissions(ROSA, permissions) in (FOUND, (set(), set()))
            groups.close()
            permissions.close()

    def test_subclass_has_the_last_word(self, proxy, at_proxy, options):
        class Renamed(RedisGroupAdapter):
            def find_sections(self, hint):
                return {group.upper() for group in super().find_sections(hint)}

        class Fewer(RedisPermissionAdapter):
            def find_sections_many(self, hints):
                return super().find_sections_many(hints) - {"publish"}

        groups, permissions = connect(at_proxy(), **options)
        assert Renamed(at_proxy(), **options).find_with_permissions(ROSA, permissions) == (
            {"EDITORS", "WRITERS"},
            set(),
        )
        fewer = Fewer(at_proxy(), **options)
        assert groups.find_with_permissions(ROSA, fewer) == (FOUND[0], {"write"})
        permissions.find_sections_many = lambda groups: {"mocked"}
        assert groups.find_with_permissions(ROSA, permissions) == (FOUND[0], {"mocked"})

    def test_what_stands_in_front_has_the_last_word(self, at_proxy, options):
        class InFront:
            def __init__(self, adapter):
                self._adapter = adapter

            def __getattr__(self, name):
                return getattr(self._adapter, name)

        class NotSuspended(InFront):
            def find_sections(self, hint):
                return set()

        class NothingPermitted(InFront):
            __class__ = RedisPermissionAdapter

            def find_sections_many(self, hints):
                return set()

        class NothingPermittedToOne(InFront):
            def find_sections(self, hint):
                return set()

        class OnlyWriting(RedisPermissionAdapter):
            def find_sections(self, hint):
                return super().find_sections(hint) & {"write"}

        class All(InFront):
            pass

        class Closed(RedisPermissionAdapter):
            def __getattribute__(self, name):
                if name.startswith("find_sections"):
                    return lambda _: set()
                return super().__getattribute__(name)

        groups, permissions = connect(at_proxy(), **options)
        for front, permitted in (
            (NothingPermitted(permissions), set()),
            (NothingPermittedToOne(permissions), set()),
            (OnlyWriting(at_proxy(), **options), {"write"}),
            (Closed(at_proxy(), **options), set()),
            (NothingPermittedToOne(All(permissions)), set()),
        ):
            assert groups.find_with_permissions(ROSA, front) == (FOUND[0], permitted)
            found = find_many(front, ["editors", "writers"])
            assert found == permitted
            identity = {"repoze.who.userid": "rosa"}
            AuthorizationMetadata({"": groups}, {"": front}).add_metadata({}, identity)
            assert set(identity["permissions"]) == permitted
            pair = Adapters(groups, front)
            assert pair.permissions_of("rosa") == permitted
            assert not pair.can("rosa", "publish")
            assert pair.why("rosa", "publish") == set()
        # It has nothing to say itself.
        assert find_both(All(groups), ROSA, All(permissions)) == FOUND
        identity = {"repoze.who.userid": "rosa"}
        AuthorizationMetadata({"": NotSuspended(groups)}, {"": permissions}).add_metadata(
            {}, identity
        )
        assert (identity["groups"], identity["permissions"]) == ((), ())

    @pytest.mark.parametrize(
        ("name", "nothing"),
        [
            *(("_items", set()), ("_find", set()), ("find_sections", set())),
            ("_ask_for_sections", (set(), 1.0)),
        ],
    )
    def test_lookup_that_is_patched(self, at_proxy, options, monkeypatch, name, nothing):
        groups, permissions = connect(at_proxy(), **options)
        monkeypatch.setattr(RedisGroupAdapter, name, lambda *_: nothing)
        assert groups.find_with_permissions(ROSA, permissions) == (set(), set())

    def test_lookup_of_another_adapter(self, server, at_proxy, options):
        groups, permissions = connect(at_proxy(), **options)
        groups.find_sections = RedisGroupAdapter(server.client(), 9).find_sections
        assert groups.find_with_permissions(ROSA, permissions) == (set(), set())

    def test_number_of_the_database_as_text(self, server):
        fill(server.client(), db=3, namespace="one")
        groups = RedisGroupAdapter(server.client(db="3"), None, namespace="one")
        permissions = RedisPermissionAdapter(server.client(db="3"), None, namespace="one")
        assert groups.find_with_permissions(ROSA, permissions) == FOUND

    def test_permissions_of_another_kind(self, at_proxy, options):
        groups, _ = connect(at_proxy(), **options)
        others = Permissions({"publish": {"editors"}})
        assert groups.find_with_permissions(ROSA, others) == (FOUND[0], {"publish"})

    @pytest.mark.parametrize("more", ["groups", "permissions"])
    def test_several_adapters(self, server, proxy, at_proxy, options, more):
        groups, permissions = connect(at_proxy(), **options)
        given = {"groups": {"one": groups}, "permissions": {"one": permissions}}
        kind = {"groups": RedisGroupAdapter, "permissions": RedisPermissionAdapter}[more]
        second = kind(at_proxy(), 9)
        second.create_section("more")
        second.include_item("more", "rosa" if more == "groups" else "writers")
        given[more]["two"] = second
        metadata = AuthorizationMetadata(given["groups"], given["permissions"])
        identity = {"repoze.who.userid": "rosa"}
        metadata.add_metadata({}, identity)
        with proxy.counted(3):
            metadata.add_metadata({}, identity)
        found = set(identity["groups"]), set(identity["permissions"])
        expected = dict(zip(("groups", "permissions"), FOUND, strict=True))
        expected[more] = expected[more] | {"more"}
        assert found == tuple(expected.values())


# What the server refuses


@pytest.fixture
def guest(server):
    def guest(*rules):
        server.client().execute_command("ACL", "SETUSER", "guest", "reset", "on", ">guest", *rules)
        return {"username": "guest", "password": "guest"}

    yield guest
    server.client().acl_deluser("guest")


def test_server_that_refuses(  # noqa: PLR0917 - each is a fixture
    proxy, at_proxy, guest, options, monkeypatch, questions_of_a_request
):
    """It is asked two questions, and asked for both at once again a minute later."""
    if questions_of_a_request > 1:
        pytest.skip("it refuses everybody")
    now = 1000.0
    for module in (layout, exchange):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    login = guest("~*", "+@all", "-evalsha_ro", "-eval_ro")
    groups, permissions = connect(at_proxy(**login), **options)
    assert groups.find_with_permissions(ROSA, permissions) == FOUND
    # Either of the plain layout's scripts tries in vain to be one that only reads, too.
    refused = 1 if options else 3
    for seconds, questions in ((0, 2), (59, 2), (61, 2 + refused), (62, 2)):
        now = 1000.0 + seconds
        with proxy.counted(questions):
            assert groups.find_with_permissions(ROSA, permissions) == FOUND


def test_reader_whose_keys_are_to_be_read_alone(
    proxy, at_proxy, guest, options, questions_of_a_request
):
    if questions_of_a_request > 1:
        pytest.skip("there, no key can be read alone")
    login = guest(
        *("%R~{tests}:*" if options else "%R~*", "+evalsha_ro", "+eval_ro", "+select", "+scan"),
        *("+smembers", "+sunion", "+scard", "+sismember", "+smismember"),
    )
    groups, permissions = connect(at_proxy(**login), **options)
    assert groups.find_with_permissions(ROSA, permissions) == FOUND
    with proxy.counted(1):
        assert groups.find_with_permissions(ROSA, permissions) == FOUND


@pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])
def test_permissions_that_may_not_be_read(at_proxy, guest, options):
    groups, permissions = connect(at_proxy(**guest("~{tests}:groups:*", "+@all")), **options)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"^find_sections\('.*', '.*'\): .* refused it"):
            groups.find_with_permissions(ROSA, permissions)


# Faults


def is_possible(action, point):
    return (point, action) != (Point.CONNECTING, Action.SPLIT)


# Where connections are made by a class of the tests, only one database is asked about at once.
ONE_DATABASE = {"namespace": "tests", "db": 3}


@pytest.mark.parametrize("options", [{}, ONE_DATABASE], ids=["plain", "indexed"])
@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("times", [1, 2])
def test_faults(  # noqa: PLR0917 - each is a factor
    proxy, at_proxy, options, action, point, times, questions_of_a_request
):
    """What is found is right, or it is not known; and the next question is answered."""
    if not is_possible(action, point) or (action is Action.STALL and (times == 2 or not options)):
        pytest.skip("it cannot be, or would take long")
    client = virtual_time_client(proxy.port, VirtualTime(proxy.holds)) if options else at_proxy()
    groups, permissions = connect(client, **options)
    if point not in {Point.CONNECTING, Point.HANDSHAKE, Point.SELECTING}:
        groups._section_exists("nothing")
    proxy.arm(*[Fault(action, point)] * times)
    found, raised = FOUND, None
    try:
        found = groups.find_with_permissions(ROSA, permissions)
    except SourceError as error:
        raised = error
    assert found == FOUND
    if raised is not None:
        assert raised.__cause__ is not None
        assert isinstance(raised, SourceUnavailable) or action is Action.GARBLE
        assert f": Redis at {servers.HOST}:{proxy.port}" in str(raised)
        # What the server does not understand is asked apart.
        if questions_of_a_request == 1 and action is not Action.GARBLE:
            assert str(raised).startswith("find_with_permissions('rosa')")
    proxy.arm()
    proxy.release()
    assert groups.find_with_permissions(ROSA, permissions) == FOUND


def test_lost_connection_is_made_anew(proxy, at_proxy, options, questions_of_a_request):
    groups, permissions = connect(at_proxy(), **options)
    groups.find_with_permissions(ROSA, permissions)
    proxy.arm(CUT_REPLY)
    with proxy.counted(1 + questions_of_a_request):
        assert groups.find_with_permissions(ROSA, permissions) == FOUND


NONSENSE = [
    *(b"*0\r\n", b"*2\r\n*0\r\n*0\r\n", b"+OK\r\n", b":1\r\n"),
    b"*4\r\n:1\r\n:1\r\n:0\r\n$0\r\n\r\n",
    b"*4\r\n:0\r\n$1\r\na\r\n:0\r\n$0\r\n\r\n",
    b"*4\r\n:2\r\n$1\r\na\r\n:0\r\n$0\r\n\r\n",
    b"*4\r\n:-1\r\n$1\r\na\r\n:0\r\n$0\r\n\r\n",
    b"*4\r\n$1\r\n1\r\n$1\r\na\r\n:0\r\n$0\r\n\r\n",
    b"*4\r\n:1\r\n$1\r\na\r\n:1\r\n$-1\r\n",
]


@pytest.mark.parametrize("reply", NONSENSE)
@pytest.mark.parametrize("options", [{}, {"namespace": "tests"}], ids=["plain", "indexed"])
def test_reply_that_makes_no_sense(options, reply):
    with FakeServer(lambda _: reply) as server:
        client = redis.Redis(host=servers.HOST, port=server.port, socket_timeout=60, protocol=2)
        groups, permissions = connect(client, **options)
        with pytest.raises(SourceError, match=r"^find_with_permissions\('rosa'\): .* no sense"):
            groups.find_with_permissions(ROSA, permissions)


@pytest.mark.parametrize("options", [ONE_DATABASE], ids=["indexed"])
def test_late_reply_is_nobody_elses(proxy, options):
    client = virtual_time_client(proxy.port, VirtualTime(proxy.holds))
    groups, permissions = connect(client, **options)
    groups.find_with_permissions(ROSA, permissions)
    proxy.arm(HOLD_REPLY)
    with pytest.raises(SourceUnavailable, match="in time"):
        groups.find_with_permissions(ROSA, permissions)
    proxy.release()
    ada = {"repoze.what.userid": "ada"}
    assert groups.find_with_permissions(ada, permissions) == USERS["ada"]


def test_bytes_and_text_are_not_compared(server):
    """With -bb, Python raises an error where they are."""
    program = """
import sys, redis
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
port = int(sys.argv[1])
groups = RedisGroupAdapter(redis.Redis(port=port, client_name="x"))
permissions = RedisPermissionAdapter(redis.Redis(port=port, client_name=b"x"))
print(groups.find_with_permissions({"repoze.what.userid": "rosa"}, permissions))
for wrong in ({"db": b"1"}, {"near_cache": b"1", "namespace": "x"}):
    try:
        RedisGroupAdapter(redis.Redis(), **wrong)
    except TypeError as error:
        print(error)
"""
    arguments = [sys.executable, "-bb", "-c", program, str(server.port)]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert shown.stderr == ""
    assert shown.stdout == (
        "(set(), set())\ndb is the number of a database, or None, not b'1'\n"
        "near_cache is a number, not b'1'\n"
    )
