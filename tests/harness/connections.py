"""What tests look at of the connections of an adapter, and of its pool."""

import threading
from collections.abc import Callable

import pytest
import redis

from harness.loopback import HOST


class NotedConnection(redis.Connection):
    """Is in the list *used* of a test from when something is first sent on it."""

    def __init__(self, used: list[redis.Connection], **settings) -> None:
        super().__init__(**settings)
        self._used = used

    def send_packed_command(self, *arguments, **options) -> None:
        if self not in self._used:
            self._used.append(self)
        super().send_packed_command(*arguments, **options)


def noted_client(port: int, used: list[redis.Connection], **settings) -> redis.Redis:
    """Return a client; *used* has the connections of all adapters that are given it."""
    pool = redis.ConnectionPool(
        connection_class=NotedConnection, used=used, host=HOST, port=port, **settings
    )
    return redis.Redis(connection_pool=pool)


def pool_asked(work: Callable[[], object]) -> redis.ConnectionPool:
    """Return the pool that *work*, in this thread, has its connections from."""
    pools = set()
    thread, release = threading.get_ident(), redis.ConnectionPool.release

    def note(pool, connection):
        if threading.get_ident() == thread:
            pools.add(pool)
        release(pool, connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.ConnectionPool, "release", note)
        work()
    [pool] = pools
    return pool
