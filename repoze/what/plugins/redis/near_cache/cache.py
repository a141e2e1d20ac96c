"""The near cache: answers from the process's own memory, while the server vouches for them."""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable
from functools import cache, partial
from time import monotonic
from typing import NamedTuple

import redis

from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.failures import is_reply
from repoze.what.plugins.redis.names import Names, encode_known

from .tracking import CannotTrackError, Tracking

# In seconds. A server that refuses may note each attempt in its log.
_BETWEEN_ATTEMPTS, _BETWEEN_REFUSALS = 1.0, 60.0
# So many times in a row, it is no accident: it hung up, and answered the lookups in between.
_MOST_FAILURES = 5

_logger = logging.getLogger("repoze.what.plugins.redis")


class NearCacheInfo(NamedTuple):
    """What the near cache of an adapter has done in this process, and how it is."""

    hits: int
    """Lookups that were answered from memory."""
    misses: int
    """Lookups that the server was asked, whatever the reason."""
    unproved: int
    """Those misses that came while the server had not proved for too long that it is there."""
    answers: int
    """How many answers are kept."""
    invalidations: int
    """How many changes the server has told of; a flush is one."""
    connections: int
    """How many tracking connections have been made."""
    is_tracking: bool
    """Whether there is one now."""
    distrusted: str | None
    """Why memory was last emptied, but for what the server told of, or why it cannot be used."""


