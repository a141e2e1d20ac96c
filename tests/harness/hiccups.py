"""Pauses at random in what sockets and threads do, as on a machine that is too busy.

A test that passes only where everything is quick fails with them sooner or later. It shows what is
wrong with a test, mostly, and now and then what is wrong with the product.
"""

import functools
import random
import selectors
import socket
import sys
import threading
import time

# Up to so many in a test, and so often: before and after each of these. In other threads it is more
# often, as those are the servers, proxies and relays that a test takes to be there.
_MOST = 60
_SHARE_IN_MAIN_THREAD, _SHARE = 0.005, 0.3
_PAUSING = {
    socket.socket: (
        "accept",
        "connect",
        "recv",
        "recv_into",
        "send",
        "sendall",
        "shutdown",
        "close",
    ),
    selectors.DefaultSelector: ("select",),
    threading.Event: ("set", "wait"),
    threading.Thread: ("start", "run"),
}


class Hiccups:
    """A plugin of pytest. From now on there are pauses in this process, and in none that it starts.

    :param longest: how long a pause is at most, in seconds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._left = 0
        self._random = random.Random()
        sys.setswitchinterval(0.0001)
        for paused, names in _PAUSING.items():
            for name in names:
                setattr(paused, name, self._with_pauses(getattr(paused, name)))

    def pytest_runtest_setup(self) -> None:
        self._left = _MOST

    def _with_pauses(self, method):
        @functools.wraps(method)
        def with_pauses(*arguments, **settings):
            self._pause()
            try:
                return method(*arguments, **settings)
            finally:
                self._pause()

        return with_pauses

    def _pause(self) -> None:
        # To ask for the current thread would be one of these calls itself.
        is_main = threading.get_ident() == threading.main_thread().ident
        share = _SHARE_IN_MAIN_THREAD if is_main else _SHARE
        if self._left > 0 and self._random.random() < share:
            self._left -= 1
            time.sleep(self._random.uniform(0, self._longest))
