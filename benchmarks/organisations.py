"""The three real organisations: a request, against other libraries on the same data."""

from collections.abc import Callable, Mapping
from itertools import cycle
from time import monotonic
from typing import Any

from repoze.what.middleware import AuthorizationMetadata
from repoze.what.plugins.redis import Adapters, RedisGroupAdapter, RedisPermissionAdapter

from .measuring import in_turns, three_digits
from .organisation import Ask, Organisation, organisations
from .report import Report
from .server import Server
from .sources import keys_of_sections, store

_NAMESPACE = "bench"
# In seconds: how long the answers of one library are checked, where there are too many for all.
_LONGEST_CHECK = 5


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Ask all libraries the same of each organisation, when all have been seen to be right."""
    from .peers import peers  # noqa: PLC0415 - its libraries are needed for this subject alone

    found = organisations()
    for organisation in found[:1] if quick else found:
        server.client().flushall()
        with peers(organisation, server) as (in_memory, loaded_each_time):
            asked = {**_ours(server, organisation), **in_memory}
            first: dict[str, float] = {}
            for name, ask in {**asked, **loaded_each_time}.items():
                checked, first[name] = _check(name, ask, organisation)
                report.say(f"{organisation.name}: {name} is right about {checked} users")
            once = {name: first[name] for name in loaded_each_time}
            _report_times(report, organisation, asked, once, seconds=5 if quick else 25)


def _ours(server: Server, organisation: Organisation) -> dict[str, Ask]:
    for kind, sections in organisation.sections.items():
        store(server.client(), keys_of_sections(sections, _NAMESPACE, kind))
    store(server.client(1), organisation.users.items())
    store(server.client(2), organisation.groups.items())
    client = server.client()
    indexed, cached = (
        Adapters(
            RedisGroupAdapter(client, 0, namespace=_NAMESPACE, near_cache=near_cache),
            RedisPermissionAdapter(client, 0, namespace=_NAMESPACE, near_cache=near_cache),
        )
        for near_cache in (False, True)
    )
    plain = Adapters(RedisGroupAdapter(client), RedisPermissionAdapter(client))
    return {
        "indexed layout": _request(indexed),
        "indexed layout, can() of one permission": indexed.can,
        "indexed layout with a near cache": _request(cached),
        "indexed layout with a near cache, can()": cached.can,
        "plain layout": _request(plain),
        "plain layout, can() of one permission": plain.can,
    }


def _request(adapters: Adapters) -> Ask:
    metadata = AuthorizationMetadata({"redis": adapters.groups}, {"redis": adapters.permissions})

    def ask(user: str, _: str) -> Any:
        environ: dict[str, Any] = {}
        metadata.add_metadata(environ, {"repoze.who.userid": user})
        return environ["repoze.what.credentials"]["permissions"]

    return ask


def _check(name: str, ask: Ask, organisation: Organisation) -> tuple[int, float]:
    """Compare the answers with what is known to be right.

    Returned is for how many users, and how many seconds the first answer took.
    """
    checked = 0
    seconds = 0.0
    began = monotonic()
    for user, permissions in organisation.expected.items():
        answer = ask(user, permissions[0])
        seconds = seconds or monotonic() - began
        if isinstance(answer, bool):
            other = next((name for name in organisation.groups if name not in permissions), "none")
            right = answer and not ask(user, other)
        else:
            right = set(answer) == set(permissions)
        if not right:
            raise SystemExit(f"{name} is wrong about {user} of {organisation.name}")
        checked += 1
        if monotonic() - began > _LONGEST_CHECK:
            break
    return checked, seconds


def _report_times(
    report: Report,
    organisation: Organisation,
    asked: Mapping[str, Ask],
    once: Mapping[str, float],
    seconds: float,
) -> None:
    times = in_turns({name: _in_a_row(organisation, ask) for name, ask in asked.items()}, seconds)
    rows: list[tuple[object, ...]] = []
    for name in asked:
        ratio = times.ratio(name, "indexed layout")
        rows.append((name, ratio, ratio.spread, times.microseconds(name)))
    ours = times.median("indexed layout")
    for name, taken in once.items():
        rows.append((name, three_digits(taken / ours), "once", three_digits(1e6 * taken)))
    report.table(
        f"organisation_{organisation.name}",
        f"{organisation.name}: one request of any user (medians of {times.rounds} rounds)",
        ("", "times the indexed layout", "half of the rounds", "microseconds"),
        rows,
    )


def _in_a_row(organisation: Organisation, ask: Ask) -> Callable[[], Any]:
    questions = cycle(organisation.questions)
    return lambda: ask(*next(questions))
