"""Passwords are in no error, log, warning or description, whatever goes wrong."""

import io
import logging
import socketserver
import ssl
import threading
import traceback
import warnings
from contextlib import ExitStack, contextmanager

import pytest
import redis
import trustme
import webob
from cryptography.hazmat.primitives import serialization
from harness import cluster, servers
from harness.proxy import CUT_REPLY, GARBLE_REPLY, HOLD_REPLY, Proxy
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SlaveNotFoundError

from repoze.what.adapters import SourceError
from repoze.what.middleware import setup_auth
from repoze.what.plugins.redis import (
    CopyError,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    copy_sections,
)

PASSWORD = "s3cret-p4ssword"
WRONG_PASSWORD = "wr0ng-p4ssword"
SENTINEL_PASSWORD = "s3ntinel-p4ssword"
KEY_PASSWORD = "k3y-p4ssword"
USER = "us3r-name"
# It does not know the commands that a client logs in with.
WITHOUT_LOGIN = ("--rename-command", "AUTH", "", "--rename-command", "HELLO", "")
PASSWORDS = (PASSWORD, WRONG_PASSWORD, SENTINEL_PASSWORD, KEY_PASSWORD)


def everything_said(error):
    """What an error may be shown as, with those that led to it, suppressed or not."""
    pending, seen = [error], []
    while pending:
        error = pending.pop()
        if error is not None and error not in seen:
            seen.append(error)
            pending += [error.__cause__, error.__context__]
            yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
            yield from traceback.format_exception(error)
            yield from traceback.format_exception(error, chain=False)


def check(texts, secrets=PASSWORDS):
    texts = list(texts)
    assert any(texts)
    for text in texts:
        assert not any(secret in text for secret in secrets)


