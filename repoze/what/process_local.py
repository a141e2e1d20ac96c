"""What each process has for itself, also where it was forked."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")
# Where there are no forks, as on Windows, Python has no such function.
_register_at_fork = getattr(os, "register_at_fork", lambda **_: None)


class _Forks:
    number = 0
    """How many forks lead to this process, as far as Python knows."""

    @classmethod
    def count(cls) -> None:
        cls.number += 1


_register_at_fork(after_in_child=_Forks.count)


class ProcessLocal(Generic[Value]):
    """A value that each process makes when it first asks for it.

    What its parent has is left alone there: a thread that is left behind may hold a lock of it, and
    a connection is the parent's. It is told by the process id, for some servers fork without
    telling Python, and by the forks that Python knows of, for the first process of a container and
    that of a namespace within have one id. It is made late, for a greenlet library replaces locks
    in between.

    :param make: returns the value of a process.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: dict[tuple[int, int], Value] = {}

    def get(self) -> Value:
        """Return the value of this process."""
        value = self._values.get((_Forks.number, os.getpid()))
        return self._first() if value is None else value

    def set(self, value: Value) -> None:
        """Let *value* be that of this process from now on."""
        self._values[_Forks.number, os.getpid()] = value

    def _first(self) -> Value:
        process = _Forks.number, os.getpid()
        # Of two threads that come here at once, the first provides it.
        value = self._values.setdefault(process, self._make())
        for other in self._values.keys() - {process}:
            self._values.pop(other, None)
        return value
