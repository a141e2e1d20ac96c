"""A proxy on the loopback that counts round trips, and cuts a connection where a test says."""

import re
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

HOST = "127.0.0.1"
_HANDSHAKE = re.compile(rb"\r\n(HELLO|AUTH|SELECT|CLIENT|SETINFO)\r\n")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What becomes of a request, and of the connection that it came by."""

    CUT_REQUEST = "half of it reaches the server, then the connection is closed"
    RESET_REQUEST = "the connection is reset while it is being sent"
    CUT_REPLY = "the server acts, and the connection is closed before its reply"
    HOLD_REPLY = "the server acts, and its reply waits until `release`"
    GARBLE_REPLY = "the server acts, and something that is no reply arrives"


_CUTS_REQUEST = (Fault.CUT_REQUEST, Fault.RESET_REQUEST)


class Proxy:
    """Relays to a server at *port*, itself speaking *tls* if that is given; a context manager.

    `round_trips` counts the requests that were followed by a reply, but for handshakes.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.round_trips = 0
        self.connections = 0
        self._server_port: int | None = port
        self._faults: list[Fault] = []
        self._refusals = 0
        self.delay = 0.0
        """How many seconds a new connection takes."""
        self.meanwhile = lambda: None
        """What happens between the server's reply and its loss, where that is cut off."""
        self._tls = tls
        self._held = threading.Event()
        self._released = threading.Event()
        self._released.set()
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Proxy":
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        self._released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(10)

    def arm(self, *faults: Fault) -> None:
        """Let the next requests but handshakes meet *faults*, one each; forget earlier ones."""
        if Fault.HOLD_REPLY in faults:
            self._held.clear()
            self._released.clear()
        self._faults = list(faults)

    def wait_until_held(self) -> None:
        """Return when a reply is being held."""
        assert self._held.wait(10)

    def release(self) -> None:
        """Let the replies go that are held."""
        self._released.set()

    def refuse_next(self) -> None:
        """Close the next connection at once."""
        self._refusals = 1

    def lose_server(self) -> None:
        """Close every connection and, from now on, each new one at once."""
        self._server_port = None
        self.cut_all()

    def cut_all(self) -> None:
        """Close every connection, as a server does that is stopped."""
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def counted(self, expected: int) -> Iterator[None]:
        """Check that what is done meanwhile takes *expected* round trips."""
        before = self.round_trips
        yield
        assert self.round_trips - before == expected

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        if self._server_port is None or self._refusals:
            self._refusals = 0
            client.close()
            return
        if self._tls is not None:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:
                client.close()
                return
        time.sleep(self.delay)
        server = socket.create_connection((HOST, self._server_port))
        self._open |= {client, server}
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            try:
                self._pass_on(client, server, selector)
            except OSError:
                pass
            finally:
                self._open -= {client, server}

    def _pass_on(self, client, server, selector) -> None:
        fault = None
        asked = False
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 20)
                if not data:
                    return
                if key.fileobj is client:
                    if not asked and not _HANDSHAKE.search(data):
                        asked = True
                        fault = self._faults.pop(0) if self._faults else None
                    if fault in _CUTS_REQUEST:
                        self._cut_request(fault, data, client, server)
                        return
                    server.sendall(data)
                else:
                    self.round_trips += asked
                    if fault is Fault.CUT_REPLY:
                        self.meanwhile()
                        return
                    if fault is Fault.HOLD_REPLY:
                        self._held.set()
                        self._released.wait(30)
                    client.sendall(b"?what\r\n" if fault is Fault.GARBLE_REPLY else data)
                    asked, fault = False, None

    def _cut_request(self, fault, data, client, server) -> None:
        if fault is Fault.CUT_REQUEST:
            server.sendall(data[: len(data) // 2])
        else:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
