"""What is raised when the server refuses: the right error, its cause, and what to do."""

import re
import shutil
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import pytest
import redis
from harness import cluster, servers
from harness.covering import covering_array
from harness.fake_server import FakeServer
from harness.operations import AFTER, ANSWERS, BEFORE, LOOKUPS, REVIEWS, WRITES, fill, restore
from redis.crc import key_slot

from repoze.what.adapters import AdapterError, SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.connection import exchange

RMS = {"repoze.what.userid": "rms"}
READS = LOOKUPS | REVIEWS
READ = ANSWERS | {name: [] for name in REVIEWS}
OPERATIONS = READS | WRITES
# Where an operation is done by another one, errors name that.
DONE_BY = {
    "find_sections_many": "find_sections",
    "include_item": "include_items",
    "exclude_item": "exclude_items",
}
GUEST = {"username": "guest", "password": "s3cret"}


@pytest.fixture
def own_server(executable):
    """A server that a test may spoil."""
    server = servers.RedisServer(executable, "--appendonly", "yes")
    let_in_guest(server)
    yield server
    server.stop()


def let_in_guest(server, *rules):
    rules = rules or ("~*", "&*", "+@all")
    server.client().execute_command("ACL", "SETUSER", "guest", "reset", "on", ">s3cret", *rules)


def check_refusal(operation, advice, kind=SourceError):
    with pytest.raises(SourceError, match=advice) as raised:
        operation()
    assert type(raised.value) is kind
    assert isinstance(raised.value.__cause__, redis.RedisError)
    return raised.value


@contextmanager
def configured(server, **settings):
    """Configure the *server* otherwise than it was."""
    client = server.client()
    names = [name.replace("_", "-") for name in settings]
    before = {name: client.config_get(name)[name] for name in names}
    for name, value in zip(names, settings.values(), strict=True):
        client.config_set(name, value)
    yield GUEST
    for name, value in before.items():
        client.config_set(name, value)


def out_of_memory(server):
    return configured(server, maxmemory=1)


def too_few_replicas(server):
    return configured(server, min_replicas_to_write=1)


@contextmanager
def too_many_clients(server):
    # The connection of what configures the server is there already.
    with configured(server, maxclients=1):
        yield GUEST


@contextmanager
def replica(server):
    server.client().replicaof(servers.HOST, server.port)
    yield GUEST
    server.client().replicaof("NO", "ONE")


@contextmanager
def replica_without_primary(server):
    with configured(server, replica_serve_stale_data="no"), replica(server):
        yield GUEST


@contextmanager
def disk_that_cannot_be_written(server):
    with configured(server, save="3600 1000000"):
        shutil.rmtree(server.folder)
        server.client().bgsave()
        servers.wait_until(
            lambda: server.client().info("persistence")["rdb_last_bgsave_status"] == "err"
        )
        yield GUEST


# Who connects without a login, also where the tests have one.
NOBODY = {"username": None, "password": None}


@contextmanager
def script_that_does_not_end(server):
    client = server.client()

    def keep_busy():
        with pytest.raises(redis.ResponseError, match=r"(?i)kill"):
            server.client(socket_timeout=60).eval("while true do end", 0)

    def is_busy():
        try:
            client.ping()
        except redis.ResponseError:
            return True
        return False

    with configured(server, lua_time_limit=10):
        busy = threading.Thread(target=keep_busy)
        busy.start()
        servers.wait_until(is_busy)
        yield GUEST
        client.script_kill()
        busy.join(60)


@contextmanager
def loading(server):
    client = server.client()
    if client.config_get("loading-process-events-interval-bytes"):
        # Some minutes of it, in which it looks with each key whether anybody asks.
        client.config_set("rdbcompression", "no")
        client.eval("for i = 1, 20000 do redis.call('SET', i, string.rep('x', 1024)) end", 0)
        client.save()
        slowly = ("--appendonly", "no", "--loading-process-events-interval-bytes", "1024")
        slowly += ("--key-load-delay", "5000")
    else:
        # Up to 6.2, it looks after a thousand commands; after one in ten it pauses.
        client.eval("for i = 1, 500000 do redis.call('SADD', 'others', i) end", 0)
        slowly = ("--key-load-delay", "-10")
    server.kill()
    server.resume(*slowly)
    yield {}
    server.kill()
    server.resume()
    servers.wait_until(lambda: not server.client().info("persistence")["loading"])


@contextmanager
def no_password(server):
    # Its connection stays logged in.
    client = server.client()
    client.config_set("requirepass", "pa55")
    yield {}
    client.config_set("requirepass", "")


@contextmanager
def wrong_password(server):
    yield {"username": "guest", "password": "wr0ng"}


