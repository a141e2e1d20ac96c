"""Writers that know what they have written, and readers that know what they may be told."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, pairwise
from time import monotonic, sleep

from harness import servers
from repoze.what.adapters import (
    AdapterError,
    ExistingSectionError,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)
from repoze.what.plugins.redis import RedisPermissionAdapter, TooFewReplicas

State = dict[str, frozenset[str]]


def without(state: State, section: str) -> State:
    rest = dict(state)
    del rest[section]
    return rest


# What a state becomes by each write, where it is not refused. A section that is not there is a
# `KeyError`.
APPLIED = {
    "create_section": lambda state, section: {**state, section: frozenset()},
    "delete_section": without,
    "edit_section": lambda state, section, new: {**without(state, section), new: state[section]},
    "include_items": lambda state, section, items: {**state, section: state[section] | items},
    "exclude_items": lambda state, section, items: {**state, section: state[section] - items},
    "set_section_items": lambda state, section, items: {
        **without(state, section),
        section: frozenset(items),
    },
    "remove_item": lambda state, item: {name: items - {item} for name, items in state.items()},
    "rename_item": lambda state, item, new: {
        name: items - {item} | {new} if item in items else items for name, items in state.items()
    },
}


def applied(state: State, operation: str, *arguments) -> State:
    return APPLIED[operation](state, *arguments)


def difference(state: State, found: State) -> dict[str, list[str]]:
    """For each section, what only one of the two has of it."""
    return {
        name: sorted(state.get(name, frozenset()) ^ found.get(name, frozenset()))
        for name in {**state, **found}
        if state.get(name) != found.get(name)
    }


def all_items(state: State) -> list[str]:
    return sorted(frozenset().union(*state.values()))


class Writer:
    """Changes sections that are its own.

    Each change makes a state of them that never was before, so what is found later says which
    changes are there. Now and then it asks for one that is to be refused.

    :param looks_first: whether it looks at what is there before each change, since earlier ones
        may have been lost.
    """

    def __init__(
        self, name: str, adapter: RedisPermissionAdapter, *, looks_first: bool = False
    ) -> None:
        self.name = name
        self.adapter = adapter
        self._looks_first = looks_first
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._random = random.Random(name)
        self._fresh = (f"{name} {number}" for number in count())
        self.begin({})

    def begin(self, state: State) -> None:
        """Forget what was before *state*."""
        self.states = [state]
        """Each that was ever to be, from that one on."""
        self.log: list[tuple[float, tuple[int, ...]]] = [(monotonic(), (0,))]
        """Since when which of `states` may be there: it is noted before a change is asked for."""
        self.acknowledged: set[int] = set()
        self._parents = [0]
        self._numbers = {frozenset(state.items()): 0}
        self._last_change: tuple | None = None

    @property
    def possible(self) -> tuple[int, ...]:
        return self.log[-1][1]

    @property
    def state(self) -> State:
        """What there is, or else what there was before the latest change."""
        return self.states[self.possible[0]]

    def step(self) -> bool:
        """Ask for a change, or for what came of the last; return whether one was acknowledged.

        :raises AdapterError: where there is no answer to what came of it.
        """
        if self._looks_first or len(self.possible) > 1:
            self.settle(self.look())
        if self.state and self._random.random() < 0.2:
            self._be_refused()
            return False
        return self._change()

    def look(self) -> State:
        """What is stored of its own."""
        return {
            section: frozenset(items)
            for section, items in self.adapter.get_all_sections().items()
            if section.startswith(f"{self.name} ")
        }

    def settle(self, found: State) -> None:
        """Go on from what was found. Where it cannot be, that goes to `wrong`."""
        number = self._numbers.get(frozenset(found.items()))
        if number is None:
            number = self._from_earlier(found)
        if number is None:
            self.wrong.append(("never was", self._last_change, difference(self.state, found)))
            number = self._add(found, 0)
        elif number not in self.possible:
            self.counts["rolled back"] += 1
        self._note(number)

    def lost(self) -> set[int]:
        """Those of `acknowledged` whose change is not in what there is now."""
        return self.acknowledged - set(self._ancestors(self.possible[0]))

    def _ancestors(self, number: int) -> Iterator[int]:
        while number:
            yield number
            number = self._parents[number]

    def _from_earlier(self, found: State) -> int | None:
        """Return the number of *found*, if it is what the last change makes of an earlier state.

        That is where changes before it were lost.
        """
        if self._last_change is None:
            return None
        was, change = self._last_change
        for base in self._ancestors(self._parents[was]):
            try:
                after = applied(self.states[self._parents[base]], *change)
            except KeyError:
                continue
            if after == found:
                number = self._add(found, self._parents[base])
                if was in self.acknowledged:
                    self.acknowledged = self.acknowledged - {was} | {number}
                return number
        return None

    def _add(self, state: State, parent: int) -> int:
        self.states.append(state)
        self._parents.append(parent)
        self._numbers[frozenset(state.items())] = len(self.states) - 1
        return len(self.states) - 1

    def _note(self, *possible: int) -> None:
        self.log.append((monotonic(), possible))

    def _change(self) -> bool:
        before = self.possible[0]
        change = self._possible_change()
        after = self._add(applied(self.state, *change), before)
        self._last_change = after, change
        self._note(before, after)
        operation, *arguments = change
        try:
            getattr(self.adapter, operation)(*arguments)
        except TooFewReplicas:
            self.counts["unconfirmed"] += 1
        except SourceError as error:
            if error.written is False:
                self.counts["refused"] += 1
                self._note(before)
            else:
                self.counts["unknown"] += 1
        except AdapterError as error:
            # As if earlier changes were not there.
            self.counts["unexpectedly refused"] += 1
            self.refusal = error
        else:
            self.counts["acknowledged"] += 1
            self.acknowledged.add(after)
            self._note(after)
            return True
        return False

    def _be_refused(self) -> None:
        (operation, *arguments), expected = self._impossible_change()
        try:
            getattr(self.adapter, operation)(*arguments)
        except expected:
            self.counts["refused"] += 1
        except SourceError as error:
            kind = "refused" if error.written is False else "unknown"
            self.counts[kind] += 1
        except AdapterError as error:
            self.counts["unexpectedly refused"] += 1
            self.refusal = error
        else:
            self.wrong.append(("not refused", operation, arguments, self.state))

    def _possible_change(self) -> tuple:
        while True:
            change = self._any_change()
            after = applied(self.state, *change)
            if frozenset(after.items()) not in self._numbers:
                return change

    def _any_change(self) -> tuple:
        state, choose = self.state, self._random.choice
        fresh = next(self._fresh)
        items = all_items(state)
        if not state or (len(state) < 4 and self._random.random() < 0.2):
            return "create_section", fresh
        section = choose(sorted(state))
        several = self._random.sample(items, min(len(items), 3))
        new = {fresh, *(next(self._fresh) for _ in range(choose([0, 0, 1, 2, 2, 200])))}
        changes = [
            ("edit_section", section, fresh),
            ("include_items", section, {fresh, *several} - state[section]),
            ("include_items", section, new),
            ("set_section_items", section, {fresh, *several}),
        ]
        if state[section]:
            held = sorted(state[section])
            changes += [
                ("exclude_items", section, {choose(held), choose(held)}),
                ("remove_item", choose(held)),
                ("rename_item", choose(held), fresh),
            ]
        if len(state) > 1:
            changes.append(("delete_section", section))
        return choose(changes)

    def _impossible_change(self) -> tuple[tuple, type[AdapterError]]:
        state, choose = self.state, self._random.choice
        section, fresh = choose(sorted(state)), next(self._fresh)
        changes = [
            (("create_section", section), ExistingSectionError),
            (("edit_section", section, choose(sorted(state))), ExistingSectionError),
            (("edit_section", fresh, section), NonExistingSectionError),
            (("delete_section", fresh), NonExistingSectionError),
            (("include_items", fresh, {fresh}), NonExistingSectionError),
            (("set_section_items", fresh, {fresh}), NonExistingSectionError),
            (("remove_item", fresh), ItemNotPresentError),
        ]
        if state[section]:
            item = choose(sorted(state[section]))
            changes += [
                (("include_items", section, {fresh, item}), ItemPresentError),
                (("exclude_items", section, {fresh, item}), ItemNotPresentError),
                (("rename_item", item, choose(all_items(state))), ItemPresentError),
            ]
        return choose(changes)


class Reader:
    """Asks about the items of a writer, and compares the answer with what the writer notes.

    What was possible at any moment between question and answer is right. What was earlier, and
    is no more, is stale; what never was is wrong.
    """

    def __init__(self, writer: Writer, adapter: RedisPermissionAdapter) -> None:
        self.writer = writer
        self.adapter = adapter
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._inexplicable: list[tuple[str, set[str]]] = []
        self.stalest = 0.0
        """For how many seconds the stalest answer had been wrong when it was asked for."""
        self._random = random.Random(writer.name)

    def step(self) -> bool:
        """Ask once; return whether there was an answer.

        :raises AdapterError: where there was none.
        """
        log, states = self.writer.log, self.writer.states
        items = all_items(self._random.choice(states[-8:]))
        item = self._random.choice(items) if items else "nobody"
        asked, first = monotonic(), len(log) - 1
        answer = self.adapter.find_sections(item)
        window = {number for _, possible in log[first:] for number in possible}
        held = [{name for name, held in states[n].items() if item in held} for n in window]
        if granted := answer - set.union(*held):
            self._judge(item, granted, asked, first)
        elif set.intersection(*held) - answer:
            self.counts["denied"] += 1
        else:
            self.counts["right"] += 1
        return True

    def _judge(self, item: str, granted: set[str], asked: float, first: int) -> None:
        log, states = self.writer.log, self.writer.states
        for number in range(first - 1, -1, -1):
            if any(grants(states[n], item, granted) for n in log[number][1]):
                self.counts["stale"] += 1
                self.stalest = max(self.stalest, asked - log[number + 1][0])
                return
        self._inexplicable.append((item, granted))

    def settle(self) -> None:
        """Let what it was told that was in no state, be it one found only later, go to `wrong`."""
        self.wrong += [
            ("never granted", item, granted)
            for item, granted in self._inexplicable
            if not any(grants(state, item, granted) for state in self.writer.states)
        ]
        self._inexplicable.clear()


def grants(state: State, item: str, sections: set[str]) -> bool:
    return all(item in state.get(section, ()) for section in sections)


class Load:
    """Lets each of *workers* take its steps in a thread of its own, while the context lasts.

    :param pause: seconds between two steps of one.
    """

    def __init__(self, *workers, pause: float = 0.001) -> None:
        self.workers = workers
        self.outages: dict[object, float] = {}
        """For each worker, the longest time in seconds without success."""
        self._pause = pause
        self._is_over = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._steps = {worker: threading.Lock() for worker in workers}
        self._successes: dict[object, list[float]] = {worker: [] for worker in workers}
        self._answered: dict[object, float] = dict.fromkeys(workers, 0.0)
        self._threads = [threading.Thread(target=self._work, args=(each,)) for each in workers]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._goes_on.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        for worker, when in self._successes.items():
            gaps = [late - early for early, late in pairwise(when)]
            self.outages[worker] = max(gaps, default=float("inf"))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is asked meanwhile."""
        self._goes_on.clear()
        with ExitStack() as stack:
            for lock in self._steps.values():
                stack.enter_context(lock)
            yield
        self._goes_on.set()

    def wait_for_success(self) -> None:
        """Return when each worker has had success since this was called."""
        since = monotonic()

        def has_succeeded(when: list[float]) -> bool:
            return bool(when) and when[-1] > since

        servers.wait_until(lambda: all(map(has_succeeded, self._successes.values())))

    def wait_for_step(self) -> None:
        """Return when each worker has been answered from the beginning to the end of a step."""
        for _ in range(2):
            # The first may have been begun before.
            since = monotonic()
            servers.wait_until(lambda since=since: min(self._answered.values()) > since)

    def _work(self, worker) -> None:
        while not self._is_over.is_set():
            self._goes_on.wait()
            with self._steps[worker]:
                try:
                    is_success = worker.step()
                    self._answered[worker] = monotonic()
                    if is_success:
                        self._successes[worker].append(monotonic())
                except AdapterError:
                    worker.counts["unanswered"] += 1
            sleep(self._pause)
