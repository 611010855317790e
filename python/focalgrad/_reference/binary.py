"""Binary focal loss of single logits: hard targets, and three meanings of soft ones.

x is a logit, ``p = 1 / (1 + exp(-x))``, ``q = 1 - p``, y the target, g gamma. f is the loss of a margin
(`margin_terms`). All three meanings agree at y = 0 and y = 1, where the loss is ``alpha f(x)`` for positives
and ``(1 - alpha) f(-x)`` for negatives.

``"expected"``
    The expectation over a label drawn with probability y: ``y alpha f(x) + (1 - y) (1 - alpha) f(-x)``
    (kornia's formula, and what weighting a sample once as positive and once as negative gives). Everything is
    linear in f, the surrogates too.
``"mixture"``
    The paper's p_t and alpha_t taken as mixtures (torchvision, Keras, optax)::

        m = y q + (1 - y) p         1 - p_t for soft targets
        C = -y log p - (1 - y) log q
        a = y alpha + (1 - y) (1 - alpha)
        loss = a m^g C

``"quality"``
    ``a |y - p|^g C`` (Li and others, "Generalized Focal Loss", NeurIPS 2020, equation 3, which has no alpha;
    gamma is called beta there): smallest at p = y, not at a hard label.

The last two are products of a modulating factor W and the cross entropy C, so the product rule gives
``(W C)' = W' C + W C'`` and ``(W C)'' = W'' C + 2 W' C' + W C''``, with ``C' = p - y`` and ``C'' = p q``.
For W: ``m' = (1 - 2 y) p q``, ``(p - y)' = p q``, and ``(p q)' = p q (q - p)``.

``|y - p|^g`` has a kink or a pole at p = y for g < 2. There the gradient is taken as 0 for every g > 0, and
the Hessian as 0 for 0 < g < 2.

Surrogates for these two do not bound the exact Hessian. They are what the loss would have if the label were
drawn: ``a [ y h(x) + (1 - y) h(-x) ]`` with h the surrogate for a margin: never negative.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from focalgrad._reference.margin import STAND_IN, margin_modulator, margin_terms, probabilities
from focalgrad._reference.terms import (
    Floats,
    Jet,
    Measured,
    Terms,
    added,
    power,
    power_jet,
    selected,
    selected_jet,
    weighted,
)


class Entropy(NamedTuple):
    """Cross entropy of a soft target, and what it is made of."""

    jet: Jet
    finite: Floats  # the cross entropy itself at a logit that is not infinite
    p: Floats
    q: Floats
    difference: Floats  # p - y
    size: Floats  # what the rounding error of the difference is relative to


def alpha_weights(y: ArrayLike, alpha: ArrayLike | None) -> Floats:
    """Give the paper's alpha_t: alpha for positives, 1 - alpha for negatives, 1 for both if alpha is None."""
    y = np.asarray(y, np.float64)
    if alpha is None:
        return np.where(np.isnan(y), np.nan, 1.0)
    return y * np.asarray(alpha, np.float64) + (1 - y) * (1 - np.asarray(alpha, np.float64))


def hard_sizes(terms: Terms) -> Jet:
    """Give the sizes for hard labels: nothing cancels but f'' at its root."""
    curvature = np.maximum(np.abs(terms.exact), np.abs(terms.upper) / 2)
    return Jet(np.abs(terms.value), np.abs(terms.gradient), curvature)


def positive(x: Floats, gamma: ArrayLike) -> Measured:
    """Focal loss of a logit whose target is 1: the margin is the logit."""
    terms = margin_terms(x, gamma)
    return Measured(terms, hard_sizes(terms))


def negative(x: Floats, gamma: ArrayLike) -> Measured:
    """Focal loss of a logit whose target is 0: the margin is minus the logit, which turns the gradient."""
    terms = margin_terms(-x, gamma)
    return Measured(terms._replace(gradient=-terms.gradient), hard_sizes(terms))


def entropy(x: Floats, y: Floats, rest: Floats) -> Entropy:
    """Cross entropy against a soft target y, `rest` being 1 - y.

    ``p - y`` is also ``(1 - y) - q``. Where p > 1/2 that loses less: there 1 - y has more digits than y.
    """
    parts = probabilities(x)
    swap = x > 0
    difference = np.where(swap, rest - parts.q, parts.p - y)
    size = np.where(swap, np.maximum(np.abs(rest), parts.q), np.maximum(np.abs(y), parts.p))
    finite_x = np.clip(x, -STAND_IN, STAND_IN)

    def cross(logit: Floats) -> Floats:
        log_p = np.maximum(-logit, 0) + parts.log_larger
        log_q = np.maximum(logit, 0) + parts.log_larger
        return y * log_p + rest * log_q

    jet = Jet(cross(x), difference, parts.p * parts.q)
    return Entropy(jet, cross(finite_x), parts.p, parts.q, difference, size)


def product(factor: Jet, cross: Entropy) -> Terms:
    """Modulating factor times cross entropy, by the product rule; surrogates are not defined by it."""
    w, c = factor, cross.jet
    undefined = np.full_like(w.value, np.nan)
    return Terms(
        w.value * c.value,
        w.first * cross.finite + w.value * c.first,
        w.second * cross.finite + 2 * w.first * c.first + w.value * c.second,
        undefined,
        undefined,
    )


