"""Many processes at one source: what is stored is what was acknowledged, no more and no less."""

import random
from collections import Counter

import redis
from harness import servers
from harness.forks import fork_server

from repoze.what.adapters import AdapterError, SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter

PROCESSES = 8
# In seconds: one that fails puts no result.
LONGEST_LIFE = 300
SECTIONS = [f"section {number}" for number in range(6)]
SPARE_SECTIONS = [f"spare {number}" for number in range(6)]
ITEMS = [f"item {number}" for number in range(12)]


class Ledger:
    """What one process was told that it changed: how often each thing came, less how often it went.

    Whoever adds a thing that is there is refused, and so is whoever removes one that is not. So the
    sum over all processes is 1 for what must be there in the end, and 0 for what must not.
    """

    def __init__(self, adapter):
        self.adapter = adapter
        self.memberships = Counter()
        self.sections = Counter()

    def include(self):
        section, items = random.choice(SECTIONS), random.sample(ITEMS, random.randint(1, 4))
        self.adapter.include_items(section, items)
        self.memberships.update((section, item) for item in items)

    def exclude(self):
        section, items = random.choice(SECTIONS), random.sample(ITEMS, random.randint(1, 2))
        self.adapter.exclude_items(section, items)
        self.memberships.subtract((section, item) for item in items)

    def remove(self):
        item = random.choice(ITEMS)
        for section in self.adapter.remove_item(item):
            self.memberships[section, item] -= 1

    def rename(self):
        item, new_item = random.sample(ITEMS, 2)
        for section in self.adapter.rename_item(item, new_item):
            self.memberships[section, item] -= 1
            self.memberships[section, new_item] += 1

    def create(self):
        section = random.choice(SPARE_SECTIONS)
        self.adapter.create_section(section)
        self.sections[section] += 1

    def delete(self):
        section = random.choice(SPARE_SECTIONS)
        self.adapter.delete_section(section)
        self.sections[section] -= 1

    def edit(self):
        section, new_section = random.sample(SPARE_SECTIONS, 2)
        self.adapter.edit_section(section, new_section)
        self.sections[section] -= 1
        self.sections[new_section] += 1

    def read(self):
        assert self.adapter.find_sections_many(random.sample(ITEMS, 3)) <= set(SECTIONS)
        assert self.adapter.get_section_items(random.choice(SECTIONS)) <= set(ITEMS)


def work(port, options, seed, *, operations, start, results):
    random.seed(seed)
    ledger = Ledger(RedisPermissionAdapter(redis.Redis(host=servers.HOST, port=port), **options))
    kinds = [getattr(ledger, name) for name in vars(Ledger) if not name.startswith("_")]
    weights = [1 if kind.__name__ in {"remove", "rename"} else 6 for kind in kinds]
    start.wait()
    for operation in random.choices(kinds, weights, k=operations):
        try:
            operation()
        except SourceError:
            raise
        except AdapterError:
            # Somebody else was first.
            continue
    results.put((ledger.memberships, ledger.sections))


def test_what_is_stored_is_what_was_acknowledged(server, options, thorough):
    adapter = RedisPermissionAdapter(server.client(), **options)
    for section in SECTIONS:
        adapter.create_section(section)
    context = fork_server()
    # All of them begin when the last one can.
    shared = {"start": context.Barrier(PROCESSES), "results": context.Queue()}
    operations = 20_000 if thorough else 500
    workers = [
        context.Process(
            target=work,
            args=(server.port, options, seed),
            kwargs={"operations": operations, **shared},
        )
        for seed in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    memberships, sections = Counter(), Counter()
    for _ in workers:
        of_memberships, of_sections = shared["results"].get(timeout=LONGEST_LIFE)
        memberships.update(of_memberships)
        sections.update(of_sections)
    for worker in workers:
        worker.join(LONGEST_LIFE)
        assert worker.exitcode == 0

    assert set(memberships.values()) | set(sections.values()) <= {0, 1}
    stored = adapter.get_all_sections()
    assert {(section, item) for section in SECTIONS for item in stored[section]} == {
        membership for membership, count in memberships.items() if count
    }
    assert stored.keys() - set(SECTIONS) == {name for name, count in sections.items() if count}
    assert adapter.check() == []
    for item in ITEMS:
        held = {section for section, items in stored.items() if item in items}
        assert adapter.find_sections(item) == held
