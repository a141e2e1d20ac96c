"""Settings of an application, as configuration files have them: from text to both adapters."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .settings.options import OPTIONS, read_option, refuse_unknown
from .settings.urls import client_and_arguments, known_options, url_or_environment

_DATABASES = _GROUPS_DB, _PERMISSIONS_DB = "groups.db", "permissions.db"


class Adapters(NamedTuple):
    """An adapter of groups and one of permissions, each with a pool of connections of its own."""

    groups: RedisGroupAdapter
    permissions: RedisPermissionAdapter


def adapters_from_settings(settings: Mapping[str, Any], prefix: str = "redis.") -> Adapters:
    """Return the adapters that *settings* describe. They are made from one client.

    :param settings: what the application is configured with, each as text or as what its text
        stands for. After *prefix* the names are ``url``, those of the options that a URL may have,
        ``groups.db`` and ``permissions.db``. An option counts where the URL says something else,
        and the database of one adapter before that of both. Where there is no ``url``, it is
        what ``REPOZE_WHAT_REDIS_URL`` in the environment says.
    :param prefix: what the names of the settings begin with that are meant. Others are left alone.
    :raises ValueError: where there is no URL, a setting is not known or makes no sense, or the
        adapters would share a database without a namespace.
    :raises TypeError: where a value is neither text nor what text stands for.
    :raises SourceError: where the URL is of a Redis Cluster, and it refuses; `SourceUnavailable`
        where it cannot be reached. Other servers are not asked anything.
    """
    options = {
        name.removeprefix(prefix): value
        for name, value in settings.items()
        if name.startswith(prefix)
    }
    if "url" not in options:
        # It may be there, misspelt.
        _refuse_unknown(options, OPTIONS, prefix)
    url = url_or_environment(options.pop("url", None), f"{prefix}url")
    databases = {name: options.pop(name, None) for name in _DATABASES}
    _refuse_unknown(options, known_options(url.scheme), prefix)
    client, arguments = client_and_arguments(url, options)
    of_both = arguments.pop("db", "default")
    groups_db, permissions_db = (
        of_both if of_one is None else read_option("db", of_one) for of_one in databases.values()
    )
    adapters = Adapters(
        RedisGroupAdapter(client, groups_db, **arguments),
        RedisPermissionAdapter(client, permissions_db, **arguments),
    )
    if adapters.groups.mixes_with(adapters.permissions):
        raise ValueError(
            f"Groups and permissions would both be in {adapters.groups.place}, where nothing tells "
            "them apart. Leave the database out, and they are in 1 and 2; or set "
            f"{prefix}{_GROUPS_DB} and {prefix}{_PERMISSIONS_DB}, or {prefix}namespace."
        )
    return adapters


def _refuse_unknown(options: Iterable[str], known: Iterable[str], prefix: str) -> None:
    refuse_unknown(
        [prefix + name for name in options],
        [prefix + name for name in ("url", *_DATABASES, *known)],
        "There is no setting",
    )
