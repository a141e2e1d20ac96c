import gc

import pytest
import redis
from harness import cluster
from harness.near_caches import NAMESPACE, fill

from repoze.what.plugins.redis import RedisPermissionAdapter


@pytest.fixture
def writer(server) -> RedisPermissionAdapter:
    """An adapter of a source that has something in it."""
    writer = RedisPermissionAdapter(server.client(), namespace=NAMESPACE)
    fill(writer)
    return writer


@pytest.fixture
def raw(writer) -> redis.Redis:
    """What changes the same source as any other program would."""
    return writer.db_connection


@pytest.fixture
def whole(executable):
    """A cluster that is empty, and to be left whole."""
    shared = cluster.running(executable)
    shared.empty()
    yield shared
    # Clients of a cluster refer to themselves, and have connections to all of its nodes.
    gc.collect()
