"""The near cache: answers from the process's own memory, while the server vouches for them."""
# ruff: noqa: SLF001 - two near caches are of one class

from collections.abc import Callable, Collection, Iterable
from collections.abc import Set as AbstractSet
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from repoze.what.plugins.redis.connection.database import Database
from repoze.what.plugins.redis.names import encode_known

from .vouching import Share, Source, State, Voucher

if TYPE_CHECKING:
    from .memory import Following, Memory
    from .tracking import Tracking


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
    """How many tracking connections have been made; two adapters may share one."""
    is_tracking: bool
    """Whether there is one now."""
    distrusted: str | None
    """Why memory was last emptied, but for what the server told of, or why it cannot be used."""


class _Filling:
    """Answers that the server is asked for, until they are known."""

    def __init__(
        self,
        share: Share,
        other: Share | None,
        question: frozenset[str],
        items: Collection[bytes],
        now: float,
    ) -> None:
        self.share = share
        self.memory = share.memory
        self._answer = self.memory.begin_fill(question, items, now)
        self._further: tuple[Share, Memory, Following] | None = None
        if other is not None:
            self._further = other, other.memory, other.memory.begin_following(now)

    def commit(
        self, sections: AbstractSet[str], further: AbstractSet[str] | None, lasts: float
    ) -> None:
        """Keep the answers, but for what has changed since, for as long as both are right."""
        self._answer.sections = frozenset(sections)
        self._answer.lasts = lasts
        self.memory.commit(self._answer)
        if self._further is not None and further is not None and sections:
            share, memory, following = self._further
            if share.memory is memory:
                items = encode_known(sections)
                memory.commit_following(
                    following, self._answer.sections, items, frozenset(further), lasts
                )

    def abort(self) -> None:
        """Keep nothing."""
        self.memory.abort(self._answer)


