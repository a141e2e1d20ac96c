"""Any sequence of operations, against a dict of sets."""

from datetime import timedelta

import pytest
from harness.endings import HOUR, let_pass
from harness.histories import replayed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from repoze.what.adapters import (
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
)
from repoze.what.plugins.redis import RedisPermissionAdapter

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c"]),
    st.text(min_size=1),
    st.binary(min_size=1),
    st.integers(),
)


def text(name):
    encoded = name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogateescape")
    return encoded.decode("utf-8", "surrogateescape")


# In hours and a half: what ends then does not end while the test runs, nor just when it looks.
HOURS = st.integers(min_value=0, max_value=3)


class Sources(RuleBasedStateMachine):
    """A permission source, and the dict of sets that it should be."""

    client = None
    options = None
    names = Bundle("names")

    def __init__(self):
        super().__init__()
        self.client.flushall()
        self.adapter = RedisPermissionAdapter(self.client, **self.options)
        self.model = {}

    def teardown(self):
        self.adapter.close()

    def expect(self, refusals, operation, *arguments, returns=None):
        """Do it, and check that the first refusal whose condition holds is what it raises."""
        for error, holds in refusals.items():
            if holds:
                with pytest.raises(error):
                    operation(*arguments)
                return False
        assert operation(*arguments) == returns
        return True

    @rule(target=names, name=NAMES)
    def name(self, name):
        return name

    @rule(section=names)
    def create(self, section):
        name = text(section)
        refusals = {ExistingSectionError: name in self.model}
        if self.expect(refusals, self.adapter.create_section, section):
            self.model[name] = set()

    @rule(section=names, new=names)
    def edit(self, section, new):
        name, new_name = text(section), text(new)
        refusals = {
            NonExistingSectionError: name not in self.model,
            ExistingSectionError: new_name in self.model,
        }
        if self.expect(refusals, self.adapter.edit_section, section, new):
            self.model[new_name] = self.model.pop(name)

    @rule(section=names)
    def delete(self, section):
        name = text(section)
        refusals = {NonExistingSectionError: name not in self.model}
        if self.expect(refusals, self.adapter.delete_section, section):
            del self.model[name]

    @rule(section=names, items=st.lists(names))
    def include(self, section, items):
        name, wanted = text(section), set(map(text, items))
        refusals = {
            NonExistingSectionError: name not in self.model,
            ItemPresentError: wanted & self.model.get(name, set()),
        }
        if self.expect(refusals, self.adapter.include_items, section, items):
            self.model[name] |= wanted

    @rule(section=names, items=st.lists(names))
    def exclude(self, section, items):
        name, unwanted = text(section), set(map(text, items))
        refusals = {
            NonExistingSectionError: name not in self.model,
            ItemNotPresentError: unwanted - self.model.get(name, set()),
        }
        if self.expect(refusals, self.adapter.exclude_items, section, items):
            self.model[name] -= unwanted

    @rule(section=names, items=st.lists(names))
    def replace(self, section, items):
        name = text(section)
        refusals = {NonExistingSectionError: name not in self.model}
        if self.expect(refusals, self.adapter.set_section_items, section, items):
            self.model[name] = set(map(text, items))

    @rule(item=names)
    def remove_everywhere(self, item):
        name = text(item)
        having = {section for section, held in self.model.items() if name in held}
        if self.expect(
            {ItemNotPresentError: not having}, self.adapter.remove_item, item, returns=having
        ):
            for section in having:
                self.model[section].remove(name)

    @rule(item=names, new=names)
    def rename_everywhere(self, item, new):
        name, new_name = text(item), text(new)
        having = {section for section, held in self.model.items() if name in held}
        refusals = {
            ItemNotPresentError: not having,
            ItemPresentError: any(new_name in held for held in self.model.values()),
        }
        if self.expect(refusals, self.adapter.rename_item, item, new, returns=having):
            for section in having:
                self.model[section] ^= {name, new_name}

    @rule(items=st.lists(names, max_size=3))
    def find(self, items):
        wanted = set(map(text, items))
        expected = {section for section, held in self.model.items() if held & wanted}
        # A near cache may have the second answer in memory.
        for _ in range(2):
            assert self.adapter.find_sections_many(items) == expected
            for item in items:
                assert self.adapter.find_sections(item) == {
                    section for section, held in self.model.items() if text(item) in held
                }

    @rule(section=names)
    def read(self, section):
        name = text(section)
        assert self.adapter._section_exists(section) == (name in self.model)
        self.expect(
            {NonExistingSectionError: name not in self.model},
            self.adapter.get_section_items,
            section,
            returns=self.model.get(name),
        )

    @invariant()
    def told_as_modelled(self):
        """Each change is in the history, once; what has changed nothing is not."""
        if self.adapter.namespace is not None:
            assert replayed(self.adapter.history()) == self.model

    @invariant()
    def stored_as_modelled(self):
        assert self.adapter.get_all_sections() == self.model
        assert self.adapter.check() == []


