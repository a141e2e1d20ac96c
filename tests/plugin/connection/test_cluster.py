"""Both adapters on a Redis Cluster, also while it loses nodes and moves slots."""

import gc
import logging
import os
import random
import re
import threading
import time
import unittest
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest
import redis
from harness import cluster, servers
from harness.connections import pool_asked
from harness.endings import HOUR, let_pass
from harness.forks import forked
from harness.operations import (
    AFTER,
    ANSWERS,
    BEFORE,
    LOOKUPS,
    WRITES,
    create_sections,
    fill,
    load_scripts,
    restore,
)
from harness.proxy import CUT_REPLY, CUT_REQUEST, HOLD_REPLY, Proxy
from harness.virtual_time import VirtualTime, VirtualTimeConnection
from redis.crc import key_slot

from repoze.what.adapters import AdapterError, SourceError, SourceUnavailable, testutil
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.layouts import layout

logger = logging.getLogger(__name__)

NAMESPACE = "tests"
SLOT = key_slot(NAMESPACE.encode())
# What nobody changes while there is a load.
GROUPS = {"staff": {"ada", "root"}, "admins": {"root"}, "nobody": set()} | {
    f"group {number}": {"root", f"user {number}"} for number in range(30)
}
PERMISSIONS = {"edit": {"staff", "admins"}, "read": {"staff"}, "stop": set()}


@pytest.fixture
def whole(executable) -> Iterator[cluster.Cluster]:
    """A cluster that is empty, and to be left whole."""
    shared = cluster.running(executable)
    shared.empty()
    yield shared
    # Clients of a cluster refer to themselves, and have connections to all of its nodes.
    gc.collect()


@pytest.fixture
def client(whole):
    return whole.client()


@pytest.fixture
def permissions(client):
    """An adapter whose scripts every node of the cluster has."""
    fill(client, namespace=NAMESPACE)
    return RedisPermissionAdapter(client, namespace=NAMESPACE)


def user(userid):
    return {"repoze.what.userid": userid}


def sections(stored, kind=b"permissions"):
    """What the source holds, from its raw keys, once these have been found to agree."""
    prefix = b"{%b}:%b:" % (NAMESPACE.encode(), kind)
    names = stored.get(prefix + b"sections", set())
    found = {"section": set(), "item": set()}
    for key, members in stored.items():
        if key.startswith(prefix) and key != prefix + b"sections":
            word, _, name = key.removeprefix(prefix).partition(b":")
            if word not in {b"done", b"format", b"history"}:
                found[word.decode()] |= {(name, member) for member in members}
    assert found["section"] == {(section, item) for item, section in found["item"]}
    assert {section for section, _ in found["section"]} <= names
    return {
        name.decode(): {item.decode() for section, item in found["section"] if section == name}
        for name in names
    }


def state(client):
    """What *client* knows of the cluster, and its connections."""
    return (
        client.get_node_from_key(NAMESPACE),
        client.get_default_node(),
        [
            (
                node.name,
                node.server_type,
                dict(pool.connection_kwargs),
                [*pool._available_connections],
            )
            for node in client.get_nodes()
            for pool in [client.get_redis_connection(node).connection_pool]
        ],
    )


def traffic(monitors):
    """What the nodes were sent, but for what they send each other and what asks this."""
    ours = {"cmdstat_info", "cmdstat_ping", "cmdstat_replconf"}
    return [
        (
            monitor.info("stats")["total_connections_received"],
            {
                name: counts["calls"]
                for name, counts in monitor.info("commandstats").items()
                if name not in ours
            },
        )
        for monitor in monitors
    ]


