import pytest
import redis
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