class SourcesThatEnd(Sources):
    """One in which memberships end, and for how many hours from now on each lasts."""

    names = Sources.names

    def __init__(self):
        super().__init__()
        self.ends = {}
        self.passed = timedelta(0)
        self.passed_at = {}

    @initialize(target=names)
    def name(self):
        # A few names, and somebody in each section for a time, or what is tried would seldom be
        # about any such membership.
        for section in ("a", "b"):
            self.create(section)
            self.include_for_a_time(section, ["b", "c"], 2)
        return multiple("a", "b", "c")

    def left(self, section):
        """Those that are in a section for a time."""
        name = text(section)
        return {item for at, item in self.ends if at == name}

    @rule(section=names, items=st.lists(names, min_size=1), hours=HOURS)
    def include_for_a_time(self, section, items, hours):
        name, wanted = text(section), set(map(text, items))
        refusals = {
            NonExistingSectionError: name not in self.model,
            ItemPresentError: wanted & self.model.get(name, set()),
        }
        until = hours * HOUR + HOUR / 2
        if self.expect(refusals, self.adapter.include_items, section, items, until):
            self.model[name] |= wanted
            self.ends |= {(name, item): hours for item in wanted}

    @rule(section=names, item=names, hours=st.none() | HOURS)
    def set_until(self, section, item, hours):
        name, item_name = text(section), text(item)
        refusals = {
            NonExistingSectionError: name not in self.model,
            ItemNotPresentError: item_name not in self.model.get(name, set()),
        }
        until = None if hours is None else hours * HOUR + HOUR / 2
        if self.expect(refusals, self.adapter.set_until, section, item, until):
            self.ends.pop((name, item_name), None)
            if hours is not None:
                self.ends[name, item_name] = hours

    @rule(hours=HOURS)
    def let_pass(self, hours):
        self.note_changes()
        let_pass(self.adapter.db_connection, hours * HOUR)
        self.passed += hours * HOUR
        self.ends = {key: left - hours for key, left in self.ends.items()}
        for section, item in [key for key, left in self.ends.items() if left < 0]:
            self.model[section].discard(item)
            del self.ends[section, item]

    def note_changes(self):
        """Note how much time had passed, by the test, when each change was made."""
        for change in self.adapter.history():
            if self.passed_at.setdefault(change.token, self.passed) != self.passed:
                break

    @rule(section=names, new=names)
    def edit(self, section, new):
        name, new_name = text(section), text(new)
        ends = {item: self.ends[name, item] for item in self.left(section)}
        is_new = name in self.model and new_name not in self.model
        super().edit(section, new)
        if is_new:
            for item, hours in ends.items():
                del self.ends[name, item]
                self.ends[new_name, item] = hours

    @rule(item=names, new=names)
    def rename_everywhere(self, item, new):
        name, new_name = text(item), text(new)
        before = {section: set(items) for section, items in self.model.items()}
        super().rename_everywhere(item, new)
        if before != self.model:
            self.ends = {
                (section, new_name if each == name else each): hours
                for (section, each), hours in self.ends.items()
            }

    @invariant()
    def told_as_modelled(self):
        self.note_changes()
        sections = replayed(self.adapter.history(), self.passed_at, self.passed)
        assert sections == self.model

    @invariant()
    def ends_as_modelled(self):
        # What is gone has no end.
        self.ends = {
            (section, item): hours
            for (section, item), hours in self.ends.items()
            if item in self.model.get(section, ())
        }
        for section in self.model:
            assert self.adapter.until_of(section).keys() == self.left(section)
            assert self.adapter.count_items(section) == len(self.model[section])


@pytest.mark.parametrize(
    "options",
    [{}, {"namespace": "tests"}, {"namespace": "tests", "near_cache": 3, "max_staleness": 60}],
    ids=["plain", "indexed", "near cache"],
)
def test_any_sequence_agrees_with_the_model(server, options, thorough):
    run(Sources, server, options, thorough)


@pytest.mark.parametrize(
    "options",
    [{"namespace": "tests"}, {"namespace": "tests", "near_cache": 3, "max_staleness": 60}],
    ids=["indexed", "near cache"],
)
def test_any_sequence_in_time_agrees_with_the_model(server, options, thorough):
    run(SourcesThatEnd, server, options, thorough)


def run(sources, server, options, thorough):
    class Here(sources):
        client = server.client()

    Here.options = options
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=200 if thorough else 20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