class NearCache:
    """Keeps answers of lookups, and serves them as long as a tracking connection vouches for them.

    All else is a question to the server, as without a near cache. Threads share it. A forked
    process begins anew. The connection may be that of another near cache, too: see `joins`.

    :param database: the database of the source.
    :param prefixes: what the keys that answers depend on begin with; the rest of each is an item.
    :param size: how many answers to keep.
    :param max_staleness: in seconds.
    :param max_age: in seconds: for how long to keep an answer, whatever vouches for it.
    :raises ModuleNotFoundError: where the extra is not installed.
    """

    def __init__(
        self,
        database: Database,
        prefixes: tuple[bytes, ...],
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
        self._database = database
        self._source = Source(database, prefixes, partial(Memory, size), max_age)
        # What vouches, and which of its sources this is: read and replaced together.
        self._seat = Voucher(max_staleness, self._source), 0
        # By the other source, what vouches for both.
        self._shared: dict[Source, Voucher] = {}

    def joins(self, other: "NearCache") -> bool:
        """Whether one tracking connection vouches for both.

        From the first time on that this is asked, it does, where one can.
        """
        voucher, theirs = self._seat[0], other._seat[0]
        if voucher is theirs:
            return True
        source = other._source
        # Each has one that it shares it with, for good.
        is_free = len(voucher.sources) == 1 or source in self._shared
        if (
            not is_free
            or len(theirs.sources) > 1
            or voucher.max_staleness != theirs.max_staleness
            or not self._database.reaches(other._database)
        ):
            return False
        # Of two threads, both have the one that was there first.
        shared = self._shared.setdefault(
            source,
            Voucher(voucher.max_staleness, self._source, source),
        )
        self._take_seat(shared, 0)
        other._take_seat(shared, 1)
        # Another may have come by *other* meanwhile.
        return self._seat[0] is other._seat[0]

    def _take_seat(self, voucher: Voucher, place: int) -> None:
        earlier, _ = self._seat
        if len(earlier.sources) == 1:
            share = earlier.state().shares[0]
            voucher.state().shares[place].go_on_counting(share)
            self._seat = voucher, place
            earlier.close(share)

    def find_sections(
        self,
        question: frozenset[str],
        ask: Callable[[Collection[bytes]], tuple[AbstractSet[str], float]],
    ) -> AbstractSet[str]:
        """Return the sections that any item of *question* is in, from memory or as *ask* says.

        :param ask: says also for how many seconds that lasts.
        """

        def ask_for_one(items: Collection[bytes]) -> tuple[AbstractSet[str], None, float]:
            sections, lasts = ask(items)
            return sections, None, lasts

        return self.find_both(question, ask_for_one, None)[0]

    def find_both(
        self,
        question: frozenset[str],
        ask: Callable[[Collection[bytes]], tuple[AbstractSet[str], AbstractSet[str] | None, float]],
        other: "NearCache | None",
    ) -> tuple[AbstractSet[str], AbstractSet[str] | None]:
        """Return the sections that any item of *question* is in, and those of *other* for these.

        The latter are `None` where neither memory nor *ask* says.

        :param ask: says also for how many seconds both last.
        :param other: one that this one joins, or none.
        """
        voucher, place = self._seat
        state = voucher.state()
        share = state.shares[place]
        other_share = None if other is None else state.shares[1 - place]
        now = monotonic()
        tracking = filling = None
        is_looking = True
        try:
            with state.lock:
                tracking, memory = state.tracking, share.memory
                if tracking is not None:
                    state.tracking = None
                    is_trusted = voucher.vouches(state, share, tracking, now)
                    found = _remembered(share, other_share, question, now) if is_trusted else None
                    if found is not None and share.memory is memory:
                        state.tracking = tracking
                        share.hits += 1
                        return found
                # Not before: for a hit, it would be most of the work.
                items = encode_known(question)
                if items:
                    state.count_miss(share, other_share)
                if tracking is not None:
                    if items:
                        filling = _Filling(share, other_share, question, items, now)
                    state.put_back(tracking, share, memory)
            is_looking = False
            sections, further, lasts = ask(items)
            self._settle(state, filling, sections, further, lasts)
        except BaseException as error:
            if is_looking:
                name = type(error).__name__
                voucher.reset(state, f"A look at what has changed ended with {name}.", tracking)
            else:
                self._settle(state, filling, None, None)
            raise
        if items and state.tracking is None and now >= state.next_attempt:
            voucher.connect(state, now)
        return sections, further

    def _settle(
        self,
        state: State,
        filling: _Filling | None,
        sections: AbstractSet[str] | None,
        further: AbstractSet[str] | None,
        lasts: float = 0,
    ) -> None:
        """Commit *filling* with *sections*, or abort it: where something has changed meanwhile."""
        if filling is None:
            return
        with state.lock:
            tracking = state.tracking
            # Memory that is another by now has heard nothing of what changed since.
            if tracking is None or filling.share.memory is not filling.memory:
                return
            state.tracking = None
            if sections is not None and self._hears_of_changes_there(tracking):
                filling.commit(sections, further, lasts)
            else:
                filling.abort()
            state.put_back(tracking, filling.share, filling.memory)

    def _hears_of_changes_there(self, tracking: "Tracking") -> bool:
        """Whether it is told of changes by the server that this thread has just asked."""
        # One Sentinel may have sent the question to a server that another says is relieved. And a
        # node may give a slot away, and another answer for what it has given.
        return not self._seat[0].may_move or self._database.answered_by == tracking.address

    def forget(self, items: Iterable[bytes] | None) -> None:
        """Keep no answer that depends on any of *items*; `None` stands for all items."""
        seat = None
        # Meanwhile it may have come to share what vouches.
        while seat is not self._seat:
            seat = self._seat
            _forget(seat[0].state(), seat[1], items)

    def info(self) -> NearCacheInfo:
        """Return what it has done in this process, and how it is."""
        voucher, place = self._seat
        state = voucher.state()
        share = state.shares[place]
        with state.lock:
            return NearCacheInfo(
                share.hits,
                share.misses,
                share.unproved,
                len(share.memory),
                share.invalidations,
                state.connections,
                state.tracking is not None,
                state.distrusted,
            )

    def close(self) -> None:
        """Forget everything; close the connection, unless another near cache has use for it.

        The next lookup connects anew.
        """
        voucher, place = self._seat
        voucher.close(voucher.state().shares[place])


def _remembered(
    share: Share, other: Share | None, question: frozenset[str], now: float
) -> tuple[AbstractSet[str], AbstractSet[str] | None] | None:
    answer = share.get(question, now)
    if answer is None:
        return None
    if other is None:
        return answer.sections, None
    return answer.sections, _remembered_further(other, answer.sections, now)


def _remembered_further(
    share: Share, question: frozenset[str], now: float
) -> AbstractSet[str] | None:
    if not question:
        return frozenset()
    answer = share.get(question, now)
    if answer is None:
        return None
    share.hits += 1
    return answer.sections


def _forget(state: State, place: int, items: Iterable[bytes] | None) -> None:
    share = state.shares[place]
    with state.lock:
        tracking, memory = state.tracking, share.memory
        if items is None or tracking is None:
            # Without a connection there is nothing in it, or this thread is changing it.
            share.forget_all()
            return
        state.tracking = None
        for item in items:
            memory.forget(item)
        state.put_back(tracking, share, memory)
