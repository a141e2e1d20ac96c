"""Processes that ask who is granted what, and whether each answer that they had was true.

All clocks are the monotonic one of the machine, which its processes share.
"""

import multiprocessing
import os
import random
import signal
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ctypes import Array
from itertools import accumulate
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel

from harness import servers
from repoze.what.adapters import AdapterError, ExistingSectionError, SourceError
from repoze.what.plugins.redis import RedisPermissionAdapter
from repoze.what.plugins.redis.near_cache import tracking, vouching

Connect = Callable[[float], redis.Redis | redis.RedisCluster]

NAMESPACE = "tests"
USERS = 2
# A question is the groups of those users.
QUESTIONS = ((0,), (1,), (0, 1))
_NOT_ASKED, _NO_ANSWER, _NONSENSE = 2**32 - 1, 2**32 - 2, 2**32 - 3
_ANSWER = struct.Struct(f"<dddB{USERS}I?")
# In seconds. Memory comes into use late on a machine so busy that most pings take too long. And a
# process whose parent is no more ends by itself.
_LONGEST_WAIT, _LONGEST_LIFE = 240, 1800

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["repoze.what.plugins.redis.near_cache.cache", "redis.sentinel"])

# What each user is granted: a version each.
Granted = tuple[int, ...]


def to_port(port: int, timeout: float) -> redis.Redis:
    """Return a client of the server at *port*."""
    return redis.Redis(
        host=servers.HOST, port=port, socket_timeout=timeout, socket_connect_timeout=timeout
    )


def by_sentinels(ports: tuple[int, ...], timeout: float) -> redis.Redis:
    """Return a client of the primary that the Sentinels at *ports* name."""
    manager = Sentinel(
        [(servers.HOST, port) for port in ports],
        # They are always there. On a loaded machine they may take their time.
        sentinel_kwargs={"socket_timeout": 30, "retry": Retry(NoBackoff(), 0)},
    )
    return manager.master_for("staff", socket_connect_timeout=timeout, socket_timeout=timeout)


def by_cluster(ports: tuple[int, ...], timeout: float) -> redis.RedisCluster:
    """Return a client of the cluster that the nodes at *ports* belong to."""
    return redis.RedisCluster(
        startup_nodes=[ClusterNode(servers.HOST, port) for port in ports],
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
    )


# What readers may do first stands here, for each of them imports the module that it stands in.
def connect_again_soon() -> None:
    """Let a tracking connection that is lost be made again without a long wait."""
    vouching._BETWEEN_ATTEMPTS = vouching._BETWEEN_REFUSALS = 0.05


def ignore_invalidations() -> None:
    """Heed nothing that a server tells."""
    poll = tracking.Tracking.poll
    tracking.Tracking.poll = lambda *arguments: poll(*arguments) and ()


def group(user: int, number: int) -> str:
    return f"group {user}.{number}"


def version_of(numbers: list[int]) -> int:
    """Return the version that a user is granted who is in the groups of these *numbers*.

    Nobody is ever in the same groups again: from group N, which is version 2 N + 1, to groups N and
    N + 1, which is 2 N + 2, and so on to group N + 1. No groups are version 0.
    """
    match sorted(numbers):
        case []:
            return 0
        case [number]:
            return 2 * number + 1
        case [number, following] if following == number + 1:
            return 2 * number + 2
    return _NONSENSE


def versions_in(sections: set[str], users: Iterable[int]) -> list[int]:
    """Return the version that each of *users* is granted, if *sections* are theirs."""
    numbers: dict[int, list[int]] = {user: [] for user in range(USERS)}
    for section in sections:
        user, number = section.removeprefix("group ").split(".")
        numbers[int(user)].append(int(number))
    return [
        version_of(numbers[user]) if user in users else _NONSENSE if numbers[user] else _NOT_ASKED
        for user in range(USERS)
    ]


class Answer(NamedTuple):
    """What a reader was answered."""

    confirmed: float
    """When the Sentinels were asked which had said last, before, who is to be asked."""
    before: float
    after: float
    question: int
    granted: Granted
    is_hit: bool


class Revocation(NamedTuple):
    """A change to a *version* that takes something back, and when the call of it returned."""

    user: int
    version: int
    returned: float