class NearCache:
    """Keeps answers of lookups, and serves them as long as a tracking connection vouches for them.

    It vouches where all that it has said until now has been heeded, and where the server has
    answered a ping that was sent at most *max_staleness* ago. What made the connection of no more
    use empties memory, too. All else is a question to the server, as without a near cache.

    Threads share it. A forked process begins anew.

    :param database: the database of the source.
    :param new_client: returns a client of it in RESP2, with a pool of its own.
    :param prefix: what the keys that answers depend on begin with; the rest of each is an item.
    :param size: how many answers to keep.
    :param max_staleness: in seconds.
    :param max_age: in seconds: for how long to keep an answer, whatever vouches for it.
    :raises ModuleNotFoundError: where the extra is not installed.
    """

    def __init__(  # noqa: PLR0913 - each is something else
        self,
        database: Database,
        new_client: Callable[[], redis.Redis],
        prefix: bytes,
        *,
        size: int,
        max_staleness: float,
        max_age: float,
    ) -> None:
        try:
            from .memory import Memory  # noqa: PLC0415 - it needs what comes with an extra
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "near_cache needs lru-dict: pip install 'repoze.what.plugins.redis[near-cache]'"
            ) from error
        self._new_memory = partial(Memory, size)
        self._database = database
        self._new_client = new_client
        self._prefix = prefix
        self._max_staleness = max_staleness
        self._max_age = max_age
        # To ask for it is to look whether this is still the same process, and that has been done.
        self._is_of_sentinels = database.confirmation is not None
        self._begin()
        _near_caches.add(self)
        _begin_anew_in_children()

    def _begin(self) -> None:
        """Have nothing, as at first. What another process has is left alone."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._memory = self._new_memory()
        self._tracking: Tracking | None = None
        self._next_attempt = 0.0
        self._failures = 0
        self._has_complained = False
        self._hits = self._misses = self._unproved = self._invalidations = self._connections = 0
        self._distrusted: str | None = None

    def find_sections(
        self, question: Names, ask: Callable[[Collection[bytes]], set[str]]
    ) -> set[str]:
        """Return the sections that any item of *question* is in, from memory or as *ask* says."""
        if self._process != os.getpid():
            # A fork that Python does not know of: the lock may be held by nobody.
            return ask(encode_known(question))
        with self._lock:
            now = monotonic()
            if self._vouches(now):
                answer = self._memory.get(question)
                if answer is not None and now - answer.asked_at < self._max_age:
                    self._hits += 1
                    return set(answer.sections)
            # Not before: for a hit, it would be most of the work.
            items = encode_known(question)
            if not items:
                return set()
            self._misses += 1
            memory = self._memory
            answer = memory.expect(question, items, now)
        try:
            sections = ask(items)
        except BaseException:
            with self._lock:
                memory.release(answer)
            raise
        with self._lock:
            # Memory that is another by now has heard nothing of what changed since.
            if memory is self._memory and self._hears_of_changes_there():
                answer.sections = frozenset(sections)
                memory.keep(answer)
            else:
                memory.release(answer)
        if self._tracking is None and now >= self._next_attempt:
            self._connect()
        return sections

    def _vouches(self, now: float) -> bool:
        """Heed what the server has said, and return whether memory is to be trusted."""
        tracking = self._tracking
        if tracking is None:
            return False
        try:
            for key in tracking.look(now):
                self._heed(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, changes may have been missed
            self._distrust(f"The tracking connection is lost: {error}")
            return False
        proved_at = tracking.proved_at
        if self._is_of_sentinels:
            address, confirmed_at = self._database.confirmation or (None, 0.0)
            if address not in {None, tracking.address}:
                self._distrust(f"Sentinel names another primary, at {address}.")
                return False
            proved_at = min(proved_at, confirmed_at)
        if now - proved_at > self._max_staleness or tracking.is_behind:
            self._unproved += 1
            return False
        return True

    def _hears_of_changes_there(self) -> bool:
        """Whether it is told of changes by the server that this thread has just asked."""
        if self._tracking is None:
            return False
        # One Sentinel may have sent the question to a server that another says is relieved.
        return not self._is_of_sentinels or self._database.answered_by == self._tracking.address

    def _heed(self, key: bytes | None) -> None:
        self._invalidations += 1
        if key is None:
            self._memory = self._new_memory()
        else:
            self._memory.forget(key.removeprefix(self._prefix))

    def _distrust(self, reason: str) -> None:
        self._distrusted = reason
        self._memory = self._new_memory()
        if self._tracking is not None:
            self._tracking.close()
            self._tracking = None

    def _connect(self) -> None:
        if not self._connecting.acquire(blocking=False):
            return
        try:
            self._next_attempt = monotonic() + _BETWEEN_ATTEMPTS
            tracking = Tracking(self._new_client(), self._prefix, self._max_staleness)
        except Exception as error:  # noqa: BLE001 - the lookup has its answer
            self._give_up(error)
        else:
            with self._lock:
                self._tracking = tracking
                # What was asked before has heard nothing of what changed since.
                self._memory = self._new_memory()
                self._connections += 1
                self._failures = 0
        finally:
            self._connecting.release()

    def _give_up(self, error: Exception) -> None:
        reason = f"There is no tracking connection: {error}"
        with self._lock:
            self._distrusted = reason
            self._failures += 1
        is_refused = isinstance(error, CannotTrackError) or is_reply(error)
        if not is_refused and self._failures < _MOST_FAILURES:
            # It cannot be reached, and may be again.
            return
        self._next_attempt = monotonic() + _BETWEEN_REFUSALS
        if not self._has_complained:
            self._has_complained = True
            _logger.warning(
                "The near cache of %s is of no use, so lookups are questions to the server. %s "
                "A near cache needs a Redis of 6.0 or newer without a proxy in between, which "
                "permits +client|tracking, +subscribe, +ping and &__redis__:invalidate.",
                self._database,
                reason,
            )

    def forget(self, items: Iterable[bytes] | None) -> None:
        """Keep no answer that depends on any of *items*; `None` stands for all items."""
        if self._process != os.getpid():
            return
        with self._lock:
            if items is None:
                self._memory = self._new_memory()
            else:
                for item in items:
                    self._memory.forget(item)

    def info(self) -> NearCacheInfo:
        """Return what it has done in this process, and how it is."""
        with self._lock:
            return NearCacheInfo(
                self._hits,
                self._misses,
                self._unproved,
                len(self._memory),
                self._invalidations,
                self._connections,
                self._tracking is not None,
                self._distrusted,
            )

    def close(self) -> None:
        """Close the connection and forget everything; the next lookup connects anew."""
        with self._lock:
            self._distrust("The adapter was closed.")
            self._next_attempt = 0.0


_near_caches: "weakref.WeakSet[NearCache]" = weakref.WeakSet()


def _begin_anew() -> None:
    for near_cache in _near_caches:
        near_cache._begin()  # noqa: SLF001


@cache
def _begin_anew_in_children() -> None:
    os.register_at_fork(after_in_child=_begin_anew)
