"""Focal loss written to be read: every definition in plain NumPy and float64.

This file is the oracle of the tests and the documentation of what the compiled core computes. It is slow,
allocates freely and shares no code with the core. Each formula is given in words, with its source or its
derivation.

Notation
--------
z
    margin of the true class: the logit where the target is 1, minus the logit where it is 0.
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

The paper's alpha weights the two classes: alpha for positives, 1 - alpha for negatives.

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
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# exp(-STAND_IN / 2) is 0 in float64, so everything but L has reached its limit here. Infinite margins stand
# here where 0 * inf would turn a limit into NaN.
STAND_IN = 2000.0


class Terms(NamedTuple):
    """Everything known about a loss, per element or reduced.

    ``value`` is an array per element, or a float once reduced. The derivatives are always per element, of the
    sum of the values or of the reduced value.
    """

    value: Floats | float
    gradient: Floats
    exact: Floats
    gauss_newton: Floats
    upper: Floats


@np.errstate(all="ignore")
def margin_terms(z: ArrayLike, gamma: float) -> Terms:
    """Focal loss of a margin with its derivatives by that margin, unweighted.

    This one function of one number serves every loss with hard labels: binary (the margin is plus or minus
    the logit), one against the rest, and softmax (the margin is the logit's lead over the logsumexp of the
    others).

    Parameters
    ----------
    z : array_like
        Margins, any shape.
    gamma : float
        Focusing parameter, at least 0.

    Returns
    -------
    Terms
        f, f', f'', and both surrogates of f''. Relative error below 2e-15 for gamma up to 5 (f'': of the
        larger of its magnitude and half the upper bound, because f'' has a root). Limits: 0 everywhere at
        z = inf; f = inf, f' = -1, f'' = 0 at z = -inf; NaN at NaN.

    Notes
    -----
    With ``e = exp(-|z|)`` the larger of p and q is 1 / (1 + e) and the smaller e / (1 + e),
    neither cancels, and ``L = max(-z, 0) + log1p(e)``.

    e is only used as the square of ``exp(-|z| / 2)``. Where it is about to underflow (below z = -708) it
    meets the large L in between its two halves, so that p L and f'' are right down to the last subnormal
    number. And ``q^g = exp(-g max(z, 0)) / (1 + e)^g`` as a power of that half costs g roundings of relative
    size, where exp(-g z) would cost g z of them.
    """
    z = np.asarray(z, np.float64)
    finite = np.clip(z, -STAND_IN, STAND_IN)  # NaN survives
    half = np.exp(-np.abs(finite) / 2)
    log_larger = np.log1p(half * half)  # -log of the larger probability
    larger = 1 / (1 + half * half)
    root_p = np.where(z >= 0, 1.0, half)  # p = root_p^2 larger
    root_q = np.where(z >= 0, half, 1.0)  # q = root_q^2 larger
    p, q = root_p * root_p * larger, root_q * root_q * larger

    cross_entropy = np.maximum(-z, 0) + log_larger
    finite_entropy = np.maximum(-finite, 0) + log_larger
    p_entropy = root_p * (root_p * finite_entropy) * larger
    modulator = np.power(root_q, 2 * gamma) * np.exp(-gamma * log_larger)

    steepness = modulator * (q + gamma * p_entropy)
    bracket = q * ((1 + 2 * gamma) - gamma * finite_entropy) + gamma * gamma * p_entropy
    return Terms(
        value=modulator * cross_entropy,
        gradient=-steepness,
        exact=root_p * (root_p * (modulator * bracket)) * larger,
        gauss_newton=p * steepness,
        upper=(1 + gamma) * p * steepness,
    )


def hard_signs(targets: ArrayLike) -> Floats:
    """Give +1 for a target of 1, -1 for a target of 0, NaN for anything else."""
    y = np.asarray(targets, np.float64)
    return np.where(y == 1, 1.0, np.where(y == 0, -1.0, np.nan))


def alpha_weights(signs: Floats, alpha: float | None) -> Floats:
    """Give the paper's alpha_t: alpha for positives, 1 - alpha for negatives, 1 for both if alpha is None."""
    if alpha is None:
        return np.ones_like(signs)
    return np.where(signs > 0, alpha, 1 - alpha)


