"""Functions of a margin: probabilities, and what a score weighs one class against the other with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def softplus(z: Floats) -> Floats:
    """log(1 + exp(z))."""
    result: Floats = np.logaddexp(0.0, z)
    return result


def probabilities(z: ArrayLike) -> tuple[Floats, Floats]:
    """Give p = 1 / (1 + exp(-z)), and 1 - p without cancellation."""
    z = np.asarray(z, np.float64)
    small = np.exp(-np.abs(z))
    smaller, larger = small / (1 + small), 1 / (1 + small)
    return np.where(z < 0, smaller, larger), np.where(z < 0, larger, smaller)


def entropy_ratio(z: Floats) -> Floats:
    """``p L / q`` at a margin, L being the cross entropy: rises from 0 to 1."""
    small = np.exp(-np.abs(z))
    ahead = np.where(small > 0, np.log1p(small) / small, 1.0)
    behind = np.where(small > 0, small * (np.log1p(small) - z), 0.0)
    ratio: Floats = np.where(np.isnan(z), np.nan, np.where(z >= 0, ahead, behind))
    return ratio


def log_odds(z: Floats, gamma: Floats) -> Floats:
    """Give ``log |f'(-z) / f'(z)|``, f being the loss of a margin: the log-odds of class 1 at its best score.

    ``log q(z) - log q(-z) = -z``, so that no large gamma leaves a difference of equal numbers.
    """
    bend = np.log((1 + gamma * entropy_ratio(-z)) / (1 + gamma * entropy_ratio(z)))
    odds: Floats = z + gamma * z + bend
    return np.where((gamma == 0) & ~np.isnan(z), z, odds)
