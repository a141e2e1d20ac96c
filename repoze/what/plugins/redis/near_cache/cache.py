"""The near cache: answers from the process's own memory, while the server vouches for them."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import redis

from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.failures import is_of_talking, is_reply, text_of
from repoze.what.plugins.redis.names import encode_known
from repoze.what.process_local import ProcessLocal

from .tracking import CannotTrackError, Tracking

if TYPE_CHECKING:
    from .memory import Answer, Memory

# In seconds. A server that refuses may note each attempt in its log.
_BETWEEN_ATTEMPTS, _BETWEEN_REFUSALS = 1.0, 60.0
# In seconds, after which an attempt counts as one that nobody makes any more.
_LONGEST_ATTEMPT = 60.0
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


class _State:
    """What a near cache has in one process: an empty *memory* at first, and no connection.

    While the lock is held nothing is waited for or logged, and no other greenlet goes on. The
    thread that holds it may come again: in a signal's handler, or as something is collected.
    """

    def __init__(self, memory: "Memory") -> None:
        self.lock = threading.RLock()
        self.memory = memory
        self.tracking: Tracking | None = None
        """Vouches for memory. It is taken away while either of them is changed, and comes back when
        that is done: whatever interrupts it leaves a memory that nobody vouches for."""
        self.attempt: object = None
        """What tells the last attempt to make the connection from others."""
        self.next_attempt = 0.0
        self.failures = 0
        self.has_complained = False
        self.hits = self.misses = self.unproved = self.invalidations = self.connections = 0
        self.distrusted: str | None = None

    def put_back(self, tracking: Tracking, memory: "Memory") -> None:
        """Let *tracking* vouch for *memory* again, unless that has been thrown away meanwhile."""
        if self.memory is memory:
            self.tracking = tracking
        else:
            tracking.close()


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
        self._is_of_sentinels = database.primary_address is not None
        new_memory = self._new_memory
        self._states = ProcessLocal(lambda: _State(new_memory()))

    @property
    def _state(self) -> _State:
        return self._states.get()

    def find_sections(
        self, question: frozenset[str], ask: Callable[[Collection[bytes]], set[str]]
    ) -> set[str]:
        """Return the sections that any item of *question* is in, from memory or as *ask* says."""
        state = self._states.get()
        now = monotonic()
        tracking = filling = None
        is_looking = True
        try:
            with state.lock:
                tracking, memory = state.tracking, state.memory
                if tracking is not None:
                    state.tracking = None
                    answer = memory.get(question) if self._vouches(state, tracking, now) else None
                    if (
                        answer is not None
                        and now - answer.asked_at < self._max_age
                        and state.memory is memory
                    ):
                        state.tracking = tracking
                        state.hits += 1
                        return set(answer.sections)
                # Not before: for a hit, it would be most of the work.
                items = encode_known(question)
                state.misses += bool(items)
                if tracking is not None:
                    if items:
                        filling = memory.begin_fill(question, items, now)
                    state.put_back(tracking, memory)
            is_looking = False
            sections = ask(items)
            if filling is not None:
                self._settle(state, memory, filling, sections)
        except BaseException as error:
            if is_looking:
                name = type(error).__name__
                self._reset(state, f"A look at what has changed ended with {name}.", tracking)
            elif filling is not None:
                self._settle(state, memory, filling, None)
            raise
        if items and state.tracking is None and now >= state.next_attempt:
            self._connect(state, now)
        return sections

    def _vouches(self, state: _State, tracking: Tracking, now: float) -> bool:
        """Heed what the server has said, and return whether memory is to be trusted."""
        try:
            for key in tracking.poll(now):
                state.invalidations += 1
                if key is None:
                    state.memory.clear()
                else:
                    state.memory.forget(key.removeprefix(self._prefix))
        except Exception as error:
            if not is_of_talking(error):
                raise
            self._reset(state, f"The tracking connection is lost: {text_of(error)}")
            return False
        proved_at = tracking.proved_at
        if self._is_of_sentinels:
            address, confirmed_at = self._database.primary_address or (None, 0.0)
            if address not in {None, tracking.address}:
                self._reset(state, f"Sentinel names another primary, at {address}.")
                return False
            proved_at = min(proved_at, confirmed_at)
        if now - proved_at > self._max_staleness or tracking.is_behind:
            state.unproved += 1
            return False
        return True

    def _settle(
        self, state: _State, memory: "Memory", filling: "Answer", sections: set[str] | None
    ) -> None:
        """Commit *filling* with *sections*, or abort it: where something has changed meanwhile."""
        with state.lock:
            tracking = state.tracking
            # Memory that is another by now has heard nothing of what changed since.
            if tracking is None or state.memory is not memory:
                return
            state.tracking = None
            if sections is not None and self._hears_of_changes_there(tracking):
                filling.sections = frozenset(sections)
                memory.commit(filling)
            else:
                memory.abort(filling)
            state.put_back(tracking, memory)

    def _hears_of_changes_there(self, tracking: Tracking) -> bool:
        """Whether it is told of changes by the server that this thread has just asked."""
        # One Sentinel may have sent the question to a server that another says is relieved.
        return not self._is_of_sentinels or self._database.answered_by == tracking.address

    def _reset(self, state: _State, reason: str, taken: Tracking | None = None) -> None:
        with state.lock:
            state.distrusted = reason
            state.memory = self._new_memory()
            tracking, state.tracking = state.tracking or taken, None
        if tracking is not None:
            tracking.close()

    def _connect(self, state: _State, began: float) -> None:
        """Make the connection, unless somebody does already, in what is left of a lookup's time."""
        address, _ = self._database.primary_address or (None, None)
        if self._is_of_sentinels and address is None:
            # They are being asked, and no lookup waits for that.
            return
        attempt, now = object(), monotonic()
        try:
            with state.lock:
                if state.tracking is not None or now < state.next_attempt:
                    return
                state.attempt = attempt
                state.next_attempt = now + _LONGEST_ATTEMPT
            tracking = Tracking(
                self._new_client(), self._prefix, self._max_staleness, began, address
            )
            self._install(state, tracking, attempt)
            state.next_attempt = now + _BETWEEN_ATTEMPTS
        except BaseException as error:
            state.next_attempt = now + _BETWEEN_ATTEMPTS
            if not isinstance(error, CannotTrackError) and not is_of_talking(error):
                raise
            self._give_up(state, error)

    def _install(self, state: _State, tracking: Tracking, attempt: object) -> None:
        with state.lock:
            is_wanted = state.attempt is attempt
            if is_wanted:
                state.connections += 1
                state.failures = 0
                # What was asked before has heard nothing of what changed since.
                state.memory = self._new_memory()
                state.tracking = tracking
        if not is_wanted:
            # Meanwhile the adapter was closed.
            tracking.close()

    def _give_up(self, state: _State, error: Exception) -> None:
        reason = f"There is no tracking connection: {text_of(error)}"
        state.distrusted = reason
        state.failures += 1
        is_refused = isinstance(error, CannotTrackError) or is_reply(error)
        if not is_refused and state.failures < _MOST_FAILURES:
            # It cannot be reached, and may be again.
            return
        state.next_attempt = monotonic() + _BETWEEN_REFUSALS
        if not state.has_complained:
            state.has_complained = True
            _logger.warning(
                "The near cache of %s is of no use, so lookups are questions to the server. %s "
                "A near cache needs a Redis of 6.0 or newer without a proxy in between, which "
                "permits +client|tracking, +subscribe, +ping and &__redis__:invalidate.",
                self._database,
                reason if reason.endswith((".", "?")) else f"{reason}.",
            )

    def forget(self, items: Iterable[bytes] | None) -> None:
        """Keep no answer that depends on any of *items*; `None` stands for all items."""
        state = self._state
        with state.lock:
            tracking, memory = state.tracking, state.memory
            if items is None or tracking is None:
                # Without a connection there is nothing in it, or this thread is changing it.
                state.memory = self._new_memory()
                return
            state.tracking = None
            for item in items:
                memory.forget(item)
            state.put_back(tracking, memory)

    def info(self) -> NearCacheInfo:
        """Return what it has done in this process, and how it is."""
        state = self._state
        with state.lock:
            return NearCacheInfo(
                state.hits,
                state.misses,
                state.unproved,
                len(state.memory),
                state.invalidations,
                state.connections,
                state.tracking is not None,
                state.distrusted,
            )

    def close(self) -> None:
        """Close the connection and forget everything; the next lookup connects anew."""
        state = self._state
        # One that is being made is not wanted any more.
        state.attempt = None
        self._reset(state, "The adapter was closed.")
        state.next_attempt = 0.0
