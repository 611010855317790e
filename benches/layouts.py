"""What layouts and dtypes cost: each against contiguous float32 arrays, in turns and in one run.

    python benches/layouts.py [--size 4000] [--rounds 15] [--threads 2]

A ratio is the median over the rounds of the ratio within a round. "bar" is what the row should stay below.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg

Array = NDArray[Any]
Call = Callable[[], Any]
LOSS = fg.SigmoidFocalLoss()


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def mean(x: Array, y: Array, weight: Array | None = None) -> Call:
    return lambda: LOSS(x, y, sample_weight=weight)


def grad(x: Array, y: Array, weight: Array | None = None, out: Array | None = None) -> Call:
    result = np.empty_like(x, subok=False) if out is None else out
    return lambda: LOSS.grad(x, y, sample_weight=weight, out=result)


def rows(size: int) -> dict[str, tuple[float | None, str, tuple[Array | None, ...]]]:
    """Name to bar, the row that it is compared with, and operands."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 4, (size, size)).astype(np.float32)
    y = (rng.random((size, size)) < 0.3).astype(np.float32)
    fx, fy = np.asfortranarray(x), np.asfortranarray(y)
    x2, y2 = np.repeat(x, 2, 1)[:, ::2], np.repeat(y, 2, 1)[:, ::2]
    ten = (-1, 10)
    one = np.ones_like(x)
    base = "float32"
    found: dict[str, tuple[float | None, str, tuple[Array | None, ...]]] = {
        base: (None, base, (x, y)),
        "both Fortran": (1.1, base, (fx, fy)),
        "Fortran against C": (4.0, base, (x, fy)),
        "C against Fortran": (4.0, base, (fx, y)),
        "every second": (2.4, base, (x2, y2)),
        "both reversed": (1.6, base, (x[::-1, ::-1], y[::-1, ::-1])),
        "one reversed": (1.6, base, (x[:, ::-1], y)),
        "full weights": (None, base, (x, y, one)),
        "weights (n, 1)": (1.3, base, (x, y, one[:, :1].copy())),
        "weights (n,)": (1.3, base, (x, y, one[0])),
        "ten columns, weights (n, 1)": (
            1.3,
            base,
            (x.reshape(ten), y.reshape(ten), one.reshape(ten)[:, :1].copy()),
        ),
        "ten columns, weights (10,)": (1.3, base, (x.reshape(ten), y.reshape(ten), one[0, :10])),
        "float16, uint8": (1.1, base, (x.astype(np.float16), y.astype(np.uint8))),
        "float16, bool": (1.1, base, (x.astype(np.float16), y.astype(np.bool_))),
    }
    for dtype in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint64", "float16", "float64"):
        found[f"targets {dtype}"] = (None, base, (x, y.astype(dtype)))
    return found


def measure(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call in every round; rounds start with another one each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for call in calls.values():
        call()
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            times[name].append(min(seconds(calls[name]) for _ in range(2)))
    return times


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4000, help="arrays have size x size elements")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    fg.set_num_threads(chosen.threads)
    print(f"{fg.show_config(mode='dicts')}\n{chosen.size} x {chosen.size}, {chosen.rounds} rounds")
    for kind, make in (("mean", mean), ("gradient, out=", grad)):
        table = rows(chosen.size)
        calls = {name: make(*operands) for name, (_, _, operands) in table.items()}
        times = measure(calls, chosen.rounds)
        print(f"\n{kind:<32}{'ns/element':>12}{'ratio':>8}{'bar':>6}")
        for name, (bar, base, operands) in table.items():
            ratio = statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))
            count = operands[0].size if operands[0] is not None else 1
            verdict = "" if bar is None else f"{bar:6.1f}{'' if ratio <= bar else '  missed'}"
            print(f"{name:<32}{statistics.median(times[name]) / count * 1e9:12.2f}{ratio:8.2f}{verdict}")


if __name__ == "__main__":
    main()
