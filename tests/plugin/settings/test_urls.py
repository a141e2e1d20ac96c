"""Adapters from URLs: every form of them, their options, and what is wrong with others."""

import re
import traceback
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import redis
import trustme
from harness import cluster, servers
from redis.sentinel import SentinelConnectionPool

from repoze.what.adapters import SourceError, SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.settings.options import (
    OPTIONS,
    OPTIONS_OF_ADAPTERS,
    OPTIONS_OF_CLIENTS,
    OPTIONS_OF_SENTINELS,
    read_option,
    read_options,
)
from repoze.what.plugins.redis.settings.urls import read_url

RMS = {"repoze.what.userid": "rms"}
# One that would show anywhere: with each sign that means something in a URL.
PASSWORD = "s3cret/?#[]@:%&=+ é"


@pytest.fixture(autouse=True)
def _no_url_in_the_environment(monkeypatch):
    monkeypatch.delenv("REPOZE_WHAT_REDIS_URL", raising=False)


def settings_of(adapter):
    return adapter.db_connection.connection_pool.connection_kwargs


def use(adapter):
    """Write and read through *adapter*."""
    adapter.create_section("editors")
    adapter.include_item("editors", "rms")
    assert adapter.find_sections(RMS) == {"editors"}


def refused(url, error=ValueError, **options):
    """Return the one line that refuses *url*, and shows no password."""
    with pytest.raises(error) as raised:
        RedisGroupAdapter.from_url(url, **options)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    (line,) = str(raised.value).splitlines()
    return line


class TestForms:
    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("redis://db.example", "at db.example:6379, database 1"),
            ("redis://db.example/", "at db.example:6379, database 1"),
            ("REDIS://db.example:7000", "at db.example:7000, database 1"),
            ("  redis://db.example/3\n", "at db.example:6379, database 3"),
            ("redis://[::1]:7000/0", "at ::1:7000, database 0"),
            ("rediss://rms:s3cret@db.example", "at db.example:6379, database 1"),
            ("unix:///run/redis.sock", "at /run/redis.sock, database 1"),
            ("unix://:s3cret@/run/my%20redis.sock?db=4", "at /run/my redis.sock, database 4"),
            ("redis+sentinel://s1,s2:7000/staff", "service 'staff', database 1"),
            ("rediss+sentinel://s1:1, [::1]:2/my%20staff/5", "service 'my staff', database 5"),
            (
                "redis://db.example?namespace=site",
                "at db.example:6379, database 1, namespace 'site",
            ),
        ],
    )
    def test_place(self, url, place):
        """Nothing is sent: there is no such server."""
        assert f": Redis {place}" in repr(RedisGroupAdapter.from_url(url))

    def test_database_of_permissions(self):
        assert "database 2" in repr(RedisPermissionAdapter.from_url("redis://db.example"))

    def test_server(self, server, options):
        use(RedisGroupAdapter.from_url(f"redis://{servers.HOST}:{server.port}", **options))

    def test_unix_socket(self, server, options):
        use(RedisGroupAdapter.from_url(f"unix://{quote(server.unix_socket)}", **options))

    def test_subclass(self):
        class Editors(RedisGroupAdapter):
            DB_NAME = 9

        assert repr(Editors.from_url("redis://h")) == "<Editors: Redis at h:6379, database 9>"

    @pytest.mark.parametrize("form", ["redis://rms:{}@{}", "redis://{1}?password={0}&username=rms"])
    def test_password(self, server, form):
        client = server.client()
        client.acl_setuser(
            "rms", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"]
        )
        try:
            address = f"{servers.HOST}:{server.port}"
            use(RedisGroupAdapter.from_url(form.format(quote(PASSWORD, safe=""), address)))
            with pytest.raises(SourceError, match="Check the user name and the password") as raised:
                RedisGroupAdapter.from_url(f"redis://rms:s3cret@{address}").find_sections(RMS)
            assert "s3cret" not in str(raised.value)
        finally:
            client.acl_deluser("rms")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in (servers.HOST, "elsewhere.example"):
        certificate = authority.issue_cert(name)
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder


@pytest.fixture
def address(executable_with_tls, authority, request):
    """The address of a server whose certificate is for the host that a test names."""
    host = getattr(request, "param", servers.HOST)
    port = servers.free_port()
    certificate = str(authority / f"{host}.pem")
    server = servers.RedisServer(
        *(executable_with_tls, "--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", certificate, "--tls-key-file", certificate),
        *("--tls-ca-cert-file", str(authority / "ca.pem")),
    )
    yield f"{servers.HOST}:{port}"
    server.stop()


