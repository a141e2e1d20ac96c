"""One database of the user's server, over connections of our own that are tried twice."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple, TypeVar

import redis
from redis.connection import ConnectionPool
from redis.sentinel import SentinelConnectionPool

from repoze.what.process_local import ProcessLocal

from .clients import client_of_database, close_idle, way_to
from .exchange import Exchange
from .failures import Operation, is_lost_connection, is_of_talking, source_error, without_secrets
from .primary import PrimaryAddress, PrimaryWatch

Answer = TypeVar("Answer")

# Names of one interface.
_LOOPBACK = dict.fromkeys(("127.0.0.1", "::1"), "localhost")
# Seconds from one time that Sentinels are asked where the primary is to the next.
WATCH_EVERY = 1.0


class ProcessClient(NamedTuple):
    """What one process asks a database with."""

    # The pool alone would not do: the client listens for renewed credentials.
    client: redis.Redis
    watch: PrimaryWatch | None
    way: object
    """How its connections are made, but for their database: see `way_to`."""

    @property
    def pool(self) -> ConnectionPool:
        """Where connections are from."""
        return self.client.connection_pool

    def close(self) -> None:
        """Stop the watch, and close idle connections.

        What is in use goes back to a pool that nobody has any more, and is closed with that.
        """
        if self.watch is not None:
            self.watch.stop()
        close_idle(self.pool)
        if isinstance(self.pool, SentinelConnectionPool):
            for sentinel in self.pool.sentinel_manager.sentinels:
                close_idle(sentinel.connection_pool)


class Database(ABC):
    """Where a source lies. Nothing is sent there before something is run.

    :param part: what of it is meant, for people to read.
    """

    follows_slot: ClassVar[bool] = False
    """Whether it goes where a slot of a cluster goes."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._last_answer = threading.local()

    def __str__(self) -> str:
        return self.place + self._part

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the database is, for people to read."""

    @property
    @abstractmethod
    def _client(self) -> ProcessClient:
        """What this process asks with."""

    @property
    @abstractmethod
    def location(self) -> object:
        """Where the database is, for comparing: equal for two of one server, as far as is known."""

    @property
    @abstractmethod
    def number(self) -> int:
        """The number of the database."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections. The next question opens anew.

        A question that another thread is asking goes on, and its connection is closed afterwards.
        """

    @abstractmethod
    def _leave(self, left: ProcessClient) -> None:
        """Let what was asked with *left* be asked with another: a connection of it may be lost."""

    @abstractmethod
    def reaches(self, other: "Database") -> bool:
        """Whether a script that is run here may ask *other*, too, where it selects its database."""

    @abstractmethod
    def tracking_client(self) -> redis.Redis:
        """Return a client in RESP2, with a pool of its own, of the server that is asked now."""

    @property
    def primary_address(self) -> PrimaryAddress | None:
        """Where Sentinels or a cluster said last that the primary is; `None` where none does."""
        watch = self._client.watch
        return None if watch is None else watch.primary_address

    @property
    def answered_by(self) -> tuple[str, int] | None:
        """Host and port of the primary that last answered this thread, where it may move."""
        return getattr(self._last_answer, "by", None)

    def run(
        self,
        operation: Operation,
        conversation: Callable[[Exchange], Answer],
        *,
        is_repeatable: bool = True,
    ) -> Answer:
        """Return what *conversation* does; begin it again, once, where the connection was gone.

        :param operation: what it is for, for errors to name.
        :param conversation: is called with an exchange; a second time, where the first was lost.
        :param is_repeatable: whether to send again what was sent and whose reply is lost. What was
            not sent is always sent again.
        :raises SourceUnavailable: where the server cannot be reached or does not answer.
        :raises SourceError: where it refuses, or answers nonsense.
        :raises BaseException: what is not of talking to a server, but of the application.
        """
        client = self._client
        if client.watch is not None:
            client.watch.start()
        exchange = Exchange(client.pool)
        try:
            try:
                answer = self._converse(exchange, conversation, is_repeatable)
                if self.follows_slot or client.watch is not None:
                    self._note_answer(exchange.address)
                return answer
            finally:
                exchange.close()
                if client.watch is not None and exchange.has_failed:
                    client.watch.wake()
        except BaseException as error:
            if exchange.has_leaked:
                # It was interrupted in the pool itself, and nobody knows where.
                self._leave(client)
            if not is_of_talking(error):
                raise
            raised = source_error(
                error,
                operation,
                self,
                lost_reply=exchange.lost_reply,
                follows_slot=self.follows_slot,
            )
            cause = without_secrets(error)
        try:
            # Out of the handler, for there it would keep the error as its context.
            raise raised from cause
        finally:
            # They refer to this frame, which would keep them.
            del raised, cause

    def _note_answer(self, address: tuple[str, int]) -> None:
        self._last_answer.by = address

    def _converse(
        self, exchange: Exchange, conversation: Callable[[Exchange], Answer], is_repeatable: bool
    ) -> Answer:
        while True:
            try:
                return exchange.attempt(conversation)
            except redis.ConnectionError as error:
                if (
                    exchange.has_retried
                    or not is_lost_connection(error)
                    or (exchange.lost_reply and not is_repeatable)
                ):
                    raise
            exchange.has_retried = True
            self._connect_again(exchange)

    def _connect_again(self, exchange: Exchange) -> None:
        exchange.connect()


class ServerDatabase(Database):
    """One database of a server.

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
        super().__init__(part)
        self._compared: tuple[ProcessClient | None, ProcessClient | None, bool] = None, None, False
        self._derive = partial(client_of_database, client, db)
        self._open = partial(_opened, client, db, watch_every)
        self._clients = ProcessLocal(self._open)
        # What it cannot be made of is told at once.
        self._clients.get()

    @property
    def _client(self) -> ProcessClient:
        return self._clients.get()

    def close(self) -> None:
        """Close all connections, and ask no Sentinel any more. The next question opens anew.

        A question that another thread is asking goes on, and its connection is closed afterwards.
        """
        self._leave(self._client)

    def _leave(self, left: ProcessClient) -> None:
        if self._client is left:
            self._clients.set(self._open())
        left.close()

    def reaches(self, other: Database) -> bool:  # noqa: D102
        if not isinstance(other, ServerDatabase):
            return False
        # Compared once: that takes as long as a question.
        ours, others = self._client, other._client  # noqa: SLF001 - its sibling
        compared = self._compared
        if compared[0] is not ours or compared[1] is not others:
            compared = self._compared = ours, others, ours.way == others.way
        return compared[2]

    def tracking_client(self) -> redis.Redis:  # noqa: D102
        return self._derive(protocol=2)

    @property
    def number(self) -> int:  # noqa: D102
        return _number_of(self._client.pool)

    @property
    def location(self) -> object:  # noqa: D102
        pool = self._client.pool
        if isinstance(pool, SentinelConnectionPool):
            sentinels = [each.connection_pool for each in pool.sentinel_manager.sentinels]
            return pool.service_name, frozenset(map(_address_of, sentinels)), self.number
        return _address_of(pool), self.number

    @property
    def place(self) -> str:
        """Where the database is, for people to read."""
        pool = self._client.pool
        settings = pool.connection_kwargs
        if isinstance(pool, SentinelConnectionPool):
            role = "" if pool.is_master else "a replica of "
            place = f"{role}service {pool.service_name!r}"
        else:
            place = "at " + (
                os.fsdecode(settings.get("path") or b"")
                or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
            )
        return f"Redis {place}, database {self.number}"


def _number_of(pool: ConnectionPool) -> int:
    # redis-py takes text, too.
    return int(pool.connection_kwargs.get("db") or 0)


def _address_of(pool: ConnectionPool) -> object:
    settings = pool.connection_kwargs
    if path := settings.get("path"):
        return os.path.realpath(os.fsdecode(path))
    host = str(settings.get("host", "localhost")).lower().removesuffix(".")
    return _LOOPBACK.get(host, host), int(settings.get("port", 6379))


def _opened(client: redis.Redis, db: int | None, watch_every: float) -> ProcessClient:
    derived = client_of_database(client, db)
    pool = derived.connection_pool
    watch = None
    if isinstance(pool, SentinelConnectionPool) and pool.is_master:
        watch = PrimaryWatch(pool, watch_every)
    return ProcessClient(derived, watch, way_to(client.connection_pool, _number_of(pool)))
