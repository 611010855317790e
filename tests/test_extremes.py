"""What happens at zeros, infinities, NaN, subnormal and huge logits, and at targets beside 0 and 1?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from focalgrad import _reference as reference
from layouts import as_they_come
from support import (
    FLOAT_DTYPES,
    GAMMAS,
    HESSIANS,
    TARGET_DTYPES,
    Core,
    assert_terms,
    core_terms,
    same_bits,
)

INF, NAN = np.inf, np.nan
# Long enough for whole vectors of any instruction set, and a tail.
LENGTH = 41


def terms_at(
    number: float, target: float, dtype: type, gamma: float = 2.0, alpha: float | None = None
) -> Core:
    """Terms of an array that holds one logit only, reduced to that one."""
    loss = fg.SigmoidFocalLoss(alpha, gamma, reduction="none")
    core = core_terms(loss, *as_they_come(np.full(LENGTH, number, dtype), np.full(LENGTH, target, dtype)))
    for term in core:
        assert same_bits(term, np.full(LENGTH, term[0]))
    return Core(*(term[0] for term in core))


@pytest.mark.parametrize("gamma", [*GAMMAS, 0.1])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
class TestInfinities:
    """Limits, not NaN."""

    def test_infinitely_right(self, dtype: type, gamma: float) -> None:
        for logit, target in ((INF, 1), (-INF, 0)):
            assert terms_at(logit, target, dtype, gamma) == (0, 0, 0, 0, 0)

    def test_infinitely_wrong(self, dtype: type, gamma: float) -> None:
        assert terms_at(-INF, 1, dtype, gamma) == (INF, -1, 0, 0, 0)
        assert terms_at(INF, 0, dtype, gamma) == (INF, 1, 0, 0, 0)

    def test_huge(self, dtype: type, gamma: float) -> None:
        for huge in (1e4, 1e30, 3e38 if dtype == np.float32 else 1e300, float(np.finfo(dtype).max)):
            huge = float(dtype(huge))
            assert terms_at(huge, 1, dtype, gamma) == (0, 0, 0, 0, 0)
            assert terms_at(-huge, 0, dtype, gamma) == (0, 0, 0, 0, 0)
            assert terms_at(-huge, 1, dtype, gamma) == (huge, -1, 0, 0, 0)
            assert terms_at(huge, 0, dtype, gamma) == (huge, 1, 0, 0, 0)

    def test_nan(self, dtype: type, gamma: float) -> None:
        for nan in (NAN, -NAN):
            for target in (0, 1):
                assert np.isnan(terms_at(nan, target, dtype, gamma)).all()

    def test_gradient_is_weighted_at_infinity(self, dtype: type, gamma: float) -> None:
        assert terms_at(-INF, 1, dtype, gamma, alpha=0.25).gradient == -0.25
        assert terms_at(INF, 0, dtype, gamma, alpha=0.25).gradient == 0.75


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_zero_has_no_sign(dtype: type, gamma: float) -> None:
    """Logits of +0.0, -0.0 and the smallest numbers give one value; a target of -0.0 is 0."""
    for target in (0, 1):
        plus = terms_at(0.0, target, dtype, gamma)
        assert plus == terms_at(-0.0, target, dtype, gamma)
        tiny = float(np.finfo(dtype).smallest_subnormal)
        for near in (tiny, -tiny, tiny * 1e3, float(np.finfo(dtype).tiny)):
            np.testing.assert_allclose(
                terms_at(near, target, dtype, gamma), plus, rtol=4 * np.finfo(dtype).eps
            )
    assert terms_at(0.3, -0.0, dtype, gamma) == terms_at(0.3, 0.0, dtype, gamma)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_far_out(dtype: type, gamma: float) -> None:
    """Wherever exponentials under- or overflow, in small steps, with both targets."""
    top = 120 if dtype == np.float32 else 800
    logits = np.concatenate([np.linspace(-top, top, 20_011), np.linspace(-1e4, 1e4, 4_001)]).astype(dtype)
    for target in (0, 1):
        targets = np.full(logits.shape, target, np.uint8)
        exact = reference.sigmoid_focal(logits, targets, alpha=None, gamma=gamma, reduction="none")
        loss = fg.SigmoidFocalLoss(None, gamma, reduction="none")
        core = core_terms(loss, *as_they_come(logits, targets))
        assert all(np.isfinite(term).all() for term in core)
        assert_terms(core, exact, where=logits)


@pytest.mark.parametrize("position", [0, 1, 7, 8, 31, 32, 39, 40])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_nan_stays_in_its_element(dtype: type, position: int) -> None:
    """The neighbours in the vector have the values that they have without it."""
    logits, targets = np.linspace(-3, 3, LENGTH).astype(dtype), (np.arange(LENGTH) % 2).astype(dtype)
    loss = fg.SigmoidFocalLoss(reduction="none", gamma=1.7)
    clean = core_terms(loss, logits, targets)
    for broken in ("logits", "targets", "sample_weight"):
        arrays = {"logits": logits.copy(), "targets": targets.copy(), "sample_weight": np.ones(LENGTH, dtype)}
        arrays[broken][position] = NAN
        arrays = dict(zip(arrays, as_they_come(*arrays.values()), strict=True))
        for got, want in zip(core_terms(loss, **arrays), clean, strict=True):
            assert np.isnan(got[position])
            np.testing.assert_array_equal(np.delete(got, position), np.delete(want, position))


@pytest.mark.parametrize("target", [0.5, 2.0, -1.0, NAN, INF, -INF, 1e-45, 1 - 2**-24, 1 + 2**-23, 255.0])
@pytest.mark.parametrize("target_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_targets_beside_zero_and_one(dtype: type, target_dtype: type, target: float) -> None:
    """What such a float target makes of its own element does not matter to any other."""
    logits, targets = np.linspace(-2, 2, LENGTH).astype(dtype), np.ones(LENGTH, target_dtype)
    loss = fg.SigmoidFocalLoss(reduction="none")
    clean = core_terms(loss, logits, targets)
    targets[::3] = target
    for got, want in zip(core_terms(loss, *as_they_come(logits, targets)), clean, strict=True):
        if np.isnan(target):
            assert np.isnan(got[::3]).all()
        np.testing.assert_array_equal(np.delete(got, np.s_[::3]), np.delete(want, np.s_[::3]))


@pytest.mark.parametrize("target", [1e-300, 5e-324, 1 - 2**-53])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_targets_next_to_labels(dtype: type, target: float) -> None:
    """What is next to 0 or 1 gives what 0 or 1 does, but for rounding."""
    logits = np.linspace(-3, 3, LENGTH).astype(dtype)
    loss = fg.SigmoidFocalLoss(reduction="none")
    label = core_terms(loss, logits, np.full(LENGTH, round(target)))
    for got, want in zip(core_terms(loss, logits, np.full(LENGTH, target)), label, strict=True):
        np.testing.assert_allclose(got, want, rtol=40 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("target", [2, 3, 128, 255])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_integer_targets_beside_zero_and_one(dtype: type, target: int) -> None:
    """Integers are held to the same."""
    logits, targets = np.linspace(-2, 2, LENGTH).astype(dtype), np.ones(LENGTH, np.uint8)
    targets[::3] = target
    for term in core_terms(fg.SigmoidFocalLoss(reduction="none"), *as_they_come(logits, targets)):
        assert np.isnan(term[::3]).all()
        assert not np.isnan(np.delete(term, np.s_[::3])).any()


@pytest.mark.parametrize("target_dtype", TARGET_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
class TestZeroWeights:
    """A zero weight turns inf into +0.0, and never hides NaN."""

    def test_sample_weight(self, dtype: type, target_dtype: type) -> None:
        logits, targets = np.array([-INF, INF, -INF, NAN], dtype), np.array([1, 0, 1, 1], target_dtype)
        for weights in (np.array([0, 0, -0.0, 0], dtype), 0.0, 0, np.float32(0)):
            core = core_terms(fg.SigmoidFocalLoss(reduction="none"), logits, targets, sample_weight=weights)
            assert core.value[:3].tolist() == [0, 0, 0] and not np.signbit(core.value[:3]).any()
            for term in core:
                assert (term[:3] == 0).all() and np.isnan(term[3])

    @pytest.mark.parametrize("weight", [None, 1.0, 2.5])
    def test_alpha(self, dtype: type, target_dtype: type, weight: float | None) -> None:
        for alpha, logits, target in ((0, [-INF, NAN], 1), (1, [INF, NAN], 0)):
            targets = np.full(2, target, target_dtype)
            loss = fg.SigmoidFocalLoss(alpha, reduction="none")
            core = core_terms(loss, np.array(logits, dtype), targets, sample_weight=weight)
            assert core.value[0] == 0 and not np.signbit(core.value[0])
            for term in core:
                assert term[0] == 0 and np.isnan(term[1])

    def test_the_sum_stays_finite(self, dtype: type, target_dtype: type) -> None:
        logits, targets = np.array([-INF, 0.0], dtype), np.array([1, 1], target_dtype)
        loss = fg.SigmoidFocalLoss(None, 0, reduction="sum")
        weights = np.array([0, 1], dtype)
        assert loss(logits, targets, sample_weight=weights) == pytest.approx(np.log(2), rel=1e-6)
        assert loss(logits, targets) == INF


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_infinity_and_nan_reach_the_reduced_value(dtype: type) -> None:
    """Wherever they stand, also behind many ordinary elements."""
    for size in (1, 50, 30_000):
        targets = np.ones(size, np.uint8)
        for reduction in ("sum", "mean"):
            loss = fg.SigmoidFocalLoss(reduction=reduction)
            for position in {0, size // 2, size - 1}:
                logits = np.zeros(size, dtype)
                logits[position] = -INF
                logits, targets = as_they_come(logits, targets)
                assert loss(logits, targets) == INF
                assert loss(logits, targets, sample_weight=-1.0) == -INF
                logits[position] = NAN
                assert np.isnan(loss(logits, targets))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_infinities_of_both_signs_sum_to_nan(dtype: type) -> None:
    """As in any sum."""
    logits, weights = np.full(2, -INF, dtype), np.array([1, -1], dtype)
    assert np.isnan(fg.SigmoidFocalLoss(reduction="sum")(logits, np.ones(2, dtype), sample_weight=weights))


ROWS = {"targets": [0, 1, 1], "rows": [[-INF, 0.0, 1.0], [0.0, 1.0, 2.0], [0.5, -1.0, -INF]]}


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.0, 5.0, 18.0, 30.0])
@pytest.mark.parametrize("modulator", [None, "softmax", "sigmoid"])
def test_a_tiny_sum_of_factors(modulator: str | None, gamma: float) -> None:
    """Every example is easy: over the sum of the factors, derivatives stay finite and keep their size."""
    for dtype, bits in ((np.float16, 140), (np.float32, 130), (np.float32, 140), (np.float64, 1060)):
        margins = np.array([1.0, 1.06]) * (bits * np.log(2) / gamma)
        options: dict[str, Any] = {"alpha": None, "gamma": gamma, "normalizer": "focal_weights"}
        if modulator is None:
            loss: Any = fg.SigmoidFocalLoss(**options)
            logits, targets = margins.astype(dtype), np.ones(2)
        else:
            loss = fg.SoftmaxFocalLoss(modulator=modulator, **options)
            logits, targets = np.column_stack([margins, 0 * margins]).astype(dtype), np.zeros(2, int)
        gradient, hessian = loss.grad_and_hess(logits, targets)
        assert np.isfinite(gradient).all(), dtype
        if dtype != np.float64:
            assert np.isfinite(hessian).all(), dtype
            # As far as float32 holds the sums: an example's own slope is at most 1 + gamma times its loss.
            want = loss.grad(logits.astype(np.float64), targets)
            np.testing.assert_allclose(gradient, want, rtol=0, atol=10 * gamma * np.abs(want).max())


@pytest.mark.parametrize("kind", HESSIANS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_huge_weight(dtype: type, kind: Any) -> None:
    """The Hessian is held times a power of two on its way: that must not make it infinite."""
    weight = float(np.finfo(dtype).max) / 8
    for gamma in (0.0, 1.0, 1.7, 2.0, 3.0):
        for loss, logits, targets in (
            (fg.SigmoidFocalLoss(None, gamma, reduction="sum"), np.array([0.25, -1, 3, -20]), [1, 1, 0, 1]),
            (fg.SoftmaxFocalLoss(None, gamma, reduction="sum"), np.array([[0.25, 1], [1, -3]]), [0, 1]),
        ):
            gradient, hessian = loss.grad_and_hess(logits.astype(dtype), targets, hessian=kind)
            weighted = loss.grad_and_hess(logits.astype(dtype), targets, sample_weight=weight, hessian=kind)
            np.testing.assert_allclose(weighted[0] / weight, gradient, rtol=1e-6)
            np.testing.assert_allclose(weighted[1] / weight, hessian, rtol=1e-6)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_dense_rows_of_a_huge_weight(dtype: type) -> None:
    loss = fg.SoftmaxFocalLoss(reduction="sum", label_smoothing=0.1)
    rows, weight = np.array([[0.25, 0.75], [3, -2]], dtype), float(np.finfo(dtype).max) / 8
    want = loss.grad(rows, [0, 1]) * weight
    np.testing.assert_allclose(loss.grad(rows, [0, 1], sample_weight=weight), want, rtol=1e-5)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_tiny_normalizer(dtype: type) -> None:
    """What it divides stays 0 if it is 0, and never becomes NaN; the same with a bound for the Hessian."""
    logits, targets = np.array([0.5, INF, -INF, 800.0], dtype), np.array([1, 1, 0, 1])
    for normalizer in (5e-324, 1e-310):
        for loss in (fg.SigmoidFocalLoss(normalizer=normalizer), fg.SoftmaxFocalLoss(normalizer=normalizer)):
            softmax = isinstance(loss, fg.SoftmaxFocalLoss)
            rows = np.column_stack([logits, 0 * targets]).astype(dtype) if softmax else logits
            labels = 1 - targets if softmax else targets
            for kind in ("exact", "gauss_newton", "upper"):
                for term in loss.grad_and_hess(rows, labels, hessian=kind):
                    assert not np.isnan(term).any()
                    assert (term[1:] == 0).all() and (term[0] != 0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, (0.0, 2.0, 1.0)])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("modulator", ["softmax", "sigmoid"])
def test_an_infinite_quotient(modulator: str, dtype: type, gamma: Any) -> None:
    """A modulating factor that does not change contributes nothing, also to an infinite value."""
    loss = fg.SoftmaxFocalLoss(None, gamma, normalizer="focal_weights", modulator=modulator)
    rows, targets = np.array(ROWS["rows"], dtype), np.array(ROWS["targets"])
    value, grad = loss.value_and_grad(rows, targets)
    want = reference.evaluate(loss, rows, targets)
    assert value == want.value == INF
    np.testing.assert_allclose(grad[0], want.gradient[0], rtol=1e-5)
    assert not np.isnan(grad[np.arange(3), targets]).any()
    if np.ndim(gamma) == 0:
        binary = fg.SigmoidFocalLoss(None, gamma, normalizer="focal_weights")
        x, y = np.array([-INF, 0.0, 1.0], dtype), np.array([1, 0, 1])
        value, grad = binary.value_and_grad(x, y)
        assert value == INF
        np.testing.assert_allclose(grad, reference.evaluate(binary, x, y).gradient, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, (0.0, 2.0, 1.0)])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_classes_of_probability_zero(dtype: type, gamma: Any) -> None:
    """The second derivative there is infinite for the target, and nothing for other classes."""
    loss = fg.SoftmaxFocalLoss(None, gamma, from_logits=False, reduction="none")
    p = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]], dtype)
    targets = np.array([0, 1, 0, 1])
    for y in (targets, np.eye(3)[targets]):
        grad, hess = loss.grad_and_hess(p, y)
        want = reference.evaluate(loss, p, y)
        np.testing.assert_allclose(grad, want.gradient, rtol=1e-5)
        np.testing.assert_allclose(hess, want.hessian, rtol=1e-5)
        assert hess[2, 0] == hess[3, 1] == INF


@pytest.mark.parametrize("gamma", [1.0, 1.7, 3.0, 5.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("loss", [fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss])
def test_factors_that_float32_has_not(loss: Any, dtype: type, gamma: float) -> None:
    """Value, derivatives and meters over a sum of factors that float32 has no digits for, or takes for 0."""
    for bits in (70, 140, 160, 400):
        margins = np.array([1.0, 1.1, 1.02]) * (bits * np.log(2) / gamma)
        rows = margins if loss is fg.SigmoidFocalLoss else np.column_stack([margins, 0 * margins])
        logits = rows.astype(dtype)
        targets = np.ones(3) if loss is fg.SigmoidFocalLoss else np.zeros(3, int)
        made = loss(None, gamma, normalizer="focal_weights")
        value, gradient = made.value_and_grad(logits, targets)
        wide = logits.astype(np.float64)
        want = reference.evaluate(made, wide, targets)
        assert want.value > 0
        np.testing.assert_allclose(value, want.value, rtol=1e-6)
        rounding = {np.float16: 2e-3, np.float32: 1e-5}[dtype]
        smallest = float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(gradient, want.gradient, rtol=rounding, atol=smallest)
        meter = fg.FocalLossMeter(made)
        meter.update(logits, targets)
        assert meter.compute() == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.7, 2.0, 4.0])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_nan_beside_factors_of_zero(dtype: type, gamma: float) -> None:
    """A modulating factor of a NaN logit is no 0."""
    sigmoid = fg.SigmoidFocalLoss(None, gamma, normalizer="focal_weights")
    assert np.isnan(sigmoid(np.array([NAN, INF], dtype), [1, 1]))
    one_class = fg.SoftmaxFocalLoss(None, gamma, normalizer="focal_weights")
    assert np.isnan(one_class(np.array([[NAN], [1.0]], dtype), [0, 0]))
    assert np.isnan(one_class.replace(gamma=[gamma])(np.array([[NAN], [1.0]], dtype), [0, 0]))
    value, gradient = sigmoid.value_and_grad(np.array([NAN, 1.0], dtype), [1, 1])
    assert np.isnan(value) and np.isnan(gradient).all()


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_modulator_beside_an_infinite_logit(dtype: type) -> None:
    """The other classes see a cross entropy of the weight that the target's own logit gives."""
    loss = fg.SoftmaxFocalLoss(None, 0.5, reduction="sum", modulator="sigmoid")
    for rows in ([[INF, -8.25, -0.18]], [[INF, 0.0, 3.0]], [[0.0, 1.0, -INF]], [[INF, 0.0, -INF]]):
        logits = np.array(rows, dtype)
        want = reference.evaluate(loss, logits, [2])
        gradient, hessian = loss.grad_and_hess(logits, [2])
        assert loss(logits, [2]) == want.value == INF
        np.testing.assert_allclose(gradient, want.gradient, rtol=1e-6)
        np.testing.assert_allclose(hessian, want.hessian, rtol=1e-6)
    # The loss wins over a factor that is too small for a number.
    value, gradient = loss.value_and_grad(np.array([[INF, 0.0, 2000.0]], dtype), [2])
    assert value == INF and not np.isnan(gradient).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_modulator_of_a_huge_loss(dtype: type) -> None:
    """The Hessian is finite where the loss is larger than the square root of the largest number."""
    loss = fg.SoftmaxFocalLoss(None, 0.5, reduction="sum", modulator="sigmoid")
    huge = float(np.finfo(dtype).max) / 8
    logits = np.array([[huge, 0.0, 1.5]], dtype)
    hessian = loss.grad_and_hess(logits, [2])[1]
    np.testing.assert_allclose(hessian, reference.evaluate(loss, logits, [2]).hessian, rtol=1e-5)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_dense_rows_of_an_infinite_quotient(dtype: type) -> None:
    """Where factors do not change with the logits, an infinite value does not show in derivatives."""
    loss = fg.SoftmaxFocalLoss(None, 2.0, normalizer="focal_weights", label_smoothing=0.1)
    for rows, targets in (([[0.0, INF]], [0]), ([[0.0, INF, 3.0]], [0])):
        logits = np.array(rows, dtype)
        want = reference.evaluate(loss, logits, targets)
        gradient, hessian = loss.grad_and_hess(logits, targets)
        np.testing.assert_allclose(gradient, want.gradient, rtol=1e-6)
        np.testing.assert_allclose(hessian, want.hessian, rtol=1e-6)
