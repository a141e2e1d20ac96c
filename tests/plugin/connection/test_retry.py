"""What becomes of a question when its connection fails, at each point where it may."""

from queue import Empty
from ssl import SSLError

import pytest
import redis
from harness import servers
from harness.fake_server import FakeServer
from harness.operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, load_scripts, restore
from harness.proxy import CUT_REPLY, CUT_REQUEST, RESET_REQUEST, Action, Fault, Point, Proxy

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisPermissionAdapter


@pytest.fixture
def proxied(server, options):
    """A proxy, and an adapter that has a connection through it and its scripts loaded."""
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port, socket_timeout=30)
        adapter = RedisPermissionAdapter(client, **options)
        fill(client, **options)
        load_scripts(adapter)
        restore(adapter)
        yield proxy, adapter


@pytest.fixture
def source(server, options):
    """The source, past the proxy."""
    return RedisPermissionAdapter(server.client(), **options)


on_plain_layout = pytest.mark.parametrize("options", [{}], ids=["plain"])
on_indexed_layout = pytest.mark.parametrize("options", [{"namespace": "tests"}], ids=["indexed"])


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
def test_lookup_is_asked_again(proxied, name, fault):
    proxy, adapter = proxied
    proxy.arm(fault)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@pytest.mark.parametrize("handled", [IndexError, Empty, SSLError, redis.exceptions.ReadOnlyError])
def test_lookup_in_the_handler_of_an_error(proxied, handled):
    """Of one that redis-py's own errors arise from where they say something else."""
    proxy, adapter = proxied
    lookup, answer = LOOKUPS["find_sections"], ANSWERS["find_sections"]
    try:
        raise handled  # noqa: TRY301 - a lookup in its handler is what this is about
    except handled:
        proxy.arm(CUT_REPLY)
        assert lookup(adapter) == answer
        proxy.arm(CUT_REPLY, CUT_REPLY)
        with pytest.raises(SourceUnavailable, match="Is it running") as raised:
            lookup(adapter)
    assert isinstance(raised.value.__context__, handled)


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_is_asked_twice_at_most(proxied, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY, CUT_REPLY)
    with proxy.counted(2), pytest.raises(SourceUnavailable):
        LOOKUPS[name](adapter)
    assert LOOKUPS[name](adapter) == ANSWERS[name]


@on_plain_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_whose_reply_is_lost_has_an_unknown_outcome(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY)
    with proxy.counted(1), pytest.raises(SourceUnavailable, match="outcome is unknown") as raised:
        WRITES[name](adapter)
    assert raised.value.written is None
    assert isinstance(raised.value.__cause__, redis.ConnectionError)
    assert source.get_all_sections() == AFTER[name]


@on_plain_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_whose_request_is_lost_is_not_done(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REQUEST)
    with pytest.raises(SourceUnavailable) as raised:
        WRITES[name](adapter)
    assert raised.value.written is None
    assert source.get_all_sections() == BEFORE
    WRITES[name](adapter)
    assert source.get_all_sections() == AFTER[name]


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
def test_write_takes_effect_once(proxied, source, name, fault):
    proxy, adapter = proxied
    proxy.arm(fault)
    answer = WRITES[name](adapter)
    assert answer == ({"edit"} if name in {"remove_item", "rename_item"} else None)
    assert source.get_all_sections() == AFTER[name]


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_that_was_undone_is_not_done_again(proxied, source, name):
    proxy, adapter = proxied
    proxy.meanwhile = lambda: restore(source)
    proxy.arm(CUT_REPLY)
    with proxy.counted(2):
        WRITES[name](adapter)
    assert source.get_all_sections() == BEFORE


@on_indexed_layout
@pytest.mark.parametrize("name", WRITES)
def test_write_is_sent_twice_at_most(proxied, source, name):
    proxy, adapter = proxied
    proxy.arm(CUT_REPLY, CUT_REPLY, CUT_REPLY)
    with proxy.counted(2), pytest.raises(SourceUnavailable) as raised:
        WRITES[name](adapter)
    assert raised.value.written is None
    assert source.get_all_sections() == AFTER[name]


def lose_all(source):
    """What a server does that comes back with nothing."""
    source.db_connection.flushall()


