"""Children of the tests, which end well or fail them."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# In seconds.
LONGEST_LIFE = 60


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[None]:
    """Have *work* done by a child meanwhile, and check that it does not fail, or hang."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the child is no test, and must not become one
            # Python would not have written it yet when the child ends.
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    try:
        yield
    finally:
        assert exit_code(child) == 0


def exit_code(child: int) -> int:
    deadline = time.monotonic() + LONGEST_LIFE
    while time.monotonic() < deadline:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
