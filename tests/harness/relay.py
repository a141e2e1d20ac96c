"""A relay on the loopback whose connections a test strikes at any moment, all at once."""

import socket
import threading
import time
from contextlib import suppress
from enum import Enum

from harness.loopback import HOST, LONGEST_WAIT, accepted, reset_on_close
from harness.proxy import GARBAGE


class Strike(Enum):
    """What becomes of connections; the first three last until the relay is healed."""

    STALL = "nothing is passed on, in neither direction"
    DELAY = "everything is passed on later"
    SPLIT = "everything is passed on in single bytes"
    CUT = "both ends are closed"
    RESET = "the client's end is reset"
    HALF_OPEN = "the server's end is closed, and the client is not told"
    GARBLE = "what the server says next is passed on as something else"


_LASTING = {Strike.STALL, Strike.DELAY, Strike.SPLIT}


class Relay:
    """Relays to a server at *port*; a context manager.

    Unlike a `Proxy`, it neither knows nor cares what is a request and what a reply.

    :param delay: in seconds, for what is passed on later.
    """

    def __init__(self, port: int, delay: float = 0.1) -> None:
        self._server_port = port
        self._delay = delay
        self._lasting: Strike | None = None
        self._strikes_all = True
        self._healed = threading.Event()
        self._links: list[_Link] = []
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Relay":
        self._accepting.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.heal()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        for link in self._links:
            link.cut()
            link.thread.join(LONGEST_WAIT)
            assert not link.thread.is_alive()

    def strike(self, strike: Strike, *, only_tracking: bool = False) -> int:
        """Let *strike* happen to the connections that there are, and, if it lasts, to new ones.

        It has happened when this returns, but for what waits for something to be passed on.

        :param only_tracking: whether it spares the connections that do not track.
        :return: how many there are that it happens to.
        """
        self._healed.clear()
        self._strikes_all = not only_tracking
        if strike in _LASTING:
            self._lasting = strike
        struck = [link for link in self._links if self._concerns(link) and link.is_open]
        for link in struck:
            if strike is Strike.CUT:
                link.cut()
            elif strike is Strike.RESET:
                link.reset()
                # Until then, it might still pass on what the server says.
                link.thread.join(LONGEST_WAIT)
            elif strike is Strike.HALF_OPEN:
                link.open_halfway()
            elif strike is Strike.GARBLE:
                link.is_garbled = True
        return len(struck)

    def heal(self) -> None:
        """Let go on what stalls, and pass on everything as it comes."""
        self._lasting = None
        self._healed.set()

    def _concerns(self, link: "_Link") -> bool:
        return self._strikes_all or link.is_tracking

    def _accept(self) -> None:
        for client in accepted(self._listener):
            link = _Link(self, client)
            self._links = [*(link for link in self._links if link.thread.is_alive()), link]
            link.thread.start()

    def connect(self) -> socket.socket:
        """Return a connection to the server."""
        return socket.create_connection((HOST, self._server_port))

    def pass_on(self, link: "_Link", data: bytes, target: socket.socket) -> None:
        """Pass on *data*, as the strike wants it that there is now."""
        lasting = self._lasting if self._concerns(link) else None
        if lasting is Strike.STALL:
            self._healed.wait(LONGEST_WAIT)
        elif lasting is Strike.DELAY:
            time.sleep(self._delay)
        elif lasting is Strike.SPLIT:
            for number in data:
                target.sendall(bytes([number]))
                time.sleep(0.0002)
            return
        target.sendall(data)


class _Link:
    """A client's connection, and the one to the server that stands behind it."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        self.is_open = True
        self.is_tracking = False
        self.is_garbled = False
        self._is_half_open = False
        self._relay = relay
        self._client = client
        self._server: socket.socket | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with suppress(OSError), self._client, self._relay.connect() as server:
            self._server = server
            for end in (self._client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            replies = threading.Thread(target=self._pass_replies, args=(server,), daemon=True)
            replies.start()
            self._pass_requests(server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            replies.join(LONGEST_WAIT)
        self.is_open = False

    def _pass_requests(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := self._client.recv(1 << 16):
                self.is_tracking |= b"TRACKING" in data
                if not self._is_half_open:
                    with suppress(OSError):
                        self._relay.pass_on(self, data, server)

    def _pass_replies(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.is_garbled:
                    self.is_garbled, data = False, GARBAGE
                self._relay.pass_on(self, data, self._client)
        if not self._is_half_open:
            # The other thread wakes up, and closes what there is.
            self._hang_up(self._client, socket.SHUT_RD)

    def cut(self) -> None:
        self._hang_up(self._client, socket.SHUT_RDWR)

    def reset(self) -> None:
        reset_on_close(self._client)
        self._hang_up(self._client, socket.SHUT_RD)

    def open_halfway(self) -> None:
        self._is_half_open = True
        if self._server is not None:
            self._hang_up(self._server, socket.SHUT_RDWR)

    def _hang_up(self, end: socket.socket, how: int) -> None:
        with suppress(OSError):
            end.shutdown(how)
