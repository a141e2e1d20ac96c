"""Any sequence of changes and undos of both sources: undone in reverse, nothing is left of it."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from harness.histories import replayed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from repoze.what.adapters import AdapterError
from repoze.what.plugins.redis import (
    Adapters,
    RedisGroupAdapter,
    RedisPermissionAdapter,
    UndoRefused,
)
from repoze.what.plugins.redis.undoing import latest_first

# So few that one change meets the other.
NAMES = st.sampled_from(["a", "b", "c"])
ITEMS = st.sets(NAMES, max_size=3)
KINDS = st.sampled_from([0, 1])
ENDS = [datetime(2100, month, 1, tzinfo=UTC) for month in (1, 2)]


def taken_back(sections, change):
    """What *sections* are without *change*, where nothing is in its way."""
    found = {section: set(items) for section, items in sections.items()}
    if change.effect == "created":
        assert found.pop(change.section) == change.added
    elif change.effect == "deleted":
        assert change.section not in found
        found[change.section] = set(change.removed)
    elif change.effect == "renamed":
        assert change.section not in found
        found[change.section] = found.pop(change.new_section)
    else:
        for section in change.sections:
            assert change.added <= found[section]
            if section not in change.had_added:
                found[section] -= change.added
            assert section in change.kept_removed or not change.removed & found[section]
            found[section] |= change.removed
    return found


class Changed(RuleBasedStateMachine):
    """Both sources, from when they are empty until all is undone."""

    client = None
    options = None

    def __init__(self):
        super().__init__()
        self.client.flushall()
        self.pair = Adapters(
            RedisGroupAdapter(self.client, **self.options),
            RedisPermissionAdapter(self.client, **self.options),
        )

    def sources(self):
        return [adapter.get_all_sections() for adapter in self.pair]

    def histories(self):
        return [list(adapter.history()) for adapter in self.pair]

    @rule(kind=KINDS, name=NAMES, items=ITEMS)
    def make(self, kind, name, items):
        with suppress(AdapterError):
            self.pair[kind].create_section(name)
        with suppress(AdapterError):
            self.pair[kind].include_items(name, items)

    @rule(kind=KINDS, name=NAMES)
    def create(self, kind, name):
        with suppress(AdapterError):
            self.pair[kind].create_section(name)

    @rule(kind=KINDS, name=NAMES, new_name=NAMES)
    def edit(self, kind, name, new_name):
        with suppress(AdapterError):
            self.pair[kind].edit_section(name, new_name)

    @rule(kind=KINDS, name=NAMES)
    def delete(self, kind, name):
        with suppress(AdapterError):
            self.pair[kind].delete_section(name)

    @rule(kind=KINDS, name=NAMES, item=NAMES, until=st.sampled_from(ENDS))
    def include_for_a_time(self, kind, name, item, until):
        with suppress(AdapterError):
            self.pair[kind].create_section(name)
        with suppress(AdapterError):
            self.pair[kind].include_item(name, item, until)

    @rule(kind=KINDS, name=NAMES, item=NAMES, until=st.sampled_from([*ENDS, None]))
    def set_until(self, kind, name, item, until):
        with suppress(AdapterError):
            self.pair[kind].set_until(name, item, until)

    @rule(kind=KINDS, name=NAMES, items=ITEMS)
    def exclude(self, kind, name, items):
        with suppress(AdapterError):
            self.pair[kind].exclude_items(name, items)

    @rule(kind=KINDS, name=NAMES, items=ITEMS)
    def replace(self, kind, name, items):
        with suppress(AdapterError):
            self.pair[kind].set_section_items(name, items)

    @rule(kind=KINDS, name=NAMES)
    def remove_everywhere(self, kind, name):
        with suppress(AdapterError):
            self.pair[kind].remove_item(name)

    @rule(kind=KINDS, name=NAMES, new_name=NAMES, is_merging=st.booleans())
    def rename_everywhere(self, kind, name, new_name, is_merging):
        if name != new_name:
            adapter = self.pair[kind]
            # Of two times, one would be lost.
            is_merging &= not any(map(adapter.until_of, adapter.get_section_names()))
            with suppress(AdapterError):
                (adapter._merge_item if is_merging else adapter.rename_item)(name, new_name)

    @rule(name=NAMES, new_name=NAMES)
    def rename_group(self, name, new_name):
        with suppress(AdapterError):
            self.pair.rename_group(name, new_name)

    @rule(name=NAMES)
    def delete_group(self, name):
        with suppress(AdapterError):
            self.pair.delete_group(name)

    @rule(number=st.integers(0, 5))
    def undo_one(self, number):
        before, histories = self.sources(), self.histories()
        wanted = [change for _, change in latest_first(*histories)][number : number + 1]
        for change in wanted:
            refusal = self.refusal(change)
            if refusal is None:
                for has, had, history in zip(self.sources(), before, histories, strict=True):
                    halves = [each for each in history if each.token == change.token]
                    assert has == (taken_back(had, halves[0]) if halves else had)
            else:
                assert refusal.written is False
                assert self.sources() == before
                assert self.histories() == histories
                # What is in the way is undone first.
                assert number > 0
                assert refusal.later is not None or "permissions" in str(refusal)

    def refusal(self, change):
        try:
            self.pair.undo(change)
        except UndoRefused as refused:
            return refused
        return None

    @invariant()
    def time_goes_on(self):
        """Or nobody could tell which change of two sources was the later one."""
        before = self.client.time()
        while self.client.time() < (before[0], before[1] + 2000):
            pass

    @invariant()
    def told_as_it_is(self):
        assert [replayed(history) for history in self.histories()] == self.sources()

    @invariant()
    def nothing_is_odd(self):
        assert [adapter.check() for adapter in self.pair] == [[], []]

    def teardown(self):
        changes = latest_first(*self.histories())
        for _ in self.pair.undo_each(change for _, change in changes):
            self.told_as_it_is()
        assert self.sources() == [{}, {}]
        self.nothing_is_odd()
        for adapter in self.pair:
            adapter.close()


@pytest.mark.parametrize(
    "options",
    [{"namespace": "tests", "db": 0}, {"namespace": "tests"}],
    ids=["one database", "two databases"],
)
def test_any_sequence_can_be_undone(server, options, thorough):
    class Here(Changed):
        client = server.client()

    Here.options = options
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=300 if thorough else 15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
