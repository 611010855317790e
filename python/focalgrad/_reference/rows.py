"""Softmax focal loss of rows of logits: the margin of the target class turns it into `margin`.

For logits z of a row and the target class t::

    u   = z_t - logsumexp_{k != t} z_k          so that p_t = 1 / (1 + exp(-u))
    w_j = exp(z_j - logsumexp_{k != t} z_k)     for j != t: the others' share of 1 - p_t; they sum to 1

The loss is f(u) of `margin`, because softmax's p_t is the sigmoid of u. Unlike ``log p_t`` from a full
logsumexp, u cannot cancel. With ``du/dz_t = 1``, ``du/dz_j = -w_j`` and ``dw_j/dz_j = w_j (1 - w_j)`` the
chain rule gives::

    gradient        t: f'            j: -f' w_j                (they sum to 0)
    Hessian         t: f''           j: f'' w_j^2 - f' w_j (1 - w_j)
    Gauss-Newton    t: -p_t f'       j: -f' w_j (1 - p_j)      with 1 - p_j = p_t + (1 - p_t) (1 - w_j)

Gauss-Newton is ``F p_j (1 - p_j)`` with ``F = -dl/dlog p_t = -f' / (1 - p_t)``, the curvature that comes from
softmax alone; (1 + g) times it is the upper bound, as for one margin.

Dense targets y: the sum over the classes c of ``y_c alpha_c`` times the loss with target c, the soft labels
of cross entropy (Szegedy and others, "Rethinking the Inception Architecture", 2016, section 7) carried over.
Everything is linear in it. Written out, with ``F_c = (1-p_c)^g + g (1-p_c)^(g-1) p_c L_c``, the gradient is
``p_j sum_c y_c alpha_c F_c - y_j alpha_j F_j``.

The sigmoid modulator: ``W(z_t) l`` with ``W = (1 - sigmoid(z_t))^g``, l the cross entropy of the row, and the
product rule; W depends on one logit only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._reference.binary import hard_sizes
from focalgrad._reference.margin import margin_modulator, margin_terms, probabilities
from focalgrad._reference.terms import (
    Floats,
    Jet,
    Measured,
    Terms,
    added,
    scaled_jet,
    times,
    together,
    weighted,
)


class Lead(NamedTuple):
    """The margin of one class in every row, and what the others share among each other."""

    margin: Floats
    low: Floats  # what the margin itself could not hold
    share: Floats  # w_j; 0 for the class itself
    rest: Floats  # 1 - w_j
    own: NDArray[np.bool_]  # the class itself


def difference(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Subtract without error: the difference and its rounding error (Knuth's two-sum)."""
    high = a - b
    back = high - a
    low = (a - (high - back)) - (b + back)
    return high, np.where(np.isfinite(low), low, 0.0)


@np.errstate(all="ignore")
def lead(z: Floats, t: NDArray[np.intp]) -> Lead:
    """Margin of class t[i] in row i.

    The largest of the others is taken off before exponentials are, without rounding errors: an error of e in
    an exponent would be one of e relative in the result.
    """
    own = np.arange(z.shape[1]) == t[:, None]
    others = np.where(own, -np.inf, z)
    top = np.max(others, axis=1, keepdims=True, initial=-np.inf)
    exponent, low = difference(others, top)
    exponent = np.where(others == top, 0.0, exponent)
    parts = np.where(own, 0.0, np.exp(exponent) * (1 + low))
    total = parts.sum(axis=1, keepdims=True)
    best = np.arange(z.shape[1]) == np.argmax(others, axis=1)[:, None]
    but_best = np.where(best, 0.0, parts).sum(axis=1, keepdims=True)

    ahead, low_ahead = difference(np.take_along_axis(z, t[:, None], axis=1), top)
    margin, low_margin = difference(ahead, np.where(total > 0, np.log(total), 0.0))
    share = np.where(own, 0.0, parts / total)
    rest = np.where(best & ~own, but_best / total, 1 - share)
    return Lead(margin[:, 0], (low_ahead + low_margin)[:, 0], share, rest, own)


def row_jet(jet: Jet, leads: Lead) -> Jet:
    """From derivatives by the margin to derivatives by all logits of the row."""
    value, first, second = jet
    first, second = first[:, None], second[:, None]
    share = leads.share
    return Jet(
        value,
        np.where(leads.own, first, -first * share),
        np.where(leads.own, second, second * share**2 - first * share * leads.rest),
    )