def weighted(terms: Terms, weights: Floats) -> Terms:
    """Multiply by weights. A weight of zero takes an infinite loss out (+0.0); NaN always stays."""
    value = np.where(np.isinf(terms.value) & (weights == 0), 0.0, weights * terms.value)
    return Terms(value, *(weights * derivative for derivative in terms[1:]))


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


def denominator(normalizer: str | float | None, signs: Floats, weights: Floats) -> float:
    """Find what ``"mean"`` divides by.

    None: the number of elements. "positives": how many targets are positive, before any weight. "weights":
    the sum of the weights that multiply the losses. A number: itself.
    """
    if normalizer is None:
        return float(signs.size)
    if normalizer == "positives":
        return float(np.count_nonzero(signs > 0))
    if normalizer == "weights":
        return exact_sum(weights)
    return float(normalizer)


def reduced(terms: Terms, reduction: str, divisor: float) -> Terms:
    """Reduce the value; the derivatives become those of the reduced value.

    Parameters
    ----------
    terms : Terms
        Weighted terms per element.
    reduction : {"none", "sum", "mean"}
        ``"none"`` keeps the values apart, and the derivatives are those of their sum, as for ``"sum"``.
    divisor : float
        What ``"mean"`` divides by. 0 makes value and derivatives 0.0: nothing was there to be averaged.

    Returns
    -------
    Terms
        With a float as value unless the reduction is ``"none"``.
    """
    if reduction == "none":
        return terms
    total = exact_sum(terms.value)
    if reduction == "sum":
        return terms._replace(value=total)
    if reduction != "mean":
        raise ValueError(f"reduction must be 'none', 'sum' or 'mean', not {reduction!r}")
    if divisor == 0:
        return Terms(0.0, *(np.zeros_like(derivative) for derivative in terms[1:]))
    return Terms(total / divisor, *(derivative / divisor for derivative in terms[1:]))


@np.errstate(all="ignore")
def sigmoid_focal(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
    normalizer: str | float | None = None,
    sample_weight: ArrayLike | None = None,
) -> Terms:
    """Binary focal loss of every logit on its own: margin s x with s = 2 y - 1, weight times alpha_t.

    Parameters
    ----------
    logits, targets : array_like
        Of the same shape. Targets are 0 or 1; any other makes its element NaN.
    alpha : float or None
        Weight of positives, that of negatives being 1 - alpha; None weights neither.
    gamma : float
        Focusing parameter, at least 0.
    reduction : {"none", "sum", "mean"}
        See `reduced`.
    normalizer : None, "positives", "weights" or float
        What ``"mean"`` divides by, see `denominator`. The weights are alpha_t times the sample weight.
    sample_weight : array_like, optional
        Multiplies the losses; broadcasts to the logits.

    Returns
    -------
    Terms
        Derivatives by the logits: the chain rule multiplies the first by s and leaves the second, as s^2 = 1.

    Examples
    --------
    An undecided logit costs log 2, weighted by alpha and by (1 - 1/2)^gamma:

    >>> terms = sigmoid_focal([0.0, 0.0], [1, 0], alpha=0.25, gamma=2.0, reduction="none")
    >>> bool(np.allclose(terms.value, [0.25 * 0.5**2 * np.log(2), 0.75 * 0.5**2 * np.log(2)], rtol=1e-15))
    True
    """
    logits = np.asarray(logits, np.float64)
    signs = hard_signs(targets)
    weights = alpha_weights(signs, alpha)
    if sample_weight is not None:
        weights = weights * np.asarray(sample_weight, np.float64)
    terms = margin_terms(signs * logits, gamma)
    terms = weighted(terms._replace(gradient=signs * terms.gradient), weights)

    return reduced(terms, reduction, denominator(normalizer, signs, weights))
