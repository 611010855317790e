"""Initial scores of extreme weights and gammas, against roots in many digits."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

import focalgrad as fg

LARGE_GAMMAS = (0.0, 0.3, 1.0, 2.0, 5.0, 100.0, 700.0, 1073.0, 1100.0, 1e8, 1e300)
EXTREME_WEIGHTS = ((1e3, 1.0), (1e300, 1.0), (1e300, 1e-300), (3e-300, 1e-300), (1e-3, 1e-3), (1.25, 1e300))


def steepness(p: Any, q: Any, gamma: Any) -> Any:
    """Minus the derivative of -(1 - p)^gamma log p by p, q being 1 - p, in mpmath."""
    log_p = mp.log(p) if p < 0.5 else mp.log1p(-q)
    return q**gamma / p - gamma * q ** (gamma - 1) * log_p


def binary_excess(z: Any, ones: Any, zeros: Any, gamma: float) -> Any:
    """Logarithm of what positives weigh in the slope at a logit, less that of negatives."""
    gamma, p, q = mp.mpf(gamma), 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z))
    return mp.log(ones * steepness(p, q, gamma)) - mp.log(zeros * steepness(q, p, gamma))


def assert_balances(got: float, ones: Any, zeros: Any, gamma: float) -> None:
    """The only root is within rounding errors of it, and of a logit that doubles the odds."""
    away = (abs(mp.mpf(got)) + 1 / (1 + mp.mpf(gamma))) * mp.mpf(1e-14)
    assert binary_excess(got - away, ones, zeros, gamma) > 0 > binary_excess(got + away, ones, zeros, gamma)


@pytest.mark.parametrize("alpha", [None, 0.25, 1e-30])
@pytest.mark.parametrize("gamma", LARGE_GAMMAS)
@pytest.mark.parametrize("weights", EXTREME_WEIGHTS)
def test_extremes(weights: tuple[float, float], gamma: float, alpha: float | None) -> None:
    """Where derivatives and products of weights are no float64 numbers, but their ratios are."""
    with mpmath.workdps(400):
        heads, tails = (1, 1) if alpha is None else (mp.mpf(alpha), mp.mpf(1 - alpha))
        ones, zeros = map(mp.mpf, weights)
        loss = fg.SigmoidFocalLoss(alpha, gamma, soft_targets="expected")
        assert_balances(loss.init_score([1, 0], weights), ones * heads, zeros * tails, gamma)
        soft, rest = mp.mpf(0.125), mp.mpf(0.875)
        ones, zeros = ones + soft * zeros, rest * zeros
        assert_balances(loss.init_score([1, 0.125], weights), ones * heads, zeros * tails, gamma)


@pytest.mark.parametrize(
    ("gamma", "weights", "want"),
    [
        (1100.0, (1e3, 1.0), 0.0062772),
        (1073.0, (1e3, 1.0), 0.0064351),
        (700.0, (1e300, 1.0), 0.98621),
        (2.0, (1e300, 1e-300), 460.88),
        (2000.0, (1e3, 1.0), 0.0034531),
        (0.0, (1e300, 1e-300), 1381.551),
    ],
)
def test_extreme_examples(gamma: float, weights: tuple[float, float], want: float) -> None:
    """Printed digits; softmax has half of it on either side of 0."""
    assert fg.SigmoidFocalLoss(None, gamma).init_score([1, 0], weights) == pytest.approx(want, rel=1e-4)
    two = fg.SoftmaxFocalLoss(None, gamma).init_score([1, 0], weights)
    np.testing.assert_allclose(two, [-want / 2, want / 2], rtol=1e-4)


def stationary(start: Any, weights: Any, gammas: Any) -> list[Any]:
    """Logits of sum 0 at which all weights times `steepness` are equal: Newton's method in mpmath."""
    z, classes, gammas = [mp.mpf(x) for x in start], range(len(start)), [mp.mpf(g) for g in gammas]
    for _ in range(3):
        e = [mp.exp(x - max(z)) for x in z]
        p = [x / mp.fsum(e) for x in e]
        q = [mp.fsum(e[:c] + e[c + 1 :]) / mp.fsum(e) for c in classes]
        level = [mp.log(w * steepness(*at)) for w, *at in zip(weights, p, q, gammas, strict=True)]
        bend = []
        for c, g in zip(classes, gammas, strict=True):
            log_p = mp.log(p[c]) if p[c] < 0.5 else mp.log1p(-q[c])
            first = 1 / p[c] - g / q[c] * log_p
            second = -2 * g / (p[c] * q[c]) - 1 / p[c] ** 2 + g * (g - 1) / q[c] ** 2 * log_p
            bend.append(p[c] * second / first)
        rows = [[bend[c] * (q[c] if c == j else -p[j]) for j in classes] for c in classes]
        matrix = mp.matrix(
            [[a - b for a, b in zip(row, rows[0], strict=True)] for row in rows[1:]] + [[1] * len(z)]
        )
        missing = mp.matrix([level[0] - other for other in level[1:]] + [-mp.fsum(z)])
        step = mp.lu_solve(matrix, missing)
        z = [z[c] + step[c] for c in classes]
    assert max(map(abs, step)) <= 1e-30 * max(map(abs, z))
    return z


@pytest.mark.parametrize(
    "gamma",
    [
        *LARGE_GAMMAS,
        (700.0, 2.0, 0.0),
        (1e300, 1e8, 5.0),
        (0.0, 1e16, 1e16),
        (1e8, 1e8 + 1, 1e8),
        (2.0, 0.3, 1e4),
    ],
)
@pytest.mark.parametrize(
    "weights", [(1e3, 1.0, 2.0), (1e300, 1e-300, 1.0), (1e-300, 1e300, 1e299), (1.0, 1.0, 1e-200)]
)
def test_extreme_softmax(weights: tuple[float, ...], gamma: Any) -> None:
    """Where the weighted derivatives leave the range of float64 or, for large gammas, hardly differ."""
    got = fg.SoftmaxFocalLoss(None, gamma).init_score([0, 1, 2], weights)
    with mpmath.workdps(400):
        want = stationary(got, [mp.mpf(w) for w in weights], gamma if np.ndim(gamma) else [gamma] * 3)
        size = max(map(abs, want))
        assert max(abs(a - b) for a, b in zip(got, want, strict=True)) <= size * mp.mpf(1e-12)


def test_sums_beyond_the_range() -> None:
    """Of weights that are finite: what their unit is makes no difference."""
    targets, columns = np.array([1] * 60 + [0] * 20), np.array([0, 1, 1, 2, 1] * 9)
    soft = np.array([0.9, 0.2, 0.2, 1, 0.0] * 9)
    for meaning in ("mixture", "expected", "quality"):
        loss = fg.SigmoidFocalLoss(gamma=3.0, soft_targets=meaning)
        for y in (targets, soft):
            want = loss.init_score(y)
            for weight in (1.7e308, 1e-308, 5e-324):
                assert loss.init_score(y, weight) == pytest.approx(want, rel=1e-14)
    for smoothing in (0.0, 0.1):
        for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
            loss = make(class_axis=1, label_smoothing=smoothing)
            for weight in (1.7e308, 1e-308):
                scores = loss.init_score(columns, weight)
                np.testing.assert_allclose(scores, loss.init_score(columns), rtol=1e-14)
    large = fg.SoftmaxFocalLoss((1e308, 1e-308), 0.0).init_score([0, 1], [1e308, 1e-308])
    np.testing.assert_allclose(large, np.array([616, -616]) * np.log(10), rtol=1e-14)
