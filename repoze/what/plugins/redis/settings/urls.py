"""URLs: from text such as ``redis://localhost:6379`` to a client of redis-py."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import redis
from redis.backoff import NoBackoff
from redis.cluster import REDIS_ALLOWED_KEYS, ClusterNode
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.connection.failures import Operation, source_error, without_secrets

from .options import (
    OPTIONS_OF_ADAPTERS,
    OPTIONS_OF_CLIENTS,
    OPTIONS_OF_SENTINELS,
    read_options,
    refuse_unknown,
    similar,
)

Client = redis.Redis | redis.RedisCluster

URL_VARIABLE = "REPOZE_WHAT_REDIS_URL"
"""The variable of the environment that holds the URL where none is given."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# In seconds, where nothing is said. A request waits as long, and in one network a lookup takes a
# fraction of a millisecond.
_TIME_OUTS = {"socket_connect_timeout": 1.0, "socket_timeout": 2.0}
# What redis-py says of a server that has no other nodes.
_NO_CLUSTER = "Cluster mode is not enabled"
# What `read_from` is for any replica of the service that Sentinel watches.
_ANY_REPLICA = "replica"


class _Form(NamedTuple):
    """What the URLs of one scheme look like, after user and password."""

    text: str
    connection_class: type
    port: int = 6379
    path: tuple[str, ...] = ("db",)


_HOSTS = "host[:port],host[:port]"
_SENTINELS = f"{_HOSTS}/service[/db]"
_FORMS = {
    "redis": _Form("host[:port][/db]", Connection),
    "rediss": _Form("host[:port][/db]", SSLConnection),
    "unix": _Form("/path/of/socket", UnixDomainSocketConnection),
    "redis+sentinel": _Form(_SENTINELS, Connection, 26379, ("service", "db")),
    "rediss+sentinel": _Form(_SENTINELS, SSLConnection, 26379, ("service", "db")),
    "redis+cluster": _Form(_HOSTS, Connection),
    "rediss+cluster": _Form(_HOSTS, SSLConnection),
}


@dataclass(frozen=True)
class RedisURL:
    """A URL, read."""

    scheme: str
    address: str
    """The URL without user, password, service, database and query."""
    nodes: tuple[tuple[str, int], ...]
    """Host and port of each server or Sentinel; none where it is a unix socket."""
    service: str | None
    """What Sentinels call it, where it is theirs."""
    options: Mapping[str, Any] = field(repr=False)
    """What else the URL says, under the names of options."""

    @property
    def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster's."""
        return self.scheme.endswith("+cluster")

    def client(self, settings: Mapping[str, Any], *, of_replica: bool = False) -> Client:
        """Return a client. Only that of a Redis Cluster connects at once.

        :param settings: of the client, and of the Sentinels: options that are known.
        :param of_replica: whether to ask Sentinel for a replica.
        :raises SourceError: where a Redis Cluster refuses; `SourceUnavailable` where it cannot be
            reached.
        """
        settings = {**_TIME_OUTS, **settings}
        if "ssl_check_hostname" in known_options(self.scheme):
            # Older releases of redis-py are content with a certificate for any host.
            settings.setdefault("ssl_check_hostname", settings.get("ssl_cert_reqs") != "none")
        if self.is_cluster:
            return self._client_of_cluster(settings)
        if self.service is not None:
            return self._client_of_service(self.service, settings, of_replica=of_replica)
        return redis.Redis.from_url(self.address, **settings)

    @property
    def _is_encrypted(self) -> bool:
        return _FORMS[self.scheme].connection_class is SSLConnection

    def _client_of_cluster(self, settings: dict[str, Any]) -> redis.RedisCluster:
        try:
            return redis.RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in self.nodes],
                # What becomes of other slots than that of the namespace does not matter.
                require_full_coverage=False,
                ssl=self._is_encrypted,
                **settings,
            )
        except (redis.RedisError, RedisClusterException) as error:
            if _NO_CLUSTER in str(error):
                scheme = self.scheme.removesuffix("+cluster")
                raise SourceError(
                    f"{self.address} is not a Redis Cluster, but a server by itself: write "
                    f"{scheme}:// instead.",
                    written=False,
                ) from None
            reason = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise source_error(
                reason, Operation("connect"), self.address, lost_reply=False
            ) from without_secrets(reason)

    def _client_of_service(
        self, service: str, settings: dict[str, Any], *, of_replica: bool
    ) -> redis.Redis:
        of_sentinels = {
            name: value for name, value in settings.items() if name.startswith(("socket_", "ssl_"))
        }
        for name in OPTIONS_OF_SENTINELS:
            of_sentinels[name.removeprefix("sentinel_")] = settings.pop(name, None)
        # redis-py asks a Sentinel that is down ten times more, with pauses.
        of_sentinels["retry"] = Retry(NoBackoff(), 0)
        of_sentinels["ssl"] = settings["ssl"] = self._is_encrypted
        sentinel = Sentinel(self.nodes, sentinel_kwargs=of_sentinels)
        client_for: Callable[..., redis.Redis] = (
            sentinel.slave_for if of_replica else sentinel.master_for
        )
        return client_for(service, **settings)


