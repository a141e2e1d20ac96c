"""What listens on the loopback, and what becomes of its connections."""

import socket
import struct
from collections.abc import Iterator

HOST = "127.0.0.1"
LONGEST_WAIT = 60
"""In seconds: what takes longer hangs."""
_AT_ONCE = struct.pack("ii", 1, 0)


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections to *listener*, until it is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        yield connection


def reset_on_close(connection: socket.socket) -> None:
    """Let the other end hear of a reset, rather than of an end, when *connection* is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
