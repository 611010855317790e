"""The rows of the bench: what is measured next to what, and the bar of each.

A bar is a ratio within one run. A row from memory is met where it is near enough to the kernel that only
moves its bytes, or, on a machine whose memory outruns its cores, to the same kernel in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from context import IN_CACHE, OURS, C, Context
from measure import Contender, Local
from work import GRAD_HESS, MEAN, MEAN_GRAD, VALUE, Work, numpy_like

MEMORY, CACHE, SETTINGS, CALLS = "memory", "cache", "settings", "calls"
#: How much slower than in cache a kernel may be from memory.
OVER_CACHE = 1.3

NAMES = {
    VALUE: "value array",
    MEAN: "mean",
    MEAN_GRAD: "mean and gradient",
    GRAD_HESS: "gradient and Hessian",
}
FLOORS = {
    VALUE: ("add", "add_streaming"),
    MEAN: ("dot",),
    MEAN_GRAD: ("add", "add_streaming"),
    GRAD_HESS: ("pair", "pair_streaming"),
}


@dataclass(frozen=True)
class Bar:
    """A limit for the time of a row against the fastest of some contenders.

    With `faster` the row must be at least `limit` times as fast, else at most `limit` times as slow. Without
    a limit the ratio is only shown.
    """

    against: tuple[str, ...]
    limit: float | None = None
    faster: bool = False

    def __str__(self) -> str:
        if self.limit is None:
            return "-"
        return f">= {self.limit:g} x faster" if self.faster else f"<= {self.limit:g} x"

    def met(self, ratio: float) -> bool:
        """Whether `ratio`, of the row's time to the other's, satisfies the bar."""
        return 1 / ratio >= self.limit if self.faster else ratio <= self.limit


@dataclass(frozen=True)
class Row:
    """One row.

    Parameters
    ----------
    name : str
        What is computed.
    section : str
        The table that it stands in.
    build : callable
        Makes the contenders; the one called `subject` is what the row is about.
    checks : tuple of tuple of Bar
        Each inner tuple is one verdict: met where any of its bars is.
    unit : str
        What the times are per.
    subject : str
        Name of a contender.
    """

    name: str
    section: str
    build: Callable[[Context], list[Contender]]
    checks: tuple[tuple[Bar, ...], ...]
    unit: str = "ns/element"
    subject: str = OURS


def _memory_bars(work: Work) -> tuple[tuple[Bar, ...], ...]:
    double = work.dtype == "float64"
    limit = {VALUE: 1.3, MEAN: 1.9, MEAN_GRAD: 1.45, GRAD_HESS: 1.5}[work.operation]
    if double and work.operation != MEAN:
        limit = 1.6  # one bar for all of float64 that streams; the mean, which only reads, keeps its own
    faster = None if double or work.operation == GRAD_HESS else {2: 1.5, 1.7: 3}.get(work.gamma)
    floor, cache, c = (
        Bar(FLOORS[work.operation], limit),
        Bar((IN_CACHE,), OVER_CACHE),
        Bar((C,), faster, True),
    )
    return (floor, cache), (c,)


def _memory_row(operation: str, gamma: float, dtype: str, size: int) -> Row:
    work = Work(operation, gamma, size, dtype)

    def build(context: Context) -> list[Contender]:
        with_c = context.c(work) if gamma in (2, 1.7) else []
        others = context.others(work) if gamma in (2, 1.7) else []
        return [context.ours(work), *context.floors(work), context.in_cache(work), *with_c, *others]

    return Row(f"{NAMES[operation]}, gamma {gamma:g}, {dtype}", MEMORY, build, _memory_bars(work))


def _cache_row(operation: str, gamma: float, dtype: str) -> Row:
    work = Work(operation, gamma, 0, dtype).in_cache()

    def build(context: Context) -> list[Contender]:
        return [
            context.elsewhere(work, OURS, threads=1),
            *context.floors(work, threads=1),
            *context.c(work, threads=1),
        ]

    checks = ((Bar((C,)),), (Bar(FLOORS[operation]),))
    return Row(f"{NAMES[operation]}, gamma {gamma:g}, {dtype}, in cache", CACHE, build, checks)


def _isa_rows(operation: str, gamma: float, dtype: str, size: int, isas: list[str]) -> list[Row]:
    """Every other instruction set against the one in use, from memory and in cache."""
    best, rows = isas[0], []
    for isa in isas[1:]:
        for place, limit in (("memory", 1.6), ("cache", 2.1)):
            work = Work(operation, gamma, size, dtype)
            work = work.in_cache() if place == "cache" else work
            threads = 1 if place == "cache" else None

            def build(context: Context, work=work, threads=threads, isa=isa) -> list[Contender]:
                return [context.elsewhere(work, which, isa=which, threads=threads) for which in (isa, best)]

            limit = limit if (best, isa) == ("avx512", "avx2") else None
            checks = ((Bar((best,), limit),),)
            name = f"{isa}, {place}: {NAMES[operation]}, gamma {gamma:g}, {dtype}"
            rows.append(Row(name, SETTINGS, build, checks, subject=isa))
    return rows


def _thread_row(operation: str, gamma: float, size: int, threads: int) -> Row:
    work = Work(operation, gamma, size)

    def build(context: Context) -> list[Contender]:
        return [context.ours(work), context.elsewhere(work, "1 thread", threads=1), *context.floors(work)]

    check = (Bar(("1 thread",), 1.7, faster=True), Bar(FLOORS[operation], 1.1))
    return Row(f"{threads} threads: {NAMES[operation]}, gamma {gamma:g}", SETTINGS, build, (check,))


def _floor_thread_row(size: int, threads: int) -> Row:
    work = Work(VALUE, 2, size)

    def build(context: Context) -> list[Contender]:
        several, one = context.floors(work)[-1], context.floors(work, threads=1)[-1]
        return [several, Contender("1 thread", one.stopwatch, one.units)]

    checks = ((Bar(("1 thread",), None, faster=True),),)
    subject = FLOORS[VALUE][-1]
    return Row(f"{threads} threads: the floor, for comparison", SETTINGS, build, checks, subject=subject)


def _target_row(targets: str, size: int) -> Row:
    def build(context: Context) -> list[Contender]:
        other = Work(VALUE, 2, size, "float32", targets)
        return [context.ours(other), context.ours(Work(VALUE, 2, size), "float32 targets")]

    checks = ((Bar(("float32 targets",), 1.1),),)
    return Row(f"{targets} targets: value array, gamma 2", SETTINGS, build, checks)


def _layout_rows(size: int) -> list[Row]:
    work = Work(VALUE, 2, size)

    def unaligned(context: Context) -> list[Contender]:
        return [context.ours(work, data=numpy_like(context.data(work))), context.ours(work, "aligned arrays")]

    def fresh(context: Context) -> list[Contender]:
        reused = context.ours(work, "out= reused")
        names = reused.stopwatch.namespace
        ours = Contender(OURS, Local("loss(x, y)", names), size)
        return [ours, reused, Contender("x + y, fresh", Local("x + y", names), size)]

    aligned, reused, numpy = ((Bar((name,)),) for name in ("aligned arrays", "out= reused", "x + y, fresh"))
    return [
        Row("arrays as NumPy aligns them: value array, gamma 2", SETTINGS, unaligned, (aligned,)),
        Row("fresh output: value array, gamma 2", SETTINGS, fresh, (reused, numpy)),
    ]


def _call_row(operation: str, size: int) -> Row:
    work = Work(operation, 2, size)

    def build(context: Context) -> list[Contender]:
        data = context.data(work)
        add = Local("add(x, y, out=b)", {"add": np.add, **vars(data)})
        contenders = [context.ours(work), Contender("numpy.add", add), *context.others(work, ["NumPy"])]
        return [Contender(c.name, c.stopwatch, 1, c.outputs) for c in contenders]

    checks = ((Bar(("numpy.add",), 1.5 if size == 1 else None),), (Bar(("NumPy",)),))
    elements = "element" if size == 1 else "elements"
    return Row(f"one call on {size:,} {elements}: {NAMES[operation]}", CALLS, build, checks, "ns/call")


def all_rows(context: Context) -> list[Row]:
    """Every row that this machine can measure, in the order of the tables."""
    size, threads = context.size, context.threads
    rows = []
    for dtype in ("float32", "float64"):
        rows += [_memory_row(VALUE, gamma, dtype, size) for gamma in (2, 1.7, 0.5, 0)]
        for operation in (MEAN, MEAN_GRAD, GRAD_HESS):
            rows += [_memory_row(operation, gamma, dtype, size) for gamma in (2, 1.7)]
    for dtype in ("float32", "float64"):
        rows += [_cache_row(operation, gamma, dtype) for operation in NAMES for gamma in (2, 1.7)]
    if threads > 1:
        rows += [_thread_row(operation, 2, size, threads) for operation in NAMES]
        rows += [_floor_thread_row(size, threads)] if context.native else []
    isas = [context.isa, *(isa for isa in context.isas if isa != context.isa)]
    for operation, gamma, dtype in (
        (VALUE, 2, "float32"), (VALUE, 1.7, "float32"), (MEAN_GRAD, 2, "float32"), (VALUE, 2, "float64"),
    ):  # fmt: skip
        rows += _isa_rows(operation, gamma, dtype, size, isas)
    rows += [_target_row(targets, size) for targets in ("bool", "uint8")]
    rows += _layout_rows(size)
    rows += [_call_row(operation, length) for length in (1, 1000, 100_000) for operation in NAMES]
    return rows
