"""Bytes of the server's memory for a membership, against what the same keys cost by themselves."""

from collections.abc import Callable
from functools import partial
from time import sleep

import redis

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .measuring import three_digits
from .organisations import organisations
from .report import Report
from .server import Server
from .sources import Generated, Sections, group_source, keys_of_sections, store

_NAMESPACE = "bench"
# In seconds.
_MOMENT = 1.5
_ADAPTERS = {"groups": RedisGroupAdapter, "permissions": RedisPermissionAdapter}


def run(server: Server, report: Report, *, quick: bool) -> None:
    """Store sources of several shapes, by both layouts and by bare commands, and weigh them."""
    size = 10 if quick else 1_000
    shapes = {
        "groups of 20 users, each user in 10": group_source(50 * size),
        "groups of 1,000 users, each user in 10": Generated("group", size, "user", 100 * size, 10),
        "groups of 1,000 users, each user in 1": Generated("group", size, "user", 1000 * size, 1),
    }
    sources: dict[str, dict[str, Sections]] = {
        name: {"groups": dict(shape.by_section())} for name, shape in shapes.items()
    }
    for organisation in organisations()[: 1 if quick else None]:
        sources[organisation.name] = organisation.sections
    for namespace in (_NAMESPACE, None):
        # What the server keeps of the scripts themselves is no part of the first source.
        _include(server, {"groups": {"editors": ["rosa"]}}, namespace)
    rows = []
    for name, source in sources.items():
        memberships = sum(len(items) for kind in source.values() for items in kind.values())
        for layout, namespace in (("indexed", _NAMESPACE), ("plain", None)):
            stored = _weigh(server, partial(_include, server, source, namespace))
            keys = _weigh(server, partial(_store_keys, server, source, namespace))
            rows.append(
                (
                    *(layout, name, f"{memberships:,}"),
                    *(three_digits(stored / memberships), three_digits(keys / memberships)),
                    f"{stored / keys:.3f}",
                )
            )
    report.table(
        "memory",
        "The server's memory",
        (
            "layout",
            "source",
            "memberships",
            "bytes per membership",
            "the same keys by SADD",
            "ratio",
        ),
        rows,
    )


def _weigh(server: Server, write: Callable[[], None]) -> int:
    """Return how many bytes *write* makes the server use, but for what tells of writes."""
    client = server.client()
    client.flushall()
    before = _used_memory(client)
    write()
    client.delete(
        *(f"{{{_NAMESPACE}}}:{kind}:{key}" for kind in _ADAPTERS for key in ("done", "history"))
    )
    return _used_memory(client) - before


def _include(server: Server, source: dict[str, Sections], namespace: str | None) -> None:
    for kind, sections in source.items():
        client = server.client()
        db = ... if namespace is None else 0
        adapter = _ADAPTERS[kind](client, db, namespace=namespace)
        for section, items in sections.items():
            adapter.create_section(section)
            adapter.include_items(section, items)


def _store_keys(server: Server, source: dict[str, Sections], namespace: str | None) -> None:
    for kind, sections in source.items():
        if namespace is None:
            store(server.client(_ADAPTERS[kind].DB_NAME), sections.items())
        else:
            store(server.client(), keys_of_sections(sections, namespace, kind))


def _used_memory(client: redis.Redis) -> int:
    # The connections of those who have written have buffers.
    client.client_kill_filter(_type="normal", skipme=True)
    # A moment for the server to make its tables smaller.
    sleep(_MOMENT)
    used: int = client.info("memory")["used_memory"]
    return used