def mixture(x: Floats, y: Floats, rest: Floats, gamma: ArrayLike) -> tuple[Measured, Jet]:
    """``m^g C`` for 0 < y < 1, and ``m^g`` alone.

    With ``r = p q / m`` and ``k = 1 - 2 y``: ``(m^g)' = g k r m^g``, and
    ``(m^g)'' = m^g [ g (g - 1) k^2 r^2 + g k r (q - p) ]``: m never is the base of a negative power.
    """
    cross, gamma = entropy(x, y, rest), np.asarray(gamma, np.float64)
    p, q, k = cross.p, cross.q, 1 - 2 * y
    m = y * q + rest * p
    r = p * q / m
    w = power(m, gamma)
    factor = Jet(w, w * gamma * k * r, w * gamma * (((gamma - 1) * k * r) * k * r + k * r * (q - p)))
    terms = product(factor, cross)

    step = gamma * np.abs(k) * r
    first = w * (cross.size + step * cross.finite)
    bends = p * q + 2 * step * cross.size + cross.finite * step * (1 + np.abs((gamma - 1) * k) * r)
    sizes = Jet(
        np.abs(terms.value),
        np.maximum(np.abs(terms.gradient), first),
        np.maximum(np.abs(terms.exact), w * bends),
    )
    return Measured(terms, sizes), factor


def quality(x: Floats, y: Floats, rest: Floats, gamma: ArrayLike) -> tuple[Measured, Jet]:
    """``|p - y|^g C`` for 0 < y < 1, and ``|p - y|^g`` alone.

    The sizes let the difference p - y be wrong by a rounding error of the larger of the two, to which a
    power d^n answers with n times as much, relative.
    """
    cross, gamma = entropy(x, y, rest), np.asarray(gamma, np.float64)
    spread = cross.p * cross.q
    d, sign = np.abs(cross.difference), np.where(cross.difference < 0, -1.0, 1.0)
    factor = power_jet(Jet(d, sign * spread, sign * spread * (cross.q - cross.p)), gamma)
    meets = (d == 0) & (gamma > 0)
    singular = meets & (gamma < 2)
    factor = Jet(factor.value, np.where(meets, 0.0, factor.first), np.where(singular, 0.0, factor.second))
    terms = product(factor, cross)

    loss = cross.finite
    rough = np.where(d == 0, 0.0, cross.size / d)
    slopes = [(power(d, gamma - 1, gamma) * spread * loss, gamma - 1), (power(d, gamma + 1), gamma + 1)]
    bends = [
        (power(d, gamma - 2, gamma * np.abs(gamma - 1)) * spread**2 * loss, gamma - 2),
        (power(d, gamma - 1, gamma) * spread * loss, gamma - 1),
        ((2 * gamma + 1) * power(d, gamma) * spread, gamma),
    ]
    value, first, second = (
        sum(size * (1 + np.abs(n) * rough) for size, n in parts)
        for parts in ([(np.abs(terms.value), gamma)], slopes, bends)
    )
    sizes = Jet(
        *(
            np.where(d == 0, np.abs(term), np.maximum(np.abs(term), size))
            for term, size in zip(terms[:3], (value, first, second), strict=True)
        )
    )
    return Measured(terms, sizes), factor


@np.errstate(all="ignore")
def binary_elements(
    x: Floats, y: Floats, rest: Floats, alpha: ArrayLike | None, gamma: ArrayLike, meaning: str
) -> tuple[Measured, Jet]:
    """Focal loss of every logit on its own, and the bare modulating factors.

    Parameters
    ----------
    x, y, rest : ndarray
        Logits, targets and 1 - targets, of the same shape. Of smoothed targets near 1, which are rounded, a
        subtraction would leave few digits.
    alpha : array_like or None
        Weight of positives, that of negatives being 1 - alpha; None weights neither. Broadcasts.
    gamma : array_like
        Focusing parameter, at least 0. Broadcasts.
    meaning : {"mixture", "expected", "quality"}
        What a soft target means.

    Returns
    -------
    tuple of Measured and Jet
        By the logits. ``"expected"`` has no single modulating factor; the second is then that of hard labels.
    """
    heads, tails = (1.0, 1.0) if alpha is None else (np.asarray(alpha), 1 - np.asarray(alpha))
    for_one, for_zero = positive(x, gamma), negative(x, gamma)
    drawn = added(weighted(for_one, y * heads), weighted(for_zero, rest * tails))
    bare_one, bare_zero = margin_modulator(x, gamma), margin_modulator(-x, gamma)
    bare = selected_jet(y == 1, bare_one, bare_zero._replace(first=-bare_zero.first))
    if meaning == "expected":
        return drawn, bare

    soft, factor = (mixture if meaning == "mixture" else quality)(x, y, rest, gamma)
    one, zero = for_one.terms, for_zero.terms
    soft = soft._replace(
        terms=soft.terms._replace(
            gauss_newton=y * one.gauss_newton + rest * zero.gauss_newton,
            upper=y * one.upper + rest * zero.upper,
        )
    )
    hard = (y == 0) | (y == 1)
    return selected(hard, drawn, weighted(soft, alpha_weights(y, alpha))), selected_jet(hard, bare, factor)
