"""A server on the loopback that answers what a test says, as no server of Redis would."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from harness.loopback import HOST, accepted
from harness.messages import Messages

HANDSHAKE = {b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", b"CLIENT": b"+OK\r\n", b"SELECT": b"+OK\r\n"}


class FakeServer:
    """A context manager.

    :param answer: is called with the words of each request but those of a handshake, and returns
        what to send, if anything.
    """

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self.answer = answer
        self.handshake = dict(HANDSHAKE)
        """What to send in a handshake, by the command; it is empty where nothing comes."""
        self.delay = lambda: None
        """What happens before each reply of a handshake."""
        self.closes = False
        """Whether a connection is closed when a question has been answered."""
        self.asked: list[list[bytes]] = []
        """For each connection, the commands that came by it."""
        self.answered = 0
        """How many questions have been answered."""
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "FakeServer":
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        for connection in accepted(self._listener):
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        asked: list[bytes] = []
        self.asked.append(asked)
        messages = Messages()
        with suppress(OSError), connection:
            while data := connection.recv(1 << 20):
                request = messages.feed(data)
                if request is None:
                    continue
                # No word of a test's requests is split by what ends a line.
                words = request.split(b"\r\n")[2::2]
                asked.append(words[0])
                if words[0] in self.handshake:
                    self.delay()
                    connection.sendall(self.handshake[words[0]])
                    continue
                connection.sendall(self.answer(words))
                self.answered += 1
                if self.closes:
                    return
