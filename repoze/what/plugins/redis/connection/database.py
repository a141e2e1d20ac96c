"""One database of the user's server, over connections of our own that are tried twice."""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import redis
from redis.connection import ConnectionPool
from redis.sentinel import SentinelConnectionPool

from .clients import client_of_database, close_idle
from .exchange import Exchange
from .failures import Task, is_lost_connection, is_of_talking, source_error, without_secrets
from .primary import Confirmation, PrimaryWatch

Answer = TypeVar("Answer")

# Seconds from one time that Sentinels are asked where the primary is to the next.
WATCH_EVERY = 1.0


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
        close_idle(self.pool)
        if isinstance(self.pool, SentinelConnectionPool):
            for sentinel in self.pool.sentinel_manager.sentinels:
                close_idle(sentinel.connection_pool)


class Database:
    """One database of a server. Nothing is sent to it before it is asked.

    Where Sentinels manage it as a primary, they are asked in a thread where that is: see
    `PrimaryWatch`.

    :param client: a redis-py client, which is not changed: see `client_of_database`.
    :param db: the number of the database; `None` is that of *client*.
    :param part: what of it is meant, for people to read.
    :param watch_every: seconds from one time that Sentinels are asked to the next.
    """

    _FOLLOWS_SLOT = False

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
        self._leave(self._last_opened)

    def _leave(self, left: Opened, /) -> None:
        if self._last_opened is left:
            self._last_opened = self._open()
        left.close()

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
        self, task: Task, question: Callable[[Exchange], Answer], *, is_repeatable: bool = True
    ) -> Answer:
        """Return what *question* returns; ask again, once, where the connection was gone.

        :param task: what is asked, for errors to name.
        :param question: is called with an exchange; a second time, where the first was lost.
        :param is_repeatable: whether to ask again what was sent and whose reply is lost. What was
            not sent is always sent again.
        :raises SourceUnavailable: where the server cannot be reached or does not answer.
        :raises SourceError: where it refuses, or answers nonsense.
        :raises BaseException: what is not of talking to a server, but of the application.
        """
        opened = self._opened
        if opened.watch is not None:
            opened.watch.start()
        exchange = Exchange(opened.pool)
        try:
            try:
                answer = self._converse(exchange, question, is_repeatable)
                if opened.watch is not None:
                    self._last_answer.by = exchange.connection.host, exchange.connection.port
                return answer
            finally:
                exchange.close()
                if opened.watch is not None and exchange.has_failed:
                    opened.watch.hurry()
        except BaseException as error:
            if exchange.has_leaked and not isinstance(error, redis.RedisError):
                # It was interrupted in the pool itself, and nobody knows where.
                self._leave(opened)
            if not is_of_talking(error):
                raise
            raised = source_error(
                error,
                task,
                self,
                lost_reply=exchange.lost_reply,
                follows_slot=self._FOLLOWS_SLOT,
            )
            cause = without_secrets(error)
        try:
            # Out of the handler, for there it would keep the error as its context.
            raise raised from cause
        finally:
            # They refer to this frame, which would keep them.
            del raised, cause

    def _converse(
        self, exchange: Exchange, question: Callable[[Exchange], Answer], is_repeatable: bool
    ) -> Answer:
        try:
            return exchange.attempt(question)
        except redis.ConnectionError as error:
            if (
                exchange.was_lost
                or not is_lost_connection(error)
                or (exchange.lost_reply and not is_repeatable)
            ):
                raise
            exchange.was_lost = True
            self._connect_again(exchange)
        return exchange.attempt(question)

    def _connect_again(self, exchange: Exchange) -> None:
        exchange.connect()
