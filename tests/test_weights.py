"""Do sample_weight and alpha multiply what they should, in every form that they come in?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import focalgrad as fg
from focalgrad import _reference as reference
from layouts import as_they_come
from strategies import Case, cases
from support import FLOAT_DTYPES, WEIGHT_ULPS, assert_terms, assert_within, coin, core_terms, sample


@given(cases(weighted=True))
def test_everything_agrees(case: Case) -> None:
    """Per element, for arrays of weights and single ones, negative ones and zeros."""
    loss = fg.SigmoidFocalLoss(**case.parameters, reduction="none")
    core = core_terms(loss, case.logits, case.targets, sample_weight=case.sample_weight)
    exact = reference.sigmoid_focal(
        case.logits, case.targets, **case.parameters, reduction="none", sample_weight=case.sample_weight
    )
    assert all(term.dtype == case.logits.dtype and term.shape == case.logits.shape for term in core)
    assert_terms(core, exact, extra=WEIGHT_ULPS, weights=case.sample_weight, where=case.logits)


@pytest.mark.parametrize("weight_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_large_array(dtype: type, weight_dtype: type) -> None:
    """Every pair of dtypes, over blocks and threads."""
    logits, targets = sample(100_003, dtype), coin(100_003)
    weights = np.random.default_rng(8).uniform(-1, 3, logits.shape).astype(weight_dtype)
    weights[::17] = 0
    logits, targets, weights = as_they_come(logits, targets, weights)
    exact = reference.sigmoid_focal(logits, targets, reduction="none", sample_weight=weights)
    core = core_terms(fg.SigmoidFocalLoss(reduction="none"), logits, targets, sample_weight=weights)
    assert_terms(core, exact, extra=WEIGHT_ULPS, weights=weights, where=logits)


@pytest.mark.parametrize(
    "weight",
    [3, 3.0, np.float32(3), np.float64(3), np.int64(3), np.array(3.0), np.array(3, np.float32)],
    ids=lambda weight: type(weight).__name__ + str(getattr(weight, "dtype", "")),
)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_one_number_for_all(dtype: type, weight: Any) -> None:
    """Python and NumPy numbers and 0-d arrays, under every reduction."""
    logits, targets = as_they_come(sample(1_001, dtype), coin(1_001))
    logits[~np.isfinite(logits)] = 0.5
    for reduction in ("none", "sum", "mean"):
        loss = fg.SigmoidFocalLoss(gamma=1.7, reduction=reduction)
        core = core_terms(loss, logits, targets, sample_weight=weight)
        exact = reference.sigmoid_focal(logits, targets, gamma=1.7, reduction=reduction, sample_weight=3.0)
        assert_terms(core, exact, extra=WEIGHT_ULPS, weights=3.0, where=logits)


@pytest.mark.parametrize("form", [float, lambda weight: np.full(41, weight)], ids=["number", "array"])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
class TestWideWeights:
    """Weights and denominators near the ends of the type that is computed in, and beyond float32."""

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_denominators_of_the_same_size(self, dtype: type, form: Any, sign: int) -> None:
        logits, targets = np.linspace(-5, 5, 41).astype(dtype), coin(41)
        weight = 10.0 ** (sign * (30 if dtype == np.float32 else 280))
        for normalizer, alpha in (("weights", 0.25), (41 * weight, 0.25), (41 * weight, None)):
            loss = fg.SigmoidFocalLoss(alpha, normalizer=normalizer)
            core = core_terms(loss, logits, targets, sample_weight=form(weight))
            exact = reference.sigmoid_focal(
                logits, targets, alpha=alpha, normalizer=normalizer, sample_weight=form(weight)
            )
            assert core.value == pytest.approx(exact.value, rel=1e-6 if dtype == np.float32 else 1e-14)
            assert_terms(core, exact, extra=WEIGHT_ULPS, where=logits)

    def test_small_is_not_zero(self, dtype: type, form: Any) -> None:
        logits, targets = np.full(41, -np.inf, dtype), np.ones(41)
        loss = fg.SigmoidFocalLoss(reduction="none")
        # Divided by nothing but alpha, what float32 has not becomes its smallest number.
        loss = loss.replace(alpha=None)
        assert (loss(logits, targets, sample_weight=form(1e-60)) == np.inf).all()

    def test_large_is_not_infinite(self, dtype: type, form: Any) -> None:
        logits, targets = np.full(41, np.inf, dtype), np.ones(41)
        loss = fg.SigmoidFocalLoss(reduction="none")
        for term in core_terms(loss, logits, targets, sample_weight=form(1e60)):
            assert (term == 0).all()


def test_none_is_one() -> None:
    """sample_weight=None is no weight."""
    logits, targets = as_they_come(sample(1_001, np.float32), coin(1_001))
    loss = fg.SigmoidFocalLoss(reduction="none")
    for plain, none in zip(
        core_terms(loss, logits, targets), core_terms(loss, logits, targets, sample_weight=None), strict=True
    ):
        np.testing.assert_array_equal(plain, none)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_weight_counts_copies(dtype: type) -> None:
    """Whole weights do what repeating the elements does, and under "weights" so in the mean."""
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(0, 3, 500).astype(dtype), coin(500)
    copies = rng.integers(0, 5, 500)
    repeated = np.repeat(logits, copies), np.repeat(targets, copies)
    tolerance = 4 * float(np.finfo(dtype).eps)
    for options in ({"reduction": "sum"}, {"normalizer": "weights"}):
        loss = fg.SigmoidFocalLoss(**options)
        value, gradient = loss.value_and_grad(logits, targets, sample_weight=copies.astype(dtype))
        want, repeated_gradient = loss.value_and_grad(*repeated)
        assert value == pytest.approx(want, rel=tolerance)
        sums = np.add.reduceat(np.append(repeated_gradient, 0), np.cumsum(copies) - copies)
        np.testing.assert_allclose(gradient, np.where(copies > 0, sums, 0), rtol=8 * tolerance)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_alpha_is_the_positive_share(dtype: type) -> None:
    """alpha on positives, 1 - alpha on negatives; None on neither."""
    logits = np.linspace(-5, 5, 101).astype(dtype)
    for target, weight in ((1, 0.3), (0, 0.7)):
        targets = np.full(logits.shape, target, np.uint8)
        plain = fg.sigmoid_focal_loss(logits, targets, None).astype(np.float64)
        # Two roundings here, four there, of half an ulp each; that can be a whole one of the result.
        assert_within(fg.sigmoid_focal_loss(logits, targets, 0.3), weight * plain, 6)


def test_negative_alpha_is_none() -> None:
    """torchvision's habit."""
    logits, targets = sample(1_001, np.float32), coin(1_001)
    want = fg.sigmoid_focal_loss(logits, targets, None)
    for alpha in (-1, -0.5, -1e300):
        np.testing.assert_array_equal(fg.sigmoid_focal_loss(logits, targets, alpha), want)


