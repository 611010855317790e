"""Does the posterior undo what focal loss does to it? Its expected loss must be stationary at the scores."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

import focalgrad as fg
import oracle
from focalgrad import _reference as reference
from support import refused

GAMMAS = (0.0, 0.3, 1.0, 2.0, 5.0)
SCORES = np.array([-700.0, -90, -20, -3, -0.4, 0, 1e-9, 0.7, 2, 8, 36.7, 300])


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_binary(gamma: float, alpha: float | None) -> None:
    """eta alpha f'(z) = (1 - eta) (1 - alpha) f'(-z), in mpmath."""
    eta = fg.SigmoidFocalLoss(alpha, gamma).posterior(SCORES)
    with mpmath.workdps(40):
        for z, got in zip(SCORES, eta, strict=True):
            heads, tails = (1, 1) if alpha is None else (mp.mpf(alpha), 1 - mp.mpf(alpha))
            odds = tails * oracle.closed(-z, gamma)[1] / (heads * oracle.closed(z, gamma)[1])
            assert got == pytest.approx(float(odds / (1 + odds)), rel=1e-12, abs=0)


@pytest.mark.parametrize("gamma", [1e3, 1e8, 1e300])
def test_large_gamma(gamma: float) -> None:
    """Scores are as close to 0 as a large gamma makes them, and say as much as any."""
    scores = np.array([-30.0, -1.0, -1e-3, 0.1, 2.0, 700.0]) / gamma
    eta = fg.SigmoidFocalLoss(None, gamma).posterior(scores)
    with mpmath.workdps(400):
        for z, got in zip(scores, eta, strict=True):
            odds = oracle.closed(-mp.mpf(z), gamma)[1] / oracle.closed(mp.mpf(z), gamma)[1]
            assert got == pytest.approx(float(odds / (1 + odds)), rel=1e-12, abs=0)


@pytest.mark.parametrize("alpha", [None, 3.0, (0.2, 1.0, 0.5, 2.0)])
@pytest.mark.parametrize("gamma", [*GAMMAS, (0.0, 0.5, 2.0, 5.0)])
def test_softmax(gamma: Any, alpha: Any) -> None:
    """The expected gradient vanishes at the scores."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 3, (20, 4)), rng.normal(0, 60, (5, 4))])
    loss = fg.SoftmaxFocalLoss(alpha, gamma, reduction="sum")
    eta = loss.posterior(scores)
    np.testing.assert_allclose(eta.sum(axis=1), 1, rtol=1e-15)
    parts = [
        eta[:, c, None] * reference.evaluate(loss, scores, np.full(len(scores), c)).gradient for c in range(4)
    ]
    assert (np.abs(np.sum(parts, axis=0)) <= 1e-13 * np.sum(np.abs(parts), axis=0) + 1e-300).all()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_risk_minimiser(gamma: float) -> None:
    """The best constant scores for class weights give the weights back."""
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    loss = fg.SoftmaxFocalLoss((1.0, 2.0, 0.5, 1.0), gamma)
    np.testing.assert_allclose(loss.posterior(loss.init_score(np.arange(4), weights)), weights, rtol=1e-13)
    for smoothing in (0.0, 0.1):
        binary = fg.SigmoidFocalLoss(0.25, gamma, soft_targets="expected", label_smoothing=smoothing)
        score = binary.init_score([1, 0], [0.3, 0.7])
        assert binary.posterior(score) == pytest.approx(0.3, rel=1e-13)


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_smoothing(smoothing: float) -> None:
    """Undone affinely, and clipped."""
    plain, smooth = (fg.SoftmaxFocalLoss(gamma=2.0, label_smoothing=s) for s in (0.0, smoothing))
    scores = np.array([[0.3, 0.1, -0.2], [9.0, 0.0, 0.0]])
    eta = (plain.posterior(scores) - smoothing / 3) / (1 - smoothing)
    np.testing.assert_allclose(smooth.posterior(scores), np.clip(eta, 0, 1), rtol=1e-14)
    assert smooth.posterior(scores)[1].tolist() == [1, 0, 0]
    plain, smooth = (fg.SigmoidFocalLoss(label_smoothing=s) for s in (0.0, smoothing))
    eta = (plain.posterior(scores) - smoothing / 2) / (1 - smoothing)
    np.testing.assert_allclose(smooth.posterior(scores), np.clip(eta, 0, 1), rtol=1e-14, atol=1e-16)


