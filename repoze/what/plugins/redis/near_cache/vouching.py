"""Whether what is kept in memory may be served: the server vouches for it, on one connection."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.connection.failures import (
    code_word,
    is_of_talking,
    is_reply,
    text_of,
)
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
# What a node of a cluster says that does not hold the slot, or not all of it.
_MOVING = frozenset(("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"))

_logger = logging.getLogger("repoze.what.plugins.redis")


class Source(NamedTuple):
    """A source that answers are kept of."""

    database: Database
    prefixes: tuple[bytes, ...]
    """What the keys that answers depend on begin with; the rest of each is an item."""
    new_memory: "Callable[[], Memory]"
    max_age: float
    """In seconds: for how long to keep an answer, whatever vouches for it."""


class Share:
    """What one process keeps of a source, and what it has done with that."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.is_in_use = False
        """Whether anything was looked up since it was closed, if it was."""
        self.hits = self.misses = self.unproved = self.invalidations = 0
        self.memory = source.new_memory()

    def get(self, question: frozenset[str], now: float) -> "Answer | None":
        """Return the answer to *question* that is kept, if it is not too old."""
        answer = self.memory.get(question)
        if answer is None:
            return None
        age = now - answer.asked_at
        return answer if age < self._source.max_age and age < answer.lasts else None

    def has(self, key: bytes) -> bool:
        """Whether *key* is one that answers of the source depend on."""
        return key.startswith(self._source.prefixes)

    def heed(self, key: bytes | None) -> None:
        """Forget what depends on *key*; `None` stands for all keys."""
        self.invalidations += 1
        if key is None:
            self.memory.clear()
        else:
            for prefix in self._source.prefixes:
                if key.startswith(prefix):
                    self.memory.forget(key.removeprefix(prefix))

    def forget_all(self) -> None:
        """Keep nothing, and none of what is being asked."""
        self.memory = self._source.new_memory()

    def go_on_counting(self, earlier: "Share") -> None:
        """Count on from what *earlier* has counted."""
        self.hits, self.misses, self.unproved, self.invalidations = (
            *(earlier.hits, earlier.misses),
            *(earlier.unproved, earlier.invalidations),
        )


class State:
    """What vouches for memory in one process: no connection, at first.

    While the lock is held nothing is waited for or logged, and no other greenlet goes on. The
    thread that holds it may come again: in a signal's handler, or as something is collected.
    """

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.lock = threading.RLock()
        self.shares = tuple(map(Share, sources))
        self.tracking: Tracking | None = None
        """Vouches for memory. It is taken away while either of them is changed, and comes back when
        that is done: whatever interrupts it leaves a memory that nobody vouches for."""
        self.attempt: object = None
        """What tells the last attempt to make the connection from others."""
        self.next_attempt = 0.0
        self.failures = 0
        self.has_complained = False
        self.connections = 0
        self.distrusted: str | None = None

    def put_back(self, tracking: Tracking, share: Share, memory: "Memory") -> None:
        """Let *tracking* vouch for *memory* again, unless that has been thrown away meanwhile."""
        if share.memory is memory:
            self.tracking = tracking
        else:
            tracking.close()

    def count_miss(self, *shares: Share | None) -> None:
        """Count a question to the server for each of *shares*, which so is in use."""
        for share in shares:
            if share is not None:
                share.is_in_use = True
                share.misses += 1

    def heed(self, key: bytes | None) -> None:
        """Forget what depends on *key*; `None` stands for all keys."""
        known = [] if key is None else [each for each in self.shares if each.has(key)]
        # Of a key that was not asked about, as one is that a proxy has renamed, nothing is known.
        for share in known or self.shares:
            share.heed(key if known else None)

    def forget_all(self) -> None:
        """Keep nothing of any source."""
        for share in self.shares:
            share.forget_all()