def test_nan_weights() -> None:
    """A NaN weight makes its element NaN, a single one all of them."""
    logits, targets = np.zeros(9), np.ones(9)
    weights = np.ones(9)
    weights[4] = np.nan
    loss = fg.SigmoidFocalLoss(reduction="none")
    for term in core_terms(loss, logits, targets, sample_weight=weights):
        assert np.isnan(term).tolist() == [i == 4 for i in range(9)]
    for term in core_terms(loss, logits, targets, sample_weight=np.nan):
        assert np.isnan(term).all()


def test_negative_weights() -> None:
    """They turn every sign."""
    logits, targets = np.linspace(-5, 5, 101), coin(101)
    loss = fg.SigmoidFocalLoss(reduction="none", alpha=None)
    plain = core_terms(loss, logits, targets)
    negative = core_terms(loss, logits, targets, sample_weight=-2.0)
    for name in plain._fields:
        np.testing.assert_array_equal(getattr(negative, name), -2 * getattr(plain, name), err_msg=name)


SHAPE = (33, 40, 17)
ODD = (0.0, -0.0, 1e-300, 1e300, -2.0, 1e-40, np.inf, np.nan)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"alpha": 0.25},
    "without positives": {"alpha": 0.0, "gamma": 1.7},
    "alpha by class": {"alpha": np.linspace(0, 1, 40), "class_axis": 1},
    "gamma by class": {"gamma": np.linspace(0.5, 3, 40), "class_axis": 1},
    "soft labels": {"alpha": 0.25, "soft_targets": "expected"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 2)], ids=str)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_broadcast_weights_have_the_bits_of_full_ones(
    dtype: type, axes: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Along any axes, ordinary weights and those that take care: zeros, subnormals, infinities."""
    rng = np.random.default_rng(20170807)
    logits, labels = sample(int(np.prod(SHAPE)), dtype).reshape(SHAPE), coin(SHAPE)
    if "soft_targets" in options:
        labels = np.where(rng.random(SHAPE) < 0.5, labels, rng.random(SHAPE)).astype(dtype)
    weights = rng.uniform(0.1, 3, [n if axis in axes else 1 for axis, n in enumerate(SHAPE)])
    odd = weights.copy()
    odd.reshape(-1)[: len(ODD)] = ODD[: odd.size]
    loss = fg.SigmoidFocalLoss(**options, reduction="none")
    for weight in (weights, odd):
        with np.errstate(all="ignore"):
            broadcast = core_terms(loss, logits, labels, sample_weight=weight)
            full = core_terms(loss, logits, labels, sample_weight=np.broadcast_to(weight, SHAPE).copy())
        for some, all_ in zip(broadcast, full, strict=True):
            np.testing.assert_array_equal(some, all_)
            assert np.array_equal(np.signbit(some[some == 0]), np.signbit(all_[all_ == 0]))


@pytest.mark.parametrize("cols", [2, 3, 5, 10, 16, 20, 33, 80, 513, 3000])
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_rows_have_the_bits_of_full_ones(cols: int, alpha: float | None, dtype: type) -> None:
    """Rows of any length, over several blocks, and with a label between 0 and 1 somewhere among them."""
    rng = np.random.default_rng(cols)
    shape = (40_000 // cols + 7, cols)
    logits, labels = rng.normal(0, 4, shape).astype(dtype), coin(shape).astype(dtype)
    soft = labels.copy()
    soft.reshape(-1)[27_001] = 0.5
    weight = rng.uniform(0.1, 3, (shape[0], 1)).astype(np.float32)
    full = np.broadcast_to(weight, shape).copy()
    loss = fg.SigmoidFocalLoss(alpha=alpha, gamma=2.0, reduction="none")
    mean = fg.SigmoidFocalLoss(alpha=alpha, gamma=2.0)
    for targets in (labels, soft, labels.astype(bool)):
        for some, all_ in zip(
            (
                *core_terms(loss, logits, targets, sample_weight=weight),
                mean(logits, targets, sample_weight=weight),
            ),
            (
                *core_terms(loss, logits, targets, sample_weight=full),
                mean(logits, targets, sample_weight=full),
            ),
            strict=True,
        ):
            np.testing.assert_array_equal(some, all_)
    in_place = logits.copy()
    grad = loss.grad(in_place, soft, sample_weight=weight, out=in_place)
    np.testing.assert_array_equal(grad, loss.grad(logits, soft, sample_weight=full))
