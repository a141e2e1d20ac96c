"""Both adapters from the settings of an application."""

import traceback

import pytest
import redis
from harness import cluster, servers

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import (
    Adapters,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    adapters_from_settings,
)


@pytest.fixture(autouse=True)
def _no_url_in_the_environment(monkeypatch):
    monkeypatch.delenv("REPOZE_WHAT_REDIS_URL", raising=False)


def use(adapters):
    """Let the editors publish."""
    adapters.groups.create_section("editors")
    adapters.groups.include_item("editors", "rosa")
    adapters.permissions.create_section("publish")
    adapters.permissions.include_item("publish", "editors")
    groups = adapters.groups.find_sections({"repoze.what.userid": "rosa"})
    assert adapters.permissions.find_sections_many(groups) == {"publish"}


def refused(settings, error=ValueError, **options):
    """Return the one line that refuses *settings*, and shows no password."""
    with pytest.raises(error) as raised:
        adapters_from_settings(settings, **options)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    (line,) = str(raised.value).splitlines()
    return line


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"redis.groups.db": "5", "redis.permissions.db": "6"},
        {"redis.groups.db": 0, "redis.permissions.db": 3},
        {"redis.permissions.db": "0"},
        {"redis.db": "4", "redis.groups.db": "5"},
        {"redis.namespace": "site"},
        {"redis.namespace": "site", "redis.db": "0"},
        {"redis.namespace": "site", "redis.db": "0", "redis.permissions.db": "3"},
    ],
)
def test_databases(server, settings):
    url = f"redis://{servers.HOST}:{server.port}"
    adapters = adapters_from_settings({"redis.url": url, **settings})
    use(adapters)
    groups, permissions = adapters
    assert isinstance(adapters, Adapters)
    assert isinstance(groups, RedisGroupAdapter)
    assert isinstance(permissions, RedisPermissionAdapter)
    both = settings.get("redis.db")
    for adapter, name, default in ((groups, "groups", 1), (permissions, "permissions", 2)):
        wanted = settings.get(f"redis.{name}.db", default if both is None else both)
        assert adapter.place.endswith(f"database {wanted}")
        assert adapter.namespace == settings.get("redis.namespace")


def test_one_client(monkeypatch):
    """Each adapter has a pool of its own, but of one client's settings."""
    clients = [redis.Redis(host="h")]
    monkeypatch.setattr(redis.Redis, "from_url", lambda *_, **__: clients.pop())
    groups, permissions = adapters_from_settings({"redis.url": "redis://elsewhere"})
    assert groups.place == "Redis at h:6379, database 1"
    assert permissions.place == "Redis at h:6379, database 2"


def test_one_client_of_a_cluster(executable):
    nodes = cluster.running(executable)
    nodes.empty()
    url = f"redis+cluster://{servers.HOST}:{nodes.nodes[0].port}"
    adapters = adapters_from_settings({"redis.url": url, "redis.namespace": "site"})
    use(adapters)
    assert adapters.groups.db_connection is adapters.permissions.db_connection
    nodes.empty()
    line = refused({"redis.url": url})
    assert line.startswith("On a Redis Cluster, give the adapter a namespace and no db.")


def test_every_option():
    """As text of a configuration file has it; a URL in a setting is not encoded."""
    adapters = adapters_from_settings(
        {
            "redis.url": "redis://:s3cret@h:7000?socket_timeout=5&namespace=other",
            "redis.namespace": "site",
            "redis.writable": "false",
            "redis.read_from": "redis://:s3cret@replica.example?socket_timeout=7",
            "redis.wait_replicas": "1",
            "redis.save": "background",
            "redis.save_every": "100",
            "redis.socket_connect_timeout": "0.5",
            "redis.client_name": "site",
        }
    )
    for adapter, db in zip(adapters, (1, 2), strict=True):
        assert repr(adapter) == (
            f"<{type(adapter).__name__}: Redis at h:7000, database {db}, namespace 'site'; "
            f"lookups at Redis at replica.example:6379, database {db}, namespace 'site'>"
        )
        assert not adapter.is_writable
        settings = adapter.db_connection.connection_pool.connection_kwargs
        assert (settings["socket_connect_timeout"], settings["socket_timeout"]) == (0.5, 5)
        assert settings["client_name"] == "site"