class TestTLS:
    def test_server(self, address, authority, options):
        ca = quote(str(authority / "ca.pem"))
        use(RedisGroupAdapter.from_url(f"rediss://{address}?ssl_ca_certs={ca}", **options))
        with pytest.raises(SourceUnavailable, match="certificate verify failed"):
            RedisGroupAdapter.from_url(f"rediss://{address}").find_sections(RMS)

    @pytest.mark.parametrize("address", ["elsewhere.example"], indirect=True)
    def test_certificate_of_another_host(self, address, authority):
        """It is refused by default, whichever redis-py there is."""
        url, ca = f"rediss://{address}", authority / "ca.pem"
        with pytest.raises(SourceUnavailable, match="certificate verify failed"):
            RedisGroupAdapter.from_url(url, ssl_ca_certs=ca).find_sections(RMS)
        trusting = {"ssl_ca_certs": ca, "ssl_check_hostname": "off"}
        assert RedisGroupAdapter.from_url(url, **trusting).find_sections(RMS) == set()
        unchecked = RedisGroupAdapter.from_url(f"{url}?ssl_cert_reqs=none")
        assert unchecked.find_sections(RMS) == set()


@pytest.fixture(scope="module")
def service(executable):
    """The address of a Sentinel with a password; that of the primary is another."""
    primary = servers.RedisServer(executable, "--requirepass", "s3cret-1")
    port = servers.free_port()
    settings = Path(primary.folder) / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor staff {servers.HOST} {primary.port} 1\n"
        "sentinel auth-pass staff s3cret-1\n"
        "requirepass s3cret-2\n"
    )
    sentinel = servers.RedisServer(executable, str(settings), "--sentinel", port=port)
    yield f"{servers.HOST}:{port}"
    sentinel.stop()
    primary.stop()


class TestSentinel:
    def test_service(self, service, options):
        """A Sentinel that is down is passed over at once."""
        adapter = RedisGroupAdapter.from_url(
            f"redis+sentinel://:s3cret-1@{servers.HOST}:1,{service}/staff/7",
            sentinel_password="s3cret-2",
            **options,
        )
        use(adapter)
        adapter.delete_section("editors")

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("redis+sentinel://:s3cret-1@{}/staff", "No Sentinel knows where"),
            (
                "redis+sentinel://:s3cret-1@{}/nobody?sentinel_password=s3cret-2",
                "No Sentinel knows",
            ),
            ("redis+sentinel://:s3cret@{}/staff?sentinel_password=s3cret-2", "Check the user name"),
        ],
    )
    def test_wrong_password(self, service, url, message):
        adapter = RedisGroupAdapter.from_url(url.format(service))
        with pytest.raises(SourceError, match=message) as raised:
            adapter.find_sections(RMS)
        assert "s3cret" not in "".join(traceback.format_exception(raised.value))

    @pytest.mark.parametrize("scheme", ["redis+sentinel", "rediss+sentinel"])
    def test_settings(self, scheme):
        """The Sentinels are asked as the server is, but for user and password, and once."""
        pool = RedisGroupAdapter.from_url(
            f"{scheme}://rms:s3cret@s1,[::1]:7000/staff?socket_timeout=9&client_name=site"
            "&sentinel_username=watch&sentinel_password=s3cret-2"
        ).db_connection.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        assert pool.is_master
        is_encrypted = scheme.startswith("rediss")
        assert issubclass(pool.connection_class, redis.SSLConnection) is is_encrypted
        assert pool.connection_kwargs["username"] == "rms"
        assert pool.connection_kwargs["password"] == "s3cret"
        assert pool.connection_kwargs["socket_timeout"] == 9
        asked = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]
        assert [
            (pool.connection_kwargs["host"], pool.connection_kwargs["port"]) for pool in asked
        ] == [("s1", 26379), ("::1", 7000)]
        for of_sentinel in asked:
            settings = of_sentinel.connection_kwargs
            assert (settings["username"], settings["password"]) == ("watch", "s3cret-2")
            assert (settings["socket_connect_timeout"], settings["socket_timeout"]) == (1, 9)
            assert settings["client_name"] is None
            assert of_sentinel.make_connection().retry._retries == 0
            assert issubclass(of_sentinel.connection_class, redis.SSLConnection) is is_encrypted

    def test_any_replica(self):
        adapter = RedisGroupAdapter.from_url("redis+sentinel://s1/staff/3?read_from=replica")
        assert repr(adapter) == (
            "<RedisGroupAdapter: Redis service 'staff', database 3; "
            "lookups at Redis a replica of service 'staff', database 3>"
        )

    def test_replica_of_a_url(self):
        adapter = RedisGroupAdapter.from_url(
            "redis://db.example", read_from="redis+sentinel://s1/staff"
        )
        assert "lookups at Redis a replica of service 'staff', database 1" in repr(adapter)


