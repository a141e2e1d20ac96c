"""Commands and their replies, over one connection, which may be made anew."""

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import sha1
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import redis
from redis.connection import ConnectionPool

from repoze.what.adapters import AdapterError, SourceError

from .clients import connection_from
from .failures import code_word, forget_context, is_reply

Answer = TypeVar("Answer")

# Redis resets a connection that announces more.
MOST_ARGUMENTS = 1024 * 1024
# In seconds: for how long a server that refuses EVALSHA_RO is not asked it again. It may be made
# anew, or permit it.
_BETWEEN_REFUSALS = 60
# Until when, by pool.
_evaluates_alike: WeakKeyDictionary[ConnectionPool, float] = WeakKeyDictionary()


class Script:
    """A Lua script: `text` is what `EVAL` takes, `digest` what `EVALSHA` does.

    The digest is the SHA-1 of the text, in hex.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.digest = sha1(text, usedforsecurity=False).hexdigest().encode()


class _Phase(Enum):
    UNSENT = "not wholly sent, so not executed"
    UNANSWERED = "sent; executed, or not"
    ANSWERED = "nothing is owed"


class Exchange:
    """Commands and their replies, over the connection of *pool* that a question is asked on."""

    connection: redis.Connection

    def __init__(self, pool: ConnectionPool) -> None:
        self.lost_reply = False
        """Whether something was sent in full whose reply never came."""
        self.was_lost = False
        """Whether the connection was gone, so that the question is being asked again."""
        self.has_failed = False
        """Whether an attempt, this one or an earlier, ended in anything but an answer."""
        self.pool = pool
        """Where the connection is from."""
        self._handled = sys.exc_info()[1]
        self._asking = False
        self._is_changing = False
        self._has_connection = False
        self._is_clean = True
        self._phase = _Phase.ANSWERED

    @property
    def has_leaked(self) -> bool:
        """Whether a connection may be missing in a pool, or be half made; ask after `close`."""
        return self._is_changing or self._has_connection

    def attempt(self, question: Callable[["Exchange"], Answer]) -> Answer:
        """Return what *question* makes of the replies that it asks this exchange for.

        Another attempt is made on a fresh connection, in the same place of the pool: another idle
        one may be as dead as the first.
        """
        try:
            if not self._has_connection:
                self._is_changing = True
                self.connection = connection_from(self.pool)
                self._has_connection = True
                self._is_changing = False
            elif not self._is_clean:
                self._is_changing = True
                self._phase = _Phase.UNSENT
                self.connection.disconnect()
                self.connection.connect()
                self._is_changing = False
            # Until it is known to be. Back in the pool, it would hand its late reply to the next
            # caller. What makes no sense may be the late reply to something else.
            self._is_clean = False
            answer = question(self)
            self._is_clean = True
        except BaseException as error:
            forget_context(error, self._handled)
            if self._phase is _Phase.ANSWERED and _is_answer(error):
                self._is_clean = True
                raise
            self.has_failed = True
            if self._has_connection:
                self._is_clean = False
                self.lost_reply |= self._phase is not _Phase.UNSENT
                self.connection.disconnect()
            raise
        return answer

    def connect(self) -> None:
        """Make the connection of the next attempt, or make it anew, without asking anything."""
        self.attempt(lambda _: None)

    def move(self, pool: ConnectionPool, *, asking: bool = False) -> None:
        """Let the next attempt be made on a connection of another pool.

        :param asking: whether it goes to a node that a slot is being moved to, which answers for
            it only if that is said before each command.
        """
        self.close()
        self.pool = pool
        self._asking = asking

    def close(self) -> None:
        """Give the connection, if there is one, back to the pool."""
        if self._has_connection:
            self._is_changing = True
            if not self._is_clean:
                self.connection.disconnect()
            self._has_connection = False
            self.pool.release(self.connection)
            self._is_changing = False

    def ask(self, *command: bytes | str | int) -> Any:
        """Send *command* and return the reply, with bytes for what is text."""
        if len(command) > MOST_ARGUMENTS:
            raise SourceError(
                f"{len(command):,} arguments are more than the {MOST_ARGUMENTS:,} that Redis takes "
                "in one command. Nothing was sent; do it in parts.",
                written=False,
            )
        if self._asking:
            self._send(("ASKING",))
        return self._send(command)

    def _send(self, command: tuple[bytes | str | int, ...]) -> Any:
        self._phase = _Phase.UNSENT
        self.connection.send_command(*command)
        self._phase = _Phase.UNANSWERED
        try:
            reply = self.connection.read_response(disable_decoding=True)
        except redis.RedisError as error:
            if is_reply(error):
                self._phase = _Phase.ANSWERED
            if code_word(error) == "READONLY":
                # Connecting anew finds the primary, where Sentinel or the name's address knows it.
                self.connection.disconnect()
            raise
        self._phase = _Phase.ANSWERED
        return reply

    def evaluate(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        *,
        is_reading: bool = False,
    ) -> Any:
        """Run *script* and return its reply; it is loaded where the server does not have it.

        :param is_reading: whether it only reads. Then it does not wait while writes are paused, and
            needs no permission to write its keys, where the server, as Redis since 7.0, can tell.
        """
        if self._asking:
            # There, a key that has yet to be moved would be one that does not exist.
            raise redis.exceptions.TryAgainError("not all keys are there")
        if not is_reading or monotonic() < _evaluates_alike.get(self.pool, 0):
            return self._evaluate(script, keys, arguments)
        try:
            return self._evaluate(script, keys, arguments, "_RO")
        except redis.ResponseError as error:
            if code_word(error) != "NOPERM" and "unknown command" not in str(error):
                raise
        reply = self._evaluate(script, keys, arguments)
        # If that had been refused, too, it would not have been for the command.
        _evaluates_alike[self.pool] = monotonic() + _BETWEEN_REFUSALS
        return reply

    def _evaluate(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes], suffix: str = ""
    ) -> Any:
        try:
            return self.ask("EVALSHA" + suffix, script.digest, len(keys), *keys, *arguments)
        except redis.ResponseError as error:
            if code_word(error) != "NOSCRIPT":
                raise
        return self.ask("EVAL" + suffix, script.text, len(keys), *keys, *arguments)


def _is_answer(error: BaseException) -> bool:
    """Whether *error* is what the server answered, or what a question made of that."""
    return isinstance(error, AdapterError) or (
        isinstance(error, redis.RedisError) and is_reply(error)
    )
