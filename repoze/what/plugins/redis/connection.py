"""One database of the user's server, over connections of our own that are tried twice."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum
from functools import partial
from inspect import Parameter, signature
from math import inf
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import redis
from redis.connection import AbstractConnection, BlockingConnectionPool, ConnectionPool
from redis.sentinel import Sentinel, SentinelConnectionPool

from repoze.what.adapters import AdapterError, SourceError

from .failures import (
    Task,
    code_word,
    forget_context,
    is_lost_connection,
    is_reply,
    source_error,
    without_secrets,
)
from .names import described
from .primary import Confirmation, PrimaryWatch
from .scripts import Script

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:
    # redis-py has had them since 6.4.
    _WITHOUT_NOTIFICATIONS = {}
else:
    _WITHOUT_NOTIFICATIONS = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}

Answer = TypeVar("Answer")

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
# Seconds from one time that Sentinels are asked where the primary is to the next.
WATCH_EVERY = 1.0
# Redis resets a connection that announces more.
MOST_ARGUMENTS = 1024 * 1024
# Up to redis-py 5.2 a pool wants to know; since then it warns of being told.
_NAME = signature(ConnectionPool.get_connection).parameters.get("command_name")
_COMMAND_NAME = ("",) if _NAME is not None and _NAME.default is Parameter.empty else ()
# In redis-py 5.0 a `BlockingConnectionPool` knows no difference, and closes those in use, too.
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
    settings = _settings_of(pool) | changes
    if db is not None:
        settings["db"] = db
    if _handshake_is_custom(pool.connection_class, settings):
        settings["redis_connect_func"] = partial(
            _connect_and_select, settings.get("redis_connect_func")
        )
    derived: ConnectionPool
    if isinstance(pool, SentinelConnectionPool):
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


def _client_on(pool: ConnectionPool) -> redis.Redis:
    # The client is what listens for renewed credentials.
    provider = pool.connection_kwargs.get("credential_provider")
    return redis.Redis(connection_pool=pool, credential_provider=provider)


def _with_connections_of_its_own(manager: Sentinel) -> Sentinel:
    # Threads that change the order of its list at once may drop a Sentinel from it. And after a
    # fork, a thread that is left behind may hold the lock of a pool.
    own = copy(manager)
    own.sentinels = [
        _client_on(ConnectionPool(**_settings_of(each.connection_pool)))
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
    if shake_hands is None:
        connection.on_connect()
    else:
        shake_hands(connection)
    connection.send_command("SELECT", connection.db)
    if connection.read_response(disable_decoding=True) != b"OK":
        raise redis.ConnectionError(f"the server did not select database {connection.db}")


class _Phase(Enum):
    UNSENT = "not wholly sent, so not executed"
    UNANSWERED = "sent; executed, or not"
    ANSWERED = "nothing is owed"


class Exchange:
    """Commands and their replies, over the connection of *pool* that a question is asked on."""

    connection: redis.Connection

    def __init__(self, pool: ConnectionPool) -> None:
        self.lost_reply = False
        """Whether something was sent in full whose reply never came."""
        self.was_lost = False
        """Whether the connection was gone, so that the question is being asked again."""
        self.pool = pool
        """Where the connection is from."""
        self._handled = sys.exc_info()[1]
        self._asking = False
        self._has_connection = False
        self._has_failed = False
        self._phase = _Phase.ANSWERED

    def attempt(self, question: Callable[["Exchange"], Answer]) -> Answer:
        """Return what *question* makes of the replies that it asks this exchange for.

        Another attempt is made on a fresh connection, in the same place of the pool: another idle
        one may be as dead as the first.
        """
        try:
            if not self._has_connection:
                self.connection = connection_from(self.pool)
                self._has_connection = True
            elif self._has_failed:
                self._phase = _Phase.UNSENT
                self.connection.disconnect()
                self.connection.connect()
            self._has_failed = False
            return question(self)
        except BaseException as error:
            self._has_failed = True
            forget_context(error, self._handled)
            if self._has_connection and not (self._phase is _Phase.ANSWERED and _is_answer(error)):
                # Back in the pool, it would hand its late reply to the next caller. What makes no
                # sense may be the late reply to something else.
                self.connection.disconnect()
                self.lost_reply |= self._phase is not _Phase.UNSENT
            raise

    def connect(self) -> None:
        """Make the connection of the next attempt, or make it anew, without asking anything."""
        self.attempt(lambda _: None)

    def move(self, pool: ConnectionPool, *, asking: bool = False) -> None:
        """Let the next attempt be made on a connection of another pool.

        :param asking: whether it goes to a node that a slot is being moved to, which answers for
            it only if that is said before each command.
        """
        self.close()
        self.pool = pool
        self._asking = asking

    def close(self) -> None:
        """Give the connection, if there is one, back to the pool."""
        if self._has_connection:
            self._has_connection = False
            self.pool.release(self.connection)

    def ask(self, *command: bytes | str | int) -> Any:
        """Send *command* and return the reply, with bytes for what is text."""
        if len(command) > MOST_ARGUMENTS:
            raise SourceError(
                f"{len(command):,} arguments are more than the {MOST_ARGUMENTS:,} that Redis takes "
                "in one command. Nothing was sent; do it in parts."
            )
        if self._asking:
            self._send(("ASKING",))
        return self._send(command)

    def _send(self, command: tuple[bytes | str | int, ...]) -> Any:
        self._phase = _Phase.UNSENT
        self.connection.send_command(*command)
        self._phase = _Phase.UNANSWERED
        try:
            reply = self.connection.read_response(disable_decoding=True)
        except Exception as error:
            if is_reply(error):
                self._phase = _Phase.ANSWERED
            if code_word(error) == "READONLY":
                # Connecting anew finds the primary, where Sentinel or the name's address knows it.
                self.connection.disconnect()
            raise
        self._phase = _Phase.ANSWERED
        return reply

    def evaluate(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Run *script* and return its reply; it is loaded where the server does not have it."""
        if self._asking:
            # There, a key that has yet to be moved would be one that does not exist.
            raise redis.exceptions.TryAgainError("not all keys are there")
        try:
            return self.ask("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except redis.ResponseError as error:
            if code_word(error) != "NOSCRIPT":
                raise
        return self.ask("EVAL", script.text, len(keys), *keys, *arguments)


def _is_answer(error: BaseException) -> bool:
    """Whether *error* is what the server answered, or what a question made of that."""
    return isinstance(error, AdapterError) or (
        isinstance(error, redis.RedisError) and is_reply(error)
    )


def connection_from(pool: ConnectionPool) -> redis.Connection:
    """Return a connection of *pool*, which is either wholly made or not made at all."""
    try:
        return pool.get_connection(*_COMMAND_NAME)
    except redis.RedisError:
        raise
    except BaseException:
        # It goes back to the pool with its handshake half done: where that was interrupted, with a
        # reply to come; where the server answered nonsense, before a database was selected.
        _close_idle(pool)
        raise


def _close_idle(pool: ConnectionPool) -> None:
    if isinstance(pool, BlockingConnectionPool) and len(_SETTINGS_OF_DISCONNECT) == 1:
        pool.disconnect()
    else:
        pool.disconnect(inuse_connections=False)


class Opened(NamedTuple):
    """What one process asks a database with."""

    # The pool alone would not do: the client listens for renewed credentials.
    client: redis.Redis
    watch: PrimaryWatch | None
    process: int

    @property
    def pool(self) -> ConnectionPool:
        """Where connections are from."""
        return self.client.connection_pool

    def close(self) -> None:
        """Stop the watch, and close idle connections, if this is the process that opened them.

        What is in use goes back to a pool that nobody has any more, and is closed with that.
        """
        if self.process != os.getpid():
            return
        if self.watch is not None:
            self.watch.stop()
        _close_idle(self.pool)
        if isinstance(self.pool, SentinelConnectionPool):
            for sentinel in self.pool.sentinel_manager.sentinels:
                _close_idle(sentinel.connection_pool)


class Database:
    """One database of a server. Nothing is sent to it before it is asked.

    Where Sentinels manage it as a primary, they are asked in a thread where that is: see
    `PrimaryWatch`.

    :param client: a redis-py client, which is not changed: see `client_of_database`.
    :param db: the number of the database; `None` is that of *client*.
    :param part: what of it is meant, for people to read.
    :param watch_every: seconds from one time that Sentinels are asked to the next.
    """

    def __init__(
        self,
        client: redis.Redis,
        db: int | None,
        part: str = "",
        *,
        watch_every: float = WATCH_EVERY,
    ) -> None:
        self._part = part
        self._new_client = partial(client_of_database, client, db)
        self._watch_every = watch_every
        self._last_answer = threading.local()
        self._last_opened = self._open()

    def _open(self) -> Opened:
        client = self._new_client()
        pool = client.connection_pool
        watch = None
        if isinstance(pool, SentinelConnectionPool) and pool.is_master:
            watch = PrimaryWatch(pool, self._watch_every)
        return Opened(client, watch, os.getpid())

    @property
    def _opened(self) -> Opened:
        if self._last_opened.process != os.getpid():
            # After a fork, a thread that is left behind may hold the lock of the pool.
            self._last_opened = self._open()
        return self._last_opened

    @property
    def _pool(self) -> ConnectionPool:
        return self._opened.pool

    @property
    def confirmation(self) -> Confirmation | None:
        """Where Sentinels said last that the primary is; `None` where it is not from them."""
        watch = self._opened.watch
        return None if watch is None else watch.confirmation

    @property
    def answered_by(self) -> tuple[str, int] | None:
        """Host and port of the primary, found by Sentinels, that last answered this thread."""
        return getattr(self._last_answer, "by", None)

    def close(self) -> None:
        """Close all connections, and ask no Sentinel any more. The next question opens anew.

        A question that another thread is asking goes on, and its connection is closed afterwards.
        """
        opened, self._last_opened = self._last_opened, self._open()
        opened.close()

    def __str__(self) -> str:
        return self.place + self._part

    @property
    def number(self) -> int:
        """The number of the database."""
        return self._pool.connection_kwargs.get("db") or 0

    @property
    def place(self) -> str:
        """Where the database is, for people to read."""
        settings = self._pool.connection_kwargs
        if isinstance(self._pool, SentinelConnectionPool):
            role = "" if self._pool.is_master else "a replica of "
            place = f"{role}service {self._pool.service_name!r}"
        else:
            place = "at " + (
                settings.get("path")
                or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
            )
        return f"Redis {place}, database {self.number}"

    def ask(
        self, task: Task, question: Callable[[Exchange], Answer], *, repeat_within: float = inf
    ) -> Answer:
        """Return what *question* returns; ask again, once, where the connection was gone.

        :param task: what is asked, for errors to name.
        :param question: is called with an exchange; a second time, where the first was lost.
        :param repeat_within: for how many seconds after it was first asked to ask again what was
            sent and whose reply is lost. What was not sent is always sent again.
        :raises SourceUnavailable: where the server cannot be reached or does not answer.
        :raises SourceError: where it refuses, or answers nonsense.
        """
        opened = self._opened
        if opened.watch is not None:
            opened.watch.start()
        exchange = Exchange(opened.pool)
        try:
            try:
                answer = self._converse(exchange, question, monotonic() + repeat_within)
                if opened.watch is not None:
                    self._last_answer.by = exchange.connection.host, exchange.connection.port
                return answer
            finally:
                exchange.close()
                if opened.watch is not None and (exchange.was_lost or exchange.lost_reply):
                    opened.watch.hurry()
        except AdapterError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing else may leave an adapter
            raised = source_error(error, task, self, lost_reply=exchange.lost_reply)
            cause = without_secrets(error)
        try:
            # Out of the handler, for there it would keep the error as its context.
            raise raised from cause
        finally:
            # They refer to this frame, which would keep them.
            del raised, cause

    def _converse(
        self, exchange: Exchange, question: Callable[[Exchange], Answer], repeat_until: float
    ) -> Answer:
        try:
            return exchange.attempt(question)
        except redis.ConnectionError as error:
            if exchange.was_lost or not is_lost_connection(error):
                raise
            if not exchange.lost_reply or monotonic() < repeat_until:
                exchange.was_lost = True
                self._connect_again(exchange)
            # Looked at once more, for connecting may have taken its time.
            if exchange.lost_reply and monotonic() >= repeat_until:
                raise
        return exchange.attempt(question)

    def _connect_again(self, exchange: Exchange) -> None:
        exchange.connect()
