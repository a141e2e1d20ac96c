"""A proxy on the loopback that counts round trips, and fails where and as a test says."""

import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from harness.loopback import HOST, LONGEST_WAIT, accepted, reset_on_close
from harness.messages import Messages

GARBAGE = b"?what\r\n"
_HANDSHAKE = re.compile(rb"\r\n(HELLO|AUTH|SELECT|CLIENT|SETINFO)\r\n")


class Point(Enum):
    """Where something fails. A half is that of all bytes of a request, or of a reply."""

    CONNECTING = "as the connection is made"
    HANDSHAKE = "half of the first reply of the handshake is passed on"
    SELECTING = "half of the reply to SELECT is passed on"
    BEFORE_REQUEST = "some of the request has come, none is passed on"
    MID_REQUEST = "half of the request is passed on"
    BEFORE_REPLY = "the server has acted, none of its reply is passed on"
    MID_REPLY = "half of the reply is passed on"


class Action(Enum):
    """What becomes of the connection there, and of the rest of what is on its way."""

    CLOSE = "both ends are closed"
    RESET = "the client's end is reset"
    STALL = "it goes on when a test says `release`"
    DELAY = "it goes on later"
    SPLIT = "the rest goes on in single bytes"
    GARBLE = "something else goes on in place of the rest"


@dataclass(frozen=True)
class Fault:
    """An action at a point, after *seconds* there; in a split, they are before each byte."""

    action: Action
    point: Point
    seconds: float = 0


CUT_REQUEST = Fault(Action.CLOSE, Point.MID_REQUEST)
RESET_REQUEST = Fault(Action.RESET, Point.BEFORE_REQUEST)
CUT_REPLY = Fault(Action.CLOSE, Point.BEFORE_REPLY)
HOLD_REPLY = Fault(Action.STALL, Point.BEFORE_REPLY)
GARBLE_REPLY = Fault(Action.GARBLE, Point.BEFORE_REPLY)

_OF_A_QUESTION = {
    *(Point.BEFORE_REQUEST, Point.MID_REQUEST),
    *(Point.BEFORE_REPLY, Point.MID_REPLY),
}
_BEFORE = {Point.BEFORE_REQUEST, Point.BEFORE_REPLY}
_ON_REQUESTS = {Point.BEFORE_REQUEST, Point.MID_REQUEST}


