"""A connection that is read without waiting for what is to come."""

import select
import socket
import ssl
import sys
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

import redis

# A message takes some 10 microseconds to read.
_MESSAGES_AT_A_TIME = 200
_WOULD_WAIT = (BlockingIOError, ssl.SSLWantReadError)


class Unblocked:
    """Reads what has come on *connection*, without letting another greenlet go on.

    :param connection: one that is made, and on which nobody waits for anything from now on.
    """

    def __init__(self, connection: Any) -> None:
        # There is no other way to read what has come, and not wait for the rest of it.
        self._connection = connection
        self._socket = connection._sock  # noqa: SLF001
        self._socket.setblocking(False)
        self._may_read = _readiness_of(self._socket)
        self.is_behind = False
        """Whether there was more to read than was read last."""

    def read(self) -> list[Any]:
        """Return the replies and messages that have come since the last time, or some of them.

        :raises redis.RedisError: where a reply is an error, or the connection is lost.
        """
        if self._connection._sock is not self._socket:  # noqa: SLF001
            # redis-py would connect anew.
            raise redis.ConnectionError("the connection has been closed")
        come: list[Any] = []
        if not self.is_behind and not self._may_read(0):
            return come
        handled = sys.exc_info()[1]
        for _ in range(_MESSAGES_AT_A_TIME):
            try:
                come.append(
                    self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
                )
            except redis.ConnectionError as error:
                # A loss has no cause; then it is what an application is handling that asks. With a
                # name here, its traceback would keep this frame, and those of all that called it.
                if error.__context__ is handled or not isinstance(error.__context__, _WOULD_WAIT):
                    raise
                self.is_behind = False
                break
        else:
            self.is_behind = True
        return come


def _readiness_of(connected: Any) -> Callable[[int], object]:
    """Return what says at once whether there may be something to read; it is called with a 0."""
    # A greenlet library puts something in its place that lets other greenlets go on, or nothing at
    # all, as Windows does.
    if isinstance(getattr(select, "poll", None), BuiltinFunctionType):
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return poll.poll
    if hasattr(connected, "pending"):
        # TLS has no way to look without reading.
        return lambda _: True
    return lambda _: _has_data(connected)


def _has_data(connected: socket.socket) -> bool:
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True