class TestOperations:
    @pytest.mark.parametrize("settings", [{}, {"decode_responses": True}, {"protocol": 3}], ids=str)
    def test_every_operation(self, whole, settings):
        client = whole.client(**settings)
        adapter = RedisPermissionAdapter(client, namespace=NAMESPACE)
        for name, write in WRITES.items():
            whole.empty()
            fill(client, namespace=NAMESPACE)
            assert {name: lookup(adapter) for name, lookup in LOOKUPS.items()} == ANSWERS
            write(adapter)
            assert adapter.get_all_sections() == AFTER[name]
            assert sections(whole.stored(SLOT)) == AFTER[name]

    def test_groups_and_permissions(self, whole, client, permissions):
        groups = RedisGroupAdapter(client, namespace=NAMESPACE)
        groups.create_section("staff")
        groups.include_items("staff", ["ada", "rms"])
        assert permissions.find_sections_many(groups.find_sections(user("ada"))) == {"edit"}
        assert groups.rename_item("ada", "lovelace") == {"staff"}
        assert groups.remove_item("rms") == {"staff"}
        assert groups._section_exists("staff")
        assert groups._item_is_included("staff", "lovelace")
        assert sections(whole.stored(SLOT), b"groups") == {"staff": {"lovelace"}}
        assert groups.db_connection is client

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_child_has_connections_of_its_own(self, permissions, monkeypatch):
        def check():
            assert permissions.get_all_sections() == BEFORE

        pool = pool_asked(check)

        def in_child():
            assert pool_asked(check) is not pool

        with forked(in_child):
            check()
        assert pool_asked(check) is pool
        # Here, what is covered is counted.
        monkeypatch.setattr(os, "getpid", lambda: 0)
        in_child()

    def test_many_sections(self, whole, client, thorough):
        """More than what is read at a time."""
        groups = RedisGroupAdapter(client, namespace=NAMESPACE)
        number_of_groups = 1000 if thorough else 3 * layout._SECTIONS_AT_A_TIME
        expected = {
            f"group {number}": {"rms", f"user {number}"} for number in range(number_of_groups)
        }
        for group, users in expected.items():
            groups.create_section(group)
            groups.include_items(group, users)
        assert groups.get_all_sections() == expected
        assert groups.find_sections(user("rms")) == expected.keys()
        assert groups.find_sections(user("user 7")) == {"group 7"}
        assert groups.remove_item("rms") == expected.keys()
        assert sections(whole.stored(SLOT), b"groups") == {
            group: users - {"rms"} for group, users in expected.items()
        }

    def test_namespaces_on_different_primaries(self, whole, client):
        names = [f"tenant-{number}" for number in range(50)]
        on = {whole.primary(key_slot(name.encode())).port: name for name in names}
        assert len(on) == 3
        adapters = {port: RedisGroupAdapter(client, namespace=name) for port, name in on.items()}
        for port, adapter in adapters.items():
            adapter.create_section("admins")
            adapter.include_item("admins", port)
        for port, adapter in adapters.items():
            assert adapter.get_all_sections() == {"admins": {str(port)}}
            slot = key_slot(on[port].encode())
            assert f"Redis Cluster at 127.0.0.1:{port}, slot {slot}" in repr(adapter)
        for node in whole.nodes:
            if node.port in on:
                keys = node.client().keys()
                assert len(keys) > 1
                assert all(key.startswith(b"{%b}:" % on[node.port].encode()) for key in keys)


def readers(whole):
    """How many connections have asked a node to answer although it is a replica."""
    statistics = [node.client().info("commandstats") for node in whole.nodes]
    return sum(counts.get("cmdstat_readonly", {"calls": 0})["calls"] for counts in statistics)


def let_in_guest(whole, password):
    """Let a user in who may do what the adapter and redis-py's client for clusters need."""
    for node in whole.nodes:
        node.ask("ACL", "SETUSER", "guest", "reset", "on", f">{password}", "~{tests}:*")
        node.ask("ACL", "SETUSER", "guest", "+@read", "+@write", "+@scripting", "+asking")
        node.ask("ACL", "SETUSER", "guest", "-@dangerous", "+cluster", "+info", "+command")


class OnCluster:
    """Sets up the tester's source on `client`."""

    def setUp(self):
        super().setUp()
        writer = self.adapter_class(self.client, namespace=NAMESPACE)
        for section in writer.get_all_sections():
            writer.delete_section(section)
        for section, items in self.sections.items():
            writer.create_section(section)
            writer.include_items(section, items)
        self.adapter = self.adapter_class(self.client, namespace=NAMESPACE, writable=self.writable)


@pytest.mark.parametrize(
    ("adapter_class", "checks", "writable"),
    [
        (RedisGroupAdapter, testutil.GroupsAdapterTester, True),
        (RedisPermissionAdapter, testutil.PermissionsAdapterTester, True),
        (RedisGroupAdapter, testutil.ReadOnlyGroupsAdapterTester, False),
        (RedisPermissionAdapter, testutil.ReadOnlyPermissionsAdapterTester, False),
    ],
)
def test_tester(client, adapter_class, checks, writable):
    settings = {"client": client, "adapter_class": adapter_class, "writable": writable}
    case = type(checks.__name__, (OnCluster, checks, unittest.TestCase), settings)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TestResult()
    suite.run(result)
    assert result.wasSuccessful(), "".join(text for _, text in result.failures + result.errors)
    assert result.testsRun > 1