class TestCluster:
    def test_cluster(self, executable):
        nodes = cluster.running(executable)
        nodes.empty()
        addresses = [f"{servers.HOST}:1", *(f"{servers.HOST}:{node.port}" for node in nodes.nodes)]
        url = f"redis+cluster://{','.join(addresses)}/0?namespace=site"
        use(RedisGroupAdapter.from_url(url))
        nodes.empty()
        for elsewhere in ("1?namespace=site", ""):
            with pytest.raises(ValueError, match="give the adapter a namespace and no db"):
                RedisGroupAdapter.from_url(f"redis+cluster://{addresses[1]}/{elsewhere}")
        with pytest.raises(ValueError, match="On a Redis Cluster read_from is not possible"):
            RedisGroupAdapter.from_url(url, read_from="redis://db.example")

    def test_that_is_down(self):
        line = refused(f"redis+cluster://:s3cret@{servers.HOST}:1,[::1]:1", SourceUnavailable)
        assert line.startswith(f"connect(): redis+cluster://{servers.HOST}:1,[::1]:1 cannot be rea")

    def test_that_is_none(self, server):
        url = f"redis+cluster://{servers.HOST}:{server.port}"
        assert refused(url, SourceError).endswith("a server by itself: write redis:// instead.")

    def test_wrong_password(self, server):
        url = f"redis+cluster://nobody:s3cret@{servers.HOST}:{server.port}"
        assert "Check the user name and the password of the client." in refused(url, SourceError)

    def test_encrypted(self, address, authority):
        url = f"rediss+cluster://{address}"
        assert "certificate verify failed" in refused(url, SourceUnavailable)
        line = refused(url, SourceError, ssl_ca_certs=authority / "ca.pem")
        assert line == (
            f"{url} is not a Redis Cluster, but a server by itself: write rediss:// instead."
        )

    @pytest.mark.parametrize("name", ["ssl_validate_ocsp", "sentinel_password"])
    def test_option_that_it_would_ignore(self, name):
        """`redis.RedisCluster` drops what it does not know."""
        line = refused("rediss+cluster://h", **{name: "1"})
        assert line.startswith(
            f"With rediss+cluster:// there is no option '{name}'. There are db, "
        )


