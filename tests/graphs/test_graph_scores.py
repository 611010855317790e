"""Does the best constant score of blocks minimise the loss of all data, whatever the chunks?"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from graph_cases import BINARY, CLASSES, ROWS, SOFT, SOME, WEIGHTS, rng
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from focalgrad.dask import _tallies
from focalgrad.dask._totals import PIECE, totals
from support import Array, refused, same_bits

pytestmark = pytest.mark.usefixtures("_synchronous")


@pytest.fixture
def _synchronous() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


HALF = SOFT.round(1)
CASES: list[tuple[Any, Array]] = [
    (fg.SigmoidFocalLoss(), BINARY),
    (fg.SigmoidFocalLoss(ignore_index=-1, label_smoothing=0.1), SOME),
    (fg.SigmoidFocalLoss(soft_targets="quality", gamma=1.5), SOFT),
    (fg.SigmoidFocalLoss(soft_targets="expected"), SOFT.astype(np.float16)),
    (fg.SigmoidFocalLoss(class_axis=1, alpha=[0.1, 0.2, 0.3, 0.4]), HALF),
    (fg.SigmoidFocalLoss(class_axis=0, class_weight=[1.0, 0.0, 2.0, 1.0]), HALF.T),
    (fg.SigmoidFocalLoss(class_axis=-1), (SOFT > 0.5).astype(np.float32)),
    (fg.SigmoidFocalLoss(class_axis=-1), CLASSES),
    (fg.SigmoidFocalLoss(class_axis=-1, background_index=2, ignore_index=0), CLASSES),
    (
        fg.SigmoidFocalLoss(class_axis=-1, background_index=9, gamma=[1, 2, 3, 4, 5]),
        np.where(BINARY, CLASSES, 9),
    ),
    (fg.SoftmaxFocalLoss(), CLASSES.astype(np.float32)),
    (fg.SoftmaxFocalLoss(alpha=[1, 2, 3, 4, 5], ignore_index=3), CLASSES),
    (fg.SoftmaxFocalLoss(label_smoothing=0.1), SOFT / 4),
    (fg.SoftmaxFocalLoss(class_axis=0), HALF.T / 4),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss, targets", CASES, ids=[f"{loss!r}-{targets.dtype}" for loss, targets in CASES])
def test_as_one_call(loss: Any, targets: Array, weighted: bool) -> None:
    """To the last digits, with the same bits for any chunks."""
    axis = targets.shape.index(ROWS)
    weight = None
    if weighted:
        weight = (
            WEIGHTS[:, None] if targets.ndim > 1 and axis == 0 and not hasattr(loss, "modulator") else WEIGHTS
        )
    want = np.asarray(loss.init_score(targets, weight))
    chunks = [
        {axis: size} | {other: -1 for other in range(targets.ndim) if other != axis} for size in (ROWS, 83, 7)
    ]
    graphs = [fg.dask.init_score(loss, da.from_array(targets, cut), weight) for cut in chunks]
    assert graphs[0].ndim == want.ndim and graphs[0].dtype == np.float64
    got, *others = (np.asarray(graph.compute()) for graph in graphs)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    assert all(same_bits(got, other) for other in others)


def test_the_number_of_classes() -> None:
    """Known where a parameter or the targets tell it; else found in the data."""
    targets = da.from_array(np.array([0, 4, 1, 7]), 2)
    found = fg.dask.init_score(fg.SoftmaxFocalLoss(), targets)
    assert np.isnan(found.shape[0]) and found.compute().shape == (8,)
    listed = fg.dask.init_score(fg.SoftmaxFocalLoss(alpha=np.ones(9)), targets)
    assert listed.shape == listed.compute().shape == (9,)
    dense = fg.dask.init_score(fg.SoftmaxFocalLoss(), da.from_array(SOFT, (100, 4)))
    assert dense.shape == (4,)


def test_nothing_counts() -> None:
    """0.0, or no class at all."""
    ignored = da.from_array(np.full(10, -1), 5)
    assert fg.dask.init_score(fg.SigmoidFocalLoss(ignore_index=-1), ignored).compute() == 0.0
    assert fg.dask.init_score(fg.SoftmaxFocalLoss(ignore_index=-1), ignored).compute().shape == (0,)
    three = fg.dask.init_score(fg.SoftmaxFocalLoss(ignore_index=-1, alpha=[1, 1, 1]), ignored)
    assert np.array_equal(three.compute(), np.zeros(3))
    assert fg.dask.init_score(fg.SigmoidFocalLoss(), da.zeros(0)).compute() == 0.0


def test_one_class_alone() -> None:
    """A class without weight has an infinite score."""
    assert fg.dask.init_score(fg.SigmoidFocalLoss(), da.ones(100, chunks=7)).compute() == np.inf
    scores = fg.dask.init_score(fg.SoftmaxFocalLoss(), da.from_array([2, 0, 2], 1)).compute()
    assert scores[1] == -np.inf and np.isfinite(scores[[0, 2]]).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_more_distinct_targets_than_are_kept(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours are counted together: the score moves by the square of their distance."""
    monkeypatch.setattr(_tallies, "DISTINCT", 256)
    monkeypatch.setattr(_tallies, "PIECE", 200)
    targets = np.concatenate([rng(8).beta(0.3, 2, 2000), np.zeros(100), np.ones(100)])
    weight = rng(9).uniform(0.5, 2, len(targets)) if weighted else None
    loss = fg.SigmoidFocalLoss(gamma=3.0)
    want = loss.init_score(targets, weight)
    for size in (len(targets), 700, 100):
        got = fg.dask.init_score(loss, da.from_array(targets, size), weight).compute()
        assert 0 < abs(got - want) < 1e-8 * (2**14 / 256) ** 2


