"""Whether a node of a Redis Cluster still holds a slot, and has held it all the while."""

import re
from typing import Any

import redis

from repoze.what.plugins.redis.names import described

from .unblocked import Unblocked

_EPOCH = re.compile(rb"cluster_my_epoch:(\d+)\r\n")


class Ownership:
    """Asks a node for a key of the slot and for its epoch, again and again, on *connection*.

    A node that has lost the slot answers the first with ``MOVED``, and one that gives it away with
    ``ASK``, for the key is never there. Whoever takes a slot takes a greater epoch, so a slot that
    was away, and came back between two questions, has changed it.

    :param connection: one that is made, and that nobody else uses.
    :param key: in the slot, where nothing is.
    :param max_staleness: in seconds.
    :param now: the time, on the monotonic clock.
    :raises redis.RedisError: where the node refuses, or does not hold the slot.
    """

    def __init__(self, connection: Any, key: bytes, max_staleness: float, now: float) -> None:
        self._connection = connection
        self._commands = connection.pack_commands([("SMEMBERS", key), ("CLUSTER", "INFO")])
        self._max_staleness = max_staleness
        self._come: list[Any] = []
        self._ask(now)
        replies = [connection.read_response(disable_decoding=True) for _ in range(2)]
        self._epoch = _epoch_in(replies)
        self._sent: float | None = None
        self.proved_at = now
        """When that was asked, on the monotonic clock, which has proved last that it holds it."""
        self._unblocked = Unblocked(connection)

    def _ask(self, now: float) -> None:
        self._sent = self._last_sent = now
        self._connection.send_packed_command(self._commands)

    def poll(self, now: float) -> None:
        """Look what the node has answered, and ask it again when it is time.

        :param now: the time, on the monotonic clock.
        :raises Exception: where it does not hold the slot, or may not have held it meanwhile.
        """
        if self._sent is not None:
            self._come += self._unblocked.read()
            if len(self._come) > 1:
                self._take()
            elif now - self._sent > self._max_staleness:
                raise redis.TimeoutError(f"no answer to CLUSTER INFO for {now - self._sent:.1f} s")
        elif now - self._last_sent >= self._max_staleness / 2:
            self._ask(now)

    def _take(self) -> None:
        epoch = _epoch_in(self._come)
        if epoch != self._epoch:
            raise redis.ConnectionError(f"its epoch was {self._epoch}, and is {epoch} now")
        self._come.clear()
        self.proved_at, self._sent = self._last_sent, None


def _epoch_in(replies: list[Any]) -> int:
    match replies:
        case [[], bytes(information)] if found := _EPOCH.search(information):
            return int(found[1])
    raise redis.InvalidResponse(f"nothing and an epoch were expected, not {described(replies)}")
