"""Commands and their replies, over one connection, which may be made anew."""

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import sha1
from time import monotonic
from typing import Any, TypeVar, cast
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
BETWEEN_REFUSALS = 60
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
    NONE = "no connection is held"
    CHANGING = "one is being taken, made, closed or given back"
    CLOSED = "one is held, and has to be made anew"
    UNSENT = "a command is not wholly sent, so not executed"
    UNANSWERED = "a command is sent; executed, or not"
    READ = "no reply is to come, and nothing has been made of the last, if there was one"
    CLEAN = "nothing is owed: it can be given back as it is"


# In Python 3.11 it takes four times as long to look up a member of an enumeration.
_NONE, _CHANGING, _CLOSED, _UNSENT, _UNANSWERED, _READ, _CLEAN = _Phase


class Exchange:
    """Commands and their replies, over the connection of *pool* that a question is asked on.

    The phases of an attempt, and what ends it::

        NONE, CLOSED -> CHANGING -> READ -> UNSENT -> UNANSWERED -> READ -> ... -> CLEAN
                                    any of these -> CHANGING -> CLOSED    where it fails
        CLEAN, CLOSED -> CHANGING -> NONE                                 `close`

    Only what is CLEAN goes back to the pool as it is. Anything else would hand a late reply to the
    next caller, and what makes no sense may be one. Where it was interrupted before it is NONE
    again, a connection may be missing in the pool for good.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        """Where the connection is from."""
        self.connection: redis.Connection | None = None
        """What is held of it."""
        self.has_retried = False
        """Whether the connection was gone, so that the question is being asked again."""
        self.has_failed = False
        """Whether an attempt, this one or an earlier, ended in anything but an answer."""
        self.lost_reply = False
        """Whether something was sent in full whose reply never came."""
        self._phase = _NONE
        self._asking = False
        self._handled = sys.exc_info()[1]

    @property
    def has_leaked(self) -> bool:
        """Whether a connection may be missing in a pool, or be half made; ask after `close`."""
        return self._phase is not _NONE

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of who is asked, where it is a server of Sentinel's or of a cluster."""
        return self._connection.host, self._connection.port

    @property
    def socket_timeout(self) -> float | None:
        """For how many seconds a reply is waited for; `None` is for ever."""
        return getattr(self.connection, "socket_timeout", None)

    @property
    def _connection(self) -> redis.Connection:
        return cast(redis.Connection, self.connection)

    def attempt(self, conversation: Callable[["Exchange"], Answer]) -> Answer:
        """Return what *conversation* makes of the replies that it asks this exchange for.

        Another attempt is made on a fresh connection, in the same place of the pool: another idle
        one may be as dead as the first.
        """
        try:
            if self._phase is not _CLEAN:
                self._connect()
            self._phase = _READ
            answer = conversation(self)
            self._phase = _CLEAN
        except BaseException as error:
            forget_context(error, self._handled)
            if self._phase is _READ and _is_answer(error):
                self._phase = _CLEAN
            else:
                self._fail(error)
            raise
        return answer

    def connect(self) -> None:
        """Make the connection of the next attempt, or make it anew, without asking anything."""
        self.attempt(lambda _: None)

    def _connect(self) -> None:
        self._phase = _CHANGING
        if self.connection is None:
            self.connection = connection_from(self.pool)
        else:
            self.connection.disconnect()
            self.connection.connect()

    def _fail(self, error: BaseException) -> None:
        self.has_failed |= not _is_answer(error)
        self.lost_reply |= self._phase in {_UNANSWERED, _READ}
        if self.connection is not None:
            self._phase = _CHANGING
            self.connection.disconnect()
            self._phase = _CLOSED
        elif isinstance(error, redis.RedisError):
            # The pool has taken back what it could not make.
            self._phase = _NONE

    def disconnect(self) -> None:
        """Have what is asked next, by anybody, connect anew: that finds another server."""
        self._connection.disconnect()

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
        if self.connection is None:
            return
        is_clean = self._phase is _CLEAN
        self._phase = _CHANGING
        if not is_clean:
            self.connection.disconnect()
        connection, self.connection = self.connection, None
        self.pool.release(connection)
        self._phase = _NONE

    def send(self, *command: bytes | str | int) -> Any:
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
        connection: Any = self.connection
        self._phase = _UNSENT
        connection.send_command(*command)
        self._phase = _UNANSWERED
        try:
            reply = connection.read_response(disable_decoding=True)
        except redis.RedisError as error:
            if is_reply(error):
                self._phase = _READ
            word = code_word(error)
            if word == "READONLY":
                # Connecting anew finds the primary, where Sentinel or the name's address knows it.
                self.disconnect()
            elif word == "REDIRECT":
                # It is not the primary any more, and has done nothing.
                self._phase = _UNSENT
                raise redis.ConnectionError(f"it was relieved: {error}") from error
            raise
        self._phase = _READ
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
        if not is_reading or monotonic() < _evaluates_alike.get(self.pool, 0):
            return self._evaluate(script, keys, arguments)
        try:
            return self.evaluate_read_only(script, keys, arguments)
        except redis.ResponseError as error:
            if not is_refused_command(error):
                raise
        reply = self._evaluate(script, keys, arguments)
        # If that had been refused, too, it would not have been for the command.
        _evaluates_alike[self.pool] = monotonic() + BETWEEN_REFUSALS
        return reply

    def evaluate_read_only(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]
    ) -> Any:
        """Run *script* as one that only reads; a server before Redis 7.0 does not know how to."""
        return self._evaluate(script, keys, arguments, "_RO")

    def _evaluate(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes], suffix: str = ""
    ) -> Any:
        if self._asking:
            # There, a key that has yet to be moved would be one that does not exist.
            raise redis.exceptions.TryAgainError("not all keys are there")
        try:
            return self.send("EVALSHA" + suffix, script.digest, len(keys), *keys, *arguments)
        except redis.ResponseError as error:
            if code_word(error) != "NOSCRIPT":
                raise
        return self.send("EVAL" + suffix, script.text, len(keys), *keys, *arguments)


def is_refused_command(error: redis.ResponseError) -> bool:
    """Whether the server does not know a command, or the user may not have it run."""
    # The last is Valkey's, of a user who may not enter a database.
    text = str(error)
    return (
        code_word(error) == "NOPERM"
        or "unknown command" in text
        or "no permissions to access database" in text
    )


def _is_answer(error: BaseException) -> bool:
    """Whether *error* is what the server answered, or what a question made of that."""
    return isinstance(error, AdapterError) or (
        isinstance(error, redis.RedisError) and is_reply(error)
    )
