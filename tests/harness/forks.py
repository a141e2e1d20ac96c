"""Children of the tests, which end well or fail them."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

# In seconds.
LONGEST_LIFE = 60


def fork_server() -> multiprocessing.context.ForkServerContext:
    """Return what starts processes without the threads and connections of this one, and fast."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mirakuru", "repoze.what.plugins.redis"])
    return context


@contextmanager
def forked(work: Callable[[], object], *, is_measured: bool = False) -> Iterator[None]:
    """Have *work* done by a child meanwhile, and check that it does not fail, or hang.

    :param is_measured: whether coverage counts what the child does. It takes a lock for a moment
        for each function that it counts: where threads are busy with such functions, one that the
        child does not have may hold it, and the child would wait for that for ever.
    """
    trace = sys.gettrace()
    if not is_measured:
        sys.settrace(None)
    child = os.fork()
    if child == 0:
        status = 1
        # Says where each thread is when it hangs, and ends the process.
        faulthandler.dump_traceback_later(LONGEST_LIFE / 2, exit=True, file=2)
        try:
            if not is_measured:
                threading.settrace(None)
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the child is no test, and must not become one
            # Python would not have written it yet when the child ends.
            os.write(2, traceback.format_exc().encode())
        finally:
            (os._exit if is_measured else exit_unmeasured)(status)
    sys.settrace(trace)
    try:
        yield
    finally:
        assert exit_code(child) == 0


def exit_unmeasured(status: int) -> NoReturn:
    # That of `os` is coverage's, which saves what it has counted, with its lock.
    import posix  # noqa: PLC0415 - other systems have none

    posix._exit(status)


def exit_code(child: int) -> int:
    deadline = time.monotonic() + LONGEST_LIFE
    while time.monotonic() < deadline:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
