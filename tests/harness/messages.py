"""Where requests and replies end in a stream, by the lengths that RESP announces."""

_BLOBS = b"$=!"
_ELEMENTS_OF_EACH = {b"*": 1, b"~": 1, b">": 1, b"%": 2}


class Messages:
    """The requests or the replies of one connection, each sent when the one before is answered."""

    def __init__(self) -> None:
        self.unfinished = bytearray()
        """What has come of a message that is not complete."""
        self._start_again()

    def _start_again(self) -> None:
        self._elements_to_come = 1
        self._position = 0

    def feed(self, data: bytes) -> bytes | None:
        """Return the message that *data* completes, if it does."""
        self.unfinished += data
        while (line_end := self.unfinished.find(b"\r\n", self._position)) >= 0:
            kind = bytes(self.unfinished[self._position : self._position + 1])
            line = self.unfinished[self._position + 1 : line_end]
            end = line_end + 2
            if kind in _ELEMENTS_OF_EACH:
                self._elements_to_come += max(int(line), 0) * _ELEMENTS_OF_EACH[kind]
            elif kind in _BLOBS and int(line) >= 0:
                end += int(line) + 2
            if end > len(self.unfinished):
                return None
            self._position = end
            self._elements_to_come -= 1
            if not self._elements_to_come:
                message = bytes(self.unfinished[:end])
                del self.unfinished[:end]
                self._start_again()
                return message
        return None
