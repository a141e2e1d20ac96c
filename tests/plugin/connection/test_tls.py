"""A server that speaks TLS and asks its clients for a certificate."""

import os
import re
import traceback
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
import redis
import trustme
from cryptography.hazmat.primitives import serialization
from harness import servers
from harness.operations import AFTER, ANSWERS, BEFORE, LOOKUPS, WRITES, fill, restore
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

LONG_AGO = {
    "not_before": datetime.now(UTC) - timedelta(days=9),
    "not_after": datetime.now(UTC) - timedelta(days=2),
}


@pytest.fixture(autouse=True)
def no_other_certificates(monkeypatch):
    """Whatever else the system trusts is read for each connection, which takes most of its time."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with certificates and their keys, each named for what it is."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    theirs.cert_pem.write_to_path(folder / "other-ca.pem")
    site = "site@example.com"
    issued = {
        "server": ours.issue_cert(servers.HOST),
        "server-elsewhere": ours.issue_cert("elsewhere.example"),
        "server-expired": ours.issue_cert(servers.HOST, **LONG_AGO),
        "site": ours.issue_cert(site),
        "site-expired": ours.issue_cert(site, **LONG_AGO),
        "site-of-another-ca": theirs.issue_cert(site),
    }
    for name, certificate in issued.items():
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    key = serialization.load_pem_private_key(issued["site"].private_key_pem.bytes(), None)
    (folder / "site-encrypted.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    return folder


class TLSServer(servers.RedisServer):
    """A server with another port, `tls_port`, where it lets nobody in without a certificate."""

    def __init__(self, executable, certificates, name):
        self.tls_port = servers.free_port()
        super().__init__(
            *(executable, "--tls-port", str(self.tls_port), "--tls-auth-clients", "yes"),
            *("--tls-ca-cert-file", str(certificates / "ca.pem")),
            *("--tls-cert-file", str(certificates / f"{name}.pem")),
            *("--tls-key-file", str(certificates / f"{name}.key")),
        )


@pytest.fixture(scope="module")
def serve(executable_with_tls, certificates):
    """Returns an empty server that has the certificate of a name."""

    @cache
    def start(name):
        return TLSServer(executable_with_tls, certificates, name)

    def serve(name):
        server = start(name)
        server.client().flushall()
        return server

    return serve


@pytest.fixture
def settings(certificates):
    """Makes the settings of a client that is let in, but for *changes*; files by their names."""

    def make(**changes):
        made = {
            "host": servers.HOST,
            "socket_timeout": 60,
            "ssl": True,
            # Up to redis-py 5 it does not, where nothing is said.
            "ssl_check_hostname": True,
            "ssl_ca_certs": "ca.pem",
            "ssl_certfile": "site.pem",
            "ssl_keyfile": "site.key",
            **changes,
        }
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            made[name] = made[name] and str(certificates / made[name])
        return made

    return make


@pytest.fixture
def connect(settings, options):
    """Makes an adapter from the port of a server and `settings`."""

    def make(port, **changes):
        return RedisPermissionAdapter(redis.Redis(port=port, **settings(**changes)), **options)

    return make


@pytest.fixture
def secured(serve, options):
    """A server that holds the source of `operations`."""
    server = serve("server")
    fill(server.client(), **options)
    return server


@pytest.fixture
def source(secured, options):
    """The source, past TLS."""
    return RedisPermissionAdapter(secured.client(), **options)


def test_every_operation(secured, source, connect):
    adapter = connect(secured.tls_port)
    assert {name: lookup(adapter) for name, lookup in LOOKUPS.items()} == ANSWERS
    for name, write in WRITES.items():
        write(adapter)
        assert source.get_all_sections() == AFTER[name]
        assert adapter.check() == []
        restore(source)


def test_database(secured, connect, settings, options):
    adapter = connect(secured.tls_port)
    assert adapter.get_all_sections() == BEFORE
    assert f"{servers.HOST}:{secured.tls_port}, database 2" in repr(adapter)
    assert adapter.db_connection.dbsize() == secured.client(db=2).dbsize() > 0
    groups = RedisGroupAdapter(redis.Redis(port=secured.tls_port, **settings()), **options)
    groups.create_section("staff")
    groups.include_item("staff", "rms")
    assert groups.find_sections({"repoze.what.userid": "rms"}) == {"staff"}
    assert secured.client(db=1).dbsize() > 0
    assert secured.client(db=0).dbsize() == 0


def test_connection_that_the_server_closed_is_replaced(secured, source, connect):
    adapter = connect(secured.tls_port)
    for name, operation in (LOOKUPS | WRITES).items():
        adapter.find_sections("staff")
        secured.client().client_kill_filter(_type="normal", skipme=True)
        answer = operation(adapter)
        if name in LOOKUPS:
            assert answer == ANSWERS[name]
        else:
            assert source.get_all_sections() == AFTER[name]
            restore(source)


def test_client_from_a_url(secured, options, settings):
    files = "&".join(f"{name}={value}" for name, value in settings().items() if "ssl_" in name)
    client = redis.Redis.from_url(f"rediss://{servers.HOST}:{secured.tls_port}/5?{files}")
    adapter = RedisPermissionAdapter(client, **options)
    assert adapter.get_all_sections() == BEFORE
    assert "site.key" not in repr(adapter)


def test_client_of_a_sentinel(secured, options, settings):
    class FixedSentinel(Sentinel):
        def discover_master(self, service_name):
            return servers.HOST, secured.tls_port

    without_host = {name: value for name, value in settings().items() if name != "host"}
    client = FixedSentinel([]).master_for("staff", **without_host)
    assert RedisPermissionAdapter(client, **options).get_all_sections() == BEFORE


def test_encrypted_key(secured, connect):
    encrypted = {"ssl_keyfile": "site-encrypted.key"}
    adapter = connect(secured.tls_port, ssl_password="s3cret", **encrypted)
    assert adapter.get_all_sections() == BEFORE
    assert "s3cret" not in repr(adapter)
    wrong = connect(secured.tls_port, ssl_password="wr0ng", **encrypted)
    check_refusals(wrong, r"\[SSL\] PEM lib|decrypt")
    secured.halt()
    # A connection is made anew, so the key is read again.
    check_refusals(adapter, "cannot be reached")
    secured.resume()
    assert adapter.get_all_sections() == {}


def check_refusals(adapter, reason):
    for name in ("find_sections", "get_all_sections", "include_items", "create_section"):
        with pytest.raises(SourceUnavailable, match=reason) as raised:
            (LOOKUPS | WRITES)[name](adapter)
        text = str(raised.value)
        assert text.startswith(f"{name}(")
        assert adapter.place in text
        assert raised.value.written is False
        assert isinstance(raised.value.__cause__, redis.RedisError)
        shown = "".join(traceback.format_exception(raised.value))
        assert not re.search(r"s3cret|wr0ng|PRIVATE KEY|\.key\b", shown)


@pytest.mark.parametrize("name", [None, "site-of-another-ca", "site-expired"])
def test_client_that_the_server_does_not_let_in(secured, source, connect, name):
    files = {"ssl_certfile": name and f"{name}.pem", "ssl_keyfile": name and f"{name}.key"}
    # What the server says of it may be lost when it closes the connection.
    check_refusals(connect(secured.tls_port, **files), r"(?i)certificate|reset by peer|broken pipe")
    assert source.get_all_sections() == BEFORE


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"ssl_keyfile": "site-expired.key"}, "key values mismatch"),
        ({"ssl_certfile": "nowhere.pem"}, "No such file"),
    ],
)
def test_files_that_cannot_be_used(secured, connect, files, reason):
    check_refusals(connect(secured.tls_port, **files), reason)


@pytest.mark.parametrize(
    ("name", "ca", "reason"),
    [
        ("server-elsewhere", "ca.pem", "not valid for '127.0.0.1'"),
        ("server-expired", "ca.pem", "certificate has expired"),
        ("server", "other-ca.pem", "certificate verify failed"),
    ],
)
def test_server_that_is_not_trusted(serve, connect, name, ca, reason):
    server = serve(name)
    check_refusals(connect(server.tls_port, ssl_ca_certs=ca), reason)
    assert server.client().info("keyspace") == {}


def test_client_without_tls(secured, source, options):
    client = redis.Redis(host=servers.HOST, port=secured.tls_port, socket_timeout=60)
    check_refusals(
        RedisPermissionAdapter(client, **options), r"cannot be reached: .* speak TLS there \(rediss"
    )
    assert source.get_all_sections() == BEFORE


def test_server_without_tls(secured, source, connect):
    """It waits for more of what it takes for a command."""
    check_refusals(connect(secured.port, socket_timeout=0.05), "did not answer in time")
    assert source.get_all_sections() == BEFORE
