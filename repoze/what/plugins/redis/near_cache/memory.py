"""Answers that are kept, until something that they depend on changes."""

from collections.abc import Iterable
from math import inf
from weakref import WeakSet

from lru import LRU


class Answer:
    """The sections that any item of *question* is in, as a server asked at *asked_at* has it."""

    __slots__ = ("asked_at", "is_current", "items", "lasts", "question", "sections")

    def __init__(self, question: frozenset[str], items: Iterable[bytes], asked_at: float) -> None:
        self.question = question
        self.items = tuple(items)
        """Those of the question that can name something, as the bytes that they are stored as."""
        self.asked_at = asked_at
        """The time before the server was asked, on the monotonic clock."""
        self.is_current = True
        """Whether none of the items has changed since."""
        self.sections: frozenset[str] = frozenset()
        self.lasts = inf
        """For how many seconds after `asked_at` it is right, if none of the items changes."""


class Following:
    """An answer to a question that will be known when it is answered.

    So the permissions of a user's groups are, where the server is asked for both at once.
    """

    __slots__ = ("__weakref__", "asked_at", "changed", "is_current")

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        """The time before the server was asked, on the monotonic clock."""
        self.changed: set[bytes] = set()
        """The items that have changed since."""
        self.is_current = True
        """Whether not everything may have changed since."""


class Memory:
    """Keeps at most *size* answers: those that were last asked for.

    A fill is begun before the server is asked, so that a change in between is noticed. It
    has no lock of its own. Where anything but `get` is interrupted, it is to be thrown away.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._dependents: dict[bytes, set[Answer]] = {}
        """By items, the answers that depend on them."""
        self._following: WeakSet[Following] = WeakSet()
        """Those that somebody waits for."""
        # It is not known to the garbage collector, so nothing that it refers to may refer to it.
        self._answers: LRU[frozenset[str], Answer] = LRU(size)
        self.get = self._answers.get
        """Returns the answer that is kept to a question, or `None`."""

    def __len__(self) -> int:
        return len(self._answers)

    def begin_fill(self, question: frozenset[str], items: Iterable[bytes], now: float) -> Answer:
        """Return an answer to *question*, without its sections yet; commit or abort it later.

        :param items: those of the question, as the bytes that they are stored as.
        :param now: the time, on the monotonic clock.
        """
        answer = Answer(question, items, now)
        for item in answer.items:
            self._dependents.setdefault(item, set()).add(answer)
        return answer

    def begin_following(self, now: float) -> Following:
        """Return an answer without its question; commit it later, or let it go.

        :param now: the time, on the monotonic clock.
        """
        following = Following(now)
        self._following.add(following)
        return following

    def commit_following(
        self,
        following: Following,
        question: frozenset[str],
        items: Iterable[bytes],
        sections: frozenset[str],
        lasts: float,
    ) -> None:
        """Keep *following*, which was begun, unless one of its items has changed since.

        :param question: what it is an answer to.
        :param items: those of the question, as the bytes that they are stored as.
        :param sections: those that any item of the question is in.
        :param lasts: for how many seconds after it was asked that is right.
        """
        if following.is_current and following.changed.isdisjoint(items):
            answer = self.begin_fill(question, items, following.asked_at)
            answer.sections = sections
            answer.lasts = lasts
            self.commit(answer)

    def commit(self, answer: Answer) -> None:
        """Keep *answer*, which was begun, unless one of its items has changed since."""
        if answer.is_current:
            self._drop(answer.question)
            # Not by a callback of its own: an error there would be raised later, anywhere.
            if len(self._answers) == self._size and (last := self._answers.peek_last_item()):
                self._drop(last[0])
            self._answers[answer.question] = answer

    def abort(self, answer: Answer) -> None:
        """Keep neither *answer*, which was begun, nor another to its question."""
        self._drop(answer.question)
        self._release(answer)

    def forget(self, item: bytes) -> None:
        """Keep no answer that depends on *item*, neither one that is kept nor one that is begun."""
        for following in self._following:
            following.changed.add(item)
        for answer in self._dependents.pop(item, ()):
            answer.is_current = False
            self.abort(answer)

    def clear(self) -> None:
        """Keep no answer at all, neither one that is kept nor one that is begun."""
        for following in self._following:
            following.is_current = False
        for item in list(self._dependents):
            self.forget(item)

    def _drop(self, question: frozenset[str]) -> None:
        dropped = self._answers.pop(question, None)
        if dropped is not None:
            self._release(dropped)

    def _release(self, answer: Answer) -> None:
        for item in answer.items:
            answers = self._dependents.get(item)
            if answers is not None:
                answers.discard(answer)
                if not answers:
                    del self._dependents[item]
