"""Does a meter give what one call gives, whatever the pieces and their order?"""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from support import Array, refused

LOSSES = [
    fg.SigmoidFocalLoss(),
    fg.SigmoidFocalLoss(reduction="sum", gamma=1.7),
    fg.SigmoidFocalLoss(normalizer="positives", ignore_index=-1),
    fg.SigmoidFocalLoss(
        normalizer="weights", class_axis=-1, class_weight=[1.0, 2.0, 3.0], background_index=3
    ),
    fg.SigmoidFocalLoss(normalizer="focal_weights"),
    fg.SigmoidFocalLoss(normalizer=7.5, label_smoothing=0.1),
    fg.SoftmaxFocalLoss(),
    fg.SoftmaxFocalLoss(normalizer="weights", alpha=[0.1, 1.0, 2.0], ignore_index=-1),
    fg.SoftmaxFocalLoss(normalizer="focal_weights", modulator="sigmoid"),
    fg.SoftmaxFocalLoss(reduction="sum", label_smoothing=0.2),
]


def data(loss: Any, rows: int = 400, seed: int = 0, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    """Rows of logits, targets and weights for a loss."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4, size=(rows, 3)).astype(dtype)
    if loss.class_axis is None:
        targets = rng.integers(-1 if loss.ignore_index is not None else 0, 2, (rows, 3))
        return logits, targets, rng.uniform(0.1, 3, (rows, 3))
    high = 4 if getattr(loss, "background_index", None) is not None else 3
    targets = rng.integers(-1 if loss.ignore_index is not None else 0, high, rows)
    return logits, targets, rng.uniform(0.1, 3, rows)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(cuts=st.lists(st.integers(0, 400), max_size=6), order=st.randoms(use_true_random=False))
def test_pieces_in_any_order(loss: Any, cuts: list[int], order: Any) -> None:
    """The same bits for any cut, order and merging; one call's value to 1e-14."""
    logits, targets, weights = data(loss)
    whole = fg.FocalLossMeter(loss)
    whole.update(logits, targets, sample_weight=weights)
    edges = sorted({0, *cuts, len(logits)})
    pieces = [slice(a, b) for a, b in pairwise(edges)]
    order.shuffle(pieces)
    meters = [fg.FocalLossMeter(loss), fg.FocalLossMeter(loss)]
    for i, piece in enumerate(pieces):
        meters[i % 2].update(logits[piece], targets[piece], sample_weight=weights[piece])
    meters[1].merge(pickle.loads(pickle.dumps(meters[0])))
    assert meters[1].compute() == whole.compute()
    call = loss(logits, targets, sample_weight=weights)
    assert abs(whole.compute() - call) <= 1e-14 * abs(call)


def test_exactly() -> None:
    """What rounding would lose stays."""
    loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0, reduction="sum")
    meter = fg.FocalLossMeter(loss)
    for logit in (-1e300, -1.0, 1e300):
        meter.update([logit], [1.0], sample_weight=[-1.0 if logit > 0 else 1.0])
    meter.update([-1e300], [1.0], sample_weight=-1.0)
    assert meter.compute() == loss([-1.0], [1.0])


def test_empty_and_reset() -> None:
    """No data is 0.0, and so is a mean over nothing."""
    loss = fg.SigmoidFocalLoss(normalizer="positives")
    meter = fg.FocalLossMeter(loss)
    assert meter.compute() == 0.0
    meter.update([1.0, 2.0], [0, 0])
    assert meter.compute() == 0.0
    meter.update([1.0], [1])
    assert meter.compute() > 0
    twin = copy.deepcopy(meter)
    meter.reset()
    assert meter.compute() == 0.0 < twin.compute()
    assert meter.update([1.0], [1]) is None
    assert repr(meter) == f"FocalLossMeter({loss!r})"
    assert meter.loss == loss


def test_failed_updates_change_nothing() -> None:
    """An error leaves the meter as it was."""
    loss = fg.SoftmaxFocalLoss()
    meter = fg.FocalLossMeter(loss)
    meter.update(np.zeros((2, 3)), [0, 1])
    before = meter.compute()
    refused(ValueError, ["targets"], meter.update, np.zeros((2, 3)), [0, 3])
    refused(TypeError, ["logits"], meter.update, np.zeros((2, 3), complex), [0, 1])
    assert meter.compute() == before


def test_refused() -> None:
    """Losses that are no number, meters of another loss, other objects."""
    refused(ValueError, ["loss", "reduction"], fg.FocalLossMeter, fg.SigmoidFocalLoss(reduction="none"))
    sums = fg.SigmoidFocalLoss(reduction="sum_classes", class_axis=0)
    refused(ValueError, ["loss", "sum_classes"], fg.FocalLossMeter, sums)
    refused(TypeError, ["loss"], fg.FocalLossMeter, "mean")
    meter = fg.FocalLossMeter(fg.SigmoidFocalLoss())
    refused(TypeError, ["other"], meter.merge, 1.0)
    refused(ValueError, ["other"], meter.merge, fg.FocalLossMeter(fg.SigmoidFocalLoss(gamma=1.0)))


def test_nan_stays() -> None:
    """One NaN makes all NaN, infinities add up."""
    meter = fg.FocalLossMeter(fg.SigmoidFocalLoss())
    meter.update([-np.inf], [1])
    assert meter.compute() == np.inf
    meter.update([np.nan], [1])
    assert np.isnan(meter.compute())
