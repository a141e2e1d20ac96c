"""The database of a Redis Cluster: the primary, wherever it is, that holds one slot."""

from collections.abc import Callable
from random import sample
from time import monotonic
from typing import Any, TypeVar, cast

import redis
from redis.cluster import ClusterNode
from redis.connection import ConnectionPool

from repoze.what.process_local import ProcessLocal

from .clients import client_of_database
from .database import Database, ProcessClient
from .exchange import Exchange
from .failures import code_word, is_lost_connection, is_reply
from .primary import PrimaryAddress

Answer = TypeVar("Answer")
Address = tuple[str, int]

# A slot that is being moved sends a question on once or twice.
_MOST_REDIRECTIONS = 3


class ClusterDatabase(Database):
    """Asks the primary that holds the slot of *key*, wherever the slot goes.

    The commands of *client* are not used: it tries them again after a time-out, which may carry out
    a write twice. What is taken from it is where the nodes are and how to connect to one.

    A node that does not hold the slot says which one does. So where the primary is lost, any other
    node is asked: what it is asked is what it would be asked if it were the primary.

    :param client: a redis-py client of the cluster, which is neither changed nor asked anything.
    :param key: a key in the slot.
    :param part: what of it is meant, for people to read.
    """

    follows_slot = True

    def __init__(self, client: redis.RedisCluster, key: bytes, part: str = "") -> None:
        super().__init__(part)
        self.cluster = client
        self.slot = client.keyslot(key)
        self._clients: ProcessLocal[dict[Address, redis.Redis]] = ProcessLocal(dict)
        nodes = client.nodes_manager.slots_cache.get(self.slot) or client.get_nodes()
        self._primary = PrimaryAddress(_address(nodes[0]))
        self._node_failed = False

    @property
    def place(self) -> str:
        """Where the primary is, for people to read."""
        host, port = self._node
        return f"Redis Cluster at {host}:{port}, slot {self.slot}"

    @property
    def location(self) -> object:
        """Where the slot is, for comparing."""
        return self.cluster, self.slot

    @property
    def number(self) -> int:
        """The number of the database: of a cluster, adapters use the first."""
        return 0

    def reaches(self, other: Database) -> bool:  # noqa: D102
        return (
            isinstance(other, ClusterDatabase)
            and self.cluster is other.cluster
            and self.slot == other.slot
        )

    @property
    def primary_address(self) -> PrimaryAddress:
        """Where the primary is, and when it last answered."""
        return self._primary

    @property
    def _node(self) -> Address:
        return cast(Address, self._primary.address)

    def _note_answer(self, address: Address) -> None:
        super()._note_answer(address)
        # Another may have answered for what has left it.
        if address == self._node:
            self._primary = PrimaryAddress(address, monotonic())

    def tracking_client(self) -> redis.Redis:  # noqa: D102
        return self._client_of(self._node, protocol=2)

    @property
    def _client(self) -> ProcessClient:
        return ProcessClient(self._client_at(self._node), None, None)

    def close(self) -> None:
        """Close all connections, whatever node they are to. The next question opens anew.

        A question that another thread is asking goes on, and its connection is closed afterwards.
        """
        clients = self._clients.get()
        self._clients.set({})
        for client in clients.values():
            ProcessClient(client, None, None).close()

    def _leave(self, left: ProcessClient) -> None:  # noqa: ARG002 - it is of one node
        # It may have been in the pool of any node.
        self.close()

    def _pool_at(self, address: Address) -> ConnectionPool:
        return self._client_at(address).connection_pool

    def _client_at(self, address: Address) -> redis.Redis:
        clients = self._clients.get()
        # Of two threads that come here at once, the first provides the client.
        return clients.get(address) or clients.setdefault(address, self._client_of(address))

    def _client_of(self, address: Address, **changes: Any) -> redis.Redis:
        host, port = address
        any_node = self.cluster.get_redis_connection(self.cluster.get_nodes()[0])
        # The handshake of the client's connections may ask replicas to answer.
        shake_hands = self._shake_hands if self.cluster.user_on_connect_func else None
        return client_of_database(
            any_node, None, host=host, port=port, redis_connect_func=shake_hands, **changes
        )

    def _shake_hands(self, connection: redis.Connection) -> None:
        connection.on_connect()
        self.cluster.user_on_connect_func(connection)

    def _converse(
        self, exchange: Exchange, conversation: Callable[[Exchange], Answer], is_repeatable: bool
    ) -> Answer:
        if self._node_failed:
            self._node_failed = False
            self._turn_to(self._others(self._node)[0], exchange)
        try:
            return self._follow(exchange, conversation, is_repeatable)
        except redis.RedisError as error:
            if not is_reply(error) or code_word(error) == "CLUSTERDOWN":
                # By the next question another may have taken its place, if none has already.
                self._node_failed |= exchange.pool is self._pool_at(self._node)
            raise

    def _follow(
        self, exchange: Exchange, conversation: Callable[[Exchange], Answer], is_repeatable: bool
    ) -> Answer:
        for _ in range(_MOST_REDIRECTIONS):
            try:
                return super()._converse(exchange, conversation, is_repeatable)
            except redis.ResponseError as error:
                word = code_word(error)
                if word not in {"MOVED", "ASK"}:
                    raise
                address = self._address_in(error, exchange)
            if word == "MOVED":
                self._turn_to(address, exchange)
                # The connections to others are closed when those who use them have done so.
                self._clients.set({address: self._client_at(address)})
            else:
                exchange.move(self._pool_at(address), asking=True)
        return super()._converse(exchange, conversation, is_repeatable)

    def _address_in(self, error: redis.ResponseError, exchange: Exchange) -> Address:
        # As in "MOVED 3999 127.0.0.1:6381"; an empty host is that of the node that was asked.
        host, _, port = str(error).rpartition(" ")[2].rpartition(":")
        host, number = self.cluster.nodes_manager.remap_host_port(
            host or exchange.address[0], int(port)
        )
        return host, number

    def _connect_again(self, exchange: Exchange) -> None:
        """Connect to the same node anew or, where it is gone, to any other."""
        for other in self._others(self._node):
            if _connects(exchange):
                break
            self._turn_to(other, exchange)

    def _turn_to(self, address: Address, exchange: Exchange) -> None:
        self._primary = self._primary._replace(address=address)
        exchange.move(self._pool_at(address))

    def _others(self, address: Address) -> list[Address]:
        """Return where the other nodes are, in any order, and *address* at the end.

        In any order, for one that has been cut off from the cluster is not to be asked each time.
        """
        nodes = [*self.cluster.get_nodes(), *self.cluster.nodes_manager.startup_nodes.values()]
        others = {_address(node) for node in nodes} - {address}
        return [*sample(list(others), len(others)), address]


def _address(node: ClusterNode) -> Address:
    return node.host, int(node.port)


def _connects(exchange: Exchange) -> bool:
    try:
        exchange.connect()
    except redis.ConnectionError as error:
        if not is_lost_connection(error):
            raise
        return False
    return True
