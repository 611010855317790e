"""Initial scores count targets: of every type, in every layout, few classes and many."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import focalgrad as fg
from support import refused


def test_largest_index() -> None:
    """As many classes as a call takes, and little more memory than their scores."""
    for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
        loss = make(class_axis=-1)
        for index in (1 << 27, 1 << 31, 10**12, 1e30):
            shown = "1e30" if index == 1e30 else str(index)
            words = ["targets must be", f"to {(1 << 27) - 1}", rf"targets\[1\] = {shown}"]
            refused(ValueError, words, loss.init_score, [0, index])
        tracemalloc.start()
        scores = loss.init_score([0, (1 << 20) - 1])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert scores.shape == (1 << 20,) and np.count_nonzero(np.isfinite(scores)) == 2
        assert most < 10 * scores.nbytes
    ignoring = fg.SoftmaxFocalLoss(ignore_index=1 << 40)
    assert ignoring.init_score([0, 1, 1 << 40]).shape == (2,)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, np.float32])
@pytest.mark.parametrize("classes", [3, 200, 1024, 1025, 3000])
def test_indices_of_every_type(classes: int, dtype: type) -> None:
    """Counted as NumPy counts them: few and many classes, known and unknown, some that do not count."""
    classes = min(classes, 256) if dtype is np.uint8 else classes
    indices = np.random.default_rng(classes).integers(0, classes, 40_000).astype(dtype)
    indices[:2] = [0, classes - 1]
    counts = np.bincount(indices.astype(int))
    finite = counts > 0
    want = np.log(counts[finite])
    for loss in (fg.SoftmaxFocalLoss(None, 0.0), fg.SoftmaxFocalLoss((1.0,) * classes, 0.0)):
        for weights in (None, np.ones(len(indices))):
            got = loss.init_score(indices, weights)
            np.testing.assert_array_equal(np.isfinite(got), finite)
            np.testing.assert_allclose(got[finite], want - want.mean(), rtol=1e-12, atol=1e-12)
    fewer = fg.SoftmaxFocalLoss(None, 0.0, ignore_index=classes - 1).init_score(indices)
    kept = np.bincount(indices[indices != classes - 1].astype(int))
    assert fewer.shape == kept.shape
    one_less = fg.SoftmaxFocalLoss((1.0,) * (classes - 1), 0.0)
    refused(ValueError, [rf"targets\[1\] = {classes - 1}", f"to {classes - 2}"], one_less.init_score, indices)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8])
@pytest.mark.parametrize("size", [1, 127, 128, 129, 5000])
def test_labels_of_one_byte(size: int, dtype: type) -> None:
    """Contiguous, strided and with a label that is none."""
    y = np.arange(2 * size) % 3 == 0
    loss = fg.SigmoidFocalLoss(None, 0.0)
    for labels in (y, y[::2], y[::-1]):
        assert loss.init_score(labels.astype(dtype)) == loss.init_score(labels.astype(float))
        own = y.astype(dtype)[::2]
        assert loss.init_score(own) == loss.init_score(own.astype(float))
    if dtype is not bool:
        wrong = y.astype(dtype)
        wrong[-1] = 2
        refused(ValueError, [rf"targets\[{2 * size - 1}\] = 2"], loss.init_score, wrong)
