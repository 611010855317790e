"""What the formulas hand to each other: functions with their derivatives, and sums and products of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Jet(NamedTuple):
    """A function (an array, or a number once it is reduced) and its first two derivatives."""

    value: Any
    first: Floats
    second: Floats


class Terms(NamedTuple):
    """A loss (an array, or a number once it is reduced), its gradient and its three diagonal Hessians.

    A surrogate that is not defined is NaN.
    """

    value: Any
    gradient: Floats
    exact: Floats
    gauss_newton: Floats
    upper: Floats


class Measured(NamedTuple):
    """Terms, and the magnitudes that rounding errors of value, gradient and exact Hessian are measured by.

    ``sizes`` are the terms' own magnitudes where nothing cancels. Where a result is a difference, they are
    not below half the sum of the magnitudes of what is subtracted (for a Hessian of hard labels: half the
    upper bound).
    """

    terms: Terms
    sizes: Jet


def times(weight: ArrayLike, factor: ArrayLike) -> Floats:
    """Multiply by a weight. A weight of zero takes an infinity out (+0.0); NaN always stays."""
    weight, factor = np.asarray(weight, np.float64), np.asarray(factor, np.float64)
    return np.where((weight == 0) & np.isinf(factor), 0.0, weight * factor)


def weighted(measured: Measured, weight: ArrayLike, row_weight: ArrayLike | None = None) -> Measured:
    """Multiply everything by a weight; values by `row_weight` where they have a shape of their own."""
    weight = np.asarray(weight, np.float64)
    row_weight = weight if row_weight is None else np.asarray(row_weight, np.float64)
    terms, sizes = measured
    return Measured(
        Terms(times(row_weight, terms.value), *(times(weight, term) for term in terms[1:])),
        Jet(times(abs(row_weight), sizes.value), *(times(abs(weight), size) for size in sizes[1:])),
    )


def added(a: Measured, b: Measured) -> Measured:
    """Add the terms, and the sizes: a sum of positive things does not cancel, and that of others may."""
    return Measured(
        Terms(*(x + y for x, y in zip(a.terms, b.terms, strict=True))),
        Jet(*(x + y for x, y in zip(a.sizes, b.sizes, strict=True))),
    )


def selected(where: NDArray[np.bool_], a: Measured, b: Measured) -> Measured:
    """Take a where the mask is true, b elsewhere."""
    return Measured(
        Terms(*(np.where(where, x, y) for x, y in zip(a.terms, b.terms, strict=True))),
        selected_jet(where, a.sizes, b.sizes),
    )


def selected_jet(where: NDArray[np.bool_], a: Jet, b: Jet) -> Jet:
    """Take a where the mask is true, b elsewhere."""
    return Jet(*(np.where(where, x, y) for x, y in zip(a, b, strict=True)))


def scaled_jet(jet: Jet, weight: ArrayLike) -> Jet:
    """Multiply by a weight that does not depend on the variable."""
    return Jet(*(times(weight, part) for part in jet))


def together(*parts: Floats) -> tuple[Floats, Floats]:
    """Give the sum, and the sum of the magnitudes."""
    total, size = parts[0], np.abs(parts[0])
    for part in parts[1:]:
        total, size = total + part, size + np.abs(part)
    return total, size


def power(base: ArrayLike, exponent: ArrayLike, coefficient: ArrayLike = 1.0) -> Floats:
    """Give ``coefficient * base^exponent``, which is 0 for a coefficient of 0 whatever the power is."""
    coefficient = np.asarray(coefficient, np.float64)
    raised = np.power(np.asarray(base, np.float64), exponent)
    return np.where((coefficient == 0) & ~np.isnan(base), 0.0, coefficient * raised)


def lower_power(base: Floats, gamma: Floats, order: int) -> Floats:
    """Give ``g b^(g-1)`` (order 1) or ``g (g-1) b^(g-2)`` (order 2).

    A g below 1/2 loses digits when 1 is taken off, and the power magnifies that: there b is divided out.
    """
    coefficient = gamma * (gamma - 1) ** (order - 1)
    divided = coefficient * np.power(base, gamma) / base**order
    small = (gamma > 0) & (gamma < 1) & (base > 0)
    return np.where(small, divided, power(base, gamma - order, coefficient))


def power_jet(base: Jet, gamma: ArrayLike) -> Jet:
    """Give ``b^g`` with derivatives: ``g b^(g-1) b'`` and ``g (g-1) b^(g-2) b'^2 + g b^(g-1) b''``."""
    gamma = np.asarray(gamma, np.float64)
    b, first, second = base
    lower = lower_power(b, gamma, 1)
    return Jet(
        power(b, gamma),
        times(first, lower),
        times(first**2, lower_power(b, gamma, 2)) + times(second, lower),
    )


@np.errstate(all="ignore")
def exact_sum(values: ArrayLike) -> float:
    """Sum without rounding errors, rounded once at the end; inf and NaN as in any sum."""
    flat = np.asarray(values, np.float64).ravel()
    if np.isfinite(flat).all():
        try:
            return math.fsum(flat)
        except OverflowError:  # fsum gives up where the sum leaves the range, even for a moment
            pass
    return float(flat.sum())
