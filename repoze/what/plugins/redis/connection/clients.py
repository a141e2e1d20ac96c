"""Clients of our own that connect as the user's does, and the connections of their pools."""

import threading
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from inspect import Parameter, signature
from typing import Any

import redis
from redis.connection import AbstractConnection, BlockingConnectionPool, ConnectionPool
from redis.sentinel import Sentinel, SentinelConnectionPool

from repoze.what.plugins.redis.names import decode, described

from .failures import hide_password

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:
    # redis-py has had them since 6.4.
    _WITHOUT_NOTIFICATIONS = {}
else:
    _WITHOUT_NOTIFICATIONS = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}

# What a pool puts into the settings of its connections on its own behalf, or for another database:
# a cache that two databases share answers for one with the keys of the other. Retries are ours.
_OF_ANOTHER_POOL = frozenset(
    (
        "cache",
        "cache_config",
        "connection_pool",
        "event_dispatcher",
        "himport_registry",
        "maint_notifications_config",
        "maint_notifications_pool_handler",
        "maintenance_notification_hash",
        "maintenance_state",
        "oss_cluster_maint_notifications_handler",
        "retry",
        "retry_on_error",
        "retry_on_timeout",
    )
)
# While a server is under maintenance, redis-py keeps the user's own settings under these names.
_BEFORE_MAINTENANCE = {
    "orig_host_address": "host",
    "orig_socket_timeout": "socket_timeout",
    "orig_socket_connect_timeout": "socket_connect_timeout",
}
# Up to redis-py 5.2 a pool wants to know; since then it warns of being told.
_NAME = signature(ConnectionPool.get_connection).parameters.get("command_name")
_COMMAND_NAME = ("",) if _NAME is not None and _NAME.default is Parameter.empty else ()
# In redis-py 5.0 a `BlockingConnectionPool` would close those in use, too.
_SETTINGS_OF_DISCONNECT = signature(BlockingConnectionPool.disconnect).parameters


def client_of_database(client: redis.Redis, db: int | None, **changes: Any) -> redis.Redis:
    """Return a client that is connected as *client* is, but to database *db*, by a pool of its own.

    :param client: the user's client, which is neither changed nor asked anything.
    :param db: the number of the database; `None` is that of *client*.
    :param changes: settings of the connections that are not those of *client*.
    :raises TypeError: where *client* is no such client, or *db* no such number.
    :raises ValueError: where *db* is negative.
    """
    _check(client, db)
    pool = client.connection_pool
    settings = _settings_to_derive(pool) | changes
    if db is not None:
        settings["db"] = db
    if _handshake_is_custom(pool.connection_class, settings):
        settings["redis_connect_func"] = partial(
            _connect_and_select, settings.get("redis_connect_func")
        )
    derived: ConnectionPool
    if isinstance(pool, SentinelConnectionPool):
        if pool.is_master:
            settings["redis_connect_func"] = partial(
                _connect_and_announce, settings.get("redis_connect_func")
            )
        derived = SentinelConnectionPool(
            pool.service_name,
            _with_connections_of_its_own(pool.sentinel_manager),
            is_master=pool.is_master,
            check_connection=pool.check_connection,
            **settings,
        )
    elif isinstance(pool, BlockingConnectionPool):
        derived = BlockingConnectionPool(
            timeout=pool.timeout, queue_class=pool.queue_class, **settings
        )
    else:
        derived = ConnectionPool(**settings)
    # In redis-py 5 it is one that `close` would wait for for ever, in the handler of a signal that
    # came while the same thread held it.
    derived._lock = threading.RLock()  # noqa: SLF001
    return _client_on(derived)


def _settings_of(pool: ConnectionPool) -> dict[str, Any]:
    """Return what to make another pool with that connects as *pool* does."""
    settings = dict(pool.connection_kwargs)
    for kept_as, setting in _BEFORE_MAINTENANCE.items():
        value = settings.pop(kept_as, None)
        if value is not None:
            settings[setting] = value
    settings = {name: value for name, value in settings.items() if name not in _OF_ANOTHER_POOL}
    settings.update(
        _WITHOUT_NOTIFICATIONS,
        health_check_interval=0,
        connection_class=pool.connection_class,
        max_connections=pool.max_connections,
    )
    return settings


def _settings_to_derive(pool: ConnectionPool) -> dict[str, Any]:
    return {**_settings_of(pool), "connection_class": _wholly_made(pool.connection_class)}


