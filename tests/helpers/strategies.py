"""What hypothesis draws: shapes, logits, targets, weights, parameters, and whole cases of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike, NDArray

from layouts import layouts
from support import FLOAT_DTYPES, GAMMAS, TARGET_DTYPES, coin, sample

Array = NDArray[Any]

seeds = st.integers(0, 2**32 - 1)
gammas = st.sampled_from(GAMMAS) | st.floats(0, 5)
alphas = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(2.0**-20, 1)
float_dtypes = st.sampled_from(FLOAT_DTYPES)
target_dtypes = st.sampled_from(TARGET_DTYPES)

# Few elements in up to five dimensions, or some hundred in one: tails of every length, with and without whole
# vectors.
shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4) | st.tuples(st.integers(0, 600))


@st.composite
def anywhere(draw: st.DrawFn, arrays: st.SearchStrategy[Array]) -> Array:
    """What a strategy draws, in any layout."""
    array = draw(arrays)
    return draw(layouts(array.ndim))(array)


def logits(dtype: DTypeLike, shape: tuple[int, ...], *, finite: bool = False) -> st.SearchStrategy[Array]:
    """Single numbers that shrink well, or a seeded sample of all magnitudes."""
    width = np.dtype(dtype).itemsize * 8
    bound = 100.0 if width == 32 else 1e4
    size = int(np.prod(shape, dtype=int))
    numbers = st.floats(-bound, bound, width=width)
    if not finite:
        numbers |= st.floats(width=width)

    def seeded(seed: int) -> Array:
        drawn = sample(size, dtype, seed)
        if finite:
            drawn = np.where(np.abs(drawn) <= bound, drawn, 1).astype(dtype)
        return drawn.reshape(shape)

    return st.builds(seeded, seeds) | hnp.arrays(dtype, shape, elements=numbers)


def hard_targets(dtype: DTypeLike, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Zeros and ones."""
    size = int(np.prod(shape, dtype=int))
    return st.builds(
        lambda seed, share: coin(size, dtype, seed, share).reshape(shape),
        seeds,
        st.sampled_from([0, 0.05, 0.5, 1]),
    )


def weights(dtype: DTypeLike, shape: tuple[int, ...], *, negative: bool = True) -> st.SearchStrategy[Array]:
    """Weights of moderate size, zeros among them."""
    size = int(np.prod(shape, dtype=int))

    def seeded(seed: int) -> Array:
        rng = np.random.default_rng(seed)
        drawn = np.exp2(rng.uniform(-10, 10, size)) * rng.choice([0, 1, 1, 1, -1 if negative else 1], size)
        return drawn.astype(dtype).reshape(shape)

    return st.builds(seeded, seeds)


@dataclass(frozen=True)
class Case:
    """Arrays and parameters of one call."""

    logits: Array
    targets: Array
    alpha: float | None
    gamma: float
    sample_weight: Array | float | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the constructor, and of the reference's function."""
        return {"alpha": self.alpha, "gamma": self.gamma}


@st.composite
def cases(draw: st.DrawFn, *, weighted: bool = False, finite: bool = False, negative: bool = True) -> Case:
    """A call with every pair of dtypes, in any layout; with weights (an array, or one number) if asked."""
    dtype, shape = draw(float_dtypes), draw(shapes)
    weight = None
    if weighted:
        scalar = st.sampled_from([0.0, 0.5, 1.0, 3.7, 2])
        weight = draw(scalar | anywhere(weights(draw(float_dtypes), shape, negative=negative)))
    return Case(
        draw(anywhere(logits(dtype, shape, finite=finite))),
        draw(anywhere(hard_targets(draw(target_dtypes), shape))),
        draw(alphas),
        draw(gammas),
        weight,
    )
