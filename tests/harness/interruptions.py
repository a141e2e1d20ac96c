"""Signals at a program, and errors that are raised at each point where Python may raise one."""

import gc
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import NoReturn

from harness import servers


class TimeLimit(Exception):  # noqa: N818 - as those of job queues are named
    """An application's own, which the handler of a signal raises: in the middle of anything."""


class Shutdown(BaseException):
    """The same, and no `Exception`, as Ctrl-C and a greenlet's time-out are none."""


KINDS = (TimeLimit, Shutdown)
# Of the libraries that they run through, those that take part. Where redis-py counts what it does,
# as it throws a buffer away, no error matters.
_FOLDER, _MODULES = f"{os.sep}redis{os.sep}", ("queue.py", "threading.py")
_EVENTS = frozenset(("call", "return", "c_return"))
_SWALLOW = (("observability", None), ("_parsers", "close"))


def raising(error: BaseException | type[BaseException]) -> Callable[..., NoReturn]:
    """Return what raises *error*, however it is called, to stand in for something else."""

    def stand_in(*_: object, **__: object) -> NoReturn:
        raise error

    return stand_in


def points(work: Callable[[], object], every: int = 1) -> Iterator[int]:
    """Do *work* again and again, interrupted at its first point, its second, and so on.

    Python lets a signal's handler, or another thread, raise an error when a function begins, and
    when a call is over. Each of these is a point, in whatever library it is. What is interrupted
    ends with that very error; the generator yields after each, until *work* has ended first.

    :param every: at how many of its points: 1 is all, 2 every other one, and so on.
    """
    for number, kind in zip(itertools.count(1, every), itertools.cycle(KINDS)):
        error = kind(f"at point {number}")
        try:
            has_ended = _ends_before(number, error, work)
        except kind as raised:
            assert raised is error  # noqa: PT017 - it may have been swallowed as well
            has_ended = False
        if has_ended:
            return
        # Its frames hold what was interrupted.
        error.__traceback__ = None
        yield number


def _ends_before(number: int, error: BaseException, work: Callable[[], object]) -> bool:
    left = number
    depth_of_finalizers = 0
    where = None

    def count(frame, event, _):
        nonlocal left, where, depth_of_finalizers
        code = frame.f_code
        if code.co_name == "__del__":
            # What is raised in one is printed, and goes no further.
            depth_of_finalizers += {"call": 1, "return": -1}.get(event, 0)
        elif not depth_of_finalizers and event in _EVENTS and _has_points(code):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                where = f"{code.co_filename}:{frame.f_lineno}, {code.co_name}, {event}"
                raise error

    gc.disable()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    assert left > 0, f"an error that was raised at {where} was swallowed"
    return True


@cache
def _has_points(code: CodeType) -> bool:
    path = Path(code.co_filename)
    if (path.parent.name, None) in _SWALLOW or (path.parent.name, code.co_name) in _SWALLOW:
        return False
    return _FOLDER in code.co_filename or path.name in _MODULES


def press_ctrl_c(process_id: int) -> None:
    send(signal.SIGINT, process_id)


def send(number: signal.Signals, process_id: int) -> None:
    """Send a signal to a process that has printed what is looked for, when it waits for more.

    While it counts lines, coverage has a lock for moments. A program that is interrupted in one
    leaves it locked, and waits for that for ever. And while Python forks, it drops what the handler
    of a signal raises.
    """
    servers.wait_until(lambda: _waits(process_id))
    os.kill(process_id, number)


def _waits(process_id: int) -> bool:
    """Whether the main thread of a process sleeps, and has done so for a moment.

    One that is to have the interpreter's lock, or a processor, is not asleep for so long.
    """
    status = Path(f"/proc/{process_id}/task/{process_id}/status")
    if not status.exists():
        # Not on Linux: nothing tells.
        time.sleep(0.1)
        return True
    before = _rests(status)
    # Without the interpreter's lock, which the thread may be waiting for.
    time.sleep(0.01)
    return before is not None and before == _rests(status)


def _rests(status: Path) -> str | None:
    """How often the thread has stopped to wait so far, if it does so now."""
    values = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
    is_asleep = values["State"].startswith("S")
    return values["voluntary_ctxt_switches"] if is_asleep else None
