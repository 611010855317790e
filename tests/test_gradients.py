"""Are gradient and Hessian the derivatives of the value? mpmath differentiates the definition numerically.

Neither the reference nor any closed form stands witness here: only the definition of the value does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

import focalgrad as fg
import oracle
from focalgrad import _reference as reference
from support import (
    FLOAT_DTYPES,
    GRADIENT_ULPS,
    HESSIAN_ULPS,
    REFERENCE_ULPS,
    WEIGHT_ULPS,
    assert_within,
)

GAMMAS = (0.0, 0.3, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0)
# float32 numbers, so one set of derivatives serves both dtypes; the root of f'' at gamma 2 is near -2.79.
MARGINS = np.array(
    [
        0,
        1e-30,
        1e-4,
        0.01,
        0.3,
        0.7,
        1,
        1.5,
        2,
        2.5,
        2.75,
        2.79,
        2.8,
        3,
        4,
        5,
        8,
        13,
        16.6,
        20,
        36,
        50,
        80,
        87,
        95,
        150,
        600,
    ],
    np.float32,
)
MARGINS = np.concatenate([MARGINS, -MARGINS[1:]]).astype(np.float64)


@cache
def derivatives(gamma: float) -> tuple[list[Any], list[Any]]:
    """First and second numerical derivative of the definition at all margins."""

    def derivative(z: float, order: int) -> Any:
        # Far below 0 the value is -z + exp(z) in essence, the second derivative that of the exponential.
        with mpmath.workdps(60 + int(abs(z))):
            return mp.diff(lambda x: oracle.focal(x, gamma), mp.mpf(z), order)

    return tuple([derivative(z, order) for z in MARGINS] for order in (1, 2))


def exact_derivatives(gamma: float) -> list[oracle.Exact]:
    """Both, as float64 and what is missing."""
    with mpmath.workdps(60):
        return [oracle.exact(column) for column in derivatives(gamma)]


@pytest.mark.parametrize("gamma", GAMMAS)
def test_closed_forms(gamma: float) -> None:
    """The derivatives that the other tests take from the oracle are those of its value."""
    with mpmath.workdps(60):
        for z, first, second in zip(MARGINS, *derivatives(gamma), strict=True):
            value, closed_first, closed_second, gauss_newton, upper = oracle.closed(z, gamma)
            assert value == oracle.focal(z, gamma)
            assert abs(closed_first - first) <= 1e-30 * abs(first), z
            assert abs(closed_second - second) <= 1e-30 * max(abs(second), upper), z
            assert abs(gauss_newton + first / (1 + mp.exp(-z))) <= 1e-30 * gauss_newton, z
            assert abs(upper - (1 + mp.mpf(gamma)) * gauss_newton) <= 1e-30 * upper, z


@pytest.mark.parametrize("gamma", GAMMAS)
def test_reference(gamma: float) -> None:
    """The reference's derivatives are those of the definition."""
    terms, limit = reference.margin_terms(MARGINS, gamma), REFERENCE_ULPS[np.dtype(np.float64)]
    first, second = exact_derivatives(gamma)
    assert_within(terms.gradient, first.near, limit, residue=first.residue, where=MARGINS)
    scale = np.fmax(np.abs(second.near), terms.upper / 2)
    assert_within(terms.exact, second.near, limit, residue=second.residue, scale=scale, where=MARGINS)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_core(gamma: float, dtype: type, target: int) -> None:
    """The core's derivatives are those of the definition, to the promised ulps."""
    sign = 2 * target - 1
    logits, targets = (sign * MARGINS).astype(dtype), np.full(MARGINS.shape, target, dtype)
    gradient, hessian = fg.SigmoidFocalLoss(None, gamma, reduction="sum").grad_and_hess(logits, targets)
    first, second = exact_derivatives(gamma)
    if dtype == np.float32:  # float64 rounding is far below its ulps
        first, second = first._replace(residue=0.0), second._replace(residue=0.0)
    assert_within(gradient, sign * first.near, GRADIENT_ULPS, residue=sign * first.residue, where=logits)
    upper = oracle.table(tuple(MARGINS.tolist()), gamma).upper.near
    scale = np.fmax(np.abs(second.near), upper / 2)
    assert_within(hessian, second.near, HESSIAN_ULPS, residue=second.residue, scale=scale, where=logits)


@pytest.mark.parametrize("normalizer", [None, "positives", "weights", 3.7])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_reduced_values(gamma: float, normalizer: str | float | None) -> None:
    """Gradient and Hessian of a weighted mean, differentiated as the one number that it is."""
    logits = np.array([0.3, -1.7, 2.5, -6.5, 0.0, 9.0])
    targets = np.array([1, 0, 0, 1, 1, 0], np.uint8)
    weights = np.array([0.5, 2.0, 0.0, 1.25, 3.0, 0.1])
    alpha = 0.3

    def mean(*x: Any) -> Any:
        total, weight_sum = mp.mpf(0), mp.mpf(0)
        for z, y, s in zip(x, targets.tolist(), weights.tolist(), strict=True):
            weight = mp.mpf(s) * (mp.mpf(alpha) if y else 1 - mp.mpf(alpha))
            total, weight_sum = total + weight * oracle.focal(z if y else -z, gamma), weight_sum + weight
        named = {None: 6, "positives": 3, "weights": weight_sum}
        return total / named.get(normalizer, normalizer)

    loss = fg.SigmoidFocalLoss(alpha, gamma, normalizer=normalizer)
    value, gradient = loss.value_and_grad(logits, targets, sample_weight=weights)
    hessian = loss.grad_and_hess(logits, targets, sample_weight=weights)[1]
    with mpmath.workdps(50):
        point = tuple(mp.mpf(x) for x in logits.tolist())
        assert abs(value - mean(*point)) <= 1e-13 * value
        for i in range(len(logits)):
            once, twice = (tuple(order * int(i == j) for j in range(len(logits))) for order in (1, 2))
            for got, limit, order in ((gradient, GRADIENT_ULPS, once), (hessian, HESSIAN_ULPS, twice)):
                want = oracle.exact([mp.diff(mean, point, order)])
                # No root of f'' is near these logits: its plain ulps do.
                assert_within(
                    got[i : i + 1],
                    want.near,
                    limit + WEIGHT_ULPS,
                    residue=want.residue,
                    where=logits[i : i + 1],
                )