class TestConstruction:
    @pytest.mark.parametrize(
        ("arguments", "options"),
        [((), {}), ((1,), {"namespace": NAMESPACE}), ((0,), {}), ((None,), {})],
    )
    def test_plain_layout_or_a_database(self, client, arguments, options):
        with pytest.raises(ValueError, match="give the adapter a namespace and no db"):
            RedisGroupAdapter(client, *arguments, **options)

    def test_nothing_is_sent(self, whole, client):
        with ExitStack() as stack:
            monitors = [
                stack.enter_context(node.client(single_connection_client=True))
                for node in whole.nodes
            ]
            before = traffic(monitors)
            adapters = [
                kind(client, namespace=NAMESPACE)
                for kind in (RedisGroupAdapter, RedisPermissionAdapter)
            ]
            assert traffic(monitors) == before
            assert adapters[0].find_sections(user("rms")) == set()
            assert traffic(monitors) != before

    def test_user_of_the_servers_acl(self, whole):
        let_in_guest(whole, "s3cret")
        client = whole.client(username="guest", password="s3cret")
        fill(client, namespace=NAMESPACE)
        adapter = RedisPermissionAdapter(client, namespace=NAMESPACE)
        assert {name: lookup(adapter) for name, lookup in LOOKUPS.items()} == ANSWERS

    # redis-py calls it by another name since 5.3.
    @pytest.mark.filterwarnings("ignore:.*'read_from_replicas':DeprecationWarning")
    def test_handshake_is_the_clients_but_for_replicas(self, whole):
        called = []
        client = whole.client(redis_connect_func=called.append, read_from_replicas=True)
        before = len(called), readers(whole)
        fill(client, namespace=NAMESPACE)
        assert (len(called), readers(whole)) == (before[0] + 1, before[1])

    def test_slot_that_no_node_holds(self, whole):
        primary = whole.primary(SLOT)
        # The others would learn of it from the primary, if they forgot it first.
        for node in sorted(whole.nodes, key=lambda node: node is not primary):
            if node.is_primary():
                node.ask("CLUSTER", "DELSLOTS", SLOT)
        try:
            client = whole.client(require_full_coverage=False)
            adapter = RedisPermissionAdapter(client, namespace=NAMESPACE)
            for _ in range(5):
                with pytest.raises(SourceUnavailable, match="Part of the cluster is down"):
                    adapter.find_sections("staff")
            with pytest.raises(SourceUnavailable, match="Nothing was written"):
                adapter.create_section("edit")
        finally:
            primary.ask("CLUSTER", "ADDSLOTS", SLOT)
            whole.wait_until_whole()
        adapter.create_section("edit")
        assert adapter.get_all_sections() == {"edit": set()}


