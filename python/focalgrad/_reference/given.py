"""Focal loss of probabilities that are given, and its derivatives by them.

v is the given probability of class 1 (binary) or of one column (softmax), y its target, g gamma.

Hard labels: t is the probability given to the truth (v, or 1 - v), ``d = 1 - t``, ``L = -log t``. The loss is
``d^g L``, and because ``dd/dt = -1`` and ``dL/dt = -1/t`` its derivatives by t are::

    -d^g / t - g d^(g-1) L  =  -d^g (1/t + g L/d)
    g (g-1) d^(g-2) L + 2 g d^(g-1) / t + d^g / t^2

``L / d`` has the limit 1 at d = 0. Of the second derivative ``g (g+1) d^(g-1)`` is left there: infinite for
0 < g < 1. At t = 0 the loss is infinite, its slope -inf and its curvature inf.

Soft labels: the three meanings of `binary`, with ``m' = 1 - 2 y`` and ``(v - y)' = 1`` in place of the chain
through the sigmoid, and for the cross entropy C::

    C' = (v - y) / (v (1 - v)),   C'' = y / v^2 + (1 - y) / (1 - v)^2

Nothing here is curved by a link function, so there are no surrogates of the Hessian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._reference.binary import alpha_weights
from focalgrad._reference.targets import in_unit_interval
from focalgrad._reference.terms import (
    Floats,
    Jet,
    Measured,
    Terms,
    added,
    lower_power,
    power,
    power_jet,
    selected,
    selected_jet,
    times,
    together,
    weighted,
)


def clipped(given: Floats, eps: float, dtype: type[Any]) -> tuple[Floats, NDArray[np.bool_]]:
    """Clip to [eps, 1 - eps] as numbers of the type computed in; and say where that changed anything.

    What is not clipped must be in [0, 1].
    """
    if eps == 0:
        return in_unit_interval(given), np.zeros(given.shape, bool)
    low, high = float(dtype(eps)), float(dtype(1 - eps))
    return np.clip(given, low, high) + 0.0, (given < low) | (given > high)


def without_surrogates(jet: Jet, sizes: Jet) -> Measured:
    """Terms whose surrogates are not defined."""
    undefined = np.full_like(jet.first, np.nan)
    return Measured(Terms(*jet, undefined, undefined), sizes)


@np.errstate(all="ignore")
def truth(v: Floats, gamma: ArrayLike, label: int) -> tuple[Measured, Jet]:
    """Hard-label loss of the given probability of class 1 when the label is 1 or 0; and ``d^g`` alone."""
    gamma = np.asarray(gamma, np.float64)
    t, d, sign = (v, 1 - v, 1.0) if label == 1 else (1 - v, v, -1.0)
    loss = -np.log(v) if label == 1 else -np.log1p(-v)
    ratio = np.where(d == 0, 1.0, loss / d)
    w = power(d, gamma)
    lower = lower_power(d, gamma, 1)
    slope = -w * (1 / t + times(gamma, ratio))
    second = np.where(t == 0, np.inf, lower * ((gamma - 1) * ratio + 2 / t) + w / t**2)
    jet = Jet(w * loss, sign * slope, second)
    terms_added = lower * (np.abs(gamma - 1) * ratio + 2 / t) + w / t**2
    sizes = Jet(np.abs(jet.value), np.abs(slope), terms_added)
    line = Jet(d, np.full_like(d, -sign), np.zeros_like(d))
    return without_surrogates(jet, sizes), power_jet(line, gamma)


def soft_product(v: Floats, y: Floats, factor: Jet, gamma: Floats, rough: Floats) -> Measured:
    """Modulating factor times cross entropy, with its limits where the probability is 0 or 1.

    The sizes let what the factor is a power of be wrong by `rough` of its rounding errors, to which a power n
    answers with n times as much.
    """
    log_v, log_rest = -np.log(v), -np.log1p(-v)
    cross = Jet(
        times(y, log_v) + times(1 - y, log_rest),
        (v - y) / (v * (1 - v)),
        y / v**2 + (1 - y) / (1 - v) ** 2,
    )
    # C' is the sum of -y / v and (1 - y) / (1 - v): these are what cancels, near v = y.
    cancelling = times(y, 1 / v) + times(1 - y, 1 / (1 - v)) - np.abs(cross.first)
    slope, slope_size = together(times(factor.first, cross.value), factor.value * cross.first)
    bend, bend_size = together(
        times(factor.second, cross.value),
        2 * times(factor.first, cross.first),
        factor.value * cross.second,
    )
    turned, bent = np.abs(times(factor.first, cross.value)), np.abs(times(factor.second, cross.value))
    kept, mixed = np.abs(factor.value * cross.first), np.abs(2 * times(factor.first, cross.first))
    slope_size = slope_size + np.abs(factor.value) * cancelling
    slope_size = slope_size + rough * (np.abs(gamma - 1) * turned + gamma * kept)
    bend_size = bend_size + 2 * np.abs(factor.first) * cancelling
    bend_size = bend_size + rough * (
        np.abs(gamma - 2) * bent + np.abs(gamma - 1) * mixed + gamma * np.abs(factor.value * cross.second)
    )
    value_size = np.abs(factor.value * cross.value) * (1 + rough * gamma)
    certain = (v == 0) | (v == 1)
    jet = Jet(
        factor.value * cross.value,
        np.where(certain, np.where(v == 0, -np.inf, np.inf), slope),
        np.where(certain, np.inf, bend),
    )
    return without_surrogates(jet, Jet(value_size, slope_size, bend_size))


@np.errstate(all="ignore")
def given_elements(
    v: Floats, y: Floats, alpha: ArrayLike | None, gamma: ArrayLike, meaning: str
) -> tuple[Measured, Jet]:
    """Focal loss of every probability on its own; parameters as for `binary_elements`."""
    gamma = np.asarray(gamma, np.float64)
    heads, tails = (1.0, 1.0) if alpha is None else (np.asarray(alpha), 1 - np.asarray(alpha))
    (for_one, bare_one), (for_zero, bare_zero) = truth(v, gamma, 1), truth(v, gamma, 0)
    drawn = added(weighted(for_one, y * heads), weighted(for_zero, (1 - y) * tails))
    bare = selected_jet(y == 1, bare_one, bare_zero)
    if meaning == "expected":
        return drawn, bare

    flat = np.zeros_like(v)
    rough = flat
    if meaning == "mixture":
        factor = power_jet(Jet(y * (1 - v) + (1 - y) * v, 1 - 2 * y, flat), gamma)
    else:
        factor = power_jet(Jet(np.abs(v - y), np.where(v < y, -1.0, 1.0), flat), gamma)
        # A label that was smoothed is rounded, and near it the difference has no more digits than that.
        rough = np.where(v == y, 0.0, np.maximum(v, y) / np.abs(v - y))
        meets = (v == y) & (gamma > 0)
        singular = meets & (gamma < 2)
        factor = Jet(factor.value, np.where(meets, 0.0, factor.first), np.where(singular, 0.0, factor.second))
    soft = soft_product(v, y, factor, gamma, rough)
    hard = (y == 0) | (y == 1)
    return selected(hard, drawn, weighted(soft, alpha_weights(y, alpha))), selected_jet(hard, bare, factor)


@np.errstate(all="ignore")
def given_rows(v: Floats, y: Floats, alpha: Floats, gamma: Floats) -> tuple[Measured, Jet]:
    """Softmax focal loss of rows of probabilities, taken as they are.

    ``sum_c y_c alpha_c (1 - v_c)^g_c (-log v_c)``: each probability stands in one term only, so the plain
    partial derivatives are those of the terms. A class with y_c = 0 contributes nothing, whatever v_c.
    """
    measured, factor = truth(v, gamma, 1)
    measured = weighted(measured, y * alpha)
    values, size = measured.terms.value.sum(axis=1), measured.sizes.value.sum(axis=1)
    factor = Jet(*(times(y, part) for part in factor))
    return (
        Measured(measured.terms._replace(value=values), measured.sizes._replace(value=size)),
        factor._replace(value=factor.value.sum(axis=1)),
    )