@pytest.mark.parametrize("bad", [4, -2, 1.5, np.nan])
def test_wrong_indices(bad: float) -> None:
    """Named with the place in their block, as they are counted."""
    targets = np.where(np.arange(ROWS) == 321, bad, CLASSES)
    loss = fg.SoftmaxFocalLoss(alpha=[1, 1, 1, 1], ignore_index=-1)
    graph = fg.dask.init_score(loss, da.from_array(targets, 100))
    with pytest.raises(ValueError, match=r"targets must be class indices.*targets\[21\] = "):
        graph.compute()


@pytest.mark.parametrize(
    "loss, shape", [(fg.SigmoidFocalLoss(ignore_index=7), (ROWS,)), (fg.SoftmaxFocalLoss(), (ROWS, 4))]
)
@pytest.mark.parametrize("bad", [-0.5, 2.0, np.inf])
def test_dense_targets_outside_their_range(loss: Any, shape: tuple[int, ...], bad: float) -> None:
    """They have no loss to be minimised; ignored ones may be anything."""
    targets = np.full(shape, 0.25)
    targets[321] = bad
    graph = fg.dask.init_score(loss, da.from_array(targets, (100, *shape[1:])))
    with pytest.raises(ValueError, match=r"targets must be from 0 to 1.*targets\[21(, 0)?\] = "):
        graph.compute()
    if loss.ignore_index is not None:
        targets[321] = loss.ignore_index
        score = fg.dask.init_score(loss, da.from_array(targets, 100)).compute()
        assert score == loss.init_score(np.full(ROWS - 1, 0.25))


def test_nan() -> None:
    """One NaN among weights or targets makes the score NaN."""
    targets, weight = SOFT[:, 0].astype(np.float64), WEIGHTS.copy()
    weight[5] = np.nan
    loss = fg.SigmoidFocalLoss()
    assert np.isnan(fg.dask.init_score(loss, da.from_array(targets, 50), weight).compute())
    targets[7] = np.nan
    assert np.isnan(fg.dask.init_score(loss, da.from_array(targets, 50)).compute())


def test_refused() -> None:
    """What `init_score` of a loss refuses, when the graph is built."""
    y = da.from_array(BINARY, 100)
    refused(ValueError, ["from_logits"], fg.dask.init_score, fg.SigmoidFocalLoss(from_logits=False), y)
    refused(ValueError, ["modulator"], fg.dask.init_score, fg.SoftmaxFocalLoss(modulator="sigmoid"), y)
    refused(TypeError, ["targets"], fg.dask.init_score, fg.SigmoidFocalLoss(), y.astype(complex))
    columns = da.from_array(SOFT, (100, 2))
    refused(
        ValueError, ["targets", r"rechunk\(\{1: -1\}\)"], fg.dask.init_score, fg.SoftmaxFocalLoss(), columns
    )
    refused(ValueError, ["sample_weight"], fg.dask.init_score, fg.SigmoidFocalLoss(), y, np.ones(3))


# --- exact sums ---


@given(
    weights=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=30),
    cut=st.integers(0, 30),
)
def test_totals_are_exact(weights: list[float], cut: int) -> None:
    """As fractions are, whatever the range and the cut."""
    array = np.array(weights, np.float64)
    place = np.arange(len(array)) % 3
    both = totals(place[:cut], array[:cut], 3) + totals(place[cut:], array[cut:], 3)
    unit = Fraction(1, 2**1074)
    for c in range(3):
        assert both.finite[c] * unit == sum(map(Fraction, array[place == c].tolist()), Fraction(0))


def test_totals_in_pieces() -> None:
    """Of more weights than are added up at a time, rounded once."""
    array = rng(10).normal(size=PIECE + 1000) * 2.0 ** rng(11).integers(-40, 40, PIECE + 1000)
    assert totals(np.zeros(len(array), int), array, 1).to_float()[0] == math.fsum(array)


def test_totals_beyond_the_largest_number() -> None:
    """Only their ratios count."""
    rounded = totals(np.array([0, 0, 1, 1]), np.full(4, 1.7e308), 2).to_float()
    assert rounded[0] == rounded[1] < np.inf
    with_others = totals(np.array([0, 1, 1, 2]), np.array([np.inf, np.inf, -np.inf, 1.0]), 3).to_float()
    assert with_others[0] == np.inf and np.isnan(with_others[1]) and with_others[2] == 1.0
