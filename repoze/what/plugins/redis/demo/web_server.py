"""The web server: waitress, on the loopback interface, in a thread of its own."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.wasyncore import close_all

from . import DemoError

LOOPBACK = "127.0.0.1"

# It warns of every request that waits for a thread, which is no trouble here.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

# In bytes; the site's forms need a tenth of it.
_LONGEST_BODY = 10_000

# Waitress takes no new connections beyond the second number, however little the others do.
_MOST_IDLE = 50
_MOST_CONNECTIONS = 100


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Waitress' server, which closes the oldest connection where too many wait for their clients.

    Otherwise a hundred requests that are never sent to their end would hold the site.
    """

    def readable(self) -> bool:
        """Return whether a new connection may be taken; waitress asks before it waits for any."""
        idle = [
            channel
            for channel in self.active_channels.values()
            if not (channel.requests or channel.will_close)
        ]
        if len(idle) > _MOST_IDLE:
            oldest = min(idle, key=lambda channel: channel.last_activity)
            oldest.will_close = True
            _hang_up(oldest)
        is_readable: bool = super().readable()
        return is_readable

    def maintenance(self, now: float) -> None:
        """Have closed what has been quiet for long, also where nobody reads what is sent there."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.will_close and channel.last_activity < now - self.adj.channel_timeout:
                _hang_up(channel)


def _hang_up(channel: HTTPChannel) -> None:
    # Waitress closes it when it could be written to, which is never where nobody reads.
    with suppress(OSError):
        channel.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(application: Callable[..., Iterable[bytes]], port: int) -> Iterator[int]:
    """Serve *application* on *port*, or on a free port where that is 0, and yield the port.

    A port that cannot be had is a `DemoError`.
    """
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise DemoError(f"Port {port} cannot be had: {error.strerror}") from error
    connections: dict[int, object] = {}
    closing: dict[int, object] = {}

    def end_the_loop() -> None:
        closing.update(connections)
        connections.clear()

    server = _Server(
        application,
        connections,
        _sock=listener,
        bind_socket=False,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        ident=None,
        max_request_body_size=_LONGEST_BODY,
        connection_limit=_MOST_CONNECTIONS,
    )
    thread = Thread(target=server.run, name="web server")
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.task_dispatcher.shutdown()
        # Waitress' loop ends when it has no connections left; only it may look at them till then.
        server.trigger.pull_trigger(end_the_loop)
        thread.join()
        close_all(closing)