class TestOptions:
    def test_time_outs_where_nothing_is_said(self):
        settings = settings_of(RedisGroupAdapter.from_url("redis://h"))
        assert (settings["socket_connect_timeout"], settings["socket_timeout"]) == (1, 2)

    @pytest.mark.parametrize(
        ("text", "value"), [("0.5", 0.5), ("3", 3), ("none", None), (None, None), (7, 7)]
    )
    def test_time_out(self, text, value):
        settings = settings_of(RedisGroupAdapter.from_url("redis://h", socket_timeout=text))
        assert settings["socket_timeout"] == value

    @pytest.mark.parametrize("form", ["query", "text", "value"])
    def test_every_option(self, server, form):
        options = {
            "db": 4,
            "namespace": "site",
            "writable": False,
            "wait_replicas": 1,
            "save": "background",
            "save_every": 5,
            "read_from": "redis://:s3cret@replica.example:7000?socket_timeout=4",
            "client_name": "a b",
            "socket_timeout": 2.5,
            "socket_connect_timeout": 1.5,
            "socket_keepalive": True,
            "max_connections": 5,
            "protocol": 3,
            "decode_responses": False,
            "encoding": "latin-1",
            "encoding_errors": "replace",
        }
        texts = {name: str(value) for name, value in options.items()}
        url = "redis://h?" + urlencode(texts, quote_via=quote)
        adapter = {
            "query": lambda: RedisGroupAdapter.from_url(url),
            "text": lambda: RedisGroupAdapter.from_url("redis://h", **texts),
            "value": lambda: RedisGroupAdapter.from_url("redis://h", **options),
        }[form]()
        assert repr(adapter) == (
            "<RedisGroupAdapter: Redis at h:6379, database 4, namespace 'site'; "
            "lookups at Redis at replica.example:7000, database 4, namespace 'site'>"
        )
        assert not adapter.is_writable
        assert adapter.db_connection.connection_pool.max_connections == 5
        settings = settings_of(adapter)
        for name in list(options)[7:]:
            if name != "max_connections":
                assert settings[name] == options[name]
                assert type(settings[name]) is type(options[name])

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            # Each is one that the adapter itself complains of.
            ({"save_every": 2}, "save_every says after how many writes to save: say how"),
            ({"wait_replicas": -1}, "wait_replicas is a number from 0"),
            ({"db": -1}, "db is the number of a database, from 0, not -1"),
        ],
    )
    def test_option_of_the_adapter(self, option, message):
        assert message in refused("redis://h", **option)
        assert message in refused(f"redis://h?{urlencode(option)}")

    @pytest.mark.parametrize("text", ["true", "Yes", "ON", "1"])
    def test_true(self, text):
        assert RedisGroupAdapter.from_url(f"redis://h?writable={text}").is_writable

    @pytest.mark.parametrize("text", ["false", "No", "OFF", "0"])
    def test_false(self, text):
        assert not RedisGroupAdapter.from_url(f"redis://h?writable={text}").is_writable

    def test_what_is_said_apart_counts(self):
        adapter = RedisGroupAdapter.from_url(
            "redis://rms:s3cret@h/3?namespace=a&socket_timeout=9",
            db=4,
            namespace="b",
            password="other",
            socket_timeout=None,
        )
        assert repr(adapter) == "<RedisGroupAdapter: Redis at h:6379, database 4, namespace 'b'>"
        settings = settings_of(adapter)
        assert (settings["username"], settings["password"]) == ("rms", "other")
        assert settings["socket_timeout"] is None

    def test_none_is_that_nothing_is_said(self):
        adapter = RedisGroupAdapter.from_url(
            "redis://h/3?namespace=a", db=None, namespace=None, writable=None, save=None
        )
        assert repr(adapter) == "<RedisGroupAdapter: Redis at h:6379, database 3, namespace 'a'>"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("writable=maybe", "writable is true or false."),
            ("decode_responses=", "decode_responses is true or false."),
            ("db=three", "db is a number."),
            ("max_connections=1.5", "max_connections is a number."),
            ("save=later", "save is background or sync."),
            ("protocol=1", "protocol is 2 or 3."),
            ("near_cache=some", "near_cache is true, false or a number from 2."),
            ("near_cache=" + "9" * 5000, "near_cache is true, false or a number from 2."),
            ("max_age=none", "max_age is a number of seconds above 0."),
            ("namespace=my site", "namespace is letters, digits and _ . : -."),
            ("encoding=nonsense", "encoding is the name of an encoding that Python knows."),
            ("encoding=%00", "encoding is the name of an encoding that Python knows."),
            (
                "encoding_errors=x",
                "encoding_errors is the name of a way to handle errors that Pyth",
            ),
            ("client_name=", "client_name is empty: leave it out, or give it a value."),
            *(
                (f"socket_timeout={text}", "socket_timeout is a number of seconds above 0, or none")
                for text in ("0", "-1", "soon", "nan", "inf", "")
            ),
        ],
    )
    def test_value_that_makes_no_sense(self, text, message):
        name, _, value = text.partition("=")
        assert message in refused(f"redis://h?{text}")
        assert message in refused("redis://h", **{name: value})

    def test_near_cache(self):
        options = {"near_cache": "500", "max_staleness": " 2 ", "max_age": "0.5"}
        assert read_options(options) == {"near_cache": 500, "max_staleness": 2, "max_age": 0.5}
        assert read_options({"near_cache": "1"}) == {"near_cache": True}

    def test_line_that_is_indented(self):
        """In an ini file it belongs to the option before it, and is no option of its own."""
        told = []
        for name in OPTIONS:
            try:
                read_option(name, "1\npassword = s3cret")
            except ValueError as error:
                told.append(str(error))
        assert len(told) > 10
        assert "s3cret" not in " ".join(told)

    @pytest.mark.parametrize("value", [b"s3cret", ["s3cret"], object()])
    def test_value_that_is_no_text(self, value):
        line = refused("redis://h", TypeError, password=value)
        assert line.startswith("password is text, not an object of type ")

    @pytest.mark.parametrize(
        ("scheme", "name"),
        [
            ("redis", "sokcet_timeout"),
            ("redis", "retry_on_timeout"),
            ("redis", "ssl_ca_certs"),
            ("redis", "sentinel_password"),
            ("redis", "host"),
            ("redis+sentinel", "service"),
            ("redis+cluster", "ssl_ca_certs"),
        ],
    )
    def test_unknown(self, scheme, name):
        url = f"{scheme}://h/staff" if scheme == "redis+sentinel" else f"{scheme}://h"
        if name != "service":
            line = refused(f"{url}?db=1&{name}=1")
            assert line.startswith(
                f"With {scheme}:// there is no such option as number 2 of those after the ?."
            )
            assert " There are db, namespace, " in line
        line = refused(url, **{name: "1"})
        assert line.startswith(f"With {scheme}:// there is no option '{name}'. There are db, names")
        assert "socket_timeout" in line

    def test_unknown_to_a_unix_socket(self):
        line = refused("unix:///run/x?socket_keepalive=yes")
        assert "With unix:// there is no such option as number 1" in line

    def test_password_with_an_ampersand(self):
        """What follows on it may be taken for an option, or for the value of one."""
        for url in (
            "redis://h?password=s3&cret=",
            "redis://h?password=one&s3cret=two",
            "redis://h?password=one&s3cret",
            "redis://h?password=one&s3cret=two&s3cret=three",
            "redis://h?password=one&db=s3cret",
            "redis://h?password=one&socket_timeout=s3cret",
            "redis+sentinel://h/x?password=one&service=s3cret",
        ):
            assert not re.search("s3|cret", refused(url))

    def test_misspelt(self):
        assert " Do you mean writable? " in refused("redis://h?writeable=false")


