"""How much memory do calls take beyond their arguments? test_memory.py runs this in processes of their own.

    python tests/helpers/peak.py sigmoid|classes|copies [STEP]
    python tests/helpers/peak.py foreign NAME

Prints one JSON list a call: what it was, and the bytes by which memory peaked beyond arguments and results.
All calls take their arrays from the same two blocks, seen as other dtypes and in other layouts. STEP leaves
cases out: 1 in so many runs.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from foreign import MAKERS

Array = NDArray[Any]

BYTES = 400_000_000  # of the largest of logits, targets and result
LARGE = 8_000_000  # bytes of a peak that is looked at again
BFLOAT16 = ml_dtypes.bfloat16
#: Of logits and targets: what is read as it stands, what is converted, and what makes logits float64.
PAIRS = (
    *(("float32", targets) for targets in ("float32", "bool", "int64", "float16", "float64")),
    *(("float64", targets) for targets in ("float64", "uint8", "float32")),
    *(("float16", targets) for targets in ("float16", "bool", "float32")),
    (BFLOAT16, "uint8"),
    ("int32", "float64"),
)
#: Of logits and of targets.
LAYOUTS = (
    ("C", "C"),
    ("Fortran", "Fortran"),
    ("Fortran", "C"),
    ("every second", "every second"),
    ("reversed", "C"),
    ("cut out", "cut out"),
    ("unaligned", "unaligned"),
    ("C", "broadcast"),
    ("broadcast", "C"),
)
GAPS = ("every second", "cut out")
#: Losses with classes: where their axis is, and the logits' shape for so many elements.
SHAPES: dict[int, Callable[[int], tuple[int, ...]]] = {
    -1: lambda size: (size // 10, 10),
    0: lambda size: (10, size // 10),
    1: lambda size: (2, 21, size // 42),
}
#: These take turns.
INDICES = (
    ("float32", "int64"),
    ("float16", "uint8"),
    ("float64", "float16"),
    (BFLOAT16, "int32"),
    ("int32", "uint64"),
)
DENSE = (
    ("float32", "float32"),
    ("float16", "bool"),
    ("float64", "float16"),
    (BFLOAT16, "float32"),
    ("int32", "float64"),
)


def arranged(home: Array, dtype: Any, shape: tuple[int, ...], layout: str) -> Array:
    """An array of that shape in the memory of a block of bytes."""
    dtype = np.dtype(dtype)
    if layout == "broadcast":
        return np.broadcast_to(arranged(home, dtype, shape[1:], "C"), shape)
    whole = (*shape[:-1], shape[-1] * (2 if layout in GAPS else 1))
    start = 1 if layout == "unaligned" else 0
    flat = home[start : start + math.prod(whole) * dtype.itemsize].view(dtype)
    array = flat.reshape(whole, order="F" if layout == "Fortran" else "C")
    if layout == "reversed":
        return array[(slice(None, None, -1),) * array.ndim]
    return {"every second": array[..., ::2], "cut out": array[..., : shape[-1]]}.get(layout, array)


def elements(logits: Any, targets: Any, layouts: tuple[str, str]) -> int:
    """How many make the largest array, gaps included, as large as the blocks."""
    result = np.dtype(logits).itemsize if logits != "int32" else 8
    span = 2 if set(layouts) & set(GAPS) else 1
    return BYTES // max(span * np.dtype(logits).itemsize, span * np.dtype(targets).itemsize, result)


def status(key: str) -> int:
    """Bytes of an entry of this process' status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def peak(call: Callable[[], Any]) -> int:
    """Bytes by which memory peaks in a call, less those of the array that it returns."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    owed = getattr(call(), "nbytes", 0)
    return status("VmHWM") - before - owed


def least_peak(call: Callable[[], Any]) -> int:
    """The peak, or where that is large the least of three.

    What a call takes it takes every time. A system that is short of memory takes pages of libraries back, and
    reads them again, at times of its own.
    """
    least = peak(call)
    for _ in range(2):
        if abs(least) > LARGE:
            least = min(least, peak(call), key=abs)
    return least


Case = tuple[str, Any, Array, Array, Any]


def arrays(homes: tuple[Array, Array], dtypes: Any, shapes: Any, layouts: tuple[str, str]) -> list[Array]:
    """Logits and targets."""
    return [arranged(*each) for each in zip(homes, dtypes, shapes, layouts, strict=True)]


def sigmoid(homes: tuple[Array, Array]) -> Iterator[Case]:
    """Every layout with every pair of dtypes; a weight for each column."""
    loss = fg.SigmoidFocalLoss()
    for pair, layouts in itertools.product(PAIRS, LAYOUTS):
        side = math.isqrt(elements(*pair, layouts))
        given = arrays(homes, pair, ((side, side),) * 2, layouts)
        yield f"{named(pair)}, {layouts}", loss, *given, np.ones(side, np.float32)


def classes(homes: tuple[Array, Array]) -> Iterator[Case]:
    """Both losses along every axis, with class indices and, for softmax, dense targets."""
    pairs = [
        (make, itertools.cycle(pairs))
        for make, pairs in (
            (fg.SoftmaxFocalLoss, INDICES),
            (fg.SoftmaxFocalLoss, DENSE),
            (fg.SigmoidFocalLoss, INDICES),
        )
    ]
    for layouts, axis, (make, pairs_in_turn) in itertools.product(LAYOUTS, SHAPES, pairs):
        pair = next(pairs_in_turn)
        shape = SHAPES[axis](elements(*pair, layouts))
        rows = shape if pair in DENSE else tuple(np.delete(shape, axis).tolist())
        # A vector that is broadcast is one number: it stays a vector.
        chosen = (layouts[0], "C" if len(rows) == 1 and layouts[1] == "broadcast" else layouts[1])
        given = arrays(homes, pair, (shape, rows), chosen)
        yield (
            f"{make.__name__}, {named(pair)}, {shape}, {rows}, {layouts}",
            make(class_axis=axis),
            *given,
            None,
        )


def named(pair: tuple[Any, Any]) -> str:
    """A pair of dtypes."""
    return " and ".join(str(np.dtype(dtype)) for dtype in pair)


def foreign(homes: tuple[Array, Array], name: str) -> Iterator[Case]:
    """Logits and targets in another library's arrays."""
    logits, targets = homes[0][:BYTES].view(np.float32), homes[1][: BYTES // 4]
    yield name, fg.SigmoidFocalLoss(), MAKERS[name](logits), MAKERS[name](targets), None


class Copies:
    """A loss that copies its logits: does the measurement see it?"""

    def __call__(self, x: Array, y: Array, sample_weight: Any = None) -> float:
        return float(np.array(x)[0, 0])

    def grad(self, x: Array, y: Array, sample_weight: Any = None) -> Array:
        copy = np.array(x)
        return copy + x


def main(what: str, option: str = "1") -> None:
    """Measure."""
    # Written, since zeros that never were have no memory; a page more, for what is unaligned.
    homes = np.full(BYTES + 4096, 0, np.uint8), np.full(BYTES + 4096, 0, np.uint8)
    for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()):
        loss.value_and_grad(np.zeros((300, 300)), np.zeros((300, 300)).T)  # starts the threads
    if what == "foreign":
        cases = foreign(homes, option)
    elif what == "copies":
        cases = ((name, Copies(), *rest) for name, _, *rest in itertools.islice(sigmoid(homes), 3))
    else:
        cases = itertools.islice({"sigmoid": sigmoid, "classes": classes}[what](homes), 0, None, int(option))
    for name, loss, logits, targets, weight in cases:
        for method in ("__call__", "grad"):
            extra = least_peak(partial(getattr(loss, method), logits, targets, sample_weight=weight))
            print(json.dumps([f"{method}: {name}", extra]))


if __name__ == "__main__":
    main(*sys.argv[1:])