def lose_writes(source):
    """What the time may do: where a server forgets writes by a clock, that clock may jump."""
    raw = source.db_connection
    raw.delete(*raw.scan_iter("{tests}:permissions:done*"))


def write_much(source):
    """What others may do while a client is suspended, whose own clock stands still."""
    for _ in range(1001):
        source.set_section_items("read", [])


@on_indexed_layout
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
@pytest.mark.parametrize("meanwhile", [lose_all, lose_writes, write_much])
def test_write_that_may_have_been_forgotten_is_not_done_again(proxied, source, fault, meanwhile):
    """However long it takes, and by which clock: what is revoked meanwhile stays revoked."""
    proxy, adapter = proxied

    def revoke():
        meanwhile(source)
        restore(source)

    proxy.meanwhile = revoke
    proxy.arm(fault)
    with proxy.counted(2 if fault is CUT_REPLY else 1), pytest.raises(SourceUnavailable) as raised:
        adapter.include_item("edit", "a")
    assert "FORGOTTEN" in str(raised.value)
    assert raised.value.written is None
    assert source.get_all_sections() == BEFORE
    adapter.include_item("edit", "a")
    assert source.get_all_sections() == AFTER["include_item"]


def test_server_that_forgets_at_once():
    """Its answer names a write to know of, which it does not know a moment later."""
    asked = []

    def answer(words):
        asked.append(words)
        return b"*2\r\n$9\r\nforgotten\r\n$5\r\ntoken\r\n"

    with FakeServer(answer) as server:
        client = redis.Redis(host=servers.HOST, port=server.port, socket_timeout=60)
        adapter = RedisPermissionAdapter(client, namespace="tests")
        with pytest.raises(SourceUnavailable, match=r"FORGOTTEN .* Nothing was written") as raised:
            adapter.create_section("edit")
    assert raised.value.written is False
    first, second = asked
    assert first[0] == second[0] == b"EVALSHA"
    # The token stays the same, and so a write that was done is not done again.
    assert first[4] == second[4]
    assert (first[5], second[5]) == (b"", b"token")


@on_indexed_layout
@pytest.mark.parametrize("meanwhile", [lambda _: None, lose_all, lose_writes, write_much])
def test_write_that_comes_late_is_not_done_again(server, source, meanwhile):
    """It was on its way when its connection was given up, and has been sent again since."""
    fill(server.client(), namespace="tests")
    source.include_item("edit", "a")
    source.exclude_item("edit", "a")
    with server.client().monitor() as monitor:
        source.include_item("edit", "a")
        commands = (monitor.next_command()["command"].split() for _ in range(10))
        late = next(command for command in commands if command[0] == "EVALSHA")
    meanwhile(source)
    restore(source)
    server.client(db=source.DB_NAME).execute_command(*late)
    assert source.get_all_sections() == BEFORE


@on_indexed_layout
def test_nothing_of_a_source_expires(source):
    """So no clock of the server has a part in what it knows of writes."""
    load_scripts(source)
    raw = source.db_connection
    assert {raw.ttl(key) for key in raw.scan_iter()} == {-1}


@on_indexed_layout
def test_number_of_writes_that_are_known_is_limited(source):
    write_much_in = [source.create_section, source.delete_section]
    for number in range(1200):
        write_much_in[number % 2]("new")
    raw = source.db_connection
    assert 1000 <= raw.zcard("{tests}:permissions:done") <= 1001


@on_indexed_layout
def test_first_write_asks_first_for_one_that_is_known(server, source):
    load_scripts(source)
    restore(source)
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port)
        adapter = RedisPermissionAdapter(client, namespace="tests")
        with proxy.counted(2):
            adapter.create_section("first")
        with proxy.counted(1):
            adapter.create_section("second")
        write_much(source)
        with proxy.counted(2):
            adapter.create_section("third")


@on_indexed_layout
@pytest.mark.parametrize("fault", [CUT_REQUEST, CUT_REPLY])
def test_first_write_takes_effect_once(proxied, source, fault):
    """It is lost before it has been told of another, and after."""
    proxy, _ = proxied
    for before in ([], [Fault(Action.DELAY, Point.BEFORE_REQUEST)]):
        client = redis.Redis(host="127.0.0.1", port=proxy.port, socket_timeout=30)
        first = RedisPermissionAdapter(client, namespace="tests")
        first.find_sections("staff")
        proxy.arm(*before, fault)
        first.include_item("edit", "a")
        assert source.get_all_sections() == AFTER["include_item"]
        restore(source)


