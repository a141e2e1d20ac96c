"""A database that is closed leaves no connection behind, and opens anew when it is asked."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from harness import cluster, servers

from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.connection.cluster import ClusterDatabase
from repoze.what.plugins.redis.connection.database import ServerDatabase
from repoze.what.plugins.redis.connection.failures import Operation

NAME = "to-be-closed"


def number_of_connections(client):
    return sum(each["name"] == NAME for each in client.client_list())


def ask(database):
    assert database.run(Operation("ping"), lambda exchange: exchange.send("PING")) == b"PONG"


@pytest.mark.parametrize("pool_class", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_one_server(server, pool_class):
    pool = pool_class(host=servers.HOST, port=server.port, client_name=NAME)
    database = ServerDatabase(redis.Redis(connection_pool=pool), 1)
    for _ in range(2):
        ask(database)
        assert number_of_connections(server.client()) == 1
        database.close()
        servers.wait_until(lambda: number_of_connections(server.client()) == 0)
    database.close()


def test_with_block(server):
    pool = redis.ConnectionPool(host=servers.HOST, port=server.port, client_name=NAME)
    client = redis.Redis(connection_pool=pool)
    with RedisPermissionAdapter(client, namespace="tests") as adapter:
        adapter.create_section("edit")
        assert number_of_connections(server.client()) == 1
    servers.wait_until(lambda: number_of_connections(server.client()) == 0)
    with pytest.raises(LookupError), adapter:
        raise LookupError(adapter.get_section_names())
    servers.wait_until(lambda: number_of_connections(server.client()) == 0)


# What the oldest redis-py lacks: a way to close idle connections alone, and notifications.
OLD_REDIS_PY = """
import sys, redis
def disconnect(self):
    raise SystemExit("those in use would be closed, too")
redis.BlockingConnectionPool.disconnect = disconnect
sys.modules["redis.maint_notifications"] = None
from repoze.what.plugins.redis import RedisGroupAdapter
made = []
class Connection(redis.Connection):
    def __init__(self, **settings):
        super().__init__(**settings)
        made.append(self)
pool = redis.BlockingConnectionPool(
    connection_class=Connection, host=sys.argv[1], port=int(sys.argv[2])
)
adapter = RedisGroupAdapter(redis.Redis(connection_pool=pool))
adapter.create_section("editors")
assert all(each._sock for each in made)
adapter.close()
print([each._sock for each in made], adapter.get_section_names())
"""


def test_old_redis_py(server):
    """In a process of its own, for what is imported depends on it."""
    arguments = (sys.executable, "-c", OLD_REDIS_PY, servers.HOST, str(server.port))
    shown = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (shown.stdout, shown.stderr) == ("[None] {'editors'}\n", "")


def test_question_that_is_being_asked(server):
    """It is answered, on the connection that it has."""
    database = ServerDatabase(server.client(client_name=NAME), 1)
    asking, closed = threading.Event(), threading.Event()

    def question(exchange):
        asking.set()
        assert closed.wait(30)
        return exchange.send("PING"), exchange.has_retried

    with ThreadPoolExecutor() as threads:
        answer = threads.submit(database.run, Operation("ping"), question)
        assert asking.wait(30)
        database.close()
        assert number_of_connections(server.client()) == 1
        closed.set()
        assert answer.result() == (b"PONG", False)


def test_cluster(executable):
    whole = cluster.running(executable)
    whole.empty()
    database = ClusterDatabase(whole.client(client_name=NAME), b"{tests}:permissions:sections")
    pools = set()
    for _ in range(2):
        ask(database)
        pool, connection = database.run(
            Operation("ping"), lambda exchange: (exchange.pool, exchange.connection)
        )
        pools.add(pool)
        assert connection._sock is not None
        database.close()
        assert connection._sock is None
    assert len(pools) == 2
    assert database.primary_address.address[0] == servers.HOST
