"""Do value, gradient and Hessian agree with the reference, whatever the array, dtype and parameters?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import focalgrad as fg
from focalgrad import _reference as reference
from layouts import as_they_come
from strategies import Case, cases
from support import (
    ALPHA_ULPS,
    FLOAT_DTYPES,
    GAMMAS,
    HESSIAN_ULPS,
    TARGET_DTYPES,
    Array,
    assert_terms,
    assert_within,
    coin,
    core_terms,
    sample,
)


@given(cases())
def test_everything_agrees(case: Case) -> None:
    """Per element, for any shape and every pair of dtypes."""
    loss = fg.SigmoidFocalLoss(**case.parameters, reduction="none")
    exact = reference.sigmoid_focal(case.logits, case.targets, **case.parameters, reduction="none")
    core = core_terms(loss, case.logits, case.targets)
    for result in core:
        assert type(result) is np.ndarray
        assert result.dtype == case.logits.dtype and result.shape == case.logits.shape
    assert_terms(core, exact, extra=ALPHA_ULPS, where=case.logits)


@pytest.mark.parametrize("target_dtype", TARGET_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("gamma", [*GAMMAS, 0.1, 1.5, 4.0])
def test_a_large_array(gamma: float, dtype: type, target_dtype: type) -> None:
    """Long enough for every path of the loops: blocks, threads, tails."""
    logits, targets = as_they_come(sample(100_003, dtype), coin(100_003, target_dtype))
    exact = reference.sigmoid_focal(logits, targets, alpha=0.3, gamma=gamma, reduction="none")
    core = core_terms(fg.SigmoidFocalLoss(0.3, gamma, reduction="none"), logits, targets)
    assert_terms(core, exact, extra=ALPHA_ULPS, where=logits)


@given(cases(finite=True))
def test_gamma_zero_is_cross_entropy(case: Case) -> None:
    """Against NumPy's own log(1 + exp)."""
    margin = np.where(case.targets == 1, 1, -1) * case.logits.astype(np.float64)
    got = fg.sigmoid_focal_loss(case.logits, case.targets, None, 0.0)
    # logaddexp is good to some float64 ulps itself.
    assert_within(got, np.logaddexp(0, -margin), 8 + 8 * (got.dtype == np.float64), where=margin)


@given(cases(finite=True))
def test_curvatures_are_in_order(case: Case) -> None:
    """0 <= Gauss-Newton, exact <= upper, and both surrogates differ by 1 + gamma."""
    limit = HESSIAN_ULPS + ALPHA_ULPS
    loss = fg.SigmoidFocalLoss(**case.parameters)
    exact, gauss_newton, upper = core_terms(loss, case.logits, case.targets)[2:]
    assert (gauss_newton >= 0).all() and (upper >= gauss_newton).all()
    want = (1 + case.gamma) * gauss_newton.astype(np.float64)
    # An ulp below the factor may be two above it; subnormals are rounded to some of the smallest before it.
    assert_within(upper, want, 3 * limit, scale=np.fmax(want, (1 + case.gamma) * np.finfo(upper.dtype).tiny))
    assert (exact <= upper + 2 * limit * np.spacing(upper)).all()


@given(cases(finite=True))
def test_gamma_zero_has_one_curvature(case: Case) -> None:
    """Without focusing, Gauss-Newton and upper are the exact Hessian."""
    loss = fg.SigmoidFocalLoss(case.alpha, 0)
    exact, gauss_newton, upper = core_terms(loss, case.logits, case.targets)[2:]
    assert_within(gauss_newton, exact, 2 * (HESSIAN_ULPS + ALPHA_ULPS))
    assert_within(upper, exact, 2 * (HESSIAN_ULPS + ALPHA_ULPS))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("gamma", [5.5, 20.0, 100.0, 1e4, 1e15])
def test_any_larger_gamma_is_sane(gamma: float, dtype: type) -> None:
    """Beyond the promised range of gamma: no NaN, no negative loss, never more than cross entropy."""
    logits, targets = as_they_come(sample(5_000, dtype), coin(5_000))
    logits[np.isnan(logits)] = 0
    core = core_terms(fg.SigmoidFocalLoss(None, gamma, reduction="none"), logits, targets)
    for name, result in core._asdict().items():
        assert not np.isnan(result).any(), name
    entropy = fg.sigmoid_focal_loss(logits, targets, None, 0.0)
    assert (core.value >= 0).all() and (core.value <= entropy * (1 + 16 * np.finfo(dtype).eps)).all()


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_inputs_are_only_read(dtype: type, tmp_path: Any) -> None:
    """Read-only and memory-mapped inputs do; no input changes."""
    logits, targets = sample(10_000, dtype), coin(10_000)
    loss = fg.SigmoidFocalLoss(reduction="none")
    expected = core_terms(loss, logits.copy(), targets.copy())
    for result, want in zip(core_terms(loss, _frozen(logits), _frozen(targets)), expected, strict=True):
        np.testing.assert_array_equal(result, want)

    np.save(tmp_path / "logits.npy", logits)
    mapped = np.load(tmp_path / "logits.npy", mmap_mode="r")
    for result, want in zip(core_terms(loss, mapped, targets), expected, strict=True):
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, want)