class TestReadFrom:
    def test_its_own_settings(self, server, options):
        """It has those of its URL, and time-outs; the database is the primary's."""
        url = f"redis://{servers.HOST}:{server.port}/5"
        writer = RedisGroupAdapter.from_url(url, **options)
        reader = RedisGroupAdapter.from_url(
            f"redis://{servers.HOST}:1/5?read_from={quote(url.removesuffix('/5'))}", **options
        )
        writer.create_section("editors")
        writer.include_item("editors", "rms")
        assert reader.find_sections(RMS) == {"editors"}
        writer.delete_section("editors")

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("replica", "read_from has to begin with redis://"),
            ("http://:s3cret@h", "read_from has to begin with redis://"),
            (
                "redis://:s3cret@",
                "read_from does not name the host. Write redis://[user:password@]",
            ),
            ("redis://h/3", "db is not for read_from: leave it out of that URL."),
            ("redis://h?namespace=x", "namespace is not for read_from"),
            ("redis+cluster://h", "read_from cannot be a Redis Cluster."),
            ("redis://h?speed=high", "With redis:// there is no such option as number 1 of"),
        ],
    )
    def test_wrong_url(self, url, message):
        assert refused("redis://h", read_from=url).startswith(message)
        assert refused(f"redis://h?read_from={quote(url, safe='')}").startswith(message)