class TestLostReplies:
    @pytest.fixture
    def proxied(self, whole):
        """A proxy before the primary, and an adapter whose client knows of it."""
        let_in_guest(whole, "s3cret")
        primary = whole.primary(SLOT)
        with Proxy(primary.port) as proxy:
            ports = {primary.port: proxy.port}
            proxied_client = whole.client(
                address_remap=lambda address: (address[0], ports.get(address[1], address[1])),
                username="guest",
                password="s3cret",
                socket_timeout=60,
            )
            adapter = RedisPermissionAdapter(proxied_client, namespace=NAMESPACE)
            load_scripts(adapter)
            restore(adapter)
            yield proxy, adapter
            adapter.close()
            proxied_client.close()

    def test_operation_is_one_round_trip(self, proxied):
        proxy, adapter = proxied
        for operation in (LOOKUPS | WRITES).values():
            with proxy.counted(1):
                operation(adapter)
            restore(adapter)

    @pytest.mark.parametrize(("fault", "round_trips"), [(CUT_REQUEST, 1), (CUT_REPLY, 2)])
    def test_write_takes_effect_once(self, whole, proxied, fault, round_trips):
        proxy, adapter = proxied
        for name, write in WRITES.items():
            proxy.arm(fault)
            with proxy.counted(round_trips):
                write(adapter)
            assert sections(whole.stored(SLOT)) == AFTER[name]
            restore(adapter)

    def test_lookup_is_asked_again(self, proxied):
        proxy, adapter = proxied
        for name, lookup in LOOKUPS.items():
            proxy.arm(CUT_REPLY)
            with proxy.counted(2):
                assert lookup(adapter) == ANSWERS[name]

    @pytest.mark.parametrize("name", ["find_sections", "include_items"])
    def test_nothing_is_sent_a_third_time(self, whole, proxied, name):
        proxy, adapter = proxied
        proxy.arm(*[CUT_REPLY] * 4)
        with proxy.counted(2), pytest.raises(SourceUnavailable) as raised:
            (LOOKUPS | WRITES)[name](adapter)
        assert raised.value.written is (None if name in WRITES else False)
        proxy.arm()
        assert sections(whole.stored(SLOT)) == AFTER.get(name, BEFORE)
        with proxy.counted(1):
            assert adapter.get_all_sections() == AFTER.get(name, BEFORE)

    @pytest.mark.parametrize("name", ["find_sections", "include_items"])
    def test_time_out_is_not_tried_again(self, whole, proxied, name):
        proxy, adapter = proxied
        passed = VirtualTime(proxy.holds)
        pool = pool_asked(adapter.get_section_names)
        pool.disconnect()
        pool.connection_class = VirtualTimeConnection
        pool.connection_kwargs["virtual_time"] = passed
        pool.reset()
        proxy.arm(HOLD_REPLY)
        with proxy.counted(1), pytest.raises(SourceUnavailable, match="not answer in time"):
            (LOOKUPS | WRITES)[name](adapter)
        assert passed.now == 60
        proxy.release()
        # Another node says that the primary is still the same: its address is mapped again.
        with proxy.counted(1):
            assert adapter.get_all_sections() == AFTER.get(name, BEFORE)

    def test_password_that_was_changed(self, proxied, whole):
        proxy, adapter = proxied
        let_in_guest(whole, "changed")
        proxy.arm(CUT_REPLY)
        before = proxy.connections
        with pytest.raises(SourceError, match="user name and the password") as raised:
            adapter.find_sections("staff")
        assert proxy.connections - before == 1
        assert "s3cret" not in f"{raised.value} {raised.value.__cause__!r}"

    def test_primary_that_cannot_be_reached(self, proxied):
        proxy, adapter = proxied
        proxy.lose_server()
        for _ in range(3):
            # Another node is asked, which sends the question to the same one.
            before = proxy.connections
            with pytest.raises(SourceUnavailable, match="cannot be reached"):
                adapter.find_sections("staff")
            assert proxy.connections - before <= 4

    def test_cluster_that_cannot_be_reached(self, whole, permissions):
        with ExitStack() as stack:
            proxies = {node.port: stack.enter_context(Proxy(node.port)) for node in whole.nodes}
            client = whole.client(
                address_remap=lambda address: (address[0], proxies[address[1]].port)
            )
            adapter = RedisPermissionAdapter(client, namespace=NAMESPACE)
            assert adapter.get_all_sections() == BEFORE
            for proxy in proxies.values():
                proxy.lose_server()
            before = sum(proxy.connections for proxy in proxies.values())
            with pytest.raises(SourceUnavailable, match="cannot be reached"):
                adapter.find_sections("staff")
            made = sum(proxy.connections for proxy in proxies.values()) - before
            assert len(proxies) <= made <= 2 * len(proxies)
            client.close()


class TestRedirections:
    def test_slot_that_was_moved(self, whole, client, permissions):
        before = state(client)
        assert permissions.get_all_sections() == BEFORE
        move_all(whole, whole.other_primary(SLOT))
        assert permissions.get_all_sections() == BEFORE
        assert state(client) == before

    def test_node_that_does_not_say_where_the_others_are(self, whole, permissions):
        source = whole.primary(SLOT).client()
        option = "cluster-preferred-endpoint-type"
        if not source.config_get(option):
            pytest.skip("Redis says where they are, up to 6.2")
        move_all(whole, whole.other_primary(SLOT))
        source.config_set(option, "unknown-endpoint")
        try:
            with pytest.raises(redis.ResponseError, match=r"\D:\d+$"):
                source.get("{tests}")
            assert permissions.get_all_sections() == BEFORE
        finally:
            source.config_set(option, "ip")

    def test_nodes_that_send_back_and_forth(self, whole, client):
        adapter = RedisPermissionAdapter(client, namespace=NAMESPACE)
        target = whole.other_primary(SLOT)
        whole.primary(SLOT).ask("CLUSTER", "SETSLOT", SLOT, "NODE", target.id)
        with pytest.raises(SourceUnavailable, match="being moved"):
            adapter.find_sections("staff")
        target.ask("CLUSTER", "SETSLOT", SLOT, "NODE", target.id)
        target.ask("CLUSTER", "BUMPEPOCH")
        whole.wait_until_whole()
        assert adapter.find_sections("staff") == set()


