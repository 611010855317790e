"""Are sums exact, means divided by what was asked for, and derivatives those of the reduced value?"""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from focalgrad import _reference as reference
from layouts import as_they_come
from strategies import Case, cases
from support import (
    FLOAT_DTYPES,
    REFERENCE_ULPS,
    VALUE_ULPS,
    WEIGHT_ULPS,
    Array,
    assert_terms,
    coin,
    core_terms,
    same_bits,
    sample,
    ulp,
)

NORMALIZERS = (None, "positives", "weights", 3.7, 1000)
REDUCTIONS = [("sum", None), *(("mean", normalizer) for normalizer in NORMALIZERS)]


def finite_sample(size: int, dtype: type) -> Array:
    """Logits without infinities and NaN."""
    logits = sample(size, dtype)
    logits[~np.isfinite(logits)] = 0.5
    return logits


@given(cases(weighted=True, finite=True, negative=False), st.sampled_from(REDUCTIONS))
def test_everything_agrees(case: Case, reduction: tuple[str, Any]) -> None:
    """Value and derivatives of every reduction and normaliser."""
    arrays = {"logits": case.logits, "targets": case.targets, "sample_weight": case.sample_weight}
    options = {**case.parameters, "reduction": reduction[0], "normalizer": reduction[1]}
    exact = reference.sigmoid_focal(**arrays, **options)
    core = core_terms(fg.SigmoidFocalLoss(**options), **arrays)
    assert type(core.value) is float

    y = case.targets.astype(np.float64)
    weights = reference.alpha_weights(y, case.alpha) * case.sample_weight
    named = {None: y.size, "positives": np.sum(y), "weights": np.sum(weights)}
    divisor = named.get(reduction[1], reduction[1]) if reduction[0] == "mean" else 1.0
    share = 1 / divisor if divisor else 0.0
    # Each term keeps the promise, and adding them up in float64 costs next to nothing.
    dtype = case.logits.dtype
    values = reference.sigmoid_focal(**arrays, **case.parameters, reduction="none").value
    units = ulp(np.fmax(np.abs(values), weights * np.finfo(dtype).tiny), dtype)
    each = VALUE_ULPS + WEIGHT_ULPS + REFERENCE_ULPS[dtype]
    allowed = each * float(np.sum(units)) + 1e-13 * float(np.sum(np.abs(values)))
    assert abs(core.value - exact.value) <= share * allowed
    assert_terms(core, exact, extra=WEIGHT_ULPS, weights=weights * share, where=case.logits)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("reduction", "normalizer"), REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_a_large_array(dtype: type, reduction: str, normalizer: Any, weighted: bool) -> None:
    """Over blocks and threads."""
    weights = np.random.default_rng(3).uniform(0, 2, 200_003).astype(dtype)
    arrays = as_they_come(finite_sample(200_003, dtype), coin(200_003, np.bool_), weights)
    logits, targets, weights = arrays if weighted else (*arrays[:2], None)
    options = {"alpha": 0.3, "gamma": 1.7, "reduction": reduction, "normalizer": normalizer}
    exact = reference.sigmoid_focal(logits, targets, **options, sample_weight=weights)
    core = core_terms(fg.SigmoidFocalLoss(**options), logits, targets, sample_weight=weights)
    assert type(core.value) is float
    # Errors of single values do not add up, but cancel.
    assert core.value == pytest.approx(exact.value, rel=1e-7 if dtype == np.float32 else 1e-14)
    assert_terms(core, exact, extra=WEIGHT_ULPS, weights=1 if weights is None else weights, where=logits)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 100, 4_099, 1_000_003])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_sums_are_float64(dtype: type, size: int, weighted: bool) -> None:
    """To 1e-13 of the exact sum of the very values that "none" returns, whatever the dtype."""
    weights = np.random.default_rng(3).uniform(0, 2, size).astype(dtype)
    arrays = as_they_come(finite_sample(size, dtype), coin(size), weights)
    logits, targets, weights = arrays if weighted else (*arrays[:2], None)
    loss = fg.SigmoidFocalLoss(reduction="none")
    exact = math.fsum(loss(logits, targets, sample_weight=weights).astype(np.float64))
    total = loss.replace(reduction="sum")(logits, targets, sample_weight=weights)
    assert abs(total - exact) <= 1e-13 * exact
    mean = loss.replace(reduction="mean")(logits, targets, sample_weight=weights)
    assert abs(mean - total / size) <= 4e-16 * mean


def test_small_terms_survive_large_ones() -> None:
    """A float32 accumulator would lose a million small losses behind one large."""
    logits, targets = np.zeros(1_000_001, np.float32), np.ones(1_000_001, np.uint8)
    small = float(fg.sigmoid_focal_loss(logits[:1], targets[:1], None, 0)[0])
    logits[0] = -1e9
    total = fg.SigmoidFocalLoss(None, 0, reduction="sum")(logits, targets)
    assert total == pytest.approx(1e9 + 1e6 * small, rel=1e-13)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_denominators(dtype: type) -> None:
    """Each normaliser divides the sum by the number that it names."""
    weights = np.random.default_rng(3).uniform(0, 2, 10_007).astype(dtype)
    logits, targets, weights = as_they_come(finite_sample(10_007, dtype), coin(10_007), weights)
    alphas = np.where(targets == 1, 0.3, 0.7)
    loss = fg.SigmoidFocalLoss(0.3, reduction="sum")
    for sample_weight in (None, weights, 2.5):
        total = loss(logits, targets, sample_weight=sample_weight)
        each = alphas * (1.0 if sample_weight is None else sample_weight)
        for normalizer, denominator in (
            (None, 10_007),
            ("positives", int(targets.sum())),
            ("weights", math.fsum(each)),
            (0.7, 0.7),
            (10**6, 1e6),
        ):
            mean = loss.replace(reduction="mean", normalizer=normalizer)(
                logits, targets, sample_weight=sample_weight
            )
            assert mean == pytest.approx(total / denominator, rel=1e-13), normalizer


