"""Answers that are kept, until something that they depend on changes."""

from collections.abc import Callable

from cachetools import LRUCache


class Answer:
    """The sections that any of *items* is in, as a server that was asked at *asked_at* has it."""

    __slots__ = ("asked_at", "is_current", "items", "sections")

    def __init__(self, items: frozenset[bytes], asked_at: float) -> None:
        self.items = items
        self.asked_at = asked_at
        """The time before the server was asked, on the monotonic clock."""
        self.is_current = True
        """Whether none of the items has changed since."""
        self.sections: frozenset[str] = frozenset()


class Memory:
    """Keeps at most *size* answers: those that were last asked for.

    An answer is expected before the server is asked, so that a change in between is noticed. It
    has no lock of its own.
    """

    def __init__(self, size: int) -> None:
        self._answers = _Answers(size, self.release)
        self._dependents: dict[bytes, set[Answer]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, items: frozenset[bytes]) -> Answer | None:
        """Return the answer that is kept for *items*, if there is one."""
        return self._answers.get(items)

    def expect(self, items: frozenset[bytes], now: float) -> Answer:
        """Return an answer for *items*, without its sections yet; keep or release it later."""
        answer = Answer(items, now)
        for item in items:
            self._dependents.setdefault(item, set()).add(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Keep *answer*, which was expected, unless one of its items has changed since."""
        if answer.is_current:
            self._drop(answer.items)
            self._answers[answer.items] = answer

    def release(self, answer: Answer) -> None:
        """Forget what *answer*, which is no longer kept or expected, depends on."""
        for item in answer.items:
            dependents = self._dependents.get(item)
            if dependents is not None:
                dependents.discard(answer)
                if not dependents:
                    del self._dependents[item]

    def forget(self, item: bytes) -> None:
        """Keep no answer that depends on *item*, neither one that is kept nor one expected."""
        for answer in self._dependents.pop(item, ()):
            answer.is_current = False
            self._drop(answer.items)
            self.release(answer)

    def _drop(self, items: frozenset[bytes]) -> None:
        dropped = self._answers.pop(items, None)
        if dropped is not None:
            self.release(dropped)


class _Answers(LRUCache[frozenset[bytes], Answer]):
    """Tells *release* of each answer that makes room for another."""

    def __init__(self, size: int, release: Callable[[Answer], None]) -> None:
        super().__init__(size)
        self._release = release

    def popitem(self) -> tuple[frozenset[bytes], Answer]:
        items, answer = super().popitem()
        self._release(answer)
        return items, answer
