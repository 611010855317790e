"""Focal loss of a margin: one function of one number, behind every loss with hard labels.

Notation
--------
z
    margin of the true class. Binary: the logit where the target is 1, minus the logit where it is 0.
    Softmax: the logit's lead over the logsumexp of the others.
p, q
    probability given to the true class, ``p = 1 / (1 + exp(-z))``, and ``q = 1 - p = 1 / (1 + exp(z))``.
L
    cross entropy, ``L = -log p = log(1 + exp(-z))``.
g
    gamma, the focusing parameter.

The loss
--------
Cross entropy, weakened where the model is already right (Lin, Goyal, Girshick, He and Dollar, "Focal Loss
for Dense Object Detection", ICCV 2017, equations 4 and 5)::

    f = q^g L

Its derivatives by z
--------------------
``dp/dz = p q``, ``dq/dz = -p q`` and ``dL/dz = -q``. So the product rule gives::

    f'  = g q^(g-1) (-p q) L + q^g (-q)
        = -q^g (q + g p L)

No power below q^g is left: 0 < g < 1 is as safe as any other gamma. Once more, with
``d(q + g p L)/dz = -p q + g (p q L - p q)``::

    f'' = g p q^g (q + g p L) + q^g (p q + g p q - g p q L)
        = p q^g [ q ((1 + 2 g) - g L) + g^2 p L ]

f'' is negative far enough below z = 0 for every g > 0: focal loss is not convex. Two surrogates never are.
Gauss-Newton keeps the curvature that comes from the sigmoid and drops the rest; it is f'' at g = 0::

    h = -p f' = p q^g (q + g p L)

The upper bound is (1 + g) h: from the derivation above ``f'' = (1 + g) h - g p q^g (L - q)``, and L >= q
because ``-log(1 - q) >= q``.

The modulating factor alone
---------------------------
It stands in the denominator of the ``"focal_weights"`` mean. From ``dq/dz = -p q``::

    (q^g)'  = -g p q^g
    (q^g)'' = g p q^g (g p - q)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from focalgrad._reference.terms import Floats, Jet, Terms

# exp(-STAND_IN / 2) is 0 in float64, so everything but L has reached its limit here. Infinite margins stand
# here where 0 * inf would turn a limit into NaN.
STAND_IN = 2000.0


class Probabilities(NamedTuple):
    """Both probabilities of a margin, kept so that what is built from them neither cancels nor underflows.

    ``p = root_p^2 larger`` and ``q = root_q^2 larger``, and ``log_larger = -log(larger)``.
    """

    p: Floats
    q: Floats
    root_p: Floats
    root_q: Floats
    larger: Floats
    log_larger: Floats


def probabilities(z: ArrayLike, low: ArrayLike = 0.0) -> Probabilities:
    """Give p and q of the margin ``z + low``, `low` being what a float64 margin could not hold.

    With ``e = exp(-|z|)`` the larger of p and q is 1 / (1 + e) and the smaller e / (1 + e): neither cancels.
    e is only used as the square of ``exp(-|z| / 2)``.
    """
    z = np.clip(np.asarray(z, np.float64), -STAND_IN, STAND_IN)  # NaN survives
    half = np.exp(-np.abs(z) / 2) * (1 - np.sign(z) * np.asarray(low, np.float64) / 2)
    larger = 1 / (1 + half * half)
    root_p, root_q = np.where(z >= 0, 1.0, half), np.where(z >= 0, half, 1.0)
    p, q = root_p * root_p * larger, root_q * root_q * larger
    return Probabilities(p, q, root_p, root_q, larger, np.log1p(half * half))


def modulating_factor(parts: Probabilities, gamma: ArrayLike) -> Floats:
    """Give q^g. A power of the root costs g roundings of relative size, exp(-g z) would cost g z of them."""
    gamma = np.asarray(gamma, np.float64)
    power: Floats = np.power(parts.root_q, 2 * gamma) * np.exp(-gamma * parts.log_larger)
    return power


@np.errstate(all="ignore")
def margin_modulator(z: ArrayLike, gamma: ArrayLike, low: ArrayLike = 0.0) -> Jet:
    """Give q^g with its derivatives by the margin; parameters as for `margin_terms`."""
    parts, gamma = probabilities(z, low), np.asarray(gamma, np.float64)
    factor = modulating_factor(parts, gamma)
    slope = gamma * parts.p * factor
    return Jet(factor, -slope, slope * (gamma * parts.p - parts.q))


@np.errstate(all="ignore")
def margin_terms(z: ArrayLike, gamma: ArrayLike, low: ArrayLike = 0.0) -> Terms:
    """Focal loss of a margin with its derivatives by that margin, unweighted.

    Parameters
    ----------
    z : array_like
        Margins, any shape.
    gamma : array_like
        Focusing parameter, at least 0; broadcasts to the margins.
    low : array_like
        The part of the margins that float64 numbers of their size cannot hold.

    Returns
    -------
    Terms
        f, f', f'', and both surrogates of f''. Relative error below 2e-15 for gamma up to 5 (f'': of the
        larger of its magnitude and half the upper bound, because f'' has a root). Limits: 0 everywhere at
        z = inf; f = inf, f' = -1, f'' = 0 at z = -inf; NaN at NaN.

    Notes
    -----
    ``L = max(-z, 0) + log1p(e)`` with e as in `probabilities`. Where e is about to underflow (below
    z = -708) it meets the large L in between its two halves, so that p L and f'' are right down to the last
    subnormal number.

    Examples
    --------
    An undecided model gives (1/2)^gamma log 2:

    >>> bool(np.isclose(margin_terms(0.0, 2.0).value, 0.25 * np.log(2), rtol=1e-15))
    True
    """
    z, gamma = np.asarray(z, np.float64), np.asarray(gamma, np.float64)
    p, q, root_p, _, larger, log_larger = parts = probabilities(z, low)

    lead = np.where(z < 0, low, 0.0)
    cross_entropy = np.maximum(-z, 0) + (log_larger - lead)
    finite_entropy = np.maximum(-np.clip(z, -STAND_IN, STAND_IN), 0) + (log_larger - lead)
    p_entropy = root_p * (root_p * finite_entropy) * larger
    modulator = modulating_factor(parts, gamma)

    steepness = modulator * (q + gamma * p_entropy)
    bracket = q * ((1 + 2 * gamma) - gamma * finite_entropy) + gamma * gamma * p_entropy
    return Terms(
        value=modulator * cross_entropy,
        gradient=-steepness,
        exact=root_p * (root_p * (modulator * bracket)) * larger,
        gauss_newton=p * steepness,
        upper=(1 + gamma) * p * steepness,
    )