@pytest.fixture(autouse=True)
def listening(caplog):
    """Checks afterwards that nothing was logged or warned of, at any level, with a password."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said = [str(warning.message) for warning in caught]
    said += [caplog.handler.format(record) for record in caplog.records]
    check(["listened", *said])


# Each starts what is needed, and yields a client that is failed in its way.


@contextmanager
def guarded(executable, *rules):
    """A server with a user who may do nothing but what *rules* say."""
    server = servers.running(executable)
    client = server.client()
    client.flushall()
    client.execute_command(*("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", "~*", *rules))
    try:
        yield server
    finally:
        client.execute_command("ACL", "DELUSER", USER)


@contextmanager
def wrong_password(executable, folder, protocol=2):
    with guarded(executable) as server:
        yield server.client(username=USER, password=WRONG_PASSWORD, protocol=protocol)


def wrong_password_in_hello(executable, folder):
    return wrong_password(executable, folder, protocol=3)


@contextmanager
def wrong_password_in_a_url(executable, folder):
    with guarded(executable) as server:
        yield redis.Redis.from_url(
            f"redis://{USER}:{WRONG_PASSWORD}@{servers.HOST}:{server.port}/0?socket_timeout=60"
        )


@contextmanager
def wrong_password_of_a_provider(executable, folder):
    with guarded(executable) as server:
        provider = redis.UsernamePasswordCredentialProvider(USER, WRONG_PASSWORD)
        yield server.client(credential_provider=provider)


@contextmanager
def forbidden_commands(executable, folder):
    with guarded(executable, "+select", "+scan") as server:
        yield server.client(username=USER, password=PASSWORD)


@contextmanager
def forbidden_database(executable, folder):
    with guarded(executable) as server:
        yield server.client(username=USER, password=PASSWORD)


@contextmanager
def unknown_commands(executable, folder):
    """It quotes what it does not know, as it does where an operator has renamed AUTH."""
    server = servers.RedisServer(executable, *WITHOUT_LOGIN)
    try:
        yield server.client(username=USER, password=PASSWORD)
    finally:
        server.stop()


@contextmanager
def echoing(executable, folder, first=b"?"):
    """It is no Redis, and answers with what it is sent."""
    Echo.first = first
    with socketserver.ThreadingTCPServer((servers.HOST, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield redis.Redis(
            port=server.server_address[1], username=USER, password=PASSWORD, socket_timeout=60
        )
        server.shutdown()


def echoing_as_a_number(executable, folder):
    return echoing(executable, folder, b":")


def echoing_as_a_refusal(executable, folder):
    return echoing(executable, folder, b"-ERR what is that: ")


class Echo(socketserver.BaseRequestHandler):
    first: bytes

    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(self.first + data.replace(b"\r\n", b" ") + b"\r\n")


@contextmanager
def server_gone(executable, folder):
    port = servers.free_port()
    yield redis.Redis.from_url(f"redis://{USER}:{PASSWORD}@{servers.HOST}:{port}")


@contextmanager
def socket_gone(executable, folder):
    yield redis.Redis.from_url(f"unix://{USER}:{PASSWORD}@{folder}/redis.sock")


@contextmanager
def failing(executable, *faults, seconds=60):
    with guarded(executable, "+@all") as server, Proxy(server.port) as proxy:
        proxy.arm(*faults)
        yield redis.Redis(
            host=servers.HOST,
            port=proxy.port,
            username=USER,
            password=PASSWORD,
            socket_timeout=seconds,
        )


def connection_lost(executable, folder):
    return failing(executable, *[CUT_REPLY] * 20)


def late_reply(executable, folder):
    return failing(executable, *[HOLD_REPLY] * 20, seconds=0.05)


def garbled_reply(executable, folder):
    return failing(executable, *[GARBLE_REPLY] * 20)


WITHOUT_PAUSES = Retry(NoBackoff(), 0)


@contextmanager
def sentinel_gone(executable, folder):
    login = {"username": USER, "password": SENTINEL_PASSWORD, "retry": WITHOUT_PAUSES}
    manager = Sentinel([(servers.HOST, servers.free_port())], sentinel_kwargs=login)
    yield manager.master_for("staff", username=USER, password=PASSWORD)


@contextmanager
def behind_sentinel(executable, service, sentinel_password):
    with guarded(executable) as watched:
        watch = servers.sentinel(executable, watched)
        try:
            watch.client().execute_command(
                *("ACL", "SETUSER", USER, "reset", "on", f">{SENTINEL_PASSWORD}", "+@all")
            )
            login = {"username": USER, "password": sentinel_password, "retry": WITHOUT_PAUSES}
            manager = Sentinel([(servers.HOST, watch.port)], sentinel_kwargs=login)
            yield manager.master_for(service, username=USER, password=WRONG_PASSWORD)
        finally:
            watch.stop()


def sentinel_without_the_service(executable, folder):
    return behind_sentinel(executable, "nobody", SENTINEL_PASSWORD)


def wrong_password_of_sentinel(executable, folder):
    return behind_sentinel(executable, "staff", WRONG_PASSWORD)


def wrong_password_behind_sentinel(executable, folder):
    return behind_sentinel(executable, "staff", SENTINEL_PASSWORD)


@contextmanager
def certificate_that_is_not_trusted(executable, folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(servers.HOST).configure_cert(context)
    with guarded(executable) as server, Proxy(server.port, context) as proxy:
        yield redis.Redis(
            host=servers.HOST, port=proxy.port, username=USER, password=PASSWORD, ssl=True
        )


@contextmanager
def wrong_password_of_a_key(executable, folder):
    authority = trustme.CA()
    issued = authority.issue_cert("client.example.com")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    (folder / "client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(KEY_PASSWORD.encode()),
        )
    )
    issued.cert_chain_pems[0].write_to_path(folder / "client.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with guarded(executable) as server:
        yield server.client(
            username=USER,
            password=PASSWORD,
            ssl=True,
            ssl_ca_certs=str(folder / "ca.pem"),
            ssl_certfile=str(folder / "client.pem"),
            ssl_keyfile=str(folder / "client.key"),
            ssl_password=WRONG_PASSWORD,
        )


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (wrong_password, "password of the client"),
        (wrong_password_in_hello, "password of the client"),
        (wrong_password_in_a_url, "password of the client"),
        (wrong_password_of_a_provider, "password of the client"),
        (forbidden_commands, "server's ACL"),
        (forbidden_database, "server's ACL"),
        (unknown_commands, "refused it: unknown command"),
        (echoing, "makes no sense|cannot be reached"),
        (echoing_as_a_refusal, r"refused it: .*AUTH .*\*\*\*"),
        (echoing_as_a_number, "makes no sense|cannot be reached"),
        (server_gone, "cannot be reached"),
        (socket_gone, "cannot be reached"),
        (connection_lost, "cannot be reached"),
        (late_reply, "not answer in time"),
        (garbled_reply, "makes no sense"),
        (sentinel_gone, "No Sentinel knows"),
        (sentinel_without_the_service, "No Sentinel knows"),
        (wrong_password_of_sentinel, "No Sentinel knows|password"),
        (wrong_password_behind_sentinel, "password of the client"),
        (certificate_that_is_not_trusted, "(?i)certificate"),
        (wrong_password_of_a_key, "cannot be reached"),
    ],
)
def test_failure(executable, tmp_path, options, fail, reason):
    with fail(executable, tmp_path) as client:
        adapter = RedisGroupAdapter(client, **options)
        for ask in (
            lambda: adapter.find_sections({"repoze.what.userid": "rms"}),
            lambda: adapter.include_items("admins", ["rms"]),
            adapter.check,
        ):
            with pytest.raises(SourceError, match=reason) as raised:
                ask()
            assert raised.value.__cause__ is not None
            check(everything_said(raised.value))
        check_description(adapter, client)


def check_description(adapter, client):
    check([repr(adapter), str(adapter), adapter.place], [*PASSWORDS, USER])
    # What redis-py tells of its own client is for it to say.
    shown = [secret for secret in PASSWORDS if secret in repr(client)]
    check([repr(adapter.db_connection)], set(PASSWORDS) - set(shown))


@pytest.mark.parametrize("error", [MasterNotFoundError, SlaveNotFoundError])
def test_sentinel_that_is_quoted(options, error):
    """As redis-py 6.4 and 7.1 do: the error has the settings of the Sentinels in its text."""

    class TellingSentinel(Sentinel):
        def discover_master(self, service_name):
            raise error(f"No master found for {service_name!r}: password={SENTINEL_PASSWORD}")

    adapter = RedisGroupAdapter(TellingSentinel([]).master_for("staff"), **options)
    with pytest.raises(SourceError, match="No Sentinel knows") as raised:
        adapter.find_sections({"repoze.what.userid": "rms"})
    assert isinstance(raised.value.__cause__, error)
    check(everything_said(raised.value))


class TestCluster:
    @pytest.fixture
    def whole(self, executable):
        shared = cluster.running(executable)
        shared.empty()
        yield shared
        for node in shared.nodes:
            node.ask("ACL", "DELUSER", USER)

    @pytest.fixture
    def proxies(self, whole):
        with ExitStack() as stack:
            yield {node.port: stack.enter_context(Proxy(node.port)) for node in whole.nodes}

    @pytest.fixture
    def adapter(self, whole, proxies):
        self.let_in(whole, PASSWORD)
        client = whole.client(
            address_remap=lambda address: (address[0], proxies[address[1]].port),
            username=USER,
            password=PASSWORD,
        )
        adapter = RedisPermissionAdapter(client, namespace="tests")
        assert adapter.find_sections("staff") == set()
        check([repr(adapter), str(adapter), adapter.place], [*PASSWORDS, USER])
        yield adapter
        client.close()

    def let_in(self, whole, password, *rules):
        for node in whole.nodes:
            node.ask("ACL", "SETUSER", USER, "reset", "on", f">{password}", "~*", "+@all", *rules)
            node.ask("CLIENT", "KILL", "USER", USER)

    def check(self, adapter, reason):
        for ask in (
            lambda: adapter.find_sections("staff"),
            lambda: adapter.include_items("edit", ["staff"]),
        ):
            with pytest.raises(SourceError, match=reason) as raised:
                ask()
            check(everything_said(raised.value))

    def test_password_that_was_changed(self, whole, adapter):
        self.let_in(whole, WRONG_PASSWORD)
        self.check(adapter, "password of the client")

    def test_command_that_is_forbidden(self, whole, adapter):
        self.let_in(whole, PASSWORD, "-smembers", "-evalsha")
        self.check(adapter, "server's ACL")

    def test_nodes_that_are_gone(self, proxies, adapter):
        for proxy in proxies.values():
            proxy.lose_server()
        self.check(adapter, "cannot be reached")


class TestOptions:
    """What an adapter says of its other connections."""

    @pytest.fixture
    def server(self, executable):
        with guarded(executable, "+@all", "-bgsave", "-save", "-wait", "-scan") as server:
            yield server

    @pytest.fixture
    def client(self, server):
        return server.client(username=USER, password=PASSWORD)

    def test_replica(self, server, client, options):
        replica = redis.Redis.from_url(
            f"redis://{USER}:{WRONG_PASSWORD}@{servers.HOST}:{server.port}"
        )
        adapter = RedisGroupAdapter(client, read_from=replica, **options)
        check_description(adapter, client)
        with pytest.raises(SourceError, match="password of the client") as raised:
            adapter.find_sections({"repoze.what.userid": "rms"})
        check(everything_said(raised.value))
        with pytest.raises(CopyError) as raised:
            copy_sections(adapter, adapter)
        check(everything_said(raised.value))

    @pytest.mark.parametrize("save", ["background", "sync"])
    def test_saving(self, client, options, save, caplog):
        RedisGroupAdapter(client, **options, save=save).create_section("admins")
        assert "server's ACL" in caplog.text
        check([caplog.text])

    @pytest.mark.parametrize("is_known", [True, False], ids=["not permitted", "wrong password"])
    def test_near_cache(self, server, client, caplog, is_known):
        """Whose connection is refused, while that of lookups is there."""
        adapter = RedisPermissionAdapter(client, namespace="tests", near_cache=True)
        adapter.get_section_names()
        rules = ["-subscribe"] if is_known else ["resetpass", f">{WRONG_PASSWORD}"]
        server.client().execute_command("ACL", "SETUSER", USER, *rules)
        assert adapter.find_sections("staff") == set()
        reason = "permissions" if is_known else "password"
        assert reason in adapter.near_cache_info().distrusted
        assert "near cache" in caplog.text
        check([caplog.text, repr(adapter.near_cache_info())])
        check_description(adapter, client)

    def test_waiting(self, client, options):
        with pytest.raises(SourceError, match="took effect") as raised:
            RedisGroupAdapter(client, **options, wait_replicas=1).create_section("admins")
        check(everything_said(raised.value))


class TestWrongArguments:
    URL = f"redis://{USER}:{PASSWORD}@redis.example.com"

    @pytest.mark.parametrize(
        "client",
        [
            URL,
            URL.encode(),
            {"url": URL},
            redis.asyncio.Redis.from_url(URL),
            redis.ConnectionPool.from_url(URL),
            Sentinel([("sentinel.example.com", 26379)], sentinel_kwargs={"password": PASSWORD}),
        ],
        ids=lambda client: type(client).__name__,
    )
    @pytest.mark.parametrize("argument", ["client", "read_from"])
    def test_something_else_than_a_client(self, argument, client):
        arguments = {"client": redis.Redis(), argument: client}
        with pytest.raises(TypeError, match="client") as raised:
            RedisGroupAdapter(**arguments)
        check(everything_said(raised.value))

    def test_database(self):
        with pytest.raises(TypeError, match="number of a database") as raised:
            RedisGroupAdapter(redis.Redis.from_url(self.URL), db="1")
        check(everything_said(raised.value))

    def test_whole_database_of_a_client(self):
        """What is warned of is checked in the end, as for every test here."""
        client = redis.Redis.from_url(self.URL)
        check_description(RedisGroupAdapter(client, db=None), client)


@pytest.mark.parametrize("on_unavailable", ["raise", "refuse", "anonymous"])
def test_log_of_requests(on_unavailable, options):
    """With all that repoze.who and repoze.what can be made to log."""
    client = redis.Redis.from_url(f"redis://{USER}:{PASSWORD}@{servers.HOST}:{servers.free_port()}")
    log = io.StringIO()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    site = setup_auth(
        application,
        {"redis": RedisGroupAdapter(client, **options)},
        {"redis": RedisPermissionAdapter(client, **options)},
        skip_authentication=True,
        log_stream=log,
        log_level=logging.DEBUG,
        on_unavailable=on_unavailable,
    )
    request = webob.Request.blank("/", environ={"REMOTE_USER": "rms"})
    if on_unavailable == "raise":
        with pytest.raises(SourceError) as raised:
            request.get_response(site)
        check(everything_said(raised.value))
    else:
        answer = request.get_response(site)
        check([str(answer), repr(request.environ)])
    check([log.getvalue()])


def test_server_that_is_no_cluster(executable):
    server = servers.RedisServer(executable, *WITHOUT_LOGIN)
    try:
        with pytest.raises(SourceError) as raised:
            RedisGroupAdapter.from_url(
                f"redis+cluster://{USER}:{PASSWORD}@{servers.HOST}:{server.port}", namespace="tests"
            )
        check(["".join(traceback.format_exception(raised.value))])
    finally:
        server.stop()