class Truth:
    """What was granted when. Where a write is under way, or lost, that may be one or the other."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._possible: list[tuple[Granted, ...]] = []
        self._answers: list[tuple[frozenset[Granted], ...]] = []
        self.note((0,) * USERS)
        self._times[0] = -inf

    @property
    def possible(self) -> tuple[Granted, ...]:
        """What may be granted now."""
        return self._possible[-1]

    def note(self, *possible: Granted) -> float:
        """Note what may be granted from now on, and return the time."""
        now = monotonic()
        self._possible.append(possible)
        self._times.append(now)
        self._answers.append(
            tuple(
                frozenset(
                    tuple(
                        version if user in users else _NOT_ASKED
                        for user, version in enumerate(granted)
                    )
                    for granted in possible
                )
                for users in QUESTIONS
            )
        )
        return now

    def staleness(self, answers: Iterable[Answer]) -> Iterator[tuple[Answer, float]]:
        """Yield each of *answers*, which are in order, and the seconds since it was last true.

        That is 0 where it was at any moment between question and answer, and infinite where it
        never had been.
        """
        times = [*self._times, inf]
        position = 0
        for answer in answers:
            _, before, after, question, granted, _ = answer
            while times[position + 1] <= before:
                position += 1
            last = position
            while granted not in self._answers[last][question] and times[last + 1] <= after:
                last += 1
            if granted in self._answers[last][question]:
                yield answer, 0
                continue
            first = position
            while first >= 0 and granted not in self._answers[first][question]:
                first -= 1
            yield answer, inf if first < 0 else before - times[first + 1]


class Writer:
    """Grants and revokes, and notes what of it is true.

    What was not acknowledged may be true until a later write is.

    :param adapter: with time-outs that are longer than anything the test does to the server: it
        would later do what it has and was given up. If replicas may become its successor, with as
        many to wait for as make sure that nothing acknowledged is lost.
    """

    def __init__(self, adapter: RedisPermissionAdapter) -> None:
        self.truth = Truth()
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self.revocations: list[Revocation] = []
        """Those that were acknowledged."""
        self.adapter = adapter
        self._random = random.Random(0)
        self._next_numbers = [0] * USERS

    def step(self) -> bool:
        """Grant something, or revoke it; return whether that was acknowledged.

        :raises AdapterError: where it could not be asked for.
        """
        return bool(self.change(self._random.randrange(USERS)))

    def change(self, user: int) -> int:
        """Put *user* into another group, or take the older of two away.

        :return: the version that this makes, or 0 where it was not acknowledged.
        :raises AdapterError: where it could not be asked for.
        """
        was = self._look() if len(self.truth.possible) > 1 else self.truth.possible[0]
        version, write, number = self._next_change(user, was[user])
        becomes = (*was[:user], version, *was[user + 1 :])
        possible = self.truth.possible
        self.truth.note(*{*possible, becomes})
        try:
            write(group(user, number), f"user {user}")
        except SourceError as error:
            if error.written is False:
                self.counts["refused"] += 1
                self.truth.note(*possible)
            else:
                self.counts["unknown"] += 1
        except AdapterError as error:
            self.wrong.append(error)
        else:
            returned = self.truth.note(becomes)
            is_revocation = write == self.adapter.exclude_item
            self.counts["revoked" if is_revocation else "granted"] += 1
            if is_revocation:
                self.revocations.append(Revocation(user, version, returned))
            return version
        return 0

    def _next_change(self, user: int, version: int) -> tuple[int, Callable[..., None], int]:
        if version and version % 2 == 0:
            return version + 1, self.adapter.exclude_item, version // 2 - 1
        # After a flush there is no version to go on from.
        number = (version + 1) // 2 if version else self._next_numbers[user]
        self._next_numbers[user] = max(self._next_numbers[user], number + 1)
        with suppress(ExistingSectionError):
            self.adapter.create_section(group(user, number))
        return (version + 1 if version else 2 * number + 1), self.adapter.include_item, number

    def _look(self) -> Granted:
        users = range(USERS)
        found = self.adapter.find_sections_many([f"user {user}" for user in users])
        granted = tuple(versions_in(found, users))
        if granted not in self.truth.possible:
            self.wrong.append(("never was", granted, self.truth.possible))
        return granted

    def flush(self, client: redis.Redis) -> None:
        """Revoke everything by emptying the server."""
        nothing = (0,) * USERS
        self.truth.note(nothing, *self.truth.possible)
        client.flushall()
        self.truth.note(nothing)


class Readers:
    """Processes that ask again and again, each by an adapter with a near cache, in the meantime.

    :param number: of processes.
    :param connect: returns a client, given its time-outs in seconds.
    :param folder: for their logs.
    :param timeout: in seconds, of each question.
    :param pause: in seconds, from one round of questions to the next.
    :param prepare: what each process does first.
    """

    def __init__(
        self,
        number: int,
        connect: Connect,
        folder: Path,
        *,
        max_staleness: float,
        timeout: float = 0.5,
        pause: float,
        prepare: Callable[[], None],
    ) -> None:
        # Without locks: one of them may be stopped while it has one.
        self._is_over = _processes.RawValue("b", 0)
        self._latest = _processes.RawArray("Q", number * USERS)
        self._hits = _processes.RawArray("Q", number)
        self.logs = [folder / f"reader {each}" for each in range(number)]
        self.max_staleness = max_staleness
        self._processes = [
            _processes.Process(
                target=_read,
                args=(each, connect, self.logs[each]),
                kwargs={
                    "max_staleness": max_staleness,
                    "timeout": timeout,
                    "pause": pause,
                    "prepare": prepare,
                    "is_over": self._is_over,
                    "latest": self._latest,
                    "hits": self._hits,
                },
                daemon=True,
            )
            for each in range(number)
        ]

    def __enter__(self) -> "Readers":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.value = 1
        for process in self._processes:
            process.join(60)
            process.kill()
            process.join()
            assert exception[0] or process.exitcode == 0

    def wait_until_hitting(self) -> None:
        """Return when each of them has been served from memory some times since this was called."""
        # One may have been under way. Where memory has it all, the others are all that it asks.
        goal = [hits + 1 + len(QUESTIONS) for hits in self._hits]
        servers.wait_until(lambda: all(map(int.__ge__, self._hits, goal)), _LONGEST_WAIT)

    def wait_for_change(self, since: tuple[Granted, ...], *, or_no_answer: bool = False) -> None:
        """Return when each of them was last answered that both users are granted something newer.

        That is what at least two changes have made of what might have been granted *since* then:
        one of them revokes.

        :param or_no_answer: whether it will do that there was no answer.
        """
        goals = [max(versions) + 2 for versions in zip(*since, strict=True)]

        def has_changed() -> bool:
            versions = [latest // 2 for latest in self._latest]
            return all(
                or_no_answer if version == _NO_ANSWER else version >= goals[each % USERS]
                for each, version in enumerate(versions)
            )

        servers.wait_until(has_changed, _LONGEST_WAIT)

    def wait_for(self, user: int, version: int, *, from_memory: bool = False) -> None:
        """Return when each of them was last answered that *user* is granted this *version*."""
        wanted = {2 * version + 1} if from_memory else {2 * version, 2 * version + 1}
        end = monotonic() + _LONGEST_WAIT
        while not wanted.issuperset(self._latest[user::USERS]):
            assert monotonic() < end
            sleep(0.001)

    def freeze(self, number: int) -> None:
        os.kill(self._processes[number].pid, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        os.kill(self._processes[number].pid, signal.SIGCONT)

    def history(self, number: int) -> Iterator[Answer]:
        """Each answer that a reader has had, in order. They have to be over."""
        for confirmed, before, after, question, *granted, is_hit in _ANSWER.iter_unpack(
            self.logs[number].read_bytes()
        ):
            yield Answer(confirmed, before, after, question, tuple(granted), is_hit)

    def judge(self, truth: Truth) -> "Judgement":
        """Look at each answer of each of them. They have to be over."""
        judgement = Judgement(self.max_staleness)
        for number in range(len(self.logs)):
            judgement.hear(truth, self.history(number))
        return judgement

    def delays(self, revocations: list[Revocation]) -> list[float]:
        """Return for each of *revocations*, in order, after how many seconds all readers refused.

        And never again granted what was revoked. Nothing may have been unanswered.
        """
        delays = [0.0] * len(revocations)
        for number in range(len(self.logs)):
            answers: dict[int, list[Answer]] = {user: [] for user in range(USERS)}
            for answer in self.history(number):
                if answer.question < USERS:
                    answers[answer.question].append(answer)
            for user, asked in answers.items():
                # The oldest version that was ever granted from then on.
                oldest = [*accumulate((each.granted[user] for each in reversed(asked)), min)][::-1]
                for which, revocation in enumerate(revocations):
                    if revocation.user == user:
                        refused = asked[bisect_left(oldest, revocation.version)].after
                        delays[which] = max(delays[which], refused - revocation.returned)
        return delays


class Judgement:
    """What is to be said of the answers that readers had.

    One from memory may not have been true for *max_staleness* when it was asked for. Any other has
    to be true; where Sentinels say who is asked, it may be of one who was relieved after they were
    asked.

    A reader looks at the clock before it asks, and what is true is noted after it is so. So it may
    be paused at any moment, and so may the writer: that makes an answer less stale, if anything.
    """

    def __init__(self, max_staleness: float) -> None:
        self.counts: Counter[str] = Counter()
        self.stalest = {True: 0.0, False: 0.0}
        """Of what was from memory, and of what was not: for how long it had not been true."""
        self.longest_pause = 0.0
        """In seconds: that a reader made between two questions."""
        self.misses: list[float] = []
        """In seconds: what the other answers took."""
        self.too_stale: list[tuple[Answer, float]] = []
        self.max_staleness = max_staleness

    def hear(self, truth: Truth, history: Iterable[Answer]) -> None:
        """Judge the answers that one of them had."""
        previous = inf
        answered = []
        for answer in history:
            self.longest_pause = max(self.longest_pause, answer.before - previous)
            previous = answer.after
            if _NO_ANSWER in answer.granted:
                self.counts["unanswered"] += 1
            else:
                answered.append(answer)
        for answer, staleness in truth.staleness(answered):
            self.counts["hits" if answer.is_hit else "misses"] += 1
            if not answer.is_hit:
                self.misses.append(answer.after - answer.before)
            if staleness:
                self.counts["stale"] += 1
                self.stalest[answer.is_hit] = max(self.stalest[answer.is_hit], staleness)
            if staleness > (
                self.max_staleness if answer.is_hit else answer.before - answer.confirmed
            ):
                self.too_stale.append((answer, staleness))

    def __str__(self) -> str:
        return (
            f"{dict(self.counts)}; stalest hit {1000 * self.stalest[True]:.1f} ms, "
            f"miss {1000 * self.stalest[False]:.1f} ms; a miss takes "
            f"{1000 * percentile(self.misses, 50):.2f} ms; a reader's longest pause "
            f"{1000 * self.longest_pause:.0f} ms"
        )


def percentile(figures: list[float], share: float) -> float:
    """Return what *share* percent of *figures* do not exceed."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def _read(
    number: int,
    connect: Connect,
    log: Path,
    *,
    max_staleness: float,
    timeout: float,
    pause: float,
    prepare: Callable[[], None],
    is_over: "Array[int]",
    latest: "Array[int]",
    hits: "Array[int]",
) -> None:
    prepare()
    adapter = RedisPermissionAdapter(
        connect(timeout), namespace=NAMESPACE, near_cache=True, max_staleness=max_staleness
    )
    end = monotonic() + _LONGEST_LIFE
    questions = [[f"user {user}" for user in users] for users in QUESTIONS]
    with log.open("wb", buffering=1 << 16) as written:
        while not is_over.value and monotonic() < end:
            for question, items in enumerate(questions):
                hits_before = adapter.near_cache_info().hits
                confirmation = adapter._database.primary_address
                before = monotonic()
                confirmed = before if confirmation is None else min(before, confirmation.at)
                try:
                    sections = adapter.find_sections_many(items)
                except SourceError:
                    sections = None
                after = monotonic()
                hits[number] = adapter.near_cache_info().hits
                is_hit = hits[number] > hits_before
                if sections is None:
                    granted = [_NO_ANSWER] * USERS
                else:
                    granted = versions_in(sections, QUESTIONS[question])
                if question < USERS:
                    latest[number * USERS + question] = 2 * granted[question] + is_hit
                written.write(_ANSWER.pack(confirmed, before, after, question, *granted, is_hit))
            sleep(pause)
    adapter.close()
