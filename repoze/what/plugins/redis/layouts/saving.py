"""Saving to disk after writes, for those who do not leave it to the settings of the server."""

import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.failures import Operation
from repoze.what.plugins.redis.names import described
from repoze.what.process_local import ProcessLocal

Save: TypeAlias = Literal["background", "sync"]
"""How to save: while the server goes on (``BGSAVE``), or while everybody waits (``SAVE``)."""

# Where a snapshot is being made while an append-only file is rewritten, it is made after that.
_COMMANDS = {"background": ("BGSAVE", "SCHEDULE"), "sync": ("SAVE",)}
_IN_PROGRESS = "already in progress"
_SHORTEST_PAUSE, _LONGEST_PAUSE, _LONGEST_WAIT = 0.05, 1.0, 600.0

_logger = logging.getLogger("repoze.what.plugins.redis")


class Saving:
    """Has the server save its data to disk after each so many writes of one adapter.

    A write has taken effect by then, and stays so: where the server cannot save, or its ACL does
    not permit that, the log says it, once until it can.

    The server makes one snapshot at a time. One that it was making when it was asked may lack the
    write; then it is asked again, by a thread, until it begins another. A process does not end
    before that, unless it takes more than ten minutes.

    :param database: the database that is written; the server saves all that it has.
    :param save: ``"background"`` or ``"sync"``.
    :param every: the number of writes, from 1.
    :raises ValueError: where *save* is something else.
    """

    def __init__(self, database: Database, save: Save, every: int) -> None:
        if save not in _COMMANDS:
            raise ValueError(f"save is 'background', 'sync' or None, not {described(save)}")
        self._database = database
        self._command = _COMMANDS[save]
        self._every = every
        self._writes = itertools.count(1)
        self._has_failed = False
        self._repetition = ProcessLocal(lambda: _Repetition(self._begin, database))

    def count_write(self) -> None:
        """Count a write, and save if it is the last of so many."""
        if next(self._writes) % self._every == 0 and not self._begin():
            self._repetition.get().want()

    def _begin(self) -> bool:
        """Return whether nothing is left to do: it is saved or being saved, or cannot be."""
        try:
            self._database.run(
                Operation(self._command[0]), lambda exchange: exchange.send(*self._command)
            )
        except AdapterError as error:
            if _IN_PROGRESS in str(error.__cause__):
                return False
            if not self._has_failed:
                self._has_failed = True
                _logger.warning("What was written took effect, but is not saved. %s", error)
            return True
        if self._has_failed:
            self._has_failed = False
            _logger.warning("What is written is saved again (%s).", self._database)
        return True


class _Repetition:
    """Tries to *begin* a snapshot until it does, in a thread that ends then."""

    def __init__(self, begin: Callable[[], bool], server: object) -> None:
        self._begin = begin
        self._server = server
        # The thread that holds it may come again: in a signal's handler, for example.
        self._lock = threading.RLock()
        self._is_wanted = False
        self._is_running = False

    def want(self) -> None:
        """See to it that a snapshot begins after this call."""
        with self._lock:
            self._is_wanted = True
            is_running = self._is_running
        if not is_running:
            try:
                threading.Thread(target=self._run, name=__name__).start()
            except RuntimeError as error:
                # There is no room for another, or Python is ending. What was written stays so.
                _logger.warning(
                    "What was written took effect, but may not be saved: %s (%s).",
                    error,
                    self._server,
                )

    def _run(self) -> None:
        with self._lock:
            if self._is_running:
                # Of several that were started at once.
                return
            self._is_running = True
        pause, deadline = _SHORTEST_PAUSE, time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            with self._lock:
                # From here on, one who is too early again says so.
                self._is_wanted = False
            has_begun = self._begin()
            with self._lock:
                if has_begun and not self._is_wanted:
                    self._is_running = False
                    return
        with self._lock:
            self._is_running = False
        _logger.warning(
            "A snapshot that may lack the latest writes has been in the making for %g s (%s).",
            _LONGEST_WAIT,
            self._server,
        )