class TestWrongURL:
    @pytest.mark.parametrize(
        "url", ["localhost:6379", "http://:s3cret@h", "s3cret", "", "redis:/h", "sentinel://h"]
    )
    def test_scheme(self, url):
        assert refused(url) == (
            "The URL has to begin with redis://, rediss://, unix://, redis+sentinel://, "
            "rediss+sentinel://, redis+cluster:// or rediss+cluster://, as redis://localhost:6379 "
            "does."
        )

    @pytest.mark.parametrize(
        ("url", "problem", "form"),
        [
            ("redis://", "does not name the host", "redis://[user:password@]host[:port][/db]"),
            ("rediss:///1", "does not name the host", "rediss://[user:password@]host[:port][/db]"),
            ("redis://:s3cret@", "does not name the host", "redis://"),
            ("redis://h:s3cret", "has a port that is no number", "redis://"),
            ("redis://h:70000", "has a port that is no number", "redis://"),
            ("redis://::1:6379", "or an IPv6 address that is not in brackets", "redis://"),
            ("redis://[::1", "or an IPv6 address that is not in brackets", "redis://"),
            ("redis://:s3/cret@h", "/ is written %2F, ? is %3F, # is %23 and @ is %40", "redis://"),
            ("redis://:s3?cret@h", "/ is written %2F, ? is %3F, # is %23 and @ is %40", "redis://"),
            ("redis://:s3#cret@h", "/ is written %2F, ? is %3F, # is %23 and @ is %40", "redis://"),
            ("redis://:s3[cret@h", "has a user or a password that is malformed", "redis://"),
            ("redis://:s3℀cret@h", "has a user or a password that is malformed", "redis://"),
            ("redis://h1,h2", "has several hosts", "redis://"),
            ("redis://h/1/2", "has too many names after the host", "redis://"),
            ("redis://h?s3cret", "has a query that is not name=value&name=value", "redis://"),
            ("redis://h/1?db=1", "says db twice", "redis://"),
            ("redis://h?namespace=a&namespace=b", "says namespace twice", "redis://"),
            ("redis://:s3cret@h?password=s3cret", "says password twice", "redis://"),
            (
                "unix://",
                "does not have the path of a socket",
                "unix://[user:password@]/path/of/sock",
            ),
            ("unix://run/redis.sock", "does not have the path of a socket", "unix://"),
            (
                "redis+sentinel://:s3cret@h1,h2",
                "does not name the service that the Sentinels watch",
                "redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]",
            ),
            ("redis+sentinel://h1/a/1/2", "has too many names", "redis+sentinel://"),
            ("redis+sentinel://h1,/staff", "does not name the host", "redis+sentinel://"),
            (
                "redis+cluster://",
                "does not name",
                "redis+cluster://[user:password@]host[:port],host",
            ),
        ],
    )
    def test_rest(self, url, problem, form):
        line = refused(url)
        assert line.startswith("The URL ")
        assert problem in line
        assert f". Write {form}" in line

    def test_database_that_is_no_number(self):
        assert refused("redis://h/staff") == "db is a number."

    def test_read_one(self):
        """Debuggers and error trackers show variables."""
        url = read_url("redis://:s3cret@h?read_from=redis%3A%2F%2F%3As3cret%40i")
        assert "s3cret" not in repr(url)

    def test_no_text(self):
        line = refused(b"redis://:s3cret@h", TypeError)
        assert line == "The URL is text, not an object of type bytes."


class TestEnvironment:
    def test_url(self, monkeypatch):
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://h:7000?socket_timeout=9")
        groups = RedisGroupAdapter.from_url(writable=False)
        assert repr(groups) == "<RedisGroupAdapter: Redis at h:7000, database 1>"
        assert settings_of(groups)["socket_timeout"] == 9
        assert not groups.is_writable
        assert "h:8000" in repr(RedisGroupAdapter.from_url("redis://h:8000"))

    @pytest.mark.parametrize("url", [None, ""])
    def test_none(self, monkeypatch, url):
        if url is not None:
            monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", url)
        assert refused(None) == (
            "The URL is missing. Give one such as redis://localhost:6379, or set "
            "REPOZE_WHAT_REDIS_URL in the environment."
        )

    def test_wrong_url(self, monkeypatch):
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://:s3cret@")
        assert refused(None).startswith(
            "REPOZE_WHAT_REDIS_URL does not name the host. Write redis:"
        )

    def test_one_database_for_all(self, monkeypatch):
        """Each adapter is made by itself: only here is it seen that they share it."""
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://:s3cret@h/0")
        assert refused(None) == (
            "REPOZE_WHAT_REDIS_URL names database 0 for groups and permissions alike, where "
            "nothing tells them apart. Leave the database out, and they are in 1 and 2; or add "
            "?namespace=NAME."
        )
        assert "database 3" in repr(RedisGroupAdapter.from_url(db=3))
        assert "database 0, namespace 'x'" in repr(RedisGroupAdapter.from_url(namespace="x"))
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://h/0?namespace=site")
        assert "database 0, namespace 'site'" in repr(RedisGroupAdapter.from_url())

    def test_cluster(self, monkeypatch):
        monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", f"redis+cluster://{servers.HOST}:1/0")
        assert "cannot be reached" in refused(None, SourceUnavailable)


def test_manual_has_every_option():
    manual = Path(__file__).parents[3] / "docs" / "settings.rst"
    text = manual.read_text(encoding="utf-8")
    for options in (OPTIONS_OF_ADAPTERS, OPTIONS_OF_CLIENTS, OPTIONS_OF_SENTINELS):
        assert [name for name in options if f"``{name}``" not in text] == []