def test_write_that_could_not_be_sent_is_sent_again(proxied, source):
    proxy, adapter = proxied
    # More than the socket's buffers hold, so that the sending side notices.
    items = {f"item {number:02000}" for number in range(5000)}
    proxy.arm(RESET_REQUEST)
    adapter.include_items("read", items)
    assert source.get_all_sections() == {**BEFORE, "read": items}


def test_write_that_could_not_be_sent_twice_was_not_done(proxied, source):
    proxy, adapter = proxied
    items = [f"item {number:02000}" for number in range(5000)]
    proxy.arm(RESET_REQUEST, RESET_REQUEST)
    with pytest.raises(SourceUnavailable, match="Nothing was written"):
        adapter.include_items("read", items)
    assert source.get_all_sections() == BEFORE


def kill_connections(server, options):
    server.client().client_kill_filter(_type="normal", skipme=True)


def restart(server, options):
    server.restart()
    # Another test may have had it save what it then held.
    server.client().flushall()
    fill(server.client(), **options)


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
@pytest.mark.parametrize("close", [kill_connections, restart])
def test_closed_idle_connection_is_replaced(server, source, options, name, close):
    fill(server.client(), **options)
    adapter = RedisPermissionAdapter(server.client(), **options)
    adapter.find_sections("staff")
    close(server, options)
    if name in LOOKUPS:
        assert LOOKUPS[name](adapter) == ANSWERS[name]
    else:
        WRITES[name](adapter)
        assert source.get_all_sections() == AFTER[name]


def test_connection_that_the_server_finds_idle_is_replaced(server):
    """On both layouts: no server does so before a second has passed."""
    layouts = {"plain": {"db": 2}, "indexed": {"db": 3, "namespace": "tests"}}
    sources = {
        layout: RedisPermissionAdapter(server.client(), **options)
        for layout, options in layouts.items()
    }
    adapters = {
        (layout, name): RedisPermissionAdapter(server.client(client_name="idle"), **options)
        for layout, options in layouts.items()
        for name in LOOKUPS | WRITES
    }
    for source in sources.values():
        restore(source)
    for adapter in adapters.values():
        adapter.find_sections("staff")
    client = server.client()
    client.config_set("timeout", 1)
    try:
        servers.wait_until(
            lambda: all(connected["name"] != "idle" for connected in client.client_list())
        )
    finally:
        client.config_set("timeout", 0)
    for (layout, name), adapter in adapters.items():
        if name in LOOKUPS:
            assert LOOKUPS[name](adapter) == ANSWERS[name]
        else:
            WRITES[name](adapter)
            assert sources[layout].get_all_sections() == AFTER[name]
            restore(sources[layout])


@pytest.mark.parametrize("name", LOOKUPS | WRITES)
def test_server_that_is_gone_is_said_to_be(options, name):
    client = redis.Redis(host="127.0.0.1", port=servers.free_port())
    adapter = RedisPermissionAdapter(client, **options)
    with pytest.raises(SourceUnavailable, match=rf"^{name[:7]}.* cannot be reached") as raised:
        (LOOKUPS | WRITES)[name](adapter)
    assert isinstance(raised.value.__cause__, redis.ConnectionError)


def test_server_that_goes_away_is_asked_for_twice(server):
    with Proxy(server.port) as proxy:
        adapter = RedisPermissionAdapter(redis.Redis(host="127.0.0.1", port=proxy.port))
        adapter.find_sections("staff")
        proxy.lose_server()
        before = proxy.connections
        with pytest.raises(SourceUnavailable):
            adapter.find_sections("staff")
        assert proxy.connections - before == 2


@pytest.mark.parametrize("name", ["find_sections", "create_section"])
def test_connection_that_could_not_be_made_is_made_again(server, options, name):
    fill(server.client(), **options)
    with Proxy(server.port) as proxy:
        client = redis.Redis(host="127.0.0.1", port=proxy.port)
        adapter = RedisPermissionAdapter(client, **options)
        proxy.arm(Fault(Action.CLOSE, Point.CONNECTING))
        (LOOKUPS | WRITES)[name](adapter)
        assert proxy.connections == 2