@contextmanager
def forbidden_commands(server):
    let_in_guest(server, "~*", "+select", "+hello", "+client")
    yield GUEST


@contextmanager
def forbidden_keys(server):
    let_in_guest(server, "~others:*", "+@all")
    yield GUEST


ADDS = {"create_section", "include_items", "include_item", "set_section_items", "rename_item"}
PASSWORD = "Check the user name and the password"
PERMISSION = "Permit the command and the key, and on Valkey the database"


class Refusal(NamedTuple):
    """What a server that is brought to refuse *refused* answers them with."""

    bring_about: Callable
    advice: str
    kind: type = SourceError
    refused: Iterable[str] = tuple(OPERATIONS)


REFUSALS = {
    "OOM": Refusal(out_of_memory, "Raise its maxmemory", refused=ADDS),
    "READONLY": Refusal(replica, "client of the primary", refused=WRITES),
    "NOREPLICAS": Refusal(too_few_replicas, "min-replicas-to-write", refused=WRITES),
    "MISCONF": Refusal(disk_that_cannot_be_written, "cannot save", refused=WRITES),
    "BUSY": Refusal(script_that_does_not_end, "SCRIPT KILL may end it", SourceUnavailable),
    "LOADING": Refusal(loading, "try again when it has", SourceUnavailable),
    "MASTERDOWN": Refusal(replica_without_primary, "has lost its primary", SourceUnavailable),
    "maxclients": Refusal(too_many_clients, "maxclients", SourceUnavailable),
    "NOAUTH": Refusal(
        no_password, "refused it: it wants a password, and the client has none. Check"
    ),
    "WRONGPASS": Refusal(wrong_password, PASSWORD),
    "NOPERM, command": Refusal(forbidden_commands, PERMISSION),
    "NOPERM, key": Refusal(forbidden_keys, PERMISSION),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusal(own_server, options, reason):
    """Each operation says so, and nothing is left half done."""
    refusal = REFUSALS[reason]
    refused = refusal.refused
    fill(own_server.client(), **options)
    with refusal.bring_about(own_server) as settings:
        client = own_server.client(**{**NOBODY, **settings})
        adapter = RedisPermissionAdapter(client, **options)
        for name, operation in OPERATIONS.items():
            if name in refused:
                error = check_refusal(
                    lambda: operation(adapter),  # noqa: B023
                    re.escape(refusal.advice),
                    refusal.kind,
                )
                check_text(error, name, f"Redis at {servers.HOST}:{own_server.port}, database 2")
            elif name in READS:
                assert operation(adapter) == READ[name]
    source = RedisPermissionAdapter(own_server.client(), **options)
    assert {name: read(source) for name, read in READS.items()} == READ


def check_text(error, name, server):
    text = str(error)
    assert text.startswith(f"{DONE_BY.get(name, name)}(")
    assert server in text
    # Of a repair, a part may be done.
    assert error.written is (None if name == "repair" else False)
    assert ("Nothing was written." in text) == (name in WRITES)
    shown = "".join(traceback.format_exception(error))
    assert not re.search("s3cret|pa55|wr0ng", shown)


@pytest.mark.parametrize("name", ["delete_section", "exclude_items", "exclude_item", "remove_item"])
def test_rights_are_taken_away_where_memory_is_out(own_server, options, name):
    fill(own_server.client(), **options)
    adapter = RedisPermissionAdapter(own_server.client(), **options)
    with out_of_memory(own_server):
        WRITES[name](adapter)
        assert adapter.get_all_sections() == AFTER[name]
        for section in adapter.get_all_sections():
            adapter.delete_section(section)
        assert adapter.get_all_sections() == {}


def stored(client):
    """Every key, and its members where it is a set."""
    read = {b"set": client.smembers, b"string": client.get, b"stream": client.xrange}
    return {
        key: read[client.type(key)](key) for key in client.scan_iter() if not key.endswith(b":done")
    }


def test_key_that_is_no_set(server, options):
    """WRONGTYPE, for each key of the source in turn: nothing is half done, or granted besides."""
    source = RedisPermissionAdapter(server.client(), **options)
    raw = source.db_connection
    fill(server.client(), **options)
    refused = {}
    for key in stored(raw):
        for name, operation in OPERATIONS.items():
            raw.flushall()
            restore(source)
            spoil(raw, key)
            before = stored(raw)
            try:
                answer = operation(source)
            except AdapterError as error:
                assert stored(raw) == before, (key, name)
                if type(error) is SourceError:
                    refused[key, name] = error
                continue
            if name in LOOKUPS:
                assert is_part_of(answer, ANSWERS[name]), (key, name)
            assert stored(raw)[key] == before[key]
    for (_, name), error in refused.items():
        check_text(error, name, f"Redis at {servers.HOST}:{server.port}, database 2")
        assert "Rename or remove that key; check() finds it." in str(error)
        assert isinstance(error.__cause__, redis.ResponseError)
    assert len(refused) > len(OPERATIONS) or not options


def spoil(raw, key):
    """Have *key* hold what is of another type than belongs there."""
    is_string = raw.type(key) == b"string"
    raw.delete(key)
    if is_string:
        raw.sadd(key, "no string")
    else:
        raw.set(key, "no set")


def is_part_of(answer, whole):
    if isinstance(answer, dict):
        return all(set(items) <= set(whole[section]) for section, items in answer.items())
    return answer <= whole


def test_create_where_there_is_a_key_that_is_no_set(server):
    adapter = RedisPermissionAdapter(server.client())
    fill(server.client())
    adapter.db_connection.set("new", "no set")
    for name in ("create_section", "edit_section"):
        error = check_refusal(lambda: WRITES[name](adapter), "Rename or remove")  # noqa: B023
        check_text(error, name, f"Redis at {servers.HOST}:{server.port}, database 2")
    assert adapter.get_all_sections() == BEFORE


class TestNodeOfACluster:
    """Asked by a client that knows of no cluster, and so never goes where it is sent."""

    REFUSED = OPERATIONS.keys() - {"check"}

    def check_each(self, node, db, advice, kind, namespace="tests"):
        adapter = RedisPermissionAdapter(
            node.client(username="default", password="s3cret"), db, namespace=namespace
        )
        for name in self.REFUSED:
            error = check_refusal(lambda: OPERATIONS[name](adapter), advice, kind)  # noqa: B023
            check_text(error, name, f"Redis at {servers.HOST}:{node.port}, database {db}")

    @pytest.mark.parametrize("namespace", ["tests", "Redis.Cluster"])
    def test_slot_of_another_node(self, executable, namespace):
        """MOVED, whatever the source is called."""
        whole = cluster.running(executable)
        whole.empty()
        fill(whole.client(), namespace=namespace)
        other = whole.other_primary(key_slot(namespace.encode()))
        self.check_each(other, 0, "redis.RedisCluster", SourceError, namespace)
        source = RedisPermissionAdapter(whole.client(), namespace=namespace)
        assert {name: read(source) for name, read in READS.items()} == READ

    def test_database_that_a_cluster_does_not_have(self, executable):
        node = cluster.running(executable).nodes[0]
        self.check_each(node, 2, "redis.RedisCluster", SourceError)

    @pytest.mark.parametrize("db", [0, 1])
    def test_node_that_would_answer_with_its_share(self, executable, db):
        """CROSSSLOT, on the plain layout: a node of Valkey 9 may have several databases."""
        has_databases = "valkey" in servers.version(executable)
        if db and not has_databases:
            pytest.skip("there is no other database")
        options = ("--cluster-databases", "16") if has_databases else ()
        node = cluster.Node(executable, *options)
        node.ask("CLUSTER", "ADDSLOTS", *range(cluster.SLOTS))
        servers.wait_until(lambda: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"))
        node.client(db=db).sadd("edit", "staff")
        adapter = RedisPermissionAdapter(node.client(), db)
        # What reads one key alone is right on any node, or refused.
        for name in OPERATIONS.keys() - {"get_section_items"}:
            check_refusal(lambda: OPERATIONS[name](adapter), "redis.RedisCluster")  # noqa: B023
        assert adapter.get_section_items("edit") == {"staff"}
        node.stop()

    def test_cluster_that_is_down(self, executable):
        """CLUSTERDOWN."""
        node = cluster.Node(executable)
        self.check_each(node, 0, "Part of the cluster is down", SourceUnavailable)
        assert node.client().dbsize() == 0
        node.stop()


@pytest.fixture
def adapter(own_server, options):
    adapter = RedisGroupAdapter(own_server.client(), **options)
    adapter.create_section("admins")
    adapter.include_items("admins", ["rms", "ada"])
    return adapter


def test_user_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-@scripting", "-smembers"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest.find_sections(RMS), "server's ACL")
    check_refusal(lambda: guest.get_section_items("admins"), "server's ACL")
    check_refusal(lambda: guest.delete_section("admins"), "server's ACL.*Nothing was written")


def test_command_in_a_script_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-del", "-type", "-srem"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest.delete_section("admins"), "Nothing was written")
    assert not adapter._item_is_included("nobody", "rms")
    assert adapter._item_is_included("admins", "rms")


def test_item_lookup_without_the_permission(own_server, adapter, options):
    own_server.client().execute_command(
        "ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-sismember", "-type"
    )
    guest = RedisGroupAdapter(own_server.client(username="guest", password="guest"), **options)
    check_refusal(lambda: guest._item_is_included("admins", "rms"), "server's ACL")
    check_refusal(lambda: guest._section_exists("admins"), "server's ACL")


def test_database_without_the_permission(own_server, options):
    try:
        let_in_guest(own_server, "~*", "+@all", "db=1,2")
    except redis.ResponseError:
        pytest.skip("this server confines no user to databases")
    guest = own_server.client(**GUEST)
    for adapter in (RedisGroupAdapter(guest, **options), RedisPermissionAdapter(guest, **options)):
        adapter.create_section("admins")
        assert adapter.get_all_sections() == {"admins": set()}
    elsewhere = RedisGroupAdapter(guest, 3, **options)
    check_refusal(lambda: elsewhere.find_sections(RMS), f"access database. {PERMISSION}")


@pytest.mark.parametrize("protocol", [2, 3])
def test_password_that_the_client_lacks(own_server, protocol):
    """AUTH is wanted in other words where the first command is HELLO."""
    adapter = RedisGroupAdapter(own_server.client(protocol=protocol, **NOBODY))
    with no_password(own_server):
        check_refusal(lambda: adapter.find_sections(RMS), "wants a password, and the client has")


def test_reply_of_another_kind():
    with FakeServer(lambda words: b":7\r\n") as server:
        adapter = RedisGroupAdapter(
            redis.Redis(host=servers.HOST, port=server.port), namespace="tests"
        )
        check_refusal(lambda: adapter.find_sections(RMS), r"no sense: .*names were expected, not 7")


def test_more_arguments_than_redis_takes(adapter, monkeypatch, thorough):
    assert exchange.MOST_ARGUMENTS == 1_048_576
    if not thorough:
        monkeypatch.setattr(exchange, "MOST_ARGUMENTS", 1_000)
    most = exchange.MOST_ARGUMENTS
    with pytest.raises(SourceError, match=rf"{most:,} .* Nothing was sent"):
        adapter.include_items("admins", range(most))
    assert adapter.get_section_items("admins") == {"rms", "ada"}


def test_server_that_cannot_be_reached_in_time():
    with socket.create_server((servers.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        adapter = RedisGroupAdapter(redis.Redis(host=servers.HOST, port=port, socket_timeout=0.05))
        check_refusal(lambda: adapter.find_sections(RMS), "not answer in time", SourceUnavailable)
        check_refusal(lambda: adapter.create_section("a"), "in time", SourceUnavailable)


def test_password_is_never_shown():
    adapter = RedisGroupAdapter(
        redis.Redis.from_url(f"redis://rms:s3cret@{servers.HOST}:{servers.free_port()}/0")
    )
    with pytest.raises(SourceUnavailable) as raised:
        adapter.find_sections(RMS)
    assert "s3cret" not in f"{raised.value!r} {raised.value.__cause__!r} {adapter!r}"


COMMANDS = (
    *("evalsha", "eval", "type", "exists", "sismember", "smembers", "scard", "srandmember"),
    *("scan", "sscan", "smismember", "sunion", "sadd", "srem", "del", "rename"),
    *("zadd", "zrange", "zremrangebyrank", "zscore", "get", "set"),
)


@cache
def few():
    """The cases of a run that is not thorough."""
    return covering_array(["plain", "indexed"], WRITES, COMMANDS)


@pytest.fixture
def commands(name, options, thorough):
    """Those of `COMMANDS` that are forbidden in turn for the write *name*."""
    case = "indexed" if options else "plain", name
    return [command for command in COMMANDS if thorough or (*case, command) in few()]


@pytest.mark.parametrize("name", WRITES)
def test_command_without_the_permission_leaves_nothing_half_done(server, options, name, commands):
    """Whichever one command a user may not use, a write is done whole or not at all."""
    client = server.client()
    source = RedisPermissionAdapter(client, **options)
    guest = RedisPermissionAdapter(server.client(username="guest", password="guest"), **options)
    try:
        for command in commands:
            client.flushall()
            restore(source)
            client.execute_command(
                *("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~*", "+@all", f"-{command}")
            )
            refusal = None
            try:
                WRITES[name](guest)
            except SourceError as error:
                refusal = error
            assert refusal is None or "server's ACL" in str(refusal)
            assert refusal is None or refusal.written is False
            stored = source.get_all_sections()
            assert stored == (BEFORE if refusal else AFTER[name]), command
            for item in ("staff", "admins", "a", "b"):
                holding = {section for section, items in stored.items() if item in items}
                assert source.find_sections(item) == holding
            assert refusal or command != "evalsha"
    finally:
        client.execute_command("ACL", "DELUSER", "guest")