class _BadURLError(Exception):
    """What is wrong with a URL, without a word of it: that may be a password."""


def read_url(url: str, called: str = "The URL") -> RedisURL:
    """Return *url*, read.

    :param called: what errors call it. They do not show a password.
    :raises TypeError: where it is no text.
    :raises ValueError: where it is none of Redis', or has an option that is not known.
    """
    if not isinstance(url, str):
        raise TypeError(f"{called} is text, not an object of type {type(url).__name__}.")
    url = url.strip()
    if _CONTROL.search(url):
        raise ValueError(
            f"{called} has a line break or the like in it. Where it is in a file, an indented line "
            "belongs to the option before it."
        )
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _FORMS:
        *schemes, last = (f"{scheme}://" for scheme in _FORMS)
        raise ValueError(
            f"{called} has to begin with {', '.join(schemes)} or {last}, as redis://localhost:6379 "
            "does."
        )
    try:
        return _read_rest(scheme, rest)
    except _BadURLError as error:
        form = f"{scheme}://[user:password@]{_FORMS[scheme].text}"
        # What it arose from may quote the URL.
        raise ValueError(f"{called} {error}. Write {form}") from None


def _read_rest(scheme: str, rest: str) -> RedisURL:
    form = _FORMS[scheme]
    before_query, _, query = rest.partition("?")
    authority, _, path = before_query.partition("/")
    if "#" in rest or "@" in path or "@" in query:
        raise _BadURLError(
            "has an @ or a # where there is none: within a name, a password or a value, / is "
            "written %2F, ? is %3F, # is %23 and @ is %40"
        )
    user, _, hosts = authority.rpartition("@")
    texts: dict[str, str] = dict(_parsed(f"{user}@", "has a user or a password that is malformed"))
    nodes: tuple[tuple[str, int], ...] = ()
    if scheme == "unix":
        if hosts or not path:
            raise _BadURLError("does not have the path of a socket after unix://")
        address = f"unix:///{path}"
    else:
        address = f"{scheme}://{hosts}"
        nodes = tuple(_node(host.strip(), form.port) for host in hosts.split(","))
        if len(nodes) > 1 and "," not in form.text:
            raise _BadURLError("has several hosts, which are for Sentinels and clusters")
        texts.update(_names_in(path, form.path))
    known = known_options(scheme)
    for number, (name, text) in enumerate(_pairs_in(query), 1):
        if name not in known:
            # Its name is the rest of a password, perhaps.
            raise ValueError(
                f"With {scheme}:// there is no such option as number {number} of those after the ?."
                f"{similar(name, known)} There are {', '.join(known)}. Within a value, & is "
                "written %26."
            )
        if name in texts:
            raise _BadURLError(f"says {name} twice")
        texts[name] = text
    service = texts.pop("service", None)
    if service is None and "service" in form.path:
        raise _BadURLError("does not name the service that the Sentinels watch")
    return RedisURL(scheme, address, nodes, service, read_options(texts))


def _parsed(authority: str, problem: str) -> dict[str, Any]:
    try:
        return dict(parse_url(f"redis://{authority}"))
    except ValueError:
        raise _BadURLError(problem) from None


