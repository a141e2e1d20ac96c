"""Connections that time out without anybody waiting for it: time passes where a test says so."""

import select
import socket
from collections.abc import Callable

import redis
from redis.sentinel import SentinelManagedConnection

from harness.loopback import HOST

# In seconds: how often to look whether nothing more will come.
_LOOK_EVERY = 0.002


class VirtualTime:
    """The time that connections take, in seconds that nobody waits for.

    It passes where they time out, and where a test lets it.

    :param is_late: whether nothing will come from the server any more, so that who waits for it, at
        this socket, does so in vain.
    """

    def __init__(self, is_late: Callable[[socket.socket], bool]) -> None:
        self.is_late = is_late
        self.now = 0.0
        self.attempts = 0
        """How often anybody has tried to connect."""
        self.waits = 0
        """How often anybody has waited for something that was not there yet."""

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class VirtualTimeConnection(redis.Connection):
    """Waits for a reply as long as it may come. Then its time-out has passed."""

    def __init__(self, virtual_time: VirtualTime, **settings) -> None:
        super().__init__(**settings)
        self._virtual_time = virtual_time

    def _connect(self) -> "_Socket":
        self._virtual_time.attempts += 1
        try:
            return _Socket(super()._connect(), self._virtual_time)
        except TimeoutError:
            self._virtual_time.sleep(self.socket_connect_timeout)
            raise


class VirtualTimeManagedConnection(VirtualTimeConnection, SentinelManagedConnection):
    """The same to a server that a Sentinel finds."""


def virtual_time_client(
    port: int,
    time: VirtualTime,
    pool_class: type[redis.ConnectionPool] = redis.ConnectionPool,
    **settings,
) -> redis.Redis:
    """Return a client of the server at *port* of the loopback, whose connections take *time*."""
    pool = pool_class(
        connection_class=VirtualTimeConnection,
        virtual_time=time,
        host=HOST,
        port=port,
        **{"socket_timeout": 60, **settings},
    )
    return redis.Redis(connection_pool=pool)


class _Socket:
    def __init__(self, real: socket.socket, virtual_time: VirtualTime) -> None:
        self._real = real
        self._virtual_time = virtual_time

    def __getattr__(self, name: str):
        return getattr(self._real, name)

    def recv(self, *arguments) -> bytes:
        self._wait()
        return self._real.recv(*arguments)

    def recv_into(self, *arguments) -> int:
        self._wait()
        return self._real.recv_into(*arguments)

    def _wait(self) -> None:
        time, seconds = self._virtual_time, self._real.gettimeout()
        if seconds == 0 or select.select([self._real], [], [], 0)[0]:
            return
        began = time.now
        time.waits += 1
        while True:
            # Asked first: what came before it was late is still read.
            is_late = time.is_late(self._real) or time.now - began >= seconds
            if select.select([self._real], [], [], _LOOK_EVERY)[0]:
                return
            if is_late:
                time.now = max(time.now, began + seconds)
                raise TimeoutError("timed out")
