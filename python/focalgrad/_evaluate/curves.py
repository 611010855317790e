"""The lines of the report's pictures, from sums by difficulty.

For the gammas that were evaluated the sums of each bin are used; for others a bin counts as so many examples
at the margin that stands for it. With bins of width 1/8 that is right to about a thousandth.
"""

from __future__ import annotations

import math

import numpy as np

import focalgrad as fg
from focalgrad._evaluate.bins import HARD, Floats
from focalgrad._evaluate.numbers import View

#: The gammas of the paper's figure 4, and 5.
PAPER = (0.0, 0.5, 1.0, 2.0, 5.0)
Line = tuple[Floats, Floats]


def gammas_of(view: View) -> list[float]:
    """Gammas to draw: the paper's, and those that were evaluated if they are numbers."""
    own = [total.loss.gamma for total in view.evaluation.totals[1:]]
    return sorted({*PAPER, *(gamma for gamma in own if isinstance(gamma, float))})


def losses_of(view: View, gamma: float) -> Floats:
    """Losses by label and margin, without alpha, shape (2, MARGINS); right up to a factor for each label."""
    for total, spectrum in zip(view.evaluation.totals[1:], view.spectra[1:], strict=True):
        if total.loss.gamma == gamma and not isinstance(total.loss.alpha, tuple):
            return spectrum.losses
    # The margin of a negative is its logit.
    each = fg.SigmoidFocalLoss(None, gamma, reduction="none")
    found = np.asarray(each(view.margins, np.zeros_like(view.margins)))
    return np.where(view.counts > 0, view.counts * found, 0.0)


def cumulative(view: View, label: int | None, gamma: float) -> Line | None:
    """Share of the loss that the easiest so many examples make: figure 4 of the paper.

    Parameters
    ----------
    view : View
        The sums.
    label : {0, 1} or None
        Of negatives, of positives, or of all.
    gamma : float
        Of the loss.

    Returns
    -------
    examples, loss : ndarray
        Both from 0 to 1; None if there is nothing to draw.
    """
    rows = [0, 1] if label is None else [label]
    counts = view.counts[rows].sum(axis=0).astype(np.float64)
    losses = losses_of(view, gamma)[rows].sum(axis=0)
    if counts.sum() == 0 or not 0 < losses.sum() < math.inf or np.any(losses < 0):
        return None
    x, y = (np.concatenate([[0.0], np.cumsum(part) / part.sum()]) for part in (counts, losses))
    return x, y


def by_gamma(view: View) -> Line | None:
    """Loss over that of gamma 0, alpha left out, for gammas from 0 to 5."""
    gammas = np.linspace(0, 5, 41)
    each = [fg.SigmoidFocalLoss(None, float(gamma), reduction="none") for gamma in gammas]
    zeros = np.zeros_like(view.margins)
    with np.errstate(all="ignore"):
        sums = np.array([np.nansum(view.counts * np.asarray(loss(view.margins, zeros))) for loss in each])
    if not 0 < sums[0] < math.inf:
        return None
    return gammas, sums / sums[0]


def easy_share(view: View) -> Line | None:
    """Share of the loss that easy examples make, for gammas from 0 to 5."""
    gammas = np.linspace(0, 5, 41)
    shares = []
    for gamma in gammas:
        each = fg.SigmoidFocalLoss(None, float(gamma), reduction="none")
        losses = view.counts * np.asarray(each(view.margins, np.zeros_like(view.margins)))
        whole = losses.sum()
        if not 0 < whole < math.inf:
            return None
        shares.append(losses[:, :HARD].sum() / whole)
    return gammas, np.array(shares)