class Proxy:
    """Relays to a server at *port*, itself speaking *tls* if that is given; a context manager.

    `round_trips` counts the requests that were followed by a reply, but for handshakes;
    `connections` what was connected to it, and `faults` those that have happened.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.round_trips = 0
        self.connections = 0
        self.faults = 0
        self.meanwhile = lambda: None
        """What happens while a fault does."""
        self.sleep = time.sleep
        """What lets the seconds of a fault pass."""
        self._server_port: int | None = port
        self._tls = tls
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._held = threading.Event()
        self._holding: set[int] = set()
        self._released = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._clients: set[socket.socket] = set()
        self._relays: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Proxy":
        self._accepting.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        self.settle()

    def arm(self, *faults: Fault) -> None:
        """Let *faults* happen, in this order, each where its point is next; forget earlier ones.

        No two of them happen to one request and its reply.
        """
        self._held.clear()
        self._released.clear()
        self._faults = list(faults)

    @property
    def is_armed(self) -> bool:
        """Whether there is a fault that has yet to happen."""
        return bool(self._faults)

    def wait_until_held(self) -> None:
        """Return when something stalls."""
        assert self._held.wait(LONGEST_WAIT)

    def holds(self, client: socket.socket) -> bool:
        """Whether what comes to *client*, or from it, stalls here."""
        return client.getsockname()[1] in self._holding

    def release(self) -> None:
        """Let go on what stalls."""
        self._released.set()

    def lose_server(self) -> None:
        """Close every connection and, from now on, each new one at once."""
        self._server_port = None
        self.cut_all()

    def find_server(self, port: int) -> None:
        """Relay to the server at *port* again."""
        self._server_port = port

    def cut_all(self) -> None:
        """Close every connection, as a server does that is stopped."""
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def settle(self) -> None:
        """Close every connection, and return when the server has done what it was sent by them."""
        self.release()
        self.cut_all()
        for relay in list(self._relays):
            relay.join(LONGEST_WAIT)

    @contextmanager
    def counted(self, expected: int) -> Iterator[None]:
        """Check that what is done meanwhile takes *expected* round trips."""
        before = self.round_trips
        yield
        assert self.round_trips - before == expected

    def _accept(self) -> None:
        for client in accepted(self._listener):
            self.connections += 1
            relay = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._relays = [*filter(threading.Thread.is_alive, self._relays), relay]
            relay.start()

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            self._fail(self._next_fault({Point.CONNECTING}), client, b"", client)
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        if self._server_port is None:
            return
        with socket.create_connection((HOST, self._server_port)) as server:
            self._clients.add(client)
            try:
                self._pass_on(client, server)
            finally:
                self._clients.discard(client)
                client.close()
                # When it closes its end, it has done what it was sent.
                server.settimeout(LONGEST_WAIT)
                server.shutdown(socket.SHUT_WR)
                while server.recv(1 << 20):
                    pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        fault, is_first, is_question = None, True, False
        requests, replies = Messages(), Messages()
        with selectors.DefaultSelector() as selector:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(end, selectors.EVENT_READ)
            while True:
                sender = selector.select()[0][0].fileobj
                data = sender.recv(1 << 20)
                if not data:
                    return
                is_request = sender is client
                messages, target = (requests, server) if is_request else (replies, client)
                if is_request and not requests.unfinished:
                    is_question = not _HANDSHAKE.search(data)
                    fault = self._next_fault(_points_of(data, is_first, is_question))
                    is_first = False
                elif not is_request and not replies.unfinished:
                    self.round_trips += is_question
                message = messages.feed(data)
                if fault is None or (fault.point in _ON_REQUESTS) != is_request:
                    target.sendall(data)
                elif fault.point in _BEFORE:
                    self._fail(fault, client, data, target)
                    fault = None
                elif message:
                    half = _half(message, fault.action)
                    target.sendall(message[:half])
                    self._fail(fault, client, message[half:], target)
                    fault = None

    def _next_fault(self, points: set[Point]) -> Fault | None:
        with self._lock:
            is_next = self._faults and self._faults[0].point in points
            return self._faults.pop(0) if is_next else None

    def _fail(
        self, fault: Fault | None, client: socket.socket, rest: bytes, target: socket.socket
    ) -> None:
        """Do to *rest*, on its way to *target*, and to the connection what *fault* says."""
        if fault is None:
            return
        self.faults += 1
        self.meanwhile()
        if fault.action is Action.SPLIT:
            for number in rest:
                self.sleep(fault.seconds)
                target.sendall(bytes([number]))
            return
        self.sleep(fault.seconds)
        if fault.action in {Action.CLOSE, Action.RESET}:
            if fault.action is Action.RESET:
                reset_on_close(client)
            raise ConnectionAbortedError
        if fault.action is Action.STALL:
            self._held.set()
            port = client.getpeername()[1]
            self._holding.add(port)
            self._released.wait(LONGEST_WAIT)
            self._holding.discard(port)
        target.sendall(GARBAGE if fault.action is Action.GARBLE else rest)


def _points_of(request: bytes, is_first: bool, is_question: bool) -> set[Point]:
    if is_question:
        return _OF_A_QUESTION
    points = {Point.HANDSHAKE} if is_first else set()
    return points | {Point.SELECTING} if b"\r\nSELECT\r\n" in request else points


def _half(message: bytes, action: Action) -> int:
    half = len(message) // 2
    if action is not Action.GARBLE:
        return half
    # Between two elements: in the midst of a text, whatever comes is that text.
    boundary = message.rfind(b"\r\n$", 0, half)
    return boundary + 2 if boundary > 0 else 0
