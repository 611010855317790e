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
from support import Array, refused, same_bits, ulp

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


def assert_close(got: Array, exact: Array, limit: float = 10.0) -> None:
    """Within so many ulps of the probability, and of 1 less it but for a last rounding."""
    dtype = got.dtype
    off = np.abs(got.astype(np.float64) - exact)
    nearest = np.where(exact < 0.5, 0.0, 0.5 * ulp(exact, dtype))
    allowed = limit * np.minimum(ulp(exact, dtype), np.where(exact < 0.5, np.inf, ulp(1 - exact, dtype)))
    allowed = np.maximum(allowed, 1.5 * np.where(exact < 0.5, 0.0, ulp(exact, dtype)))
    same = (np.isnan(got) & np.isnan(exact)) | (off <= nearest + allowed)
    worst = np.argmax(np.where(same, -1.0, off / allowed))
    assert same.all(), f"{got.ravel()[worst]!r}, expected {exact.ravel()[worst]!r}"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.999, 1e-30])
@pytest.mark.parametrize("gamma", [*GAMMAS, 3.0, 1.7])
def test_sigmoid_ulps(gamma: float, alpha: float | None, smoothing: float) -> None:
    """Float32 against the definition in float64, over all sizes of scores."""
    rng = np.random.default_rng(5)
    scores = np.concatenate(
        [rng.normal(0, 3, 20_000), rng.normal(0, 40, 5000), 2.0 ** rng.uniform(-140, 7, 2000)]
    )
    scores = scores.astype(np.float32)
    loss = fg.SigmoidFocalLoss(alpha, gamma, label_smoothing=smoothing)
    exact = reference.posterior(loss, scores)
    if smoothing:
        # What is left of it near the ends is a difference.
        np.testing.assert_allclose(loss.posterior(scores), exact, rtol=2e-6, atol=2e-7)
    else:
        assert_close(loss.posterior(scores), exact)


@pytest.mark.parametrize("alpha", [None, 0.25, 1e-300])
@pytest.mark.parametrize("gamma", [*GAMMAS, 3.0])
def test_sigmoid_ulps_of_float64(gamma: float, alpha: float | None) -> None:
    """Against mpmath."""
    scores = np.random.default_rng(6).normal(0, 6, 300)
    got = fg.SigmoidFocalLoss(alpha, gamma).posterior(scores)
    with mpmath.workdps(60):
        heads, tails = (mp.mpf(1), mp.mpf(1)) if alpha is None else (mp.mpf(alpha), 1 - mp.mpf(alpha))
        for z, found in zip(map(mp.mpf, scores), got, strict=True):
            odds = tails * oracle.closed(-z, gamma)[1] / (heads * oracle.closed(z, gamma)[1])
            eta = odds / (1 + odds)
            small = min(eta, 1 - eta)
            unit = float(ulp(float(small), np.float64)) * 10 + float(ulp(float(eta), np.float64)) * (
                eta > 0.5
            )
            assert abs(mp.mpf(float(found)) - eta) <= unit


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 33, 100, 300])
@pytest.mark.parametrize("gamma", [*GAMMAS, 1.7])
def test_softmax_ulps(gamma: float, classes: int) -> None:
    """Float32 rows of few and of many classes; they sum to 1."""
    rng = np.random.default_rng(7)
    rows = max(2, 400 // classes)
    scores = np.concatenate([rng.normal(0, s, (rows, classes)) for s in (0.1, 1, 5, 30)]).astype(np.float32)
    scores[::7] += 300
    for options in ({}, {"alpha": tuple(np.linspace(0.5, 2, classes))}, {"modulator": "sigmoid"}):
        loss = fg.SoftmaxFocalLoss(gamma=gamma, **options)
        eta = loss.posterior(scores)
        assert_close(eta, reference.posterior(loss, scores))
        total = eta.astype(np.float64).sum(axis=1)
        assert (np.abs(total - 1) <= classes * np.finfo(np.float32).eps).all()


@pytest.mark.parametrize("classes", [3, 40, 130])
def test_softmax_by_class(classes: int) -> None:
    """Alphas and gammas of each class, large ones too; alphas of 0."""
    rng = np.random.default_rng(8)
    scores = rng.normal(0, 4, (40, classes))
    gamma = tuple(rng.choice([0.0, 0.5, 1.0, 2.0, 30.0, 1e4], classes))
    loss = fg.SoftmaxFocalLoss(tuple(rng.uniform(0.1, 9, classes)), gamma)
    np.testing.assert_allclose(
        loss.posterior(scores), reference.posterior(loss, scores), rtol=1e-10, atol=1e-300
    )
    none = fg.SoftmaxFocalLoss((0.0, *[1.0] * (classes - 1)), 2.0)
    assert (none.posterior(scores)[:, 0] == 1).all() and not none.posterior(scores)[:, 1:].any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64])
def test_dtypes(dtype: type) -> None:
    """The scores' dtype; integers give float64."""
    scores = np.array([[1, 2, 3], [0, -1, 5]], dtype)
    for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()):
        eta = loss.posterior(scores)
        assert eta.dtype == (np.float64 if np.issubdtype(dtype, np.integer) else dtype)
        assert_close(eta, loss.posterior(scores.astype(np.float64)))