@pytest.mark.parametrize("target_dtype", [np.bool_, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_537, 300_007])
def test_positives_are_counted(target_dtype: type, size: int) -> None:
    """All of them, exactly, beyond what a byte or one block holds."""
    loss = fg.SigmoidFocalLoss(None, 0, normalizer="positives")
    value = loss(np.zeros(size, np.float32), np.ones(size, target_dtype))
    assert value == pytest.approx(float(np.float32(np.log(2))), rel=1e-7)
    if size > 1:
        targets = np.zeros(size, target_dtype)
        targets[-1] = 1
        assert loss(np.zeros(size, np.float32), targets) == pytest.approx(size * np.log(2), rel=1e-7)


@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_none_has_the_derivatives_of_the_sum(dtype: type, reduction: str) -> None:
    """Bit for bit."""
    logits, targets = as_they_come(sample(5_003, dtype), coin(5_003))
    none = core_terms(fg.SigmoidFocalLoss(reduction="none"), logits, targets)
    total = core_terms(fg.SigmoidFocalLoss(reduction="sum"), logits, targets)
    assert all(same_bits(a, b) for a, b in zip(none[1:], total[1:], strict=True))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 0, 2)])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_empty(dtype: type, shape: tuple[int, ...]) -> None:
    """Nothing costs 0.0, under every reduction, and has an empty gradient."""
    logits, targets = as_they_come(np.empty(shape, dtype), np.empty(shape, np.uint8))
    for reduction, normalizer in REDUCTIONS:
        core = core_terms(fg.SigmoidFocalLoss(reduction=reduction, normalizer=normalizer), logits, targets)
        assert type(core.value) is float and core.value == 0.0
        assert all(term.shape == shape and term.dtype == dtype for term in core[1:])
        weighted = fg.SigmoidFocalLoss(reduction=reduction, normalizer=normalizer)
        assert weighted(logits, targets, sample_weight=np.empty(shape, dtype)) == 0.0
    value = fg.SigmoidFocalLoss(reduction="none")(logits, targets)
    assert value.shape == shape and value.dtype == dtype


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("fill", [0.5, np.nan, np.inf])
def test_zero_denominators(dtype: type, fill: float) -> None:
    """No positives, no weight, or weights that cancel: 0.0 for everything, whatever the logits."""
    logits, targets = np.full(37, fill, dtype), np.zeros(37, np.uint8)
    cancelling = np.where(np.arange(37) % 2, 1.0, -1.0).astype(dtype)
    cancelling[0] = 0
    for loss, weights in (
        (fg.SigmoidFocalLoss(normalizer="positives"), None),
        (fg.SigmoidFocalLoss(normalizer="weights"), 0.0),
        (fg.SigmoidFocalLoss(normalizer="weights"), np.zeros(37, dtype)),
        (fg.SigmoidFocalLoss(normalizer="weights"), cancelling),
        (fg.SigmoidFocalLoss(alpha=1, normalizer="weights"), None),
    ):
        core = core_terms(loss, logits, targets, sample_weight=weights)
        assert type(core.value) is float and core.value == 0.0
        assert not any(term.any() for term in core[1:])
        value, gradient = loss.value_and_grad(logits, targets, sample_weight=weights)
        assert value == 0.0 and not gradient.any()


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_zero_dimensions(dtype: type) -> None:
    """A 0-d array is one element, and stays an array under "none"."""
    logits, target = np.array(0.3, dtype), np.array(1, np.uint8)
    for reduction in ("none", "sum", "mean"):
        core = core_terms(fg.SigmoidFocalLoss(reduction=reduction), logits, target)
        exact = reference.sigmoid_focal(logits, target, reduction=reduction)
        for term in core[1:]:
            assert type(term) is np.ndarray and term.shape == () and term.dtype == dtype
        assert type(core.value) is (np.ndarray if reduction == "none" else float)
        assert_terms(core, exact, extra=WEIGHT_ULPS)
        assert float(core.value) == pytest.approx(float(exact.value), rel=1e-6)


class Own(np.ndarray):
    """An output with ideas of its own about how to be written."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError("must not be asked")


@pytest.mark.parametrize("method", ["__call__", "value_and_grad"])
def test_sums_over_classes_are_written_where_they_belong(method: str) -> None:
    """Into the output itself; through memory of their own only if the output is an input."""
    loss = fg.SigmoidFocalLoss(class_axis=1, reduction="sum_classes")
    logits = np.random.default_rng(7).normal(size=(50_000, 2))
    targets = np.arange(50_000.0) % 2
    want = loss(logits, targets)
    for y in (targets, np.eye(2)[targets.astype(int)]):
        out, grad = np.zeros(50_000).view(Own), np.empty_like(logits)
        given = {"out": out} if method == "__call__" else {"out": out, "grad_out": grad}
        tracemalloc.start()
        got = getattr(loss, method)(logits, y, **given)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        value = got if method == "__call__" else got[0]
        assert value is out and same_bits(np.asarray(value), want)
        assert peak < 100_000
    out = targets.copy().view(Own)
    got = getattr(loss, method)(logits, out, out=out)
    assert (got if method == "__call__" else got[0]) is out and same_bits(np.asarray(out), want)
    if method != "__call__":
        assert same_bits(got[1], loss.grad(logits, targets))
