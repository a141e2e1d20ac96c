"""Any sequence of what a memory is asked and told, against a list of answers and a loop."""

from harness.near_caches import number_of_answers
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from repoze.what.plugins.redis.names import encode_known
from repoze.what.plugins.redis.near_cache.memory import Memory

SIZE = 3
ITEMS = st.sampled_from([b"a", b"b", b"c", b"d"])
QUESTIONS = st.frozensets(ITEMS.map(bytes.decode), min_size=1, max_size=3)


class Memories(RuleBasedStateMachine):
    """A memory; the answers that it should keep, the last asked for at the end; those expected."""

    expected, following = Bundle("expected"), Bundle("following")

    def __init__(self):
        super().__init__()
        self.memory = Memory(SIZE)
        self.kept = []
        self.current = []
        self.current_following = []

    @rule(target=expected, question=QUESTIONS, now=st.floats(0, 1))
    def expect(self, question, now):
        items = encode_known(question)
        answer = self.memory.begin_fill(question, items, now)
        assert (answer.question, set(answer.items)) == (question, items)
        assert (answer.asked_at, answer.is_current) == (now, True)
        self.current.append(answer)
        return answer

    @rule(answer=consumes(expected))
    def keep(self, answer):
        self.memory.commit(answer)
        if answer in self.current:
            self.current.remove(answer)
            self.kept = [each for each in self.kept if each.question != answer.question] + [answer]
            self.kept = self.kept[-SIZE:]

    @rule(answer=consumes(expected))
    def release(self, answer):
        self.memory.abort(answer)
        if answer in self.current:
            self.current.remove(answer)
        self.kept = [each for each in self.kept if each.question != answer.question]

    @rule(target=following, now=st.floats(0, 1))
    def expect_unknown(self, now):
        answer = self.memory.begin_following(now)
        self.current_following.append((answer, set()))
        return answer

    @rule(answer=consumes(following), question=QUESTIONS)
    def keep_what_is_known_now(self, answer, question):
        items, sections = encode_known(question), frozenset(("x",))
        self.memory.commit_following(answer, question, items, sections, 7.0)
        current = {id(each): changed for each, changed in self.current_following}
        self.current_following = [each for each in self.current_following if each[0] is not answer]
        if id(answer) in current and current[id(answer)].isdisjoint(items):
            kept = self.memory.get(question)
            assert (kept.question, kept.sections, kept.lasts) == (question, sections, 7.0)
            assert (kept.asked_at, set(kept.items)) == (answer.asked_at, items)
            self.kept = [each for each in self.kept if each.question != question] + [kept]
            self.kept = self.kept[-SIZE:]

    @rule()
    def clear(self):
        self.memory.clear()
        self.kept, self.current, self.current_following = [], [], []

    @rule(item=ITEMS)
    def forget(self, item):
        self.memory.forget(item)
        for _, changed in self.current_following:
            changed.add(item)
        self.kept = [answer for answer in self.kept if item not in answer.items]
        self.current = [answer for answer in self.current if item not in answer.items]

    @rule(question=QUESTIONS)
    def get(self, question):
        wanted = [answer for answer in self.kept if answer.question == question]
        assert self.memory.get(question) is (wanted[0] if wanted else None)
        self.kept = [answer for answer in self.kept if answer.question != question] + wanted

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def get_what_is_kept(self, data):
        self.get(data.draw(st.sampled_from(self.kept)).question)

    @invariant()
    def keeps_as_many(self):
        assert len(self.memory) == len(self.kept)

    @invariant()
    def knows_what_depends_on_what(self):
        """That, and nothing else: it would be there for ever."""
        dependents = {}
        for answer in self.kept + self.current:
            for item in answer.items:
                dependents.setdefault(item, set()).add(answer)
        assert self.memory._dependents == dependents


def test_any_sequence_agrees_with_the_model(thorough):
    examples = 200 if thorough else 30
    run_state_machine_as_test(
        Memories, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


def test_many_answers():
    memory = Memory(100)
    for number in range(10_000):
        user = b"%d" % number
        items = frozenset((user, b"everybody", b"pair %d" % (number // 2)))
        memory.commit(memory.begin_fill(items, items, 0))
    assert len(memory) == 100
    assert len(memory._dependents) == 100 + 1 + 50
    memory.forget(b"everybody")
    assert len(memory) == len(memory._dependents) == 0


def test_memory_that_nobody_has_any_more():
    """What keeps the answers is not known to the garbage collector, so it may be in no cycle."""
    before = number_of_answers()
    memory = Memory(2)
    for question in map(frozenset, "abc"):
        answer = memory.begin_fill(question, encode_known(question), 0)
        memory.commit(answer)
    assert number_of_answers() == before + 2
    del memory, answer
    assert number_of_answers() == before