def _node(text: str, default_port: int) -> tuple[str, int]:
    node = _parsed(text, "has a port that is no number, or an IPv6 address that is not in brackets")
    if "host" not in node:
        raise _BadURLError("does not name the host")
    return node["host"], node.get("port", default_port)


def _names_in(path: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    names = [unquote(name) for name in path.split("/") if name]
    if len(names) > len(kinds):
        raise _BadURLError("has too many names after the host")
    return zip(kinds, names, strict=False)


def _pairs_in(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _BadURLError("has a query that is not name=value&name=value") from None


def url_or_environment(url: str | None, called: str = "The URL") -> RedisURL:
    """Return *url* read, or what `URL_VARIABLE` says where it is `None`.

    :param called: what errors call *url*.
    :raises ValueError: where there is neither, and as `read_url` does.
    """
    if url is not None:
        return read_url(url, called)
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise ValueError(
            f"{called} is missing. Give one such as redis://localhost:6379, or set {URL_VARIABLE} "
            "in the environment."
        )
    return read_url(url, URL_VARIABLE)


def known_options(scheme: str) -> list[str]:
    """Return the names of the options that go with *scheme*.

    Of those of clients, they are the ones that the installed redis-py has for such a connection.
    """
    known = {"max_connections"}
    for base in _FORMS[scheme].connection_class.__mro__:
        known.update(signature(base).parameters)
    if scheme.endswith("+cluster"):
        known.intersection_update(REDIS_ALLOWED_KEYS)
    of_clients = [name for name in OPTIONS_OF_CLIENTS if name in known]
    of_sentinels = OPTIONS_OF_SENTINELS if scheme.endswith("+sentinel") else ()
    return [*OPTIONS_OF_ADAPTERS, *of_clients, *of_sentinels]


def _refuse_unknown(options: Iterable[str], scheme: str) -> None:
    refuse_unknown(options, known_options(scheme), f"With {scheme}:// there is no option")


def client_from_url(
    url: str | None, options: Mapping[str, object]
) -> tuple[Client, dict[str, Any]]:
    """Return a client, and what else one adapter is given.

    :param url: a URL; `None` is what `URL_VARIABLE` says.
    :param options: as `client_and_arguments` takes them, and raises errors about them.
    :raises ValueError: also where there is no URL or it makes no sense, and where that of the
        environment names one database for all adapters and no namespace.
    """
    read = url_or_environment(url)
    client, arguments = client_and_arguments(read, options)
    if (
        url is None
        and "db" in read.options
        and options.get("db") is None
        and not (read.is_cluster or "namespace" in arguments)
    ):
        raise ValueError(
            f"{URL_VARIABLE} names database {read.options['db']} for groups and permissions alike, "
            "where nothing tells them apart. Leave the database out, and they are in 1 and 2; or "
            "add ?namespace=NAME."
        )
    return client, arguments


def client_and_arguments(
    url: RedisURL, options: Mapping[str, object]
) -> tuple[Client, dict[str, Any]]:
    """Return a client, and what else an adapter is given.

    :param options: of adapters and of the client, each as text or as what it stands for. They
        count where the URL says something else.
    :raises TypeError: where one is neither.
    :raises ValueError: where one is not known or makes no sense.
    :raises SourceError: as `RedisURL.client` does.
    """
    _refuse_unknown(options, url.scheme)
    settings = {**url.options, **read_options(options)}
    arguments = {name: settings.pop(name) for name in OPTIONS_OF_ADAPTERS if name in settings}
    read_from = arguments.get("read_from")
    if read_from == _ANY_REPLICA and url.service is not None:
        arguments["read_from"] = url.client(settings, of_replica=True)
    elif read_from is not None:
        arguments["read_from"] = _client_of_replica(read_url(read_from, "read_from"))
    return url.client(settings), arguments


def _client_of_replica(url: RedisURL) -> Client:
    if url.is_cluster:
        raise ValueError("read_from cannot be a Redis Cluster.")
    for name in url.options:
        if name in OPTIONS_OF_ADAPTERS:
            raise ValueError(f"{name} is not for read_from: leave it out of that URL.")
    return url.client(url.options, of_replica=True)