def test_sigmoid_modulator() -> None:
    """Its definition; gamma 0 is softmax."""
    scores = np.random.default_rng(1).normal(0, 3, (9, 3))
    alpha, gamma = (0.5, 1.0, 2.0), (1.0, 2.0, 0.0)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    eta = p / (np.array(alpha) * (1 - np.array(gamma) * np.log(p) / (1 + np.exp(-scores))))
    got = fg.SoftmaxFocalLoss(alpha, gamma, modulator="sigmoid").posterior(scores)
    np.testing.assert_allclose(got, eta / eta.sum(axis=1, keepdims=True), rtol=1e-14)
    got = fg.SoftmaxFocalLoss(gamma=0.0, modulator="sigmoid").posterior(scores)
    np.testing.assert_allclose(got, p, rtol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_limits(gamma: float) -> None:
    """Infinite scores are certain; NaN stays; rows without a softmax are NaN."""
    inf, nan = np.inf, np.nan
    eta = fg.SigmoidFocalLoss(gamma=gamma).posterior([-inf, inf, nan])
    assert eta[:2].tolist() == [0, 1] and np.isnan(eta[2])
    rows = [[inf, 0, -inf], [0, 0, -inf], [nan, 0, 0], [inf, inf, 0], [-inf] * 3]
    eta = fg.SoftmaxFocalLoss(gamma=gamma).posterior(rows)
    assert eta[0].tolist() == [1, 0, 0] and eta[1].tolist() == [0.5, 0.5, 0]
    assert np.isnan(eta[2:]).all()
    assert fg.SoftmaxFocalLoss(gamma=gamma).posterior([[3.0]]).tolist() == [[1.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64])
def test_dtypes(dtype: type) -> None:
    """The scores' dtype; integers give float64."""
    scores = np.array([[1, 2, 3], [0, -1, 5]], dtype)
    for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()):
        eta = loss.posterior(scores)
        assert eta.dtype == (np.float64 if np.issubdtype(dtype, np.integer) else dtype)
        np.testing.assert_array_equal(eta, loss.posterior(scores.astype(np.float64)).astype(eta.dtype))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_and_pieces(axis: int) -> None:
    """Any class axis; large arrays go through in pieces."""
    scores = np.random.default_rng(2).normal(0, 3, (300, 4, 90))
    moved = np.moveaxis(scores, 1, axis)
    for make in (fg.SoftmaxFocalLoss, fg.SigmoidFocalLoss):
        loss = make(alpha=(0.1, 0.2, 0.3, 0.4), gamma=(0.0, 1.0, 2.0, 3.0), class_axis=axis)
        got = np.moveaxis(loss.posterior(moved), axis, 1)
        want = make(alpha=loss.alpha, gamma=loss.gamma, class_axis=-1).posterior(scores[7, :, 5][None])
        np.testing.assert_allclose(got[7, :, 5], want[0], rtol=1e-15)
    assert fg.SigmoidFocalLoss().posterior(np.zeros((0, 3))).shape == (0, 3)
    assert fg.SigmoidFocalLoss().posterior(0.0).shape == ()


def test_errors() -> None:
    """Probabilities, and what is no number."""
    for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
        refused(ValueError, ["posterior", "from_logits"], make(from_logits=False).posterior, [[0.5]])
        refused(TypeError, ["scores", "complex"], make().posterior, [[1j]])
        three = make(class_axis=1, gamma=(1.0, 2.0, 3.0))
        refused(ValueError, ["scores", "3 classes", r"\(5, 2\)"], three.posterior, np.zeros((5, 2)))
        refused(ValueError, ["scores", "class axis 1", r"\(5,\)"], three.posterior, np.zeros(5))
