"""A Redis Cluster of three primaries with a replica each, which loses nodes and moves slots."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import combinations

import redis

from harness import servers

SLOTS = 16384
_PRIMARIES = 3
_OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0"),
    # A replica stays with its primary, is filled at once, and soon known to the others.
    *("--cluster-migration-barrier", "10", "--repl-diskless-sync-delay", "0"),
    *("--repl-ping-replica-period", "1"),
)


class Node(servers.RedisServer):
    """A server of a cluster."""

    def __init__(self, executable: str, *options: str) -> None:
        super().__init__(executable, *_OPTIONS, *options, port=_free_port())
        self._client = self.client(socket_timeout=10)
        self.id = self.ask("CLUSTER", "MYID")

    def ask(self, *command):
        """Return what this very node answers."""
        return self._client.execute_command(*command)

    def holders(self) -> dict[range, tuple[int, ...]]:
        """Who holds which slots, as this node knows it: the ports of primary and replicas."""
        return {
            range(first, last + 1): tuple(int(node[1]) for node in nodes)
            for first, last, *nodes in self.ask("CLUSTER", "SLOTS")
        }

    def holders_of(self, slot: int) -> tuple[int, ...]:
        return next(ports for slots, ports in self.holders().items() if slot in slots)

    def is_primary(self) -> bool:
        return self.ask("ROLE")[0] == b"master"

    def is_well(self) -> bool:
        """Whether it finds the cluster well, and where it is a replica it has been filled."""
        role = self.ask("ROLE")
        return (role[0] == b"master" or role[3] == b"connected") and (
            b"cluster_state:ok" in self.ask("CLUSTER", "INFO")
        )

    def stored(self, slot: int) -> dict[bytes, set[bytes] | None]:
        """The keys of *slot* that lie on this node: the members of sets, `None` for the rest."""
        with self.client(single_connection_client=True) as client:

            def asking(*command):
                # A slot that is being moved here is answered for only where this is said.
                client.execute_command("ASKING")
                return client.execute_command(*command)

            return {
                key: set(asking("SMEMBERS", key)) if asking("TYPE", key) == b"set" else None
                for key in client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000_000)
            }


class Cluster:
    """Six nodes that make up a cluster."""

    def __init__(self, executable: str) -> None:
        self.nodes = [Node(executable) for _ in range(2 * _PRIMARIES)]
        """Those that are up."""
        primaries, replicas = self.nodes[:_PRIMARIES], self.nodes[_PRIMARIES:]
        for number, primary in enumerate(primaries):
            primary.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            slots = range(number * SLOTS // _PRIMARIES, (number + 1) * SLOTS // _PRIMARIES)
            primary.ask("CLUSTER", "ADDSLOTS", *slots)
        for one, other in combinations(self.nodes, 2):
            one.ask("CLUSTER", "MEET", servers.HOST, other.port)
        for primary, replica in zip(primaries, replicas, strict=True):
            servers.wait_until(lambda: _starts_replicating(replica, primary))  # noqa: B023
        self.wait_until_whole()

    def client(self, **settings) -> redis.RedisCluster:
        return redis.RedisCluster(host=servers.HOST, port=self.nodes[0].port, **settings)

    def primary(self, slot: int) -> Node:
        return self._holders(slot)[0]

    def replica(self, slot: int) -> Node:
        return self._holders(slot)[1]

    def other_primary(self, slot: int) -> Node:
        """A primary that does not hold *slot*."""
        primary = self.primary(slot)
        return next(node for node in self.nodes if node.is_primary() and node is not primary)

    def _holders(self, slot: int) -> list[Node]:
        by_port = {node.port: node for node in self.nodes}
        return [by_port[port] for port in self.nodes[0].holders_of(slot)]

    def stored(self, slot: int) -> dict[bytes, set[bytes] | None]:
        """The keys of *slot* that lie on the primaries, each on one."""
        found: dict[bytes, set[bytes] | None] = {}
        for node in filter(Node.is_primary, self.nodes):
            here = node.stored(slot)
            assert not found.keys() & here.keys()
            found |= here
        return found

    def empty(self) -> None:
        for node in filter(Node.is_primary, self.nodes):
            node.ask("FLUSHALL")
            # For a moment after it was filled, a replica is sent nothing.
            assert node.ask("WAIT", 1, 10_000) == 1

    @contextmanager
    def without_primary(
        self, slot: int, lose: Callable[[Node], None], recover: Callable[[Node], None]
    ) -> Iterator[None]:
        """Lose the primary of *slot*, and recover it after the body.

        The body runs when the replica has taken over and all other nodes know.
        """
        primary, replica = self._holders(slot)
        self.nodes.remove(primary)
        lose(primary)
        try:
            servers.wait_until(
                lambda: all(node.holders_of(slot)[0] == replica.port for node in self.nodes)
            )
            yield
        finally:
            recover(primary)
            self.nodes.append(primary)
            self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Return when all agree on who holds what, and each primary has a replica."""
        servers.wait_until(self._is_whole)

    def _is_whole(self) -> bool:
        views = [node.holders() for node in self.nodes]
        return (
            all(view == views[0] for view in views)
            and sum(map(len, views[0])) == SLOTS
            and all(len(ports) == 2 for ports in views[0].values())
            and all(node.is_well() for node in self.nodes)
        )

    def move(self, slot: int, target: Node, keys: Iterable[bytes] = ()) -> Iterator[list[bytes]]:
        """Move *slot* to the primary *target* key by key, first *keys*, then the others.

        Before each key, and before the slot itself is given away, those that remain are yielded.
        """
        source = self.primary(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        first = list(keys)
        while True:
            remaining = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1_000_000)
            yield remaining
            if not remaining:
                break
            key = next((key for key in first if key in remaining), remaining[0])
            source.ask("MIGRATE", servers.HOST, target.port, key, 0, 5000)
        for node in (target, source, *self.nodes):
            if node.is_primary():
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        self.wait_until_whole()


@cache
def running(executable: str) -> Cluster:
    """The cluster of this executable that tests share; they leave it whole."""
    return Cluster(executable)


def _starts_replicating(replica: Node, primary: Node) -> bool:
    # It has to have heard of the primary first.
    with suppress(redis.ResponseError):
        return replica.ask("CLUSTER", "REPLICATE", primary.id) == b"OK"
    return False


def _free_port() -> int:
    # The nodes talk to each other at a port that is higher by 10,000.
    while True:
        port = servers.free_port() - 10_000
        with suppress(OSError), socket.create_server((servers.HOST, port)):
            return port
