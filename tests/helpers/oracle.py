"""Focal loss in mpmath, from the definition: an oracle that owes the reference nothing.

`focal` is the definition. `closed` adds the derivatives in closed form; test_gradients.py holds them against
numerical derivatives of `focal`. `table` evaluates them for many margins and keeps what float64 cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import mpmath
import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from support import ulp

PRECISION = 120  # bits: enough for 0.001 ulp of float64, q^g of a tiny q included


def focal(z: Any, gamma: Any) -> Any:
    """(1 - p)^gamma (-log p) with p = 1 / (1 + exp(-z)), at mpmath's current precision."""
    z, gamma = mp.mpf(z), mp.mpf(gamma)
    q = 1 / (1 + mp.exp(z))
    return q**gamma * mp.log1p(mp.exp(-z))


def closed(z: float, gamma: float) -> tuple[Any, Any, Any, Any, Any]:
    """Value, first and second derivative, Gauss-Newton and upper Hessian at one margin."""
    z, g = mp.mpf(z), mp.mpf(gamma)
    q, p = 1 / (1 + mp.exp(z)), 1 / (1 + mp.exp(-z))
    entropy = mp.log1p(mp.exp(-z))
    power = q**g
    slope = power * (q + g * p * entropy)
    second = p * power * (q * (1 + 2 * g - g * entropy) + g * g * p * entropy)
    return power * entropy, -slope, second, p * slope, (1 + g) * p * slope


class Exact(NamedTuple):
    """Real numbers: the nearest float64, and what is missing in ulps of it."""

    near: NDArray[np.float64]
    residue: NDArray[np.float64]


def exact(numbers: Iterable[Any]) -> Exact:
    """Split mpmath numbers into `Exact`."""
    numbers = list(numbers)
    near = np.array([float(number) for number in numbers])
    units = ulp(near, np.float64)
    missing = [float((real - mp.mpf(f)) / mp.mpf(u)) for real, f, u in zip(numbers, near, units, strict=True)]
    return Exact(near, np.array(missing))


class Table(NamedTuple):
    """`closed` for many margins."""

    value: Exact
    gradient: Exact
    exact: Exact
    gauss_newton: Exact
    upper: Exact


@cache
def table(margins: tuple[float, ...], gamma: float, weight: float = 1.0) -> Table:
    """`closed` at every margin, times a weight."""
    with mpmath.workprec(PRECISION):
        columns = zip(*(closed(z, gamma) for z in margins), strict=True)
        return Table(*(exact(weight * number for number in column) for column in columns))


@cache
def switches() -> tuple[float, ...]:
    """Float64 margins of every magnitude, dense where implementations switch, underflow or cancel."""
    rng = np.random.default_rng(5)
    around = (0.0, 2.79, 17, 36.7, 37.4, 88.7, 104, 149, 355, 372, 708.4, 709.78, 745.13)
    magnitudes = np.concatenate(
        [
            np.exp2(np.arange(-1074, 1024, 8.0)) * rng.uniform(1, 2, 263),
            np.exp2(rng.uniform(-60, 10, 500)),
            rng.uniform(0, 6, 300),
            rng.uniform(0, 40, 300),
            rng.uniform(0, 760, 500),
            np.concatenate([np.abs(c + rng.normal(0, 0.4, 30)) for c in around]),
            np.concatenate(
                [np.abs(np.nextafter(c, [0, c, np.inf])) for c in (1, 2, 4, 16, 32, 64, 128, 512, 1024)]
            ),
            [0.0, 5e-324, 2.2250738585072014e-308, 1e300, 1.7976931348623157e308],
        ]
    )
    return tuple(float(z) for z in np.concatenate([magnitudes, -magnitudes]))