class TestSlotThatIsBeingMoved:
    """Each operation, with each set of the keys moved that comes up."""

    @pytest.mark.parametrize("first", [b"sections", b"section:edit", b"item:staff", b"history"])
    def test_every_operation(self, whole, permissions, first):
        keys = [b"{tests}:permissions:" + first]
        moved = 0
        for _ in whole.move(SLOT, whole.other_primary(SLOT), keys):
            before = whole.stored(SLOT)
            for name, write in WRITES.items():
                with pytest.raises(
                    SourceUnavailable, match=r"being moved .*try again\. Nothing was written\."
                ) as raised:
                    write(permissions)
                assert isinstance(raised.value.__cause__, redis.ResponseError), name
            assert whole.stored(SLOT) == before
            assert permissions.find_sections("staff") == {"edit"}
            assert permissions.find_sections("nobody") == set()
            assert permissions._section_exists("edit")
            assert permissions._item_is_included("edit", "staff")
            with pytest.raises(SourceUnavailable, match="being moved"):
                permissions.check()
            for name, lookup in LOOKUPS.items():
                answer_or_refusal(lookup, permissions, ANSWERS[name], "being moved")
            for items in (["staff", "nobody"], ["nobody", "stranger"]):
                expected = permissions.find_sections(items[0])
                answer_or_refusal(
                    lambda adapter: adapter.find_sections_many(items),  # noqa: B023
                    permissions,
                    expected,
                    "being moved",
                )
            moved += 1
        assert moved > 4
        assert sections(whole.stored(SLOT)) == BEFORE
        assert {name: lookup(permissions) for name, lookup in LOOKUPS.items()} == ANSWERS
        permissions.exclude_item("edit", "staff")
        assert sections(whole.stored(SLOT)) == AFTER["exclude_item"]

    @pytest.mark.parametrize(
        "first",
        ["groups:item:rosa", "permissions:section:edit", "permissions:format", "groups:history"],
    )
    def test_group_with_its_permissions(self, whole, client, permissions, first):
        pair = Adapters(RedisGroupAdapter(client, namespace=NAMESPACE), permissions)
        create_sections(pair.groups, {"staff": ["rosa"]})
        for _ in whole.move(SLOT, whole.other_primary(SLOT), [f"{{tests}}:{first}".encode()]):
            before = whole.stored(SLOT)
            for change in (
                lambda: pair.rename_group("staff", "everybody"),
                lambda: pair.delete_group("staff"),
            ):
                with pytest.raises(
                    SourceUnavailable, match=r"being moved .*try again\. Nothing was written\."
                ):
                    change()
            assert whole.stored(SLOT) == before
        assert pair.rename_group("staff", "everybody") == {"edit"}
        assert pair.delete_group("everybody") == {"edit"}
        assert sections(whole.stored(SLOT), b"groups") == {}
        assert sections(whole.stored(SLOT)) == {"edit": {"admins"}, "read": set()}

    @pytest.mark.parametrize("first", [b"item:a", b"item-until:a", b"section-until:edit"])
    def test_memberships_that_end(self, whole, permissions, first):
        permissions.include_item("edit", "a", until=HOUR)
        permissions.include_item("read", "b", until=HOUR)
        ended = {b"{tests}:permissions:" + key for key in (b"section-until:read", b"item-until:b")}
        for key in ended:
            permissions.db_connection.zadd(key, {b"b" if b"section" in key else b"read": 1})
        items = {"staff", "admins", "a"}
        for _ in whole.move(SLOT, whole.other_primary(SLOT), [b"{tests}:permissions:" + first]):
            for lookup, answer in (
                (lambda adapter: adapter.find_sections("a"), {"edit"}),
                (lambda adapter: adapter.find_sections("b"), set()),
                (lambda adapter: adapter.find_sections_many(["a", "b"]), {"edit"}),
                (lambda adapter: adapter.get_section_items("edit"), items),
                (lambda adapter: adapter.get_section_items("read"), set()),
                (lambda adapter: adapter._item_is_included("edit", "a"), True),
                (lambda adapter: adapter._item_is_included("read", "b"), False),
                (lambda adapter: set(adapter.until_of("edit")), {"a"}),
                (lambda adapter: adapter.count_items("edit"), 3),
            ):
                answer_or_refusal(lookup, permissions, answer, "being moved")
            before = whole.stored(SLOT)
            for write in (
                lambda: permissions.set_until("edit", "a", 2 * HOUR),
                lambda: permissions.exclude_item("edit", "a"),
                lambda: permissions.include_item("read", "b", until=HOUR),
            ):
                with pytest.raises(SourceUnavailable, match=r"being moved.*Nothing was written"):
                    write()
            assert whole.stored(SLOT) == before
        assert permissions.find_sections("a") == {"edit"}
        assert permissions.check() == []
        let_pass(permissions.db_connection, HOUR)
        assert permissions.get_section_items("edit") == {"staff", "admins"}
        assert permissions.find_sections("a") == set()