class Voucher:
    """Makes the connection on which the server vouches, and says whether it does.

    It does where all that it has said until now has been heeded, and where the server has answered
    a ping that was sent at most *max_staleness* ago. What made the connection of no more use
    empties memory, too.

    One of them is for one source, or for two that one connection tells of.

    :param max_staleness: in seconds.
    """

    def __init__(self, max_staleness: float, *sources: Source) -> None:
        self.max_staleness = max_staleness
        self.sources = sources
        self._database = sources[0].database
        # To ask for it is to look whether this is still the same process, and that has been done.
        self.may_move = self._database.primary_address is not None
        """Whether the primary may be another, as Sentinels or a cluster say."""
        self._follows_slot = self._database.follows_slot
        self._who_says = "The cluster" if self._follows_slot else "Sentinel"
        self._states = ProcessLocal(partial(State, sources))
        self.state = self._states.get
        """Returns the state of this process."""

    def vouches(self, state: State, share: Share, tracking: Tracking, now: float) -> bool:
        """Heed what the server has said, and return whether memory is to be trusted.

        :param share: what is to be answered from.
        """
        try:
            for key in tracking.poll(now):
                state.heed(key)
        except Exception as error:
            if not is_of_talking(error):
                raise
            self.reset(state, f"The tracking connection is lost: {_said(error)}")
            return False
        proved_at = tracking.proved_at
        if self.may_move:
            address, confirmed_at = self._latest().primary_address or (None, 0.0)
            if address not in {None, tracking.address}:
                self.reset(state, f"{self._who_says} names another primary, at {address}.")
                return False
            if not self._follows_slot:
                proved_at = min(proved_at, confirmed_at)
        if now - proved_at > self.max_staleness or tracking.is_behind:
            share.unproved += 1
            return False
        return True

    def reset(self, state: State, reason: str, taken: Tracking | None = None) -> None:
        """Keep nothing, and let the connection go."""
        with state.lock:
            state.distrusted = reason
            state.forget_all()
            tracking, state.tracking = state.tracking or taken, None
        if tracking is not None:
            tracking.close()

    def connect(self, state: State, began: float) -> None:
        """Make the connection, unless somebody does already, in what is left of a lookup's time."""
        address, _ = self._latest().primary_address or (None, None)
        if self.may_move and address is None:
            # Sentinels are being asked, and no lookup waits for that.
            return
        attempt, now = object(), monotonic()
        try:
            with state.lock:
                if state.tracking is not None or now < state.next_attempt:
                    return
                state.attempt = attempt
                state.next_attempt = now + _LONGEST_ATTEMPT
            self._install(state, self._new_tracking(address, began), attempt)
            state.next_attempt = now + _BETWEEN_ATTEMPTS
        except BaseException as error:
            state.next_attempt = now + _BETWEEN_ATTEMPTS
            if not isinstance(error, CannotTrackError) and not is_of_talking(error):
                raise
            self._give_up(state, error)

    def _new_tracking(self, address: tuple[str, int] | None, began: float) -> Tracking:
        prefixes = [prefix for source in self.sources for prefix in source.prefixes]
        client = self._latest().tracking_client()
        if self._follows_slot:
            # No item has the empty name.
            slot_key = self.sources[0].prefixes[0]
            return Tracking(client, prefixes, self.max_staleness, began, slot_key=slot_key)
        return Tracking(client, prefixes, self.max_staleness, began, address=address)

    def _latest(self) -> Database:
        """Return the database that knows best where the primary is."""
        if len(self.sources) == 1 or not self.may_move:
            return self._database
        return max((source.database for source in self.sources), key=_confirmed_at)

    def _install(self, state: State, tracking: Tracking, attempt: object) -> None:
        with state.lock:
            is_wanted = state.attempt is attempt
            if is_wanted:
                state.connections += 1
                state.failures = 0
                # What was asked before has heard nothing of what changed since.
                state.forget_all()
                state.tracking = tracking
        if not is_wanted:
            # Meanwhile the adapter was closed.
            tracking.close()

    def _give_up(self, state: State, error: Exception) -> None:
        reason = f"There is no tracking connection: {_said(error)}"
        state.distrusted = reason
        state.failures += 1
        if code_word(error) in _MOVING:
            # Soon another node can, or this one.
            return
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
                "permits +client|tracking, +subscribe, +ping%s and &__redis__:invalidate.",
                self._database,
                reason if reason.endswith((".", "?")) else f"{reason}.",
                ", +cluster|info" if self._follows_slot else "",
            )

    def close(self, share: Share) -> None:
        """Keep nothing in *share*; close the connection, where no other is in use.

        The next lookup connects anew.
        """
        state = self.state()
        with state.lock:
            share.is_in_use = False
            is_last = not any(each.is_in_use for each in state.shares)
            if not is_last:
                share.forget_all()
        if is_last:
            # One that is being made is not wanted any more.
            state.attempt = None
            self.reset(state, "The adapter was closed.")
            state.next_attempt = 0.0


def _said(error: Exception) -> str:
    word = code_word(error)
    return f"the node does not hold all of the slot ({word})" if word in _MOVING else text_of(error)


def _confirmed_at(database: Database) -> float:
    address = database.primary_address
    return -inf if address is None else address.at
