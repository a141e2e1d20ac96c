"""The three real organisations, side by side with what else sites ask: a request, and `can`."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter

from .measuring import Times, in_turns
from .network import slow_network
from .organisation import Organisation, organisations
from .peer import Peer
from .report import Report
from .server import Server
from .sources import keys_of_sections, store

if TYPE_CHECKING:
    from .postgresql import PostgreSQL

_NAMESPACE = "bench"
_PING = "PING"
_OURS = "ours"
_CAN = "can: "
_QUESTIONS = (
    ("request", "", "one request of any user: groups and permissions"),
    ("can", _CAN, "whether a user has one permission"),
)
# In seconds: what the slow network takes in each direction.
_DELAY = 0.00025


@dataclass(frozen=True)
class _Servers:
    """What answers over the network, and where data is put into it without."""

    redis: Server
    loading_redis: Server
    postgresql: "PostgreSQL | None"
    loading_postgresql: "PostgreSQL | None"


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Ask them all the same on the loopback interface."""
    with _postgresql(server, report) as postgresql:
        servers = _Servers(server, server, postgresql, postgresql)
        _compare(servers, report, "side_by_side", quick=quick)


def run_delayed(server: Server, report: Report, *, quick: bool) -> None:
    """Ask them all the same where each direction takes a quarter of a millisecond more."""
    with _postgresql(server, report) as postgresql:
        ports = [server.port, *([postgresql.port] if postgresql else [])]
        with slow_network(server, ports, _DELAY) as (relayed, longer):
            report.say(
                f"through a relay in a process of its own, not a delay in the kernel: a PING takes"
                f" {1e3 * longer:.2f} ms longer ({2e3 * _DELAY:.2f} ms is meant)"
            )
            servers = _Servers(
                server.at(relayed[server.port]),
                server,
                postgresql.at(relayed[postgresql.port]) if postgresql else None,
                postgresql,
            )
            _compare(servers, report, "side_by_side_delayed", quick=quick)


@contextmanager
def _postgresql(server: Server, report: Report) -> Iterator["PostgreSQL | None"]:
    from .postgresql import NoPostgreSQL, running_postgresql  # noqa: PLC0415 - for this alone

    with ExitStack() as stack:
        postgresql = None
        try:
            postgresql = stack.enter_context(running_postgresql(server))
        except NoPostgreSQL as reason:
            report.say(f"PostgreSQL is left out: {reason}")
        else:
            report.say(f"{postgresql.description}, on the same processor as the other server")
        yield postgresql


def _compare(servers: _Servers, report: Report, name: str, *, quick: bool) -> None:
    found = organisations()[:1] if quick else organisations()
    # By kind of question and by what is asked, for each organisation.
    to_ours: dict[str, dict[str, dict[str, object]]] = {kind: {} for kind, _, _ in _QUESTIONS}
    for organisation in found:
        with _peers(servers, organisation) as peers:
            right = [peer for peer in peers if _is_right(peer, organisation, report)]
            things: dict[str, Callable[[], Any]] = {_PING: servers.redis.client().ping}
            for peer in right:
                things |= _things(peer, organisation)
            times = in_turns(things, 5 if quick else 40)
            for kind, prefix, title in _QUESTIONS:
                names = [peer.name for peer in right if f"{prefix}{peer.name}" in things]
                report.table(
                    f"{name}_{kind}_{organisation.name}",
                    f"{organisation.name}, {title} (medians of {times.rounds} rounds)",
                    (
                        *("", "times a PING", "half of the rounds"),
                        *("times ours", "half of the rounds", "microseconds"),
                    ),
                    [
                        _row(times, _PING, _PING, f"{prefix}{_OURS}"),
                        *(
                            _row(times, name, f"{prefix}{name}", f"{prefix}{_OURS}")
                            for name in names
                        ),
                    ],
                )
                for label in names:
                    ratio = times.ratio(f"{prefix}{label}", f"{prefix}{_OURS}")
                    to_ours[kind].setdefault(label, {})[organisation.name] = ratio
    for kind, _, title in _QUESTIONS:
        report.table(
            f"{name}_{kind}",
            f"{title}: times ours",
            ("", *(organisation.name for organisation in found)),
            [
                (label, *(ratios.get(organisation.name, "") for organisation in found))
                for label, ratios in to_ours[kind].items()
            ],
        )


def _is_right(peer: Peer, organisation: Organisation, report: Report) -> bool:
    wrong = peer.is_wrong_about(organisation)
    if wrong is None:
        report.say(f"{organisation.name}: {peer.name} is right about all users")
        return True
    if peer.name.startswith(_OURS):
        raise SystemExit(f"{organisation.name}: {peer.name} is wrong about {wrong}")
    report.say(f"{organisation.name}: {peer.name} is left out, for it is wrong about {wrong}")
    return False


def _things(peer: Peer, organisation: Organisation) -> dict[str, Callable[[], Any]]:
    things: dict[str, Callable[[], Any]] = {}
    if request := peer.request:
        users = cycle([user for user, _ in organisation.questions])
        things[peer.name] = lambda: request(next(users))
    if can := peer.can:
        questions = cycle(organisation.questions)
        things[f"{_CAN}{peer.name}"] = lambda: can(*next(questions))
    return things


def _row(times: Times, label: str, name: str, ours: str) -> Sequence[object]:
    to_ping, to_ours = times.ratio(name, _PING), times.ratio(name, ours)
    return (label, to_ping, to_ping.spread, to_ours, to_ours.spread, times.microseconds(name))


@contextmanager
def _peers(servers: _Servers, organisation: Organisation) -> Iterator[list[Peer]]:
    """Put the data of *organisation* wherever it has to be, and yield all that can be asked."""
    # Their libraries are needed for this subject alone.
    from .databases import fill_postgresql, postgresql_peers, sqlite_peers  # noqa: PLC0415
    from .engines import engines  # noqa: PLC0415

    loading = servers.loading_redis.client()
    loading.flushall()
    for kind, sections in organisation.sections.items():
        store(loading, keys_of_sections(sections, _NAMESPACE, kind))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peers = [
            stack.enter_context(_ours(servers.redis, _OURS, near_cache=False)),
            stack.enter_context(_ours(servers.redis, f"{_OURS}, near cache", near_cache=True)),
        ]
        if servers.postgresql and servers.loading_postgresql:
            fill_postgresql(servers.loading_postgresql, organisation)
            peers += stack.enter_context(postgresql_peers(servers.postgresql))
        peers += stack.enter_context(sqlite_peers(organisation, folder))
        peers += engines(organisation, folder)
        yield peers


@contextmanager
def _ours(server: Server, name: str, *, near_cache: bool) -> Iterator[Peer]:
    client = server.client()
    adapters = Adapters(
        RedisGroupAdapter(client, None, namespace=_NAMESPACE, near_cache=near_cache),
        RedisPermissionAdapter(client, None, namespace=_NAMESPACE, near_cache=near_cache),
    )
    metadata = AuthorizationMetadata({"redis": adapters.groups}, {"redis": adapters.permissions})

    def request(user: str) -> tuple[Sequence[str], Sequence[str]]:
        environ: dict[str, Any] = {}
        metadata.add_metadata(environ, {"repoze.who.userid": user})
        credentials = environ["repoze.what.credentials"]
        return credentials["groups"], credentials["permissions"]

    try:
        yield Peer(name, request, adapters.can)
    finally:
        for adapter in adapters:
            adapter.close()
        client.close()