def answer_or_refusal(lookup, adapter, answer, reason):
    try:
        assert lookup(adapter) == answer
    except SourceUnavailable as error:
        assert reason in str(error)  # noqa: PT017


# What is said of lookups and of writes that are not refused.
RIGHT = {(False, None), (True, None)}


class Load:
    """Threads that look up and write until they are stopped, each knowing what is right."""

    def __init__(self, client):
        self.groups = RedisGroupAdapter(client, namespace=NAMESPACE)
        self.permissions = RedisPermissionAdapter(client, namespace=NAMESPACE)
        for adapter, source in ((self.groups, GROUPS), (self.permissions, PERMISSIONS)):
            for section, items in source.items():
                adapter.create_section(section)
                adapter.include_items(section, items)
        self.calls = []
        """When each call ended, in seconds, whether it was a write, and its refusal or `None`."""
        self.wrong = []
        self.may_lose_writes = False
        """Whether a primary may be lost that has confirmed what its replica does not know yet."""
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._look_up) for _ in range(2)]
        self._threads += [threading.Thread(target=self._write, args=(n,)) for n in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        servers.wait_until(lambda: {call[1:] for call in self.calls[:]} >= RIGHT)
        return self

    def __exit__(self, *exception):
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for_call(self):
        """Return when there has been another call."""
        number = len(self.calls)
        servers.wait_until(lambda: len(self.calls) > number)

    def check(self):
        """Let the load go on until nothing is refused any more, for as many calls."""
        before = len(self.calls)

        def is_over():
            latest = self.calls[before:][-100:]
            return len(latest) == 100 and {call[1:] for call in latest} == RIGHT

        servers.wait_until(is_over)
        self.__exit__()
        for is_write in (False, True):
            calls = [(when, refusal) for when, write, refusal in self.calls if write == is_write]
            right = [when for when, refusal in calls if refusal is None]
            refusals = [(when, refusal) for when, refusal in calls if refusal is not None]
            gaps = [late - early for early, late in pairwise(right)]
            reasons = Counter(re.sub(r"[(:].*?: ", ": ", str(refusal)) for _, refusal in refusals)
            logger.info(
                "%s: %d right, %d refused; longest outage %.2f s; %s",
                "writes" if is_write else "lookups",
                len(right),
                len(refusals),
                max(gaps),
                reasons,
            )
            assert {type(refusal) for _, refusal in refusals} <= {SourceUnavailable}
        assert self.wrong == []

    def _call(self, function, *arguments, is_write=False):
        """Return what is answered, and the refusal where there is one."""
        answer = refusal = None
        try:
            answer = function(*arguments)
        except AdapterError as error:
            refusal = error
        self.calls.append((time.monotonic(), is_write, refusal))
        time.sleep(0.003)
        return answer, refusal

    def _ask(self, expected, function, *arguments):
        answer, refusal = self._call(function, *arguments)
        if refusal is None and answer != expected:
            self.wrong.append((function.__name__, arguments, answer, expected))

    def _look_up(self):
        groups, permissions = self.groups, self.permissions
        while not self._is_over.is_set():
            self._ask({"staff"}, groups.find_sections, user("ada"))
            self._ask({"group 7"}, groups.find_sections, user("user 7"))
            self._ask(set(), groups.find_sections, user("mallory"))
            self._ask({"edit", "read"}, permissions.find_sections_many, ["staff", "admins"])
            self._ask({"edit"}, permissions.find_sections_many, ["admins", "visitors"])
            self._ask(set(), permissions.find_sections, "visitors")
            self._ask(GROUPS["staff"], groups.get_section_items, "staff")
            self._ask(PERMISSIONS, permissions.get_all_sections)

    def _write(self, number):
        """Change sections and items of one's own, and look at what comes of it."""
        sections, items = {f"{number} a", f"{number} b"}, {f"{number} x", f"{number} y"}
        at_random = random.Random(number)
        possible, earlier = [{}], deque(maxlen=3)
        while not self._is_over.is_set():
            if len(possible) > 1:
                answer, refusal = self._call(self.groups.get_all_sections)
                if refusal is not None:
                    continue
                found = {name: held for name, held in answer.items() if name in sections}
                if found not in possible:
                    self.wrong.append((found, possible))
                possible = [found]
            (source,) = possible
            for item in items:
                expected = {name for name, held in source.items() if item in held}
                self._ask(expected, self.groups.find_sections, user(item))
            operation, arguments, after = at_random.choice([*changes(source, sections, items)])
            _, refusal = self._call(getattr(self.groups, operation), *arguments, is_write=True)
            if refusal is None:
                possible = [after]
                earlier.append(source)
            else:
                possible = [source]
                if refusal.written is None:
                    possible.append(after)
                if self.may_lose_writes:
                    possible.extend(earlier)


def changes(source, sections, items):
    """Each write that can be made to *source*: its name, its arguments, and what is there then."""
    held_anywhere = set().union(*source.values())
    for section in sections - source.keys():
        yield "create_section", (section,), {**source, section: set()}
    for section, held in source.items():
        others = {name: held for name, held in source.items() if name != section}
        yield "delete_section", (section,), others
        yield "set_section_items", (section, items - held), {**others, section: items - held}
        if held != items:
            yield "include_items", (section, items - held), {**others, section: items}
        if held:
            yield "exclude_items", (section, held), {**others, section: set()}
        for new in sections - source.keys():
            yield "edit_section", (section, new), {**others, new: held}
    for item in held_anywhere:
        without = {name: held - {item} for name, held in source.items()}
        yield "remove_item", (item,), without
        for new in items - held_anywhere:
            renamed = {
                name: without[name] | ({new} if item in held else set())
                for name, held in source.items()
            }
            yield "rename_item", (item, new), renamed


class TestUnderLoad:
    @pytest.fixture
    def load(self, whole):
        client = whole.client(socket_timeout=2)
        before = state(client)
        with Load(client) as load:
            yield load
        assert state(client) == before
        client.close()

    @pytest.fixture(autouse=True)
    def in_step(self, whole, load):
        """Checks afterwards that the keys agree."""
        yield
        whole.wait_until_whole()
        stored = whole.stored(SLOT)
        assert sections(stored, b"groups").items() >= GROUPS.items()
        assert sections(stored) == PERMISSIONS
        assert load.groups.get_all_sections() == sections(stored, b"groups")
        assert load.groups.check() == load.permissions.check() == []

    def test_primary_hands_over(self, whole, load):
        replica = whole.replica(SLOT)
        replica.ask("CLUSTER", "FAILOVER")
        servers.wait_until(replica.is_primary)
        load.check()

    @pytest.mark.parametrize(
        ("lose", "recover"),
        [
            pytest.param(cluster.Node.kill, cluster.Node.resume, id="killed"),
            pytest.param(cluster.Node.freeze, cluster.Node.thaw, id="frozen"),
        ],
    )
    def test_primary_is_lost(self, whole, load, lose, recover):
        load.may_lose_writes = True
        with whole.without_primary(SLOT, lose, recover):
            load.check()

    def test_slot_moves(self, whole, load):
        for _ in whole.move(SLOT, whole.other_primary(SLOT)):
            load.wait_for_call()
        load.check()


def move_all(whole, target):
    for _ in whole.move(SLOT, target):
        pass
