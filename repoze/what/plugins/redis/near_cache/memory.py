"""Answers that are kept, until something that they depend on changes."""

from collections.abc import Iterable
from functools import partial

from lru import LRU

from repoze.what.plugins.redis.names import Names


class Answer:
    """The sections that any item of *question* is in, as a server asked at *asked_at* has it."""

    __slots__ = ("asked_at", "is_current", "items", "question", "sections")

    def __init__(self, question: Names, items: Iterable[bytes], asked_at: float) -> None:
        self.question = question
        self.items = tuple(items)
        """Those of the question that can name something, as the bytes that they are stored as."""
        self.asked_at = asked_at
        """The time before the server was asked, on the monotonic clock."""
        self.is_current = True
        """Whether none of the items has changed since."""
        self.sections: frozenset[str] = frozenset()


_Dependents = dict[bytes, set[Answer]]
"""By items, the answers that depend on them."""


class Memory:
    """Keeps at most *size* answers: those that were last asked for.

    An answer is expected before the server is asked, so that a change in between is noticed. It
    has no lock of its own.
    """

    def __init__(self, size: int) -> None:
        self._dependents: _Dependents = {}
        # It is not known to the garbage collector, so nothing that it refers to may refer to it.
        self._answers: LRU[Names, Answer] = LRU(size, partial(_release, self._dependents))

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: Names) -> Answer | None:
        """Return the answer that is kept to *question*, if there is one."""
        return self._answers.get(question)

    def expect(self, question: Names, items: Iterable[bytes], now: float) -> Answer:
        """Return an answer to *question*, without its sections yet; keep or release it later.

        :param items: those of the question, as the bytes that they are stored as.
        :param now: the time, on the monotonic clock.
        """
        answer = Answer(question, items, now)
        for item in answer.items:
            self._dependents.setdefault(item, set()).add(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Keep *answer*, which was expected, unless one of its items has changed since."""
        if answer.is_current:
            self._drop(answer.question)
            self._answers[answer.question] = answer

    def release(self, answer: Answer) -> None:
        """Forget what *answer*, which was expected and is not to be kept, depends on."""
        _release(self._dependents, answer.question, answer)

    def forget(self, item: bytes) -> None:
        """Keep no answer that depends on *item*, neither one that is kept nor one expected."""
        for answer in self._dependents.pop(item, ()):
            answer.is_current = False
            self._drop(answer.question)
            self.release(answer)

    def _drop(self, question: Names) -> None:
        dropped = self._answers.pop(question, None)
        if dropped is not None:
            self.release(dropped)


def _release(dependents: _Dependents, _: Names, answer: Answer) -> None:
    for item in answer.items:
        answers = dependents.get(item)
        if answers is not None:
            answers.discard(answer)
            if not answers:
                del dependents[item]
