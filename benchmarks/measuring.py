"""Times of things that are done in turns, so that what disturbs one disturbs all."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

# In seconds: how long one thing is repeated before it is the next one's turn.
_TURN = 0.01
# In seconds: what takes longer is done once in each turn.
_SLOW = 0.1
_FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """How many times as long: the *median* of all rounds, and their *low* and *high* quartile."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return three_digits(self.median)

    @property
    def spread(self) -> str:
        """The quartiles, between which half of the rounds lie."""
        return f"{three_digits(self.low)} to {three_digits(self.high)}"


@dataclass(frozen=True)
class Times:
    """Seconds for one call of each thing, one figure per round."""

    of: Mapping[str, Sequence[float]]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return min(map(len, self.of.values()))

    def median(self, name: str) -> float:
        """Return the median for *name*, in seconds."""
        return median(self.of[name])

    def microseconds(self, name: str) -> str:
        """Return the median for *name*, in microseconds and as text."""
        return three_digits(1e6 * self.median(name))

    def ratio(self, name: str, to: str) -> Ratio:
        """Return how many times as long *name* took as *to*, compared round by round."""
        ratios = [one / other for one, other in zip(self.of[name], self.of[to], strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        return Ratio(middle, low, high)


def in_turns(things: Mapping[str, Callable[[], object]], seconds: float) -> Times:
    """Call each of *things* in its turn, round after round, for about so many *seconds*.

    There are five rounds at least. In each turn a thing is called several times, as often as takes
    some milliseconds, and once before that, unmeasured (but what is slow, once in all). The median
    of these calls is the figure of the round, so that a moment in which another program had the
    processor does not count. Each round begins with another thing.
    """
    calls = {name: _calls_in_a_turn(thing) for name, thing in things.items()}
    times: dict[str, list[float]] = {name: [] for name in things}
    names = list(things)
    gc.collect()
    # What has been loaded so far is not what the calls leave behind.
    gc.freeze()
    end = perf_counter() + seconds
    round_number = 0
    while round_number < _FEWEST_ROUNDS or perf_counter() < end:
        first = round_number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_turn(things[name], calls[name]))
        round_number += 1
    gc.unfreeze()
    return Times(times)


def _calls_in_a_turn(thing: Callable[[], object]) -> int:
    if time_of(thing) > _SLOW:
        return 1
    return max(2, round(_TURN / _turn(thing, 5)))


def _turn(thing: Callable[[], object], calls: int) -> float:
    if calls > 1:
        thing()
    return median(time_of(thing) for _ in range(calls))


def time_of(thing: Callable[[], object]) -> float:
    """Call *thing* once, and return the seconds that it took."""
    began = perf_counter()
    thing()
    return perf_counter() - began


def three_digits(number: float) -> str:
    """Return *number* with three digits that count, or all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:#.3g}"  # noqa: PLR2004
