"""What tests of the near cache have in common: a small source, and whether memory answers."""

import gc
import time

import pytest

from harness import servers
from harness.operations import create_sections
from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.connection import primary
from repoze.what.plugins.redis.near_cache import cache, tracking, vouching
from repoze.what.plugins.redis.near_cache.cache import NearCacheInfo
from repoze.what.plugins.redis.near_cache.memory import Answer

NAMESPACE = "tests"
KEYS = b"{tests}:permissions:"
"""What the keys of the source begin with."""

# In seconds, longer than any test waits: nothing is dropped because it is that old.
LONG = 600
# In seconds: so long after it was made, or could not be made, there may be another connection.
UNTIL_NEXT_ATTEMPT = 1
SOURCE = {"edit": {"staff", "admins"}, "read": {"staff", "guests"}}


class Clock:
    """The monotonic clock of near caches, and of what asks Sentinels: it goes on when it is told.

    Seconds that a float cannot have exactly are of no use for it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 1000.0
        self.sleep = time.sleep
        for module in (cache, vouching):
            monkeypatch.setattr(module, "monotonic", self.monotonic)
        for module in (primary, tracking):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another connection be made by any lookup, whatever became of the last one."""
    monkeypatch.setattr(vouching, "_BETWEEN_ATTEMPTS", 0)
    monkeypatch.setattr(vouching, "_BETWEEN_REFUSALS", 0)


def fill(adapter: RedisPermissionAdapter) -> None:
    create_sections(adapter, SOURCE)


def info(adapter: RedisPermissionAdapter) -> NearCacheInfo:
    found = adapter.near_cache_info()
    assert found is not None
    return found


def is_hit(adapter: RedisPermissionAdapter, *items: str) -> bool:
    """Look up the sections of *items*, and return whether memory had the answer."""
    hits = info(adapter).hits
    adapter.find_sections_many(items)
    return info(adapter).hits > hits


def wait_until_hit(adapter: RedisPermissionAdapter, *items: str) -> None:
    """Look up the sections of *items* until memory has the answer."""
    # What the first lookup is answered is kept for the second, mostly.
    servers.wait_until(lambda: is_hit(adapter, *items) or is_hit(adapter, *items))


def wait_until_told(adapter: RedisPermissionAdapter, number: int) -> None:
    """Return when the server has told of so many changes since the adapter was made."""

    def is_told() -> bool:
        # Nothing is heeded but by a lookup.
        adapter.find_sections("nobody")
        return info(adapter).invalidations >= number

    servers.wait_until(is_told)


def number_of_answers() -> int:
    """Return how many answers there are in this process, kept or forgotten."""
    gc.collect()
    return sum(isinstance(each, Answer) for each in gc.get_objects())


def number_of_tracking_connections(server: servers.RedisServer) -> int:
    # With redis-py 5, an adapter of an earlier test may be part of a cycle, and have one.
    gc.collect()
    return len(server.client().client_list(_type="pubsub"))