def test_values():
    """As settings that are Python have them."""
    adapters = adapters_from_settings(
        {"redis.url": "redis://h", "redis.writable": False, "redis.db": 0, "redis.namespace": "a"}
        | {"redis.groups.db": None, "redis.save": None}
    )
    assert adapters.groups.place == "Redis at h:6379, database 0"
    assert not adapters.permissions.is_writable


def test_settings_of_others():
    adapters = adapters_from_settings(
        {"redis.url": "redis://h", "redis_sessions.url": "redis://i", "debug": "true", "redis": "x"}
    )
    assert adapters.groups.place == "Redis at h:6379, database 1"


@pytest.mark.parametrize("prefix", ["", "authorization.", "redis.what."])
def test_prefix(prefix):
    settings = {f"{prefix}url": "redis://h", f"{prefix}permissions.db": "9"}
    adapters = adapters_from_settings(settings, prefix=prefix)
    assert adapters.permissions.place == "Redis at h:6379, database 9"
    line = refused({**settings, f"{prefix}nmespace": "site"}, prefix=prefix)
    assert line.startswith(
        f"There is no setting '{prefix}nmespace'. There are {prefix}url, {prefix}groups.db, "
        f"{prefix}permissions.db, {prefix}db, {prefix}namespace, "
    )
    assert f" {prefix}socket_timeout, " in line


def test_environment(monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://h:7000")
    assert adapters_from_settings({}).groups.place == "Redis at h:7000, database 1"
    assert adapters_from_settings({"redis.url": None}).groups.place.startswith("Redis at h:7000")
    elsewhere = adapters_from_settings({"redis.url": "redis://h:8000"})
    assert elsewhere.groups.place == "Redis at h:8000, database 1"
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://h:7000/0")
    assert "Groups and permissions would both be in Redis at h:7000, database 0" in refused({})
    apart = adapters_from_settings({"redis.groups.db": "3"})
    assert apart.groups.place == "Redis at h:7000, database 3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"redis.ur1": "redis://localhost"},
            "There is no setting 'redis.ur1'. There are redis.url,",
        ),
        ({}, "redis.url is missing. Give one such as redis://localhost:6379, or set REPOZE_WHAT_"),
        ({"redis.url": ""}, "redis.url has to begin with redis://"),
        ({"redis.url": "redis://h:s3cret"}, "redis.url has a port that is no number"),
        ({"redis.url": "redis://h", "redis.db": "one"}, "db is a number."),
        ({"redis.url": "redis://h", "redis.groups.db": "one"}, "db is a number."),
        ({"redis.url": "redis://h", "redis.host": "i"}, "There is no setting 'redis.host'. There"),
        ({"redis.url": "redis://h?host=i"}, "With redis:// there is no such option as number 1"),
        ({"redis.url": "redis://h", "redis.ssl_ca_path": "x"}, "There is no setting 'redis.ssl_ca"),
        ({"redis.url": "redis://h", "redis.namespace": "my site"}, "namespace is letters, digit"),
    ],
)
def test_wrong_settings(settings, message):
    assert refused(settings).startswith(message)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"redis.url": "redis://h/0"}, "at h:6379, database 0"),
        ({"redis.url": "redis+sentinel://h/staff/3"}, "service 'staff', database 3"),
        ({"redis.url": "redis://h?db=1"}, "at h:6379, database 1"),
        ({"redis.url": "redis://h", "redis.db": "4"}, "at h:6379, database 4"),
        ({"redis.url": "redis://h", "redis.groups.db": "2"}, "at h:6379, database 2"),
        ({"redis.url": "redis://h", "redis.permissions.db": "1"}, "at h:6379, database 1"),
        (
            {"redis.url": "redis://h/7", "redis.groups.db": "8", "redis.permissions.db": "8"},
            "at h:6379, database 8",
        ),
    ],
)
def test_one_database_without_a_namespace(settings, place):
    assert refused(settings) == (
        f"Groups and permissions would both be in Redis {place}, where nothing tells them apart. "
        "Leave the database out, and they are in 1 and 2; or set redis.groups.db and "
        "redis.permissions.db, or redis.namespace."
    )


def test_cluster_that_is_down():
    settings = {"redis.url": f"redis+cluster://:s3cret@{servers.HOST}:1", "redis.namespace": "x"}
    assert "cannot be reached" in refused(settings, SourceUnavailable)
