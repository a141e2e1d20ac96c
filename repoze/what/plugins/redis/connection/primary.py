"""Where the primary of Sentinel's is: asked all the time, so that no lookup has to wait for it."""

import itertools
import logging
import threading
import time
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple
from weakref import ref

import redis
from redis.sentinel import SentinelConnectionPool

logger = logging.getLogger(__name__)

# Seconds. Many threads may lose their connections at once, or one again and again.
_SHORTEST_PAUSE = 0.1


class PrimaryAddress(NamedTuple):
    """What Sentinels said last of where the primary is, and since when that may be out of date."""

    address: tuple[str, int] | None = None
    """Host and port; `None` before they said anything."""
    at: float = -inf
    """`time.monotonic` from just before they were asked."""


class PrimaryWatch:
    """Asks Sentinels where the primary of *pool* is, in a thread, from `start` to `stop`.

    A primary that was relieved goes on answering those who are connected to it. When the address
    has changed, redis-py closes the idle connections of the pool, and the others on their release.

    Each Sentinel is asked. The one that leads a failover is the last to name the new primary, when
    the replicas have been turned to it, and redis-py believes the first Sentinel that it reaches.
    So the first in the list of the pool's Sentinels is made the one that knows best. Where that is
    the one that leads, as it is until another has heard of it, nothing is confirmed: to some
    questions it already answers with the new primary.

    Whatever goes wrong, it goes on asking. It ends by itself when *pool* is collected.

    :param pool: of a primary; it alone uses its ``sentinel_manager``, whose list is changed.
    :param interval: seconds from the end of one round of questions to the next.
    """

    def __init__(self, pool: SentinelConnectionPool, interval: float) -> None:
        self.primary_address = PrimaryAddress()
        """The latest; it is replaced as a whole, and can be read at any time."""
        self._interval = interval
        self._sentinels: tuple[redis.Redis, ...] = tuple(pool.sentinel_manager.sentinels)
        self._sleep: threading.Lock | None = None
        self._is_over = False
        self._has_started = False
        self._threads = itertools.count()
        self._pool = ref(pool, lambda _: self.stop())

    def start(self) -> None:
        """Start to ask, unless that was done before.

        Where there can be no more threads, as when the interpreter is about to end, it is not.
        """
        if not self._has_started:
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name="PrimaryWatch", daemon=True).start()
                self._has_started = True

    def wake(self) -> None:
        """Have it asked at once, without waiting for the answer."""
        if self._sleep is not None:
            with suppress(RuntimeError):
                # That it is awake already.
                self._sleep.release()

    def stop(self) -> None:
        """Let the thread end, as soon as it has the answer that it may be waiting for."""
        self._is_over = True
        self.wake()

    def _run(self) -> None:
        if next(self._threads):
            # Several that asked at once have started one each: nobody holds a lock meanwhile.
            return
        # Released to wake the thread. An event would not do: what is collected may be so while this
        # very thread holds its lock.
        self._sleep = pause = threading.Lock()
        pause.acquire()
        while not self._is_over and (pool := self._pool()) is not None:
            self._ask(pool)
            # It is to be collected when nobody else has it.
            del pool
            time.sleep(min(_SHORTEST_PAUSE, self._interval))
            pause.acquire(timeout=max(0, self._interval - _SHORTEST_PAUSE))

    def _ask(self, pool: SentinelConnectionPool) -> None:
        at = time.monotonic()
        try:
            knowledge = {each: _knowledge(each, pool.service_name) for each in self._sentinels}
            sentinels = sorted(knowledge, key=knowledge.__getitem__, reverse=True)
            pool.sentinel_manager.sentinels = sentinels
            address = pool.get_master_address()
            if knowledge[sentinels[0]].is_settled:
                self.primary_address = PrimaryAddress(address, at)
        except Exception as error:  # noqa: BLE001 - the next round may be answered
            # The text of the error may have a password in it.
            logger.debug(
                "No Sentinel says where service %r is (%s).",
                pool.service_name,
                type(error).__name__,
            )


class _Knowledge(NamedTuple):
    """How recent what a Sentinel knows of a service is; the greater knows better."""

    epoch: int
    is_settled: bool


def _knowledge(sentinel: redis.Redis, service: str) -> _Knowledge:
    try:
        services: Any = sentinel.sentinel_masters()
        state = services[service]
        # Each failover has a number. Who leads it has the number before the new address.
        return _Knowledge(state["config-epoch"], "failover_in_progress" not in state["flags"])
    except Exception:  # noqa: BLE001 - whatever it is, others may know
        return _Knowledge(-1, True)