def way_to(pool: ConnectionPool, db: int) -> object:
    """Return how *pool* makes connections, but for their database: equal, where it is one way.

    Where two settings only look alike, as functions do, it is not.

    :param db: the database that they are to. A connection that is made by somebody else's code may
        go anywhere, and it is in the way, too.
    """
    settings = _settings_of(pool)
    settings.pop("db", None)
    is_ours = pool.connection_class.__module__.startswith("redis.")
    is_ours = is_ours and settings.get("redis_connect_func") is None
    way = type(pool), _with_types(settings), None if is_ours else db
    if not isinstance(pool, SentinelConnectionPool):
        return way
    manager = vars(pool.sentinel_manager) | {"sentinels": None}
    sentinels = [
        _with_types(_settings_of(each.connection_pool)) for each in pool.sentinel_manager.sentinels
    ]
    # A subclass's may find the primary in a way of its own.
    kind = type(pool.sentinel_manager)
    own = None if kind is Sentinel else id(pool.sentinel_manager)
    service = pool.service_name, pool.is_master
    return *way, service, kind, own, _with_types(manager), sentinels


def _with_types(settings: dict[str, Any]) -> dict[str, Any]:
    # Text is not compared with bytes then, which may raise a `BytesWarning`.
    return {
        name: _with_types(value) if isinstance(value, dict) else (type(value), value)
        for name, value in settings.items()
    }


def _client_on(pool: ConnectionPool) -> redis.Redis:
    # The client is what listens for renewed credentials.
    provider = pool.connection_kwargs.get("credential_provider")
    return redis.Redis(connection_pool=pool, credential_provider=provider)


def _with_connections_of_its_own(manager: Sentinel) -> Sentinel:
    # Threads that change the order of its list at once may drop a Sentinel from it. And after a
    # fork, a thread that is left behind may hold the lock of a pool.
    own = copy(manager)
    own.sentinels = [
        _client_on(ConnectionPool(**_settings_to_derive(each.connection_pool)))
        for each in manager.sentinels
    ]
    return own


def _check(client: object, db: object) -> None:
    if not isinstance(client, redis.Redis):
        # What it is may have a password in it: a URL, or a pool.
        found = f"an object of type {type(client).__name__}"
        raise TypeError(f"A redis-py client is wanted (redis.Redis), not {found}")
    if db is not None and (isinstance(db, bool) or not isinstance(db, int)):
        raise TypeError(f"db is the number of a database, or None, not {described(db)}")
    if db is not None and db < 0:
        raise ValueError(f"db is the number of a database, from 0, not {db}")


def _handshake_is_custom(connection_class: type, settings: dict[str, Any]) -> bool:
    return (
        settings.get("redis_connect_func") is not None
        or getattr(connection_class, "on_connect", None) is not AbstractConnection.on_connect
    )


def _connect_and_select(
    shake_hands: Callable[[Any], None] | None, connection: redis.Connection
) -> None:
    # A handshake of somebody's own may leave the connection in database 0.
    _shake_hands(shake_hands, connection)
    connection.send_command("SELECT", connection.db)
    if connection.read_response(disable_decoding=True) != b"OK":
        raise redis.ConnectionError(f"the server did not select database {connection.db}")


def _connect_and_announce(
    shake_hands: Callable[[Any], None] | None, connection: redis.Connection
) -> None:
    # A primary that was relieved then answers REDIRECT, in the place of what is no longer so.
    # Valkey has it since 8.0; what others say of it is no matter.
    _shake_hands(shake_hands, connection)
    connection.send_command("CLIENT", "CAPA", "redirect")
    with suppress(redis.ResponseError):
        connection.read_response(disable_decoding=True)


def _shake_hands(shake_hands: Callable[[Any], None] | None, connection: redis.Connection) -> None:
    if shake_hands is None:
        connection.on_connect()
    else:
        shake_hands(connection)


class _WhollyMade:
    """A connection that is wholly made or not at all, and whose errors know its password.

    The pool takes back what was not made. Where its handshake was interrupted, there would be a
    reply to come; where the server answered nonsense, no database would be selected.
    """

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except BaseException:
            self.disconnect()  # type: ignore[attr-defined]
            raise

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except redis.RedisError as error:
            hide_password(error, _password_of(self))
            raise


def _password_of(connection: Any) -> str:
    provider = getattr(connection, "credential_provider", None)
    password = getattr(provider, "password", None) or getattr(connection, "password", None) or ""
    return decode(password) if isinstance(password, bytes) else str(password)


def _wholly_made(connection_class: type) -> type:
    if issubclass(connection_class, _WhollyMade):
        # Of a client that was made of another adapter's, as `db_connection` is.
        return connection_class
    attributes = {"__module__": connection_class.__module__}
    return type(connection_class.__name__, (_WhollyMade, connection_class), attributes)


def connection_from(pool: ConnectionPool) -> redis.Connection:
    """Return a connection of *pool*."""
    return pool.get_connection(*_COMMAND_NAME)


def close_idle(pool: ConnectionPool) -> None:
    """Close the connections of *pool* that nobody uses."""
    if isinstance(pool, BlockingConnectionPool) and len(_SETTINGS_OF_DISCONNECT) == 1:
        for connection in filter(None, list(pool.pool.queue)):
            connection.disconnect()
    else:
        pool.disconnect(inuse_connections=False)
