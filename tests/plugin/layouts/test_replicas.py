"""Replicas: lookups that are asked of one, and writes that have to be confirmed by some."""

from contextlib import suppress

import fakeredis
import pytest
import redis
from harness import servers
from harness.operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, load_scripts, restore
from harness.proxy import CUT_REPLY, Action, Fault, Point, Proxy
from harness.servers import wait_until

from repoze.what.adapters import ItemPresentError, NonExistingSectionError, SourceUnavailable
from repoze.what.plugins.redis import (
    CopyError,
    RedisPermissionAdapter,
    TooFewReplicas,
    copy_sections,
)
from repoze.what.plugins.redis.layouts import replication


def catch_up(primary, replica):
    """Wait until *replica* has all that *primary* has."""
    primary_client, replica_client = primary.client(), replica.client()
    wait_until(lambda: replica_client.info("replication")["master_link_status"] == "up")
    offset = primary_client.info("replication")["master_repl_offset"]
    wait_until(lambda: replica_client.info("replication")["slave_repl_offset"] >= offset)


@pytest.fixture(scope="module")
def pair(executable):
    """A primary and its replica."""
    primary = servers.RedisServer(executable, "--repl-diskless-sync-delay", "0")
    replica = servers.RedisServer(executable, "--replicaof", servers.HOST, str(primary.port))
    catch_up(primary, replica)
    yield primary, replica
    replica.stop()
    primary.stop()


@pytest.fixture
def primary(pair, options):
    primary, replica = pair
    primary.client().flushall()
    fill(primary.client(), **options)
    catch_up(primary, replica)
    return primary


@pytest.fixture
def replica(pair, primary):
    return pair[1]


@pytest.fixture
def cut_off(primary, replica):
    """The replica, which gets no more of what is written until it is put back."""
    client = replica.client()
    client.config_set("replica-read-only", "no")
    client.replicaof("127.0.0.1", servers.free_port())
    yield replica
    client.config_set("replica-read-only", "yes")
    client.replicaof("127.0.0.1", primary.port)
    catch_up(primary, replica)


@pytest.fixture
def patiently(monkeypatch):
    """Wait for a confirmation that is to come, however slow the machine is."""
    monkeypatch.setattr(replication, "_SECONDS", 60)


@pytest.fixture
def briefly(monkeypatch):
    """Do not wait for a confirmation that cannot come."""
    monkeypatch.setattr(replication, "_SECONDS", 0.01)


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookups_are_asked_of_the_replica(primary, cut_off, options, name):
    adapter = RedisPermissionAdapter(primary.client(), read_from=cut_off.client(), **options)
    adapter.set_section_items("edit", ["a"])
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@pytest.mark.parametrize("name", WRITES)
def test_writes_look_at_the_primary_first(primary, cut_off, options, name):
    adapter = RedisPermissionAdapter(primary.client(), read_from=cut_off.client(), **options)
    RedisPermissionAdapter(cut_off.client(), **options).delete_section("edit")
    WRITES[name](adapter)
    source = RedisPermissionAdapter(primary.client(), **options)
    assert source.get_all_sections() == AFTER[name]


def test_base_class_checks_at_the_primary(primary, cut_off, options):
    RedisPermissionAdapter(cut_off.client(), **options).delete_section("edit")
    adapter = RedisPermissionAdapter(primary.client(), read_from=cut_off.client(), **options)
    assert adapter._section_exists("edit")
    assert adapter._item_is_included("edit", "staff")
    assert adapter.check() == []


def test_replica_gives_the_right_up_when_it_has_caught_up(primary, replica, options):
    adapter = RedisPermissionAdapter(primary.client(), read_from=replica.client(), **options)
    adapter.remove_item("staff")
    catch_up(primary, replica)
    assert adapter.find_sections("staff") == set()


@pytest.mark.parametrize("name", LOOKUPS)
def test_replica_that_is_told_to_answers_nothing_while_it_is_cut_off(
    primary, cut_off, options, name
):
    client = cut_off.client()
    client.config_set("replica-serve-stale-data", "no")
    try:
        adapter = RedisPermissionAdapter(primary.client(), read_from=client, **options)
        with pytest.raises(SourceUnavailable, match="lost its primary"):
            LOOKUPS[name](adapter)
    finally:
        client.config_set("replica-serve-stale-data", "yes")


