"""Arrays in every layout: hypothesis strategies, and the list of layouts that parametrised tests go through.

`layouts` draws a function that makes, of a plain array, one with the same elements in another place: another
memory order, a slice with steps and offsets, reversed axes, unaligned memory. `LAYOUTS` names some such
functions; `as_they_come` takes one of them for each array of a test that does not draw.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]
Layout = Callable[[Array], Array]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INTEGERS = tuple(np.dtype(f"{sign}int{width}") for sign in ("", "u") for width in (8, 16, 32, 64))
FLOATS = (np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64))
NUMBERS = (*INTEGERS, *FLOATS)
DTYPES = (np.dtype(np.bool_), *NUMBERS)


def unaligned(a: Array) -> Array:
    """The elements from an odd address on."""
    home = np.zeros(a.nbytes + 1, np.uint8)
    view = home[1:].view(a.dtype) if a.nbytes else np.empty(0, a.dtype)
    view = view.reshape(a.shape)
    view[...] = a
    return view


def strided(a: Array, *, order: tuple[int, ...], steps: tuple[int, ...], offset: int = 0) -> Array:
    """The elements in memory with its axes in `order`, `steps` apart (negative: backwards), from `offset`."""
    if a.ndim > 6:  # no gaps: they would multiply
        steps, offset = tuple(1 if step > 0 else -1 for step in steps), 0
    lengths = [max(1, abs(step)) * length for step, length in zip(steps, a.shape, strict=True)]
    home = np.zeros([lengths[axis] + offset for axis in order], a.dtype)
    home = home.transpose(np.argsort(order))
    view = home[tuple(slice(offset, None) for _ in order)] if order else home
    view = view[tuple(slice(None, None, step) for step in steps)] if order else view
    assert view.shape == a.shape
    view[...] = a
    return view


LAYOUTS: dict[str, Layout] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every second": lambda a: strided(a, order=tuple(range(a.ndim)), steps=(1,) * (a.ndim - 1) + (2,)),
    "reversed": lambda a: strided(a, order=tuple(range(a.ndim)), steps=(-1,) * a.ndim),
    "cut out": lambda a: strided(a, order=tuple(range(a.ndim)), steps=(1,) * a.ndim, offset=1),
    "turned and thinned": lambda a: strided(
        a, order=tuple(reversed(range(a.ndim))), steps=(-3, 2, 1, -1, 2)[: a.ndim]
    ),
    "unaligned": unaligned,
}


def as_they_come(*arrays: Array) -> list[Array]:
    """The same elements, every array in a layout of its own: which one depends on its bytes."""
    chosen = list(LAYOUTS.values())
    return [chosen[zlib.crc32(a.tobytes()) % len(chosen)](a) if a.ndim else a for a in arrays]


@st.composite
def layouts(draw: st.DrawFn, dims: int) -> Layout:
    """Any layout of an array with so many dimensions."""
    if dims == 0:
        return draw(st.sampled_from([np.array, unaligned]))
    order = tuple(draw(st.permutations(range(dims))))
    steps = tuple(draw(st.sampled_from([1, 1, 1, -1, 2, -2, 3])) for _ in range(dims))
    offset = draw(st.integers(0, 2))
    return draw(
        st.sampled_from([lambda a: strided(a, order=order, steps=steps, offset=offset), np.array, unaligned])
    )


# Small, of many dimensions; long enough for whole vectors, tiles and several of them; in two large axes.
shapes = (
    st.lists(st.integers(0, 4), max_size=6).map(tuple)
    | st.tuples(st.integers(0, 3000))
    | st.tuples(st.integers(1, 90), st.integers(1, 90))
    | st.just((1,) * 30 + (2,) + (1,) * 33)
)


def numbers(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    """Seeded logits of that type."""
    drawn = np.random.default_rng(seed).normal(0, 4, shape)
    return np.asarray(
        drawn > 0
        if np.dtype(dtype) == np.bool_
        else drawn.clip(0, 9)
        if np.dtype(dtype).kind == "u"
        else drawn
    ).astype(dtype)


def labels(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    """Seeded targets of that type."""
    return np.asarray(np.random.default_rng(seed).random(shape) < 0.4).astype(dtype)
