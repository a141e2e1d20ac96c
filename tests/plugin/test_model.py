"""Any sequence of operations, against a dict of sets."""

import pytest
from harness.histories import replayed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
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


@pytest.mark.parametrize(
    "options",
    [{}, {"namespace": "tests"}, {"namespace": "tests", "near_cache": 3, "max_staleness": 60}],
    ids=["plain", "indexed", "near cache"],
)
def test_any_sequence_agrees_with_the_model(server, options, thorough):
    class Here(Sources):
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