def test_silence_of_the_primary_is_not_taken_for_its_consent(executable):
    """The settings of the manual, with a time-out that is shorter from when it is silent."""
    primary = servers.RedisServer(executable, "--repl-diskless-sync-delay", "0")
    replica = servers.RedisServer(
        executable,
        *("--replicaof", servers.HOST, str(primary.port), "--replica-serve-stale-data", "no"),
    )
    try:
        fill(primary.client())
        catch_up(primary, replica)
        adapter = RedisPermissionAdapter(primary.client(), read_from=replica.client())
        assert adapter.find_sections("staff") == {"edit"}
        primary.freeze()
        replica.client().config_set("repl-timeout", 1)
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "down")
        with pytest.raises(SourceUnavailable, match="lost its primary"):
            adapter.find_sections("staff")
    finally:
        primary.thaw()
        replica.stop()
        primary.stop()


@pytest.mark.parametrize("name", LOOKUPS)
def test_primary_is_not_asked_for_a_replica_that_is_gone(primary, options, name):
    gone = redis.Redis(host=servers.HOST, port=servers.free_port())
    adapter = RedisPermissionAdapter(primary.client(), read_from=gone, **options)
    with pytest.raises(SourceUnavailable, match=f"{gone.get_connection_kwargs()['port']}"):
        LOOKUPS[name](adapter)
    adapter.delete_section("edit")


def test_section_that_the_replica_lacks_is_said_to_be_missing_there(primary, replica, options):
    adapter = RedisPermissionAdapter(primary.client(), read_from=replica.client(), **options)
    with pytest.raises(NonExistingSectionError, match=rf"no section 'x' .*{replica.port}"):
        adapter.get_section_items("x")


def test_replica_is_read_in_the_database_of_the_primary(primary, replica):
    writer = RedisPermissionAdapter(primary.client(db=5), None, namespace="tests")
    writer.create_section("five")
    catch_up(primary, replica)
    for db in (None, 5):
        reader = RedisPermissionAdapter(
            primary.client(db=5), db, namespace="tests", read_from=replica.client(db=3)
        )
        assert reader.get_section_names() == {"five"}


def test_adapter_says_where_it_looks_things_up():
    client = redis.Redis(host="primary.example.com")
    adapter = RedisPermissionAdapter(client, read_from=redis.Redis(host="replica.example.com"))
    assert repr(adapter) == (
        "<RedisPermissionAdapter: Redis at primary.example.com:6379, database 2; "
        "lookups at Redis at replica.example.com:6379, database 2>"
    )


def test_what_a_replica_has_is_not_copied():
    client = fakeredis.FakeRedis()
    behind = RedisPermissionAdapter(client, read_from=client)
    for source, target in (
        (behind, RedisPermissionAdapter(client, 3)),
        (RedisPermissionAdapter(client, 3), behind),
    ):
        with pytest.raises(CopyError, match="without read_from"):
            copy_sections(source, target)


def test_only_a_client_can_be_read_from():
    with pytest.raises(TypeError):
        RedisPermissionAdapter(redis.Redis(), read_from="redis://replica.example.com")


@pytest.mark.usefixtures("patiently")
@pytest.mark.parametrize("name", WRITES)
def test_write_is_confirmed(primary, replica, options, name):
    adapter = RedisPermissionAdapter(primary.client(), wait_replicas=1, **options)
    WRITES[name](adapter)
    there = RedisPermissionAdapter(replica.client(), **options)
    assert there.get_all_sections() == AFTER[name]


@pytest.mark.usefixtures("briefly", "cut_off")
@pytest.mark.parametrize("name", WRITES)
def test_write_that_too_few_confirm_takes_effect(primary, options, name):
    adapter = RedisPermissionAdapter(primary.client(), wait_replicas=1, **options)
    with pytest.raises(TooFewReplicas, match=rf"^{name[:7]}.*took effect") as raised:
        WRITES[name](adapter)
    assert " 0 of its replicas confirmed it within 0.01 s" in str(raised.value)
    assert raised.value.written is True
    assert adapter.get_all_sections() == AFTER[name]
    assert adapter.check() == []


@pytest.mark.parametrize(
    ("socket_timeout", "milliseconds"), [(None, "1000"), (30, "1000"), (1.9, "950")]
)
def test_how_long_a_confirmation_is_waited_for(primary, socket_timeout, milliseconds):
    client = primary.client(socket_timeout=socket_timeout)
    with primary.client().monitor() as monitor:
        with suppress(TooFewReplicas):
            RedisPermissionAdapter(client, wait_replicas=1).create_section("new")
        asked = (message["command"] for message in monitor.listen())
        wait = next(command for command in asked if command.startswith("WAIT"))
    assert wait == f"WAIT 1 {milliseconds}"


