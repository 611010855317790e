"""Timing in turns: every contender is timed in every round, and ratios are taken within a round.

A shared machine drifts: another process wakes up, the clock frequency moves. Two programs that are timed one
after the other see different machines; two that take turns see the same one. So a comparison here is the
median over the rounds of the ratio within a round, never the ratio of two separate measurements.
"""

from __future__ import annotations

import math
import statistics
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

#: A turn lasts at least this long: shorter calls are repeated inside one clock reading.
SHORTEST_TURN = 2e-3
#: Calls longer than this are timed once a turn, without an untimed call before.
LONG_CALL = 0.1
#: Clock readings in a turn; their median counts.
READINGS = 3
#: A round is undisturbed if other processes kept at most this many cores busy.
QUIET = 0.1


class Stopwatch(Protocol):
    """What can be timed: here, or in another process."""

    def seconds(self, number: int) -> float:
        """Wall-clock seconds of `number` calls in a row."""


class Local:
    """A statement timed in this process, without the cost of a Python function around it.

    Parameters
    ----------
    statement : str
        The call, as Python source.
    namespace : dict
        The names that it uses.
    """

    def __init__(self, statement: str, namespace: dict[str, Any]):
        self.statement = statement
        self.namespace = namespace
        self._timer = timeit.Timer(statement, globals=namespace)  # time.perf_counter, garbage collector off

    def seconds(self, number: int) -> float:
        """Wall-clock seconds of `number` calls in a row."""
        return self._timer.timeit(number)

    def result(self) -> Any:
        """What the statement evaluates to."""
        return eval(self.statement, self.namespace)


class Neighbours(Protocol):
    """The other processes of the machine."""

    def since_last(self) -> float:
        """How many cores they kept busy since this was last called."""

    def settle(self) -> None:
        """Wait until they are quiet, if that is wanted."""


@dataclass(frozen=True)
class Contender:
    """Something to time: its name in the table, how to time it, and by what one call's time is divided.

    `outputs`, where given, makes one call and returns its arrays and numbers, to compare them with others.
    """

    name: str
    stopwatch: Stopwatch
    units: float = 1.0
    outputs: Callable[[], list[Any]] | None = None


@dataclass
class Times:
    """Nanoseconds a unit of every contender in every round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    disturbance: float = math.nan  #: cores that other processes kept busy meanwhile, on average

    def __contains__(self, name: str) -> bool:
        return name in self.rounds

    def median(self, name: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds[name])

    def spread(self, name: str) -> float:
        """Distance between the quartiles, as a fraction of the median: how quiet the machine was."""
        times = self.rounds[name]
        if len(times) < 2:
            return math.nan
        lower, middle, upper = statistics.quantiles(times, n=4, method="inclusive")
        return (upper - lower) / middle

    def best(self, names: Sequence[str]) -> str | None:
        """The fastest of `names` that were measured, by its median; None if none was."""
        present = [name for name in names if name in self.rounds]
        return min(present, key=self.median, default=None)

    def ratio(self, above: str, below: str) -> float:
        """The median over the rounds of `above` / `below` within the round."""
        pairs = zip(self.rounds[above], self.rounds[below], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def ratio_to_largest(self, above: str, below: Sequence[str]) -> float:
        """As `ratio`, to the largest of several within the round."""
        floors = zip(*(self.rounds[name] for name in below), strict=True)
        return statistics.median(a / max(b) for a, b in zip(self.rounds[above], floors, strict=True))


@dataclass(frozen=True)
class _Plan:
    number: int
    readings: int


def _plan(contender: Contender) -> _Plan:
    """Make the first call (page faults, compilers), then find how many calls fill a turn."""
    contender.stopwatch.seconds(1)
    number = 1
    while True:
        seconds = contender.stopwatch.seconds(number)
        if seconds >= SHORTEST_TURN / 2 or number >= 10_000_000:
            break
        number = max(2 * number, int(number * SHORTEST_TURN / max(seconds, 1e-9)))
    return _Plan(number, 1 if seconds > LONG_CALL else READINGS)


def _turn(contender: Contender, plan: _Plan) -> float:
    """Nanoseconds a unit: the median reading, after an untimed one that fills the caches with its data."""
    if plan.readings > 1:
        contender.stopwatch.seconds(plan.number)
    readings = [contender.stopwatch.seconds(plan.number) for _ in range(plan.readings)]
    return statistics.median(readings) / plan.number / contender.units * 1e9


def take_turns(contenders: Sequence[Contender], rounds: int, others: Neighbours, patience: int = 1) -> Times:
    """Time every contender once a round, each round starting with another one.

    Where other processes disturb rounds, more are made, and the least disturbed count: the choice is by what
    the others did, never by the times.

    Parameters
    ----------
    contenders : sequence of Contender
        Names must differ.
    rounds : int
        How many rounds count.
    others : Neighbours
        Tells how much other processes disturbed a round.
    patience : int
        At most this many times `rounds` are made.

    Returns
    -------
    Times
        One figure a contender and round.
    """
    plans = [_plan(contender) for contender in contenders]
    made: list[tuple[float, list[float]]] = []
    while len(made) < rounds * patience and sum(noise <= QUIET for noise, _ in made) < rounds:
        others.settle()
        first = len(made) % len(contenders)
        figures = [0.0] * len(contenders)
        for i in [*range(first, len(contenders)), *range(first)]:
            figures[i] = _turn(contenders[i], plans[i])
        made.append((others.since_last(), figures))
    kept = sorted(made, key=lambda entry: entry[0])[:rounds]
    columns = zip(*(figures for _, figures in kept), strict=True)
    named = {contender.name: list(column) for contender, column in zip(contenders, columns, strict=True)}
    return Times(named, statistics.fmean(noise for noise, _ in kept))