def index_rows(z: Floats, t: NDArray[np.intp], gamma: ArrayLike) -> tuple[Measured, Jet]:
    """Loss of every row with target class t[i], unweighted, and the bare modulating factor."""
    gamma = np.asarray(gamma, np.float64)
    leads = lead(z, t)
    by_margin = margin_terms(leads.margin, gamma, leads.low)
    value, gradient, exact = row_jet(Jet(*by_margin[:3]), leads)

    parts = probabilities(leads.margin, leads.low)
    others_miss = parts.p[:, None] + parts.q[:, None] * leads.rest
    gauss_newton = np.where(leads.own, by_margin.gauss_newton[:, None], gradient * others_miss)
    upper = (1 + gamma)[..., None] * gauss_newton
    terms = Terms(value, gradient, exact, gauss_newton, upper)
    return Measured(terms, hard_sizes(terms)), row_jet(
        margin_modulator(leads.margin, gamma, leads.low), leads
    )


def dense_rows(z: Floats, y: Floats, alpha: Floats, gamma: Floats) -> tuple[Measured, Jet]:
    """Sum over the classes of y alpha times the loss with that target; and of y times the factors.

    The size of a gradient is half the sum of ``p_j sum_c y_c alpha_c F_c`` and ``y_j alpha_j F_j``, the two
    that a kernel subtracts: what class j itself contributes to the first is in neither term here.
    """
    count, classes = z.shape
    none = np.zeros(count), np.zeros((count, classes)), np.zeros((count, classes))
    total = Measured(Terms(*none, none[1], none[1]), Jet(*none))
    factors = Jet(*none)
    for c in range(classes):
        measured, factor = index_rows(z, np.full(count, c), gamma[c])
        parts = probabilities(lead(z, np.full(count, c)).margin)
        inner = np.where(parts.q > 0, -2 * measured.terms.gradient[:, c] * parts.p / parts.q, 0.0)
        first = measured.sizes.first.copy()
        first[:, c] += inner
        measured = measured._replace(sizes=measured.sizes._replace(first=first))
        weight = y[:, c] * alpha[c]
        total = added(total, weighted(measured, weight[:, None], weight))
        own = scaled_jet(factor, y[:, c, None])._replace(value=times(y[:, c], factor.value))
        factors = Jet(*(a + b for a, b in zip(factors, own, strict=True)))
    first = np.maximum(np.abs(total.terms.gradient), total.sizes.first / 2)
    return total._replace(sizes=total.sizes._replace(first=first)), factors


def sigmoid_modulated_rows(z: Floats, t: NDArray[np.intp], gamma: ArrayLike) -> tuple[Measured, Jet]:
    """``(1 - sigmoid(z_t))^g`` times the cross entropy of the row, and that factor; no surrogates."""
    entropy, _ = index_rows(z, t, 0.0)
    own = np.arange(z.shape[1]) == t[:, None]
    target = np.take_along_axis(z, t[:, None], axis=1)[:, 0]
    w = margin_modulator(target, gamma)
    value, first, second = (np.asarray(part)[:, None] for part in w)
    loss = entropy.terms.value[:, None]

    # A slope of exactly 0 stands for a limit in which it outruns the infinite loss.
    slope, slope_size = together(
        value * entropy.terms.gradient, np.where(own & (first != 0), first * loss, 0.0)
    )
    bend, bend_size = together(
        value * entropy.terms.exact,
        np.where(own, 2 * first * entropy.terms.gradient, 0.0),
        np.where(own & (second != 0), second * loss, 0.0),
    )
    undefined = np.full_like(z, np.nan)
    product = np.where(np.isinf(entropy.terms.value), entropy.terms.value, w.value * entropy.terms.value)
    terms = Terms(product, slope, bend, undefined, undefined)
    sizes = Jet(np.abs(product), slope_size, bend_size)
    return Measured(terms, sizes), Jet(w.value, np.where(own, first, 0.0), np.where(own, second, 0.0))


def undefined_rows(z: Floats) -> NDArray[np.bool_]:
    """Rows without a softmax: NaN anywhere, two or more +inf, or no logit above -inf."""
    certain = np.count_nonzero(z == np.inf, axis=1)
    undefined: NDArray[np.bool_] = (certain > 1) | np.isnan(z).any(axis=1) | (z == -np.inf).all(axis=1)
    return undefined
