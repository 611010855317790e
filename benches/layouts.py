"""Speed in other layouts and dtypes: against contiguous float32 arrays, and against moving the same bytes.

    python benches/layouts.py                     everything, some five minutes on two quiet cores
    python benches/layouts.py --only 'Fortran'    rows whose name matches a regular expression

The sigmoid loss, gamma 2, outputs reused. See README.md in this folder for how tables are made and read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
import native
import single
from classes import Threaded, per_thread
from context import IN_CACHE, OURS
from measure import Contender
from rows import OVER_CACHE, SETTINGS, Bar, Row
from work import IN_CACHE_BYTES, Arena

Array = NDArray[Any]
#: Logits, targets and weights, made of contiguous ones.
Arrange = Callable[[Array, Array], tuple[Array, ...]]

PLAIN, FLOOR = "float32", "same bytes"
MEAN, GRADIENT = "mean", "gradient"
HALF, TARGETS = "float16", ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def twice(a: Array) -> Array:
    """Every second column of an array that is twice as wide."""
    return np.repeat(a, 2, axis=1)[:, ::2]


def weighted(x: Array, y: Array, columns: int, shape: tuple[int, int]) -> tuple[Array, ...]:
    """Rows of so many columns and a weight for each row or column."""
    x, y = x.reshape(-1, columns), y.reshape(-1, columns)
    lengths = tuple(1 if one == 1 else length for one, length in zip(shape, x.shape, strict=True))
    return x, y, np.linspace(0.5, 2, lengths[0] * lengths[1], dtype=np.float32).reshape(lengths)


#: Name to the limit, in times of contiguous float32 arrays, and the arrays.
LAYOUTS: dict[str, tuple[float, Arrange]] = {
    "both Fortran": (1.1, lambda x, y: (np.asfortranarray(x), np.asfortranarray(y))),
    "Fortran against C": (4.0, lambda x, y: (np.asfortranarray(x), y)),
    "C against Fortran": (4.0, lambda x, y: (x, np.asfortranarray(y))),
    "every second": (2.4, lambda x, y: (twice(x), twice(y))),
    "both reversed": (1.6, lambda x, y: (x[::-1, ::-1], y[::-1, ::-1])),
    "logits reversed": (1.6, lambda x, y: (x[:, ::-1], y)),
    "weights of rows": (1.3, lambda x, y: weighted(x, y, x.shape[1], (0, 1))),
    "weights of columns": (1.3, lambda x, y: weighted(x, y, x.shape[1], (1, 0))),
    "weights of rows of ten": (1.3, lambda x, y: weighted(x, y, 10, (0, 1))),
    "weights of ten columns": (1.3, lambda x, y: weighted(x, y, 10, (1, 0))),
    "float16, uint8 targets": (1.1, lambda x, y: (x.astype(HALF), y.astype(np.uint8))),
    "float16, bool targets": (1.1, lambda x, y: (x.astype(HALF), y.astype(np.bool_))),
}


def plain(size: int, targets: str = "float32") -> tuple[Array, Array, Array]:
    """Logits, targets of that dtype and an output: contiguous, aligned, and flat."""
    random, arena = np.random.default_rng(20170807), Arena()
    x = arena.copy(3 * random.standard_normal(size, dtype=np.float32))
    y = arena.copy((random.random(size, dtype=np.float32) < 0.1).astype(targets))
    return x, y, arena.empty(size, "float32")


def ours(
    operation: str,
    threads: int,
    x: Array,
    y: Array,
    out: Array,
    weight: Array | None = None,
    name: str = OURS,
) -> Contender:
    """A mean or a gradient."""
    loss = fg.SigmoidFocalLoss()
    names = {"f": loss if operation == MEAN else loss.grad, "x": x, "y": y, "w": weight, "out": out}
    statement = "f(x, y, sample_weight=w)" if operation == MEAN else "f(x, y, sample_weight=w, out=out)"
    return Contender(name, Threaded(threads, statement, names), x.size)


def layout_row(operation: str, name: str, side: int, threads: int) -> Row:
    """A layout against contiguous arrays."""
    limit, arrange = LAYOUTS[name]

    def build(_: Any) -> list[Contender]:
        x, y, out = (array.reshape(side, side) for array in plain(side * side))
        other, targets, *weight = arrange(x, y)
        like = np.empty_like(other, subok=False)
        like.fill(0)  # the first touch
        return [
            ours(operation, threads, other, targets, like, *weight),
            ours(operation, threads, x, y, out, name=PLAIN),
        ]

    return Row(f"{operation}: {name}", SETTINGS, build, ((Bar((PLAIN,), limit),),))


def target_row(operation: str, dtype: str, size: int, threads: int) -> Row:
    """Targets of a dtype against a kernel that moves the same bytes and against the same in cache."""

    def build(programs: native.Native | None) -> list[Contender]:
        x, y, out = plain(size, dtype)
        small = plain(IN_CACHE_BYTES // max(4, y.itemsize), dtype)
        found = [ours(operation, threads, x, y, out), per_thread(ours(operation, 1, *small), threads)]
        if programs is not None:
            moved = programs.move(threads, x, y, out if operation == GRADIENT else out[:0])
            found.append(Contender(FLOOR, moved, size))
        return found

    checks = ((Bar((FLOOR,), 1.6), Bar((IN_CACHE,), OVER_CACHE)),)
    return Row(f"{operation}: {dtype} targets", SETTINGS, build, checks)


def weights_row(operation: str, size: int, threads: int) -> Row:
    """A weight for every element, against a kernel that moves the same bytes and the same in cache."""

    def weights(size: int) -> Array:
        return Arena().copy(np.linspace(0.5, 2, size, dtype=np.float32))

    def build(programs: native.Native | None) -> list[Contender]:
        x, y, out = plain(size)
        small = plain(IN_CACHE_BYTES // x.itemsize)
        in_cache = ours(operation, 1, *small, weights(small[0].size))
        found = [ours(operation, threads, x, y, out, weights(size)), per_thread(in_cache, threads)]
        if programs is not None:
            read = Arena().copy(np.concatenate([y, weights(size)]))
            moved = programs.move(threads, x, read, out if operation == GRADIENT else out[:0])
            found.append(Contender(FLOOR, moved, size))
        return found

    checks = ((Bar((FLOOR,), OVER_CACHE), Bar((IN_CACHE,), OVER_CACHE)),)
    return Row(f"{operation}: weights of elements", SETTINGS, build, checks)


def all_rows(side: int, threads: int) -> list[Row]:
    """Every row."""
    rows = []
    for operation in (MEAN, GRADIENT):
        rows += [layout_row(operation, name, side, threads) for name in LAYOUTS]
        rows.append(weights_row(operation, side * side, threads))
        dtypes = (*TARGETS, HALF, "float32", "float64")
        rows += [target_row(operation, dtype, side * side, threads) for dtype in dtypes]
    return rows


if __name__ == "__main__":
    single.main("layouts and dtypes", ("side", 4000, "arrays have side x side elements"), all_rows)
