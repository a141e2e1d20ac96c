"""Sources of any size, and the keys that they are stored under, for commands of redis-py's own."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import redis

from repoze.what.plugins.redis.connection.clients import connection_from

# A key and its members.
Sets = Iterable[tuple[str, list[str]]]
# By its name, the items of a section.
Sections = Mapping[str, list[str]]

_COMMANDS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Generated:
    """A source in which each item is in the same number of sections.

    Item number *i* is in the sections that begin with number ``i * sections_of_an_item``, around
    and around. All names have one length each, so that answers do not grow with the source.
    """

    section: str
    sections: int
    item: str
    items: int
    sections_of_an_item: int

    def by_section(self) -> Sets:
        """Return the names of the sections, each with its items."""
        step = self.sections // self.sections_of_an_item
        for number in range(self.sections):
            first = number // self.sections_of_an_item
            items = range(first, self.items, step)
            yield self.section_name(number), [self.item_name(item) for item in items]

    def by_item(self) -> Sets:
        """Return the names of the items, each with its sections."""
        for number in range(self.items):
            yield self.item_name(number), self.sections_of(number)

    def sections_of(self, item: int) -> list[str]:
        """Return the sections that the item of this number is in."""
        first = item * self.sections_of_an_item
        return [
            self.section_name((first + offset) % self.sections)
            for offset in range(self.sections_of_an_item)
        ]

    def section_name(self, number: int) -> str:
        """Return the name of the section of this *number*."""
        return f"{self.section}{number:07}"

    def item_name(self, number: int) -> str:
        """Return the name of the item of this *number*."""
        return f"{self.item}{number:07}"


def group_source(groups: int, groups_of_a_user: int = 10) -> Generated:
    """Return a source of groups of 20 users; *groups* is a multiple of *groups_of_a_user*.

    Where there are more than 100,000 groups they have fewer users, and the source two million
    memberships, for the sake of the memory that it takes.
    """
    users_of_a_group = min(20, 2_000_000 // groups)
    users = users_of_a_group * groups // groups_of_a_user
    return Generated("group", groups, "user", users, groups_of_a_user)


def permission_source(groups: int) -> Generated:
    """Return a source in which each group has five permissions, and ten in a row have fifty."""
    return Generated("permission", max(groups, 50), "group", groups, 5)


def item_key(namespace: str, kind: str, item: str) -> str:
    """Return the key of the indexed layout that holds the sections of *item*."""
    return f"{{{namespace}}}:{kind}:item:{item}"


def indexed_sets(source: Generated, namespace: str, kind: str) -> Sets:
    """Return what *source* is on the indexed layout."""
    prefix = f"{{{namespace}}}:{kind}"
    yield f"{prefix}:sections", [source.section_name(number) for number in range(source.sections)]
    for section, items in source.by_section():
        yield f"{prefix}:section:{section}", items
    for item, sections in source.by_item():
        yield item_key(namespace, kind, item), sections


def keys_of_sections(sections: Sections, namespace: str, kind: str) -> Sets:
    """Return what *sections* are on the indexed layout; the index is made of them in memory."""
    sections_of_item = defaultdict(list)
    for section, items in sections.items():
        for item in items:
            sections_of_item[item_key(namespace, kind, item)].append(section)
    prefix = f"{{{namespace}}}:{kind}"
    yield f"{prefix}:sections", list(sections)
    for section, items in sections.items():
        yield f"{prefix}:section:{section}", items
    yield from sections_of_item.items()


def store(client: redis.Redis, sets: Sets) -> None:
    """Store *sets*, whose names are ASCII, by bare SADDs, as fast as the server takes them."""
    connection = connection_from(client.connection_pool)
    connection.send_command("CLIENT", "REPLY", "OFF")
    remaining = iter(sets)
    while some := list(islice(remaining, _COMMANDS_AT_ONCE)):
        connection.send_packed_command(
            ["".join(_packed("SADD", key, *members) for key, members in some).encode("ascii")]
        )
    connection.send_command("CLIENT", "REPLY", "ON")
    connection.read_response()
    client.connection_pool.release(connection)


def _packed(*command: str) -> str:
    # As in "*2\r\n$3\r\nGET\r\n$4\r\nname\r\n". For millions of names redis-py's own is slow.
    words = "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
    return f"*{len(command)}\r\n{words}"