def test_write_that_is_refused_is_not_waited_for(primary, cut_off, options):
    adapter = RedisPermissionAdapter(primary.client(), wait_replicas=1, **options)
    with pytest.raises(ItemPresentError):
        adapter.include_item("edit", "staff")


@pytest.mark.usefixtures("briefly", "cut_off")
def test_repair_is_confirmed(primary):
    client = primary.client()
    client.delete("{tests}:permissions:item:staff")
    fill(client, namespace="tests", db=0)
    adapter = RedisPermissionAdapter(client, 0, namespace="tests", wait_replicas=1)
    assert adapter.repair() == []
    client.delete("{tests}:permissions:item:staff")
    with pytest.raises(TooFewReplicas, match=r"^repair\(\)"):
        adapter.repair()
    assert adapter.check() == []


class CutBetweenQuestions(redis.Connection):
    """One that is cut off before its second `EVALSHA`, so that it cannot be sent."""

    left = 1

    def send_command(self, *command, **options):
        if str(command[0]).startswith("EVALSHA"):
            if CutBetweenQuestions.left == 0:
                CutBetweenQuestions.left = 10
                raise redis.ConnectionError("Connection reset by peer")
            CutBetweenQuestions.left -= 1
        return super().send_command(*command, **options)


@pytest.mark.usefixtures("patiently")
def test_repair_on_two_connections_is_not_taken_for_confirmed(primary, monkeypatch, options):
    """From Redis 7.0 on, WAIT on the second says nothing of what the first has written."""
    adapter = RedisPermissionAdapter(primary.client(), **options)
    load_scripts(adapter)
    restore(adapter)
    odd = ("{tests}:permissions:item:staff", "gone") if options else ("edit", "")
    primary.client(db=2).sadd(*odd)
    pool = redis.ConnectionPool(
        connection_class=CutBetweenQuestions, host=servers.HOST, port=primary.port
    )
    careful = RedisPermissionAdapter(redis.Redis.from_pool(pool), wait_replicas=1, **options)
    monkeypatch.setattr(CutBetweenQuestions, "left", 1)
    with pytest.raises(TooFewReplicas, match=r"repair\(\): .* that was written on was lost"):
        careful.repair()
    assert adapter.check() == []
    assert careful.repair() == []


def test_server_that_does_not_say_who_has_confirmed():
    # It knows no WAIT.
    adapter = RedisPermissionAdapter(fakeredis.FakeRedis(), wait_replicas=1)
    with pytest.raises(TooFewReplicas, match=r"took effect .* could not be asked") as raised:
        adapter.create_section("edit")
    assert raised.value.written is True
    assert isinstance(raised.value.__cause__, redis.ResponseError)
    assert adapter.get_all_sections() == {"edit": set()}


@pytest.fixture
def proxied(primary, patiently, options):
    """A proxy in front of the primary, and an adapter with a connection and its scripts."""
    with Proxy(primary.port) as proxy:
        client = redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=30)
        adapter = RedisPermissionAdapter(client, wait_replicas=1, **options)
        load_scripts(adapter)
        restore(adapter)
        yield proxy, adapter


@pytest.mark.parametrize("name", WRITES)
def test_write_takes_two_round_trips(proxied, name):
    proxy, adapter = proxied
    with proxy.counted(2):
        WRITES[name](adapter)


@pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])
@pytest.mark.parametrize("name", WRITES)
def test_write_that_was_sent_again_is_confirmed(proxied, primary, replica, options, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY)
    with proxy.counted(3):
        WRITES[name](adapter)
    there = RedisPermissionAdapter(replica.client(), **options)
    assert there.get_all_sections() == AFTER[name]


@pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])
def test_write_that_was_sent_again_is_waited_for(proxied, cut_off, briefly):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY)
    with proxy.counted(3), pytest.raises(TooFewReplicas):
        adapter.delete_section("edit")


def test_write_whose_confirmation_is_lost_took_effect(proxied):
    proxy, adapter = proxied
    proxy.arm(Fault(Action.DELAY, Point.BEFORE_REPLY), CUT_REPLY)
    with proxy.counted(2), pytest.raises(TooFewReplicas, match="could not be asked") as raised:
        adapter.delete_section("edit")
    assert isinstance(raised.value.__cause__, redis.ConnectionError)
    assert adapter.get_all_sections() == {"read": BEFORE["read"]}


@pytest.mark.parametrize("number", [-1, True, "1", 1.0, None])
def test_number_of_replicas_is_a_number(number):
    with pytest.raises((TypeError, ValueError), match="wait_replicas is a number"):
        RedisPermissionAdapter(redis.Redis(), wait_replicas=number)
