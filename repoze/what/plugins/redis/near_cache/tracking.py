"""A connection on which the server says what has changed."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import redis

from repoze.what.plugins.redis.names import described

from .ownership import Ownership
from .unblocked import Unblocked

_CHANNEL = b"__redis__:invalidate"
# What making one waits for at most: TCP, TLS, AUTH, the name, twice the library's, SELECT, and four
# commands of ours. A second connection takes no longer.
_STEPS = 11


class CannotTrackError(Exception):
    """Why the server, or the way to it, does not let a client track what has changed."""


class Tracking:
    """Hears of each change of a key that begins with one of *prefixes*, from when it was made on.

    It is ``CLIENT TRACKING`` in broadcasting mode, in RESP2: the messages are those of a channel
    that the connection itself has subscribed to. Nothing but making it waits for the network, or
    lets another greenlet go on.

    Of a node of a Redis Cluster that is not enough: see `Ownership`.

    It is of use for as long as nothing has raised. Then it is to be closed, and another one made:
    what was sent meanwhile is lost.

    :param client: a client in RESP2 of which nobody else uses the pool.
    :param max_staleness: in seconds.
    :param began: when a lookup began, on the monotonic clock, that waits for it to be made: no
        longer than it may take by the promise that goes by the client's time-outs.
    :param address: where Sentinels say that the server is, if they do; they are not asked again.
    :param slot_key: where nothing is in the slot, if the server is a node of a Redis Cluster that
        is to prove that it holds that.
    :raises CannotTrackError: where tracking is not possible there.
    :raises redis.RedisError: where the server refuses, cannot be reached or does not answer.
    """

    def __init__(  # noqa: PLR0913 - each is something else
        self,
        client: redis.Redis,
        prefixes: Iterable[bytes],
        max_staleness: float,
        began: float,
        *,
        address: tuple[str, int] | None = None,
        slot_key: bytes | None = None,
    ) -> None:
        self._client = client
        self._max_staleness = max_staleness
        self._ping_number = 0
        self._ping_sent: float | None = None
        self._last_ping_sent = 0.0
        self._answered_at = 0.0
        self._ownership: Ownership | None = None
        pool = client.connection_pool
        connection: Any = pool.make_connection()
        # What has subscribed may ask for nothing else.
        self._asking = cast(Any, None if slot_key is None else pool.make_connection())
        self._connection = connection
        try:
            self._shorten_time_outs(began)
            if address is None:
                connection.connect()
            else:
                connection.connect_to(address)
            self._begin(prefixes, is_node=slot_key is not None)
            if slot_key is not None:
                self._asking.connect()
                self._ownership = Ownership(self._asking, slot_key, max_staleness, time.monotonic())
        except BaseException:
            self.close()
            raise

    def _shorten_time_outs(self, began: float) -> None:
        connection = self._connection
        waits = connection.socket_connect_timeout, connection.socket_timeout
        if None in waits:
            # Then a lookup may wait for ever as well.
            return
        left = began + 2 * sum(waits) - time.monotonic()
        if left <= 0:
            raise redis.TimeoutError("the lookup before it has taken all of its time")
        connections = [each for each in (connection, self._asking) if each is not None]
        shortened = [min(wait, left / (_STEPS * len(connections))) for wait in waits]
        for each in connections:
            each.socket_connect_timeout, each.socket_timeout = shortened

    def _begin(self, prefixes: Iterable[bytes], *, is_node: bool) -> None:
        # Unlike CLIENT ID, it needs no permission.
        hello = self._ask("HELLO", 2)
        # Nothing is tried and caught: a time limit of the application's own may be of any class.
        fields = hello if isinstance(hello, list) else []
        mode, number = (_value_of(name, fields) for name in (b"mode", b"id"))
        if mode is None or number is None:
            raise CannotTrackError(f"it answers HELLO with {described(hello)}")
        if mode == b"cluster" and not is_node:
            raise CannotTrackError(
                "it is a node of a Redis Cluster, and does not say when it has lost the slot"
            )
        of_each = [word for prefix in prefixes for word in ("PREFIX", prefix)]
        turned_on = self._ask("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *of_each)
        if turned_on != b"OK":
            raise CannotTrackError(f"it answers CLIENT TRACKING with {described(turned_on)}")
        self._ask("SUBSCRIBE", _CHANNEL)
        self._send_ping(time.monotonic())
        while self._ping_sent is not None:
            # Nothing has been kept yet that what it says could be about.
            self._take(self._connection.read_response(disable_decoding=True))
        self._unblocked = Unblocked(self._connection)

    def _ask(self, *command: bytes | str | int) -> Any:
        self._connection.send_command(*command)
        return self._connection.read_response(disable_decoding=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        return self._connection.host, self._connection.port

    def poll(self, now: float) -> Sequence[bytes | None]:
        """Return the keys that have changed since the last poll; `None` stands for all keys.

        There may be more to come where `is_behind` is true then.

        :param now: the time, on the monotonic clock.
        :raises Exception: where the connection is lost, whatever made it so.
        """
        changed: list[bytes | None] = []
        for message in self._unblocked.read():
            changed += self._take(message)
        if self._ping_sent is None:
            if now - self._last_ping_sent >= self._max_staleness / 2:
                self._send_ping(now)
        elif not self.is_behind and now - self._ping_sent > self._max_staleness:
            raise redis.TimeoutError(f"no answer to a PING for {now - self._ping_sent:.1f} s")
        if self._ownership is not None:
            self._ownership.poll(now)
        return changed

    @property
    def is_behind(self) -> bool:
        """Whether there was more to read than the last poll has read."""
        return self._unblocked.is_behind

    @property
    def proved_at(self) -> float:
        """When that was sent, on the monotonic clock, which the server has last answered here."""
        if self._ownership is None:
            return self._answered_at
        return min(self._answered_at, self._ownership.proved_at)

    def _take(self, message: Any) -> Sequence[bytes | None]:
        match message:
            case [b"message", channel, None] if channel == _CHANNEL:
                return [None]
            case [b"message", channel, [*keys]] if channel == _CHANNEL:
                return keys
            case [b"pong", number] if number == b"%d" % self._ping_number and self._ping_sent:
                self._answered_at, self._ping_sent = self._ping_sent, None
                return ()
        raise redis.InvalidResponse(f"an invalidation was expected, not {described(message)}")

    def _send_ping(self, now: float) -> None:
        self._ping_number += 1
        self._ping_sent = self._last_ping_sent = now
        self._connection.send_command("PING", self._ping_number)

    def close(self) -> None:
        """Close the connection."""
        for connection in (self._connection, self._asking):
            if connection is not None:
                connection.disconnect()
        self._client.connection_pool.disconnect()


def _value_of(name: bytes, fields: list[Any]) -> Any:
    """Return what follows *name* in a reply of names and values by turns, if it is there."""
    return next((value for each, value in zip(fields[::2], fields[1::2]) if each == name), None)  # noqa: B905 - a name may lack its value