LOSSES = (
    fg.SigmoidFocalLoss(),
    fg.SigmoidFocalLoss(gamma=1.7, label_smoothing=0.1),
    fg.SigmoidFocalLoss((0.1, 0.5, 0.9, 1.0), (0.0, 1.0, 2.0, 5.0), class_axis=1),
    fg.SoftmaxFocalLoss(class_axis=1),
    fg.SoftmaxFocalLoss((0.1, 0.5, 0.9, 1.0), (0.0, 1.0, 2.0, 5.0), class_axis=1, label_smoothing=0.1),
    fg.SoftmaxFocalLoss(modulator="sigmoid", class_axis=1),
)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_layouts_outputs_and_threads(loss: Any, dtype: type) -> None:
    """The same bits however scores and results lie, in place too, for any number of threads."""
    scores = (np.random.default_rng(9).normal(0, 3, (130, 4, 101)) * 2).astype(dtype)
    want = loss.posterior(scores)
    assert want.flags.c_contiguous and not np.isnan(want).any()
    for other in (np.asfortranarray(scores), scores[::-1].copy()[::-1], np.repeat(scores, 2, 2)[:, :, ::2]):
        assert same_bits(loss.posterior(other), want)
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(scores, 1, -1)), -1, 1)
    assert same_bits(loss.posterior(turned), want)
    out = np.full(want.shape[::-1], 777, want.dtype).T
    assert loss.posterior(scores, out=out) is out
    assert same_bits(out, want)
    if want.dtype == dtype:
        own = scores.copy()
        assert loss.posterior(own, out=own) is own
        assert same_bits(own, want)
    for number in (1, 2, 5):
        with fg.num_threads(number):
            assert same_bits(loss.posterior(scores), want)
    row = loss.posterior(scores[7:8, :, 50:51])
    assert same_bits(row, want[7:8, :, 50:51])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_outputs_that_are_refused(loss: Any) -> None:
    scores = np.zeros((5, 4, 6), np.float32)
    refused(
        TypeError, ["^out must be", "float64", "float32"], loss.posterior, scores, out=np.zeros((5, 4, 6))
    )
    refused(
        ValueError, ["^out must be", r"\(5, 4\)"], loss.posterior, scores, out=np.zeros((5, 4), np.float32)
    )
    refused(TypeError, ["^out must be", "list"], loss.posterior, scores, out=[0.0])
    home = np.zeros((6, 4, 6), np.float32)
    refused(ValueError, ["out overlaps scores"], loss.posterior, home[:5], out=home[1:])
    frozen = np.zeros((5, 4, 6), np.float32)
    frozen.flags.writeable = False
    refused(ValueError, ["^out must be", "read-only"], loss.posterior, scores, out=frozen)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_and_pieces(axis: int) -> None:
    """Any class axis; large arrays go through in pieces."""
    scores = np.random.default_rng(2).normal(0, 3, (300, 4, 90))
    moved = np.moveaxis(scores, 1, axis)
    for make in (fg.SoftmaxFocalLoss, fg.SigmoidFocalLoss):
        loss = make(alpha=(0.1, 0.2, 0.3, 0.4), gamma=(0.0, 1.0, 2.0, 3.0), class_axis=axis)
        got = np.moveaxis(loss.posterior(moved), axis, 1)
        want = make(alpha=loss.alpha, gamma=loss.gamma, class_axis=-1).posterior(scores[7, :, 5][None])
        np.testing.assert_array_equal(got[7, :, 5], want[0])
    assert fg.SigmoidFocalLoss().posterior(np.zeros((0, 3))).shape == (0, 3)
    assert fg.SigmoidFocalLoss().posterior(0.0).shape == ()


def test_errors() -> None:
    """Probabilities, and what is no number."""
    for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
        refused(ValueError, ["^from_logits", "posterior"], make(from_logits=False).posterior, [[0.5]])
        refused(TypeError, ["scores", "complex"], make().posterior, [[1j]])
        three = make(class_axis=1, gamma=(1.0, 2.0, 3.0))
        refused(ValueError, ["scores", "3 classes", r"\(5, 2\)"], three.posterior, np.zeros((5, 2)))
        refused(ValueError, ["class_axis", "scores", r"\(5,\)"], three.posterior, np.zeros(5))


@pytest.mark.parametrize("gamma", [0.0, 1.7, 2.0])
def test_rows_without_a_softmax_are_nan(gamma: float) -> None:
    """No score above minus infinity, two that are infinite, or a NaN; whatever gamma."""
    loss = fg.SoftmaxFocalLoss(gamma=gamma)
    low, high, nan = -np.inf, np.inf, np.nan
    for row in ([low], [nan], [low, low], [high, high], [high, 0, high], [0, nan], [low, nan, high]):
        assert np.isnan(loss.posterior([row])).all(), row
    np.testing.assert_array_equal(loss.posterior([[high], [0.0], [-1e308]]), 1)
